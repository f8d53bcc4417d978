package reactor

import "sync/atomic"

// Status is what a group can say of its result.
type Status uint8

// The statuses.
const (
	Live   Status = iota + 1 // fresh, as far as the change log is read
	Stale                    // it cannot be kept fresh now; the rows are the last ones
	Failed                   // it never had a result, and the last run failed
	Ended                    // it will never have another result
)

// String returns the status as it stands on the wire.
func (s Status) String() string {
	switch s {
	case Live:
		return "live"
	case Stale:
		return "stale"
	case Failed:
		return "error"
	}
	return "unknown"
}

// State is all that a subscription can be shown. It is immutable.
type State struct {
	// Number counts the publications of the group, from 1. A writer that showed
	// number n shows nothing older.
	Number uint64
	Status Status
	// Frame is the newest result, nil if there was none yet.
	Frame *Frame
	// At is the newest point at which Frame is known to be the result.
	At Stamp
	// Err says why the status is not Live; nil if no run failed.
	Err error
}

// Publication is one group's newest state, for one set of decisions. The loop
// writes it; writers read it at any time without a lock. It holds nothing but
// the latest: a slow reader skips states, and nobody waits for anybody.
type Publication struct {
	// Query is the group's name on the wire: opaque, the same for every stream
	// of this process.
	Query string
	state atomic.Pointer[State]
}

// State returns the newest state, nil before the first one.
func (p *Publication) State() *State { return p.state.Load() }

// publish makes s the newest state. Only the loop calls it.
func (p *Publication) publish(s State) {
	if last := p.state.Load(); last != nil {
		s.Number = last.Number
	}
	s.Number++
	p.state.Store(&s)
}
