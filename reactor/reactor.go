package reactor

import (
	"context"
	"sync/atomic"
	"time"
)

// Target is a function with its input: what a group runs.
type Target struct {
	Key  Key
	Name string // the function's name, for reports
	// Call is what the Executor needs to run the function. Equal keys must come
	// with equivalent calls: the group keeps the first one.
	Call any
	// Waves says that runs may share a read transaction with others: the
	// function is one statement, or runs from a plan.
	Waves bool
}

// Request asks for a live result.
type Request struct {
	Tenant string
	// Key, Name, Call and Waves are the Target, as far as it does not depend on
	// a scope.
	Key   Key
	Name  string
	Call  any
	Waves bool
	// Principal is who asks, in any form that names no other one; empty for nobody
	// in particular. Groups that are made for it are counted.
	Principal string
	// Policies must all allow. They are run, shared and kept live like queries;
	// none is asked if the list is empty. The host decides what guards a
	// function: an empty list means that anybody may see the result.
	Policies []Target
	// Resolve returns the target for the scope that the policies gave; nil: the
	// one above. It is called from the loop, and must do no more than encode a
	// key. An error is a scope that the function cannot use: the decision is as
	// good as unknown, until the policies give another one.
	Resolve func(Scope) (Target, error)
	// At is the newest state that the client has been shown, zero if none: it
	// is shown nothing older (W2).
	At Stamp
	// Ready is called once from the loop when the subscription has its first
	// state. It must not block and must not call the Reactor.
	Ready func(*Subscription)
	// Decided is called like Ready when the policies have answered, before or
	// together with it; not at all if there are none. May be nil.
	Decided func(*Subscription)
}

func (r *Request) target() Target {
	return Target{Key: r.Key, Name: r.Name, Call: r.Call, Waves: r.Waves}
}

// Subscription is one subscriber of one group. It is safe for concurrent use.
//
// There are very many, most of them idle: what was asked is forgotten when it has
// been answered, and what is the same for all of a group is its fence's.
type Subscription struct {
	reactor *Reactor
	fence   *fence // set before Decided and Ready
	number  uint64 // of the first state; set before Ready
	err     error  // set before Ready
	parted  atomic.Bool
	scoped  bool
	guarded bool // there are policies

	// Owned by the loop.
	left   bool
	core   *core   // set when it is handed over
	asking *asking // nil when it is ready and was told so
}

// asking is what a subscription is before it is ready.
type asking struct {
	req     Request
	arrived time.Time
	guards  []*group // the policies
	waits   int      // for so many of them
	unread  bool     // one of them was let pass, though nobody can know what it says
}

func newSubscription(req Request, now time.Time) *Subscription {
	return &Subscription{scoped: req.Resolve != nil, guarded: len(req.Policies) > 0, asking: &asking{req: req, arrived: now}}
}

// guards are the groups of the policies, and group the one that it has joined, nil
// while nothing is allowed. They are the loop's.
func (s *Subscription) guards() []*group {
	switch {
	case s.left:
		return nil
	case s.fence != nil:
		return s.fence.guards
	}
	return s.asking.guards
}

func (s *Subscription) group() *group {
	if s.left || s.fence == nil {
		return nil
	}
	return s.fence.group
}

// Denial returns the decision of policies that deny, nil if they did not. It may
// be called once they have decided, see Request.Decided, or at any time if there
// are none.
func (s *Subscription) Denial() *Decision {
	if !s.guarded || s.fence == nil {
		return nil
	}
	return s.fence.denial
}

// State returns what may be shown now. It may be called once the subscription is
// ready, at any time and from any goroutine. False means that there is nothing to
// say: what was shown before stays, until a publication of Watches has news.
func (s *Subscription) State() (State, bool) {
	st, shown := s.fence.State()
	if shown && st.Number != 0 && st.Number < s.number {
		return State{}, false // it is older than what this one began with (F6)
	}
	return st, shown
}

// Covers reports whether what may be shown now is at least as new as a point that
// the client was shown: by the subscription that this one replaces, perhaps, while
// this one was getting ready (W2). What shows no rows is. It may be called once the
// subscription is ready.
func (s *Subscription) Covers(at Stamp) bool {
	mark := *s.fence.mark.Load()
	st, shown := s.State()
	return !shown || st.Frame == nil || st.span.until(mark).Covers(at)
}

// Scoped reports whether the result depends on what the policies put into the
// scope: one that is Moved then shows what is not the caller's any longer.
func (s *Subscription) Scoped() bool { return s.scoped }

// Watches returns the publications whose news may change State. The caller must
// not change the list.
func (s *Subscription) Watches() []*Publication { return s.fence.Watches() }

// Publication returns the group's publication, whatever of it may be shown; nil
// while nothing is allowed.
func (s *Subscription) Publication() *Publication { return s.fence.result }

// Query returns the group's name on the wire, "" while nothing is allowed.
func (s *Subscription) Query() string { return s.fence.Query() }

// Err says why the subscription was refused; nil if it was not. It may be called
// once the subscription is ready.
func (s *Subscription) Err() error { return s.err }

// Leave ends the subscription. It may be called twice, and before it is ready;
// Ready may still be called once after it.
func (s *Subscription) Leave() {
	if !s.parted.Swap(true) {
		s.reactor.leave(s)
	}
}

// Get returns a state that is at least as new as the call: what was committed
// before is in it, unless Status says otherwise. It shares the group, its run
// and its encoding with all subscribers. A state that is Moved meanwhile is to be
// asked for again.
func (r *Reactor) Get(ctx context.Context, req Request) (State, error) {
	ready := make(chan struct{})
	req.Ready = func(*Subscription) { close(ready) }
	sub := r.Subscribe(req)
	defer sub.Leave()
	select {
	case <-ready:
	case <-ctx.Done():
		return State{}, context.Cause(ctx)
	}
	if sub.err != nil {
		return State{}, sub.err
	}
	st, shown := sub.State()
	if !shown {
		st = State{Status: Moved} // a decision came between; it is being found out
	}
	return st, nil
}
