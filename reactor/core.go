package reactor

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// core is one tenant's state machine. It has no clock, no goroutine and does no
// I/O: every input brings the time, and outputs wait in out until the driver
// takes them.
//
// Invariants:
//
//  1. A group that is not dirty and not running has a result that saw every
//     applied change that concerns its read set.
//  2. A group's atoms are in the index exactly while it has a result.
//  3. While a group runs, changes mark it dirty as usual; the result that
//     arrives is checked against the recent changes that it did not see (F5), so
//     a mark is never lost and a needless one is taken back.
//  4. A group with joiners is dirty, running, or waits for a read of the log.
//  5. The cursor moves only after every change of the batch is applied and every
//     group that it concerns is marked. The mark that writers look at moves with
//     it: what they take for open then, is.
//  6. A decision that is not clean is listed in every group that it guards.
//
// Nothing here depends on the order of a map: equal inputs give equal outputs,
// or a failing simulation could not be run again.
type core struct {
	tenant string
	cfg    *Config // of the tenant
	rand   *rand.Rand

	groups map[Key]*group
	serial uint64         // of the newest group
	owners map[string]int // how many groups were made for a principal
	all    []*group       // the same groups; each knows its place
	index  *index
	recent *recent

	// Where the change log has been read to.
	epoch   Epoch
	cursor  Snapshot
	known   Stamp                 // of the cursor; zero while its history is not known
	applied atomic.Pointer[Stamp] // the same, for writers
	lasting Stamp                 // the newest that was known
	began   time.Time             // when the read began that brought the cursor here
	read    time.Time             // when it was applied, or when the core was made
	behind  bool                  // the log has not been read for MaxStale
	lost    time.Time             // when changes were lost last, definitions maybe among them
	// When a table was captured again last: what began to read before may have
	// missed changes of it, and nothing tells of them.
	captured time.Time

	batch *sorted // being applied, nil if none
	table int     // which of its tables is next
	at    int     // how many of the table's changes are applied
	fed   time.Time
	hits  hits // groups of the last of them, still to be marked

	// The schedule.
	agenda  agenda
	turns   uint64
	ready   lanes // due, waiting for a free slot
	waves   uint64
	overdue []deadline
	emptied []deadline
	waiting []*group  // groups whose joiners wait for a read of the log
	patient time.Time // until when the first of those joiners waits
	fenced  []*group  // groups whose results wait until the log is applied as far
	syncs   []*Sync   // whose transactions the log has not reached

	uncaptured map[uint32]string // tables whose changes do not reach the log, and why
	past       past              // the newest runs, for those who ask why

	subs    int
	account account
	held    bool      // groups wait for TenantExecutions
	begins  time.Time // when the next group may begin, see begin
	stats   coreStats
	out     outputs

	backlog backlog // the driver's: what the core has not been told
}

// hits are the groups that a change concerns. They are marked one by one, so
// that a change of a whole table does not keep the loop (F8).
type hits struct {
	groups []*group
	next   int
	cause  Cause
}

// outputs is what a core wants done. The driver takes it after each slice.
type outputs struct {
	published []*Publication
	ready     []*Subscription
	decided   []*Subscription
	synced    []*Sync
	runs      []Run
	applied   []time.Duration
	poke      bool
}

func newCore(tenant string, cfg *Config, now time.Time) *core {
	seed := cfg.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	c := &core{
		tenant: tenant, cfg: cfg, rand: rand.New(rand.NewPCG(seed, 0)),
		groups: map[Key]*group{}, owners: map[string]int{}, index: newIndex(),
		recent: newRecent(cfg.MaxRecent, cfg.RecentAge), began: now, read: now,
	}
	c.know(Stamp{})
	return c
}

// configure replaces the limits. What is over a new one stays until it goes by
// itself.
func (c *core) configure(cfg *Config) {
	c.cfg = cfg
	c.recent.limit, c.recent.age = cfg.MaxRecent, cfg.RecentAge
}

// know moves the point up to which the log is applied, and what writers see of
// it.
func (c *core) know(s Stamp) {
	c.known = s
	if !s.IsZero() {
		c.lasting = s
	}
	c.applied.Store(&s)
}

// adopt tells a new core where the log stands, so that it does not have to wait
// for the next batch.
func (c *core) adopt(b *sorted) {
	c.epoch, c.cursor, c.began = b.Epoch, b.Snapshot, b.Began
	c.know(NewStamp(c.epoch, c.cursor))
	c.recent.reset(b.Snapshot)
}

// subscribe adds a subscription: to its policies first, and when they allow, to
// the group of its key. Groups are made if need be. The answer is in out.ready,
// at once or later.
func (c *core) subscribe(now time.Time, s *Subscription) {
	c.subs++
	a := s.asking
	for i := range a.req.Policies {
		d, err := c.find(&a.req.Policies[i], a.req.Principal)
		if err != nil {
			c.refuse(now, s, err)
			return
		}
		if slices.Contains(a.guards, d) {
			continue
		}
		d.decides = true
		d.join()
		a.guards = append(a.guards, d)
	}
	if a.waits = len(a.guards); a.waits == 0 {
		c.allow(now, s, a.req.target())
		return
	}
	for _, d := range a.guards {
		c.enlist(now, d, s)
	}
}

// refuse makes a subscription ready that will never have a state.
func (c *core) refuse(now time.Time, s *Subscription, err error) {
	c.leave(now, s)
	s.err = err
	c.out.ready = append(c.out.ready, s)
}

// decide takes a subscription on when all its policies have answered. Only if
// they allow is there a group that it joins, and a function that runs.
func (c *core) decide(now time.Time, s *Subscription) {
	a := s.asking
	if a.unread {
		// F3: an answer was let pass because nobody could know it, which was all that
		// it said. If it says more by now, that may be older than s. Who has run since
		// s came is asked no more, so that this ends.
		stale := slices.DeleteFunc(slices.Clone(a.guards), func(d *group) bool { return c.fresh(d, s) })
		if a.waits = len(stale); a.waits > 0 {
			for _, d := range stale {
				c.enlist(now, d, s)
			}
			return
		}
	}
	answers := make([]Decision, len(a.guards))
	for i, d := range a.guards {
		answers[i] = d.pub.standing.Load().Decision
	}
	merged := MergeDecisions(answers...)
	c.out.decided = append(c.out.decided, s)
	if merged.Answer != Allow {
		var contradiction *Decision
		if merged.Answer == Deny && !slices.ContainsFunc(answers, func(d Decision) bool { return d.Answer != Allow }) {
			contradiction = &merged
		}
		s.fence = c.fence(nil, a.guards, contradiction)
		if merged.Answer == Deny {
			s.fence.denial = &merged
		}
		c.out.ready = append(c.out.ready, s)
		return
	}
	t, err := a.req.target(), error(nil)
	if a.req.Resolve != nil {
		t, err = a.req.Resolve(merged.Scope)
	}
	if err != nil {
		s.fence = c.fence(nil, a.guards, nil)
		s.fence.err = err
		c.out.ready = append(c.out.ready, s)
		return
	}
	c.allow(now, s, t)
}

// allow lets a subscription join the group of its target.
func (c *core) allow(now time.Time, s *Subscription, t Target) {
	g, err := c.find(&t, s.asking.req.Principal)
	if err != nil {
		c.refuse(now, s, err)
		return
	}
	g.join()
	s.fence = c.fence(g, s.asking.guards, nil)
	s.fence.subs++
	c.enlist(now, g, s)
}

// enlist lets a subscription wait for a group's state.
func (c *core) enlist(now time.Time, g *group, s *Subscription) {
	switch {
	case !g.answered && !g.running && !g.dirty:
		c.invalidate(now, g, Cause{Reason: First})
		if at := c.begin(now); at.After(now) && g.heap != 0 {
			c.stats.limits.FirstRuns++
			c.schedule(g, at)
		}
	case g.dark && g.clean() && !c.covers(g, s):
		c.invalidate(now, g, Cause{Reason: Resynced}) // no change will tell it to run
	case g.err != nil && !g.running && g.heap != 0:
		// Somebody asks: do not sit out the back-off, but keep to one a second.
		if soon := later(now, g.ranAt.Add(time.Second)); soon.Before(g.due) {
			c.schedule(g, soon)
		}
	}
	g.joiners = append(g.joiners, s)
	if !g.dirty && !g.running {
		c.out.poke = true // F3: clean is not enough, it must be clean now
	}
	c.admit(now, g)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// find returns the group of a key, made for a principal if need be.
func (c *core) find(t *Target, principal string) (*group, error) {
	if g := c.groups[t.Key]; g != nil {
		return g, nil
	}
	switch {
	case len(c.groups) >= c.cfg.MaxGroups:
		c.stats.limits.Groups++
		return nil, ErrTooManyGroups
	case principal != "" && c.cfg.PrincipalGroups > 0 && c.owners[principal] >= c.cfg.PrincipalGroups:
		c.stats.limits.PrincipalGroups++
		return nil, ErrPrincipalGroups
	}
	c.serial++
	g := &group{key: t.Key, name: t.Name, call: t.Call, waves: t.Waves, serial: c.serial, owner: principal}
	g.pub.Query = base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, c.rand.Uint64()))
	g.place = len(c.all)
	c.all = append(c.all, g)
	c.groups[g.key] = g
	if principal != "" {
		c.owners[principal]++
	}
	return g, nil
}

// join counts one more who listens.
func (g *group) join() {
	g.subs++
	g.empty = time.Time{}
}

// leave takes a subscription out. Its groups linger.
func (c *core) leave(now time.Time, s *Subscription) {
	if s.left {
		return
	}
	g, guards := s.group(), s.guards()
	s.left = true
	c.subs--
	if g != nil {
		if s.fence.subs--; s.fence.subs == 0 {
			c.drop(s.fence)
		}
		c.part(now, g, s)
	}
	for _, d := range guards {
		c.part(now, d, s)
	}
}

// part takes a subscription out of one group.
func (c *core) part(now time.Time, g *group, s *Subscription) {
	g.subs--
	g.joiners = without(g.joiners, s)
	if g.subs > 0 || g.running {
		return // what runs finishes first
	}
	if g.dirty {
		c.remove(g)
		return
	}
	g.empty = now
	c.emptied = append(c.emptied, deadline{g, now})
}

// remove forgets a group that nobody listens to.
func (c *core) remove(g *group) {
	if g.subs > 0 || len(g.watched) > 0 || len(g.fences) > 0 {
		panic("BUG: removing a group with subscribers")
	}
	c.index.remove(g)
	g.wakeAt = time.Time{}
	c.rest(g)
	defer c.sync(g) // when it is gone: nothing comes from it
	delete(c.groups, g.key)
	if g.owner != "" {
		if c.owners[g.owner]--; c.owners[g.owner] == 0 {
			delete(c.owners, g.owner)
		}
	}
	last := len(c.all) - 1
	c.all[g.place] = c.all[last]
	c.all[g.place].place = g.place
	c.all[last] = nil
	c.all = c.all[:last]
	g.key, g.reads, g.concerned, g.empty = "", ReadSet{}, time.Time{}, time.Time{}
}

// gone reports whether the group was removed.
func (g *group) gone() bool { return g.key == "" }
