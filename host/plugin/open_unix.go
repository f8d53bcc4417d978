//go:build unix

package plugin

import (
	"os"
	"syscall"
)

// openPlain opens a file that is no link. O_NONBLOCK keeps a pipe from holding
// the host up until somebody writes to it.
func openPlain(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
