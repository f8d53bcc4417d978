package host_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/host/db"
	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
	"weir/host/inspect"
)

var update = flag.Bool("update", false, "rewrite the table of docs/security.md")

// layer is one wall of the sandbox, or all.
type layer struct {
	name string
	// role: as the tenant's role; else as the owner of all tables.
	role bool
	// transaction: in one that the host opens read-only, with a timeout, and rolls
	// back.
	transaction bool
	// extended: one statement a message.
	extended bool
	// list: only what the allow-list allows.
	list bool
	// kind: through weir's own code, as a query or a mutation.
	kind db.Kind
}

var layers = []layer{
	{name: "nothing"},
	{name: "role", role: true},
	{name: "transaction", transaction: true},
	{name: "protocol", extended: true},
	{name: "allow-list", list: true},
	{name: "all, query", kind: db.Read},
	{name: "all, mutation", kind: db.Write},
}

const (
	// serverTimeout is the statement_timeout of the transaction layer and of weir.
	serverTimeout = 100 * time.Millisecond
	// patience is how long an attack may run where nothing stops it: what still
	// runs then got through.
	patience = time.Second
)

// proving is where one layer is attacked: a database of its own, roles of its own.
type proving struct {
	err error // of the last attack

	t         *testing.T
	layer     layer
	base      devdbtest.DB
	admin     *pgconn.PgConn // superuser
	listener  *pgx.Conn
	database  *db.DB // of weir's own code
	inspector *inspect.Inspector
	names     *strings.Replacer
	roleURL   string
	ownerURL  string
}

// provingSchema is two tenants' tables, functions that should not be called, and
// what weir has.
const provingSchema = `
create extension if not exists plpgsql; create extension dblink; create extension postgres_fdw; create extension file_fdw;
create schema acme authorization "$OWNER"; create schema other authorization "$OWNER"; create schema weir authorization "$OWNER";
grant usage on schema other to "$PEER";
set role "$OWNER";
set search_path = acme;
create table notes (id serial primary key, body text); insert into notes (body) values ('mine'), ('mine too');
create table docs (owner name, body text); insert into docs values ('$ROLE', 'of the role'), ('$PEER', 'of the peer');
alter table docs enable row level security; create policy own on docs for select to "$ROLE", "$PEER" using (owner = current_user);
create table byguc (tenant text, body text); insert into byguc values ('role', 'of the role'), ('peer', 'of the peer');
alter table byguc enable row level security; alter table byguc force row level security; create policy own on byguc using (tenant = current_setting('app.tenant', true));
create table other.secrets (body text); insert into other.secrets values ('theirs'); create table other.audit (at timestamptz default now());
create table weir.log (op "char");
grant select on other.secrets to "$PEER";
create sequence seq;
create function sneaky() returns int language sql security definer as 'insert into other.audit default values; select 1';
create function peek() returns text language sql security definer as 'select body from other.secrets';
create function of_row(notes) returns text language sql security definer as 'select body from other.secrets';
create function of_number(int) returns text language sql security definer as 'select body from other.secrets';
create function two_numbers(int, int) returns text language sql security definer as 'select body from other.secrets';
create function two_texts(text, text) returns text language sql security definer as 'select body from other.secrets';
create operator <~~> (leftarg = int, rightarg = int, function = two_numbers);
create operator + (leftarg = text, rightarg = text, function = two_texts);
create type odd as (a int); create function odd_to_int(odd) returns int language sql as 'select 666'; create cast (odd as int) with function odd_to_int(odd);
create function seven(int) returns bool language plpgsql security definer as 'begin insert into other.audit default values; return true; end';
create domain checked as int check (seven(value));
create procedure proc() language sql as $$insert into acme.notes (body) values ('evil')$$;
reset role; reset search_path;
create server loop foreign data wrapper postgres_fdw options ($OPTIONS); create user mapping for public server loop options ($USER);
create foreign table acme.remote (body text) server loop options (schema_name 'other', table_name 'secrets');
create server files foreign data wrapper file_fdw; create foreign table acme.passwd (line text) server files options (filename '/etc/passwd')`

// resetSQL undoes what attacks may have done.
const resetSQL = `truncate acme.notes, other.audit, weir.log; insert into acme.notes (body) values ('mine'), ('mine too'); alter sequence acme.seq restart;
drop table if exists acme.mine; drop function if exists acme.mine(); select lo_unlink(oid) from pg_largeobject_metadata;
revoke all on other.secrets from "$ROLE"; alter role "$ROLE" connection limit 40; alter role "$ROLE" reset work_mem; alter role "$OWNER" reset work_mem;
drop role if exists "$ROLE_evil"; drop server if exists evil`

func newProving(t *testing.T, l layer, inspector *inspect.Inspector) *proving {
	t.Helper()
	base := devdbtest.New(t)
	role, peer, owner := base.Name+"_r", base.Name+"_p", base.Name+"_o"
	loop, err := pgconn.ParseConfig(base.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := &proving{t: t, layer: l, base: base, inspector: inspector, names: strings.NewReplacer("$ROLE", role, "$PEER", peer, "$OWNER", owner,
		"$OPTIONS", fmt.Sprintf("host '%s', port '%d', dbname '%s'", loop.Host, loop.Port, loop.Database),
		"$USER", fmt.Sprintf("user '%s', password '%s'", loop.User, loop.Password),
		"$DSN", fmt.Sprintf("host=%s port=%d dbname=%s user=%s password=''%s''", loop.Host, loop.Port, loop.Database, loop.User, loop.Password))}
	base.Exec(t, p.names.Replace(`create role "$PEER" login; create role "$OWNER" login; create role "$ROLE" login; grant "$PEER" to "$OWNER";
		grant create, temporary on database `+base.Name+` to "$OWNER"`))
	base.Exec(t, p.names.Replace(provingSchema))
	t.Cleanup(func() {
		base.Exec(t, `alter system reset work_mem`)
		base.Exec(t, p.names.Replace(`drop role if exists "$ROLE_evil"; drop owned by "$ROLE", "$PEER", "$OWNER" cascade; drop role "$ROLE", "$PEER", "$OWNER"`))
	})
	made, err := db.MakeRole(t.Context(), base.URL, db.RoleConfig{Role: role, Schema: "acme", Read: []string{"notes", "docs", "byguc"}, Public: true})
	if err != nil || len(made.Excess) > 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	p.roleURL, p.ownerURL = base.As(role, ""), base.As(owner, "")
	p.admin = p.connect(base.URL, "admin")
	p.listener = base.Conn(t)
	if _, err := p.listener.Exec(t.Context(), "listen evil"); err != nil {
		t.Fatal(err)
	}
	if l.kind != 0 {
		p.database, err = db.Open(t.Context(), db.Config{
			URL: p.roleURL, Connections: 4, SearchPath: `"acme"`, StatementTimeout: serverTimeout, MaxResultBytes: 1 << 20,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.database.Close)
	}
	return p
}

func (p *proving) connect(to, application string) *pgconn.PgConn {
	p.t.Helper()
	config, err := pgconn.ParseConfig(to)
	if err != nil {
		p.t.Fatal(err)
	}
	config.RuntimeParams["application_name"], config.RuntimeParams["search_path"] = application, "acme"
	conn, err := pgconn.ConnectConfig(p.t.Context(), config)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(p.t.Context())) })
	return conn
}

// says returns what a SELECT of one boolean says.
func says(t *testing.T, conn *pgconn.PgConn, sql string) bool {
	t.Helper()
	results, err := conn.Exec(context.WithoutCancel(t.Context()), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	rows := results[len(results)-1].Rows
	return len(rows) == 1 && string(rows[0][0]) == "t"
}

// through runs an attack and reports whether it got through.
func (p *proving) through(a attack) bool {
	p.t.Helper()
	if _, err := p.admin.Exec(p.t.Context(), p.names.Replace(resetSQL)).ReadAll(); err != nil {
		p.t.Fatalf("%s: reset: %v", a.name, err)
	}
	user := p.ownerURL
	switch {
	case p.layer.role || p.layer.kind != 0:
		user = p.roleURL
	case a.super:
		user = p.base.URL
	}
	var sibling *pgconn.PgConn
	if a.sibling {
		sibling = p.connect(user, "sibling")
	}
	messages := make([]string, len(a.sql))
	for i, sql := range a.sql {
		messages[i] = p.names.Replace(sql)
	}
	var text string
	var err error
	own := false
	if p.layer.kind != 0 {
		text, err = p.weir(messages)
	} else {
		conn := p.connect(user, "attacker")
		text, err = p.raw(conn, messages)
		if a.own != "" && !conn.IsClosed() {
			own = says(p.t, conn, a.own)
		}
		defer conn.Close(context.WithoutCancel(p.t.Context()))
	}
	p.err = err
	got := err == nil
	switch {
	case a.leak != "":
		got = strings.Contains(text, a.leak)
	case a.effect != "":
		got = says(p.t, p.admin, p.names.Replace(a.effect))
	case a.own != "" && p.layer.kind == 0:
		got = own
	case a.notify:
		got = p.heard()
	case a.sibling:
		got = !alive(sibling)
	}
	return got
}

// alive reports whether a connection still answers.
func alive(conn *pgconn.PgConn) bool {
	_, err := conn.Exec(context.Background(), "select 1").ReadAll()
	return err == nil
}

// heard reports whether the listener was told anything before its own marker.
func (p *proving) heard() bool {
	p.t.Helper()
	if _, err := p.admin.Exec(p.t.Context(), "notify evil, 'marker'").ReadAll(); err != nil {
		p.t.Fatal(err)
	}
	forged := false
	for {
		n, err := p.listener.WaitForNotification(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		if n.Payload == "marker" {
			return forged
		}
		forged = true
	}
}

// raw sends messages with one layer at most.
func (p *proving) raw(conn *pgconn.PgConn, messages []string) (text string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), patience)
	defer cancel()
	run := func(sql string) error {
		if p.layer.extended {
			return collect(&text, conn.ExecParams(ctx, sql, nil, nil, nil, nil))
		}
		all := conn.Exec(ctx, sql)
		for all.NextResult() {
			if err := collect(&text, all.ResultReader()); err != nil {
				return errors.Join(err, all.Close())
			}
		}
		return all.Close()
	}
	defer func() {
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil // nothing stopped it
		}
	}()
	if p.layer.transaction {
		opening := fmt.Sprintf("set statement_timeout = %d; begin isolation level repeatable read read only; select pg_current_snapshot()", serverTimeout.Milliseconds())
		if _, err := conn.Exec(ctx, opening).ReadAll(); err != nil {
			return "", err
		}
		defer func() {
			if !conn.IsClosed() {
				_, end := conn.Exec(context.WithoutCancel(ctx), "rollback").ReadAll()
				err = errors.Join(err, end)
			}
		}()
	}
	for _, sql := range messages {
		if p.layer.list {
			if err := p.judge(sql, inspect.Read); err != nil {
				return text, err
			}
		}
		if err := run(sql); err != nil {
			return text, err
		}
	}
	return text, nil
}

// collect reads a result, and keeps the first rows as text.
func collect(text *string, rows *pgconn.ResultReader) error {
	for n := 0; rows.NextRow(); n++ {
		for _, v := range rows.Values() {
			if n < 100 {
				*text += string(v) + "\n"
			}
		}
	}
	_, err := rows.Close()
	return err
}

func (p *proving) judge(sql string, kind inspect.Kind) error {
	err := p.inspector.Check(p.t.Context(), inspect.Statement{Tenant: "acme", Rules: inspect.Rules{Kind: kind, Schema: "acme"}, Texts: []string{sql}})
	var refused *inspect.RefusedError
	if err != nil && !errors.As(err, &refused) {
		p.t.Fatalf("%s: %v", sql, err)
	}
	return err
}

// weir runs messages as the statements of a plugin.
func (p *proving) weir(messages []string) (text string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), time.Minute)
	defer cancel()
	kind := inspect.Read
	if p.layer.kind == db.Write {
		kind = inspect.Write
	}
	statements := make([]*db.Statement, len(messages))
	for i, sql := range messages { // before anything runs, as at load
		if err := p.judge(sql, kind); err != nil {
			return "", err
		}
		if statements[i], err = p.database.PrepareSQL(ctx, sql, p.layer.kind); err != nil {
			return "", err
		}
	}
	if p.layer.kind == db.Read {
		tx, err := p.database.Read(ctx)
		if err != nil {
			return "", err
		}
		defer tx.Close()
		for _, s := range statements {
			answers, err := tx.Query(ctx, []db.Query{{Statement: s}})
			if err != nil {
				return text, err
			}
			if answers[0].Err != nil {
				return text, answers[0].Err
			}
			text += string(answers[0].Rows.AppendJSON(nil))
		}
		return text, tx.Finish(ctx)
	}
	tx, err := p.database.Write(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Close()
	for _, s := range statements {
		a, err := tx.Exec(ctx, db.Query{Statement: s})
		if err != nil {
			return text, err
		}
		if a.Rows != nil {
			text += string(a.Rows.AppendJSON(nil))
		}
	}
	_, err = tx.Commit(ctx)
	return text, err
}

// TestSandboxStopsEverythingTogether runs every attack against each layer alone
// and against all of them, on a real server, and compares with the table that
// docs/security.md shows. Whatever the table says: all together let nothing
// through but what is harmless, and each attack is a real one.
// Cases: 39, 44, 45, 46, 47, 48, 49, 50, 51, 54, 55, 56, 57.
func TestSandboxStopsEverythingTogether(t *testing.T) {
	t.Parallel()
	inspector, err := inspect.New(inspect.Config{Command: hosttest.ChildCommand(t, "sql"), StartTimeout: 5 * time.Minute, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close()
	// The child starts before anything is timed.
	if err := inspector.Check(t.Context(), inspect.Statement{Rules: inspect.Rules{Kind: inspect.Read}, Texts: []string{"select 1"}}); err != nil {
		t.Fatal(err)
	}
	got, version := make([][]bool, len(layers)), 0
	t.Run("layers", func(t *testing.T) {
		for i, l := range layers {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				p := newProving(t, l, inspector)
				if i == 0 {
					version, _ = strconv.Atoi(strings.SplitN(p.admin.ParameterStatus("server_version"), ".", 2)[0])
				}
				for _, c := range controls {
					through := p.through(c)
					for range 2 { // a busy machine may lose one to a time limit
						through = through || p.through(c)
					}
					if !through {
						t.Errorf("%s does not get through: %v", c.name, p.err)
					}
				}
				for _, a := range attacks {
					got[i] = append(got[i], p.through(a))
				}
			})
		}
	})
	if t.Failed() {
		return
	}
	for j, a := range attacks {
		if !got[0][j] && a.vain == "" {
			t.Errorf("%s, %s: is no attack: it does not get through where there is nothing", a.group, a.name)
		}
		if got[0][j] && a.vain != "" {
			t.Errorf("%s, %s: it gets through, though %s", a.group, a.name, a.vain)
		}
		for i, l := range layers {
			if l.kind != 0 && got[i][j] && (a.harmless == "" || l.kind == db.Read && strings.HasSuffix(a.harmless, "mutation")) {
				t.Errorf("%s, %s: gets through all layers (%s)", a.group, a.name, l.name)
			}
		}
	}
	compareTable(t, table(got), version)
}

// table is the one of docs/security.md.
func table(got [][]bool) string {
	var b strings.Builder
	b.WriteString("| attack |")
	for _, l := range layers[1:] {
		b.WriteString(" " + l.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(layers)-1) + "\n")
	group := ""
	for j, a := range attacks {
		if a.group != group {
			group = a.group
			b.WriteString("| **" + group + "** |" + strings.Repeat(" |", len(layers)-1) + "\n")
		}
		b.WriteString("| " + a.name + " |")
		for i := range layers[1:] {
			b.WriteString(map[bool]string{true: " – |", false: " stops |"}[got[i+1][j]])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// compareTable compares with the document, or rewrites it.
func compareTable(t *testing.T, want string, version int) {
	t.Helper()
	const begin, end = "<!-- attacks: written by go test ./host -run TestSandbox -update -->\n", "<!-- end of attacks -->\n"
	path := filepath.Join("..", "docs", "security.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	if old == want {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	// Another version of PostgreSQL may stop more, never less.
	recorded := strings.SplitAfter(old, "\n")
	for i, line := range strings.SplitAfter(want, "\n") {
		if i >= len(recorded) || !stopsMore(recorded[i], line) || version == recordedVersion && recorded[i] != line {
			t.Errorf("docs/security.md does not have: %s", line)
		}
	}
}

// recordedVersion is the one whose behaviour docs/security.md shows.
const recordedVersion = 15

// stopsMore reports whether a line stops all that a recorded one stops.
func stopsMore(recorded, line string) bool {
	a, b := strings.Split(recorded, "|"), strings.Split(line, "|")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (strings.TrimSpace(a[i]) != "–" || strings.TrimSpace(b[i]) != "stops") {
			return false
		}
	}
	return true
}
