package db

import (
	"errors"
	"strings"
	"testing"

	"weir/abi"
	"weir/reactor"
)

// refuses checks that Prepare refuses a query with a sentence.
func refuses(t *testing.T, d *DB, sql string, want ...string) {
	t.Helper()
	_, err := d.Prepare(t.Context(), []abi.Statement{{SQL: sql}}, 0, Read)
	if err == nil {
		t.Errorf("%s\nwas accepted", sql)
		return
	}
	if !errors.Is(err, ErrRefused) {
		t.Errorf("%s\n%v is no refusal", sql, err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s\ngot %v\nwant %q in it", sql, err, w)
		}
	}
}

// testTable is a table for tests without a server.
func testTable() *relation {
	t := &relation{oid: 100, schema: "public", name: "m", columns: map[string]*tableColumn{}}
	for i, c := range []tableColumn{
		{name: "a", base: oidInt8, typeName: "bigint", kind: reactor.KindInt},
		{name: "s", base: oidInt2, typeName: "smallint", kind: reactor.KindInt},
		{name: "t", base: oidText, typeName: "text", kind: reactor.KindText},
		{name: "v", base: oidVarchar, typeName: "character varying", kind: reactor.KindText},
		{name: "b", base: oidBool, typeName: "boolean", kind: reactor.KindBool},
		{name: "u", base: oidUUID, typeName: "uuid", kind: reactor.KindUUID},
		{name: "ts", base: oidInstant, typeName: "timestamp with time zone", kind: reactor.KindInstant},
		{name: "e", base: 20000, typeName: "mood", kind: reactor.KindEnum},
		{name: "f", base: oidFloat8, typeName: "double precision"},
		{name: "odd name", base: oidInt4, typeName: "integer", kind: reactor.KindInt},
	} {
		c.attr = uint16(i + 1)
		t.columns[c.name] = &c
	}
	return t
}

func testReader() *reader {
	r := &reader{alias: "m", table: testTable(), user: "role", odd: map[string]bool{}}
	for _, oid := range []uint32{oidInt8, oidText, 1016, oidInstant, oidFloat8, oidInt4} {
		t, _ := builtin(oid)
		r.params = append(r.params, t)
	}
	return r
}

func TestConditionsAreRead(t *testing.T) {
	t.Parallel()
	f := func(text, column string, op reactor.Comparison, values ...reactor.Value) {
		t.Helper()
		c, why := testReader().read(tokenize(text))
		if why != "" {
			t.Errorf("%s: not read: %s", text, why)
			return
		}
		if c.column.name != column || c.op != op || len(c.from.values) != len(values) {
			t.Errorf("%s = %+v", text, c)
			return
		}
		for i := range values {
			if c.from.values[i] != values[i] {
				t.Errorf("%s: value %d = %q, want %q", text, i, c.from.values[i], values[i])
			}
		}
	}
	f("(m.a = $1)", "a", 0)
	f("($1 = m.a)", "a", 0)
	f("(m.a < $1)", "a", reactor.Less)
	f("($1 < m.a)", "a", reactor.Greater)
	f("(m.a = $6)", "a", 0)
	f("((m.s)::integer = 5)", "s", 0, reactor.IntValue(5))
	f("(m.a >= '-5'::integer)", "a", reactor.GreaterEqual, reactor.IntValue(-5))
	f("((m.v)::text = 'it''s'::text)", "v", 0, "it's")
	f("((m.v)::text = ('x'::character varying)::text)", "v", 0, "x")
	f("(m.a <> 5)", "a", reactor.NotEqual, reactor.IntValue(5))
	f("('x'::text <> m.t)", "t", reactor.NotEqual, "x")
	f("(m.t = CURRENT_USER)", "t", 0, "role")
	f("(m.t = (CURRENT_USER)::text)", "t", 0, "role")
	f("(m.t = $2)", "t", 0)
	f(`(m."odd name" = 3)`, "odd name", 0, reactor.IntValue(3))
	f("m.b", "b", 0, reactor.BoolValue(true))
	f("(NOT m.b)", "b", 0, reactor.BoolValue(false))
	f("(m.t IS NULL)", "t", reactor.IsNull)
	f("(m.f IS NOT NULL)", "f", reactor.NotNull)
	f("(m.e = 'red'::mood)", "e", 0, "red")
	f("(m.e = ANY ('{red,green}'::mood[]))", "e", 0, "red", "green")
	f("(m.a = ANY ($3))", "a", 0)
	f("(m.a = ANY ('{1,NULL,2}'::bigint[]))", "a", 0, reactor.IntValue(1), reactor.IntValue(2))
	f("(m.a = ANY (ARRAY[$1, '7'::bigint]))", "a", 0, reactor.IntValue(7))
	f("((m.v)::text = ANY ('{a,\"b c\"}'::text[]))", "v", 0, "a", "b c")
	f("((m.v)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))", "v", 0, "a", "b")
	f("(m.ts = '2024-01-01 00:00:00+00'::timestamp with time zone)", "ts", 0, reactor.TimeValue(1704067200000000))
}

func TestConditionsThatAreNotUnderstoodWiden(t *testing.T) {
	t.Parallel()
	f := func(text string) {
		t.Helper()
		if c, why := testReader().read(tokenize(text)); why == "" {
			t.Errorf("%s was read as %+v", text, c)
		}
	}
	for _, text := range []string{
		"", "()", "(m.a = m.s)", "(x.a = $1)", "(m.f <> $1)", "(m.a = $9)", "(m.a = $0)", "(m.f = $5)", "(m.a = $5)",
		"(m.a = $2)", "(m.t > $2)", "((m.a)::integer = 5)", "((m.a)::text = $2)", "(lower(m.t) = $2)", "(m.a = ($1 + 1))",
		"(m.t = ($2)::character varying(3))", "(m.t OPERATOR(public.=) $2)", `(m.t = ($2 COLLATE "C"))`, `((m.t)::text = 'x'::text COLLATE "C")`,
		"(m.a = $1) OR (m.a = 2)", "(m.a IS DISTINCT FROM $1)", "(NOT (m.a = $1))", "(m.a = ANY ($1))", "(m.a = ALL ($3))", "(m.a <> ANY ($3))",
		"($1 = ANY (m.t))", "(ROW(m.a, m.s) > ROW($1, 2))", "(m.ts = $1)", "(m.t = 'x'::bpchar)", "(m.e = 'red'::other)", "(m.u = 'not one'::uuid)",
		"(m.a = CURRENT_USER)", "((m.a = $1) IS TRUE)", "(m.b IS NOT TRUE)", "(m.a = CASE WHEN m.b THEN $1 ELSE 2 END)", "(m.a = '1.5'::numeric)",
		"(SubPlan 1)", "(hashed SubPlan 1)", "(m.a = (SubPlan 1))", "(m.a = (InitPlan 1).col1)", "(m.t ~~ 'x%'::text)", "(m.t = 'x')",
	} {
		f(text)
	}
	r := testReader()
	r.odd["= bigint"] = true
	if _, why := r.read(tokenize("(m.a = $1)")); why == "" {
		t.Error("a user-defined operator was read as equality")
	}
}

func TestConjunctsSplitOnlyAtTheTop(t *testing.T) {
	t.Parallel()
	f := func(text string, want ...string) {
		t.Helper()
		got := conjuncts(tokenize(text))
		if len(got) != len(want) {
			t.Errorf("%s: %d conjuncts, want %d", text, len(got), len(want))
			return
		}
		for i := range want {
			if render(got[i]) != want[i] {
				t.Errorf("%s: conjunct %d is %q, want %q", text, i, render(got[i]), want[i])
			}
		}
	}
	f("((m.a = $1) AND (m.b > 5) AND m.c)", "m.a = $1", "m.b > 5", "m.c")
	f("((m.a = $1) OR (m.b = 2))", "(m.a = $1) OR (m.b = 2)")
	f("((m.a = 1) AND ((m.b = 2) OR (m.c = 3)))", "m.a = 1", "(m.b = 2) OR (m.c = 3)")
	f("((m.t = ' AND '::text) AND (m.a = 1))", "m.t = ' AND '::text", "m.a = 1")
	f(`(m."AND" = 1)`, "m.AND = 1")
}

// Cases: 44.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `create materialized view mv as select * from rooms; grant select on mv to weir_test;
		create function "even or odd"(bigint) returns bool immutable language plpgsql as 'begin return (select true from rooms limit 1); end';
		create function eqs(text, text) returns boolean stable language plpgsql as 'begin return exists (select 1 from rooms); end';
		create operator === (leftarg = text, rightarg = text, function = eqs);
		create extension if not exists file_fdw; create server fs foreign data wrapper file_fdw;
		create foreign table ft (a text) server fs options (filename '/dev/null'); grant select on ft to weir_test`)
	refuses(t, d, `insert into rooms values (1, 'x')`, "statement 0 writes (insert), but a query only reads: move it into a mutation")
	prepare(t, d, `select from rooms`) // rows without columns are rows
	refuses(t, d, `select id into copies from rooms`, "makes a table (SELECT INTO), but a query only reads: leave out INTO")
	refuses(t, d, `with x as (delete from rooms returning id) select id from x`, "writes, but a query only reads")
	refuses(t, d, `select id from rooms for update`, "locks rows")
	refuses(t, d, `vacuum rooms`, "begins with vacuum: write one SELECT")
	refuses(t, d, `select id, title as id from rooms`, `two columns named "id"`)
	refuses(t, d, `select id from mv`, "materialized view mv")
	refuses(t, d, `select a from ft`, "foreign table ft")
	refuses(t, d, `select relname from pg_class`, "catalog (pg_catalog.pg_class)")
	refuses(t, d, `select id from messages tablesample system (10)`, "TABLESAMPLE")
	refuses(t, d, `select id from rooms where title === 'x'`, "operator ===")
	refuses(t, d, `select "even or odd"(id) as e from rooms`, "even or odd()")
	refuses(t, d, `select nothing from rooms`, "refused by PostgreSQL", `column "nothing" does not exist`)
	refuses(t, d, `select $x + $y as x`, "refused by PostgreSQL", "write the type of the parameter, $name::type")
	refuses(t, d, `select id from rooms; select 1`, "refused by PostgreSQL")
	refuses(t, d, `select id from {rooms`, "is not well-formed", "line 1")
	refuses(t, d, `select * from rooms {where id = $a} {, x.y($b)}`, "")
	_, err := d.Prepare(t.Context(), []abi.Statement{{SQL: `select id from rooms`, Key: []string{"no"}}}, 0, Read)
	if err == nil || !strings.Contains(err.Error(), `key column "no"`) {
		t.Errorf("a key column that is not returned: %v", err)
	}
}

func FuzzConditions(f *testing.F) {
	for _, s := range []string{
		"(m.a = $1)", "((m.a = ANY ('{1,2}'::bigint[])) AND (m.t IS NULL))", "((m.v)::text = 'it''s'::text)", `(m."odd name" > E'\\x')`,
		"(NOT m.b)", "(ROW(m.a, 1) > ROW($1, 2))", "$x$ a $x$", "/* a /* b */ c */ m.a", "m.a::text[][] = ARRAY[$1]", "((((", "::", "m.", "'",
		"CASE WHEN (m.a = 1) THEN 2 END", "m.a = ANY (ARRAY[])", "(m.e = ANY ('{red,\"gr\\\"een\"}'::mood[]))",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := testReader()
		m := newMentions()
		m.add(tokenize(s))
		for _, ts := range conjuncts(tokenize(s)) {
			c, why := r.read(ts)
			if why != "" {
				continue
			}
			if c.column == nil {
				t.Fatalf("%q gives a condition without a column", s)
			}
			// What a condition compares is a column that the text names.
			if !m.columns["m"][c.column.name] {
				t.Fatalf("%q: the condition on %s is not in the mentions", s, c.column.name)
			}
			for _, p := range c.from.params {
				if p < 0 || p >= len(r.params) {
					t.Fatalf("%q: parameter %d", s, p)
				}
			}
		}
	})
}
