//go:build !linux

package load

import (
	"context"
	"time"
)

// Fleet needs epoll, which this system lacks: NewFleet always fails.
type Fleet struct {
	cfg      Config
	as       string
	states   *states
	counts   Counts
	since    time.Time
	lastTold time.Time
	lastBack time.Time
	opening  int
	open     int
}

// NewFleet returns ErrUnsupported.
func NewFleet(_ context.Context, cfg Config) (*Fleet, error) {
	if _, err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	return nil, ErrUnsupported
}

func (f *Fleet) code(string)  {}
func (f *Fleet) refuse(error) {}

// The methods below do nothing here.

// Close does nothing.
func (f *Fleet) Close() {}

// Open does nothing.
func (f *Fleet) Open() {}

// Refused returns ErrUnsupported.
func (f *Fleet) Refused() error { return ErrUnsupported }

// Forgive does nothing.
func (f *Fleet) Forgive() {}

// Stall does nothing.
func (f *Fleet) Stall() {}

// Reset does nothing.
func (f *Fleet) Reset() {}

// Counts returns nothing.
func (f *Fleet) Counts() Counts { return Counts{} }

// Standing returns nothing.
func (f *Fleet) Standing() Standing { return Standing{} }

// Back returns nothing.
func (f *Fleet) Back() (opened, told time.Time) { return }

// Versions returns nothing.
func (f *Fleet) Versions() map[int][]string { return nil }
