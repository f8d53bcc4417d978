package wasmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
)

// Program builds weir as it is shipped, once a process, and returns where it lies, in
// bin of the tree that is tested: as the program of children that read SQL and compile modules. With the race detector,
// as this process may be, either takes minutes. The code that it compiles is found by
// this process in the caches that they share.
func Program() (string, error) { return program() }

var program = sync.OnceValues(func() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("build weir for tests: %w", err)
	}
	root := moduleRoot(here)
	if root == "" {
		return "", fmt.Errorf("build weir for tests: %s is in no module", here)
	}
	// Beside the tree that it is made of: another tree's is another program.
	dir := filepath.Join(root, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build weir for tests: %w", err)
	}
	// wazero takes code only from a wazero of its own version, which most test
	// binaries do not know.
	args := []string{"build", "-o", filepath.Join(dir, "weir-test-known")}
	if !knowsVersion() {
		args = []string{"build", "-o", filepath.Join(dir, "weir-test"), "-ldflags", "-X github.com/tetratelabs/wazero/internal/version.version=dev"}
	}
	unlock, err := lock(filepath.Join(dir, "weir-test.lock"))
	if err != nil {
		return "", fmt.Errorf("build weir for tests: %w", err)
	}
	defer unlock()
	if out, err := exec.Command("go", append(args, "weir/cmd/weir")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build weir for tests: %w\n%s", err, out)
	}
	return args[2], nil
})

// knowsVersion reports whether this binary was told which modules it was made of.
func knowsVersion() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Deps, func(m *debug.Module) bool { return m.Path == "github.com/tetratelabs/wazero" })
}

// lock waits for the tests of other packages that build the same.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
