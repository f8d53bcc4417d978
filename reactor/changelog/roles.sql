-- Roles, the schema and grants, run by an administrator. $WEIR, $GUEST and
-- $SCHEMAS stand for quoted literals. Every statement may be run again.

do $do$
declare
	r text;
begin
	foreach r in array array[$WEIR, $GUEST] loop
		if not exists (select from pg_catalog.pg_roles where rolname = r) then
			begin
				execute format('create role %I login', r);
				execute format('comment on role %I is %L', r, 'made by weir db setup');
			exception when duplicate_object or unique_violation then
				null; -- another database's setup was quicker
			end;
		end if;
		begin
			execute format('grant connect on database %I to %I', current_database(), r);
		exception when others then
			raise notice 'weir: connect on % not granted to %: %', current_database(), r, sqlerrm;
		end;
	end loop;
	-- To make objects that belong to weir's role. Superusers need no membership.
	if $WEIR <> current_user and not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
		execute format('grant %I to current_user', $WEIR);
	end if;
	if not exists (select from pg_catalog.pg_namespace where nspname = 'weir') then
		execute format('create schema weir authorization %I', $WEIR);
	end if;
	execute format('grant usage on schema weir to %I', $GUEST);
end
$do$;
