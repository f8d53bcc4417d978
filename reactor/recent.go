package reactor

import "time"

// recent remembers which (table, column, value) was touched last, and by what.
// A result that arrives is looked up by its read set: a change that it did not
// see and that concerns it makes the group dirty at once (F5). This closes the
// race between a run that reads and a commit that is applied meanwhile, without
// a lock and without scanning the kept changes.
//
// The core owns it.
type recent struct {
	tables map[uint32]*recentTable
	ddl    touch
	mark   *mark // the batch being applied

	// floor is the newest snapshot of which changes were forgotten. A result
	// that does not cover it may have missed something.
	floor Snapshot

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

// touch is the newest batch that touched something, with its changes.
type touch struct {
	mark    *mark
	changes []*Change // at most maxTouch; at that many they are not all known
}

// maxTouch bounds the changes that are compared with an arriving result, so that
// a flood on one table cannot stall the loop.
const maxTouch = 32

type recentTable struct {
	any   touch // every change of the table
	whole touch // changes that may have touched any value of any column
	// columns are those that recent tuples carry. A tuple that lacks one of
	// them counts as whole (C7).
	columns Columns
	values  map[columnValue]touch
}

type columnValue struct {
	column uint16
	value  Value
}

// touchKey names an entry for forgetting. Column 0 stands for the table.
type touchKey struct {
	table uint32
	columnValue
	mark *mark
}

func newRecent(limit int, age time.Duration) *recent {
	return &recent{tables: map[uint32]*recentTable{}, limit: limit, age: age}
}

// reset forgets everything; what is older than floor is unknown from now on.
func (r *recent) reset(floor Snapshot) {
	r.tables = map[uint32]*recentTable{}
	r.ddl, r.mark = touch{}, nil
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
	t := r.tables[c.Table]
	if t == nil {
		t = &recentTable{columns: NewColumns(), values: map[columnValue]touch{}}
		r.tables[c.Table] = t
	}
	t.any.add(r.mark, c)
	r.remember(touchKey{table: c.Table, mark: r.mark})
	if c.Keys == nil {
		t.whole.add(r.mark, c)
		return
	}
	for _, row := range c.Keys {
		r.addRow(t, c, row)
	}
}

func (r *recent) addRow(t *recentTable, c *Change, row Tuple) {
	for _, d := range row {
		if !t.columns.Has(d.Column) {
			// A newly watched column: what came before lacks it.
			t.columns = t.columns.With(d.Column)
			t.whole = t.any
		}
	}
	if len(row) < t.columns.count() {
		t.whole.add(r.mark, c)
		return
	}
	for _, d := range row {
		if d.Null {
			continue // no equality meets NULL
		}
		key := columnValue{d.Column, d.Value}
		entry := t.values[key]
		if entry.mark != r.mark {
			r.remember(touchKey{c.Table, key, r.mark})
		}
		entry.add(r.mark, c)
		t.values[key] = entry
	}
}

func (t *touch) add(m *mark, c *Change) {
	if t.mark != m {
		t.mark, t.changes = m, nil
	}
	if n := len(t.changes); n == 0 || n < maxTouch && t.changes[n-1] != c {
		t.changes = append(t.changes, c)
	}
}

func (r *recent) remember(key touchKey) { r.order = append(r.order, key) }

// size returns how many touches are kept.
func (r *recent) size() int { return len(r.order) - r.head }

// forget drops what is over the limit or too old, whole batches at a time, at
// most n entries a call so that the loop's slice stays short.
func (r *recent) forget(now time.Time, n int) {
	for ; n > 0 && r.head < len(r.order); n-- {
		key := r.order[r.head]
		if r.size() <= r.limit && now.Sub(key.mark.at) < r.age {
			break
		}
		r.head++
		if key.mark.snapshot.Covers(r.floor) {
			r.floor = key.mark.snapshot
		}
		r.drop(key)
	}
	if r.head > 1024 && r.head*2 > len(r.order) {
		r.order = append([]touchKey(nil), r.order[r.head:]...)
		r.head = 0
	}
}

func (r *recent) drop(key touchKey) {
	t := r.tables[key.table]
	switch {
	case t == nil:
	case key.column != 0:
		if t.values[key.columnValue].mark == key.mark {
			delete(t.values, key.columnValue)
		}
	case t.any.mark == key.mark && len(t.values) == 0:
		delete(r.tables, key.table)
	}
}

// missed returns a recent change that the result read at s did not see and that
// concerns its read set. ok is false if there is none; the change is nil if
// there is one that is no longer known exactly.
func (r *recent) missed(reads *ReadSet, s Snapshot) (c *Change, ok bool) {
	if !s.Covers(r.floor) {
		return nil, true
	}
	if c, ok := r.ddl.missed(s, nil); ok {
		return c, true
	}
	if !reads.Derived.IsZero() {
		if c, ok := r.ddl.missed(reads.Derived, nil); ok {
			return c, true
		}
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
	column, values := a.anchor()
	if column == 0 || !t.columns.Has(column) {
		return t.any.missed(s, a)
	}
	if c, ok := t.whole.missed(s, a); ok {
		return c, true
	}
	for _, v := range values {
		if c, ok := t.values[columnValue{column, v}].missed(s, a); ok {
			return c, true
		}
	}
	return nil, false
}

// missed tells whether a touch holds a change that s did not see and that
// concerns the atom (nil: any).
func (t touch) missed(s Snapshot, a *Atom) (*Change, bool) {
	if t.mark == nil || s.Covers(t.mark.snapshot) {
		return nil, false
	}
	if !s.Covers(t.mark.prev) || len(t.changes) == maxTouch {
		// Older batches may have touched it too, or more changes of this one.
		return t.changes[0], true
	}
	for _, c := range t.changes {
		if !s.Visible(c.XID) && (a == nil || a.Concerns(c)) {
			return c, true
		}
	}
	return nil, false
}

// count returns the number of columns in the set.
func (s Columns) count() int {
	n := 0
	for _, w := range s {
		for ; w != 0; w &= w - 1 {
			n++
		}
	}
	return n
}
