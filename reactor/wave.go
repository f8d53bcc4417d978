package reactor

import "time"

// wave takes up to n groups that are ready and may run in one read transaction.
// A function that looks at rows runs alone; statements and plans run together.
// It returns nil when nothing is ready.
func (c *core) wave(now time.Time, n int) []*Execution {
	var wave []*Execution
	for len(c.ready) > 0 && len(wave) < n {
		g := c.ready[0]
		together := g.waves || g.plan != nil
		if !g.gone() && !together && len(wave) > 0 {
			break
		}
		c.ready[0] = nil
		c.ready = c.ready[1:]
		g.ready = false
		if g.gone() {
			continue
		}
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
	e := &Execution{
		Key: g.key, Query: g.pub.Query, Name: g.name, Call: g.call,
		Plan: g.plan, Last: g.frame, Cause: g.cause, group: g, begun: now, waited: now.Sub(g.since),
	}
	g.running, g.started = true, now
	g.dirty, g.changes = false, 0
	return e
}
