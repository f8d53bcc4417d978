//go:build !unix

package plugin

import (
	"io/fs"
	"os"
)

// openPlain opens a file that is no link.
func openPlain(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, refuse("it is a link: put the module itself there")
	}
	return os.Open(path)
}
