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
		for end := min(at+groupsAtOnce, len(c.all)); at < end; at++ {
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

// What one step of a list looks at: less than a slice.
const (
	groupsAtOnce = 512 // to be put in order
	briefsAtOnce = 64  // to be told of
)

// ranked is a group and what it is ordered by. Outside of the loop it is a name and
// nothing more.
type ranked struct {
	core     *core
	group    *group
	rank     int64
	watchers int
	serial   uint64
}

// Groups returns the first n groups of a tenant in an order, of all tenants if
// tenant is empty. It looks at them one after the other while they come and go:
// it is no consistent picture.
func (r *Reactor) Groups(ctx context.Context, tenant string, by Order, n int) ([]GroupReport, error) {
	list, err := r.ranked(ctx, tenant, by)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.watchers, a.watchers), cmp.Compare(a.serial, b.serial))
	})
	var chosen []ranked
	places := map[*group]int{}
	for _, g := range list {
		// A group may have moved into a place that was still to be looked at.
		if _, twice := places[g.group]; !twice && len(chosen) < n {
			places[g.group] = len(chosen)
			chosen = append(chosen, g)
		}
	}
	told, at := make([]GroupReport, len(chosen)), map[*core]int{}
	err = r.ask(ctx, &question{tenant: tenant, step: func(_ time.Time, c *core) bool {
		left := briefsAtOnce
		for ; at[c] < len(chosen) && left > 0; at[c]++ {
			if g := chosen[at[c]].group; chosen[at[c]].core == c && !g.gone() {
				told[places[g]] = c.brief(g)
				left--
			}
		}
		return at[c] < len(chosen)
	}})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(told, func(g GroupReport) bool { return g.Query == "" }), nil // those that are gone
}

// ranked lists all groups.
func (r *Reactor) ranked(ctx context.Context, tenant string, by Order) (list []ranked, err error) {
	at := map[*core]int{}
	err = r.ask(ctx, &question{tenant: tenant, step: func(_ time.Time, c *core) bool {
		for end := min(at[c]+groupsAtOnce, len(c.all)); at[c] < end; at[c]++ {
			g := c.all[at[c]]
			entry := ranked{core: c, group: g, watchers: g.subs, serial: g.serial}
			switch by {
			case ByWatchers:
				entry.rank = int64(g.subs)
			case ByCost:
				entry.rank = int64(g.spent)
			case ByFailures:
				entry.rank = int64(g.failures)
			}
			list = append(list, entry)
		}
		return at[c] < len(c.all)
	}})
	return list, err
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
		return false
	}}
	if err := r.ask(ctx, q); err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b Past) int { return b.At.Compare(a.At) })
	return list[:min(n, len(list))], nil
}
