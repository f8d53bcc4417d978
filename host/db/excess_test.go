package db

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"weir/host/devdb/devdbtest"
)

// TestExcessNamesEachRightTooMany: what was given too much is told, each with the
// SQL that takes it back; after that SQL nothing is left to tell.
// Cases: 46.
func TestExcessNamesEachRightTooMany(t *testing.T) {
	t.Parallel()
	base := devdbtest.New(t)
	role, other := base.Name+"_x", base.Name+"_y"
	base.Exec(t, `revoke create on schema public from public; revoke temporary on database `+base.Name+` from public;
		create role `+role+` login; create role `+other+`;
		create table t (id int); grant select, insert on t to `+role+`;
		create function f() returns int language sql as 'select 1'; revoke execute on function f() from public;
		create function listed() returns int language sql as 'select 1';
		create schema weir; create table weir.log (id int);
		create function weir.job_create() returns int language sql as 'select 1'; grant usage on schema weir to `+role)
	t.Cleanup(func() { base.Exec(t, "drop owned by "+role+"; drop role "+role+"; drop role "+other) })
	find := func() []Excess {
		t.Helper()
		found, err := FindExcess(t.Context(), base.As(role, ""), "", []string{"public.listed"})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := find(); len(found) != 0 {
		t.Fatalf("a role with what it needs: %v", found)
	}
	f := func(give, want string) {
		t.Helper()
		base.Exec(t, give)
		found := find()
		if len(found) != 1 || !strings.Contains(found[0].What, want) || found[0].Role != role {
			t.Errorf("%s: got %q, want %q", give, found, want)
		}
		byName, err := FindExcess(t.Context(), base.URL, role, []string{"public.listed"})
		if err != nil || len(byName) != len(found) {
			t.Errorf("asked by another role: %q, %v", byName, err)
		}
		for _, e := range found {
			base.Exec(t, strings.NewReplacer("give it another owner: ", "", "to ROLE", "to current_user",
				"revoke what was granted on them to", "revoke execute on function pg_read_file(text) from").Replace(e.Do))
		}
		if found := find(); len(found) != 0 {
			t.Errorf("%s: after %q: %q", give, found[0].Do, found)
		}
	}
	f("alter role "+role+" superuser", "is a superuser")
	f("alter role "+role+" bypassrls", "has BYPASSRLS")
	f("alter role "+role+" createrole", "may make roles")
	f("alter role "+role+" createdb", "may make databases")
	f("alter role "+role+" replication", "may replicate")
	f("grant "+other+" to "+role, "is a member of "+other)
	f("alter table t owner to "+role, "owns a relation, such as t")
	f("alter function f() owner to "+role+"; revoke execute on function f() from "+role, "owns a function, such as f()")
	f("grant create on schema public to "+role, "may make objects in the schema public")
	f("grant create on database "+base.Name+" to public", "may make schemas in the database")
	f("grant temporary on database "+base.Name+" to public", "may make temporary tables")
	f("grant execute on function f() to public", "may call a function of the schema public that sql.functions does not list, such as f()")
	f("grant execute on function pg_read_file(text) to "+role, "may call pg_read_file(), which not everybody may")
	f("grant update on weir.log to "+role, "has privileges on weir's own log")
	if _, err := FindExcess(t.Context(), base.URL, "nobody_of_this_name", nil); !errors.Is(err, ErrNoRole) {
		t.Errorf("a role that does not exist: %v", err)
	}
}

// TestExcessIsAskedWhileConnectionsAreRenewed: a definition changes while plugins are
// loaded. With the race detector.
func TestExcessIsAskedWhileConnectionsAreRenewed(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	var asking sync.WaitGroup
	asking.Go(func() {
		for range 5 {
			if _, err := d.Excess(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
	})
	for range 1000 {
		d.ForgetAll()
	}
	asking.Wait()
}
