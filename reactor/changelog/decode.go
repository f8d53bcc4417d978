package changelog

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"weir/reactor"
)

// change turns a row of the log into a reactor.Change. Whatever it does not
// understand it leaves out, which only widens.
func (r *row) change(tables map[uint32]Table) reactor.Change {
	c := reactor.Change{XID: r.xid, Table: r.rel}
	switch r.op {
	case 'I':
		c.Op = reactor.Insert
	case 'U':
		c.Op = reactor.Update
	case 'D':
		c.Op = reactor.Delete
	case 'X':
		c.Op = reactor.DDL
	default:
		c.Op = reactor.Truncate
	}
	t, known := tables[r.rel]
	if t.Stale {
		return c // C7: names moved under the function
	}
	if c.Op == reactor.Update && !r.all {
		c.Changed = reactor.NewColumns()
		for _, num := range r.mask {
			c.Changed = c.Changed.With(uint16(num))
		}
	}
	if known && r.keys != "" {
		c.Keys = r.tuples(t)
	}
	return c
}

// tuples decodes keys; nil means the whole table. Numbers stay text: float64
// would round int8 (C9).
func (r *row) tuples(t Table) []reactor.Tuple {
	// A database in SQL_ASCII holds bytes that JSON's decoder would replace.
	if !utf8.ValidString(r.keys) {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(r.keys))
	dec.UseNumber()
	if r.cols != nil {
		return flatTuples(dec, r.cols, t)
	}
	var objects []map[string]any
	if err := dec.Decode(&objects); err != nil {
		return nil
	}
	out := make([]reactor.Tuple, 0, len(objects))
	for _, object := range objects {
		tuple := reactor.Tuple{}
		for field, v := range object {
			num, err := strconv.ParseUint(field, 10, 16)
			if err != nil {
				continue
			}
			if d, ok := datum(uint16(num), t.Columns[uint16(num)].Kind, v); ok {
				tuple = append(tuple, d)
			}
		}
		if len(tuple) == 0 {
			return nil // matches everything
		}
		out = appendTuple(out, tuple)
	}
	return out
}

// flatTuples reads one array of the columns' values, row after row.
func flatTuples(dec *json.Decoder, cols []int16, t Table) []reactor.Tuple {
	var values []any
	if err := dec.Decode(&values); err != nil || len(cols) == 0 || len(values)%len(cols) != 0 {
		return nil
	}
	out := make([]reactor.Tuple, 0, len(values)/len(cols))
	for row := range slices.Chunk(values, len(cols)) {
		tuple := make(reactor.Tuple, 0, len(cols))
		for i, v := range row {
			if d, ok := datum(uint16(cols[i]), t.Columns[uint16(cols[i])].Kind, v); ok {
				tuple = append(tuple, d)
			}
		}
		if len(tuple) == 0 {
			return nil // matches everything
		}
		out = appendTuple(out, tuple)
	}
	return out
}

// appendTuple adds a tuple, its columns in order, unless it is the last one:
// one-row updates log old and new as they are, mostly twice the same.
func appendTuple(out []reactor.Tuple, tuple reactor.Tuple) []reactor.Tuple {
	slices.SortFunc(tuple, func(a, b reactor.Datum) int { return cmp.Compare(a.Column, b.Column) })
	if len(out) > 0 && slices.Equal(out[len(out)-1], tuple) {
		return out
	}
	return append(out, tuple)
}

// datum reads one value; false leaves the column out: too large, gone, or of a
// kind without canonical form (C7, C9).
func datum(num uint16, kind reactor.Kind, v any) (reactor.Datum, bool) {
	d := reactor.Datum{Column: num}
	if kind == reactor.KindNone {
		return d, false
	}
	var text string
	switch v := v.(type) {
	case nil:
		d.Null = true
		return d, true
	case string:
		text = v
	case json.Number:
		text = v.String()
	case bool:
		text = strconv.FormatBool(v)
	default:
		return d, false // an object stands for "matches everything"
	}
	if len(text) > 2*maxValueBytes+2 { // what was compressed in the table, or bytea's digits
		return d, false
	}
	var ok bool
	d.Value, ok = reactor.ParseValue(kind, text)
	return d, ok
}
