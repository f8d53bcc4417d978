//go:build race

package wasm

const (
	raceEnabled = true
	manyCalls   = 4_000
	oneIn       = 10 // of what is generated; make test has all of it in a plain build
)
