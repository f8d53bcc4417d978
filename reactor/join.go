package reactor

import "time"

// clean reports whether the group's result is the newest, as far as the change
// log is applied.
func (g *group) clean() bool { return g.answered && !g.dirty && !g.running }

// covers reports whether the group's result is at least as new as what the
// client of s was shown (F6): it was read later, or nothing has concerned it
// since, which of a dark one nobody knows.
func (c *core) covers(g *group, s *Subscription) bool {
	at := s.asking.req.At
	switch {
	case g.decides, !g.answered:
		return true
	case !at.IsZero() && c.epoch != "" && g.finished.epoch != at.epoch && g.finished.epoch != NewStamp(c.epoch, at.snapshot).epoch:
		return false // the result is of a history that is over, and the client may have seen a later one (C4)
	}
	return g.finished.Covers(at) || g.clean() && !g.dark && !c.known.IsZero() && c.known.Covers(at)
}

// fresh reports whether the group's state may be shown to a joiner: it was read
// after the joiner came (F3), and is not older than what the client was shown. A
// failed run is shown too, and so is a result that says that the log cannot be
// read (W9). Decisions must let it through (W5).
func (c *core) fresh(g *group, s *Subscription) bool {
	ran := !g.ranAt.Before(s.asking.arrived)
	if !g.answered {
		return ran && g.err != nil
	}
	known := g.clean() && (c.behind || !c.began.Before(s.asking.arrived))
	if !ran && !known || !c.covers(g, s) {
		return false
	}
	if g.decides {
		return true
	}
	st, shown := s.fence.State()
	return shown && (st.Number == 0 || st.Number == g.pub.State().Number)
}

// unknown reports whether the group is a policy's that has decided nothing that can
// be used.
func (g *group) unknown() bool { return g.decides && g.pub.standing.Load().Answer == Unknown }

// admit makes ready the joiners whose wait is over.
func (c *core) admit(now time.Time, g *group) {
	var ready []*Subscription
	left := g.joiners[:0]
	for _, s := range g.joiners {
		switch {
		case c.fresh(g, s):
			s.asking.unread = s.asking.unread || c.behind || g.unknown()
			ready = append(ready, s)
		case g.resting() && !now.Before(s.asking.arrived.Add(c.cfg.MaxStale)) && !c.covers(g, s):
			// So long, and still not what the client was shown.
			s.err = ErrAhead
			c.out.ready = append(c.out.ready, s)
		default:
			left = append(left, s)
		}
	}
	clear(g.joiners[len(left):])
	if g.joiners = left; len(left) == 0 {
		g.joiners = nil // a herd's list is not kept
	}
	c.await(now, g)
	for _, s := range ready {
		if !g.decides {
			s.number = g.pub.State().Number
			c.out.ready = append(c.out.ready, s)
		} else if s.asking.waits--; s.asking.waits == 0 {
			c.decide(now, s)
		}
	}
}

// resting reports whether nothing but a read of the log, or the end of a
// back-off, will bring the group another state.
func (g *group) resting() bool { return !g.running && (!g.dirty || g.err != nil) }

// await lets the joiners of a resting group wait for a read of the log, but not
// for ever.
func (c *core) await(now time.Time, g *group) {
	if len(g.joiners) == 0 || !g.resting() {
		return
	}
	if !g.waiting {
		g.waiting = true
		c.waiting = append(c.waiting, g)
	}
	for _, s := range g.joiners {
		end := s.asking.arrived.Add(c.cfg.MaxStale)
		if !end.After(now) {
			continue // it waits for a run, not for the log
		}
		if c.patient.IsZero() || end.Before(c.patient) {
			c.patient = end
		}
		break // the others came later
	}
}

// admitWaiting looks at the joiners who wait for a read of the log.
func (c *core) admitWaiting(now time.Time) {
	groups := c.waiting
	c.waiting, c.patient = nil, time.Time{}
	for _, g := range groups {
		g.waiting = false
		if !g.gone() {
			c.admit(now, g)
		}
	}
}
