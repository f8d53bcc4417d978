package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/config"
	"weir/host/devdb/devdbtest"
)

// chosen is what dev says of plugins on a database.
func chosen(t *testing.T, m *abi.Manifest, sql ...string) (hints, *pgx.Conn) {
	t.Helper()
	db := devdbtest.New(t)
	conn := db.Conn(t)
	for _, text := range sql {
		db.Exec(t, text)
	}
	open := easy(m, config.Tenant{Name: "default", Schema: "public"})
	if len(open) == 0 {
		t.Fatal("no query is easy")
	}
	inOrder(open)
	return choose(t.Context(), conn, open), conn
}

// works runs the INSERT for good, and says how often it can be.
func works(t *testing.T, conn *pgx.Conn, h hints) {
	t.Helper()
	if h.insert == "" {
		return
	}
	if _, err := conn.Exec(t.Context(), h.insert); err != nil {
		t.Errorf("%s: %v", h.insert, err)
	}
}

// The examples' first sample is open if it can be, works as it is printed, and
// changes what is watched.
func TestFirstSampleOfTheExamplesWorks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := func(example, query, params, user, insert string) {
		t.Helper()
		file := filepath.Join(dir, example+".wasm")
		plugin, err := filepath.Abs("../../examples/" + example + "/plugin")
		if err != nil {
			t.Fatal(err)
		}
		if built := weir(t, dir, "build", plugin, "-o", file); built.code != 0 {
			t.Fatalf("%s does not build: %s", example, built.errors)
		}
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		about, err := (&Main{Dir: dir, Getenv: environment}).describeFile(t.Context(), file, "", code)
		if err != nil {
			t.Fatal(err)
		}
		var sql []string
		for _, name := range []string{"schema.sql", "seed.sql"} {
			if text, err := os.ReadFile("../../examples/" + example + "/" + name); err == nil {
				sql = append(sql, string(text))
			}
		}
		h, conn := chosen(t, about.manifest, sql...)
		if h.query != query || h.params.Encode() != params || h.user != user || h.insert != insert {
			t.Errorf("%s: %s?%s as %s, %s\nwant %s?%s as %s, %s", example, h.query, h.params.Encode(), h.user, h.insert, query, params, user, insert)
		}
		works(t, conn, h)
	}
	// ann may see every board there is, so that no plain row gives her another one.
	f("kanban", "cards.list", "board=1", "ann", `insert into cards (id, board_id, list, position, title, created_by) values (gen_random_uuid(), 1, 'todo', 1, 'hello', 'ann')`)
	f("chat", "rooms.list", "", "ann", `insert into members (room_id, user_id) values (3, 'ann')`)
}

// A sample is printed only if PostgreSQL takes it, whatever the table wants, and
// trying it moves no sequence.
func TestFirstSampleIsTried(t *testing.T) {
	t.Parallel()
	zero := 0
	manifest := func(sql string, access abi.Access, fields ...abi.Field) *abi.Manifest {
		return &abi.Manifest{
			Statements: []abi.Statement{{SQL: sql}},
			Functions:  []abi.Function{{Name: "q", Kind: abi.Query, Statement: &zero, Access: access, Fields: fields}},
		}
	}
	open := abi.Access{Public: true}
	f := func(schema, sql, insert string, fields ...abi.Field) *pgx.Conn {
		t.Helper()
		h, conn := chosen(t, manifest(sql, open, fields...), schema)
		if h.insert != insert {
			t.Errorf("%s: %s, want %s", schema, h.insert, insert)
		}
		works(t, conn, h)
		return conn
	}
	f(`create type mood as enum ('sad', 'ok'); create table a (id serial primary key, m mood not null)`,
		`select id, m from a order by id`, `insert into a (m) values ('sad')`)
	f(`create table a (id int primary key, n int not null check (n between 10 and 20)); insert into a values (7, 12)`,
		`select id from a order by id`, `insert into a (id, n) values (8, 12)`)
	f(`create table a (id int primary key, kind text not null check (kind = 'x' or kind = 'y'), note text)`,
		`select id from a order by id`, `insert into a (id, kind) values (1, 'x')`)
	f(`create table b (id int primary key); create table a (id int primary key, b int not null references b)`,
		`select id from a order by id`, ``)
	f(`create table b (id int primary key); create table a (id int primary key, b int not null references b); insert into b values (4), (5)`,
		`select id from a order by id`, `insert into a (id, b) values (1, 4)`)
	f(`create table b (id int primary key); create table a (b int primary key references b); insert into b values (4), (5); insert into a values (4)`,
		`select b from a order by b`, `insert into a (b) values (5)`)
	f(`create table a (id int primary key, n int not null check (n % 7 = 5))`, `select id from a order by id`, ``)
	f(`create table a (id int primary key, t text not null); create function no() returns trigger language plpgsql as 'begin raise ''no''; end'; create trigger no before insert on a for each row execute function no()`,
		`select id from a order by id`, ``)
	f(`create table a (id int primary key, "order" text not null)`, `select id from a order by id`, ``)
	f(`create table a (id int primary key, state text not null); insert into a values (1, 'old'), (2, 'new')`,
		`select id from a where state = $state order by id`, `insert into a (id, state) values (3, 'new')`, abi.Field{Name: "state", Schema: abi.Schema{Type: "string"}})

	conn := f(`create table a (id bigint generated always as identity primary key, n serial, t text not null)`,
		`select id, t from a order by id`, `insert into a (t) values ('hello')`)
	var id, n int
	if err := conn.QueryRow(t.Context(), `select id, n from a`).Scan(&id, &n); err != nil || id != 1 || n != 1 {
		t.Errorf("the first row is %d, %d: %v", id, n, err)
	}

	// What no plain row changes is there with what works; what nothing is known of,
	// without.
	h, _ := chosen(t, manifest(`select id from a where gone order by id`, open), `create table a (id int primary key, gone bool not null default false)`)
	if h.query != "q" || h.insert != `insert into a (id) values (1)` {
		t.Errorf("got %+v", h)
	}
	h, _ = chosen(t, manifest(`select 1 as one`, open))
	if h.query != "q" || h.insert != "" {
		t.Errorf("got %+v", h)
	}
}

// Open before guarded, few arguments before many, then the order of the manifest.
func TestFirstSampleIsTheEasiest(t *testing.T) {
	t.Parallel()
	text := abi.Schema{Type: "string"}
	one, two := []abi.Field{{Name: "a", Schema: text}}, []abi.Field{{Name: "a", Schema: text}, {Name: "b", Schema: text}}
	many := []abi.Field{{Name: "a", Schema: abi.Schema{Type: "array"}}}
	guarded := abi.Access{Policies: []string{"p"}}
	m := &abi.Manifest{Functions: []abi.Function{
		{Name: "mutation", Kind: abi.Mutation, Access: abi.Access{Public: true}},
		{Name: "guarded", Kind: abi.Query, Access: guarded},
		{Name: "two", Kind: abi.Query, Access: abi.Access{Public: true}, Fields: two},
		{Name: "list", Kind: abi.Query, Access: abi.Access{Public: true}, Fields: many},
		{Name: "one", Kind: abi.Query, Access: abi.Access{SignedIn: true}, Fields: one},
		{Name: "other", Kind: abi.Query, Access: abi.Access{Public: true}, Fields: one},
	}}
	open := easy(m, config.Tenant{Name: "default"})
	inOrder(open)
	var got []string
	for _, q := range open {
		got = append(got, q.Name)
	}
	if want := []string{"one", "other", "two", "guarded"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
