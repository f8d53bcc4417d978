-- Who may use jobs and workflows: made last, as weir's role. $GUEST stands for a
-- quoted literal.

-- What a role that works for a tenant may do. Not more: the functions in between
-- are for the others alone.
create or replace function weir.tenant_grant(role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
declare
	f regprocedure;
begin
	execute format('grant usage on schema weir to %I', role);
	execute format('grant select on weir.life, weir.tenant_role, weir.jobs, weir.workflow_runs, weir.workflow_steps to %I', role);
	for f in select p.oid from pg_proc p where p.pronamespace = 'weir'::regnamespace
		and (p.prosecdef and p.proname ~ '^(job|workflow)_' or p.proname = 'tenant')
	loop
		execute format('grant execute on function %s to %I', f, role);
	end loop;
end
$body$;

create or replace function weir.tenant_admit(role text, tenant text default 'default') returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
begin
	if not exists (select from pg_roles r where r.rolname = tenant_admit.role) then
		raise exception 'there is no role %', tenant_admit.role using errcode = '42704', hint = 'create role … login';
	end if;
	perform weir.tenant_grant(tenant_admit.role);
	insert into weir.tenant_role values (tenant_admit.role, weir.job_text('tenant', tenant_admit.tenant, 200))
		on conflict (role) do update set tenant = excluded.tenant;
end
$body$;

create or replace function weir.tenant_dismiss(role text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	f regprocedure;
begin
	delete from weir.tenant_role where role = tenant_dismiss.role;
	if not exists (select from pg_roles r where r.rolname = tenant_dismiss.role) then
		return;
	end if;
	execute format('revoke all on weir.tenant_role, weir.jobs, weir.workflow_runs, weir.workflow_steps from %I', tenant_dismiss.role);
	for f in select p.oid from pg_proc p where p.pronamespace = 'weir'::regnamespace and p.proname ~ '^(job_|workflow_|tenant)' loop
		execute format('revoke all on function %s from %I', f, tenant_dismiss.role);
	end loop;
end
$body$;

do $do$
declare
	f regprocedure;
	r text;
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
	for r in select t.role from weir.tenant_role t join pg_catalog.pg_roles p on p.rolname = t.role loop
		perform weir.tenant_grant(r);
	end loop;
end
$do$;
