package reactor

import "hash/maphash"

// index finds the groups that a changed row may concern, without looking at the
// others: (table, column, value) → postings, and per table a list of the atoms
// that have no equality. Its cost per row is the number of indexed columns of
// the table, whatever the number of groups (N4).
//
// A hash only finds; the atom's own conditions, compared in full, decide. The
// core owns it.
type index struct {
	tables map[uint32]*tableIndex
	seed   maphash.Seed

	// postings is a slab: lists are chained by position, so that a million
	// atoms are one allocation for the collector. 0 ends a list.
	postings []posting
	free     uint32
	count    int
	round    uint64 // counts the changes looked up
}

// tableIndex is the part of one table. There are few tables and few indexed
// columns, so both are searched linearly.
type tableIndex struct {
	scan    uint32 // postings of atoms without an equality
	first   uint32 // all postings of the table
	size    int    // how many they are
	columns []columnIndex
}

type columnIndex struct {
	column uint16
	values map[uint64]uint32 // hash of the value → first posting
}

// posting stands for one atom of one group under one value.
type posting struct {
	group      *group // nil: on the free list
	table      *tableIndex
	hash       uint64
	prev, next uint32 // of its list
	back, forw uint32 // of its table
	atom       uint32
	column     uint16 // 0: the table's scan list
}

func newIndex() *index {
	return &index{
		tables:   map[uint32]*tableIndex{},
		seed:     maphash.MakeSeed(),
		postings: make([]posting, 1), // position 0 is the end of lists
	}
}

// add registers the atoms of g's read set.
func (x *index) add(g *group) {
	for i := range g.reads.Atoms {
		atom := &g.reads.Atoms[i]
		t := x.table(atom.Table)
		column, values := atom.anchor()
		if column == 0 {
			x.push(g, t, posting{atom: uint32(i)})
			continue
		}
		for _, v := range values {
			x.push(g, t, posting{atom: uint32(i), column: column, hash: maphash.String(x.seed, string(v))})
		}
	}
}

// reads reports whether an atom of the table is registered.
func (x *index) reads(table uint32) bool {
	t := x.tables[table]
	return t != nil && t.size > 0
}

// anchor returns the equality that an atom is found through: the most selective
// one whose set is small enough. Column 0 means through the table.
func (a *Atom) anchor() (uint16, []Value) {
	for i := range a.Eq {
		if len(a.Eq[i].Values) <= MaxSet {
			return a.Eq[i].Column, a.Eq[i].Values
		}
	}
	return 0, nil
}

func (x *index) table(oid uint32) *tableIndex {
	t := x.tables[oid]
	if t == nil {
		t = &tableIndex{}
		x.tables[oid] = t
	}
	return t
}

// column returns the index of a column, nil if none is made.
func (t *tableIndex) column(column uint16) *columnIndex {
	for i := range t.columns {
		if t.columns[i].column == column {
			return &t.columns[i]
		}
	}
	return nil
}

func (x *index) push(g *group, t *tableIndex, p posting) {
	p.group, p.table = g, t
	at := x.free
	if at != 0 {
		x.free = x.postings[at].next
	} else {
		at = uint32(len(x.postings))
		x.postings = append(x.postings, posting{})
	}
	head := x.head(&p)
	p.next = head
	if head != 0 {
		x.postings[head].prev = at
	}
	if p.forw = t.first; t.first != 0 {
		x.postings[t.first].back = at
	}
	t.first = at
	x.postings[at] = p
	x.setHead(&p, at)
	g.postings = append(g.postings, at)
	t.size++
	x.count++
}

// head returns the first posting of p's list.
func (x *index) head(p *posting) uint32 {
	if p.column == 0 {
		return p.table.scan
	}
	c := p.table.column(p.column)
	if c == nil {
		return 0
	}
	return c.values[p.hash]
}

func (x *index) setHead(p *posting, at uint32) {
	if p.column == 0 {
		p.table.scan = at
		return
	}
	c := p.table.column(p.column)
	if c == nil {
		p.table.columns = append(p.table.columns, columnIndex{column: p.column, values: map[uint64]uint32{}})
		c = &p.table.columns[len(p.table.columns)-1]
	}
	if at == 0 {
		delete(c.values, p.hash)
		return
	}
	c.values[p.hash] = at
}

// remove takes all atoms of g out.
func (x *index) remove(g *group) {
	for _, at := range g.postings {
		x.drop(at)
	}
	g.postings = g.postings[:0]
}

// drop takes one posting out of its lists.
func (x *index) drop(at uint32) {
	p := x.postings[at]
	if p.prev != 0 {
		x.postings[p.prev].next = p.next
	} else {
		x.setHead(&p, p.next)
	}
	if p.next != 0 {
		x.postings[p.next].prev = p.prev
	}
	if p.back != 0 {
		x.postings[p.back].forw = p.forw
	} else {
		p.table.first = p.forw
	}
	if p.forw != 0 {
		x.postings[p.forw].back = p.back
	}
	p.table.size--
	if p.table.size == 0 {
		// The table's watched columns may differ when it is used again.
		p.table.columns = nil
	}
	x.postings[at] = posting{next: x.free}
	x.free = at
	x.count--
}

// hits calls visit once for every group that the change concerns, as far as the
// index and the atoms can tell. visit must not change the index.
func (x *index) hits(c *Change, visit func(*group)) {
	t := x.tables[c.Table]
	if t == nil || t.size == 0 {
		return
	}
	x.round++
	if c.Keys == nil {
		for at := t.first; at != 0; at = x.postings[at].forw {
			x.visit(at, c, nil, visit)
		}
		return
	}
	for _, row := range c.Keys {
		x.list(t.scan, c, row, visit)
		for i := range t.columns {
			col := &t.columns[i]
			d, known := row.Find(col.column)
			switch {
			case !known: // C7: absent matches every value
				x.column(t, col.column, c, row, visit)
			case !d.Null:
				x.list(col.values[maphash.String(x.seed, string(d.Value))], c, row, visit)
			}
		}
	}
}

// column visits all postings of a column.
func (x *index) column(t *tableIndex, column uint16, c *Change, row Tuple, visit func(*group)) {
	for at := t.first; at != 0; at = x.postings[at].forw {
		if x.postings[at].column == column {
			x.visit(at, c, row, visit)
		}
	}
}

// list visits the postings of one list.
func (x *index) list(at uint32, c *Change, row Tuple, visit func(*group)) {
	for ; at != 0; at = x.postings[at].next {
		x.visit(at, c, row, visit)
	}
}

// visit visits the group of a posting if its atom is met by the row; a nil row
// is any row. Many rows of one change may hit one group: it is visited once.
func (x *index) visit(at uint32, c *Change, row Tuple, visit func(*group)) {
	p := &x.postings[at]
	g := p.group
	if g.hit == x.round {
		return
	}
	atom := &g.reads.Atoms[p.atom]
	if c.Op == Update && !c.Changed.Meets(atom.Columns) {
		return
	}
	if row == nil || atom.meets(row) {
		g.hit = x.round
		visit(g)
	}
}
