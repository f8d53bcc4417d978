package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// hostImports are all host functions, so that tests can name them.
var hostImports = []Import{
	Host(abi.ImportQuery, "iii:i"), Host(abi.ImportQuerySQL, "iiii:i"), Host(abi.ImportExec, "iii:i"),
	Host(abi.ImportRowsAffected, "i:I"), Host(abi.ImportRowsLen, "i:i"), Host(abi.ImportRowsRead, "iiii:i"), Host(abi.ImportRowsColumns, "iii:i"),
	Host(abi.ImportRowsPick, "iii:i"), Host(abi.ImportRowsProject, "iii:i"), Host(abi.ImportRowsNest, "iiiiii:i"),
	Host(abi.ImportClose, "i:i"), Host(abi.ImportNow, ":I"), Host(abi.ImportWakeAt, "I:i"),
	Host(abi.ImportRandom, "ii:i"), Host(abi.ImportLog, "iii:i"), Host(abi.ImportConfig, "iiii:i"), Host(abi.ImportError, "ii:i"),
}

// host calls a host function by its name with the arguments that code pushed.
func host(name string, args ...[]byte) []byte {
	for i, im := range hostImports {
		if im.Name == name {
			return Join(Join(args...), Invoke(i))
		}
	}
	panic("no host function " + name)
}

// push pushes numbers.
func push(ns ...int32) []byte {
	var code []byte
	for _, n := range ns {
		code = append(code, I32(n)...)
	}
	return code
}

// withArgs is a guest whose memory holds the arguments [1, "a"] at DataAt+1024
// and more data at DataAt+2048.
func withArgs(more []byte) (g Guest, at, n int32) {
	args := abi.Array(abi.Int(1), abi.Text("a")).AppendCBOR(nil)
	const more0 = DataAt + 2048
	return Guest{Imports: hostImports, Data: map[uint32][]byte{DataAt + 1024: args, more0: more}}, DataAt + 1024, int32(len(args))
}

const moreAt = DataAt + 2048

var twoParams = Statements{0: 2, 3: 2, 5: 0}

// G13: a query is recorded and runs when somebody looks, all that wait together.
func TestQueriesAreLazy(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	query := host(abi.ImportQuery, push(0, at, n))
	b := &backend{}

	// Never looked at: nothing ran, and the output tells what was asked for.
	g.Call = Join(query, Drop(), query, PackHandle())
	out := call(t, newPool(t, g, PoolConfig{}), Call{Statements: twoParams, Backend: b})
	if len(b.ran) != 0 || out.Looked || len(out.Queries) != 2 || out.Queries[0].Ran() {
		t.Fatalf("ran %v, output %+v", b.ran, out)
	}
	q := out.Queries[1]
	if out.Kind != OutputRows || out.View.Query() != q || !out.View.Plain() || q.Statement != 0 || len(q.Args) != 2 || !q.Args[1].Equal(abi.Text("a")) {
		t.Errorf("view %+v of %+v", out.View, q)
	}
	// The host runs it after the call.
	if err := b.Query(t.Context(), out.View.Queries()); err != nil {
		t.Fatal(err)
	}
	rows, err := out.View.AppendJSON(nil, 1000)
	if err != nil || string(rows) != `[{"id":0,"name":"p0"},{"id":1,"name":"p1"},{"id":2,"name":"p2"}]` {
		t.Errorf("%s %v", rows, err)
	}

	// Looked at: both ran at once, in order, before the guest went on.
	b = &backend{}
	g.Call = number(Join(query, Drop(), host(abi.ImportRowsLen, query)))
	out = call(t, newPool(t, g, PoolConfig{}), Call{Statements: twoParams, Backend: b})
	if numberOf(t, out) != 3 || !out.Looked || len(b.ran) != 1 || len(b.ran[0]) != 2 {
		t.Errorf("ran %v, output %+v", b.ran, out)
	}
}

// A plan is a call that saw nothing which another run could see otherwise (G13).
func TestLookingIsNoticed(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	query := host(abi.ImportQuery, push(0, at, n))
	f := func(name string, code []byte, looked bool) {
		t.Helper()
		g.Call = Join(code, Drop(), Pack(abi.TagNone, 0, 0))
		c := Call{Statements: twoParams, Backend: &backend{}, Config: func(string) (string, bool) { return "", true }}
		if out := call(t, newPool(t, g, PoolConfig{}), c); out.Looked != looked {
			t.Errorf("%s: looked is %v", name, out.Looked)
		}
	}
	f("query", query, false)
	f("project", host(abi.ImportRowsProject, query, push(moreAt, 1)), false)
	f("nest", host(abi.ImportRowsNest, query, push(moreAt, 0), query, push(0, 0)), false)
	f("config", host(abi.ImportConfig, push(moreAt, 0, 0, 0)), false)
	f("log", host(abi.ImportLog, push(1, moreAt, 0)), false)
	f("len", host(abi.ImportRowsLen, query), true)
	f("read", host(abi.ImportRowsRead, query, push(0, moreAt, 100)), true)
	f("columns", host(abi.ImportRowsColumns, query, push(moreAt, 100)), true)
	f("now", host(abi.ImportNow), true)
	f("random", host(abi.ImportRandom, push(moreAt, 4)), true)
	f("wake_at", host(abi.ImportWakeAt, I64(0)), true)
}

// The names are those of the columns in a page, in their order.
func TestColumnsHaveNames(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	query := host(abi.ImportQuery, push(0, at, n))
	f := func(handle []byte, names ...string) {
		t.Helper()
		var want []abi.Value
		for _, name := range names {
			want = append(want, abi.Text(name))
		}
		size := int32(len(abi.Array(want...).AppendCBOR(nil)))
		c := Call{Statements: twoParams, Backend: &backend{}}
		// Too small a buffer stays as it was.
		if got := resultOf(t, g, host(abi.ImportRowsColumns, handle, push(moreAt+4, size-1)), c); got != size {
			t.Errorf("%v: %d bytes are needed, want %d", names, got, size)
		}
		g := g
		g.Call = Join(host(abi.ImportRowsColumns, handle, push(moreAt+4, size)), PackValueAt(moreAt+4))
		if out := call(t, newPool(t, g, PoolConfig{}), c); string(out.Value) != string(abi.Array(want...).AppendCBOR(nil)) {
			t.Errorf("%v: %x", names, out.Value)
		}
	}
	f(query, "id", "name")
	f(host(abi.ImportRowsProject, query, push(moreAt, 1)), "name")
	f(host(abi.ImportRowsProject, query, push(moreAt, 3)), "name", "id", "id")
}

// What a guest gets wrong in a host function is an errno, never a fault.
// Cases: 26.
func TestWrongArgumentsAreErrnos(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs([]byte{0x9f, 0xff, 0x82, 0x01, 0xff})
	const size = 4 << 16
	query := host(abi.ImportQuery, push(0, at, n))
	f := func(name string, code []byte, want abi.Errno) {
		t.Helper()
		c := Call{Statements: twoParams, Backend: &backend{}}
		if got := resultOf(t, g, code, c); got != -int32(want) {
			t.Errorf("%s: %d, want -%d (%s)", name, got, want, want)
		}
	}
	f("statement not in uses", host(abi.ImportQuery, push(1, at, n)), abi.ErrnoGrant)
	f("negative statement", host(abi.ImportQuery, push(-1, at, n)), abi.ErrnoGrant)
	f("too few arguments", host(abi.ImportQuery, push(0, 0, 0)), abi.ErrnoInvalid)
	f("too many arguments", host(abi.ImportQuery, push(5, at, n)), abi.ErrnoInvalid)
	f("arguments outside memory", host(abi.ImportQuery, push(0, size-1, 2)), abi.ErrnoBounds)
	f("arguments that wrap", host(abi.ImportQuery, push(0, -1, 2)), abi.ErrnoBounds)
	f("too long arguments", host(abi.ImportQuery, push(0, 0, 1<<30)), abi.ErrnoLimit)
	f("indefinite arguments", host(abi.ImportQuery, push(0, moreAt, 2)), abi.ErrnoInvalid)
	f("truncated arguments", host(abi.ImportQuery, push(0, moreAt+2, 2)), abi.ErrnoInvalid)
	f("trailing arguments", host(abi.ImportQuery, push(0, at, n+1)), abi.ErrnoInvalid)
	f("no array", host(abi.ImportQuery, push(0, at+1, 1)), abi.ErrnoInvalid)
	f("dynamic without grant", host(abi.ImportQuerySQL, push(at, n, 0, 0)), abi.ErrnoGrant)
	f("exec in a query", host(abi.ImportExec, push(0, at, n)), abi.ErrnoState)
	f("handle 0", host(abi.ImportRowsLen, push(0)), abi.ErrnoHandle)
	f("handle of nobody", host(abi.ImportRowsLen, push(1)), abi.ErrnoHandle)
	f("negative handle", host(abi.ImportRowsRead, push(-1, 0, moreAt, 10)), abi.ErrnoHandle)
	f("close of nobody", host(abi.ImportClose, push(9)), abi.ErrnoHandle)
	f("columns of no handle", host(abi.ImportRowsColumns, push(7, moreAt, 10)), abi.ErrnoHandle)
	f("columns outside memory", host(abi.ImportRowsColumns, query, push(size-10, 11)), abi.ErrnoBounds)
	f("buffer outside memory", host(abi.ImportRowsRead, query, push(0, size-10, 11)), abi.ErrnoBounds)
	f("picks outside memory", host(abi.ImportRowsPick, query, push(size-4, 2)), abi.ErrnoBounds)
	f("picks that wrap", host(abi.ImportRowsPick, query, push(0, 1<<30)), abi.ErrnoLimit)
	f("too many picks", host(abi.ImportRowsPick, query, push(0, 10_001)), abi.ErrnoLimit)
	f("too many columns", host(abi.ImportRowsProject, query, push(0, maxColumns+1)), abi.ErrnoLimit)
	f("long nest name", host(abi.ImportRowsNest, query, push(0, 256), query, push(0, 0)), abi.ErrnoLimit)
	f("nest of nobody", host(abi.ImportRowsNest, query, push(0, 1, 99, 0, 0)), abi.ErrnoHandle)
	f("random outside", host(abi.ImportRandom, push(size, 1)), abi.ErrnoBounds)
	f("too much random", host(abi.ImportRandom, push(0, 1<<20+1)), abi.ErrnoLimit)
	f("log outside", host(abi.ImportLog, push(1, size, 1)), abi.ErrnoBounds)
	f("log level", host(abi.ImportLog, push(9, 0, 0)), abi.ErrnoInvalid)
	f("no key", host(abi.ImportConfig, push(at, 1, 0, 0)), abi.ErrnoMissing)
	f("long key", host(abi.ImportConfig, push(at, 256, 0, 0)), abi.ErrnoLimit)
	f("error outside", host(abi.ImportError, push(size, 1)), abi.ErrnoBounds)
	f("affected of a query", Join(host(abi.ImportRowsAffected, query), []byte{0xa7}), abi.ErrnoState)
}

// rows_read writes whole rows, tells what it needs and ends with nothing.
func TestRowsAreReadInPages(t *testing.T) {
	t.Parallel()
	rows := people(3)
	row := func(i int) []byte { return (&View{query: &Query{Rows: rows}}).appendRowCBOR(nil, i) }
	one := int32(len(row(0)))
	g, at, n := withArgs(nil)
	b := &backend{rows: func(*Query) (Rows, error) { return rows, nil }}
	read := func(from, size int32) int32 {
		t.Helper()
		code := host(abi.ImportRowsRead, host(abi.ImportQuery, push(0, at, n)), push(from, moreAt, size))
		return resultOf(t, g, code, Call{Statements: twoParams, Backend: b})
	}
	f := func(from, size, want int32) {
		t.Helper()
		if got := read(from, size); got != want {
			t.Errorf("rows_read(%d, %d) = %d, want %d", from, size, got, want)
		}
	}
	f(0, 1000, 3*one)
	f(1, 1000, 2*one)
	f(0, 2*one+1, 2*one)
	f(0, one, one)
	// What is needed is never so small that it could be an errno.
	f(0, one-1, -max(one, minNeeded))
	f(0, 0, -max(one, minNeeded))
	f(3, 1000, 0)
	f(-1, 1000, 0)

	// The bytes themselves, and not one more.
	g.Call = Join(host(abi.ImportRowsRead, host(abi.ImportQuery, push(0, at, n)), push(1, moreAt, one+1)), PackValueAt(moreAt))
	out := call(t, newPool(t, g, PoolConfig{}), Call{Statements: twoParams, Backend: b})
	if string(out.Value) != string(row(1)) {
		t.Errorf("got %x, want %x", out.Value, row(1))
	}
}

func TestPageIsBoundedHoweverLargeTheBuffer(t *testing.T) {
	t.Parallel()
	rows := &table{names: []string{"x"}}
	for range 100 {
		rows.rows = append(rows.rows, []abi.Value{abi.Bytes(make([]byte, 10_000))})
	}
	g, at, n := withArgs(nil)
	g.Pages = 40
	code := host(abi.ImportRowsRead, host(abi.ImportQuery, push(0, at, n)), push(0, 1<<17, 2<<20))
	b := &backend{rows: func(*Query) (Rows, error) { return rows, nil }}
	got := resultOf(t, g, code, Call{Statements: twoParams, Backend: b})
	if got < maxPage || got > maxPage+10_100 {
		t.Errorf("a page of %d bytes", got)
	}
}

// The error of a statement is the guest's to handle; its text reaches the guest
// only if it is about the guest's own statement.
func TestStatementErrorsReachTheGuest(t *testing.T) {
	t.Parallel()
	f := func(err error, want abi.Errno, text string) {
		t.Helper()
		g, at, n := withArgs(nil)
		b := &backend{rows: func(*Query) (Rows, error) { return nil, err }}
		look := host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n)))
		c := Call{Statements: twoParams, Backend: b}
		if got := resultOf(t, g, look, c); got != -int32(want) {
			t.Errorf("%v: errno %d, want %d", err, -got, want)
		}
		// The text, as a string of its length.
		g.Call = Join(look, Drop(), host(abi.ImportError, push(moreAt+3, 2000)), Put(2),
			push(moreAt, 0x79), Store(), // text, two bytes of length
			push(moreAt+1), Get(2), push(8), []byte{0x76}, Store(), // its high byte
			push(moreAt+2), Get(2), []byte{0x3a, 0, 0}, // its low byte
			host(abi.ImportError, push(moreAt+3, 2000)), push(3), []byte{0x6a}, PackValueAt(moreAt))
		out := call(t, newPool(t, g, PoolConfig{}), c)
		v, _ := abi.DecodeCBOR(out.Value)
		if got, _ := v.AsText(); got != text {
			t.Errorf("%v: the guest reads %q, want %q", err, got, text)
		}
		if !errors.Is(out.Queries[0].Err, err) {
			t.Errorf("the output does not carry %v", err)
		}
	}
	f(&abi.Error{Code: abi.SQLError, Message: "no such column"}, abi.ErrnoSQL, "sql_error: no such column")
	f(&abi.Error{Code: abi.Conflict, Message: "again"}, abi.ErrnoSQL, "conflict: again")
	f(&abi.Error{Code: abi.BadRequest, Message: "no int"}, abi.ErrnoType, "bad_request: no int")
	f(fmt.Errorf("argument 2: %w", abi.ErrnoType), abi.ErrnoType, "argument 2: wrong type")
	f(errors.New("password of 10.0.0.7 is wrong"), abi.ErrnoHost, abi.ErrnoHost.String())
	long := strings.Repeat("é", maxReason)
	f(&abi.Error{Code: "sql_error", Message: long}, abi.ErrnoSQL, ("sql_error: " + long)[:maxReason-1])
}

// A fault of the host ends the guest, whatever it would do (X4).
// Cases: 35.
func TestHostFaultsEndTheGuest(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	g.Call = Join(host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n))), Drop(), Pack(abi.TagNone, 0, 0))
	away := &abi.Error{Code: abi.Unavailable, Message: "the database is away"}
	f := func(name string, b Backend, code abi.Code, check func(*HostError)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e *HostError
			err := fails(t, newPool(t, g, PoolConfig{}), Call{Statements: twoParams, Backend: b}, code)
			if !errors.As(err, &e) || e.Func != abi.ImportRowsLen {
				t.Fatalf("got %v (%T)", err, err)
			}
			check(e)
		})
	}
	f("error", &backend{wait: func(context.Context) error { return away }}, abi.Unavailable, func(e *HostError) {
		if !errors.Is(e, away) || e.Bug {
			t.Errorf("got %+v", e)
		}
	})
	f("no backend", nil, abi.Internal, func(*HostError) {})
	f("no outcome", &backend{rows: func(*Query) (Rows, error) { return nil, nil }}, abi.Internal, func(*HostError) {})
	// Security 35: a panic of the host is a bug, told without the stack.
	for name, value := range map[string]any{"string": "whoops", "error": errors.New("whoops"), "runtime": nil} {
		panics := func(context.Context) error {
			if value == nil {
				var none *table
				_ = none.rows[0]
			}
			panic(value)
		}
		f("panic with "+name, &backend{wait: panics}, abi.Internal, func(e *HostError) {
			if !e.Bug || !strings.HasPrefix(e.Err.Error(), "BUG: panic: ") || e.Trace == "" {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// The token and the clock come back after a panic: the next calls work (G9).
// Cases: 30, 35.
func TestPanicsOfTheHostLeakNothing(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	g.Call = Join(host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n))), Drop(), Pack(abi.TagNone, 0, 0))
	p := newPool(t, g, PoolConfig{MaxInstances: 1})
	for range 3 * shared.config.MaxRunning {
		fails(t, p, Call{Statements: twoParams, Backend: &backend{wait: func(context.Context) error { panic("whoops") }}}, abi.Internal)
	}
	call(t, p, Call{Statements: twoParams, Backend: &backend{}})
}

// exec runs what was asked before it, then itself, at once.
func TestExecKeepsTheOrder(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	b := &backend{exec: func(_ context.Context, q *Query) error {
		q.Rows, q.Affected = people(1), 5_000_000_000
		return nil
	}}
	g.Call = Join(
		host(abi.ImportQuery, push(0, at, n)), Drop(),
		host(abi.ImportExec, push(3, at, n)), Put(2),
		push(moreAt, 0x1b), Store(), // a CBOR integer of eight bytes …
		push(moreAt+8), host(abi.ImportRowsAffected, Get(2)), Store64(), // … little-endian, read below
		host(abi.ImportQuery, push(0, at, n)), Drop(),
		Get(2), PackHandle())
	out := call(t, newPool(t, g, PoolConfig{}), Call{Kind: abi.Mutation, Statements: twoParams, Backend: b})
	if len(b.ran) != 2 || b.ran[0][0] != out.Queries[0] || b.ran[1][0] != out.Queries[1] || !out.Queries[1].Exec {
		t.Fatalf("ran %v of %v", b.ran, out.Queries)
	}
	if len(out.Queries) != 3 || out.Queries[2].Ran() || out.View.Query() != out.Queries[1] {
		t.Errorf("output %+v", out)
	}
	failing := &backend{exec: func(_ context.Context, q *Query) error {
		q.Err = &abi.Error{Code: abi.SQLError, Message: "duplicate key"}
		return nil
	}}
	if got := resultOf(t, g, host(abi.ImportExec, push(3, at, n)), Call{Kind: abi.Mutation, Statements: twoParams, Backend: failing}); got != -int32(abi.ErrnoSQL) {
		t.Errorf("a failed exec returned %d", got)
	}
}

func TestDynamicSQLNeedsTheGrant(t *testing.T) {
	t.Parallel()
	sql := []byte("select 1\x00")
	g, at, n := withArgs(sql)
	f := func(length, want int32) {
		t.Helper()
		g.Call = number(host(abi.ImportQuerySQL, push(moreAt, length, at, n)))
		p := newPool(t, g, PoolConfig{Dynamic: true})
		out := call(t, p, Call{})
		if got := numberOf(t, out); got != want {
			t.Errorf("query_sql of %d bytes returned %d, want %d", length, got, want)
		}
		if want > 0 && (out.Queries[0].SQL != "select 1" || out.Queries[0].Statement != -1 || len(out.Queries[0].Args) != 2) {
			t.Errorf("got %+v", out.Queries[0])
		}
	}
	f(8, 1)
	f(9, -int32(abi.ErrnoInvalid)) // NUL
	f(abi.MaxStatementText+1, -int32(abi.ErrnoLimit))
}

// X3: statements, handles and host calls are counted.
// Cases: 32.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	query := host(abi.ImportQuery, push(0, at, n))
	c := Call{Statements: twoParams, Backend: &backend{}}
	limited := func(l tenant.Limits, code []byte) *Pool {
		g.Call = code
		return newPool(t, g, PoolConfig{Limits: l})
	}
	last := func(n int32) []byte { return Join(Repeat(n, 3, Join(query, Put(4))), number(Get(4))) }
	wantLimit := func(what string, p *Pool) {
		t.Helper()
		if got := numberOf(t, call(t, p, c)); got != -int32(abi.ErrnoLimit) {
			t.Errorf("%s: %d", what, got)
		}
	}
	wantLimit("statements", limited(tenant.Limits{MaxStatements: 4, MaxHandles: 100}, last(5)))
	wantLimit("handles", limited(tenant.Limits{MaxHandles: 4, MaxStatements: 100}, last(5)))
	// A closed handle makes room, and its number is not used again.
	closing := Join(Repeat(20, 3, Join(query, Put(4), host(abi.ImportClose, Get(4)), Drop())), number(query))
	if got := numberOf(t, call(t, limited(tenant.Limits{MaxHandles: 1}, closing), c)); got != 21 {
		t.Errorf("handle %d, want 21", got)
	}
	flood := Join(Repeat(101, 3, Join(host(abi.ImportNow), Drop())), Pack(abi.TagNone, 0, 0))
	call(t, limited(tenant.Limits{MaxHostCalls: 101}, flood), c)
	var e *LimitError
	if err := fails(t, limited(tenant.Limits{MaxHostCalls: 100}, flood), c, abi.HostCalls); !errors.As(err, &e) {
		t.Errorf("got %T", err)
	}
}

// Cases: 38, 39.
func TestTimeAndWakeUp(t *testing.T) {
	t.Parallel()
	now := time.UnixMicro(1_234_567_890_123_456)
	f := func(ask []int64, want time.Time) {
		t.Helper()
		var code []byte
		for _, us := range ask {
			code = append(code, Join(host(abi.ImportWakeAt, I64(us)), Drop())...)
		}
		p := newPool(t, Guest{Imports: hostImports, Call: Join(code, Pack(abi.TagNone, 0, 0))}, PoolConfig{})
		if out := call(t, p, Call{Now: now}); !out.WakeAt.Equal(want) {
			t.Errorf("wake_at %v: %v, want %v", ask, out.WakeAt, want)
		}
	}
	us := now.UnixMicro()
	f(nil, time.Time{})
	f([]int64{us + 5_000_000, us + 3_000_000, us + 9_000_000}, now.Add(3*time.Second))
	// D9: at least a second from now, also for nonsense.
	f([]int64{us + 1}, now.Add(time.Second))
	f([]int64{-1 << 63}, now.Add(time.Second))

	same := Join(host(abi.ImportNow), I64(us), []byte{0x52}, If(Unreachable()), Pack(abi.TagNone, 0, 0))
	call(t, newPool(t, Guest{Imports: hostImports, Call: same}, PoolConfig{}), Call{Now: now})
}

// G11, X6: queries and policies repeat with their seed, mutations never do.
// Cases: 38.
func TestRandomnessFollowsTheSeed(t *testing.T) {
	t.Parallel()
	g := Guest{
		Imports: hostImports,
		Call: Join(push(DataAt, 0x50), Store(), // a byte string of 16
			host(abi.ImportRandom, push(DataAt+1, 16)), Drop(), Pack(abi.TagValue, DataAt, 17)),
	}
	p := newPool(t, g, PoolConfig{MaxInstances: 1})
	draw := func(kind abi.Kind, seed byte) string {
		return string(call(t, p, Call{Kind: kind, Seed: func() [32]byte { return [32]byte{seed} }}).Value)
	}
	for _, kind := range []abi.Kind{abi.Query, abi.Policy} {
		if first, again := draw(kind, 1), draw(kind, 1); first != again || first == draw(kind, 2) {
			t.Errorf("a %s does not follow its seed", kind)
		}
	}
	if first, again := draw(abi.Mutation, 1), draw(abi.Mutation, 1); first == again {
		t.Error("a mutation repeats")
	}
}

func TestConfigIsReadInTwoSteps(t *testing.T) {
	t.Parallel()
	g := Guest{Imports: hostImports, Data: map[uint32][]byte{DataAt: []byte("greeting")}}
	c := Call{Config: func(key string) (string, bool) { return "hello", key == "greeting" }}
	ask := func(size int32) []byte { return host(abi.ImportConfig, push(DataAt, 8, moreAt, size)) }
	if got := resultOf(t, g, ask(2), c); got != 5 {
		t.Errorf("config returned %d, want the needed length 5", got)
	}
	// Nothing was written into the buffer that is too small.
	if got := resultOf(t, g, Join(ask(4), Drop(), push(moreAt), Load()), c); got != 0 {
		t.Errorf("%#x was written", got)
	}
	want := int32(binary.LittleEndian.Uint32([]byte("hell")))
	if got := resultOf(t, g, Join(ask(5), Drop(), push(moreAt), Load()), c); got != want {
		t.Errorf("read %#x, want %#x", got, want)
	}
}

// Security 32: logs are bounded, in lines, and cannot forge others.
// Cases: 32.
func TestLogsAreBoundedLines(t *testing.T) {
	t.Parallel()
	text := []byte("one\ntwo\x1b[31m\r\xff\nthree\n")
	g := Guest{Imports: hostImports, Data: map[uint32][]byte{DataAt: text}}
	run := func(l tenant.Limits, repeat int32) (lines []string, out *Output) {
		g.Call = Join(Repeat(repeat, 3, Join(host(abi.ImportLog, push(abi.LogWarn, DataAt, int32(len(text)))), Drop())), Pack(abi.TagNone, 0, 0))
		out = call(t, newPool(t, g, PoolConfig{Limits: l}), Call{Log: func(level int, line string) {
			lines = append(lines, fmt.Sprint(level, " ", line))
		}})
		return lines, out
	}
	lines, out := run(tenant.Limits{}, 1)
	if want := []string{"2 one", "2 two\uFFFD[31m\uFFFD\uFFFD", "2 three"}; fmt.Sprint(lines) != fmt.Sprint(want) || out.Dropped != 0 {
		t.Errorf("got %q, want %q", lines, want)
	}
	if lines, out = run(tenant.Limits{}, 1000); len(lines) != 64 || out.Dropped == 0 {
		t.Errorf("%d lines, %d dropped", len(lines), out.Dropped)
	}
	if lines, _ = run(tenant.Limits{MaxGuestLogBytes: 10}, 5); len(lines) != 3 { // the second line does not fit and ends its entry
		t.Errorf("%d lines of 10 bytes", len(lines))
	}
}
