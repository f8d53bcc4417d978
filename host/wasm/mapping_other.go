//go:build !linux

package wasm

import "errors"

// mapping exists on Linux only; elsewhere instances have copies of the image.
type mapping struct{ data []byte }

func newMapping([]byte) (*mapping, error) { return nil, errors.ErrUnsupported }

func (m *mapping) close() {}

func (m *mapping) born(uint64) ([]byte, error) { return nil, errors.ErrUnsupported }

func open([]byte) error { return errors.ErrUnsupported }

func discard([]byte) error { return errors.ErrUnsupported }

func unmap([]byte) {}

func maxMappings() int64 { return 0 }
