package devdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// fileLock is an advisory lock that the kernel drops when its holder dies.
type fileLock struct{ f *os.File }

var errLocked = errors.New("locked")

// tryLock takes the lock at path or returns errLocked.
func tryLock(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &fileLock{f: f}, nil
}

// takeLock waits for the lock until ctx ends. It asks again rather than block
// in flock, which would not hear ctx.
func takeLock(ctx context.Context, path string) (*fileLock, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		l, err := tryLock(path)
		if !errors.Is(err, errLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s, which another weir holds while it starts the database: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}

// release drops the lock; nil is allowed. The file stays: removing it would let
// two holders lock two files of one name.
func (l *fileLock) release() {
	if l != nil {
		_ = l.f.Close() // closing drops the lock; there is nothing else to lose
	}
}
