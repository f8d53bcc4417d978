package reactor

import "time"

// Stats is a moment's view of all tenants. The tag help says what a figure means
// to an operator.
type Stats struct {
	Groups        int           `help:"Query groups and decisions that are kept."`
	Subscriptions int           `help:"Subscriptions of all sessions."`
	Running       int           `help:"Executions in flight."`
	Waves         int           `help:"Read transactions in flight."`
	Waiting       int           `help:"Dirty groups that are due and wait for a slot."`
	OldestDirty   time.Duration `help:"How long the oldest waiting group has waited."`
	Atoms         int           `help:"Parts of read sets in the index."`
	Recent        int           `help:"Recent changes that are kept."`
	Behind        bool          `help:"Whether the change log has not been read for max_stale, so that results are stale."`

	// Since the start.
	Batches    uint64 `help:"Batches of changes applied."`
	Changes    uint64 `help:"Changes applied."`
	Executions uint64 `help:"Executions that ended."`
	Same       uint64 `help:"Executions whose content was equal to the last."`
	Failed     uint64 `help:"Executions that failed."`
	Decisions  uint64 `help:"Executions of policies that answered."`
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
