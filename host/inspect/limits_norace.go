//go:build !race

package inspect

const (
	// maxMemory bounds what the child may write to. It is at 350 MB when it is
	// ready.
	maxMemory = 1 << 30
	// maxSeconds bounds the child's computing time over its whole life; it ends
	// by itself before.
	maxSeconds = 120
)
