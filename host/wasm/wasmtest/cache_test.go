package wasmtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What one version of wazero compiled is never run by another: the directory
// belongs to the versions in go.mod and go.sum.
func TestCacheBelongsToTheDependencies(t *testing.T) {
	t.Parallel()
	root, module := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(module, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("deep/down/x_test.go", "")
	write("go.mod", "module m\nrequire wazero v1\n")
	first := cacheBelow(root, filepath.Join(module, "deep", "down"))
	if again := cacheBelow(root, module); first == "" || again != first {
		t.Errorf("one package has %q, another %q", first, again)
	}
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v %v, want 0700", info, err)
	}
	write("go.mod", "module m\nrequire wazero v2\n")
	second := cacheBelow(root, module)
	write("go.sum", "wazero v2 h1:x")
	if third := cacheBelow(root, module); second == first || third == second {
		t.Errorf("other versions have the same directory: %s %s %s", first, second, third)
	}
}

func TestCacheForgetsWhatIsOld(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	f := func(name string, age time.Duration, want bool) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		prune(root, time.Now().Add(-keepFor))
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	f("yesterday's", 24*time.Hour, true)
	f("last month's", 31*24*time.Hour, false)
}
