-- The tables of weir's change log, made as weir's role in the schema weir.
-- Every statement may be run again.

-- One row for all readers. Triggers read it at every statement: whether anybody
-- listens, and into which partition to write.
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

-- Without a sequence: it would be written to WAL, and no cursor needs it (C1).
create table if not exists weir.log (
	xid  xid8 not null default pg_catalog.pg_current_xact_id(), -- top-level, in savepoints too
	at   timestamptz not null default pg_catalog.clock_timestamp(),
	slot int2 not null,
	rel  oid not null,   -- topmost table of the family; 0 = none in particular
	op   "char" not null, -- I U D T(runcate) X(DDL)
	mask int2[],          -- columns that an update changed; null = all
	keys jsonb            -- watched columns of all old and new rows; null = whole table
) partition by list (slot);

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

-- What other rooms keep in this schema, and in which version.
create table if not exists weir.part (
	name    text primary key,
	version integer not null
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
