package reactor

import "time"

// finish takes the result of an execution.
func (c *core) finish(now time.Time, e *Execution, r Result) {
	g := e.group
	if r.Err != nil && r.Alone && !g.alone {
		c.isolate(now, g, e, &r)
		return
	}
	g.running, g.ranAt = false, e.begun
	c.check(g, &r)
	c.report(now, e, &r)
	if r.Err != nil {
		c.fail(now, g, e, r.Err)
	} else {
		before := g.span
		// A policy returns to the waves: only there it is read at the snapshot of the
		// results that it guards, and they would starve behind it while both are hot.
		g.alone = r.Alone && !g.decides
		c.accept(now, g, r)
		if g.decides && !g.gone() {
			c.settle(now, g, before)
		}
	}
	if g.gone() {
		return
	}
	c.sync(g)
	c.admit(now, g)
	if g.gone() {
		return // the last of those who waited was refused
	}
	if len(g.joiners) > 0 && !g.dirty {
		c.out.poke = true // they came while it ran
	}
	if g.subs == 0 {
		g.empty = now
		c.emptied = append(c.emptied, deadline{g, now})
	}
}

// check refuses a result that cannot be compared with what is known.
func (c *core) check(g *group, r *Result) {
	if r.Err != nil {
		return
	}
	if c.epoch != "" && !c.epoch.Same(r.Epoch) {
		// C4: the run read another history than the log. What it saw cannot be
		// compared with changes until the reader of the log arrives there.
		r.Err = ErrEpoch
		c.out.poke = true
	}
	if !NewStamp(r.Epoch, r.Snapshot).Covers(g.finished) {
		r.Err = ErrEpoch // W2: a server that is behind; never shown
	}
}

// accept makes a result the group's newest. It is shown even if the group is
// dirty again, or a hot group would never be shown (F2).
func (c *core) accept(now time.Time, g *group, r Result) {
	c.index.move(g, r.Reads.Atoms)
	g.reads.Derived = r.Reads.Derived
	g.snapshot, g.plan = r.Snapshot, r.Plan
	if g.reads.Derived.IsZero() {
		g.reads.Derived = r.Snapshot
	}
	g.dark = c.reaches(g)
	g.finished = NewStamp(r.Epoch, r.Snapshot)
	if g.decides {
		c.judge(g, *r.Decision)
	} else {
		if !g.answered || g.frame.Version != r.Frame.Version {
			g.frame = r.Frame
		}
		g.answered, g.span = true, span{from: g.finished, to: g.finished}
	}
	g.failures, g.err = 0, nil
	g.cost = (3*g.cost + r.Cost) / 4
	g.concerned, g.late = time.Time{}, false
	g.wakeAt, g.awake = c.wake(now, r.WakeAt)

	// Marks made while it ran say little: the result's snapshot says it all.
	marked, since := g.dirty, g.since
	g.dirty = false
	ch, missed := c.recent.missed(&g.reads, g.snapshot)
	if missed || g.ranAt.Before(c.lost) || g.ranAt.Before(c.captured) {
		// R4: a run from before changes were lost may have used a read set from
		// before a definition that was lost with them.
		g.misses++
		c.invalidate(now, g, Cause{Reason: Late, Change: ch})
		if g.gone() {
			return
		}
		if marked {
			// It has waited since then, and may have waited too long.
			g.since, g.concerned = since, since
			g.late = !now.Before(since.Add(c.cfg.MaxStale))
		}
	} else {
		g.misses = 0
		g.span.open = !g.dark // nobody tells when a dark one ends to hold
		c.rest(g)
	}
	c.publish(g)
}

// guarded reports whether a decision that a commit can change stands before the
// group's results.
func (g *group) guarded() bool {
	for _, f := range g.fences {
		for _, d := range f.guards {
			if !d.timeless() {
				return true
			}
		}
	}
	return false
}

// wake decides when a clean group runs again by itself: when the function asked
// for it, but at least a second from now (D9), or at the sweep's turn.
func (c *core) wake(now, asked time.Time) (time.Time, Reason) {
	var at time.Time
	why := Swept
	if c.cfg.Resync > 0 {
		at = now.Add(c.cfg.Resync*3/4 + time.Duration(c.rand.Int64N(int64(c.cfg.Resync)/2)))
	}
	if !asked.IsZero() && (at.IsZero() || asked.Before(at)) {
		at, why = asked, Woken
		if soonest := now.Add(time.Second); at.Before(soonest) {
			at = soonest
		}
	}
	return at, why
}

// fail leaves the group dirty, with back-off. It says that it is stale: an
// error that nobody is told of is a lost update (W9).
func (c *core) fail(now time.Time, g *group, e *Execution, err error) {
	g.failures++
	g.err = err
	wait := c.backoff(g.failures)
	if err == ErrEpoch && g.failures == 1 {
		wait = min(wait, 50*time.Millisecond) // the log is about to arrive there
	}
	if g.subs == 0 {
		c.remove(g)
		return
	}
	if !g.dirty {
		g.dirty, g.since = true, now
		c.freeze(g)
	}
	g.cause = Cause{Reason: Retried, Change: e.Cause.Change, More: e.Cause.More}
	c.schedule(g, now.Add(wait))
	c.publish(g)
}

// isolate takes a group out of a wave that was given up and lets it run at once,
// by itself. It has not failed, because what held up the wave was most likely
// another, and it has not run: joiners go on waiting (F3).
func (c *core) isolate(now time.Time, g *group, e *Execution, r *Result) {
	c.report(now, e, r)
	g.running, g.alone = false, true
	if g.subs == 0 {
		c.remove(g)
		return
	}
	if !g.dirty {
		g.dirty = true
		c.freeze(g)
	}
	g.since, g.cause = e.begun.Add(-e.waited), e.Cause
	c.schedule(g, now)
}

// report notes a finished run.
func (c *core) report(now time.Time, e *Execution, r *Result) {
	g := e.group
	c.stats.executions++
	g.runs, g.spent = g.runs+1, g.spent+r.Cost
	run := Run{
		Tenant: c.tenant, Policy: g.decides, Name: g.name, Query: g.pub.Query, Cause: e.Cause, Subscribers: g.subs,
		Cost: r.Cost, Waited: e.waited, Err: r.Err,
	}
	if !e.ended.IsZero() {
		run.Held = now.Sub(e.ended)
	}
	switch {
	case r.Err != nil:
		c.stats.failed++
	case g.decides:
		c.stats.decisions++
		run.Answer, run.Reason = r.Decision.Answer, r.Decision.Reason
		run.Same = g.answered && g.decision.Answer == r.Decision.Answer && g.decision.Scope.text() == r.Decision.Scope.text()
	default:
		run.Same = g.answered && g.frame.Version == r.Frame.Version
		run.Size, run.Version = r.Frame.Size(), r.Frame.Version
		if run.Same {
			c.stats.same++
		}
	}
	c.note(now, e, r, &run)
	if c.cfg.Observe != nil {
		c.out.runs = append(c.out.runs, run)
	}
}
