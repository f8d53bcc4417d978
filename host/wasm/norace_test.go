//go:build !race

package wasm

const (
	raceEnabled = false
	manyCalls   = 100_000
	oneIn       = 1
)
