package reactor

import "time"

// Op is what a change did.
type Op uint8

// The operations.
const (
	Insert Op = iota + 1
	Update
	Delete
	Truncate // the whole table
	DDL      // a definition changed: read sets are no longer to be trusted (R4)
)

// String returns the operation in lower case.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	case DDL:
		return "ddl"
	}
	return "unknown"
}

// Columns is a set of column numbers (attnum, from 1) as a bit set. Nil means
// all columns; an empty set that is not nil means none.
type Columns []uint64

// NewColumns returns the set of the given columns; without any, the empty set.
func NewColumns(columns ...uint16) Columns {
	set := Columns{}
	for _, c := range columns {
		set = set.With(c)
	}
	return set
}

// With returns the set with column c added. The receiver may be changed.
func (s Columns) With(c uint16) Columns {
	if s == nil {
		return nil
	}
	for len(s) <= int(c>>6) {
		s = append(s, 0)
	}
	s[c>>6] |= 1 << (c & 63)
	return s
}

// Has reports whether column c is in the set.
func (s Columns) Has(c uint16) bool {
	if s == nil {
		return true
	}
	return int(c>>6) < len(s) && s[c>>6]&(1<<(c&63)) != 0
}

// Meets reports whether the sets have a column in common. All meets everything
// but the empty set.
func (s Columns) Meets(t Columns) bool {
	switch {
	case s == nil && t == nil:
		return true
	case s == nil:
		return !t.empty()
	case t == nil:
		return !s.empty()
	}
	for i := range min(len(s), len(t)) {
		if s[i]&t[i] != 0 {
			return true
		}
	}
	return false
}

func (s Columns) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// Datum is the value of one watched column in a row that was changed.
type Datum struct {
	Column uint16
	Null   bool  // SQL NULL
	Value  Value // canonical; empty if Null
}

// Tuple holds the watched columns of one row, old or new. A column that is
// absent (written before it was watched, or too large) matches every value (C7).
type Tuple []Datum

// Find returns the datum of a column, and false if it is absent.
func (t Tuple) Find(column uint16) (Datum, bool) {
	for _, d := range t {
		if d.Column == column {
			return d, true
		}
	}
	return Datum{}, false
}

// Change is what one committed statement did to one table. It is immutable once
// it is in a Batch.
type Change struct {
	XID   uint64 // the top-level transaction
	Table uint32 // OID of the table, for partitions and children of the root
	Op    Op
	// Changed are the columns that an update changed; nil means all.
	Changed Columns
	// Keys are the distinct tuples of all old and new rows. Nil means the whole
	// table.
	Keys []Tuple
}

// Batch is all that became visible between two reads of the change log. It is a
// consistent point of the database: with it everything up to Snapshot is known.
type Batch struct {
	Epoch    Epoch
	Snapshot Snapshot // the cursor after this batch
	Changes  []Change // ordered by XID, then by statement
	// Began is when the read began (monotonic). What committed before is in.
	Began time.Time
	// Resync says that changes were lost (another epoch, a trimmed log): every
	// group is dirty, whatever Changes say.
	Resync bool
}
