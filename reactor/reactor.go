package reactor

import (
	"context"
	"sync"
	"time"
)

// Request asks for a live result.
type Request struct {
	Tenant string
	Key    Key
	Name   string // the function's name, for reports
	// Call is what the Executor needs to run the function. Equal keys must come
	// with equivalent calls: the group keeps the first one.
	Call any
	// Waves says that runs may share a read transaction with others: the
	// function is one statement, or runs from a plan.
	Waves bool
	// At is the newest state that the client has been shown, zero if none: it
	// is shown nothing older (W2).
	At Stamp
	// Ready is called once from the loop when the subscription has its first
	// state. It must not block and must not call the Reactor.
	Ready func(*Subscription)
}

// Subscription is one subscriber of one group. It is safe for concurrent use.
type Subscription struct {
	req     Request
	reactor *Reactor
	arrived time.Time
	pub     *Publication // set before Ready
	err     error        // set before Ready
	once    sync.Once

	group *group // owned by the loop
}

// Publication returns the group's publication. It may be called once the
// subscription is ready; it is nil if Err is not.
func (s *Subscription) Publication() *Publication { return s.pub }

// Err says why the subscription was refused; nil if it was not. It may be called
// once the subscription is ready.
func (s *Subscription) Err() error { return s.err }

// Leave ends the subscription. It may be called twice, and before it is ready;
// Ready may still be called once after it.
func (s *Subscription) Leave() {
	s.once.Do(func() { s.reactor.leave(s) })
}

// Get returns a state that is at least as new as the call: what was committed
// before is in it, unless Status says otherwise. It shares the group, its run
// and its encoding with all subscribers.
func (r *Reactor) Get(ctx context.Context, req Request) (*State, error) {
	ready := make(chan struct{})
	req.Ready = func(*Subscription) { close(ready) }
	sub := r.Subscribe(req)
	defer sub.Leave()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if sub.err != nil {
		return nil, sub.err
	}
	return sub.pub.State(), nil
}
