-- Answers of mutations with an idempotency key, made as weir's role in the schema
-- weir, before the part that grants its functions to the roles of tenants.
create table if not exists weir.calls (
	tenant  text not null,
	key     bytea not null,        -- digest of principal, function and key
	request bytea not null,        -- digest of the arguments
	epoch   text,                  -- the history that tx is of
	tx      xid8,                  -- null until the answer is noted
	result  bytea,                 -- JSON
	at      timestamptz not null default pg_catalog.now(),
	primary key (tenant, key)
);
create index if not exists calls_at on weir.calls (at);

-- The functions are in plpgsql, because weir.tenant comes with a later part.
--
-- Notes a key in the transaction of its mutation. If it was noted before, what
-- was answered then is returned: one row in every case. A call that is running
-- holds the key; who comes second waits for it.
create or replace function weir.call_begin(key bytea, request bytea)
returns table (fresh boolean, same boolean, epoch text, tx text, result bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
begin
	insert into weir.calls (tenant, key, request) values (weir.tenant(), call_begin.key, call_begin.request)
		on conflict do nothing;
	if found then
		return query select true, true, null::text, null::text, null::bytea;
		return;
	end if;
	return query select false, c.request = call_begin.request, c.epoch, c.tx::text, c.result
		from weir.calls c where c.tenant = weir.tenant() and c.key = call_begin.key;
end
$body$;

create or replace function weir.call_end(key bytea, epoch text, result bytea) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
begin
	update weir.calls c set epoch = call_end.epoch, tx = pg_current_xact_id(), result = call_end.result
		where c.tenant = weir.tenant() and c.key = call_end.key;
	return found;
end
$body$;

-- Forgets a tenant's answers that are older than a day, some at a time.
create or replace function weir.call_sweep() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
	gone bigint;
begin
	delete from weir.calls c where c.tenant = weir.tenant() and c.key in (
		select o.key from weir.calls o where o.tenant = weir.tenant() and o.at < now() - interval '24 hours' limit 1000 for update skip locked);
	get diagnostics gone = row_count;
	return gone;
end
$body$;

do $do$
declare
	f regprocedure;
begin
	for f in select p.oid from pg_catalog.pg_proc p where p.pronamespace = 'weir'::regnamespace and p.proname ~ '^call_' loop
		execute format('revoke all on function %s from public', f);
	end loop;
end
$do$;
