package weir

import (
	"unsafe"

	"weir/abi"
)

// Rows are the rows of a statement, still at the host. They are read only when
// asked for: a handler that returns them as they are never moves a row.
//
//	func recent(c *weir.Call, a RecentArgs) (weir.Rows[Message], error) {
//		return list.Rows(c, ListArgs{Room: a.Room, Limit: 20})
//	}
//
// Rows live as long as their Call, and belong to it.
type Rows[R any] struct{ held }

// held is Rows of any type.
type held struct {
	call   *Call
	s      *statement
	handle int32
}

// reply passes the rows on; the zero Rows are none.
func (h *held) reply(dst []byte) reply {
	if h.call == nil {
		return reply{tag: abi.TagValue, data: abi.AppendArray(dst, 0)}
	}
	return reply{tag: abi.TagHandle, handle: h.handle}
}

// Rows asks for the rows and reads none.
func (s *Statement[A, R]) Rows(c *Call, args A) (Rows[R], error) {
	return start[R](c, s.s, unsafe.Pointer(&args))
}

// All returns all rows; no row is an empty slice.
func (s *Statement[A, R]) All(c *Call, args A) ([]R, error) {
	rows, err := start[R](c, s.s, unsafe.Pointer(&args))
	if err != nil {
		return nil, err
	}
	return rows.All()
}

// One returns the only row; else ErrNoRow or ErrManyRows.
func (s *Statement[A, R]) One(c *Call, args A) (row R, err error) {
	rows, err := start[R](c, s.s, unsafe.Pointer(&args))
	if err != nil {
		return row, err
	}
	return rows.One()
}

// First returns the first row and whether there is one.
func (s *Statement[A, R]) First(c *Call, args A) (row R, ok bool, err error) {
	rows, err := start[R](c, s.s, unsafe.Pointer(&args))
	if err != nil {
		return row, false, err
	}
	return rows.First()
}

// Each calls f for each row, a page in memory at a time. An error of f ends it.
func (s *Statement[A, R]) Each(c *Call, args A, f func(R) error) error {
	rows, err := start[R](c, s.s, unsafe.Pointer(&args))
	if err != nil {
		return err
	}
	return rows.Each(f)
}

// All runs the command and returns the rows of RETURNING.
func (s *Command[A, R]) All(c *Call, args A) ([]R, error) {
	rows, err := startCommand[R](c, s.s, unsafe.Pointer(&args))
	if err != nil {
		return nil, err
	}
	return rows.All()
}

// One runs the command and returns the only row of RETURNING; else ErrNoRow or
// ErrManyRows. What was written stays written unless the mutation fails.
func (s *Command[A, R]) One(c *Call, args A) (row R, err error) {
	rows, err := startCommand[R](c, s.s, unsafe.Pointer(&args))
	if err != nil {
		return row, err
	}
	return rows.One()
}

// Run runs the command and returns how many rows it touched.
func (s *Command[A, R]) Run(c *Call, args A) (int64, error) {
	rows, err := startCommand[R](c, s.s, unsafe.Pointer(&args))
	if err != nil {
		return 0, err
	}
	n := c.rowsAffected(rows.handle)
	if n < 0 {
		return 0, c.refused(int32(n), s.s)
	}
	return n, nil
}

// start hands a SELECT to the host, which does not run it yet.
func start[R any](c *Call, s *statement, args unsafe.Pointer) (Rows[R], error) {
	if s.problem != nil {
		return Rows[R]{}, s.problem
	}
	buf := s.appendArgs(c.takeArgs()[:0], hidden(args))
	return opened[R](c, s, buf, c.query(s.index, buf))
}

// startCommand hands a command to the host, which runs it. It is apart from
// start, so that a plugin without commands does not import exec.
func startCommand[R any](c *Call, s *statement, args unsafe.Pointer) (Rows[R], error) {
	if s.problem != nil {
		return Rows[R]{}, s.problem
	}
	buf := s.appendArgs(c.takeArgs()[:0], hidden(args))
	return opened[R](c, s, buf, c.exec(s.index, buf))
}

func opened[R any](c *Call, s *statement, buf []byte, handle int32) (Rows[R], error) {
	c.giveArgs(buf)
	if handle < 0 {
		return Rows[R]{}, c.refused(handle, s)
	}
	return Rows[R]{held{c, s, handle}}, nil
}

// Len returns the number of rows. It runs the statement if nothing did yet.
func (r Rows[R]) Len() (int, error) {
	if r.call == nil {
		return 0, nil
	}
	n := r.call.rowsLen(r.handle)
	if n < 0 {
		return 0, r.call.refused(n, r.s)
	}
	return int(n), nil
}

// All returns all rows; no row is an empty slice.
func (r Rows[R]) All() ([]R, error) {
	n, err := r.Len()
	if err != nil {
		return nil, err
	}
	rows := make([]R, n)
	err = r.read(n, func(i int, d *abi.Decoder) error {
		return r.s.readRow(d, unsafe.Pointer(&rows[i]))
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// One returns the only row; else ErrNoRow or ErrManyRows.
func (r Rows[R]) One() (row R, err error) {
	n, err := r.Len()
	switch {
	case err != nil:
		return row, err
	case n == 0:
		return row, ErrNoRow
	case n > 1:
		return row, ErrManyRows
	}
	row, _, err = r.First()
	return row, err
}

// First returns the first row and whether there is one.
func (r Rows[R]) First() (row R, ok bool, err error) {
	n, err := r.Len()
	if err != nil || n == 0 {
		return row, false, err
	}
	var first R // apart from the result, so that an error returns none
	err = r.read(1, func(_ int, d *abi.Decoder) error {
		return r.s.readRow(d, unsafe.Pointer(&first))
	})
	if err != nil {
		return row, false, err
	}
	return first, true, nil
}

// Each calls f for each row, a page in memory at a time. An error of f ends it
// and is returned.
func (r Rows[R]) Each(f func(R) error) error {
	n, err := r.Len()
	if err != nil {
		return err
	}
	return r.read(n, func(_ int, d *abi.Decoder) error {
		var row R
		if err := r.s.readRow(d, unsafe.Pointer(&row)); err != nil {
			return err
		}
		return f(row)
	})
}

// Pick returns the rows with these indexes, in this order, without reading
// them: look at the rows, then let the host send the chosen ones.
func (r Rows[R]) Pick(indexes []uint32) (Rows[R], error) {
	if r.call == nil || len(indexes) == 0 && r.handle == 0 {
		return r, nil
	}
	handle := r.call.rowsPick(r.handle, indexes)
	if handle < 0 {
		return Rows[R]{}, r.call.refused(handle, r.s)
	}
	return Rows[R]{held{r.call, r.s, handle}}, nil
}

// read pulls pages until it has passed n rows to f. The page buffer is taken
// from the call, so that f may read other rows meanwhile.
func (r Rows[R]) read(n int, f func(i int, d *abi.Decoder) error) error {
	if n == 0 {
		return nil
	}
	page := r.call.takePage()
	defer func() { r.call.givePage(page) }()
	for i := 0; i < n; {
		size, err := r.readPage(int32(i), &page)
		if err != nil {
			return err
		}
		d := abi.NewDecoder(page[:size])
		for d.Offset() < size && i < n {
			if err := f(i, &d); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}

// readPage fills page with whole rows. When not one fits, the host says how
// much it needs.
func (r Rows[R]) readPage(from int32, page *[]byte) (int, error) {
	for range 2 {
		size := r.call.rowsRead(r.handle, from, *page)
		if size < 0 && int(-size) <= len(*page) {
			return 0, r.call.refused(size, r.s)
		}
		if size < 0 {
			size = -size
		}
		if size == 0 {
			return 0, errShortPage
		}
		if int(size) <= len(*page) {
			return int(size), nil
		}
		*page = make([]byte, size)
	}
	return 0, errShortPage
}
