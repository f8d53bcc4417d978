package reactor

import (
	"cmp"
	"slices"
	"time"
)

// Report is what is known of one request's result at a moment.
type Report struct {
	At time.Time // when the core was asked; zero: nobody of the tenant is subscribed

	// The change log as the core knows it.
	Applied Snapshot  // it is applied up to here
	Began   time.Time // when the read of the log began that led there
	Read    time.Time // when it was applied; of a core that has read nothing, when it was made
	Behind  bool      // it has not been read for MaxStale
	Lost    time.Time // when changes were lost last, so that everything ran again; zero: never

	// Decisions are those of the request's policies, in its order.
	Decisions []DecisionReport
	// Answer is what they say together; Allow without policies.
	Answer Answer
	// Undecided says why no group can be told although they allow: their scope is
	// of no use to the function.
	Undecided error

	// Group is nil if nobody is subscribed to that result.
	Group *GroupReport
	Reads ReadSet
	// Changes are the newest ones of the tables that the result read, and of those
	// that its decisions read; per table the newest first.
	Changes []Noted
	// Defined is the newest change of definitions; nil if none is kept.
	Defined *Noted
	// Runs are the group's, the newest first.
	Runs []Past
	// Uncaptured are those of the tables read whose changes do not reach the log.
	Uncaptured map[uint32]string

	// Held says that the newest result is kept back from this request's
	// subscribers, and By which policies stand before it.
	Held bool
	By   []string
	// Publication is the group's; nil without a group.
	Publication *Publication
}

// DecisionReport is one policy's answer.
type DecisionReport struct {
	Name   string
	Known  bool // there is such a group, and it has answered
	Answer Answer
	Reason string
	Err    error // why the answer is unknown
	Group  GroupReport
	Reads  ReadSet
}

// GroupReport is what is known of one group.
type GroupReport struct {
	Tenant, Name, Query string
	Call                any // Target.Call

	Policy        bool
	Subscriptions int // those who wait for a state included
	Joining       int // those who wait
	Running       bool
	Dirty         bool
	Status        Status
	Err           error // why it is not Live
	Answered      bool
	Version       Version // of a query's newest result
	Size          int     // of it in bytes
	Answer        Answer  // of a policy
	Snapshot      Snapshot
	Derived       Snapshot // what the read set was derived from
	Atoms         int

	Since   time.Time // since when it is dirty
	Due     time.Time // when it may run, or wakes; zero: nothing is planned
	Ready   bool      // it is due and waits for a slot
	Started time.Time // the newest dispatch
	RanAt   time.Time // dispatch of the newest run that has ended
	Cost    time.Duration
	Spent   time.Duration // in all its runs
	Runs    int
	// Failures are those in a row.
	Failures int
	Alone    bool // it does not share a read transaction, because it is slow
	Changes  int  // since the newest dispatch
}

// brief tells of one group.
func (c *core) brief(g *group) GroupReport {
	r := GroupReport{
		Tenant: c.tenant, Name: g.name, Query: g.pub.Query, Call: g.call, Policy: g.decides,
		Subscriptions: g.subs, Joining: len(g.joiners), Running: g.running, Dirty: g.dirty, Answered: g.answered,
		Answer: g.decision.Answer, Snapshot: g.snapshot, Derived: g.reads.Derived, Atoms: len(g.reads.Atoms),
		Ready: g.ready, Started: g.started, RanAt: g.ranAt, Cost: g.cost, Spent: g.spent, Runs: g.runs,
		Failures: g.failures, Alone: g.alone, Changes: g.changes,
	}
	r.Status, r.Err = c.status(g)
	if g.frame != nil {
		r.Version, r.Size = g.frame.Version, g.frame.Size()
	}
	if g.dirty {
		r.Since = g.since
	}
	if g.heap != 0 {
		r.Due = g.due
	}
	return r
}

// tell makes a report. It copies what outlives the slice and compares nothing:
// that is done by who asked.
func (c *core) tell(now time.Time, req *Request, r *Report) {
	c.tellLog(now, r)
	guards := c.tellDecisions(req, r)
	t := req.target()
	if req.Resolve != nil {
		t.Key = ""
		if r.Answer == Allow {
			answers := make([]Decision, len(guards))
			for i, d := range guards {
				answers[i] = d.pub.standing.Load().Decision
			}
			if t, r.Undecided = req.Resolve(MergeDecisions(answers...).Scope); r.Undecided != nil {
				t.Key = ""
			}
		}
	}
	if g := c.groups[t.Key]; g != nil {
		c.tellResult(g, r)
		c.tellFence(g, guards, r)
	}
	c.tellChanges(r)
}

// maxFences bounds how many sets of decisions are looked at before one group.
const maxFences = 64

// tellGroup makes the report of a group, whoever watches it.
func (c *core) tellGroup(now time.Time, g *group, r *Report) {
	c.tellLog(now, r)
	c.tellResult(g, r)
	for _, w := range g.decisions() {
		r.Decisions = append(r.Decisions, c.decision(w.name, w))
	}
	left := maxFences
	for _, f := range g.holding {
		if left--; left == 0 {
			break
		}
		c.tellFence(g, f.guards, r)
	}
	c.tellChanges(r)
}

// decisions returns the policies of some of the fences before g.
func (g *group) decisions() (list []*group) {
	left := maxFences
	for _, f := range g.fences {
		for _, d := range f.guards {
			if !slices.Contains(list, d) {
				list = append(list, d)
			}
		}
		if left--; left == 0 || len(list) >= notedChanges {
			break
		}
	}
	slices.SortFunc(list, func(a, b *group) int { return cmp.Compare(a.serial, b.serial) })
	return list
}

func (c *core) tellLog(now time.Time, r *Report) {
	r.At, r.Applied, r.Began, r.Read, r.Behind, r.Lost = now, c.cursor, c.began, c.read, c.behind, c.lost
	r.Answer = Allow
}

// tellResult tells of the group itself and of its runs.
func (c *core) tellResult(g *group, r *Report) {
	brief := c.brief(g)
	r.Group, r.Reads, r.Publication = &brief, g.reads, &g.pub
	c.past.newest(func(p *Past) bool {
		if p.serial == g.serial {
			r.Runs = append(r.Runs, *p)
		}
		return len(r.Runs) < notedChanges
	})
}

func (c *core) decision(name string, g *group) DecisionReport {
	d := DecisionReport{Name: name, Group: c.brief(g), Reads: g.reads}
	if s := g.pub.standing.Load(); s != nil {
		d.Known, d.Answer, d.Reason, d.Err = true, s.Answer, s.Reason, s.err
	}
	return d
}

// tellDecisions tells of the policies and returns their groups, nil if one has
// not answered.
func (c *core) tellDecisions(req *Request, r *Report) []*group {
	var guards []*group
	var answers []Decision
	for i := range req.Policies {
		p := &req.Policies[i]
		d := DecisionReport{Name: p.Name}
		if g := c.groups[p.Key]; g != nil {
			if d = c.decision(p.Name, g); d.Known {
				guards = append(guards, g)
			}
		}
		answers = append(answers, Decision{Answer: d.Answer, Policy: d.Name, Reason: d.Reason})
		r.Decisions = append(r.Decisions, d)
	}
	if len(answers) > 0 {
		r.Answer = MergeDecisions(answers...).Answer
	}
	if len(guards) < len(req.Policies) {
		return nil
	}
	return guards
}

// tellFence says whether the newest result passes the decisions, and which of
// them it waits for.
func (c *core) tellFence(g *group, guards []*group, r *Report) {
	newest := g.pub.State()
	if newest == nil || newest.Frame == nil || r.Answer != Allow {
		return
	}
	mark := *c.applied.Load()
	f := fence{result: &g.pub, mark: &c.applied}
	for _, d := range guards {
		f.decisions = append(f.decisions, &d.pub)
	}
	if f.passes(newest, mark) {
		return
	}
	r.Held = true
	for _, d := range guards {
		if s := d.pub.standing.Load(); !s.timeless && !(d.clean() && s.span.meets(&newest.span, mark)) && !slices.Contains(r.By, d.name) {
			r.By = append(r.By, d.name)
		}
	}
}

// tellChanges tells of the newest changes of all tables that were read.
func (c *core) tellChanges(r *Report) {
	seen := map[uint32]bool{}
	table := func(oid uint32) {
		if seen[oid] {
			return
		}
		seen[oid] = true
		if t := c.recent.tables[oid]; t != nil {
			r.Changes = t.noted.appendTo(r.Changes)
		}
		if why, dark := c.uncaptured[oid]; dark {
			if r.Uncaptured == nil {
				r.Uncaptured = map[uint32]string{}
			}
			r.Uncaptured[oid] = why
		}
	}
	for i := range r.Reads.Atoms {
		table(r.Reads.Atoms[i].Table)
	}
	for i := range r.Decisions {
		for j := range r.Decisions[i].Reads.Atoms {
			table(r.Decisions[i].Reads.Atoms[j].Table)
		}
	}
	if d := &c.recent.ddl; d.mark != nil {
		r.Defined = &Noted{Change: *d.changes[len(d.changes)-1], At: d.mark.at}
	}
}
