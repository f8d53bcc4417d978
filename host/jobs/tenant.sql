-- Who may use jobs and workflows: made last, as weir's role. $GUEST stands for a
-- quoted literal.

-- What a role that works for a tenant may do. Not more: the functions in between
-- are for the others alone.
--
-- Row security names the tenant as a constant, with a policy for each role. A
-- subquery on tenant_role would do without the policies, but it is a subplan in
-- every plan, and its output prints like a parameter (R1).
create or replace function weir.tenant_grant(role text, tenant text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
declare
	f regprocedure;
	t text;
	policy text := 'tenant_' || md5(tenant_grant.role);
	shows text := format('(tenant = %L::text)', tenant_grant.tenant);
	changed boolean := false;
begin
	execute format('grant usage on schema weir to %I', role);
	execute format('grant select on weir.life, weir.jobs, weir.workflow_runs, weir.workflow_steps to %I', role);
	for f in select p.oid from pg_proc p where p.pronamespace = 'weir'::regnamespace
		and (p.prosecdef and p.proname ~ '^(job|workflow)_' or p.proname = 'tenant')
	loop
		execute format('grant execute on function %s to %I', f, role);
	end loop;
	foreach t in array array['jobs', 'workflow_runs', 'workflow_steps'] loop
		continue when exists (select from pg_policy p where p.polrelid = ('weir.' || t)::regclass and p.polname = policy
			and pg_get_expr(p.polqual, p.polrelid) = shows
			and p.polroles = array[(select r.oid from pg_roles r where r.rolname = tenant_grant.role)]);
		execute format('drop policy if exists %I on weir.%I', policy, t);
		execute format('create policy %I on weir.%I for select to %I using %s', policy, t, role, shows);
		changed := true;
	end loop;
	if changed then
		perform weir.tenant_changed();
	end if;
end
$body$;

-- Read sets that were derived under the policies of before are void (R4).
create or replace function weir.tenant_changed() returns void
language sql set search_path = pg_catalog, pg_temp as $body$
	insert into weir.log (slot, rel, op) select r.slot, 0, 'X' from weir.reader r
$body$;

create or replace function weir.tenant_admit(role text, tenant text default 'default') returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
begin
	if not exists (select from pg_roles r where r.rolname = tenant_admit.role) then
		raise exception 'there is no role %', tenant_admit.role using errcode = '42704', hint = 'create role … login';
	end if;
	insert into weir.tenant_role values (tenant_admit.role, weir.job_text('tenant', tenant_admit.tenant, 200))
		on conflict (role) do update set tenant = excluded.tenant;
	perform weir.tenant_grant(tenant_admit.role, tenant_admit.tenant);
end
$body$;

create or replace function weir.tenant_dismiss(role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	f regprocedure;
	t text;
begin
	delete from weir.tenant_role where role = tenant_dismiss.role;
	foreach t in array array['jobs', 'workflow_runs', 'workflow_steps'] loop
		execute format('drop policy if exists %I on weir.%I', 'tenant_' || md5(tenant_dismiss.role), t);
	end loop;
	perform weir.tenant_changed();
	if not exists (select from pg_roles r where r.rolname = tenant_dismiss.role) then
		return;
	end if;
	execute format('revoke all on weir.jobs, weir.workflow_runs, weir.workflow_steps from %I', tenant_dismiss.role);
	for f in select p.oid from pg_proc p where p.pronamespace = 'weir'::regnamespace and p.proname ~ '^(job_|workflow_|tenant)' loop
		execute format('revoke all on function %s from %I', f, tenant_dismiss.role);
	end loop;
end
$body$;

do $do$
declare
	f regprocedure;
	r record;
begin
	-- New functions may be called by everybody, which is not meant.
	for f in select p.oid from pg_catalog.pg_proc p where p.pronamespace = 'weir'::regnamespace and p.proname ~ '^(job_|workflow_|tenant)' loop
		execute format('revoke all on function %s from public', f);
	end loop;
	-- A role that works for another tenant already stays there.
	if not exists (select from weir.tenant_role where role = $GUEST) then
		perform weir.tenant_admit($GUEST);
	end if;
	-- Those who were admitted before may use what is new.
	for r in select t.role, t.tenant from weir.tenant_role t join pg_catalog.pg_roles p on p.rolname = t.role loop
		perform weir.tenant_grant(r.role, r.tenant);
	end loop;
end
$do$;
