package serve

import (
	"sync"
	"sync/atomic"
)

// subscriber runs Backend.Subscribe for streams, off their writers, in a bounded
// number of goroutines that live only while there is work. Sessions take turns,
// one subscription a turn, so that one client's slow policies delay its own
// subscriptions first.
type subscriber struct {
	limit int

	mu      sync.Mutex // protects the fields below
	queue   []*session // each at most once
	workers int
	closed  bool
	done    sync.WaitGroup
	calls   atomic.Int64
}

// attempt is one call of Backend.Subscribe for one subscription.
type attempt struct {
	ready   atomic.Bool   // the subscription has its first state
	decided chan struct{} // closed when its policies have answered, or it is ready

	// Protected by session.mu.
	settled bool // the call has returned
	live    *Live
	err     error
}

// serve gives the session a turn. The session asks for it at most once until the
// turn comes.
func (p *subscriber) serve(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.queue = append(p.queue, s)
	if p.workers < p.limit {
		p.workers++
		p.done.Add(1)
		go p.work()
	}
}

func (p *subscriber) work() {
	defer p.done.Done()
	for {
		p.mu.Lock()
		if len(p.queue) == 0 || p.closed {
			p.workers--
			p.mu.Unlock()
			return
		}
		s := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.mu.Unlock()

		sub, more := s.nextTodo()
		if more {
			p.serve(s)
		}
		if sub != nil {
			p.calls.Add(1)
			s.subscribe(sub)
			p.calls.Add(-1)
		}
	}
}

// close waits for the calls in flight, whose sessions must have ended.
func (p *subscriber) close() {
	p.mu.Lock()
	p.closed = true
	p.queue = nil
	p.mu.Unlock()
	p.done.Wait()
}
