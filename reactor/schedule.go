package reactor

import (
	"container/heap"
	"time"
)

// agenda is a heap of groups by the time at which they want to be looked at:
// dirty ones to run, others to wake.
type agenda []*group

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	if a[i].due.Equal(a[j].due) {
		return a[i].turn < a[j].turn // first come, first served
	}
	return a[i].due.Before(a[j].due)
}

func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].heap, a[j].heap = i+1, j+1
}

// Push implements heap.Interface.
func (a *agenda) Push(v any) {
	g := v.(*group)
	*a = append(*a, g)
	g.heap = len(*a)
}

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	g := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	g.heap = 0
	return g
}

// schedule looks at g again at the given time.
func (c *core) schedule(g *group, at time.Time) {
	g.due = at
	c.turns++
	g.turn = c.turns
	if g.heap != 0 {
		heap.Fix(&c.agenda, g.heap-1)
		return
	}
	heap.Push(&c.agenda, g)
}

// rest schedules a clean group's next wake-up, if it has one.
func (c *core) rest(g *group) {
	switch {
	case !g.wakeAt.IsZero():
		c.schedule(g, g.wakeAt)
	case g.heap != 0:
		heap.Remove(&c.agenda, g.heap-1)
	}
}

// deadline is a group and the time since which it waits for something. Lists of
// them are in the order of time and checked lazily: an entry whose group has
// moved on is skipped.
type deadline struct {
	group *group
	since time.Time
}

// tick does what time alone brings: wake-ups, stale marks, the end of lingering,
// for at most n groups of each kind. It reports whether there are more.
func (c *core) tick(now time.Time, n int) (more bool) {
	c.checkBehind(now)
	for i := 0; len(c.agenda) > 0 && !c.agenda[0].due.After(now); i++ {
		if i == n {
			more = true
			break
		}
		g := heap.Pop(&c.agenda).(*group)
		if !g.dirty {
			g.wakeAt = time.Time{}
			c.invalidate(now, g, Cause{Reason: g.awake})
			if g.heap == 0 {
				continue // nobody listened
			}
			heap.Remove(&c.agenda, g.heap-1)
		}
		g.ready = true
		c.ready.push(g)
	}
	for i := 0; len(c.overdue) > 0 && !c.overdue[0].since.Add(c.cfg.MaxStale).After(now); i++ {
		if i == n {
			more = true
			break
		}
		late := c.overdue[0]
		c.overdue[0] = deadline{}
		c.overdue = c.overdue[1:]
		if g := late.group; g.concerned.Equal(late.since) && !g.late && g.shown() {
			g.late = true
			c.publish(g)
		}
	}
	for i := 0; len(c.emptied) > 0 && !c.emptied[0].since.Add(c.cfg.Linger).After(now); i++ {
		if i == n {
			more = true
			break
		}
		gone := c.emptied[0]
		c.emptied[0] = deadline{}
		c.emptied = c.emptied[1:]
		if g := gone.group; g.empty.Equal(gone.since) && !g.running {
			c.remove(g)
		}
	}
	if !c.patient.IsZero() && !c.patient.After(now) {
		c.admitWaiting(now)
	}
	c.recent.forget(now, 256)
	return more
}

// checkBehind notes when the log has not been read for MaxStale, and when it is
// read again. Either way every group says so (W9).
func (c *core) checkBehind(now time.Time) {
	behind := now.Sub(c.read) >= c.cfg.MaxStale
	if behind == c.behind {
		return
	}
	c.behind = behind
	for _, g := range c.all {
		if !behind {
			c.forgive(now, g)
		}
		if g.shown() {
			c.publish(g)
		}
	}
	if behind {
		c.admitWaiting(now) // nothing comes that they could wait for
	}
}

// next returns when tick has something to do, if nothing else happens.
func (c *core) next() time.Time {
	next := c.read.Add(c.cfg.MaxStale)
	if c.behind {
		next = next.Add(time.Hour)
	}
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if len(c.agenda) > 0 {
		earlier(c.agenda[0].due)
	}
	if !c.patient.IsZero() {
		earlier(c.patient)
	}
	if len(c.overdue) > 0 {
		earlier(c.overdue[0].since.Add(c.cfg.MaxStale))
	}
	if len(c.emptied) > 0 {
		earlier(c.emptied[0].since.Add(c.cfg.Linger))
	}
	return next
}
