package jobs

import (
	"os"
	"strings"
	"testing"
)

// J3: whatever a role passes, it works for its own tenant.
func TestTenantIsThatOfTheRole(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mine := s.guest.get(`weir.job_create('mine', key => 'k', owner => 'i ann')`)
	theirs := s.acme.get(`weir.job_create('theirs', key => 'k', owner => 'i ann')`)
	s.guest.want("default", `weir.tenant()`)
	s.acme.want("acme", `weir.tenant()`)
	s.admin.want("default mine, acme theirs", `select string_agg(tenant || ' ' || kind, ', ' order by created_at) from weir.jobs`)

	// A worker takes only what is its tenant's, though queue and key are equal.
	if list := s.acme.take("default", 100); len(list) != 1 || list[0].ID != theirs {
		t.Errorf("acme took %+v", list)
	}
	if list := s.guest.take("default", 100); len(list) != 1 || list[0].ID != mine {
		t.Errorf("default took %+v", list)
	}
	for _, call := range []string{"weir.job_progress($1::text::uuid, 1, 5)", "weir.job_finish($1::text::uuid, 1)", "weir.job_fail($1::text::uuid, 1, 'x')", "weir.job_cancel($1::text::uuid)", "weir.job_cancel($1::text::uuid, 'i ann')"} {
		s.acme.want("false", call, mine)
	}
	s.wantJob(mine, "running 0 try 1 held")
	s.lose()
	if list := s.acme.take("default", 100); len(list) != 1 || list[0].ID != theirs {
		t.Errorf("acme took %+v after all leases ended", list)
	}

	run := s.guest.get(`weir.workflow_create('w', steps => '{a}', key => 'k')`)
	s.guest.want("true", `weir.workflow_step_start($1::text::uuid, 'a')`, run)
	s.guest.want("true", `weir.workflow_step_finish($1::text::uuid, 'a', '"secret"')`, run)
	if other := s.acme.get(`weir.workflow_create('w', key => 'k')`); other == run {
		t.Error("the key of another tenant gave its run")
	}
	for _, call := range []string{"step_start($1::text::uuid, 'b')", "step_finish($1::text::uuid, 'a')", "step_fail($1::text::uuid, 'a', 'x')", "step_wait($1::text::uuid, 'a', 'x')", "finish($1::text::uuid)", "fail($1::text::uuid, 'x')", "cancel($1::text::uuid)"} {
		s.acme.want("false", "weir.workflow_"+call, run)
	}
	s.acme.want("", `weir.workflow_step_output($1::text::uuid, 'a')`, run)
	s.wantRun(run, "running at a | a done")

	// Sweeping, too.
	s.admin.exec(`update weir.jobs set status = 'done', lease_until = null, finished_at = now() - interval '1 year';
		update weir.workflow_runs set status = 'done', finished_at = now() - interval '1 year'`)
	s.acme.want("2", `weir.job_sweep('1 day')`)
	s.admin.want("default default", `select tenant || ' ' || (select string_agg(tenant, ' ') from weir.workflow_runs) from weir.jobs`)
}

// J3: tables show the rows of the tenant that has logged in, and nobody writes
// them but through the functions.
// Cases: 46.
func TestRowsAreThoseOfTheTenant(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.guest.exec(`select weir.job_create('mine'), weir.workflow_create('mine', steps => '{a}')`)
	s.acme.exec(`select weir.job_create('theirs'), weir.workflow_create('theirs', steps => '{b,c}')`)
	all := `select concat_ws(' ', (select string_agg(kind, ',') from weir.jobs), (select string_agg(name, ',') from weir.workflow_runs),
		(select string_agg(name, ',') from weir.workflow_steps))`
	s.guest.want("mine mine a", all)
	s.acme.want("theirs theirs b,c", all)
	s.acme.refused("42501", "permission denied", `select string_agg(tenant, ',') from weir.tenant_role`)
	// A role without a tenant has no right at all; with one that was taken away,
	// neither, and even with the right to read it sees nothing.
	stray := s.as("jobs_stray")
	stray.refused("42501", "permission denied", `weir.tenant()`)
	s.admin.exec(`grant usage on schema weir to jobs_stray; grant select on weir.jobs to jobs_stray;
		grant execute on function weir.tenant, weir.job_create to jobs_stray`)
	stray.want("0", `select count(*) from weir.jobs`)
	stray.refused("42501", "role jobs_stray works for no tenant", `weir.tenant()`)
	stray.refused("42501", "works for no tenant", `weir.job_create('x')`)
	// Set by hand, like a setting that the function might trust.
	stray.exec(`set weir.tenant = 'default'; set role none`)
	stray.refused("42501", "works for no tenant", `weir.job_create('x')`)

	for _, sql := range []string{
		`insert into weir.tenant_role values ('jobs_acme', 'default')`, `update weir.tenant_role set tenant = 'default'`,
		`delete from weir.jobs`, `update weir.jobs set tenant = 'default'`, `insert into weir.jobs (tenant, queue, kind) values ('default', 'q', 'k')`,
		`update weir.workflow_runs set owner = null`, `delete from weir.workflow_steps`, `truncate weir.jobs`,
		`select weir.tenant_admit('jobs_acme')`, `select weir.tenant_dismiss('weir_guest')`, `select weir.tenant_grant('jobs_acme', 'default')`, `select weir.tenant_changed()`,
		`select weir.job_lose(j) from weir.jobs j`, `select weir.workflow_open(gen_random_uuid())`,
		`select weir.workflow_settle(gen_random_uuid(), 'x')`, `select weir.workflow_end(null, 'done', null, null)`,
		`select weir.workflow_step_set(gen_random_uuid(), 'a', 'done', null, null, null)`, `alter table weir.jobs disable row level security`,
		`create policy mine on weir.jobs using (true)`, `create function weir.job_mine() returns int language sql as 'select 1'`,
		`set session authorization weir_guest`, `set role weir`,
	} {
		_, err := s.acme.conn.Exec(t.Context(), sql)
		if err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// What a guest may call is what is documented, and no more.
func TestGuestMayCallTheListedFunctions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.admin.want(strings.Join(Functions(), ", "), `select string_agg('weir.' || p.proname, ', ' order by p.proname collate "C") from pg_proc p
		where p.pronamespace = 'weir'::regnamespace and has_function_privilege('weir_guest', p.oid, 'execute') and p.proname ~ '^(job_|workflow_|tenant)'`)
	doc, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Functions() {
		if !strings.Contains(string(doc), "\n"+name) {
			t.Errorf("docs/operating.md does not say what %s takes", name)
		}
	}
}

// A function that runs as weir's role must not find a caller's objects.
func TestFunctionsPinTheirSearchPath(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.admin.want("", `select string_agg(p.oid::regprocedure::text, ', ') from pg_proc p where p.pronamespace = 'weir'::regnamespace
		and p.proname ~ '^(job_|workflow_|tenant)' and not 'search_path=pg_catalog, pg_temp' = any (coalesce(p.proconfig, '{}'))`)
	s.admin.want("", `select string_agg(p.oid::regprocedure::text, ', ') from pg_proc p where p.pronamespace = 'weir'::regnamespace
		and has_function_privilege('public', p.oid, 'execute') and p.proname ~ '^(job_|workflow_|tenant)'`)
	// What shadows a table or an operator is in a temporary schema, behind
	// pg_catalog, and every table is named with its schema.
	s.guest.exec(`create temp table jobs (like weir.jobs); create temp table tenant_role (role text, tenant text);
		insert into pg_temp.tenant_role values ('weir_guest', 'acme');
		create function pg_temp.now() returns timestamptz language sql as 'select ''2000-01-01''::timestamptz';
		create function pg_temp.lie(text, text) returns boolean language sql as 'select true';
		create operator pg_temp.= (leftarg = text, rightarg = text, function = pg_temp.lie);
		set search_path = pg_temp, pg_catalog`)
	s.guest.want("default", `weir.tenant()`)
	s.guest.get(`weir.job_create('x')`)
	s.admin.want("default true", `select tenant || ' ' || (run_at > '2020-01-01') from weir.jobs`)
}

func TestRolesAreAdmittedAndDismissed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.admin.exec(`select weir.tenant_admit('jobs_stray', 'acme')`)
	stray := s.as("jobs_stray")
	stray.want("acme", `weir.tenant()`)
	id := stray.get(`weir.job_create('x')`)
	stray.want("1", `select count(*) from weir.jobs`)
	s.admin.exec(`select weir.tenant_admit('jobs_stray')`)
	stray.want("default", `weir.tenant()`)
	stray.want("0", `select count(*) from weir.jobs`)
	stray.want("false", `weir.job_cancel($1::text::uuid)`, id)
	for range 2 {
		s.admin.exec(`select weir.tenant_dismiss('jobs_stray')`)
	}
	stray.refused("42501", "permission denied", `weir.tenant()`)
	stray.refused("42501", "permission denied", `select count(*) from weir.jobs`)
	s.admin.refused("42704", "there is no role nobody_here", `weir.tenant_admit('nobody_here')`)
	s.admin.refused("22023", "tenant is missing", `weir.tenant_admit('jobs_stray', '')`)
	// weir's own role may, so that no superuser is needed.
	s.as("weir").want("", `weir.tenant_admit('jobs_stray', 'acme')`)
	s.admin.want("1", `select count(*) from weir.tenant_role where role = 'jobs_stray'`)
}
