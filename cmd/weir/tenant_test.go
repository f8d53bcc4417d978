package main

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/host/config"
	"weir/host/devdb/devdbtest"
)

// TestTenantInitMakesARoleThatWeirTakes: the role may do what was named, the
// lines that are printed are a configuration, and the second run changes nothing.
func TestTenantInitMakesARoleThatWeirTakes(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	dir := t.TempDir()
	role := db.Name + "_acme"
	db.Exec(t, `create schema acme; create table acme.notes (id serial, body text); create table acme.rooms (id int); create table acme.hidden (id int);
		create function acme.rank_it(int) returns int language sql as 'select 1'; create function acme.evil(int) returns int language sql as 'select 1'`)
	t.Cleanup(func() { db.Exec(t, "drop owned by "+role+"; drop role "+role) })
	args := []string{"tenant", "init", "acme", "--admin-url", db.URL, "--role", role, "--read", "rooms", "--write", "notes", "--function", "acme.rank_it", "--revoke-public"}
	out := weir(t, dir, args...).must(t)
	if !strings.Contains(out, "ok role "+role+" reads 2 tables and writes 1 table\n") || strings.Contains(out, "degraded") {
		t.Errorf("it says:\n%s", out)
	}
	file, err := config.Parse("weir.toml", []byte("plugins = \"p\"\n"+out[strings.Index(out, "[tenant."):]), func(string) string { return "" })
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	acme := file.Tenants()[1]
	guest := acme.Guest.Reveal()
	u, err := url.Parse(guest)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	if acme.Schema != "acme" || acme.Trust != "sandboxed" || len(acme.SQL.Functions) != 1 || u.User.Username() != role || len(password) < 20 {
		t.Errorf("the lines for weir.toml: %+v, %d digits of password", acme, len(password))
	}
	sql := func(text string) outcome { return weir(t, dir, "sql", "--url", guest, text) }
	sql("insert into notes (body) values ('x'); select rank_it(id) from rooms").must(t)
	for _, text := range []string{"insert into rooms values (1)", "select * from hidden", "select evil(1)", "create table mine (id int)", "create temp table mine (id int)"} {
		sql(text).fails(t, 1, "permission denied")
	}

	again := weir(t, dir, args...).must(t)
	if strings.Contains(again, password) || !strings.Contains(again, "its password is what it was") {
		t.Errorf("the second run says:\n%s", again)
	}
	if renewed := weir(t, dir, append(args, "--new-password")...).must(t); strings.Contains(renewed, password) || !strings.Contains(renewed, "shown once") {
		t.Errorf("with a new password:\n%s", renewed)
	}

	// A file holds the URL instead, and is what the next run takes.
	filed := append(args, "--guest-file", "guest.url")
	out = weir(t, dir, filed...).must(t)
	text, err := os.ReadFile(filepath.Join(dir, "guest.url"))
	if err != nil || !strings.Contains(out, `guest_file = "guest.url"`) || strings.Contains(out, "postgres://") || !strings.Contains(string(text), role+":") {
		t.Errorf("%v: the file has %q, it says:\n%s", err, regexp.MustCompile(`:[^:@/]+@`).ReplaceAllString(string(text), ":…@"), out)
	}
	if info, err := os.Stat(filepath.Join(dir, "guest.url")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is open to others: %v, %v", info.Mode(), err)
	}
	weir(t, dir, filed...).must(t)
	if same, err := os.ReadFile(filepath.Join(dir, "guest.url")); err != nil || string(same) != string(text) {
		t.Errorf("the second run changed the file: %v", err)
	}
}

// TestTenantInitPrintIsWhatItRuns, and what everybody may do is told.
func TestTenantInitPrintIsWhatItRuns(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	dir := t.TempDir()
	role := db.Name + "_acme"
	t.Cleanup(func() { db.Exec(t, "drop owned by "+role+"; drop role "+role) })
	text := weir(t, dir, "tenant", "init", "acme", "--print", "--role", role).must(t)
	weirWith(t, &Main{Dir: dir, Args: []string{"sql", "-", "--url", db.URL}, Stdin: strings.NewReader(text)}).must(t)
	out := weir(t, dir, "tenant", "init", "acme", "--admin-url", db.URL, "--role", role).must(t)
	for _, want := range []string{"degraded: it may read no table: name them with --read and --write", "degraded: the role " + role + " may make temporary tables: revoke temporary"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// weir db check tells the same of the roles that the configuration names.
// Cases: 46.
func TestDBCheckTellsOfRightsTooMany(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	dir := t.TempDir()
	weirName, guest := "weir_"+db.Name, "guest_"+db.Name
	weir(t, dir, "db", "setup", "--admin-url", db.URL, "--weir-role", weirName, "--guest-role", guest).must(t)
	t.Cleanup(func() { weir(t, dir, "db", "uninstall", "--admin-url", db.URL) })
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"p\"\n[database]\nurl = \""+db.As(weirName, "")+"\"\nguest = \""+db.As(guest, "")+"\"\n")
	db.Exec(t, "create function evil() returns int language sql as 'select 1'; alter role "+guest+" bypassrls")
	out := weir(t, dir, "db", "check").must(t)
	for _, want := range []string{"degraded: the role " + guest + " has BYPASSRLS", "such as evil(): revoke execute on all functions in schema public from public"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	db.Exec(t, "alter role "+guest+" nobypassrls; revoke execute on function evil() from public")
	if out := weir(t, dir, "db", "check").must(t); strings.Contains(out, "BYPASSRLS") || strings.Contains(out, "evil()") {
		t.Errorf("afterwards:\n%s", out)
	}
}
