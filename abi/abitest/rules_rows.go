package abitest

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"weir/abi"
)

func rowRules() []*HostRule { return []*HostRule{rulePages(), ruleShapes(), ruleNests()} }

// answers answers every statement with rows of the texts.
func answers(texts ...string) Call {
	return Call{Answer: func(context.Context, Asked) Answer {
		a := Answer{Columns: []string{"x"}}
		for _, s := range texts {
			a.Rows = append(a.Rows, []abi.Value{abi.Text(s)})
		}
		return a
	}}
}

func rulePages() *HostRule {
	r := &HostRule{Name: "host.pages", Says: "writes as many whole rows as fit, one after the other, each an array of its columns, and returns their length; 0 after the last row", Traps: "G14"}
	b := r.book(guest{pages: 40}, Setup{})
	row := func(i int64) []byte { return abi.Array(abi.Int(i), abi.Text(fmt.Sprint("p", i))).AppendCBOR(nil) }
	one := int32(len(row(0)))
	read := func(from, size int32) code { return host(abi.ImportRowsRead, askUsual, ints(from, dataAt, size)) }
	for _, c := range []struct{ from, size, want int32 }{
		{0, 1000, 3 * one},
		{1, 1000, 2 * one},
		{2, 1000, one},
		{0, 2*one + 1, 2 * one},
		{0, 2*one - 1, one},
		{0, one, one},
		// What is needed is never so small that it could be an errno.
		{0, one - 1, -64},
		{0, 0, -64},
		{3, 1000, 0},
		{4, 1000, 0},
		{3, 0, 0},
		{-1, 1000, 0},
		{-1 << 31, 1000, 0},
	} {
		b.number(fmt.Sprintf("from %d into %d", c.from, c.size), read(c.from, c.size), int64(c.want))
	}
	b.add("the bytes", valueOf(dataAt, read(1, one)), Call{}, gives(row(1)))
	b.add("rows_len", number(cat(rowsLen(askUsual), extend)), Call{}, is(3))
	none := Call{Answer: func(context.Context, Asked) Answer { return people(0) }}
	b.add("no rows", number(cat(read(0, 1000), extend)), none, is(0))
	b.add("no rows, rows_len", number(cat(rowsLen(askUsual), extend)), none, is(0))
	long := strings.Repeat("x", 5000)
	size := int64(len(abi.Array(abi.Text(long)).AppendCBOR(nil)))
	b.add("a row that does not fit says what it needs", number(cat(read(0, 100), extend)), answers(long), is(-size))
	b.add("and then is there", number(cat(read(0, int32(size)), extend)), answers(long), is(size))
	big := strings.Repeat("x", 10_000)
	many := answers(strings.Split(strings.TrimSuffix(strings.Repeat(big+",", 100), ","), ",")...)
	each := int64(len(abi.Array(abi.Text(big)).AppendCBOR(nil)))
	b.add("a page ends with the row that reaches 256 KiB", number(cat(host(abi.ImportRowsRead, askUsual, ints(0, 1<<17, 2<<20)), extend)), many,
		is((256<<10+each-1)/each*each))
	values := []abi.Value{abi.Null(), abi.Bool(true), abi.Int(-1 << 63), abi.Uint(1<<64 - 1), abi.Float(1.5), abi.Text("é"), abi.Bytes([]byte{0, 255}), abi.Array(abi.Int(1))}
	names := make([]string, len(values))
	for i := range names {
		names[i] = fmt.Sprint("c", i)
	}
	types := Call{Answer: func(context.Context, Asked) Answer { return Answer{Columns: names, Rows: [][]abi.Value{values}} }}
	b.add("every type", valueOf(dataAt, read(0, 1000)), types, gives(abi.Array(values...).AppendCBOR(nil)))
	return r
}

// u32s are little-endian numbers.
func u32s(ns ...uint32) []byte {
	var b bytes.Buffer
	for _, n := range ns {
		b.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	}
	return b.Bytes()
}

func ruleShapes() *HostRule {
	r := &HostRule{Name: "host.shapes", Says: "Lists of indexes and columns are little-endian u32, from 0, and need no alignment; an index may come twice"}
	g := guest{data: map[uint32][]byte{dataAt: u32s(2, 0, 2, 3), dataAt + 32: u32s(1, 0, 1), dataAt + 65: u32s(1)}}
	b := r.book(g, Setup{ResultRows: 20})
	pick := func(h code, at, n int32) code { return host(abi.ImportRowsPick, h, ints(at, n)) }
	project := func(h code, at, n int32) code { return host(abi.ImportRowsProject, h, ints(at, n)) }
	b.add("picked", handleOf(pick(askUsual, dataAt, 3)), Call{}, rowsAre(`[{"id":2,"name":"p2"},{"id":0,"name":"p0"},{"id":2,"name":"p2"}]`))
	b.add("none picked", handleOf(pick(askUsual, dataAt, 0)), Call{}, rowsAre(`[]`))
	b.add("picked twice", handleOf(pick(pick(askUsual, dataAt, 3), dataAt+32, 2)), Call{}, rowsAre(`[{"id":0,"name":"p0"},{"id":2,"name":"p2"}]`))
	b.add("without alignment", handleOf(pick(askUsual, dataAt+65, 1)), Call{}, rowsAre(`[{"id":1,"name":"p1"}]`))
	b.add("projected", handleOf(project(pick(askUsual, dataAt, 1), dataAt+32, 1)), Call{}, rowsAre(`[{"name":"p2"}]`))
	b.add("projected twice", handleOf(project(project(pick(askUsual, dataAt, 1), dataAt+32, 2), dataAt+32, 1)), Call{}, rowsAre(`[{"id":2}]`))
	b.add("projected rows are read so", valueOf(dataAt+128, host(abi.ImportRowsRead, project(askUsual, dataAt+32, 2), ints(1, dataAt+128, 5))), Call{},
		gives(abi.Array(abi.Text("p1"), abi.Int(1)).AppendCBOR(nil)))
	b.number("the length of picked rows", rowsLen(pick(askUsual, dataAt, 2)), 2)
	b.add("columns have names", valueOf(dataAt+128, host(abi.ImportRowsColumns, project(askUsual, dataAt+32, 3), ints(dataAt+128, 100))), Call{},
		gives(abi.Array(abi.Text("name"), abi.Text("id"), abi.Text("name")).AppendCBOR(nil)))
	b.errno("a row that is not there", rowsLen(pick(askUsual, dataAt, 4)), abi.ErrnoInvalid)
	b.errno("a column that is not there", rowsLen(project(askUsual, dataAt, 2)), abi.ErrnoInvalid)
	b.errno("a row of picked rows that is not there", pick(pick(askUsual, dataAt, 1), dataAt+32, 1), abi.ErrnoInvalid)
	b.errno("more than the rows of a result", pick(askUsual, 0, 21), abi.ErrnoLimit)
	b.errno("more than 1664 columns", project(askUsual, 0, 1665), abi.ErrnoLimit)
	gone := func(o *Outcome, err error) string {
		if err == nil && o.Tag == abi.TagHandle {
			return fmt.Sprintf("got the rows %s", o.Rows)
		}
		return ""
	}
	b.add("a row that is not there, returned", handleOf(pick(askUsual, dataAt, 4)), Call{}, gone)
	return r
}

func ruleNests() *HostRule {
	r := &HostRule{Name: "host.nests", Says: "`rows_nest` matches a row with the child's rows whose `child_col` equals its `on_col`"}
	b := r.book(guest{data: map[uint32][]byte{dataAt: []byte(strings.Repeat("n", 300)), dataAt + 512: u32s(0)}}, Setup{})
	nest := func(h code, length int32, child code, on, column int32) code {
		return host(abi.ImportRowsNest, h, ints(dataAt, length), child, ints(on, column))
	}
	byKey := Call{Answer: func(_ context.Context, a Asked) Answer {
		if a.Statement == 0 {
			return people(2)
		}
		return Answer{Columns: []string{"of", "x"}, Rows: [][]abi.Value{
			{abi.Int(1), abi.Text("a")}, {abi.Int(1), abi.Text("b")}, {abi.Null(), abi.Text("c")}, {abi.Int(7), abi.Text("d")},
		}}
	}}
	child := host(abi.ImportQuery, ints(3, argsAt, argsLen))
	b.add("by a column", handleOf(nest(askUsual, 1, child, 0, 0)), byKey,
		rowsAre(`[{"id":0,"name":"p0","n":[]},{"id":1,"name":"p1","n":[{"of":1,"x":"a"},{"of":1,"x":"b"}]}]`))
	b.add("what is nested is not in rows_read", valueOf(dataAt+1024, host(abi.ImportRowsRead, nest(askUsual, 1, child, 0, 0), ints(1, dataAt+1024, 5))), byKey,
		gives(abi.Array(abi.Int(1), abi.Text("p1")).AppendCBOR(nil)))
	null := Call{Answer: func(_ context.Context, a Asked) Answer {
		return Answer{Columns: []string{"of"}, Rows: [][]abi.Value{{abi.Null()}}}
	}}
	b.add("null equals nothing", handleOf(nest(askUsual, 1, child, 0, 0)), null, rowsAre(`[{"of":null,"n":[]}]`))
	b.number("a name of 255 bytes", nest(askUsual, 255, child, 0, 0), 3)
	b.errno("a name of 256", nest(askUsual, 256, child, 0, 0), abi.ErrnoLimit)
	b.errno("a column that is not there", rowsLen(nest(askUsual, 1, child, 9, 0)), abi.ErrnoInvalid)
	b.errno("a child's column that is not there", rowsLen(nest(askUsual, 1, child, 0, 9)), abi.ErrnoInvalid)
	// Each turn nests the last result into the first.
	deeper := func(turns int32) code {
		return cat(askUsual, set(localA), repeat(turns, localB, cat(nest(i32c(1), 1, get(localA), 0, 0), set(localA))), get(localA))
	}
	b.number("32 levels", deeper(32), 33)
	b.errno("33 levels", deeper(33), abi.ErrnoLimit)
	return r
}
