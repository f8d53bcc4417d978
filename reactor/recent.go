package reactor

import (
	"cmp"
	"hash/maphash"
	"slices"
	"time"
)

// recent remembers which (table, column, value) was touched last, and by what.
// A result that arrives is looked up by its read set: a change that it did not
// see and that concerns it makes the group dirty at once (F5). This closes the
// race between a run that reads and a commit that is applied meanwhile, without
// a lock and without scanning the kept changes.
//
// The core owns it.
type recent struct {
	tables map[uint32]*recentTable
	ddl    definitions
	mark   *mark // the batch being applied

	// floor is where the log was last taken up. A result that does not cover it
	// may have missed something.
	floor Snapshot

	seed  maphash.Seed
	order []touchKey // in the order of touching; the head is forgotten first
	head  int
	limit int
	age   time.Duration
}

// mark is one batch: what became visible after prev, up to snapshot.
type mark struct {
	snapshot, prev Snapshot
	at             time.Time
}

// touch is the newest batch that touched something, with its changes. Most have
// one: it needs no list.
type touch struct {
	mark  *mark
	first *Change
	more  []*Change // at most maxTouch; at that many they are not all known
}

// maxTouch bounds the changes that are compared with an arriving result, so that
// a flood on one table cannot stall the loop.
const maxTouch = 32

// definitions is the newest batch with DDL: one change of each transaction, in
// the order of their numbers. All are kept: a read set that saw them must be
// known to have, or its group would run for ever.
type definitions struct {
	mark    *mark
	changes []*Change
}

// recentTable is never dropped: there are few tables, and its floor must stay.
type recentTable struct {
	// floor is the newest snapshot of which changes of this table were
	// forgotten. A flood on one table is no concern of those who read another.
	floor Snapshot
	any   touch // every change of the table
	whole touch // changes that may have touched any value of any column
	// columns are those that recent tuples carry. A tuple that lacks one of
	// them counts as whole (C7).
	columns Columns
	width   int // how many they are
	// values are by hash of column and value: two that meet only make a touch
	// look wider than it is.
	values map[uint64]touch
}

// touchKey names an entry for forgetting. Hash 0 stands for the table.
type touchKey struct {
	hash  uint64
	mark  *mark
	table uint32
}

func newRecent(limit int, age time.Duration) *recent {
	return &recent{seed: maphash.MakeSeed(), tables: map[uint32]*recentTable{}, limit: limit, age: age}
}

// reset forgets everything; what is older than floor is unknown from now on.
func (r *recent) reset(floor Snapshot) {
	r.tables = map[uint32]*recentTable{}
	r.ddl, r.mark = definitions{}, nil
	r.order, r.head = nil, 0
	r.floor = floor
}

// begin starts a batch that leads from the snapshot prev to snapshot.
func (r *recent) begin(now time.Time, prev, snapshot Snapshot) {
	r.mark = &mark{snapshot: snapshot, prev: prev, at: now}
}

// add records a change of the batch.
func (r *recent) add(c *Change) {
	if c.Op == DDL {
		r.ddl.add(r.mark, c)
		return
	}
	t := r.table(c.Table)
	t.any.add(r.mark, c)
	if c.Keys == nil {
		t.whole.add(r.mark, c)
		return
	}
	for _, row := range c.Keys {
		r.addRow(t, c, row)
	}
}

// skim records changes of one table without their values: as many of them as can
// be compared with an arriving result, or that there were more.
func (r *recent) skim(changes []*Change) {
	t := r.table(changes[0].Table)
	for _, c := range changes[:min(len(changes), maxTouch+1)] {
		t.any.add(r.mark, c)
		t.whole.add(r.mark, c)
	}
}

// table returns what is kept of a table, with a touch of the batch to be
// forgotten.
func (r *recent) table(oid uint32) *recentTable {
	t := r.tables[oid]
	if t == nil {
		t = &recentTable{columns: NewColumns(), values: map[uint64]touch{}}
		r.tables[oid] = t
	}
	if t.any.mark != r.mark {
		r.remember(touchKey{table: oid, mark: r.mark})
	}
	return t
}

func (r *recent) addRow(t *recentTable, c *Change, row Tuple) {
	for _, d := range row {
		if !t.columns.Has(d.Column) {
			// A newly watched column: what came before lacks it.
			t.columns, t.width = t.columns.With(d.Column), t.width+1
			t.whole = t.any
			t.whole.more = slices.Clip(t.any.more) // both grow from here
		}
	}
	if len(row) < t.width {
		t.whole.add(r.mark, c)
		return
	}
	for _, d := range row {
		if d.Null {
			continue // no equality meets NULL
		}
		h := r.hash(d.Column, d.Value)
		entry := t.values[h]
		if entry.mark != r.mark {
			r.remember(touchKey{table: c.Table, hash: h, mark: r.mark})
		}
		entry.add(r.mark, c)
		t.values[h] = entry
	}
}

func (r *recent) hash(column uint16, v Value) uint64 {
	return (maphash.String(r.seed, string(v)) ^ uint64(column)*0x9E3779B97F4A7C15) | 1
}

func (t *touch) add(m *mark, c *Change) {
	n := len(t.more)
	switch {
	case t.mark != m:
		t.mark, t.first, t.more = m, c, nil
	case n == 0 && t.first != c, n > 0 && n < maxTouch && t.more[n-1] != c:
		t.more = append(t.more, c)
	}
}

func (r *recent) remember(key touchKey) { r.order = append(r.order, key) }

// size returns how many touches are kept.
func (r *recent) size() int { return len(r.order) - r.head }

// forget drops what is over the limit, and at most n entries that are too old, so
// that the loop's slice stays short. What is over the limit was added since the
// last call: it costs no more than adding it did.
func (r *recent) forget(now time.Time, n int) {
	for r.head < len(r.order) {
		key := r.order[r.head]
		if r.size() <= r.limit {
			if n == 0 || now.Sub(key.mark.at) < r.age {
				break
			}
			n--
		}
		r.order[r.head] = touchKey{}
		r.head++
		r.drop(key)
	}
	if r.head > 1024 && r.head*2 > len(r.order) {
		r.order = append([]touchKey(nil), r.order[r.head:]...)
		r.head = 0
	}
}

func (r *recent) drop(key touchKey) {
	t := r.tables[key.table]
	t.floor = key.mark.snapshot
	if key.hash != 0 && t.values[key.hash].mark == key.mark {
		delete(t.values, key.hash)
	}
	if t.any.mark == key.mark {
		t.any = touch{}
	}
	if t.whole.mark == key.mark {
		t.whole = touch{}
	}
}

// missed returns a recent change that the result read at s did not see and that
// concerns its read set. ok is false if there is none; the change is nil if
// there is one that is no longer known exactly.
func (r *recent) missed(reads *ReadSet, s Snapshot) (c *Change, ok bool) {
	if !s.Covers(r.floor) {
		return nil, true
	}
	if c, ok := r.ddl.missed(s); ok {
		return c, true
	}
	if c, ok := r.ddl.missed(reads.Derived); ok && !reads.Derived.IsZero() {
		return c, true
	}
	for i := range reads.Atoms {
		if c, ok := r.missedAtom(&reads.Atoms[i], s); ok {
			return c, true
		}
	}
	return nil, false
}

func (r *recent) missedAtom(a *Atom, s Snapshot) (*Change, bool) {
	t := r.tables[a.Table]
	if t == nil {
		return nil, false
	}
	if !s.Covers(t.floor) {
		return nil, true
	}
	column, values := a.anchor()
	if column == 0 || !t.columns.Has(column) {
		return t.any.missed(s, a)
	}
	if c, ok := t.whole.missed(s, a); ok {
		return c, true
	}
	for _, v := range values {
		if c, ok := t.values[r.hash(column, v)].missed(s, a); ok {
			return c, true
		}
	}
	return nil, false
}

// missed tells whether a touch holds a change that s did not see and that
// concerns the atom.
func (t touch) missed(s Snapshot, a *Atom) (*Change, bool) {
	if t.mark == nil || s.Covers(t.mark.snapshot) {
		return nil, false
	}
	if !s.Covers(t.mark.prev) || len(t.more) == maxTouch || !s.Visible(t.first.XID) && a.Concerns(t.first) {
		// Older batches may have touched it too, or more changes of this one.
		return t.first, true
	}
	for _, c := range t.more {
		if !s.Visible(c.XID) && a.Concerns(c) {
			return c, true
		}
	}
	return nil, false
}

func (d *definitions) add(m *mark, c *Change) {
	if d.mark != m {
		d.mark, d.changes = m, nil
	}
	at, known := slices.BinarySearchFunc(d.changes, c.XID, byXID)
	if !known {
		d.changes = slices.Insert(d.changes, at, c)
	}
}

func byXID(c *Change, xid uint64) int { return cmp.Compare(c.XID, xid) }

// missed tells whether there is a definition that s did not see. Older batches
// are seen by whoever saw the newest; who did not see it all may have seen all
// that is in it.
func (d *definitions) missed(s Snapshot) (*Change, bool) {
	if d.mark == nil || s.Covers(d.mark.snapshot) {
		return nil, false
	}
	if !s.Covers(d.mark.prev) {
		return d.changes[0], true
	}
	if last := d.changes[len(d.changes)-1]; last.XID >= s.XMax {
		return last, true
	}
	for _, xid := range s.XIP {
		if at, known := slices.BinarySearchFunc(d.changes, xid, byXID); known {
			return d.changes[at], true
		}
	}
	return nil, false
}
