package reactor

import "time"

// Sync waits until a transaction has reached what some subscriptions show: the
// change log is applied beyond it, and every group that it made dirty has run
// again, or failed. It is how a client is told that it reads its own writes.
type Sync struct {
	// Tx names the transaction: a stamp as TxStamp returns it.
	Tx Stamp
	// Subscriptions are those that are asked about. They must be ready, and of
	// one tenant.
	Subscriptions []*Subscription
	// Done is called once from the loop. It must not block.
	Done func()

	arrived time.Time
	waits   int
}

// TxStamp names a transaction of an epoch: the point at which it, and all that
// came before it, had committed.
func TxStamp(e Epoch, xid uint64) Stamp {
	return NewStamp(e, Snapshot{XMin: xid + 1, XMax: xid + 1})
}

// Await hands a Sync over. Who asks bounds how many there are.
func (r *Reactor) Await(tenant string, s *Sync) {
	s.arrived = r.cfg.Now()
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.inbox.syncs = append(r.inbox.syncs, tenantSync{tenant, s})
	}
	r.mu.Unlock()
	if closed {
		s.Done()
		return
	}
	r.signal()
}

// Saw reports whether what the subscription shows reflects a transaction. It may
// be called once the subscription is ready, from any goroutine.
func (s *Subscription) Saw(tx Stamp) bool {
	mark := *s.fence.mark.Load()
	st, shown := s.State()
	if !shown || st.Status == Moved {
		return false
	}
	if st.Number == 0 || st.Err != nil {
		return true // denied, or failed: it is told
	}
	return st.span.saw(mark, tx)
}

// saw reports whether the span reaches beyond a transaction. One of a history that
// is over is not waited for.
func (s *span) saw(mark, tx Stamp) bool {
	if !mark.IsZero() && mark.epoch != tx.epoch {
		return true
	}
	until := s.until(mark)
	return until.epoch == tx.epoch && until.snapshot.Visible(tx.snapshot.XMax-1)
}

// follow takes a Sync. Until the log is applied beyond the transaction nobody knows
// which groups it concerns.
func (c *core) follow(s *Sync) {
	c.syncs = append(c.syncs, s)
	c.out.poke = true
	c.syncPassed()
}

// syncPassed looks at the syncs whose transaction the log has reached.
func (c *core) syncPassed() {
	left := c.syncs[:0]
	for _, s := range c.syncs {
		reached := c.known.snapshot.Visible(s.Tx.snapshot.XMax - 1)
		if c.known.epoch != s.Tx.epoch {
			// One of the two histories is over. A read of the log that began later
			// tells which.
			reached = !c.known.IsZero() && !c.began.Before(s.arrived)
		}
		if !reached {
			c.out.poke = true
			left = append(left, s)
			continue
		}
		c.syncGroups(s)
	}
	clear(c.syncs[len(left):])
	c.syncs = left
}

// syncAll looks at everything again: a history may have ended.
func (c *core) syncAll() {
	for _, g := range c.all {
		c.sync(g)
	}
}

// syncGroups lets a sync wait for the groups that have not seen its transaction.
func (c *core) syncGroups(s *Sync) {
	for _, sub := range s.Subscriptions {
		groups := sub.guards()
		if g := sub.group(); g != nil {
			groups = append(groups[:len(groups):len(groups)], g)
		}
		for _, g := range groups {
			if !g.settled(c.known, s) {
				s.waits++
				g.syncs = append(g.syncs, s)
			}
		}
	}
	if s.waits == 0 {
		c.out.synced = append(c.out.synced, s)
	}
}

// settled reports whether there is nothing of the transaction to come from the
// group. A dark one says that it is stale, until it has run again.
func (g *group) settled(known Stamp, s *Sync) bool {
	return g.gone() || g.err != nil && !g.running || g.answered && (g.dark && g.clean() || g.span.saw(known, s.Tx))
}

// sync tells the syncs that wait for a group that it has run.
func (c *core) sync(g *group) {
	left := g.syncs[:0]
	for _, s := range g.syncs {
		if !g.settled(c.known, s) {
			left = append(left, s)
			continue
		}
		if s.waits--; s.waits == 0 {
			c.out.synced = append(c.out.synced, s)
		}
	}
	clear(g.syncs[len(left):])
	g.syncs = left
}
