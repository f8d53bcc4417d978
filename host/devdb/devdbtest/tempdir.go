package devdbtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"weir/host/devdb"
)

const (
	// dirPrefix names the temporary directories of test binaries.
	dirPrefix = "weir-test-"
	lockName  = "lock"
)

// tempDir is the temporary directory of one test binary. Whatever its tests put
// into os.TempDir lies in it: projects, clusters, sockets, built plugins. So it
// goes in one piece, also after a kill: the binary holds a lock that the kernel
// drops with it, and the next binary removes what nobody holds (DT6).
type tempDir struct {
	path string
	lock *os.File
}

// newTempDir makes a directory in base, which it has swept first.
func newTempDir(base string) (*tempDir, error) {
	sweep(base)
	for range 10 {
		path, err := os.MkdirTemp(base, dirPrefix)
		if err != nil {
			return nil, fmt.Errorf("make a temporary directory: %w", err)
		}
		// A test that runs as root has its database run by another user, who must
		// get through. Others see nothing: each directory below has its own mode.
		if os.Geteuid() == 0 {
			if err := os.Chmod(path, 0o711); err != nil {
				return nil, fmt.Errorf("open the temporary directory: %w", err)
			}
		}
		lock, err := take(filepath.Join(path, lockName), os.O_CREATE)
		if err == nil {
			return &tempDir{path, lock}, nil
		}
		// A sweep saw the directory before it was locked, and took it.
	}
	return nil, errors.New("make a temporary directory: each one is taken away")
}

// use makes it the temporary directory of this process and its children. No
// goroutine may be looking at the environment yet.
func (d *tempDir) use() error {
	// devdb would rather put sockets there, and they would be left.
	if err := os.Unsetenv("XDG_RUNTIME_DIR"); err != nil {
		return err
	}
	return os.Setenv("TMPDIR", d.path)
}

// remove removes the directory. What cannot be removed, because a process that
// is about to end still writes there, is left for the next sweep.
func (d *tempDir) remove() {
	empty(d.path)
	_ = d.lock.Close() // nothing was written
}

// sweep removes the directories in base whose binaries have ended without it. A
// server that is still stopping keeps its directory until the next sweep.
func sweep(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, dirPrefix+"*")) // the pattern is good
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !owned(info) {
			continue
		}
		lock, err := take(filepath.Join(dir, lockName), 0)
		if err != nil {
			continue // it is in use, or about to be
		}
		if !serverIn(dir) {
			empty(dir)
		}
		_ = lock.Close() // nothing was written
	}
}

// empty removes a directory, the lock last: without one no sweep would look at
// what is left.
func empty(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() != lockName && os.RemoveAll(filepath.Join(dir, e.Name())) != nil {
			return
		}
	}
	_ = os.RemoveAll(dir) // it is tried again
}

// serverIn reports whether a database server runs below dir.
func serverIn(dir string) bool {
	found := errors.New("found")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "postmaster.pid" && devdb.Running(filepath.Dir(path)) {
			return found
		}
		return nil
	})
	return errors.Is(err, found)
}

// take locks a file, or fails at once if somebody holds it or has removed it.
func take(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flag, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		var mine, there fs.FileInfo
		mine, err = f.Stat()
		if err == nil {
			there, err = os.Lstat(path)
		}
		if err == nil && !os.SameFile(mine, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// owned reports whether a file is this user's: others may have put anything into
// a shared directory.
func owned(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
