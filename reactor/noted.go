package reactor

import (
	"slices"
	"time"
)

// The newest changes and runs are kept for those who ask why. Nothing is decided
// by them.
const (
	notedChanges = 16  // of each table that a group reads
	notedRows    = 8   // of each of these changes
	notedRuns    = 256 // of each tenant
)

// Noted is a change that was applied, as it is kept for those who ask.
type Noted struct {
	// Change has no more than the first few of its Keys. It shares nothing with
	// the batch that it came in.
	Change Change
	Rows   int // how many tuples it had
	At     time.Time
}

// noted is a ring of the newest changes of one table.
type noted struct {
	ring  []Noted
	count int // since the last reset
}

// add notes a change. What it keeps must not hold on to the batch: one ring
// would keep whole batches of changes alive.
func (n *noted) add(at time.Time, c *Change) {
	kept := Noted{Change: *c, Rows: len(c.Keys), At: at}
	if len(c.Keys) > notedRows {
		kept.Change.Keys = slices.Clone(c.Keys[:notedRows])
	}
	if len(n.ring) < notedChanges {
		n.ring = append(n.ring, kept)
	} else {
		n.ring[n.count%notedChanges] = kept
	}
	n.count++
}

// appendTo appends the changes, the newest first.
func (n *noted) appendTo(dst []Noted) []Noted {
	for i := range n.ring {
		dst = append(dst, n.ring[(n.count-1-i)%len(n.ring)])
	}
	return dst
}

// Past is an execution that has ended, as it is kept for those who ask.
type Past struct {
	At       time.Time // when it ended
	Reason   Reason
	Op       Op // of the first change that caused it; zero if none did
	Table    uint32
	XID      uint64
	More     int      // further changes that it took in
	Snapshot Snapshot // what it read
	Waited   time.Duration
	Cost     time.Duration
	Same     bool
	Size     int
	Version  Version // of a query's result; zero if it failed
	Answer   Answer  // of a policy
	Err      error

	Tenant, Name, Query string
	Subscribers         int

	serial uint64 // of the group
}

// past is a ring of the newest runs of a tenant.
type past struct {
	ring  []Past
	count int
}

func (p *past) add(run Past) {
	if len(p.ring) < notedRuns {
		p.ring = append(p.ring, run)
	} else {
		p.ring[p.count%notedRuns] = run
	}
	p.count++
}

// newest calls visit with each run, the newest first, until it returns false.
func (p *past) newest(visit func(*Past) bool) {
	for i := range p.ring {
		if !visit(&p.ring[(p.count-1-i)%len(p.ring)]) {
			return
		}
	}
}

// note keeps a finished run.
func (c *core) note(now time.Time, e *Execution, r *Result, run *Run) {
	p := Past{
		At: now, Reason: e.Cause.Reason, More: e.Cause.More, Snapshot: r.Snapshot, Waited: e.waited, Cost: r.Cost,
		Same: run.Same, Size: run.Size, Version: run.Version, Answer: run.Answer, Err: r.Err,
		Tenant: c.tenant, Name: run.Name, Query: run.Query, Subscribers: run.Subscribers, serial: e.group.serial,
	}
	if ch := e.Cause.Change; ch != nil {
		p.Op, p.Table, p.XID = ch.Op, ch.Table, ch.XID
	}
	c.past.add(p)
}
