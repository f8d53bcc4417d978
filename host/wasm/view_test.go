package wasm

import (
	"encoding/binary"
	"errors"
	"testing"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// viewOf is a view of rows that are there.
func viewOf(rows Rows) *View { return &View{query: &Query{Rows: rows}} }

func grid(names []string, rows ...[]abi.Value) *table { return &table{names: names, rows: rows} }

func rendered(t *testing.T, v *View, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.AppendJSON(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestViewsReshapeWithoutReading(t *testing.T) {
	t.Parallel()
	f := func(want string, v *View, err error) {
		t.Helper()
		if got := rendered(t, v, err); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	base := viewOf(people(4))
	f(`[{"id":0,"name":"p0"},{"id":1,"name":"p1"},{"id":2,"name":"p2"},{"id":3,"name":"p3"}]`, base, nil)
	f(`[]`, viewOf(people(0)), nil)

	picked, err := base.picked([]uint32{3, 1, 1})
	f(`[{"id":3,"name":"p3"},{"id":1,"name":"p1"},{"id":1,"name":"p1"}]`, picked, err)
	again, err := picked.picked([]uint32{1, 0})
	f(`[{"id":1,"name":"p1"},{"id":3,"name":"p3"}]`, again, err)
	none, err := base.picked([]uint32{})
	f(`[]`, none, err)

	names, err := picked.projected([]uint32{1})
	f(`[{"name":"p3"},{"name":"p1"},{"name":"p1"}]`, names, err)
	swapped, err := base.projected([]uint32{1, 0})
	if err != nil {
		t.Fatal(err)
	}
	id, err := swapped.projected([]uint32{1})
	f(`[{"id":0},{"id":1},{"id":2},{"id":3}]`, id, err)
	empty, err := id.projected(nil)
	f(`[{"id":0},{"id":1},{"id":2},{"id":3}]`, id, err)
	_ = empty

	row, err := names.AppendRowJSON([]byte("x"), 0, 100)
	if err != nil || string(row) != `x{"name":"p3"}` {
		t.Errorf("row %s %v", row, err)
	}
	if base.Plain() == false || picked.Plain() || names.Plain() {
		t.Error("Plain does not tell a reshaped view")
	}
}

// Rows are nested by equal values; NULL equals nothing, not even NULL.
func TestNestsGroupByValue(t *testing.T) {
	t.Parallel()
	i, s, null := func(n int64) abi.Value { return abi.Int(n) }, abi.Text, abi.Null()
	rooms := viewOf(grid([]string{"id", "name"}, []abi.Value{i(7), s("den")}, []abi.Value{null, s("void")}, []abi.Value{i(8), s("hall")}))
	members := viewOf(grid([]string{"room", "who"}, []abi.Value{i(8), s("ann")}, []abi.Value{i(7), s("bob")}, []abi.Value{null, s("eve")}, []abi.Value{i(8), s("cy")}))
	who, err := members.projected([]uint32{1, 0})
	if err != nil {
		t.Fatal(err)
	}
	// The child's column counts its view: room is 1 there.
	v, err := rooms.nested(nest{name: "members", child: who, on: 0, column: 1})
	want := `[{"id":7,"name":"den","members":[{"who":"bob","room":7}]},{"id":null,"name":"void","members":[]},` +
		`{"id":8,"name":"hall","members":[{"who":"ann","room":8},{"who":"cy","room":8}]}]`
	if got := rendered(t, v, err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A pick and a projection keep what is nested, by columns that may be gone.
	p, err := v.picked([]uint32{2})
	if err != nil {
		t.Fatal(err)
	}
	p, err = p.projected([]uint32{1})
	if got, want := rendered(t, p, err), `[{"name":"hall","members":[{"who":"ann","room":8},{"who":"cy","room":8}]}]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if q := p.Queries(); len(q) != 2 || q[0] != rooms.query || q[1] != members.query {
		t.Errorf("queries %v", q)
	}
	// The view it was made from is as it was.
	if got := rendered(t, rooms, nil); got != `[{"id":7,"name":"den"},{"id":null,"name":"void"},{"id":8,"name":"hall"}]` {
		t.Errorf("nest changed its parent: %s", got)
	}
}

func TestViewsOfWhatIsNotThereAreRefused(t *testing.T) {
	t.Parallel()
	f := func(what string, v *View, err error) {
		t.Helper()
		if err == nil {
			_, err = v.AppendJSON(nil, 1000)
		}
		if err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	base := viewOf(people(2))
	v, err := base.picked([]uint32{2})
	f("row 2 of 2", v, err)
	v, err = base.picked([]uint32{0xffffffff})
	f("the last row that can be named", v, err)
	one, _ := base.picked([]uint32{1})
	v, err = one.picked([]uint32{1})
	f("row 1 of a pick of 1", v, err)
	v, err = base.projected([]uint32{2})
	f("column 2 of 2", v, err)
	narrow, _ := base.projected([]uint32{0})
	v, err = narrow.projected([]uint32{1})
	f("column 1 of a projection of 1", v, err)
	v, err = base.nested(nest{name: "x", child: base, on: 2})
	f("nest on column 2 of 2", v, err)
	v, err = base.nested(nest{name: "x", child: base, column: 9})
	f("nest by column 9 of 2", v, err)
	v, err = base.nested(nest{name: "x", child: narrow, column: 1})
	f("nest by a column outside the child's view", v, err)
	f("a query that did not run", &View{query: &Query{}}, nil)
	f("a query that failed", &View{query: &Query{Err: errors.New("x")}}, nil)
}

// W6: nesting a result in itself grows with the power of its depth. The bound on
// bytes bounds memory and work.
func TestNestsCannotGrowWithoutBound(t *testing.T) {
	t.Parallel()
	same := &table{names: []string{"k"}}
	for range 100 {
		same.rows = append(same.rows, []abi.Value{abi.Int(1)})
	}
	v := viewOf(same)
	for range abi.MaxDepth {
		var err error
		if v, err = v.nested(nest{name: "n", child: v}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := v.AppendJSON(nil, 1<<20)
	if !errors.Is(err, tenant.ErrResultTooLarge) || cap(b) > 8<<20 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := viewOf(people(2)).AppendJSON(make([]byte, 50), 46); !errors.Is(err, nil) {
		t.Errorf("46 bytes are the bound and the result: %v", err)
	}
	if _, err := viewOf(people(2)).AppendJSON(nil, 42); !errors.Is(err, tenant.ErrResultTooLarge) {
		t.Errorf("over by one: %v", err)
	}
	if _, err := viewOf(people(1)).AppendRowJSON(nil, 0, 5); !errors.Is(err, tenant.ErrResultTooLarge) {
		t.Errorf("a row: %v", err)
	}
}

// nestedTable has its last column filled by a nested statement.
type nestedTable struct{ *table }

func (n nestedTable) Scalars() int { return n.Columns() - 1 }

func TestPagesHoldNoNestedRows(t *testing.T) {
	t.Parallel()
	v := viewOf(nestedTable{people(1)})
	if got, want := string(v.appendRowCBOR(nil, 0)), string(abi.Array(abi.Int(0)).AppendCBOR(nil)); got != want {
		t.Errorf("page %x, want %x", got, want)
	}
	if got := rendered(t, v, nil); got != `[{"id":0,"name":"p0"}]` {
		t.Errorf("JSON %s", got)
	}
	swapped, err := v.projected([]uint32{1, 0})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(swapped.appendRowCBOR(nil, 0)), string(abi.Array(abi.Int(0)).AppendCBOR(nil)); got != want {
		t.Errorf("page of a projection %x, want %x", got, want)
	}
}

// The same through the guest: rooms nest members, picked and projected by
// indexes in memory, and nothing is read.
func TestGuestShapesAView(t *testing.T) {
	t.Parallel()
	more := []byte("kids")
	for _, n := range []uint32{2, 0 /* rows */, 1 /* column */} {
		more = binary.LittleEndian.AppendUint32(more, n)
	}
	g, at, n := withArgs(more)
	query := host(abi.ImportQuery, push(0, at, n))
	nested := host(abi.ImportRowsNest, query, push(moreAt, 4), query, push(0, 0))
	picked := host(abi.ImportRowsPick, nested, push(moreAt+4, 2))
	g.Call = Join(host(abi.ImportRowsProject, picked, push(moreAt+12, 1)), PackHandle())
	b := &backend{}
	out := call(t, newPool(t, g, PoolConfig{}), Call{Statements: twoParams, Backend: b})
	if out.Looked || len(b.ran) != 0 || len(out.View.Queries()) != 2 {
		t.Fatalf("output %+v", out)
	}
	if err := b.Query(t.Context(), out.View.Queries()); err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"p2","kids":[{"id":2,"name":"p2"}]},{"name":"p0","kids":[{"id":0,"name":"p0"}]}]`
	if got := rendered(t, out.View, nil); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Looking at a pick of a row that is not there is the guest's error.
	small := &backend{rows: func(*Query) (Rows, error) { return people(1), nil }}
	code := host(abi.ImportRowsLen, host(abi.ImportRowsPick, query, push(moreAt+4, 2)))
	if got := resultOf(t, g, code, Call{Statements: twoParams, Backend: small}); got != -int32(abi.ErrnoInvalid) {
		t.Errorf("rows_len of a bad pick: %d", got)
	}
}
