package inspect

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// What weir keeps between starts and then trusts, verdicts and native code, lies
// in directories that nobody else may enter, and is read as if somebody had
// (G8).

// PrivateDir makes the directory, or checks that nobody else may enter it. What
// names it in the error.
func PrivateDir(dir, what string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if info.Mode().Perm()&0o077 != 0 || !owned(info) {
		return fmt.Errorf("%s %s is open to other users (%v): run chmod 700 on it, or name another directory", what, dir, info.Mode().Perm())
	}
	return nil
}

// ErrNotPrivate is returned for a file that is none of ours: a link, a pipe,
// another user's, one that others may write to, or longer than it may be.
var ErrNotPrivate = errors.New("not a private file of the size that it may have")

// ReadPrivate reads a regular file of this process's user that nobody else may
// open, of at most limit bytes. It follows no link as the last part of the path,
// and never waits.
func ReadPrivate(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		if isLink(err) {
			return nil, fmt.Errorf("%s: %w", path, ErrNotPrivate)
		}
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || !owned(info) || info.Size() > limit {
		return nil, fmt.Errorf("%s: %w", path, ErrNotPrivate)
	}
	content := make([]byte, info.Size()+1) // one more: whether it grew
	n, err := io.ReadFull(f, content)
	if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, fmt.Errorf("%s: %w", path, ErrNotPrivate))
	}
	return content[:n], nil
}

// PrivateKey reads a secret of 32 bytes from a private file, or makes one where
// there is none or something else. Several processes may do so at once.
func PrivateKey(path string) ([]byte, error) {
	for range 3 {
		key, err := ReadPrivate(path, 32)
		switch {
		case err == nil && len(key) == 32:
			return key, nil
		case err == nil, errors.Is(err, ErrNotPrivate):
			_ = os.Remove(path) // it was cut short, or somebody else knows it
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		key = make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		temp := path + "." + rand.Text()
		if err := os.WriteFile(temp, key, 0o600); err != nil {
			return nil, err
		}
		// A link does not replace a key that another process made meanwhile.
		err = os.Link(temp, path)
		_ = os.Remove(temp)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s has no key of 32 bytes: remove it", path)
}
