package wasm

import (
	"context"
	"sync"
	"sync/atomic"
)

// admission bounds the guests that run at the same moment (G9). Tokens go to the
// tenants that wait in turn, whatever each of them asks for: a tenant with many
// guests that compute costs another one a turn, not all of theirs.
type admission struct {
	waiting atomic.Int32 // who waits; read without mu

	mu     sync.Mutex // protects the fields below
	free   int
	queues map[string]*admissionQueue // by tenant, of those that wait
	turns  []*admissionQueue          // in the order of their next token
}

type admissionQueue struct {
	tenant  string
	waiters []*waiter
}

// waiter is told by a token in its channel. Under mu, gone says that it no longer
// wants one.
type waiter struct {
	granted chan struct{} // holds one
	gone    bool
}

func newAdmission(tokens int) *admission {
	return &admission{free: tokens, queues: make(map[string]*admissionQueue)}
}

// enter takes a token, waiting for one until ctx ends.
func (a *admission) enter(ctx context.Context, tenant string) error {
	a.mu.Lock()
	if a.free > 0 {
		a.free--
		a.mu.Unlock()
		return nil
	}
	w := &waiter{granted: make(chan struct{}, 1)}
	q := a.queues[tenant]
	if q == nil {
		q = &admissionQueue{tenant: tenant}
		a.queues[tenant] = q
		a.turns = append(a.turns, q)
	}
	q.waiters = append(q.waiters, w)
	a.waiting.Add(1)
	a.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-w.granted:
		return nil // it came at the same moment
	default:
		w.gone = true // leave passes over it
		a.waiting.Add(-1)
		return ctx.Err()
	}
}

// leave gives a token back, to the tenant whose turn it is.
func (a *admission) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.turns) > 0 {
		q := a.turns[0]
		a.turns = a.turns[1:]
		w := q.next()
		if len(q.waiters) > 0 {
			a.turns = append(a.turns, q)
		} else {
			delete(a.queues, q.tenant)
		}
		if w != nil {
			a.waiting.Add(-1)
			w.granted <- struct{}{}
			return
		}
	}
	a.free++
}

// next takes the first who still waits out of the queue, or nil.
func (q *admissionQueue) next() *waiter {
	for len(q.waiters) > 0 {
		w := q.waiters[0]
		q.waiters[0] = nil
		q.waiters = q.waiters[1:]
		if !w.gone {
			return w
		}
	}
	return nil
}
