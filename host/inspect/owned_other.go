//go:build !unix

package inspect

import "io/fs"

// openFlags are none here.
const openFlags = 0

// isLink cannot tell here.
func isLink(error) bool { return false }

// owned cannot tell here; the directory's access list is the operator's.
func owned(fs.FileInfo) bool { return true }
