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

	Tenants map[string]TenantStats // by name; no metrics of this room

	// Since the start.
	Batches    uint64 `help:"Batches of changes applied."`
	Changes    uint64 `help:"Changes applied."`
	Executions uint64 `help:"Executions that ended."`
	Same       uint64 `help:"Executions whose content was equal to the last."`
	Failed     uint64 `help:"Executions that failed."`
	Decisions  uint64 `help:"Executions of policies that answered."`
}

// TenantStats is a moment's view of one tenant.
type TenantStats struct {
	Groups, Subscriptions, Waiting int
	// Cost is the time that its executions took, since the start.
	Cost time.Duration
	// Executions ended, since the start.
	Executions uint64
	Limits     LimitStats
}

// LimitStats counts how often a tenant reached a limit, since the start.
type LimitStats struct {
	Executions      uint64 // groups began to wait because TenantExecutions are in flight
	FirstRuns       uint64 // new groups that waited
	Groups          uint64 // subscriptions refused
	PrincipalGroups uint64 // subscriptions refused
}

// coreStats counts since the start.
type coreStats struct {
	batches, changes, executions, same, failed, decisions uint64

	cost   time.Duration
	limits LimitStats
}

// tenantStats are a core's figures.
func (c *core) tenantStats() TenantStats {
	return TenantStats{
		Groups: len(c.groups), Subscriptions: c.subs, Waiting: c.ready.len(),
		Cost: c.stats.cost, Executions: c.stats.executions, Limits: c.stats.limits,
	}
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
