//go:build amd64 || arm64

package inspect

import "golang.org/x/sys/unix"

// fileCalls are what writing a file into a directory needs beside calls.
var fileCalls = []uint32{
	unix.SYS_OPENAT, unix.SYS_NEWFSTATAT, unix.SYS_RENAMEAT, unix.SYS_UNLINKAT, unix.SYS_FSYNC,
}
