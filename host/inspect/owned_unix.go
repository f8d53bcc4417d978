//go:build unix

package inspect

import (
	"io/fs"
	"os"
	"syscall"
)

// owned reports whether the file belongs to this process's user.
func owned(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
