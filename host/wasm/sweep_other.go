//go:build !linux

package wasm

// sweeper exists on Linux only.
type sweeper struct{ kept uint64 }

func newSweeper([]byte) *sweeper { return nil }

func (s *sweeper) sweep(_, _ []byte) bool { return false }

func (s *sweeper) mapped([]byte) []span { return nil }
