package reactor

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// simDB is a database in miniature: two tables of a few rows, a view that reads
// one of them, transactions with numbers that commit in any order, and the change
// log that a trigger would have written. What is committed at a moment is what a
// snapshot taken then sees, so reading needs no history.
type simDB struct {
	rand   *rand.Rand
	epoch  int
	next   uint64 // the next transaction's number
	newest uint64 // the newest one that has ended
	open   []*simTx
	state  simState
	log    []Change // committed, in the order of commits
	locked [2][simRows]*simTx
	whole  [2]*simTx

	version int // counts the states that were ever current
	past    []simPast
	answers [][]simAnswer  // by query: what it was from which version on
	decided [][]simVerdict // the same by policy
}

const simRows = 10

// simState is everything that is committed.
type simState struct {
	tables [2][simRows]simRow
	view   int // the table that the view reads
}

// simRow is a row whose id is its place. -1 is NULL.
type simRow struct {
	live    bool
	list, n int8
}

type simTx struct {
	xid    uint64
	writes []simWrite
	log    []Change
}

// simWrite sets a row, or the view if table is 2.
type simWrite struct {
	table, id int
	row       simRow
}

type simPast struct {
	state simState
	next  uint64
}

// simAnswer says that a query has had a content since a version.
type simAnswer struct {
	version int
	content string
}

// The columns of both tables.
const (
	colID   = 1
	colList = 2
	colN    = 3
)

func simTable(t int) uint32 { return uint32(100 + t) }

func simValue(v int8) Value { return IntValue(int64(v)) }

func newSimDB(r *rand.Rand) *simDB {
	db := &simDB{rand: r, next: 100, newest: 99, answers: make([][]simAnswer, len(simQueries)), decided: make([][]simVerdict, len(simPolicies))}
	for t := range db.state.tables {
		for id := range db.state.tables[t] {
			db.state.tables[t][id] = db.row()
		}
	}
	db.changed()
	return db
}

func (db *simDB) row() simRow {
	return simRow{live: db.rand.IntN(4) > 0, list: int8(db.rand.IntN(4) - db.rand.IntN(2)), n: int8(db.rand.IntN(8) - 1)}
}

func (db *simDB) epochName() Epoch { return Epoch(fmt.Sprint("e", db.epoch)) }

func (db *simDB) snapshot() Snapshot {
	s := Snapshot{XMax: db.newest + 1}
	s.XMin = s.XMax
	for _, tx := range db.open {
		if tx.xid < s.XMax {
			s.XIP = append(s.XIP, tx.xid)
		}
	}
	slices.Sort(s.XIP)
	if len(s.XIP) > 0 {
		s.XMin = s.XIP[0]
	}
	return s
}

func (db *simDB) begin() *simTx {
	tx := &simTx{xid: db.next}
	db.next++
	db.open = append(db.open, tx)
	return tx
}

// write does one random statement in tx. Rows that another transaction has
// written are left alone, as its lock would do.
func (db *simDB) write(tx *simTx) {
	t := db.rand.IntN(2)
	switch k := db.rand.IntN(24); {
	case db.whole[t] != nil && db.whole[t] != tx:
	case k == 0:
		db.alterView(tx)
	case k == 1:
		db.writeWhole(tx, t)
	default:
		db.writeRows(tx, t)
	}
}

func (db *simDB) alterView(tx *simTx) {
	if db.whole[0] != nil && db.whole[0] != tx || db.whole[1] != nil && db.whole[1] != tx {
		return
	}
	for _, other := range db.open { // CREATE OR REPLACE VIEW waits for another one
		for _, w := range other.writes {
			if w.table == 2 && other != tx {
				return
			}
		}
	}
	tx.writes = append(tx.writes, simWrite{table: 2, id: db.rand.IntN(2)})
	tx.log = append(tx.log, Change{XID: tx.xid, Op: DDL})
}

// writeWhole truncates a table or updates so many rows that the log names none.
func (db *simDB) writeWhole(tx *simTx, t int) {
	for _, owner := range db.locked[t] {
		if owner != nil && owner != tx {
			return
		}
	}
	db.whole[t] = tx
	ch := Change{XID: tx.xid, Table: simTable(t), Op: Truncate}
	truncate := db.rand.IntN(2) == 0
	if !truncate {
		ch.Op, ch.Changed = Update, NewColumns(colN)
	}
	for id := range simRows {
		row := db.seen(tx, t, id)
		if truncate {
			row.live = false
		} else {
			row.n = int8(db.rand.IntN(8) - 1)
		}
		tx.writes = append(tx.writes, simWrite{t, id, row})
	}
	tx.log = append(tx.log, ch)
}

// writeRows inserts, updates or deletes one to three rows.
func (db *simDB) writeRows(tx *simTx, t int) {
	ch := Change{XID: tx.xid, Table: simTable(t), Op: Op(1 + db.rand.IntN(3))}
	if ch.Op == Update {
		ch.Changed = NewColumns()
	}
	for range 1 + db.rand.IntN(3) {
		id := db.rand.IntN(simRows)
		if owner := db.locked[t][id]; owner != nil && owner != tx {
			continue
		}
		old := db.seen(tx, t, id)
		if old.live == (ch.Op == Insert) {
			continue
		}
		row := old
		switch ch.Op {
		case Insert:
			row = db.row()
			row.live = true
		case Delete:
			row.live = false
		case Update:
			fresh := db.row()
			if db.rand.IntN(2) == 0 {
				row.list = fresh.list
			}
			if db.rand.IntN(2) == 0 {
				row.n = fresh.n
			}
			if row.list != old.list {
				ch.Changed = ch.Changed.With(colList)
			}
			if row.n != old.n {
				ch.Changed = ch.Changed.With(colN)
			}
		}
		db.locked[t][id] = tx
		tx.writes = append(tx.writes, simWrite{t, id, row})
		if old.live {
			ch.Keys = append(ch.Keys, db.tuple(id, old))
		}
		if row.live {
			ch.Keys = append(ch.Keys, db.tuple(id, row))
		}
	}
	if len(ch.Keys) > 0 {
		tx.log = append(tx.log, ch)
	}
}

// tuple is the row as the log has it. Sometimes it lacks a column: it was written
// before the column was watched, or the value was too large (C7).
func (db *simDB) tuple(id int, row simRow) Tuple {
	lost := uint16(db.rand.IntN(24))
	var t Tuple
	add := func(column uint16, v int8) {
		switch {
		case column == lost:
		case v < 0:
			t = append(t, Datum{Column: column, Null: true})
		default:
			t = append(t, Datum{Column: column, Value: simValue(v)})
		}
	}
	add(colID, int8(id))
	add(colList, row.list)
	add(colN, row.n)
	return t
}

// seen is a row as tx sees it.
func (db *simDB) seen(tx *simTx, t, id int) simRow {
	for _, w := range slices.Backward(tx.writes) {
		if w.table == t && w.id == id {
			return w.row
		}
	}
	return db.state.tables[t][id]
}

// end commits or aborts a transaction.
func (db *simDB) end(tx *simTx, commit bool) {
	db.open = slices.DeleteFunc(db.open, func(other *simTx) bool { return other == tx })
	db.newest = max(db.newest, tx.xid)
	for t := range db.locked {
		if db.whole[t] == tx {
			db.whole[t] = nil
		}
		for id := range db.locked[t] {
			if db.locked[t][id] == tx {
				db.locked[t][id] = nil
			}
		}
	}
	if !commit || len(tx.writes) == 0 {
		return
	}
	db.past = append(db.past, simPast{db.state, tx.xid})
	for _, w := range tx.writes {
		if w.table == 2 {
			db.state.view = w.id
		} else {
			db.state.tables[w.table][w.id] = w.row
		}
	}
	db.log = append(db.log, tx.log...)
	db.changed()
}

// crash loses the newest commits and every open transaction. Their numbers come
// again in the new epoch (C4).
func (db *simDB) crash() {
	for len(db.open) > 0 {
		db.end(db.open[0], false)
	}
	for range min(len(db.past), db.rand.IntN(4)) {
		last := len(db.past) - 1
		db.state, db.next = db.past[last].state, db.past[last].next
		db.past = db.past[:last]
	}
	db.newest = db.next - 1
	db.log = nil
	db.epoch++
	db.changed()
}

// changed notes what every query answers from now on.
func (db *simDB) changed() {
	db.version++
	for i := range simQueries {
		content := simQueries[i].answer(&db.state)
		if h := db.answers[i]; len(h) == 0 || h[len(h)-1].content != content {
			db.answers[i] = append(h, simAnswer{db.version, content})
		}
	}
	db.verdicts()
}

// since returns the first version from which on, or after which, the query had
// the content; false if it never had it.
func (db *simDB) since(query int, content string, version int) (int, bool) {
	h := db.answers[query]
	for i := range h {
		if h[i].content == content && (i+1 == len(h) || h[i+1].version > version) {
			return max(version, h[i].version), true
		}
	}
	return 0, false
}

// read returns what became visible since the cursor, in the order of the log.
func (db *simDB) read(cursor Snapshot) []Change {
	s := db.snapshot()
	var out []Change
	for i := range db.log {
		if xid := db.log[i].XID; s.Visible(xid) && !cursor.Visible(xid) {
			out = append(out, db.log[i])
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int { return int(a.XID) - int(b.XID) })
	return out
}

// simQuery is one function with its arguments: what it answers, and what it read
// to know that.
type simQuery struct {
	name   string
	answer func(*simState) string
	// reads is told which table the view was known to read.
	reads func(s *simState, view int) []Atom
	waves bool
}

var simQueries = makeSimQueries()

func simAtom(t int, columns Columns, eq ...Equality) Atom {
	return Atom{Table: simTable(t), Columns: columns, Eq: eq}
}

func simEq(column uint16, values ...int8) Equality {
	e := Equality{Column: column}
	for _, v := range values {
		e.Values = append(e.Values, simValue(v))
	}
	return e
}

// rows are the rows of a table that meet a condition.
func (s *simState) rows(t int, full bool, meet func(id int, r simRow) bool) string {
	b := make([]byte, 0, 64)
	for id, r := range s.tables[t] {
		if r.live && meet(id, r) {
			b = append(b, byte('A'+id))
			if full {
				b = append(b, byte('0'+r.list+1), byte('0'+r.n+1))
			}
		}
	}
	return string(b)
}

func makeSimQueries() []simQuery {
	var out []simQuery
	full := NewColumns(colID, colList, colN)
	for l := range int8(3) {
		inList := func(_ int, r simRow) bool { return r.list == l }
		out = append(out,
			simQuery{
				fmt.Sprintf("list(%d)", l), func(s *simState) string { return s.rows(0, true, inList) },
				func(*simState, int) []Atom { return []Atom{simAtom(0, full, simEq(colList, l))} }, true,
			},
			simQuery{
				fmt.Sprintf("ids(%d)", l), func(s *simState) string { return s.rows(1, false, inList) },
				func(*simState, int) []Atom {
					return []Atom{simAtom(1, NewColumns(colID, colList), simEq(colList, l))}
				}, true,
			},
			simQuery{
				fmt.Sprintf("both(%d)", l), func(s *simState) string { return s.rows(0, true, inList) + "/" + s.rows(1, true, inList) },
				func(*simState, int) []Atom {
					return []Atom{simAtom(0, nil, simEq(colList, l)), simAtom(1, full, simEq(colList, l))}
				}, true,
			},
			simQuery{
				fmt.Sprintf("view(%d)", l), func(s *simState) string { return s.rows(s.view, true, inList) },
				func(_ *simState, view int) []Atom { return []Atom{simAtom(view, full, simEq(colList, l))} }, true,
			},
			// What it reads depends on what it finds: the list of a row.
			simQuery{fmt.Sprintf("follow(%d)", l), func(s *simState) string {
				row := s.tables[1][l]
				return s.rows(0, true, func(_ int, r simRow) bool { return row.live && row.list >= 0 && r.list == row.list })
			}, func(s *simState, _ int) []Atom {
				atoms := []Atom{simAtom(1, full, simEq(colID, l))}
				if row := s.tables[1][l]; row.live && row.list >= 0 {
					atoms = append(atoms, simAtom(0, full, simEq(colList, row.list)))
				}
				return atoms
			}, false})
	}
	ranged := simAtom(0, full, simEq(colList, 1, 2))
	ranged.Where = []Condition{{Column: colN, Op: Greater, Value: simValue(3)}}
	null := simAtom(1, full)
	null.Where = []Condition{{Column: colN, Op: IsNull}}
	atoms := func(a ...Atom) func(*simState, int) []Atom { return func(*simState, int) []Atom { return a } }
	return append(out,
		simQuery{"ranged", func(s *simState) string {
			return s.rows(0, true, func(_ int, r simRow) bool { return (r.list == 1 || r.list == 2) && r.n > 3 })
		}, atoms(ranged), true},
		simQuery{"null", func(s *simState) string {
			return s.rows(1, true, func(_ int, r simRow) bool { return r.n < 0 })
		}, atoms(null), true},
		simQuery{"all", func(s *simState) string {
			return s.rows(0, true, func(int, simRow) bool { return true })
		}, atoms(simAtom(0, full)), false},
		simQuery{"constant", func(*simState) string { return "c" }, atoms(), true},
	)
}
