package reactor

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
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
//     group that it concerns is marked.
//
// Nothing here depends on the order of a map: equal inputs give equal outputs,
// or a failing simulation could not be run again.
type core struct {
	tenant string
	cfg    *Config
	rand   *rand.Rand

	groups map[Key]*group
	all    []*group // the same groups; each knows its place
	index  *index
	recent *recent

	// Where the change log has been read to.
	epoch  Epoch
	cursor Snapshot
	known  Stamp     // of the cursor; zero while its history is not known
	began  time.Time // when the read began that brought the cursor here
	read   time.Time // when it was applied, or when the core was made
	behind bool      // the log has not been read for MaxStale
	lost   time.Time // when changes were lost last, definitions maybe among them

	batch *Batch // being applied, nil if none
	at    int    // how many of its changes are applied
	hits  hits   // groups of the last of them, still to be marked

	// The schedule.
	agenda  agenda
	turns   uint64
	ready   []*group // due, waiting for a free slot
	overdue []deadline
	emptied []deadline
	waiting []*group  // groups whose joiners wait for a read of the log
	patient time.Time // until when the first of those joiners waits

	uncaptured map[uint32]string // tables whose changes do not reach the log, and why

	subs  int
	stats coreStats
	out   outputs
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
	runs      []Run
	poke      bool
}

func newCore(tenant string, cfg *Config, now time.Time) *core {
	seed := cfg.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	return &core{
		tenant: tenant, cfg: cfg, rand: rand.New(rand.NewPCG(seed, 0)),
		groups: map[Key]*group{}, index: newIndex(),
		recent: newRecent(cfg.MaxRecent, cfg.RecentAge), began: now, read: now,
	}
}

// adopt tells a new core where the log stands, so that it does not have to wait
// for the next batch.
func (c *core) adopt(b *Batch) {
	c.epoch, c.cursor, c.began = b.Epoch, b.Snapshot, b.Began
	c.known = NewStamp(c.epoch, c.cursor)
	c.recent.reset(b.Snapshot)
}

// subscribe adds a subscription to the group of its key, made if need be. The
// answer is in out.ready, at once or later.
func (c *core) subscribe(now time.Time, s *Subscription) {
	g := c.groups[s.req.Key]
	if g == nil {
		if len(c.groups) >= c.cfg.MaxGroups {
			s.err = ErrTooManyGroups
			c.out.ready = append(c.out.ready, s)
			return
		}
		g = c.newGroup(s)
	}
	g.subs++
	c.subs++
	g.empty = time.Time{}
	s.group, s.pub = g, &g.pub
	switch {
	case g.frame == nil && !g.running && !g.dirty:
		c.invalidate(now, g, Cause{Reason: First})
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

func (c *core) newGroup(s *Subscription) *group {
	g := &group{key: s.req.Key, name: s.req.Name, call: s.req.Call, waves: s.req.Waves}
	g.pub.Query = base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, c.rand.Uint64()))
	g.place = len(c.all)
	c.all = append(c.all, g)
	c.groups[g.key] = g
	return g
}

// leave takes a subscription out. The group lingers.
func (c *core) leave(now time.Time, s *Subscription) {
	g := s.group
	if g == nil {
		return
	}
	s.group = nil
	g.subs--
	c.subs--
	for i, j := range g.joiners {
		if j == s {
			g.joiners = append(g.joiners[:i], g.joiners[i+1:]...)
			break
		}
	}
	if g.subs > 0 {
		return
	}
	if g.dirty && !g.running {
		c.remove(g)
		return
	}
	g.empty = now
	c.emptied = append(c.emptied, deadline{g, now})
}

// remove forgets a group that nobody listens to.
func (c *core) remove(g *group) {
	if g.subs > 0 {
		panic("BUG: removing a group with subscribers")
	}
	c.index.remove(g)
	g.wakeAt = time.Time{}
	c.rest(g)
	delete(c.groups, g.key)
	last := len(c.all) - 1
	c.all[g.place] = c.all[last]
	c.all[g.place].place = g.place
	c.all[last] = nil
	c.all = c.all[:last]
	g.key, g.reads, g.concerned, g.empty = "", ReadSet{}, time.Time{}, time.Time{}
}

// gone reports whether the group was removed.
func (g *group) gone() bool { return g.key == "" }
