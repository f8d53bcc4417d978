package reactor

import (
	"container/heap"
	"time"
)

// wave takes up to n groups that are ready and may run in one read transaction.
// A function that looks at rows runs alone; statements and plans run together.
// It returns nil when nothing is ready.
func (c *core) wave(now time.Time, n int) []*Execution {
	var wave []*Execution
	for len(c.ready) > 0 && len(wave) < n {
		g := c.ready[0]
		if g.gone() || g.running || !g.dirty {
			c.ready = c.ready[1:]
			continue
		}
		if g.subs == 0 {
			c.ready = c.ready[1:]
			c.remove(g)
			continue
		}
		together := g.waves || g.plan != nil
		if len(wave) > 0 && !together {
			break
		}
		c.ready = c.ready[1:]
		wave = append(wave, c.dispatch(now, g))
		if !together {
			break
		}
	}
	if len(c.ready) == 0 {
		c.ready = nil // lets the backing array go
	}
	return wave
}

// dispatch turns a dirty group into a running one. What changes from now on
// makes it dirty again; the result's snapshot tells what it saw.
func (c *core) dispatch(now time.Time, g *group) *Execution {
	if g.heap != 0 {
		heap.Remove(&c.agenda, g.heap-1)
	}
	e := &Execution{
		Key: g.key, Query: g.pub.Query, Name: g.name, Call: g.call,
		Plan: g.plan, Last: g.frame, Cause: g.cause, group: g, begun: now, waited: now.Sub(g.since),
	}
	g.running, g.started = true, now
	g.dirty, g.changes = false, 0
	return e
}
