//go:build race

package wasm

const (
	raceEnabled = true
	manyCalls   = 4_000
)
