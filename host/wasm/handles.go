package wasm

import (
	"encoding/binary"
	"fmt"

	"weir/abi"
)

// maxIndexes bounds a list of row indexes, whatever the limit of rows is.
const maxIndexes = 1 << 20

// maxColumns is more than a result of PostgreSQL can have.
const maxColumns = 1664

// hold keeps a view and returns its handle, from 1. Numbers are not used again,
// so a closed handle never names another result.
func (f *frame) hold(v *View) int64 {
	if limit := f.inst.pool.config.Limits.MaxHandles; f.open >= limit {
		return f.limited("handles", fmt.Sprintf("more than %d results are open: close some", limit))
	}
	f.open++
	f.handles = append(f.handles, v)
	return int64(len(f.handles))
}

// held returns the view of a handle, or an errno.
func (f *frame) held(p uint64) (*View, int64) {
	if i := uint64(uint32(p)); i > 0 && i <= uint64(len(f.handles)) && f.handles[i-1] != nil {
		return f.handles[i-1], 0
	}
	return nil, f.fail(abi.ErrnoHandle, "")
}

func (f *frame) closeHandle(p []uint64) int64 {
	if _, errno := f.held(p[0]); errno != 0 {
		return errno
	}
	f.handles[uint32(p[0])-1] = nil
	f.open--
	return 0
}

// look returns a view whose rows are there: it runs what has not run (G13).
func (f *frame) look(p uint64) (*View, int64) {
	v, errno := f.held(p)
	if errno != 0 {
		return nil, errno
	}
	f.looked = true
	// An error of another query of the same flush is told when its own handle is
	// looked at.
	f.flush()
	if v.query.Err != nil {
		return nil, f.refused(v.query.Err)
	}
	if err := v.Check(); err != nil {
		return nil, f.fail(abi.ErrnoInvalid, err.Error())
	}
	return v, 0
}

func (f *frame) rowsAffected(p []uint64) int64 {
	v, errno := f.held(p[0])
	switch {
	case errno != 0:
		return errno
	case !v.query.Exec:
		return f.fail(abi.ErrnoState, "rows_affected is for a result of exec")
	}
	return v.query.Affected
}

func (f *frame) rowsLen(p []uint64) int64 {
	v, errno := f.look(p[0])
	if errno != 0 {
		return errno
	}
	return int64(v.Len())
}

const (
	// maxPage is how much rows_read encodes at once, however large the guest's
	// buffer is; one row may be larger.
	maxPage = 256 << 10
	// minNeeded is the least that rows_read asks for, so that a length that is
	// needed is never taken for an errno.
	minNeeded = 64
)

// rowsRead writes as many whole rows as fit, one after the other, each a CBOR
// array. After the last row it writes nothing and returns 0.
func (f *frame) rowsRead(p []uint64) int64 {
	v, errno := f.look(p[0])
	if errno != 0 {
		return errno
	}
	offered, ok := f.view(p[2], p[3])
	if !ok {
		return f.fail(abi.ErrnoBounds, "")
	}
	page, end := f.page[:0], 0
	for row := int(uint32(p[1])); row < v.Len(); row++ {
		page = v.appendRowCBOR(page, row)
		if len(page) > len(offered) {
			break
		}
		end = len(page)
		if end >= maxPage {
			break
		}
	}
	f.charge(4 * len(page))
	if cap(page) <= 2*maxPage {
		f.page = page[:0] // keep what is not out of proportion
	}
	if end == 0 && len(page) > 0 {
		return -int64(max(len(page), minNeeded))
	}
	copy(offered, page[:end])
	return int64(end)
}

// rowsColumns writes the names of the columns that rows_read gives, as an array.
func (f *frame) rowsColumns(p []uint64) int64 {
	v, errno := f.look(p[0])
	if errno != 0 {
		return errno
	}
	return f.give(p[1], p[2], v.appendColumnsCBOR(nil))
}

func (f *frame) rowsPick(p []uint64) int64 {
	v, errno := f.held(p[0])
	if errno != 0 {
		return errno
	}
	rows, errno := f.indexes(p[1], p[2], f.inst.pool.config.Limits.MaxResultRows)
	if errno != 0 {
		return errno
	}
	return f.derive(v.picked(rows))
}

func (f *frame) rowsProject(p []uint64) int64 {
	v, errno := f.held(p[0])
	if errno != 0 {
		return errno
	}
	columns, errno := f.indexes(p[1], p[2], maxColumns)
	if errno != 0 {
		return errno
	}
	return f.derive(v.projected(columns))
}

// maxNestName bounds the name that nested rows get.
const maxNestName = 255

func (f *frame) rowsNest(p []uint64) int64 {
	v, errno := f.held(p[0])
	if errno != 0 {
		return errno
	}
	child, errno := f.held(p[3])
	if errno != 0 {
		return errno
	}
	name, e := f.text(p[1], p[2], maxNestName)
	if e != abi.OK {
		return f.fail(e, "")
	}
	if v.depth+child.depth+1 > abi.MaxDepth {
		return f.fail(abi.ErrnoLimit, fmt.Sprintf("results nest deeper than %d", abi.MaxDepth))
	}
	return f.derive(v.nested(nest{name: name, child: child, on: uint32(p[4]), column: uint32(p[5])}))
}

// derive keeps a reshaped view. What can be checked before the rows are there is
// checked; the rest when somebody looks.
func (f *frame) derive(v *View, err error) int64 {
	if err != nil {
		return f.fail(abi.ErrnoInvalid, err.Error())
	}
	return f.hold(v)
}

// indexes reads n little-endian numbers.
func (f *frame) indexes(ptr, n uint64, limit int) ([]uint32, int64) {
	if limit = min(limit, maxIndexes); uint32(n) > uint32(limit) {
		return nil, f.fail(abi.ErrnoLimit, fmt.Sprintf("more than %d indexes", limit))
	}
	data, ok := f.view(ptr, uint64(uint32(n))*4)
	if !ok {
		return nil, f.fail(abi.ErrnoBounds, "")
	}
	f.charge(8 * len(data))
	list := make([]uint32, uint32(n))
	for i := range list {
		list[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	return list, 0
}
