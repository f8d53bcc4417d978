package jobs

import (
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb/devdbtest"
	"weir/reactor/changelog"
)

// setup runs Setup with the jobs, as weir db setup does.
func setup(t *testing.T, cfg changelog.SetupConfig) {
	t.Helper()
	cfg.Parts = []changelog.Part{{Name: "jobs", Version: Version, SQL: SchemaSQL()}}
	fs, err := changelog.Setup(t.Context(), cfg)
	if err != nil || fs[len(fs)-1].String() != "ok jobs" {
		t.Errorf("setup: %v %v", fs, err)
	}
}

func TestSetupByManyAtOnceAndAgainKeepsJobs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.acme.get(`weir.job_create('kept')`)
	// As if another version had had other functions.
	s.admin.exec(`drop function weir.job_take; drop function weir.workflow_end cascade; drop index weir.jobs_due`)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { setup(t, changelog.SetupConfig{AdminURL: s.db.URL}) })
	}
	wg.Wait()
	// Who was admitted before may call what is new, for his own tenant.
	if got := s.acme.one("default"); got.ID != id {
		t.Errorf("took %+v", got)
	}
	s.acme.want("acme", `weir.tenant()`)
	s.guest.want("default", `weir.tenant()`)
	s.admin.want("", `select string_agg(p.oid::regprocedure::text, ', ') from pg_proc p where p.pronamespace = 'weir'::regnamespace
		and has_function_privilege('public', p.oid, 'execute') and p.proname ~ '^(job_|workflow_|tenant)'`)
	s.admin.want("acme default", `select string_agg(tenant, ' ' order by tenant) from weir.tenant_role`)
	// A setup for the role of another tenant leaves it there.
	setup(t, changelog.SetupConfig{AdminURL: s.db.URL, Guest: "jobs_acme"})
	s.acme.want("acme", `weir.tenant()`)
}

// Managed PostgreSQL, whose administrator is no superuser; and nothing is left.
// Not beside other tests: roles belong to the whole server, and uninstalling
// tries to drop all that a setup made.
func TestSetupWithoutSuperuserAndUninstall(t *testing.T) {
	db := devdbtest.New(t)
	name := pgx.Identifier{db.Name}.Sanitize()
	db.Exec(t, `create role jobs_dba login createrole; grant create, connect on database `+name+` to jobs_dba; create role jobs_mailer login`)
	// Membership in roles that it made keeps them from being dropped by itself.
	t.Cleanup(func() {
		db.Exec(t, `drop owned by jobs_dba; do $$ declare r text; begin
			foreach r in array array['jobs_managed_weir', 'jobs_managed_guest'] loop
				if exists (select from pg_roles where rolname = r) then execute 'drop owned by ' || r; execute 'drop role ' || r; end if;
			end loop; end $$;
			drop role jobs_mailer; drop role jobs_dba`)
	})
	cfg := changelog.SetupConfig{AdminURL: db.As("jobs_dba", ""), Weir: "jobs_managed_weir", Guest: "jobs_managed_guest"}
	setup(t, cfg)
	setup(t, cfg)
	s := &site{t: t, db: db}
	s.as("jobs_dba").get(`weir.tenant_admit('jobs_mailer')`)
	guest, mailer := s.as("jobs_managed_guest"), s.as("jobs_mailer")
	id := guest.get(`weir.job_create('mail')`)
	if got := mailer.one("default"); got.ID != id {
		t.Errorf("took %+v", got)
	}
	guest.want("running", `select status from weir.jobs`)
	if err := changelog.Uninstall(t.Context(), db.URL); err != nil {
		t.Fatal(err)
	}
	s.as("").want("0", `select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'weir'`)
	// The worker's role, which setup did not make, is there and has nothing left.
	s.as("").want("0", `select count(*) from pg_shdepend d join pg_roles r on r.oid = d.refobjid where r.rolname = 'jobs_mailer'`)
}
