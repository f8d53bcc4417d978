package reactor

import "sync/atomic"

// Status is what can be said of a result to one subscription.
type Status uint8

// The statuses.
const (
	Live   Status = iota + 1 // fresh, as far as the change log is read
	Stale                    // it cannot be kept fresh now; the rows are the last ones
	Failed                   // it never had a result, and the last run failed
	Ended                    // it will never have another result
	Denied                   // a policy says no: the rows are to be dropped
	// Moved means that the subscription is of another group now, or of one at
	// last: its policies allow, with another scope than it was made with. It
	// shows nothing any more; subscribe again.
	Moved
)

// String returns the status as it stands on the wire. Moved is not told.
func (s Status) String() string {
	switch s {
	case Live:
		return "live"
	case Stale:
		return "stale"
	case Failed:
		return "error"
	case Denied:
		return "denied"
	}
	return "unknown"
}

// State is all that a subscription can be shown. It is immutable.
type State struct {
	// Number counts the publications of the group, from 1. A writer that showed
	// number n shows no older frame. 0: the state is not the group's but that of
	// the decisions.
	Number uint64
	Status Status
	// Frame is the newest result that may be shown, nil if there is none: what
	// was shown before stays, unless Status is Denied.
	Frame *Frame
	// At is the newest point at which Frame is known to be the result, or at which
	// a policy denied.
	At Stamp
	// Err says why the status is not Live; nil if no run failed.
	Err error
	// Policy and Reason say who denied, and why.
	Policy, Reason string

	span span // when Frame is known to be the result
	at   *Stamp
}

// Shown is At for those who keep it: one for all who are shown the state, nil if
// it is no point at all.
func (s *State) Shown() *Stamp {
	switch {
	case s.At.IsZero():
		return nil
	case s.at == nil:
		at := s.At
		return &at
	}
	return s.at
}

// Publication is what one group last said, to everybody. The loop writes it;
// writers read it at any time without a lock. It holds nothing but the latest: a
// slow reader skips states, and nobody waits for anybody. What of it one
// subscription may be shown is its fence's to say.
type Publication struct {
	// Query is the group's name on the wire: opaque, the same for every stream
	// of this process.
	Query    string
	state    atomic.Pointer[State]    // of a query
	standing atomic.Pointer[standing] // of a policy
}

// State returns the newest state, whether or not somebody may see it; nil before
// the first one, and for a policy.
func (p *Publication) State() *State { return p.state.Load() }

// publish makes s the newest state. Only the loop calls it.
func (p *Publication) publish(s State) *State {
	if last := p.state.Load(); last != nil {
		s.Number = last.Number
	}
	s.Number++
	s.at = nil
	s.at = s.Shown()
	p.state.Store(&s)
	return &s
}

// freeze says that the newest state is known to hold no further than it does
// now. It is no news to anybody.
func (p *Publication) freeze(to span) {
	if last := p.state.Load(); last != nil {
		s := *last
		s.span = to
		p.state.Store(&s)
	}
	if last := p.standing.Load(); last != nil {
		s := *last
		s.span = to
		p.standing.Store(&s)
	}
}
