package reactor

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// question is something that a core is asked, in the loop, by somebody who waits
// outside. It does a little at a time: a core's slice is for its groups.
type question struct {
	tenant string // "": all of them
	// step looks at a little more and reports whether there is more to look at.
	// Only the loop calls it.
	step func(now time.Time, c *core) (more bool)

	left atomic.Int32  // cores that have not answered
	done chan struct{} // closed when all have
}

func (q *question) answered() {
	if q.left.Add(-1) == 0 {
		close(q.done)
	}
}

// ask lets the loop answer a question and waits for it.
func (r *Reactor) ask(ctx context.Context, q *question) error {
	q.done = make(chan struct{})
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.inbox.asks = append(r.inbox.asks, q)
	}
	r.mu.Unlock()
	if closed {
		return ErrClosed
	}
	r.signal()
	select {
	case <-q.done:
		return nil
	case <-r.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// put gives a question to the cores that it is for. A tenant that nobody of has
// subscribed yet has none, and none is made for it.
func (r *Reactor) put(q *question) {
	var cores []*core
	for _, c := range r.order {
		if q.tenant == "" || q.tenant == c.tenant {
			cores = append(cores, c)
		}
	}
	q.left.Store(int32(len(cores)) + 1)
	for _, c := range cores {
		c.backlog.tasks = append(c.backlog.tasks, task{ask: q})
	}
	q.answered() // for ourselves
}

// Ask returns what is known of the result that a subscription with req would
// show, without making one: nothing runs for it, no policy is asked. Request's
// functions Ready and Decided are not called; Resolve may be.
func (r *Reactor) Ask(ctx context.Context, req Request) (*Report, error) {
	report := &Report{}
	q := &question{tenant: req.Tenant, step: func(now time.Time, c *core) bool {
		c.tell(now, &req, report)
		return false
	}}
	if err := r.ask(ctx, q); err != nil {
		return nil, err
	}
	return report, nil
}

// AskGroup is Ask for the group that has this name on the wire, whoever watches it:
// its decisions are those of all its subscribers, up to a few.
func (r *Reactor) AskGroup(ctx context.Context, tenant, query string) (*Report, error) {
	report, at := &Report{}, 0
	q := &question{tenant: tenant, step: func(now time.Time, c *core) bool {
		for end := min(at+8*groupsAtOnce, len(c.all)); at < end; at++ {
			if c.all[at].pub.Query == query {
				c.tellGroup(now, c.all[at], report)
				return false
			}
		}
		return at < len(c.all)
	}}
	if err := r.ask(ctx, q); err != nil {
		return nil, err
	}
	return report, nil
}

// Order says which groups come first.
type Order uint8

// The orders.
const (
	ByWatchers Order = iota // most subscriptions first
	ByCost                  // most time spent in runs first
	ByFailures              // most failures in a row first
)

// groupsAtOnce is how many groups one step of a list looks at: less than a slice.
const groupsAtOnce = 128

// Groups returns the first n groups of a tenant in an order, of all tenants if
// tenant is empty. It looks at them one after the other while they come and go:
// it is no consistent picture.
func (r *Reactor) Groups(ctx context.Context, tenant string, by Order, n int) ([]GroupReport, error) {
	var list []GroupReport
	places := map[string]int{} // where each core's list has been looked at
	q := &question{tenant: tenant, step: func(now time.Time, c *core) bool {
		at := places[c.tenant]
		end := min(at+groupsAtOnce, len(c.all))
		for ; at < end; at++ {
			list = append(list, c.brief(c.all[at]))
		}
		places[c.tenant] = end
		if len(list) > 2*n+groupsAtOnce || end == len(c.all) {
			list = first(list, by, n)
		}
		return end < len(c.all)
	}}
	if err := r.ask(ctx, q); err != nil {
		return nil, err
	}
	return list, nil
}

func first(list []GroupReport, by Order, n int) []GroupReport {
	slices.SortStableFunc(list, func(a, b GroupReport) int {
		order := 0
		switch by {
		case ByCost:
			order = cmp.Compare(b.Spent, a.Spent)
		case ByFailures:
			order = cmp.Compare(b.Failures, a.Failures)
		}
		return cmp.Or(order, cmp.Compare(b.Subscriptions, a.Subscriptions), cmp.Compare(b.Spent, a.Spent), cmp.Compare(a.Query, b.Query))
	})
	// A group may have moved into a place that was still to be looked at.
	list = slices.CompactFunc(list, func(a, b GroupReport) bool { return a.Query == b.Query })
	return list[:min(n, len(list))]
}

// Runs returns the newest n executions of a tenant, of all tenants if tenant is
// empty; the newest first.
func (r *Reactor) Runs(ctx context.Context, tenant string, n int) ([]Past, error) {
	var list []Past
	q := &question{tenant: tenant, step: func(_ time.Time, c *core) bool {
		left := n
		c.past.newest(func(p *Past) bool {
			list, left = append(list, *p), left-1
			return left > 0
		})
		slices.SortStableFunc(list, func(a, b Past) int { return b.At.Compare(a.At) })
		list = list[:min(n, len(list))]
		return false
	}}
	if err := r.ask(ctx, q); err != nil {
		return nil, err
	}
	return list, nil
}
