package db

import (
	"weir/abi"
)

// nested is a nested column: the rows of a child statement, found by a value of
// the parent.
type nested struct {
	name string
	head []byte
	on   int // column of the parent
	rows *Rows
	find map[string][]int32 // child rows by key, in SQL order
}

// Nest returns the rows with the child's rows under name in each: those whose
// column childCol equals the parent's column on. Nothing is copied. Values are
// compared as by Equal.
func (r *Rows) Nest(name string, on int, child *Rows, childCol int) *Rows {
	n := nested{name: name, head: memberHead(name), on: on, rows: child, find: make(map[string][]int32, child.count)}
	same := on < len(r.columns) && childCol < len(child.columns) &&
		r.columns[on].layout.family() == child.columns[childCol].layout.family()
	for row := range child.count {
		if k, ok := child.key(row, childCol); ok && same {
			n.find[k] = append(n.find[k], int32(row))
		}
	}
	out := *r
	out.nested = append(append([]nested(nil), r.nested...), n)
	return &out
}

// NestedRows returns the child's rows behind a nested column and which of them
// belong to a row, or nil when the column is not nested.
func (r *Rows) NestedRows(row, col int) (*Rows, []int32) {
	if col < len(r.columns) || col >= r.Columns() {
		return nil, nil
	}
	n := &r.nested[col-len(r.columns)]
	return n.rows, n.of(r, row)
}

func (n *nested) of(parent *Rows, row int) []int32 {
	k, ok := parent.key(row, n.on)
	if !ok {
		return nil
	}
	return n.find[k]
}

func (n *nested) appendJSON(dst []byte, parent *Rows, row int) []byte {
	dst = append(dst, '[')
	for i, child := range n.of(parent, row) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = n.rows.AppendRowJSON(dst, int(child))
	}
	return append(dst, ']')
}

func (n *nested) appendCBOR(dst []byte, parent *Rows, row int) []byte {
	rows := n.of(parent, row)
	dst = abi.AppendArray(dst, len(rows))
	for _, child := range rows {
		dst = n.rows.AppendRowCBOR(dst, int(child))
	}
	return dst
}

// parents returns the distinct values of a column as the set that a child
// statement takes.
func (r *Rows) parents(col int) abi.Value {
	seen := make(map[string]bool, r.count)
	var set []abi.Value
	for row := range r.count {
		if k, ok := r.key(row, col); ok && !seen[k] {
			seen[k] = true
			set = append(set, r.Value(row, col))
		}
	}
	return abi.Array(set...)
}

// memberHead returns a JSON member's name with its colon.
func memberHead(name string) []byte { return append(appendJSONString(nil, []byte(name)), ':') }
