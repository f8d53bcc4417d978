package reactor

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// simDB is a database in miniature: two tables of a few rows, a view that reads
// one of them, transactions with numbers that commit in any order, and the change
// log that a trigger would have written. What is committed at a moment is what a
// snapshot taken then sees, so reading needs no history; the judge keeps one.
type simDB struct {
	rand   *rand.Rand
	epoch  int
	name   Epoch  // of this epoch
	next   uint64 // the next transaction's number
	newest uint64 // the newest one that has ended
	open   []*simTx
	state  simState
	log    []Change // committed in this epoch, in the order of commits
	locked [2][simRows]*simTx
	whole  [2]*simTx
	dark   [2]bool // changes of the table do not reach the log

	taken Snapshot // the newest one
	moved bool     // it is not the newest any longer

	// For the judge. A version is a state that was ever current.
	version int
	states  []simState // by version
	points  []simPoint // where the versions begin
	past    []simPast
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
	step   int // that began it
	writes []simWrite
	log    []Change
}

// simWrite sets a row, or the view if table is 2.
type simWrite struct {
	table, id int
	row       simRow
}

// simPast is what was before a commit.
type simPast struct {
	version int
	next    uint64
}

// simPoint is the first snapshot of a version.
type simPoint struct {
	at      Stamp
	version int
}

// The columns of both tables.
const (
	colID   = 1
	colList = 2
	colN    = 3
)

func simTable(t int) uint32 { return uint32(100 + t) }

func simValue(v int8) Value { return IntValue(int64(v)) }

// emptyDB has no rows, and no version yet.
func emptyDB(r *rand.Rand) *simDB {
	return &simDB{rand: r, name: "e0", next: 100, newest: 99, moved: true, states: make([]simState, 1)}
}

func newSimDB(r *rand.Rand) *simDB {
	db := emptyDB(r)
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

// snapshot returns what a read sees that begins now.
func (db *simDB) snapshot() Snapshot {
	if !db.moved {
		return db.taken
	}
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
	db.taken, db.moved = s, false
	return s
}

func (db *simDB) begin() *simTx {
	tx := &simTx{xid: db.next}
	db.next++
	db.open = append(db.open, tx)
	db.moved = true
	return tx
}

// write does one random statement in tx. Rows that another transaction has
// written are left alone, as its lock would do.
func (db *simDB) write(tx *simTx) {
	t := db.rand.IntN(2)
	switch k := db.rand.IntN(24); {
	case db.whole[t] != nil && db.whole[t] != tx:
	case k < 2:
		db.alterView(tx)
	case k == 2:
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
	db.note(tx, t, ch)
}

// writeRows inserts, updates or deletes one to three rows.
func (db *simDB) writeRows(tx *simTx, t int) {
	ch := Change{XID: tx.xid, Table: simTable(t), Op: Op(1 + db.rand.IntN(3))}
	if ch.Op == Update {
		ch.Changed = NewColumns()
	}
	for range max(1, db.rand.IntN(4)) {
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
		db.note(tx, t, ch)
	}
}

// note is the trigger.
func (db *simDB) note(tx *simTx, t int, ch Change) {
	if !db.dark[t] {
		tx.log = append(tx.log, ch)
	}
}

// writing reports whether an open transaction has written a table: its triggers
// cannot be switched on or off then.
func (db *simDB) writing(t int) bool {
	for _, tx := range db.open {
		for _, w := range tx.writes {
			if w.table == t {
				return true
			}
		}
	}
	return false
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
	db.open = without(db.open, tx)
	db.newest, db.moved = max(db.newest, tx.xid), true
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
	db.past = append(db.past, simPast{db.version, tx.xid})
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
		db.state, db.next = db.states[db.past[last].version], db.past[last].next
		db.past = db.past[:last]
	}
	db.newest, db.moved = db.next-1, true
	db.log = nil
	db.epoch++
	db.name = Epoch(fmt.Sprint("e", db.epoch))
	db.changed()
}

// changed begins a version.
func (db *simDB) changed() {
	db.version++
	db.states = append(db.states, db.state)
	db.points = append(db.points, simPoint{NewStamp(db.name, db.snapshot()), db.version})
}

// at returns the version that a read saw, 0 if there was none.
func (db *simDB) at(s Stamp) int {
	for i := len(db.points) - 1; i >= 0; i-- {
		if p := &db.points[i]; p.at.epoch == s.epoch && s.snapshot.Covers(p.at.snapshot) {
			return p.version
		}
	}
	return 0
}
