package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/host/devdb/devdbtest"
)

func TestDBCommandsFromSetupToUninstall(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	dir := t.TempDir()
	db.Exec(t, "create table rooms (id int primary key)")
	// Roles belong to the whole server, so these have names of their own.
	weirName, guestName := "weir_"+db.Name, "guest_"+db.Name
	roles := []string{"--weir-role", weirName, "--guest-role", guestName}
	t.Cleanup(func() {
		o := weir(t, dir, "db", "uninstall", "--admin-url", db.URL)
		if o.code != 0 {
			t.Errorf("uninstall again: %+v", o)
		}
	})

	weir(t, dir, "db", "status", "--url", db.URL).fails(t, 1, "weir db setup --admin-url")
	o := weir(t, dir, "db", "check", "--url", db.URL)
	if o.code != 1 || !strings.Contains(o.out, "missing: the change log") || o.errors != "" {
		t.Errorf("check before setup: %+v", o)
	}

	write(t, filepath.Join(dir, "password"), "one two\n")
	setup := append([]string{"db", "setup", "--admin-url", db.URL, "--table", "rooms", "--weir-password-file", "password"}, roles...)
	out := weir(t, dir, setup...).must(t)
	for _, want := range []string{"ok change log", "ok public.rooms is captured", "ok jobs and workflows"} {
		if !strings.Contains(out, want) {
			t.Errorf("setup does not say %q:\n%s", want, out)
		}
	}
	if again := weir(t, dir, setup...).must(t); again != out {
		t.Errorf("a second setup says\n%s, the first said\n%s", again, out)
	}

	url := db.As(weirName, "one two")
	if checked := weir(t, dir, "db", "check", "rooms", "--url", url).must(t); !strings.Contains(checked, "ok jobs and workflows") {
		t.Errorf("check says\n%s", checked)
	}
	status := weir(t, dir, "db", "status", "--url", url).must(t)
	for _, want := range []string{"capture      runs", "nobody has read the log yet", "rooms"} {
		if !strings.Contains(status, want) {
			t.Errorf("status does not say %q:\n%s", want, status)
		}
	}
	weir(t, dir, "db", "pause", "--url", url).must(t)
	if status := weir(t, dir, "db", "status", "--url", url).must(t); !strings.Contains(status, "paused: weir db resume") {
		t.Errorf("status while paused:\n%s", status)
	}
	weir(t, dir, "db", "resume", "--url", url).must(t)
	weir(t, dir, "db", "check", "rooms", "--url", url).must(t)
	o = weir(t, dir, "db", "check", "nowhere", "--url", url)
	if o.code != 1 || !strings.Contains(o.out, "missing: table nowhere does not exist") {
		t.Errorf("check of a table that is not there: %+v", o)
	}
	for sql, want := range map[string]string{
		"update weir.part set version = 0": "missing: jobs and workflows in version",
		"delete from weir.part":            "missing: jobs and workflows: weir db setup --admin-url URL",
		"drop table weir.part":             "missing: jobs and workflows: weir db setup --admin-url URL", // set up by an older weir
	} {
		db.Exec(t, sql)
		if o = weir(t, dir, "db", "check", "--url", url); o.code != 1 || !strings.Contains(o.out, want) {
			t.Errorf("check after %s: %+v", sql, o)
		}
		weir(t, dir, setup...).must(t)
	}
	weir(t, dir, "db", "uninstall", "--admin-url", db.URL).must(t)
	weir(t, dir, "db", "status", "--url", db.URL).fails(t, 1, "not set up")
}

// TestDBSetupPrintIsWhatSetupRuns: a DBA runs the text, and weir can work.
func TestDBSetupPrintIsWhatSetupRuns(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	dir := t.TempDir()
	text := weir(t, dir, "db", "setup", "--print", "--weir-role", "weir_"+db.Name, "--guest-role", "guest_"+db.Name).must(t)
	weirWith(t, &Main{Dir: dir, Args: []string{"sql", "-", "--url", db.URL}, Stdin: strings.NewReader(text)}).must(t)
	t.Cleanup(func() { weir(t, dir, "db", "uninstall", "--admin-url", db.URL) })
	weir(t, dir, "db", "check", "--url", db.As("weir_"+db.Name, "")).must(t)
}

func TestDBTakesTheAdminURLFromTheEnvironment(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	m := &Main{Dir: t.TempDir(), Args: []string{"db", "uninstall"}, Getenv: func(name string) string {
		if name == "WEIR_ADMIN_URL" {
			return db.URL
		}
		return ""
	}}
	weirWith(t, m).must(t)
}

func TestSQLPrintsRowsOfEachStatement(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	got := weir(t, t.TempDir(), "sql", "--url", db.URL,
		"create table t (id int, body text); insert into t values (1, 'a'), (22, null), (3, e'two\\nlines\\x1b[31m'); select * from t order by id; select 1 where false").must(t)
	want := "CREATE TABLE\nINSERT 0 3\n" +
		"id  body\n──  ──────────────\n1   a\n3   two lines [31m\n22  null\nSELECT 3\n" +
		"?column?\n────────\nSELECT 0\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = weir(t, t.TempDir(), "sql", "--url", db.URL, "select generate_series(1, 1003) as n").must(t)
	if !strings.HasSuffix(got, "1000\n… and 3 rows more\nSELECT 1003\n") {
		t.Errorf("a long result ends with %q", got[len(got)-60:])
	}
}

func TestSQLErrorsAreOneSentenceAndUndoEverything(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	dir := t.TempDir()
	weir(t, dir, "sql", "--url", db.URL, "select * form t").fails(t, 1, `syntax error at or near "form"`)
	o := weir(t, dir, "sql", "--url", db.URL, "create table kept (id int); insert into nowhere values (1)")
	o.fails(t, 1, `relation "nowhere" does not exist`)
	weir(t, dir, "sql", "--url", db.URL, "select * from kept").fails(t, 1, `relation "kept" does not exist`)
}

// TestPrivateDatabaseFollowsItsFiles: one database for each content of schema
// and seed, made whole or not at all.
func TestPrivateDatabaseFollowsItsFiles(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := openDir(t)
	schema := filepath.Join(dir, "schema.sql")
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"plugins\"\n[dev]\nschema = \"schema.sql\"\n")
	write(t, schema, "create table a (id int);\ncreate table b (id int);")
	m := &Main{Dir: dir, Getenv: os.Getenv}
	p, err := m.openProject(".")
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := p.startCluster(ctx, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
		weir(t, dir, "db", "private", "--remove").must(t)
		if _, err := os.Stat(filepath.Join(dir, ".weir")); !os.IsNotExist(err) {
			t.Errorf(".weir is left: %v", err)
		}
	})
	ensure := func(wantMade bool) string {
		t.Helper()
		name, made, err := p.ensureDatabase(ctx, cluster)
		if err != nil || made != wantMade {
			t.Fatalf("made %v %v, want %v", made, err, wantMade)
		}
		return name
	}
	first := ensure(true)
	if second := ensure(false); second != first {
		t.Errorf("the same files give %s and %s", first, second)
	}
	// What an older weir made is brought up to date, and its rows are kept.
	weir(t, dir, "sql", "insert into a values (7); drop table weir.jobs cascade; delete from weir.part").must(t)
	ensure(false)
	if out := weir(t, dir, "sql", "select id, (select count(*) from weir.jobs) as jobs from a").must(t); !strings.Contains(out, "7   0") {
		t.Errorf("after the renewal:\n%s", out)
	}
	// The guest role may read and write, also tables that are made later.
	weir(t, dir, "sql", "create table later (id int generated always as identity)").must(t)
	weir(t, dir, "sql", "--url", cluster.UserURL(guestRole, first), "insert into a values (1); insert into later default values; select * from b").must(t)
	weir(t, dir, "sql", "--url", cluster.UserURL(guestRole, first), "create table mine (id int)").fails(t, 1, "permission denied")

	write(t, schema, "create table a (id int);\n\ncreate tabel b (id int);")
	_, _, err = p.ensureDatabase(ctx, cluster)
	if err == nil || !strings.Contains(err.Error(), `schema.sql:3: syntax error at or near "tabel"`) {
		t.Errorf("a broken schema: %v", err)
	}
	if current, err := p.currentDatabase(ctx, cluster); err != nil || current != first {
		t.Errorf("after a broken schema the current database is %s %v, want %s", current, err, first)
	}

	write(t, schema, "create table c (id int)")
	third := ensure(true)
	dropOthers(ctx, cluster, third)
	if out := weir(t, dir, "sql", "select datname from pg_database where datname like 'dev%'").must(t); strings.Contains(out, first) || !strings.Contains(out, third) {
		t.Errorf("databases that are left:\n%s", out)
	}
}
