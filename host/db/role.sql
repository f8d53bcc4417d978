-- The role of a tenant's SQL, and what it may do: nothing that is not said here.
-- Every statement may be run again. $ROLE, $TENANT, $SCHEMA and $WEIR are quoted
-- literals, $READ, $WRITE and $FUNCTIONS arrays of them.

do $do$
declare
	super boolean := (select rolsuper from pg_catalog.pg_roles where rolname = current_user);
	m record;
begin
	if not exists (select from pg_catalog.pg_roles where rolname = $ROLE) then
		execute format('create role %I login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit $LIMIT', $ROLE);
		execute format('comment on role %I is %L', $ROLE, 'made by weir tenant init');
	elsif super then
		execute format('alter role %I login noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit $LIMIT', $ROLE);
	else
		-- From version 16 on, who takes an attribute away must have it; the others are
		-- a superuser's to take. weir says which are left.
		execute format('alter role %I login noinherit connection limit $LIMIT', $ROLE);
		begin
			execute format('alter role %I nocreaterole', $ROLE);
			execute format('alter role %I nocreatedb', $ROLE);
		exception when insufficient_privilege then
			raise notice 'weir: % may still make databases or roles', $ROLE;
		end;
	end if;
	-- It is a member of nothing: SET ROLE is no way out.
	for m in select r.rolname from pg_catalog.pg_auth_members a join pg_catalog.pg_roles r on r.oid = a.roleid
		where a.member = (select oid from pg_catalog.pg_roles where rolname = $ROLE)
	loop
		begin
			execute format('revoke %I from %I', m.rolname, $ROLE);
		exception when insufficient_privilege then
			raise notice 'weir: % stays a member of %', $ROLE, m.rolname;
		end;
	end loop;
	-- Behind the deadlines of weir, for whoever else uses this role.
	execute format('alter role %I set statement_timeout = %L', $ROLE, '30s');
	execute format('alter role %I set lock_timeout = %L', $ROLE, '5s');
	execute format('alter role %I set idle_in_transaction_session_timeout = %L', $ROLE, '60s');
	execute format('alter role %I set search_path = %I', $ROLE, $SCHEMA);
	if super then -- a role cannot raise this one by itself
		execute format('alter role %I set temp_file_limit = %L', $ROLE, '1GB');
	end if;
	begin
		execute format('grant connect on database %I to %I', current_database(), $ROLE);
	exception when insufficient_privilege then
		raise notice 'weir: connect on % not granted to %: %', current_database(), $ROLE, sqlerrm;
	end;
end
$do$;

-- The schema belongs to the administrator: an owner may do everything. What was
-- granted in it is taken back first.
do $do$
declare
	o record;
	r oid := (select oid from pg_catalog.pg_roles where rolname = $ROLE);
begin
	if not exists (select from pg_catalog.pg_namespace where nspname = $SCHEMA) then
		execute format('create schema %I', $SCHEMA);
	end if;
	execute format('revoke all on schema %I from %I', $SCHEMA, $ROLE);
	execute format('grant usage on schema %I to %I', $SCHEMA, $ROLE);
	for o in select distinct case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass::text as name
		from pg_catalog.pg_class c, aclexplode(c.relacl) a
		where a.grantee = r and c.relnamespace = (select oid from pg_catalog.pg_namespace where nspname = $SCHEMA)
	loop
		execute format('revoke all on %s from %I', o.name, $ROLE);
	end loop;
	for o in select p.oid::regprocedure as name from pg_catalog.pg_proc p, aclexplode(p.proacl) a
		where a.grantee = r and p.pronamespace = (select oid from pg_catalog.pg_namespace where nspname = $SCHEMA)
	loop
		execute format('revoke execute on routine %s from %I', o.name, $ROLE);
	end loop;
	-- Functions can be called without being named: by a column's name, an operator,
	-- a cast. In the tenant's own schema, what is not listed cannot be called at all.
	-- The schema public is everybody's.
	if $SCHEMA <> 'public' then
		execute format('revoke create on schema %I from public', $SCHEMA);
		for o in select p.oid::regprocedure as name from pg_catalog.pg_proc p
			where p.pronamespace = (select oid from pg_catalog.pg_namespace where nspname = $SCHEMA) and pg_catalog.pg_has_role(p.proowner, 'USAGE')
		loop
			execute format('revoke execute on routine %s from public', o.name);
		end loop;
	end if;
end
$do$;

-- Tables, by name, unqualified ones in the schema.
do $do$
declare
	t text;
	o oid;
	s record;
begin
	foreach t in array $READ || $WRITE loop
		begin
			o := to_regclass(case when t like '%.%' then t else format('%I.%s', $SCHEMA, t) end);
		exception when invalid_name or syntax_error then
			o := null;
		end;
		if o is null then
			raise exception 'there is no table % in the schema %: an odd name needs double quotes', t, $SCHEMA;
		end if;
		execute format('grant select on %s to %I', o::regclass, $ROLE);
		if t = any ($WRITE) then
			execute format('grant insert, update, delete on %s to %I', o::regclass, $ROLE);
			for s in select d.objid::regclass as name from pg_catalog.pg_depend d join pg_catalog.pg_class c on c.oid = d.objid
				where d.refobjid = o and d.deptype = 'a' and d.classid = 'pg_class'::regclass and c.relkind = 'S'
			loop
				execute format('grant usage on sequence %s to %I', s.name, $ROLE);
			end loop;
		end if;
		if to_regrole($WEIR) is not null then
			execute format('grant trigger on %s to %I', o::regclass, $WEIR);
		end if;
	end loop;
end
$do$;

-- Functions, all overloads: the same list belongs into sql.functions.
do $do$
declare
	f text;
	g record;
	found_one boolean;
begin
	foreach f in array $FUNCTIONS loop
		found_one := false;
		for g in select p.oid::regprocedure as name from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
			where n.nspname || '.' || p.proname = f
		loop
			execute format('grant execute on routine %s to %I', g.name, $ROLE);
			found_one := true;
		end loop;
		if not found_one then
			raise exception 'there is no function %', f;
		end if;
	end loop;
end
$do$;

-- What weir needs: to capture the tables, and to know one history of the database
-- from another.
do $do$
begin
	if to_regrole($WEIR) is not null then
		execute format('grant usage on schema %I to %I', $SCHEMA, $WEIR);
		execute format('alter default privileges in schema %I grant trigger on tables to %I', $SCHEMA, $WEIR);
	end if;
	-- Jobs and workflows of this tenant.
	if to_regprocedure('weir.tenant_admit(text, text)') is not null then
		perform weir.tenant_admit($ROLE, $TENANT);
	end if;
	if to_regclass('weir.life') is not null then
		execute format('grant usage on schema weir to %I', $ROLE);
		execute format('grant select on weir.life to %I', $ROLE);
	end if;
end
$do$;
