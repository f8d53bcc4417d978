package inspect

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// G8: what is trusted later is read only if nobody else can have put it there, and
// reading never waits.
// Cases: 21.
func TestPrivateFileIsRegularAndOurs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	f := func(name string, set func() error, want bool) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(path), set()); err != nil {
			t.Fatal(err)
		}
		content, err := ReadPrivate(path, 4)
		if want && (err != nil || string(content) != "four") || !want && !errors.Is(err, ErrNotPrivate) {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	write := func(text string) func() error {
		return func() error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	f("a file", write("four"), true)
	f("a longer one", write("five!"), false)
	if runtime.GOOS == "windows" {
		return
	}
	f("open to others", func() error { return errors.Join(write("four")(), os.Chmod(path, 0o640)) }, false)
	f("a link", func() error {
		return errors.Join(os.WriteFile(path+"2", []byte("four"), 0o600), os.Symlink(path+"2", path))
	}, false)
	f("a directory", func() error { return os.Mkdir(path, 0o700) }, false)
	f("a device", func() error { return os.Symlink("/dev/zero", path) }, false)
	if _, err := ReadPrivate(filepath.Join(dir, "none"), 4); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

// The key is made once, also by several at once, and anew when it is no secret.
func TestPrivateKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	keys := make(chan []byte)
	for range 8 {
		go func() {
			key, err := PrivateKey(path)
			if err != nil {
				t.Error(err)
			}
			keys <- key
		}()
	}
	first := <-keys
	for range 7 {
		if key := <-keys; len(key) != 32 || !bytes.Equal(key, first) {
			t.Errorf("another key: %x", key)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info, err)
	}
	f := func(name string, set func() error) {
		t.Helper()
		if err := set(); err != nil {
			t.Fatal(err)
		}
		key, err := PrivateKey(path)
		if err != nil || len(key) != 32 || bytes.Equal(key, first) {
			t.Errorf("%s: %x, %v", name, key, err)
		}
		first = key
	}
	f("cut short", func() error { return os.Truncate(path, 31) })
	f("open to others", func() error { return os.Chmod(path, 0o644) })
	f("a link", func() error {
		return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path))
	})
}
