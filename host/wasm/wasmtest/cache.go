package wasmtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// keepFor is how long what was compiled is kept; then it is compiled anew.
const keepFor = 14 * 24 * time.Hour

// CacheHome returns the directory in which all test binaries of this user keep
// what they compiled, from one run to the next, because compiling a Go guest
// takes longer than all tests with it. It stands for $XDG_CACHE_HOME: the name
// weir below it is a host's StateDir. It is empty when there is no such place.
//
// In a test binary wazero does not know its own version, and would run what
// another one compiled. So the name holds a digest of go.mod and go.sum.
func CacheHome() string { return cacheHome() }

var cacheHome = sync.OnceValue(func() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	here, err := os.Getwd()
	if err != nil {
		return ""
	}
	return cacheBelow(filepath.Join(cache, "weir-test"), here)
})

// cacheBelow is CacheHome for a module around a directory.
func cacheBelow(root, here string) string {
	versions := dependencies(here)
	if versions == nil {
		return ""
	}
	sum := sha256.Sum256(versions)
	dir := filepath.Join(root, hex.EncodeToString(sum[:6]))
	// What lies here is run: it is nobody else's (G8).
	if os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	prune(root, time.Now().Add(-keepFor))
	return dir
}

// dependencies returns go.mod and go.sum of the module around a directory.
func dependencies(dir string) []byte {
	root := moduleRoot(dir)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if root == "" || err != nil {
		return nil
	}
	sum, _ := os.ReadFile(filepath.Join(root, "go.sum")) // without one there are no dependencies
	return bytes.Join([][]byte{mod, sum}, []byte{0})
}

// moduleRoot returns the directory of the module around another; "" if there is none.
func moduleRoot(dir string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// prune removes the files below root that are older than a time. Errors leave
// them for the next prune.
func prune(root string, before time.Time) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // what cannot be seen is not removed
		}
		if info, err := d.Info(); err == nil && info.ModTime().Before(before) {
			_ = os.Remove(path)
		}
		return nil
	})
}
