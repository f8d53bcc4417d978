package reactor

import (
	"container/heap"
	"time"
)

// wave takes up to n groups that are ready and may run in one read transaction.
// A function that looks at rows runs alone; statements and plans run together,
// and with a query run the decisions that its results would wait for, so that
// both are read at one snapshot (F1). It returns nil when nothing is ready.
func (c *core) wave(now time.Time, n int) []*Execution {
	var wave []*Execution
	c.waves++
	for _, lane := range c.ready.order(c.cfg.TenantExecutions) {
		var more bool
		if wave, more = c.fill(now, lane, wave, n); !more {
			break
		}
	}
	return wave
}

// fill takes groups of one lane into a wave. It reports whether there is room
// for those of another.
func (c *core) fill(now time.Time, lane *[]*group, wave []*Execution, n int) (_ []*Execution, more bool) {
	var blocked []*group
	more = true
	for len(*lane) > 0 && len(wave) < n && more {
		g := (*lane)[0]
		if due := !g.gone() && g.ready; due && !g.together() && len(wave) > 0 {
			more = false
			break
		} else if due && g.blocked(c.waves) {
			blocked = append(blocked, g)
		} else if due {
			wave = append(wave, c.dispatch(now, g))
			if more = g.together(); more {
				wave = c.pull(now, g, c.bring(now, g, wave))
			}
		}
		(*lane)[0] = nil
		*lane = (*lane)[1:]
	}
	if len(blocked) > 0 {
		*lane = append(blocked, *lane...)
	}
	if len(*lane) == 0 {
		*lane = nil // lets the backing array go
	}
	return wave, more && len(wave) < n
}

// blocked reports whether a decision that could be read in one wave with g is
// running in another one: its answer will be of another snapshot than g's result,
// and while both are hot they would miss each other for ever.
func (g *group) blocked(wave uint64) bool {
	if len(g.unsettled) == 0 || !g.together() {
		return false
	}
	for _, w := range g.unsure() {
		if d := w.decision; d.running && d.wave != wave && d.together() {
			return true
		}
	}
	return false
}

// bring takes the results that wait for a slot, and then for decision d, into its
// wave.
func (c *core) bring(now time.Time, d *group, wave []*Execution) []*Execution {
	for _, w := range d.watched {
		if g := w.group; len(wave) < c.cfg.MaxWave && g.ready && g.together() && !g.blocked(c.waves) {
			wave = c.pull(now, g, append(wave, c.dispatch(now, g)))
		}
	}
	return wave
}

// pull takes the dirty decisions before g into its wave. One that failed keeps to
// its back-off.
func (c *core) pull(now time.Time, g *group, wave []*Execution) []*Execution {
	for _, w := range g.unsettled {
		d := w.decision
		if len(wave) >= c.cfg.MaxWave {
			break
		}
		if d.dirty && !d.running && d.failures == 0 && d.together() {
			if d.heap != 0 {
				heap.Remove(&c.agenda, d.heap-1)
			}
			wave = append(wave, c.dispatch(now, d))
		}
	}
	return wave
}

// dispatch turns a dirty group into a running one. What changes from now on
// makes it dirty again; the result's snapshot tells what it saw.
func (c *core) dispatch(now time.Time, g *group) *Execution {
	e := &Execution{
		Key: g.key, Query: g.pub.Query, Name: g.name, Call: g.call,
		Plan: g.plan, Last: g.frame, Alone: g.alone, Cause: g.cause, group: g, begun: now, waited: now.Sub(g.since),
	}
	g.running, g.started = true, now
	g.ready, g.wave = false, c.waves
	g.dirty, g.changes = false, 0
	return e
}
