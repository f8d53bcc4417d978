package reactor

import "time"

// group is one query group: all subscriptions with one key, their newest result
// and what it depends on. The core owns it.
//
// It is idle, queued, running, or running and dirty:
//
//	         invalidate            dispatch             finish
//	idle ───────────────► queued ───────────► running ─────────► idle
//	                        ▲                  │     ▲
//	                        │ finish           ▼     │ invalidate: marks, runs once more
//	                        └─────────── running, dirty
//
// Dirty is state, not an event (W1): it is set when a change concerns the group
// and cleared only by a result that saw the change. A failed run leaves it set.
type group struct {
	key    Key
	name   string
	call   any
	waves  bool
	pub    Publication
	place  int    // in core.all
	serial uint64 // no other group of the core has it
	owner  string // the principal that it was made for
	hit    uint64 // the last change that hit it, see index.hits

	// Who listens.
	subs    int             // subscriptions, joiners included
	joiners []*Subscription // not ready yet
	waiting bool            // is in core.waiting
	empty   time.Time       // since when nobody listens; zero while somebody does

	// The newest result: a frame, or a policy's decision.
	answered bool
	decides  bool // it is a policy's
	frame    *Frame
	decision Decision
	span     span // when the result is known to hold
	reads    ReadSet
	snapshot Snapshot
	plan     any
	postings []uint32 // where the index has its atoms

	// Coalescing.
	running   bool
	dirty     bool
	ready     bool      // is in core.ready: due, waits for a slot
	cause     Cause     // of the run to come
	since     time.Time // when it became dirty
	concerned time.Time // when a change first concerned it; zero: none waits
	late      bool      // concerned for MaxStale, and said so
	dark      bool      // it read a table that is not captured
	started   time.Time // dispatch of the last run
	wave      uint64    // which it was part of
	ranAt     time.Time // dispatch of the last run that has finished
	finished  Stamp     // of the newest result, at its snapshot
	changes   int       // changes since the last dispatch
	misses    int       // results in a row that were dirty at once (F5)
	cost      time.Duration
	runs      int           // that have ended
	spent     time.Duration // in all of them
	alone     bool          // too slow for a wave
	failures  int
	err       error // of the last run

	// The schedule: when to look at the group again. heap is its place in it
	// plus one; 0 means it is not there.
	due    time.Time
	turn   uint64 // breaks ties
	heap   int
	wakeAt time.Time // run again then, whether dirty or not; zero: never
	awake  Reason    // why, Woken or Swept

	// Before the results of a query: its fences, and the decisions that are not
	// clean. Of a policy: the groups that it guards.
	bare      *fence // without decisions
	fences    map[string]*fence
	holding   []*fence // those that hold a state
	fenced    Stamp    // the newest state waits until the log is applied so far
	unsettled []*watch
	decided   Stamp // where the span of a decision before it began last
	doubt     bool  // a fence may have kept the newest state back: the next one is news
	watches   map[*group]*watch
	watched   []*watch // the same, in order
	syncs     []*Sync  // wait for the next result
}

// invalidate marks the group dirty.
func (c *core) invalidate(now time.Time, g *group, cause Cause) {
	first := !g.dirty
	if first {
		g.dirty, g.since, g.cause = true, now, cause
		c.freeze(g)
	} else {
		g.cause.More++
	}
	g.changes++
	if (first || g.concerned.IsZero()) && cause.Reason != Swept && cause.Reason != Woken {
		// The first mark of a running group counts from now if the result that
		// comes did not see it, see accept.
		if g.concerned.IsZero() {
			g.concerned = now
		}
		c.overdue = append(c.overdue, deadline{g, now})
	}
	if g.subs == 0 && !g.running {
		// F12: a dirty group is never served from cache, and nobody waits.
		c.remove(g)
		return
	}
	if !g.running && !g.ready {
		c.schedule(g, c.dueTime(now, g))
	}
}

// dueTime decides when a dirty group may run. An idle group runs FirstDebounce
// after its change, which is at once if nobody asked for more. One
// that keeps changing waits for its own cost times the changes that came since
// its last run: with r changes a second and a cost of c this settles at
// c/(1-rc), which is next to nothing while the group keeps up and MaxDebounce
// when it does not, so that bursts collapse into one run.
func (c *core) dueTime(now time.Time, g *group) time.Time {
	if g.failures > 0 {
		return g.due // back-off, set by fail
	}
	wait := min(c.cfg.MaxDebounce, g.cost*time.Duration(1+min(g.changes, 1<<16)))
	if g.misses > 1 {
		// The result was late several times in a row: something outruns it.
		wait = max(wait, min(c.cfg.MaxDebounce, time.Millisecond<<min(g.misses, 12)))
	}
	due := later(now, g.started.Add(wait))
	if g.answered && g.cause.Reason == Changed {
		due = later(due, g.since.Add(c.cfg.FirstDebounce))
	}
	return due
}

// backoff is the wait after n failures in a row: 100 ms doubling to 30 s, then
// a quarter more or less, so that groups that failed together part.
func (c *core) backoff(n int) time.Duration {
	wait := min(30*time.Second, 100*time.Millisecond<<min(n-1, 10))
	return wait*3/4 + time.Duration(c.rand.Int64N(int64(wait)/2))
}

// forgive starts the back-off of a failing group again and lets it run soon:
// something happened that may have mended what made it fail.
func (c *core) forgive(now time.Time, g *group) {
	if g.failures == 0 || g.heap == 0 {
		return
	}
	g.failures = 1
	if soon := now.Add(time.Duration(c.rand.Int64N(int64(100 * time.Millisecond)))); soon.Before(g.due) {
		c.schedule(g, soon)
	}
}

// status says what can be said of the group's result now.
func (c *core) status(g *group) (Status, error) {
	switch {
	case g.err != nil && !g.answered:
		return Failed, g.err
	case g.err != nil:
		return Stale, g.err
	case c.behind:
		return Stale, ErrBehind
	case g.late:
		return Stale, ErrLate
	case g.dark:
		return Stale, ErrUncaptured
	}
	return Live, nil
}

// publish makes the group's state public, and tells the writers if there is
// something to show: another frame or another status (F10).
func (c *core) publish(g *group) {
	if g.decides {
		c.publishDecision(g)
		return
	}
	status, err := c.status(g)
	last := g.pub.State()
	st := g.pub.publish(State{Status: status, Frame: g.frame, At: g.finished, Err: err, span: g.span})
	c.release(g)
	if len(g.unsettled) > 0 && st.Frame != nil {
		c.hold(g, st)
	}
	if last == nil || last.Frame != g.frame || last.Status != status || g.doubt {
		c.out.published = append(c.out.published, &g.pub)
	}
	g.doubt = false
	if status != Live || len(g.fences) == 0 {
		return // of what is not fresh a fence tells at least that
	}
	g.doubt = !g.span.open || len(g.unsettled) > 0
	if until := g.decided.newer(g.finished); g.guarded() && !c.known.reaches(until) {
		c.wait(g, until)
	}
}

// freeze ends the span of a result that is concerned by something. It comes
// before the mark moves, or writers would take the result for fresh (F9).
func (c *core) freeze(g *group) {
	if g.span.open {
		g.span = g.span.frozen(c.lasting)
		g.pub.freeze(g.span)
		for _, f := range g.holding {
			f.freeze(g.span)
		}
	}
	g.unsettle()
}

// shown reports whether the group has said anything yet.
func (g *group) shown() bool { return g.pub.State() != nil || g.pub.standing.Load() != nil }

// together reports whether the group may run in a wave with others.
func (g *group) together() bool { return (g.waves || g.plan != nil) && !g.alone }
