package abitest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"weir/abi"
)

func queryRules() []*HostRule {
	return []*HostRule{
		ruleHandles(), ruleLazy(), ruleUses(), ruleKinds(), ruleArguments(), ruleExec(), ruleStatements(), rulePlans(), ruleReentrancy(),
	}
}

// rowsLen asks for the number of rows of a handle.
func rowsLen(h code) code { return host(abi.ImportRowsLen, h) }

func ruleHandles() *HostRule {
	r := &HostRule{Name: "host.handles", Says: "Handles are numbers from 1, of this call only, and are not used twice", Traps: "security 26"}
	b := r.book(guest{}, Setup{})
	b.number("the first is 1", askUsual, 1)
	b.number("the next is 2", cat(askUsual, drop, askUsual), 2)
	b.number("in the next call it is 1 again", askUsual, 1)
	b.number("a closed one is not used again", cat(host(abi.ImportClose, askUsual), drop, askUsual), 2)
	b.number("close", host(abi.ImportClose, askUsual), 0)
	for _, h := range []int32{0, 1, 2, 64, -1, 1 << 30, -1 << 31} {
		b.errno(fmt.Sprintf("rows_len of %d", h), rowsLen(i32c(h)), abi.ErrnoHandle)
	}
	handle := i32c(1) // of the call before
	for _, f := range []struct {
		name string
		push code
	}{
		{"rows_affected", cat(host(abi.ImportRowsAffected, handle), wrap)},
		{"rows_read", host(abi.ImportRowsRead, handle, ints(0, dataAt, 100))},
		{"rows_columns", host(abi.ImportRowsColumns, handle, ints(dataAt, 100))},
		{"rows_pick", host(abi.ImportRowsPick, handle, ints(dataAt, 0))},
		{"rows_project", host(abi.ImportRowsProject, handle, ints(dataAt, 0))},
		{"rows_nest", host(abi.ImportRowsNest, handle, ints(dataAt, 1, 1, 0, 0))},
		{"close", host(abi.ImportClose, handle)},
	} {
		b.errno(f.name+" of a handle of another call", f.push, abi.ErrnoHandle)
	}
	b.errno("rows_nest of a child of nobody", host(abi.ImportRowsNest, askUsual, ints(dataAt, 1, 99, 0, 0)), abi.ErrnoHandle)
	closed := cat(host(abi.ImportClose, askUsual), drop)
	b.errno("closed twice", cat(closed, host(abi.ImportClose, handle)), abi.ErrnoHandle)
	b.errno("rows_len of a closed one", cat(closed, rowsLen(handle)), abi.ErrnoHandle)
	b.errno("rows_pick of a closed one", cat(closed, host(abi.ImportRowsPick, handle, ints(dataAt, 0))), abi.ErrnoHandle)
	return r
}

func ruleLazy() *HostRule {
	r := &HostRule{Name: "host.lazy", Says: "It runs when rows are first looked at, before an `exec`, or after the return", Traps: "G13"}
	b := r.book(guest{}, Setup{})
	ran := func(left int, groups ...int) func(o *Outcome) string {
		return func(o *Outcome) string {
			var got []int
			for _, g := range o.Ran {
				got = append(got, len(g))
			}
			if fmt.Sprint(got) != fmt.Sprint(groups) || o.Left != left {
				return fmt.Sprintf("%v ran together and %d did not, want %v and %d", got, o.Left, groups, left)
			}
			return ""
		}
	}
	twice := cat(askUsual, drop, askUsual, set(localA))
	b.add("never looked at", cat(twice, none), Call{}, nothing(ran(2)))
	b.add("all that wait run at the first look", cat(twice, rowsLen(get(localA)), drop, none), Call{}, nothing(ran(0, 2)))
	b.add("once only", cat(twice, rowsLen(get(localA)), drop, rowsLen(get(localA)), drop, none), Call{}, nothing(ran(0, 2)))
	b.add("what comes later waits again", cat(twice, rowsLen(get(localA)), drop, askUsual, drop, none), Call{}, nothing(ran(1, 2)))
	b.add("shapes are no look", cat(host(abi.ImportRowsPick, askUsual, ints(dataAt, 0)), drop,
		host(abi.ImportRowsProject, i32c(1), ints(dataAt, 0)), drop, none), Call{}, nothing(ran(1)))
	b.add("before an exec, in order", cat(askUsual, drop, host(abi.ImportExec, ints(3, argsAt, argsLen)), drop, askUsual, drop, none),
		Call{Kind: abi.Mutation}, nothing(func(o *Outcome) string {
			if why := ran(1, 1, 1)(o); why != "" {
				return why
			}
			if o.Ran[0][0].Statement != 0 || o.Ran[1][0].Statement != 3 || !o.Ran[1][0].Exec {
				return fmt.Sprintf("ran %+v", o.Ran)
			}
			return ""
		}))
	return r
}

func ruleUses() *HostRule {
	r := &HostRule{Name: "host.uses", Says: "a statement that is not in `uses`; `query_sql` without the capability", Traps: "G16"}
	b := r.book(guest{}, Setup{})
	for _, s := range []int32{1, 2, 4, 6, 1000, -1, -1 << 31} {
		b.errno(fmt.Sprintf("query of %d", s), host(abi.ImportQuery, ints(s, argsAt, argsLen)), abi.ErrnoGrant)
		b.cases = append(b.cases, bookCase{
			name: fmt.Sprintf("exec of %d", s), body: number(cat(host(abi.ImportExec, ints(s, argsAt, argsLen)), extend)),
			call: Call{Kind: abi.Mutation}, check: is(-int64(abi.ErrnoGrant)),
		})
	}
	b.errno("query_sql", host(abi.ImportQuerySQL, ints(dataAt, 8, 0, 0)), abi.ErrnoGrant)
	sql := []byte("select 1\xff\x00")
	nulls := func(n int) []byte { return append(abi.AppendArray(nil, n), bytes.Repeat(abi.AppendNull(nil), n)...) }
	d := r.book(guest{data: map[uint32][]byte{
		dataAt: sql, dataAt + 100: nulls(abi.MaxParameters), dataAt + 1000: nulls(abi.MaxParameters + 1),
	}}, Setup{Dynamic: true})
	var got Asked
	d.add("query_sql with the capability", cat(rowsLen(host(abi.ImportQuerySQL, ints(dataAt, 8, argsAt, argsLen))), drop, none),
		Call{Answer: func(_ context.Context, a Asked) Answer {
			got = a
			return people(1)
		}}, nothing(func(*Outcome) string {
			if got.SQL != "select 1" || got.Args.Len() != 2 || got.Exec {
				return fmt.Sprintf("it asked for %+v", got)
			}
			return ""
		}))
	d.errno("SQL that is no UTF-8", host(abi.ImportQuerySQL, ints(dataAt, 9, argsAt, argsLen)), abi.ErrnoInvalid)
	d.errno("SQL with a zero", host(abi.ImportQuerySQL, ints(dataAt+9, 1, argsAt, argsLen)), abi.ErrnoInvalid)
	d.errno("SQL of more than 64 KiB", host(abi.ImportQuerySQL, ints(0, abi.MaxStatementText+1, argsAt, argsLen)), abi.ErrnoLimit)
	d.number("256 arguments", host(abi.ImportQuerySQL, ints(dataAt, 8, dataAt+100, 3+abi.MaxParameters)), 1)
	d.errno("257 arguments", host(abi.ImportQuerySQL, ints(dataAt, 8, dataAt+1000, 3+abi.MaxParameters+1)), abi.ErrnoLimit)
	d.errno("SQL with wrong arguments", host(abi.ImportQuerySQL, ints(dataAt, 8, dataAt, 8)), abi.ErrnoInvalid)
	return r
}

func ruleKinds() *HostRule {
	r := &HostRule{Name: "host.kinds", Says: "before the first call; `exec` in a query; `rows_affected` of a query"}
	b := r.book(guest{}, Setup{})
	exec := host(abi.ImportExec, ints(3, argsAt, argsLen))
	state := is(-int64(abi.ErrnoState))
	b.add("exec in a query", number(cat(exec, extend)), Call{Kind: abi.Query}, state)
	b.add("exec in a policy", number(cat(exec, extend)), Call{Kind: abi.Policy}, state)
	b.add("exec in a mutation", number(cat(exec, extend)), Call{Kind: abi.Mutation}, is(1))
	for _, kind := range []abi.Kind{abi.Query, abi.Policy, abi.Mutation} {
		b.add("rows_affected of a query in a "+string(kind), number(host(abi.ImportRowsAffected, askUsual)), Call{Kind: kind}, state)
		b.add("query in a "+string(kind), number(cat(rowsLen(askUsual), extend)), Call{Kind: kind}, is(3))
	}
	return r
}

func ruleArguments() *HostRule {
	r := &HostRule{Name: "host.arguments", Says: "an array with one item for each parameter of the statement, in the order of first use, `$now` left out; no bytes are no arguments. At most\n1 MiB", Traps: "G14, security 29"}
	g := guest{data: map[uint32][]byte{}, pages: 20}
	at := uint32(dataAt)
	put := func(data []byte) (here, n int32) {
		g.data[at] = data
		here, n = int32(at), int32(len(data))
		at += uint32(len(data))
		return here, n
	}
	one, n := put(abi.Array(abi.Int(1)).AppendCBOR(nil))
	three, m := put(abi.Array(abi.Int(1), abi.Int(2), abi.Int(3)).AppendCBOR(nil))
	empty, e := put(abi.AppendArray(nil, 0))
	scalar, s := put(abi.AppendInt(nil, 1))
	object, o := put(abi.Map([]string{"a", "b"}, []abi.Value{abi.Int(1), abi.Int(2)}).AppendCBOR(nil))
	type vector struct {
		name string
		at   int32
		n    int32
	}
	var bad []vector
	for _, v := range vectorLines() {
		if v[0] != "bad" {
			continue
		}
		item, err := hex.DecodeString(v[1])
		if err == nil {
			here, n := put(append([]byte{0x82, 0x01}, item...))
			bad = append(bad, vector{"[1, " + v[1][:min(len(v[1]), 40)], here, n})
		}
	}
	b := r.book(g, Setup{})
	query := func(stmt, at, n int32) code { return host(abi.ImportQuery, ints(stmt, at, n)) }
	b.number("two for two", query(0, argsAt, argsLen), 1)
	b.number("none for none", query(5, 0, 0), 1)
	b.number("an empty array for none", query(5, empty, e), 1)
	b.errno("no bytes for two", query(0, 0, 0), abi.ErrnoInvalid)
	b.errno("one for two", query(0, one, n), abi.ErrnoInvalid)
	b.errno("three for two", query(0, three, m), abi.ErrnoInvalid)
	b.errno("two for none", query(5, argsAt, argsLen), abi.ErrnoInvalid)
	b.errno("no array", query(0, scalar, s), abi.ErrnoInvalid)
	b.errno("a map", query(0, object, o), abi.ErrnoInvalid)
	b.errno("bytes behind them", query(0, argsAt, argsLen+1), abi.ErrnoInvalid)
	b.errno("cut off", query(0, argsAt, argsLen-1), abi.ErrnoInvalid)
	for _, v := range bad {
		b.errno(v.name, query(0, v.at, v.n), abi.ErrnoInvalid)
	}
	b.errno("more than 1 MiB", query(0, 0, 1<<20+1), abi.ErrnoLimit)
	b.errno("1 MiB of zeros", query(0, 0, 1<<20), abi.ErrnoInvalid)
	b.errno("2 GiB", query(0, 0, -1<<31), abi.ErrnoLimit)
	b.add("exec is as strict", number(cat(host(abi.ImportExec, ints(3, one, n)), extend)), Call{Kind: abi.Mutation}, is(-int64(abi.ErrnoInvalid)))
	return r
}

func ruleExec() *HostRule {
	r := &HostRule{Name: "host.exec", Says: "runs a statement now, and before it what was asked for; a handle, with rows if it returns any"}
	b := r.book(guest{}, Setup{})
	exec := host(abi.ImportExec, ints(3, argsAt, argsLen))
	many := func(context.Context, Asked) Answer {
		a := people(1)
		a.Affected = 5_000_000_000
		return a
	}
	b.add("rows_affected is an i64", number(host(abi.ImportRowsAffected, exec)), Call{Kind: abi.Mutation, Answer: many}, is(5_000_000_000))
	b.add("its rows", handleOf(exec), Call{Kind: abi.Mutation, Answer: many}, rowsAre(`[{"id":0,"name":"p0"}]`))
	b.add("rows_len", number(cat(rowsLen(exec), extend)), Call{Kind: abi.Mutation, Answer: many}, is(1))
	refuse := func(context.Context, Asked) Answer {
		return Answer{Err: &abi.Error{Code: abi.SQLError, Message: "duplicate key"}}
	}
	b.add("a refusal", number(cat(exec, extend)), Call{Kind: abi.Mutation, Answer: refuse}, is(-int64(abi.ErrnoSQL)))
	return r
}

func ruleStatements() *HostRule {
	r := &HostRule{Name: "host.statements", Says: "PostgreSQL said no, or other writes were in the way", Traps: "security 30, 35, 56"}
	// The text of the last errno, as a text of two bytes of length.
	look := cat(rowsLen(askUsual), set(localA))
	length := host(abi.ImportError, ints(dataAt+3, 2000))
	told := cat(look, i32c(dataAt), i32c(0x79), putByte, length, set(localB),
		i32c(dataAt+1), get(localB), i32c(8), code{0x76}, putByte, i32c(dataAt+2), get(localB), putByte,
		valueOf(dataAt, cat(get(localB), i32c(3), add)))
	b := r.book(guest{}, Setup{})
	answer := func(err error) func(context.Context, Asked) Answer {
		return func(context.Context, Asked) Answer { return Answer{Err: err} }
	}
	for _, c := range []struct {
		name string
		err  error
		want abi.Errno
		told bool // the guest may know why
	}{
		{"refused", &abi.Error{Code: abi.SQLError, Message: "no such column"}, abi.ErrnoSQL, true},
		{"a conflict", &abi.Error{Code: abi.Conflict, Message: "no such luck"}, abi.ErrnoSQL, true},
		{"a wrong type", &abi.Error{Code: abi.BadRequest, Message: "no such int"}, abi.ErrnoType, true},
		{"too large", &abi.Error{Code: abi.ResultTooLarge, Message: "no such bound"}, abi.ErrnoLimit, true},
		{"anything else keeps its text", errors.New("no such password at 10.0.0.7"), abi.ErrnoHost, false},
	} {
		call := Call{Answer: answer(c.err)}
		b.add(c.name, number(cat(look, get(localA), extend)), call, is(-int64(c.want)))
		b.add(c.name+", its text", told, call, func(o *Outcome, err error) string {
			if err != nil {
				return "it ended: " + err.Error()
			}
			v, _ := abi.DecodeCBOR(o.Value)
			text, _ := v.AsText()
			if text == "" || strings.Contains(text, "no such") != c.told {
				return fmt.Sprintf("the guest reads %q, and may know why: %v", text, c.told)
			}
			return ""
		})
	}
	long := answer(&abi.Error{Code: abi.SQLError, Message: strings.Repeat("x", 5000)})
	b.add("at most 1 KiB of text", number(cat(look, length, extend)), Call{Answer: long}, func(o *Outcome, err error) string {
		if n, why := numberIn(o, err); why != "" || n < 1 || n > 1024 {
			return fmt.Sprintf("%d bytes %s", n, why)
		}
		return ""
	})
	b.add("a handle that is returned all the same", handleOf(askUsual), Call{Answer: answer(&abi.Error{Code: abi.SQLError, Message: "no"})},
		func(o *Outcome, err error) string {
			if err == nil && o.Tag == abi.TagHandle {
				return fmt.Sprintf("got the rows %s", o.Rows)
			}
			return ""
		})
	away := &abi.Error{Code: abi.Unavailable, Message: "the database is away"}
	for _, c := range []struct {
		name  string
		fault error
		want  abi.Code
	}{{"the database is away", away, abi.Unavailable}, {"a bug of the host", errors.New("BUG"), abi.Internal}} {
		fault := Call{Answer: func(context.Context, Asked) Answer { return Answer{Fault: c.fault} }}
		b.fails(c.name, cat(look, forever(nil), trap), fault, c.want)
	}
	for _, what := range []any{"whoops", errors.New("whoops"), nil} {
		panics := Call{Answer: func(context.Context, Asked) Answer {
			if what == nil {
				var none *Outcome
				return Answer{Rows: [][]abi.Value{{abi.Text(none.Rows)}}}
			}
			panic(what)
		}}
		b.fails(fmt.Sprintf("a panic of the host with %v", what), cat(look, forever(nil), trap), panics, abi.Internal)
	}
	return r
}

func rulePlans() *HostRule {
	r := &HostRule{Name: "host.plans", Says: "`rows_len`, `rows_read`, `rows_columns`, `now`, `wake_at`,\n`random`, and WASI's realtime clock and randomness are looks; `config` and `log` are not", Traps: "G13"}
	n := len(weir1())
	b := r.book(guest{imports: append(weir1(), imported{abi.WASIModule, "clock_time_get", "iIi:i"}, imported{abi.WASIModule, "random_get", "ii:i"})}, Setup{})
	f := func(name string, body code, want bool) {
		b.add(name, cat(body, drop, none), Call{Config: map[string]string{"k": "v"}}, nothing(func(o *Outcome) string {
			if o.Looked != want {
				return fmt.Sprintf("it is a look: %v, want %v", o.Looked, want)
			}
			return ""
		}))
	}
	f("query", askUsual, false)
	f("rows_project", host(abi.ImportRowsProject, askUsual, ints(dataAt, 0)), false)
	f("rows_pick", host(abi.ImportRowsPick, askUsual, ints(dataAt, 0)), false)
	f("rows_nest", host(abi.ImportRowsNest, askUsual, ints(dataAt, 0), askUsual, ints(0, 0)), false)
	f("close", host(abi.ImportClose, askUsual), false)
	f("config", host(abi.ImportConfig, ints(dataAt, 0, 0, 0)), false)
	f("log", host(abi.ImportLog, ints(1, dataAt, 0)), false)
	f("error", host(abi.ImportError, ints(dataAt, 0)), false)
	f("WASI's monotonic clock", cat(i32c(1), i64c(0), i32c(dataAt), invoke(n)), false)
	f("rows_len", rowsLen(askUsual), true)
	f("rows_read", host(abi.ImportRowsRead, askUsual, ints(0, dataAt, 100)), true)
	f("rows_columns", host(abi.ImportRowsColumns, askUsual, ints(dataAt, 100)), true)
	f("now", host(abi.ImportNow), true)
	f("random", host(abi.ImportRandom, ints(dataAt, 4)), true)
	f("wake_at", host(abi.ImportWakeAt, i64c(0)), true)
	f("WASI's realtime clock", cat(i32c(0), i64c(0), i32c(dataAt), invoke(n)), true)
	f("WASI's randomness", cat(ints(dataAt, 4), invoke(n+1)), true)
	return r
}

func ruleReentrancy() *HostRule {
	r := &HostRule{Name: "host.reentrancy", Says: "An instance runs one call at a time", Traps: "G15, security 31, 42"}
	r.books = append(r.books, &book{again: true, cases: []bookCase{{
		name: "a call inside a call", body: cat(rowsLen(askUsual), drop, none),
	}}})
	return r
}
