package reactor

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// dice draws from bytes, so that the same generators serve the fuzzer and
// random tests.
type dice struct {
	data []byte
	rand *rand.Rand // when data has run out; nil: zeros
}

func (d *dice) n(n int) int {
	switch {
	case len(d.data) > 0:
		b := d.data[0]
		d.data = d.data[1:]
		return int(b) % n
	case d.rand != nil:
		return d.rand.IntN(n)
	}
	return 0
}

func (d *dice) value() Value { return IntValue(int64(d.n(4))) }

func (d *dice) columns() Columns {
	switch d.n(4) {
	case 0:
		return nil
	case 1:
		return NewColumns()
	}
	c := NewColumns(uint16(1 + d.n(3)))
	if d.n(2) == 0 {
		c = c.With(uint16(64 + d.n(70))) // a set of more than one word
	}
	return c
}

func (d *dice) atom() Atom {
	a := Atom{Table: uint32(1 + d.n(2)), Columns: d.columns()}
	for range d.n(3) {
		e := Equality{Column: uint16(1 + d.n(3))}
		size := d.n(4)
		if d.n(12) == 0 {
			size = MaxSet + 1 // R11: found through something else
		}
		for range size {
			e.Values = append(e.Values, d.value())
		}
		a.Eq = append(a.Eq, e)
	}
	for range d.n(3) {
		a.Where = append(a.Where, Condition{Column: uint16(1 + d.n(3)), Op: Comparison(d.n(9)), Value: d.value()})
	}
	return a
}

// moved returns atoms that a later result of the same query may have.
func (d *dice) moved(atoms []Atom) []Atom {
	atoms = slices.Clone(atoms)
	if d.n(4) == 0 {
		return append(atoms, d.atom())
	}
	for i := range atoms {
		a := &atoms[i]
		if len(a.Eq) == 0 || d.n(3) == 0 {
			continue
		}
		a.Eq = slices.Clone(a.Eq)
		values := slices.Clone(a.Eq[0].Values)
		if len(values) > 0 && d.n(2) == 0 {
			values = slices.Delete(values, 0, 1)
		}
		for range d.n(3) {
			values = append(values, d.value())
		}
		if d.n(4) > 0 {
			slices.Sort(values)
		}
		a.Eq[0].Values = values
		if len(a.Where) > 0 {
			a.Where = a.Where[1:]
		}
	}
	return atoms
}

func (d *dice) change(xid uint64) Change {
	c := Change{XID: xid, Table: uint32(1 + d.n(2)), Op: Op(1 + d.n(3))}
	if c.Op == Update {
		c.Changed = d.columns()
	}
	for range d.n(4) {
		row := Tuple{}
		for column := range uint16(3) {
			switch d.n(6) {
			case 0: // absent
			case 1:
				row = append(row, Datum{Column: column + 1, Null: true})
			default:
				row = append(row, Datum{Column: column + 1, Value: d.value()})
			}
		}
		c.Keys = append(c.Keys, row)
	}
	if len(c.Keys) == 0 && d.n(2) == 0 {
		c.Op = Truncate
	}
	return c
}

// meetsSlowly says the same as Atom.Concerns in the plainest way: is there a full
// row that agrees with a changed one and that the atom's conditions select?
func meetsSlowly(a *Atom, c *Change) bool {
	if c.Table != a.Table {
		return false
	}
	if c.Op == Update {
		both := false
		for column := uint16(1); column < 200; column++ {
			both = both || c.Changed.Has(column) && a.Columns.Has(column)
		}
		if !both {
			return false
		}
	}
	if c.Keys == nil {
		return true
	}
	for _, row := range c.Keys {
		met := true
		for _, d := range row {
			for _, e := range a.Eq {
				if e.Column == d.Column {
					met = met && !d.Null && slices.Contains(e.Values, d.Value)
				}
			}
			for _, w := range a.Where {
				if w.Column == d.Column {
					met = met && holdsSlowly(w, d)
				}
			}
		}
		if met {
			return true
		}
	}
	return false
}

func holdsSlowly(w Condition, d Datum) bool {
	switch w.Op {
	case Less:
		return !d.Null && d.Value < w.Value
	case LessEqual:
		return !d.Null && d.Value <= w.Value
	case Greater:
		return !d.Null && d.Value > w.Value
	case GreaterEqual:
		return !d.Null && d.Value >= w.Value
	case IsNull:
		return d.Null
	case NotNull:
		return !d.Null
	case NotEqual:
		return !d.Null && d.Value != w.Value
	}
	return !d.Null // unknown operators are strict, and else widen
}

// impossible reports whether an atom is anchored to a set that is empty: it can
// select no row, and the index need not have it.
func impossible(a *Atom) bool {
	column, values := a.anchor()
	return column != 0 && len(values) == 0
}

func FuzzConcerns(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	f.Add([]byte{0, 3, 0, 1, 1, 2, 0, 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dice{data: data}
		a, c := d.atom(), d.change(1)
		if got, want := a.Concerns(&c), meetsSlowly(&a, &c); got != want {
			t.Errorf("%+v concerns %+v = %v", a, c, got)
		}
	})
}

func TestReadSetConcerns(t *testing.T) {
	t.Parallel()
	d := &dice{rand: rand.New(rand.NewPCG(1, 1))}
	for range 20000 {
		set := ReadSet{Atoms: []Atom{d.atom(), d.atom()}}
		c := d.change(1)
		want := meetsSlowly(&set.Atoms[0], &c) || meetsSlowly(&set.Atoms[1], &c)
		if got := set.Concerns(&c); got != want {
			t.Fatalf("%+v concerns %+v = %v", set, c, got)
		}
	}
	ddl := Change{Op: DDL}
	if !(&ReadSet{}).Concerns(&ddl) {
		t.Error("R4: DDL concerns everything")
	}
}

// The index finds exactly the groups that a look at every atom would find,
// whatever was added and removed before (W1), each once.
func TestIndexAgreesWithScan(t *testing.T) {
	t.Parallel()
	d := &dice{rand: rand.New(rand.NewPCG(2, 2))}
	for range 80 {
		checkIndex(t, d, 60)
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("subscribe, change, leave, change"))
	f.Fuzz(func(t *testing.T, data []byte) { checkIndex(t, &dice{data: data}, 10) })
}

func checkIndex(t *testing.T, d *dice, steps int) {
	t.Helper()
	x := newIndex()
	var groups []*group
	for range steps {
		if n := len(groups); n > 10 || n > 0 && d.n(4) == 0 {
			i := d.n(n)
			x.remove(groups[i])
			groups = slices.Delete(groups, i, i+1)
		} else if n > 0 && d.n(2) == 0 {
			g := groups[d.n(n)]
			x.move(g, d.moved(g.reads.Atoms))
		} else {
			g := &group{}
			for range d.n(4) {
				g.reads.Atoms = append(g.reads.Atoms, d.atom())
			}
			x.add(g)
			groups = append(groups, g)
		}
		c := d.change(1)
		hit := map[*group]int{}
		x.hits(&c, func(g *group) { hit[g]++ })
		for _, g := range groups {
			want := 0
			for i := range g.reads.Atoms {
				if a := &g.reads.Atoms[i]; !impossible(a) && meetsSlowly(a, &c) {
					want = 1
				}
			}
			if hit[g] != want {
				t.Fatalf("%+v hits %+v %d times, want %d", c, g.reads, hit[g], want)
			}
			delete(hit, g)
		}
		if len(hit) > 0 {
			t.Fatal("a removed group is hit")
		}
	}
	for _, g := range groups {
		x.remove(g)
	}
	if x.count != 0 {
		t.Fatalf("%d atoms remain", x.count)
	}
}

// F5: recent never misses a change that an arriving result did not see. What it
// reports without need costs a run: that is counted, and bounded.
func TestRecentNeverMisses(t *testing.T) {
	t.Parallel()
	var needless, free int
	for seed := range uint64(400) {
		a, b := checkRecent(t, &dice{rand: rand.New(rand.NewPCG(seed, 3))}, 30)
		needless, free = needless+a, free+b
	}
	share := float64(needless) / float64(free)
	t.Logf("%d of %d results that missed nothing run again: %.1f %%", needless, free, 100*share)
	if share > 0.35 {
		t.Errorf("%.1f %% needless runs", 100*share)
	}
}

func FuzzRecent(f *testing.F) {
	f.Add([]byte("batch, batch, result"))
	f.Fuzz(func(t *testing.T, data []byte) { checkRecent(t, &dice{data: data}, 6) })
}

// checkRecent applies batches, and after each asks for results read at any of the
// last snapshots. It returns how many results that missed nothing were said to
// have, and how many there were.
func checkRecent(t *testing.T, d *dice, batches int) (needless, free int) {
	t.Helper()
	now := time.Unix(1e9, 0)
	r := newRecent([]int{1000, 20, 3}[d.n(3)], time.Duration(1+d.n(20))*time.Millisecond)
	snap := func(xid uint64) Snapshot { return Snapshot{XMin: xid, XMax: xid} }
	xid := uint64(10)
	r.reset(snap(xid))
	var all []Change
	snaps := []Snapshot{snap(xid)}
	for range batches {
		prev := snap(xid)
		count := d.n(5)
		if d.n(20) == 0 {
			count = 6 * maxTouch
		}
		var batch []Change
		for range count {
			batch = append(batch, d.change(xid))
			if d.n(20) == 0 {
				batch[len(batch)-1] = Change{XID: xid, Op: DDL}
			}
			xid++
			snaps = append(snaps, snap(xid)) // a result may be read inside the batch
		}
		r.begin(now, prev, snap(xid))
		sorted := sortBatch(&Batch{Changes: batch})
		for _, c := range sorted.ddl {
			r.add(c)
		}
		for _, t := range sorted.tables {
			if d.n(4) == 0 {
				r.skim(t.changes)
				continue
			}
			for _, c := range t.changes {
				r.add(c)
			}
		}
		all = append(all, batch...)
		now = now.Add(time.Duration(d.n(4)) * time.Millisecond)
		r.forget(now, d.n(8))
		for range 3 {
			s := snaps[max(0, len(snaps)-1-d.n(8))]
			derived := snaps[max(0, len(snaps)-1-d.n(30))]
			reads := ReadSet{Atoms: []Atom{d.atom(), d.atom()}, Derived: derived}
			if derived.Compare(s) > 0 {
				reads.Derived = s
			}
			want := slices.ContainsFunc(all, func(c Change) bool {
				if c.Op == DDL {
					return !s.Visible(c.XID) || !reads.Derived.Visible(c.XID) && c.XID >= lastDDL(all)
				}
				concerns := func(a Atom) bool { return !impossible(&a) && meetsSlowly(&a, &c) }
				return !s.Visible(c.XID) && slices.ContainsFunc(reads.Atoms, concerns)
			})
			_, got := r.missed(&reads, s)
			if want && !got {
				t.Fatalf("a result read at %v misses a change: reads %+v", s, reads)
			}
			if !want {
				free++
				if got {
					needless++
				}
			}
		}
	}
	return needless, free
}

func lastDDL(all []Change) (xid uint64) {
	for i := range all {
		if all[i].Op == DDL {
			xid = max(xid, all[i].XID)
		}
	}
	return xid
}

// A table's newest changes and those that may have touched anything part when a
// column is seen first: neither list may write into the other.
func TestRecentListsPart(t *testing.T) {
	t.Parallel()
	row := func(columns ...uint16) (row Tuple) {
		for _, c := range columns {
			row = append(row, Datum{Column: c, Value: IntValue(int64(c))})
		}
		return row
	}
	r := newRecent(1000, time.Hour)
	snap := func(xid uint64) Snapshot { return Snapshot{XMin: xid, XMax: xid} }
	r.reset(snap(10))
	r.begin(time.Unix(1e9, 0), snap(10), snap(20))
	add := func(xid uint64, keys Tuple, changed ...uint16) {
		r.add(&Change{XID: xid, Table: 1, Op: Update, Changed: NewColumns(changed...), Keys: []Tuple{keys}})
	}
	for xid := uint64(10); xid < 15; xid++ {
		add(xid, row(1), 5)
	}
	add(15, row(1, 2), 5) // column 2 is seen: six changes are in both lists
	add(16, row(1, 2), 7) // this one only among all
	add(17, row(1), 5)    // and this one in both again
	reads := ReadSet{Atoms: []Atom{{Table: 1, Columns: NewColumns(7)}}}
	if ch, missed := r.missed(&reads, snap(10)); !missed || ch.XID != 16 {
		t.Errorf("missed %v, %v", ch, missed)
	}
}

// W6: what is kept stays within the limit whatever a batch brings.
func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	d := &dice{rand: rand.New(rand.NewPCG(5, 5))}
	now := time.Unix(1e9, 0)
	r := newRecent(100, time.Hour)
	for i := range uint64(50) {
		r.begin(now, Snapshot{XMin: i, XMax: i}, Snapshot{XMin: i + 1, XMax: i + 1})
		for range 2000 {
			c := d.change(i)
			for j := range c.Keys {
				c.Keys[j] = append(c.Keys[j], Datum{Column: 9, Value: IntValue(d.rand.Int64())})
			}
			r.add(&c)
		}
		r.forget(now, 1)
		values := 0
		for _, t := range r.tables {
			values += len(t.values)
		}
		if r.size() > 100 || values > 100 || len(r.order) > 20000 {
			t.Fatalf("%d touches, %d values, %d remembered", r.size(), values, len(r.order))
		}
	}
}
