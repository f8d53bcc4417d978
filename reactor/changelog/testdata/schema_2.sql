-- schema.sql of an older weir, with a partitioned log and without weir.part.
-- The tables of weir's change log, made as weir's role in the schema weir.
-- Every statement may be run again.

-- One row for all readers: whether anybody listens, and into which partition
-- triggers write. These read the sequence weir.mark, which follows it.
create table if not exists weir.reader (
	one       boolean primary key default true check (one),
	seen_at   timestamptz not null default '-infinity', -- a reader marked itself (C6)
	retention interval not null default '30 min',
	gap       bigint not null default 0,   -- counts how often the mark had lapsed
	slot      int2 not null default 0,     -- the partition that is written
	turned_at timestamptz not null default pg_catalog.clock_timestamp(),
	trimmed   pg_snapshot,                 -- all that was truncated is visible in it (C5)
	paused    boolean not null default false
) with (fillfactor = 10);
insert into weir.reader default values on conflict do nothing;

-- What triggers ask at every statement, at a fifth of the cost of a row: until
-- when the mark holds for transactions that begin, in ms, times 4, plus the slot.
-- It is no count. A sequence has one value for all snapshots, so an old snapshot
-- does not hide the mark. It is set when the row's transaction commits, and not
-- taken back if that fails: the mark then holds for longer than the row says, and
-- a partition may be written that is not the one of the row; both are harmless.
-- While it has no value nobody has listened.
create sequence if not exists weir.mark minvalue 0;
create or replace function weir.mark() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
begin
	perform setval('weir.mark', 4 * greatest(0, least(1e15, extract(epoch from new.seen_at + new.retention) * 1000))::bigint + new.slot);
	return null;
end
$body$;
revoke all on function weir.mark() from public;
-- Deferred: writers that take the new slot wait for what rotation holds, which
-- is then only the commit.
do $do$ begin
	create constraint trigger mark after insert or update on weir.reader
		deferrable initially deferred for each row execute function weir.mark();
exception when duplicate_object then null;
end $do$;
update weir.reader set seen_at = seen_at;

-- Without a sequence: it would be written to WAL, and no cursor needs it (C1).
create table if not exists weir.log (
	xid  xid8 not null default pg_catalog.pg_current_xact_id(), -- top-level, in savepoints too
	at   timestamptz not null default pg_catalog.clock_timestamp(),
	slot int2 not null,
	rel  oid not null,   -- topmost table of the family; 0 = none in particular
	op   "char" not null, -- I U D T(runcate) X(DDL)
	mask int2[],          -- columns that an update changed; null = all
	keys jsonb,           -- watched columns of all old and new rows; null = whole table
	cols int2[]           -- keys is one array of these columns' values, row after row; null = of objects
) partition by list (slot);
alter table weir.log add column if not exists cols int2[];

create table if not exists weir.log_0 partition of weir.log for values in (0)
	with (autovacuum_enabled = false, toast.autovacuum_enabled = false);
create table if not exists weir.log_1 partition of weir.log for values in (1)
	with (autovacuum_enabled = false, toast.autovacuum_enabled = false);
create table if not exists weir.log_2 partition of weir.log for values in (2)
	with (autovacuum_enabled = false, toast.autovacuum_enabled = false);
create index if not exists log_xid on weir.log (xid);

-- What is known of each partition: once sealed, all rows are visible in it (C5).
create table if not exists weir.slot (
	slot   int2 primary key,
	sealed pg_snapshot
);
insert into weir.slot values (0), (1), (2) on conflict do nothing;

-- Watched columns, by root table. The list only grows (C7).
create table if not exists weir.watch (
	rel    oid not null,
	attnum int2 not null, -- 0: the table itself, without a column
	name   name not null,
	primary key (rel, attnum)
);

-- What guests' randomness is derived from, by tenant (G11).
create table if not exists weir.secret (
	name  text primary key,
	bytes bytea not null
);

-- Emptied by crash recovery and on standbys: part of the epoch where the server
-- has no cheaper sign of a crash (C4).
create unlogged table if not exists weir.life (id text not null);

-- DDL goes to the log as an X row. It must never abort the user's DDL, so all
-- errors end here; the catalog fingerprint is the second net (C11).
create or replace function weir.ddl() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $body$
declare
	target oid := 0;
	worth  boolean;
begin
	if tg_tag in ('COMMENT', 'SECURITY LABEL', 'REINDEX', 'CREATE INDEX',
		'CREATE STATISTICS', 'REFRESH MATERIALIZED VIEW', 'ALTER DEFAULT PRIVILEGES') then
		return;
	end if;
	if tg_event = 'sql_drop' then
		select bool_or(true), case when count(distinct objid) = 1 then max(objid) filter (where classid = 'pg_class'::regclass) end
			into worth, target from pg_event_trigger_dropped_objects()
			where not is_temporary and schema_name is distinct from 'weir' and object_type <> 'trigger'
				and schema_name is distinct from 'pg_toast';
	else
		select bool_or(true), case when count(distinct objid) = 1 then max(objid) filter (where classid = 'pg_class'::regclass) end
			into worth, target from pg_event_trigger_ddl_commands()
			where schema_name is distinct from 'pg_temp' and schema_name is distinct from 'weir'
				and not (command_tag = 'CREATE TRIGGER' and object_identity like 'weir\_%');
	end if;
	if worth then
		insert into weir.log (slot, rel, op)
			select r.slot, coalesce(target, 0), 'X' from weir.reader r where r.seen_at > now() - r.retention;
	end if;
exception when others then
	raise warning 'weir: a definition changed and could not be logged: %', sqlerrm;
end
$body$;
revoke all on function weir.ddl() from public;
