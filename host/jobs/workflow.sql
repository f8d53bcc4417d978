-- Workflows, made after schema.sql and in the same way. A function locks the
-- run's row first, so that the steps of a run change one after another.

-- The run, locked, if it is not over.
create or replace function weir.workflow_open(workflow_id uuid) returns weir.workflow_runs
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	w weir.workflow_runs;
begin
	select * into w from weir.workflow_runs
		where workflow_id = workflow_open.workflow_id and tenant = own_tenant and status in ('running', 'waiting') for update;
	return w; -- all null if there is none
end
$body$;

create or replace function weir.workflow_create(name text, input jsonb default null, steps text[] default '{}',
	owner text default null, key text default null)
returns uuid language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	new_id uuid;
begin
	insert into weir.workflow_runs (tenant, name, key, owner, input) values (own_tenant,
		weir.job_text('name', workflow_create.name, 200), weir.job_text_or_null('key', workflow_create.key, 200),
		weir.job_text_or_null('owner', workflow_create.owner, 1024), weir.job_value('input', workflow_create.input))
		on conflict (tenant, name, key) where key is not null do nothing
		returning workflow_id into new_id;
	if new_id is null then
		select w.workflow_id into new_id from weir.workflow_runs w
			where w.tenant = own_tenant and w.name = workflow_create.name and w.key = workflow_create.key;
		if new_id is null then
			raise exception 'weir: the key % was used a moment ago: try again', workflow_create.key using errcode = '40001';
		end if;
		return new_id;
	end if;
	if cardinality(workflow_create.steps) > 200 then
		raise exception 'weir: % steps, 200 are allowed', cardinality(workflow_create.steps) using errcode = '22023';
	elsif exists (select from unnest(workflow_create.steps) s(name) group by s.name having count(*) > 1) then
		raise exception 'weir: two steps have the same name' using errcode = '22023';
	end if;
	insert into weir.workflow_steps (workflow_id, position, tenant, name)
		select new_id, s.position, own_tenant, weir.job_text('step', s.name, 200)
			from unnest(workflow_create.steps) with ordinality s(name, position);
	return new_id;
end
$body$;

create or replace function weir.workflow_step_start(workflow_id uuid, step text)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	w weir.workflow_runs := weir.workflow_open(workflow_step_start.workflow_id);
	at timestamptz := clock_timestamp();
	last integer;
begin
	if w.workflow_id is null then
		return false;
	end if;
	update weir.workflow_steps s set status = 'running', waiting_for = null, error = null, started_at = coalesce(s.started_at, at)
		where s.workflow_id = w.workflow_id and s.name = workflow_step_start.step and s.status <> 'done';
	if not found then
		if exists (select from weir.workflow_steps s where s.workflow_id = w.workflow_id and s.name = workflow_step_start.step) then
			return false; -- done before
		end if;
		select coalesce(max(s.position), 0) into last from weir.workflow_steps s where s.workflow_id = w.workflow_id;
		if last >= 200 then
			raise exception 'weir: a workflow has at most 200 steps' using errcode = '22023';
		end if;
		insert into weir.workflow_steps (workflow_id, position, tenant, name, status, started_at)
			values (w.workflow_id, last + 1, w.tenant, weir.job_text('step', workflow_step_start.step, 200), 'running', at);
	end if;
	perform weir.workflow_settle(w.workflow_id, workflow_step_start.step);
	return true;
end
$body$;

-- Brings the run in line with its steps: it waits when one waits and none runs.
create or replace function weir.workflow_settle(workflow_id uuid, step text) returns void
language sql set search_path = pg_catalog, pg_temp as $body$
	update weir.workflow_runs w set step = coalesce(workflow_settle.step, w.step), updated_at = clock_timestamp(),
		status = case when s.waiting_for is null then 'running' else 'waiting' end, waiting_for = s.waiting_for
		from (select case when not bool_or(status = 'running') then (array_agg(waiting_for order by position) filter (where status = 'waiting'))[1] end as waiting_for
			from weir.workflow_steps where workflow_id = workflow_settle.workflow_id) s
		where w.workflow_id = workflow_settle.workflow_id
$body$;

-- What finish, fail and wait of a step have in common. A step that is over stays
-- as it is.
create or replace function weir.workflow_step_set(workflow_id uuid, step text, status text, output jsonb, error text, waiting_for text)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	w weir.workflow_runs := weir.workflow_open(workflow_step_set.workflow_id);
	s weir.workflow_steps;
begin
	if w.workflow_id is null then
		return false;
	end if;
	select * into s from weir.workflow_steps where workflow_id = w.workflow_id and name = workflow_step_set.step;
	if not found then
		raise exception 'weir: the workflow has no step %', workflow_step_set.step using errcode = '22023',
			hint = 'start it first';
	elsif s.status not in ('running', 'waiting') then
		return false;
	end if;
	update weir.workflow_steps set status = workflow_step_set.status, output = workflow_step_set.output,
		error = workflow_step_set.error, waiting_for = workflow_step_set.waiting_for,
		finished_at = case when workflow_step_set.status <> 'waiting' then clock_timestamp() end
		where workflow_id = w.workflow_id and position = s.position;
	perform weir.workflow_settle(w.workflow_id, null);
	return true;
end
$body$;

create or replace function weir.workflow_step_finish(workflow_id uuid, step text, output jsonb default null)
returns boolean language sql security definer set search_path = pg_catalog, pg_temp as $body$
	select weir.workflow_step_set(workflow_id, step, 'done', weir.job_value('output', output), null, null)
$body$;

create or replace function weir.workflow_step_fail(workflow_id uuid, step text, error text)
returns boolean language sql security definer set search_path = pg_catalog, pg_temp as $body$
	select weir.workflow_step_set(workflow_id, step, 'failed', null, weir.job_error(error), null)
$body$;

create or replace function weir.workflow_step_wait(workflow_id uuid, step text, waiting_for text)
returns boolean language sql security definer set search_path = pg_catalog, pg_temp as $body$
	select weir.workflow_step_set(workflow_id, step, 'waiting', null, null, weir.job_text('waiting_for', waiting_for, 200))
$body$;

create or replace function weir.workflow_step_output(workflow_id uuid, step text)
returns jsonb language sql stable security definer set search_path = pg_catalog, pg_temp as $body$
	select s.output from weir.workflow_steps s
		where s.workflow_id = workflow_step_output.workflow_id and s.name = workflow_step_output.step and s.tenant = weir.tenant()
$body$;

-- The end of a run is the end of its steps.
create or replace function weir.workflow_end(w weir.workflow_runs, status text, output jsonb, error text)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	at timestamptz := clock_timestamp();
begin
	if w.workflow_id is null then
		return false;
	end if;
	update weir.workflow_steps s set waiting_for = null, finished_at = at,
		status = case when s.status = 'pending' then 'skipped' when workflow_end.status = 'done' then 'done' else 'cancelled' end
		where s.workflow_id = w.workflow_id and s.status in ('pending', 'running', 'waiting');
	update weir.workflow_runs set status = workflow_end.status, waiting_for = null, output = workflow_end.output,
		error = workflow_end.error, updated_at = at, finished_at = at
		where workflow_id = w.workflow_id;
	return true;
end
$body$;

create or replace function weir.workflow_finish(workflow_id uuid, output jsonb default null)
returns boolean language sql security definer set search_path = pg_catalog, pg_temp as $body$
	select weir.workflow_end(weir.workflow_open(workflow_id), 'done', weir.job_value('output', output), null)
$body$;

create or replace function weir.workflow_fail(workflow_id uuid, error text)
returns boolean language sql security definer set search_path = pg_catalog, pg_temp as $body$
	select weir.workflow_end(weir.workflow_open(workflow_id), 'failed', null, weir.job_error(error))
$body$;

create or replace function weir.workflow_cancel(workflow_id uuid, owner text default null)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
declare
	w weir.workflow_runs := weir.workflow_open(workflow_cancel.workflow_id);
begin
	if workflow_cancel.owner is not null and w.owner is distinct from workflow_cancel.owner then
		return false;
	end if;
	return weir.workflow_end(w, 'cancelled', null, null);
end
$body$;
