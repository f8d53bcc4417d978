package wasm

import (
	"errors"
	"fmt"

	"weir/abi"
	"weir/host/tenant"
)

// View is rows that a guest chose and shaped without reading them. It is made
// of queries, which may still have to run, and outlives the call. It is not safe
// for concurrent use.
type View struct {
	query   *Query
	rows    []uint32 // of the query; nil is all
	columns []uint32 // of the query; nil is all
	nests   []*nest
	depth   int  // how deep nests go
	checked bool // what the rows decide was checked
}

// nest puts the rows of child whose column equals the parent's on into each
// parent row. on counts the query's columns, column those of the child.
type nest struct {
	name       string
	child      *View
	on, column uint32
}

// Query returns the query that the rows come from, without nested ones.
func (v *View) Query() *Query { return v.query }

// Plain reports whether the view is the whole result of its query.
func (v *View) Plain() bool { return v.rows == nil && v.columns == nil && len(v.nests) == 0 }

// Queries returns all queries that the view needs, each once. They must have run
// before anything below is asked.
func (v *View) Queries() []*Query {
	if len(v.nests) == 0 {
		return []*Query{v.query}
	}
	var all []*Query
	seen := map[any]bool{}
	var walk func(v *View)
	walk = func(v *View) {
		if seen[v] {
			return
		}
		seen[v] = true
		if !seen[v.query] {
			seen[v.query] = true
			all = append(all, v.query)
		}
		for _, n := range v.nests {
			walk(n.child)
		}
	}
	walk(v)
	return all
}

// Check reports an index that the result does not have, a statement that failed
// and one that did not run.
func (v *View) Check() error {
	if v.checked {
		return nil
	}
	switch {
	case v.query.Err != nil:
		return v.query.Err
	case v.query.Rows == nil:
		return errors.New("BUG: a view of a query that did not run")
	}
	rows, columns := v.query.Rows.Len(), v.query.Rows.Columns()
	for _, i := range v.rows {
		if int64(i) >= int64(rows) {
			return fmt.Errorf("row %d is picked of a result of %d", i, rows)
		}
	}
	for _, i := range v.columns {
		if int64(i) >= int64(columns) {
			return fmt.Errorf("column %d is projected of a result of %d", i, columns)
		}
	}
	for _, n := range v.nests {
		if err := n.child.Check(); err != nil {
			return err
		}
		if int64(n.on) >= int64(columns) || int64(n.column) >= int64(n.child.query.Rows.Columns()) {
			return fmt.Errorf("%s is nested by a column that the result does not have", n.name)
		}
	}
	v.checked = true
	return nil
}

// Len returns the number of rows.
func (v *View) Len() int {
	if v.rows != nil {
		return len(v.rows)
	}
	return v.query.Rows.Len()
}

// AppendJSON appends the rows as an array of objects. Over max bytes it returns
// tenant.ErrResultTooLarge.
func (v *View) AppendJSON(dst []byte, max int) ([]byte, error) {
	s, err := v.shape()
	if err != nil {
		return dst, err
	}
	end := len(dst) + max
	dst = append(dst, '[')
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = s.appendRow(dst, v.row(i), end); err != nil {
			return dst, err
		}
	}
	if dst = append(dst, ']'); len(dst) > end {
		return dst, tenant.ErrResultTooLarge
	}
	return dst, nil
}

// AppendRowJSON appends one row as an object, with the same bound.
func (v *View) AppendRowJSON(dst []byte, row, max int) ([]byte, error) {
	s, err := v.shape()
	if err != nil {
		return dst, err
	}
	return s.appendRow(dst, v.row(row), len(dst)+max)
}

// row returns the query's index of a row.
func (v *View) row(i int) int {
	if v.rows != nil {
		return int(v.rows[i])
	}
	return i
}

// column returns the query's index of a column.
func (v *View) column(i int) int {
	if v.columns != nil {
		return int(v.columns[i])
	}
	return i
}

// width returns the number of columns.
func (v *View) width() int {
	if v.columns != nil {
		return len(v.columns)
	}
	return v.query.Rows.Columns()
}

// appendRowCBOR appends one row as an array of its columns, without nested rows.
func (v *View) appendRowCBOR(dst []byte, row int) []byte {
	rows := v.query.Rows
	row = v.row(row)
	return v.appendScalars(dst, func(dst []byte, column int) []byte {
		return rows.AppendValueCBOR(dst, row, column)
	})
}

// appendColumnsCBOR appends the names of those columns.
func (v *View) appendColumnsCBOR(dst []byte) []byte {
	return v.appendScalars(dst, func(dst []byte, column int) []byte {
		return abi.AppendText(dst, v.query.Rows.ColumnName(column))
	})
}

// appendScalars appends an array of what the columns have that a guest reads.
func (v *View) appendScalars(dst []byte, of func(dst []byte, column int) []byte) []byte {
	count, width, scalars := 0, v.width(), v.query.Rows.Scalars()
	for i := range width {
		if v.column(i) < scalars {
			count++
		}
	}
	dst = abi.AppendArray(dst, count)
	for i := range width {
		if column := v.column(i); column < scalars {
			dst = of(dst, column)
		}
	}
	return dst
}

// picked returns a view of some rows, in the order of the list.
func (v *View) picked(rows []uint32) (*View, error) {
	if v.rows != nil {
		for i, r := range rows {
			if int(r) >= len(v.rows) {
				return nil, fmt.Errorf("row %d is picked of a result of %d", r, len(v.rows))
			}
			rows[i] = v.rows[r]
		}
	}
	w := *v
	w.rows, w.checked = rows, false
	return &w, nil
}

// projected returns a view of some columns. What is nested stays.
func (v *View) projected(columns []uint32) (*View, error) {
	for i, c := range columns {
		base, err := v.base(c)
		if err != nil {
			return nil, err
		}
		columns[i] = base
	}
	w := *v
	w.columns, w.checked = columns, false
	return &w, nil
}

// nested returns a view with one more nest, whose columns count those of the
// two views.
func (v *View) nested(n nest) (*View, error) {
	var err error
	if n.on, err = v.base(n.on); err != nil {
		return nil, err
	}
	if n.column, err = n.child.base(n.column); err != nil {
		return nil, err
	}
	w := *v
	// The list is copied: another view may have grown from the same one.
	w.nests = append(append([]*nest(nil), v.nests...), &n)
	w.depth, w.checked = max(v.depth, n.child.depth+1), false
	return &w, nil
}

// base returns the query's index of a column, which may turn out not to exist
// when the rows are there.
func (v *View) base(column uint32) (uint32, error) {
	if v.columns == nil {
		return column, nil
	}
	if int64(column) >= int64(len(v.columns)) {
		return 0, fmt.Errorf("column %d of a result of %d", column, len(v.columns))
	}
	return v.columns[column], nil
}

// shape is a view made ready for rendering: keys encoded, children grouped.
type shape struct {
	view  *View
	keys  [][]byte // `"name":`, per column
	nests []shapedNest
}

type shapedNest struct {
	key    []byte
	on     int
	child  *shape
	groups map[string][]int // the child's rows by their column's CBOR
}

// shape prepares the view and all that it nests.
func (v *View) shape() (*shape, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	// A view may be nested in many places: each is shaped once, or a guest could
	// make the work grow with the power of its handles.
	return v.shaped(map[*View]*shape{}), nil
}

func (v *View) shaped(done map[*View]*shape) *shape {
	if s := done[v]; s != nil {
		return s
	}
	s := &shape{view: v}
	done[v] = s
	for i := range v.width() {
		s.keys = append(s.keys, jsonKey(v.query.Rows.ColumnName(v.column(i))))
	}
	for _, n := range v.nests {
		groups := make(map[string][]int)
		var key []byte
		for i := range n.child.Len() {
			row := n.child.row(i)
			key = n.child.query.Rows.AppendValueCBOR(key[:0], row, int(n.column))
			groups[string(key)] = append(groups[string(key)], row)
		}
		s.nests = append(s.nests, shapedNest{jsonKey(n.name), int(n.on), n.child.shaped(done), groups})
	}
	return s
}

func jsonKey(name string) []byte { return append(abi.Text(name).AppendJSON(nil), ':') }

// null is the CBOR of SQL's NULL, which equals nothing.
var null = string(abi.AppendNull(nil))

// appendRow appends a row of the query as an object. Every nested list costs
// bytes, so the bound on bytes also bounds the work.
func (s *shape) appendRow(dst []byte, row, end int) ([]byte, error) {
	rows := s.view.query.Rows
	dst = append(dst, '{')
	for i, key := range s.keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = rows.AppendValueJSON(append(dst, key...), row, s.view.column(i))
	}
	for i, n := range s.nests {
		if i > 0 || len(s.keys) > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, n.key...), '[')
		key := string(rows.AppendValueCBOR(nil, row, n.on))
		if key == null {
			dst = append(dst, ']')
			continue
		}
		for j, child := range n.groups[key] {
			if j > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = n.child.appendRow(dst, child, end); err != nil {
				return dst, err
			}
		}
		dst = append(dst, ']')
	}
	if dst = append(dst, '}'); len(dst) > end {
		return dst, tenant.ErrResultTooLarge
	}
	return dst, nil
}
