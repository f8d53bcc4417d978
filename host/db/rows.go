package db

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"weir/abi"
	"weir/host/tenant"
	"weir/reactor"
)

// microsTo2000 are the microseconds from 1970 to 2000, where PostgreSQL's binary
// timestamps begin.
const microsTo2000 = 946684800000000

// Column is one column of a result.
type Column struct {
	Name string
	OID  uint32 // type; the base type of a domain
	Type string // its name as PostgreSQL prints it
	// Table and Attr are where the column comes from, 0 if it is computed.
	Table uint32
	Attr  uint16

	layout layout
	head   []byte // the name as a JSON member: "name":
}

// Rows is a result as it came over the wire: one arena, read by offset. It is
// immutable once returned and safe for concurrent use.
type Rows struct {
	columns []Column
	nested  []nested
	arena   []byte
	cells   []cell // rows × columns
	count   int
	tag     string // of a statement that writes
}

// cell is where a value lies in the arena; size -1 is NULL.
type cell struct {
	at   uint32
	size int32
}

// Len returns the number of rows.
func (r *Rows) Len() int { return r.count }

// Columns returns the number of columns, those of nested statements included.
func (r *Rows) Columns() int { return len(r.columns) + len(r.nested) }

// Scalars returns how many of the columns are the statement's own. Nested ones
// come after them.
func (r *Rows) Scalars() int { return len(r.columns) }

// ColumnName returns the name of a column, or "" when there is none.
func (r *Rows) ColumnName(col int) string {
	if n := len(r.columns); col >= n && col < n+len(r.nested) {
		return r.nested[col-n].name
	}
	if col < 0 || col >= len(r.columns) {
		return ""
	}
	return r.columns[col].Name
}

// ColumnType returns the OID of a column's type; 0 for a nested statement.
func (r *Rows) ColumnType(col int) uint32 {
	if col < 0 || col >= len(r.columns) {
		return 0
	}
	return r.columns[col].OID
}

// Column returns the index of the column of that name, or -1.
func (r *Rows) Column(name string) int {
	for i := range r.columns {
		if r.columns[i].Name == name {
			return i
		}
	}
	for i := range r.nested {
		if r.nested[i].name == name {
			return len(r.columns) + i
		}
	}
	return -1
}

// Size returns the bytes that the values take, nested ones included.
func (r *Rows) Size() int {
	n := len(r.arena)
	for i := range r.nested {
		n += r.nested[i].rows.Size()
	}
	return n
}

// IsNull reports whether a value is SQL NULL. A nested column never is.
func (r *Rows) IsNull(row, col int) bool {
	return col < len(r.columns) && r.at(row, col).size < 0
}

// Time returns a timestamptz, and false when the value is NULL, infinite or of
// another type.
func (r *Rows) Time(row, col int) (time.Time, bool) {
	if col < 0 || col >= len(r.columns) || r.columns[col].layout != (layout{form: formInstant, binary: true}) {
		return time.Time{}, false
	}
	raw := r.raw(row, col)
	if len(raw) != 8 {
		return time.Time{}, false
	}
	micros := int64(binary.BigEndian.Uint64(raw))
	if micros == math.MaxInt64 || micros == math.MinInt64 {
		return time.Time{}, false
	}
	seconds := floorDiv(micros, 1e6)
	return time.Unix(seconds+microsTo2000/1e6, (micros-seconds*1e6)*1000).UTC(), true
}

// WakeAt returns the earliest time in the column wake_at, and false when there
// is no such column or nothing in it (DESIGN.md 13).
func (r *Rows) WakeAt() (time.Time, bool) {
	col := r.Column(wakeAt)
	var first time.Time
	for row := range r.count {
		if t, ok := r.Time(row, col); ok && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first, !first.IsZero()
}

// Value returns a value decoded, as a guest would see it.
func (r *Rows) Value(row, col int) abi.Value {
	v, err := abi.DecodeCBOR(r.AppendValueCBOR(nil, row, col))
	if err != nil {
		panic("BUG: a row's value has no CBOR form: " + err.Error())
	}
	return v
}

// Equal reports whether two values are the same for attaching rows to rows:
// integers of all widths compare as numbers, other values only when their types
// have the same form. NULL equals nothing.
func (r *Rows) Equal(row, col int, other *Rows, otherRow, otherCol int) bool {
	a, ok := r.key(row, col)
	if !ok {
		return false
	}
	b, ok := other.key(otherRow, otherCol)
	return ok && a == b && r.columns[col].layout.family() == other.columns[otherCol].layout.family()
}

// key returns a value's comparable form, and false for NULL and nested columns.
func (r *Rows) key(row, col int) (string, bool) {
	if col < 0 || col >= len(r.columns) || r.at(row, col).size < 0 {
		return "", false
	}
	raw, l := r.raw(row, col), r.columns[col].layout
	if i, ok := integer(l, raw); ok {
		return string(reactor.IntValue(i)), true
	}
	return string(raw), true
}

// canonical returns the form in which changes carry a value of that kind. False
// means that it is NULL, or has none.
func (r *Rows) canonical(row, col int, kind reactor.Kind) (reactor.Value, bool) {
	if r.at(row, col).size < 0 || r.columns[col].layout.array {
		return "", false
	}
	raw, l := r.raw(row, col), r.columns[col].layout
	switch kind {
	case reactor.KindInt:
		i, ok := integer(l, raw)
		return reactor.IntValue(i), ok
	case reactor.KindUUID:
		return reactor.Value(raw), l.form == formUUID && len(raw) == 16
	case reactor.KindInstant:
		if l.form != formInstant || len(raw) != 8 {
			return "", false
		}
		micros := int64(binary.BigEndian.Uint64(raw))
		if micros != math.MaxInt64 && micros != math.MinInt64 { // infinities
			micros += microsTo2000
			if micros < microsTo2000-math.MaxInt64 { // past the last microsecond that fits
				return "", false
			}
		}
		return reactor.TimeValue(micros), true
	case reactor.KindText, reactor.KindEnum, reactor.KindDate, reactor.KindTimestamp:
		if l.form != formText {
			return "", false
		}
		return reactor.ParseValue(kind, string(raw))
	}
	return "", false
}

// distinct returns the values of a column in order, each once, without NULLs.
// False means that they are too many for a set, or that one has no form.
func (r *Rows) distinct(col int, kind reactor.Kind) ([]reactor.Value, bool) {
	values := make([]reactor.Value, 0, min(r.count, 2*reactor.MaxSet))
	for row := range r.count {
		if r.at(row, col).size < 0 {
			continue
		}
		v, ok := r.canonical(row, col, kind)
		if !ok {
			return nil, false
		}
		values = append(values, v)
		if len(values) == cap(values) && row < r.count-1 {
			slices.Sort(values)
			if values = slices.Compact(values); len(values) > reactor.MaxSet {
				return nil, false
			}
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	return values, len(values) <= reactor.MaxSet
}

// family makes the integer forms one.
func (l layout) family() layout {
	if l.form == formInt2 || l.form == formInt4 {
		l.form = formInt8
	}
	return l
}

func integer(l layout, raw []byte) (int64, bool) {
	if l.array {
		return 0, false
	}
	switch {
	case l.form == formInt2 && len(raw) == 2:
		return int64(int16(binary.BigEndian.Uint16(raw))), true
	case l.form == formInt4 && len(raw) == 4:
		return int64(int32(binary.BigEndian.Uint32(raw))), true
	case l.form == formInt8 && len(raw) == 8:
		return int64(binary.BigEndian.Uint64(raw)), true
	}
	return 0, false
}

func (r *Rows) at(row, col int) cell { return r.cells[row*len(r.columns)+col] }

func (r *Rows) raw(row, col int) []byte {
	c := r.at(row, col)
	if c.size < 0 {
		return nil
	}
	return r.arena[c.at : int(c.at)+int(c.size)]
}

// affected returns the number of rows in a command tag: "INSERT 0 3".
func (r *Rows) affected() int64 {
	n, scale := int64(0), int64(1)
	for i := len(r.tag) - 1; i >= 0 && r.tag[i] >= '0' && r.tag[i] <= '9'; i-- {
		n, scale = n+scale*int64(r.tag[i]-'0'), scale*10
	}
	return n
}

// collector fills Rows within the limits of a result.
type collector struct {
	rows           *Rows
	limit, maxSize int
}

// add copies one row. The values are the connection's and change with the next
// message.
func (c *collector) add(values [][]byte) error {
	r := c.rows
	if r.count >= c.limit {
		return fmt.Errorf("%w: more than %d rows", tenant.ErrResultTooLarge, c.limit)
	}
	if len(values) != len(r.columns) {
		return fmt.Errorf("%w: the columns of the result changed", errShape)
	}
	for _, v := range values {
		if v == nil {
			r.cells = append(r.cells, cell{size: -1})
			continue
		}
		r.cells = append(r.cells, cell{at: uint32(len(r.arena)), size: int32(len(v))})
		r.arena = append(r.arena, v...)
	}
	r.count++
	if len(r.arena) > c.maxSize {
		return fmt.Errorf("%w: more than %d bytes", tenant.ErrResultTooLarge, c.maxSize)
	}
	return nil
}
