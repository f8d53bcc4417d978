package db

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/host/devdb/devdbtest"
)

// tenancy is a database with two schemas, and a role that MakeRole makes.
func tenancy(t *testing.T) (base devdbtest.DB, role string) {
	t.Helper()
	base = devdbtest.New(t)
	role = base.Name + "_acme"
	base.Exec(t, `create schema acme; create schema other;
		create table acme.notes (id serial primary key, body text); create table acme."Odd name" (id int); create table acme.hidden (id int);
		create table other.secrets (id int); create table public.shared (id int);
		create function acme.listed() returns int language sql as 'select 1'; create function acme.evil(int) returns int language sql as 'select 1'`)
	t.Cleanup(func() { base.Exec(t, "drop owned by "+role+"; drop role "+role) })
	return base, role
}

// state runs SQL as a role and returns the SQLSTATE, "" if it works.
func state(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return ""
}

// TestMadeRoleMayDoWhatIsSaidAndNoMore: each right that was named is there, all
// others are not, whoever granted them before.
// Cases: 46.
func TestMadeRoleMayDoWhatIsSaidAndNoMore(t *testing.T) {
	t.Parallel()
	base, role := tenancy(t)
	cfg := RoleConfig{Role: role, Schema: "acme", Read: []string{"Odd name", "public.shared"}, Write: []string{"notes"}, Functions: []string{"acme.listed"}, Public: true}
	if _, err := MakeRole(t.Context(), base.URL, cfg); err == nil || !strings.Contains(err.Error(), "an odd name needs double quotes") {
		t.Fatalf("a name that needs quotes: %v", err)
	}
	cfg.Read[0] = `"Odd name"`
	for i := range 2 { // it may be run again
		made, err := MakeRole(t.Context(), base.URL, cfg)
		if err != nil || len(made.Excess) > 0 || made.New != (i == 0) {
			t.Fatalf("%+v, %v", made, err)
		}
	}
	url := base.As(role, "")
	f := func(sql, want string) {
		t.Helper()
		if got := state(t, url, sql); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
	const denied = "42501"
	f(`select * from notes; insert into notes (body) values ('x'); update notes set body = 'y'; delete from notes`, "")
	f(`select * from "Odd name", public.shared`, "")
	f(`select listed(), acme.listed()`, "")
	f(`insert into "Odd name" values (1)`, denied)
	f(`insert into public.shared values (1)`, denied)
	f(`select * from hidden`, denied)
	f(`select * from other.secrets`, denied)
	f(`truncate notes`, denied)
	f(`select evil(1)`, denied)
	f(`select x.evil from generate_series(1, 2) x`, denied)
	f(`create table mine (id int)`, denied)
	f(`create table public.mine (id int)`, denied)
	f(`create schema mine`, denied)
	f(`create temp table mine (id int)`, denied)
	f(`create function f() returns int language sql as 'select 1'`, denied)
	f(`set role `+role+`_none`, "22023")
	f(`alter role `+role+` superuser`, denied)
	f(`create role x`, denied)
	f(`alter table notes disable row level security`, denied)
	f(`copy notes to program 'true'`, denied)
	f(`set temp_file_limit = -1`, denied)
	f(`do $$ begin if current_setting('statement_timeout') <> '30s' or current_setting('search_path') <> 'acme' then raise 'x'; end if; end $$`, "")

	// What is no longer named is taken back, and what others gave.
	base.Exec(t, `create role `+role+`_group; grant `+role+`_group to `+role+`; alter role `+role+` bypassrls createdb inherit`)
	t.Cleanup(func() { base.Exec(t, `drop role `+role+`_group`) })
	cfg.Write, cfg.Read, cfg.Functions = nil, []string{"notes"}, nil
	if made, err := MakeRole(t.Context(), base.URL, cfg); err != nil || len(made.Excess) > 0 {
		t.Fatalf("%+v, %v", made, err)
	}
	f(`select * from notes`, "")
	f(`insert into notes (body) values ('x')`, denied)
	f(`select nextval('notes_id_seq')`, denied)
	f(`select * from "Odd name"`, denied)
	f(`select listed()`, denied)
	f(`set role `+role+`_group`, denied)
}

// TestRoleIsMadeByAnAdministratorWhoIsNoSuperuser, and what it could not take
// back is told.
func TestRoleIsMadeByAnAdministratorWhoIsNoSuperuser(t *testing.T) {
	t.Parallel()
	base, role := tenancy(t)
	admin := role + "_admin"
	base.Exec(t, `revoke create on schema public from public`) // as 15 and later have it
	base.Exec(t, `create role `+admin+` login createrole; alter database `+base.Name+` owner to `+admin+`; alter schema acme owner to `+admin+`;
		alter table acme.notes owner to `+admin+`; alter function acme.listed() owner to `+admin)
	t.Cleanup(func() {
		base.Exec(t, `reassign owned by `+admin+` to current_user; drop owned by `+admin+`; drop role `+admin)
	})
	cfg := RoleConfig{Role: role, Schema: "acme", Write: []string{"notes"}, Functions: []string{"acme.listed"}, Password: "s3cret"}
	for range 2 {
		made, err := MakeRole(t.Context(), base.As(admin, ""), cfg)
		if err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, e := range made.Excess {
			told = append(told, e.String()+": "+e.Do)
		}
		all := strings.Join(told, "\n")
		if len(made.Excess) != 2 || !strings.Contains(all, "may make temporary tables: revoke temporary") || !strings.Contains(all, "such as acme.evil(integer): revoke execute") {
			t.Errorf("told:\n%s", all)
		}
	}
	if got := state(t, base.As(role, ""), `insert into notes (body) values ('x')`); got != "" {
		t.Errorf("insert: %s", got)
	}
}

// TestPasswordIsSentAsPostgreSQLKeepsIt: no log and no statistics can have it.
func TestPasswordIsSentAsPostgreSQLKeepsIt(t *testing.T) {
	t.Parallel()
	base, role := tenancy(t)
	base.Exec(t, `set password_encryption = 'scram-sha-256'; create role `+role+` password 'correct horse'`)
	var kept string
	if err := base.Conn(t).QueryRow(t.Context(), `select rolpassword from pg_authid where rolname = $1`, role).Scan(&kept); err != nil {
		t.Fatal(err)
	}
	salt, err := base64.StdEncoding.DecodeString(strings.FieldsFunc(kept, func(r rune) bool { return r == ':' || r == '$' })[2])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := scramVerifier("correct horse", salt); err != nil || got != kept {
		t.Errorf("got %q, %v\nPostgreSQL has %q", got, err, kept)
	}
	if _, err := scramVerifier("grün", salt); err == nil {
		t.Error("a password that would have to be normalised was taken")
	}
}

// The script's quotes hold whatever the names are.
func TestRoleScriptRefusesNamesThatEndItsQuotes(t *testing.T) {
	t.Parallel()
	for _, bad := range []RoleConfig{
		{Role: "a$do$; drop table x; --", Schema: "s"}, {Role: "a", Schema: "s\nx"}, {Role: "a", Schema: "s", Read: []string{"t$do$"}}, {Role: "a"}, {},
	} {
		if script, err := RoleSQL(bad); err == nil {
			t.Errorf("%+v makes %s", bad, script)
		}
	}
	script, err := RoleSQL(RoleConfig{Role: "it's", Schema: "s", Read: []string{"a", "b"}})
	if err != nil || !strings.Contains(script, "rolname = 'it''s'") || !strings.Contains(script, "array['a', 'b']::text[]") || strings.Contains(script, "$ROLE") {
		t.Errorf("%v:\n%s", err, script)
	}
}
