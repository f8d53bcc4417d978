package reactor

import "time"

// feed takes a batch. It must be applied with step before the next one, unless
// that is a resync, which makes the rest of it needless.
func (c *core) feed(now time.Time, b *sorted) {
	c.batch, c.table, c.at, c.fed = b, -1, 0, now
	c.hits.cause = Cause{}
	c.stats.batches++
	if b.Resync || !c.epoch.Same(b.Epoch) || !b.Snapshot.Covers(c.cursor) {
		// Until the batch is applied nothing is known of its history.
		c.epoch, c.cursor, c.lost = b.Epoch, Snapshot{}, now
		c.know(Stamp{})
		c.recent.reset(b.Snapshot)
		c.recent.begin(now, b.Snapshot, b.Snapshot)
		c.hit(c.all, Cause{Reason: Resynced})
		return
	}
	c.recent.begin(now, c.cursor, b.Snapshot)
}

// step applies changes of the batch and marks groups, n in all, and reports
// whether more remain. After the last one the cursor moves: the order is dirty
// first, then known.
func (c *core) step(now time.Time, n int) bool {
	for ; n > 0; n-- {
		// The groups that one change hit are marked before the next is looked at.
		if !c.mark(now) && !c.apply() {
			break
		}
	}
	b := c.batch
	if c.table < len(b.tables) {
		return true
	}
	c.cursor, c.began, c.read, c.batch = b.Snapshot, b.Began, now, nil
	if c.cfg.Applied != nil && len(b.Changes) > 0 && !b.Began.IsZero() {
		c.out.applied = append(c.out.applied, now.Sub(b.Began))
	}
	c.know(NewStamp(c.epoch, c.cursor))
	c.checkBehind(now)
	c.passed()
	c.syncPassed()
	if c.lost.Equal(c.fed) {
		c.syncAll()
	}
	c.admitWaiting(now)
	return false
}

// apply notes the next change of the batch, and false if there is none:
// definitions first, then table by table.
func (c *core) apply() bool {
	b := c.batch
	changes := b.ddl
	if c.table >= 0 {
		if c.table == len(b.tables) {
			return false
		}
		t := &b.tables[c.table]
		changes = t.changes
		if c.at == 0 && !c.index.reads(t.table) {
			// Nobody's result reads it. One that comes is told by these, or that
			// they were many.
			c.stats.changes += uint64(len(changes))
			c.recent.skim(changes)
			c.table++
			return true
		}
	}
	if c.at == len(changes) {
		c.table, c.at = c.table+1, 0
		return true
	}
	ch := changes[c.at]
	c.at++
	c.stats.changes++
	c.recent.add(ch)
	if ch.Op == DDL {
		// One transaction often holds many of them. What applies after the first
		// is a result that came since; recent has told it.
		if cause := &c.hits.cause; cause.Reason != Defined || cause.Change.XID != ch.XID {
			c.hit(c.all, Cause{Reason: Defined, Change: ch})
		}
		return true
	}
	c.hits.cause = Cause{Reason: Changed, Change: ch}
	c.index.hits(ch, func(g *group) {
		if !g.snapshot.Visible(ch.XID) {
			c.hits.groups = append(c.hits.groups, g)
		}
	})
	return true
}

// hit notes groups to be marked.
func (c *core) hit(groups []*group, cause Cause) {
	c.hits.groups = append(c.hits.groups, groups...)
	c.hits.cause = cause
}

// mark makes one of the groups dirty that were hit, and reports whether there
// was one. Results may have come since it was hit: they are asked again.
func (c *core) mark(now time.Time) bool {
	h := &c.hits
	if h.next == len(h.groups) {
		clear(h.groups)
		h.groups, h.next = h.groups[:0], 0
		return false
	}
	g, cause := h.groups[h.next], h.cause
	h.next++
	switch {
	case g.gone():
	case cause.Reason == Resynced:
		c.resync(now, g)
	case cause.Reason == Defined:
		c.forgive(now, g)
		if xid := cause.Change.XID; g.answered && (!g.snapshot.Visible(xid) || !g.reads.Derived.Visible(xid)) {
			c.invalidate(now, g, cause)
		}
	case !g.snapshot.Visible(cause.Change.XID):
		c.invalidate(now, g, cause)
	}
	return true
}

// resync makes a group dirty because changes were lost, at some time in the next
// second so that not all groups ask the database at once. Whatever made runs
// fail is likely over too: the back-off starts again.
func (c *core) resync(now time.Time, g *group) {
	g.failures = min(g.failures, 1)
	// Since feed no span has been open: a writer that looked may have seen nothing
	// of what this freeze lets through.
	g.doubt = g.doubt || len(g.fences) > 0
	c.invalidate(now, g, Cause{Reason: Resynced})
	spread := min(time.Second, time.Duration(len(c.all))*100*time.Microsecond)
	if g.heap != 0 {
		c.schedule(g, now.Add(time.Duration(c.rand.Int64N(int64(spread)))))
	}
}
