//go:build race

package inspect

// The race detector needs room for its shadow of all memory, and time.
const (
	maxMemory  = 0
	maxSeconds = 900
)
