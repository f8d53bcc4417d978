-- Jobs and workflows, made as weir's role in the schema weir. Every statement
-- may be run again.

-- Which tenant a login role works for. Functions ask it for session_user, which
-- a guest cannot change.
create table if not exists weir.tenant_role (
	role   text primary key,
	tenant text not null
);

create table if not exists weir.jobs (
	job_id       uuid primary key default pg_catalog.gen_random_uuid(),
	tenant       text not null,
	queue        text not null,
	kind         text not null,
	key          text,             -- makes creation repeatable
	owner        text,             -- a principal: issuer, space, subject
	status       text not null default 'queued'
		check (status in ('queued', 'running', 'done', 'failed', 'cancelled')),
	progress     float8 not null default 0 check (progress between 0 and 100),
	message      text,
	input        jsonb,
	output       jsonb,
	error        text,             -- of the last try that failed
	attempts     integer not null default 0,
	max_attempts integer not null default 3,
	run_at       timestamptz not null default pg_catalog.now(), -- not before
	lease        interval,         -- by which progress renews; null unless running
	lease_until  timestamptz,      -- likewise
	created_at   timestamptz not null default pg_catalog.now(),
	updated_at   timestamptz not null default pg_catalog.now(),
	finished_at  timestamptz       -- null until it is over
) with (fillfactor = 80); -- progress is an update in place, on the same page

create unique index if not exists jobs_key on weir.jobs (tenant, queue, key) where key is not null;
create index if not exists jobs_due on weir.jobs (tenant, queue, (coalesce(lease_until, run_at))) where status in ('queued', 'running');
create index if not exists jobs_lost on weir.jobs (tenant, lease_until) where status = 'running';
create index if not exists jobs_owner on weir.jobs (tenant, owner, created_at) where owner is not null;
create index if not exists jobs_over on weir.jobs (tenant, finished_at) where finished_at is not null;

create table if not exists weir.workflow_runs (
	workflow_id uuid primary key default pg_catalog.gen_random_uuid(),
	tenant      text not null,
	name        text not null,
	key         text,
	owner       text,
	status      text not null default 'running'
		check (status in ('running', 'waiting', 'done', 'failed', 'cancelled')),
	step        text,              -- the one that started last
	waiting_for text,              -- null unless waiting
	input       jsonb,
	output      jsonb,
	error       text,
	created_at  timestamptz not null default pg_catalog.now(),
	updated_at  timestamptz not null default pg_catalog.now(),
	finished_at timestamptz
) with (fillfactor = 80);

create unique index if not exists workflow_runs_key on weir.workflow_runs (tenant, name, key) where key is not null;
create index if not exists workflow_runs_owner on weir.workflow_runs (tenant, owner, created_at) where owner is not null;
create index if not exists workflow_runs_over on weir.workflow_runs (tenant, finished_at) where finished_at is not null;

-- Without ON DELETE CASCADE: it would delete row by row, a log row for each.
create table if not exists weir.workflow_steps (
	workflow_id uuid not null references weir.workflow_runs,
	position    integer not null,
	tenant      text not null,
	name        text not null,
	status      text not null default 'pending'
		check (status in ('pending', 'running', 'waiting', 'done', 'failed', 'cancelled', 'skipped')),
	waiting_for text,
	output      jsonb,
	error       text,
	started_at  timestamptz,
	finished_at timestamptz,
	primary key (workflow_id, position),
	unique (workflow_id, name)
) with (fillfactor = 80);

-- A role sees what its policy shows, which weir.tenant_admit makes. The owner,
-- weir's role, is not bound by it; nobody else may write.
do $do$
declare
	t regclass;
begin
	for t in select c.oid from pg_catalog.pg_class c where c.relnamespace = 'weir'::regnamespace
		and c.relname in ('jobs', 'workflow_runs', 'workflow_steps') and not c.relrowsecurity
	loop
		execute format('alter table %s enable row level security', t);
	end loop;
end
$do$;

-- Below, names of arguments win nothing: a bare name is a column, an argument is
-- written with its function's name.

create or replace function weir.tenant() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $body$
declare
	found_tenant text;
begin
	select r.tenant into found_tenant from weir.tenant_role r where r.role = session_user;
	if found_tenant is null then
		raise exception 'role % works for no tenant', session_user using errcode = '42501',
			hint = format('as weir''s role or an administrator: select weir.tenant_admit(%L)', session_user);
	end if;
	return found_tenant;
end
$body$;

-- A text that must be there and not be too long.
create or replace function weir.job_text(what text, value text, most integer) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $body$
begin
	if coalesce(value, '') = '' then
		raise exception 'weir: % is missing', what using errcode = '22023';
	elsif octet_length(value) > most then
		raise exception 'weir: % has % bytes, % are allowed', what, octet_length(value), most using errcode = '22023';
	end if;
	return value;
end
$body$;

-- A value that may be absent.
create or replace function weir.job_text_or_null(what text, value text, most integer) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $body$
	select case when value is not null then weir.job_text(what, value, most) end
$body$;

create or replace function weir.job_value(what text, value jsonb) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp as $body$
begin
	if octet_length(value::text) > 1048576 then
		raise exception 'weir: % has % bytes as text, 1048576 are allowed: store it in a table or elsewhere, and its name here',
			what, octet_length(value::text) using errcode = '22023';
	end if;
	return value;
end
$body$;

-- Errors are cut, because a worker that cannot report its failure fails twice.
create or replace function weir.job_error(error text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $body$
begin
	error := coalesce(nullif(error, ''), 'it failed');
	if octet_length(error) <= 4096 then
		return error;
	end if;
	-- A character is at most four bytes; most are one.
	error := left(error, 4093);
	while octet_length(error) > 4093 loop
		error := left(error, -greatest(1, (octet_length(error) - 4093) / 4));
	end loop;
	return error || '…';
end
$body$;

create or replace function weir.job_create(kind text, input jsonb default null, queue text default 'default',
	owner text default null, key text default null, run_at timestamptz default pg_catalog.now(), max_attempts integer default 3)
returns uuid language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	new_id uuid;
begin
	if job_create.max_attempts is null or job_create.max_attempts not between 1 and 100 then
		raise exception 'weir: max_attempts is %, it may be 1 to 100', job_create.max_attempts using errcode = '22023';
	end if;
	insert into weir.jobs (tenant, queue, kind, key, owner, input, run_at, max_attempts) values (own_tenant,
		weir.job_text('queue', job_create.queue, 200), weir.job_text('kind', job_create.kind, 200),
		weir.job_text_or_null('key', job_create.key, 200), weir.job_text_or_null('owner', job_create.owner, 1024),
		weir.job_value('input', job_create.input), coalesce(job_create.run_at, now()), job_create.max_attempts)
		on conflict (tenant, queue, key) where key is not null do nothing
		returning job_id into new_id;
	if new_id is null then
		-- Null again if the row was removed at this moment.
		select j.job_id into new_id from weir.jobs j
			where j.tenant = own_tenant and j.queue = job_create.queue and j.key = job_create.key;
		if new_id is null then
			raise exception 'weir: the key % was used a moment ago: try again', job_create.key using errcode = '40001';
		end if;
	end if;
	return new_id;
end
$body$;

-- One job at a time: a single statement for all would lock what it then leaves,
-- and each job is a statement, so that the log has its key.
create or replace function weir.job_take(queue text default 'default', lease interval default '1 minute', most integer default 1)
returns table (job_id uuid, attempt integer, kind text, input jsonb, owner text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	due_at timestamptz := clock_timestamp(); -- the transaction may be old
	taken integer := 0;
	j weir.jobs;
begin
	perform weir.job_text('queue', job_take.queue, 200);
	if job_take.lease is null or not job_take.lease between '1 second' and '1 day' then
		raise exception 'weir: the lease is %, it may be 1 second to 1 day', job_take.lease using errcode = '22023';
	elsif job_take.most is null or job_take.most not between 1 and 100 then
		raise exception 'weir: most is %, it may be 1 to 100', job_take.most using errcode = '22023';
	end if;
	while taken < job_take.most loop
		select * into j from weir.jobs
			where tenant = own_tenant and queue = job_take.queue and status in ('queued', 'running')
				and coalesce(lease_until, run_at) <= due_at
			order by coalesce(lease_until, run_at) limit 1
			for update skip locked;
		exit when not found;
		if j.attempts >= j.max_attempts then
			perform weir.job_lose(j);
			continue;
		end if;
		taken := taken + 1;
		update weir.jobs set status = 'running', attempts = attempts + 1, progress = 0, message = null,
			lease = job_take.lease, lease_until = due_at + job_take.lease, updated_at = due_at
			where job_id = j.job_id;
		return query select j.job_id, j.attempts + 1, j.kind, j.input, j.owner;
	end loop;
end
$body$;

-- What becomes of a running job whose lease ended, when it is not taken again
-- at once. The caller has locked it.
create or replace function weir.job_lose(j weir.jobs) returns void
language sql set search_path = pg_catalog, pg_temp as $body$
	update weir.jobs set lease = null, lease_until = null, updated_at = clock_timestamp(),
		error = format('the worker was lost in attempt %s of %s', j.attempts, j.max_attempts),
		status = case when j.attempts >= j.max_attempts then 'failed' else 'queued' end,
		finished_at = case when j.attempts >= j.max_attempts then clock_timestamp() end
		where job_id = j.job_id
$body$;

create or replace function weir.job_progress(job_id uuid, attempt integer, percent float8 default null, message text default null)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	at timestamptz := clock_timestamp();
begin
	if job_progress.percent not between 0 and 100 then
		raise exception 'weir: the percent is %, it may be 0 to 100', job_progress.percent using errcode = '22023';
	elsif octet_length(job_progress.message) > 4096 then
		raise exception 'weir: the message has % bytes, 4096 are allowed', octet_length(job_progress.message) using errcode = '22023';
	end if;
	-- A lease with more than nine tenths left stays as it is: then no indexed
	-- column changes, and the update is in place.
	update weir.jobs set progress = coalesce(job_progress.percent, progress), message = coalesce(job_progress.message, message),
		lease_until = case when lease_until < at + 0.9 * lease then at + lease else lease_until end, updated_at = at
		where job_id = job_progress.job_id and tenant = own_tenant and status = 'running' and attempts = job_progress.attempt;
	return found;
end
$body$;

create or replace function weir.job_finish(job_id uuid, attempt integer, output jsonb default null)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	at timestamptz := clock_timestamp();
begin
	update weir.jobs set status = 'done', progress = 100, output = weir.job_value('output', job_finish.output), error = null,
		lease = null, lease_until = null, updated_at = at, finished_at = at
		where job_id = job_finish.job_id and tenant = own_tenant and status = 'running' and attempts = job_finish.attempt;
	return found;
end
$body$;

create or replace function weir.job_fail(job_id uuid, attempt integer, error text, retry boolean default true, wait interval default null)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	at timestamptz := clock_timestamp();
	j weir.jobs;
	again boolean;
begin
	if job_fail.wait not between '0' and '1 year' then
		raise exception 'weir: the wait is %, it may be 0 to 1 year', job_fail.wait using errcode = '22023';
	end if;
	select * into j from weir.jobs
		where job_id = job_fail.job_id and tenant = own_tenant and status = 'running' and attempts = job_fail.attempt for update;
	if not found then
		return false;
	end if;
	again := coalesce(job_fail.retry, true) and j.attempts < j.max_attempts;
	update weir.jobs set status = case when again then 'queued' else 'failed' end, error = weir.job_error(job_fail.error),
		run_at = case when again then at + coalesce(job_fail.wait, least(2 ^ (j.attempts - 1), 3600) * interval '1 second') else run_at end,
		lease = null, lease_until = null, updated_at = at, finished_at = case when not again then at end
		where job_id = j.job_id;
	return true;
end
$body$;

create or replace function weir.job_cancel(job_id uuid, owner text default null)
returns boolean language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	at timestamptz := clock_timestamp();
begin
	update weir.jobs set status = 'cancelled', lease = null, lease_until = null, updated_at = at, finished_at = at
		where job_id = job_cancel.job_id and tenant = own_tenant and status in ('queued', 'running')
			and (job_cancel.owner is null or owner = job_cancel.owner);
	return found;
end
$body$;

-- Puts back what workers lost, and removes what has been over for long: each a
-- statement of so few rows that the log has their keys (C3), so that nobody who
-- looks at other jobs is disturbed. Returns how many rows it touched; the caller
-- comes again while there are some.
create or replace function weir.job_sweep(keep interval default '7 days')
returns integer language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	own_tenant text := weir.tenant();
	at timestamptz := clock_timestamp();
	touched integer := 0;
	n integer;
	runs uuid[];
	j weir.jobs;
begin
	for j in select * from weir.jobs where tenant = own_tenant and status = 'running' and lease_until <= at
		order by lease_until limit 100 for update skip locked
	loop
		perform weir.job_lose(j);
		touched := touched + 1;
	end loop;
	if job_sweep.keep is null then -- for ever
		return touched;
	end if;
	delete from weir.jobs where job_id in (select d.job_id from weir.jobs d
		where d.tenant = own_tenant and d.finished_at < at - job_sweep.keep
		order by d.finished_at limit 100 for update skip locked);
	get diagnostics n = row_count;
	touched := touched + n;
	-- As many runs as have at most 200 steps together; one has no more.
	select array_agg(l.workflow_id) into runs from (
		select d.workflow_id, sum((select count(*) from weir.workflow_steps s where s.workflow_id = d.workflow_id))
				over (order by d.finished_at, d.workflow_id) as steps
			from (select * from weir.workflow_runs r where r.tenant = own_tenant and r.finished_at < at - job_sweep.keep
				order by r.finished_at limit 100 for update skip locked) d
	) l where l.steps <= 200;
	delete from weir.workflow_steps where workflow_id = any (runs);
	delete from weir.workflow_runs where workflow_id = any (runs);
	return touched + coalesce(cardinality(runs), 0);
end
$body$;
