package reactor

import "time"

// Stats is a moment's view of all tenants.
type Stats struct {
	Groups        int
	Subscriptions int
	Running       int // executions in flight
	Waves         int // read transactions in flight
	Waiting       int // dirty groups that are due and wait for a slot
	OldestDirty   time.Duration
	Atoms         int // registered in the index
	Recent        int // recent changes kept
	Behind        bool

	// Since the start.
	Batches    uint64
	Changes    uint64
	Executions uint64
	Same       uint64 // executions whose content was equal
	Failed     uint64
	Decisions  uint64 // executions of policies that answered
}

// coreStats counts since the start.
type coreStats struct {
	batches, changes, executions, same, failed, decisions uint64
}

// add puts a core's figures into s.
func (s *Stats) add(c *core, now time.Time) {
	s.Groups += len(c.groups)
	s.Subscriptions += c.subs
	s.Waiting += c.ready.len()
	if g := c.ready.oldest(); g != nil {
		s.OldestDirty = max(s.OldestDirty, now.Sub(g.since))
	}
	s.Atoms += c.index.count
	s.Recent += c.recent.size()
	s.Behind = s.Behind || c.behind
	s.Batches += c.stats.batches
	s.Changes += c.stats.changes
	s.Executions += c.stats.executions
	s.Same += c.stats.same
	s.Failed += c.stats.failed
	s.Decisions += c.stats.decisions
}
