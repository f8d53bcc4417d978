-- Rights of weir's role on the tables that may be captured: TRIGGER, nothing
-- else. Tables that the administrator does not own are left out; weir db check
-- names them.

do $do$
declare
	s record;
	t record;
begin
	execute format('grant select on weir.life to %I', $GUEST);
	for s in select n.oid, n.nspname from pg_catalog.pg_namespace n
		where n.nspname <> 'weir' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
			and ($SCHEMAS::text[] = '{}' or n.nspname = any ($SCHEMAS::text[]))
	loop
		begin
			execute format('grant usage on schema %I to %I', s.nspname, $WEIR);
		exception when insufficient_privilege then
			raise notice 'weir: no usage on schema %', s.nspname;
		end;
		for t in select c.relname from pg_catalog.pg_class c
			where c.relnamespace = s.oid and c.relkind in ('r', 'p') and c.relpersistence <> 't'
				and pg_catalog.pg_has_role(c.relowner, 'USAGE')
				and not pg_catalog.has_table_privilege($WEIR, c.oid, 'TRIGGER')
		loop
			execute format('grant trigger on %I.%I to %I', s.nspname, t.relname, $WEIR);
		end loop;
		-- Tables made later by today's owners.
		for t in select distinct c.relowner::regrole::text as owner from pg_catalog.pg_class c
			where c.relnamespace = s.oid and c.relkind in ('r', 'p') and pg_catalog.pg_has_role(c.relowner, 'USAGE')
			union select current_user::regrole::text
		loop
			execute format('alter default privileges for role %s in schema %I grant trigger on tables to %I', t.owner, s.nspname, $WEIR);
		end loop;
	end loop;
end
$do$;
