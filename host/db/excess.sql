-- What a role may do that the SQL of plugins does not need: $1 is the role, '' for
-- the one that asks, $2 the functions that its tenant lists.
with r as (
	select * from pg_catalog.pg_roles where rolname = case when $1::text = '' then current_user::text else $1::text end
), f as (
	select r.rolname, n.nspname, p.oid, p.proname from r cross join pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
	where p.oid >= 16384 and p.prorettype not in ('pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype)
		and n.nspname || '.' || p.proname <> all ($2::text[]) and not (n.nspname = 'weir' and p.proname ~ '^((job|workflow|call)_|tenant$)')
		and not r.rolsuper and has_function_privilege(r.oid, p.oid, 'EXECUTE') and has_schema_privilege(r.oid, n.oid, 'USAGE')
), found (rank, what, mend) as (
	select 1, 'is a superuser: no privilege and no row security holds it back', format('alter role %I nosuperuser', rolname) from r where rolsuper
	union all
	select 2, 'has BYPASSRLS: row security does not hold it back', format('alter role %I nobypassrls', rolname) from r where rolbypassrls and not rolsuper
	union all
	select 3, 'may make roles', format('alter role %I nocreaterole', rolname) from r where rolcreaterole and not rolsuper
	union all
	select 3, 'may make databases', format('alter role %I nocreatedb', rolname) from r where rolcreatedb and not rolsuper
	union all
	select 3, 'may replicate: it can read everything that is written', format('alter role %I noreplication', rolname) from r where rolreplication and not rolsuper
	union all
	select 4, format('is a member of %I: SET ROLE gives it all that this role may', m.rolname), format('revoke %I from %I', m.rolname, r.rolname)
	from r join pg_catalog.pg_auth_members a on a.member = r.oid join pg_catalog.pg_roles m on m.oid = a.roleid where not r.rolsuper
	union all
	select 5, format('owns %s, such as %s: an owner may do everything with it, whatever is granted', case count(*) when 1 then 'a relation' else count(*) || ' relations' end, min(c.oid::regclass::text)),
		format('give it another owner: reassign owned by %I to ROLE', min(r.rolname))
	from r join pg_catalog.pg_class c on c.relowner = r.oid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
	where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and n.nspname !~ '^pg_' having count(*) > 0
	union all
	select 5, format('owns the schema %I', n.nspname), format('alter schema %I owner to ROLE', n.nspname) from r join pg_catalog.pg_namespace n on n.nspowner = r.oid where n.nspname !~ '^pg_'
	union all
	select 5, format('owns the database %I', d.datname), format('alter database %I owner to ROLE', d.datname)
	from r join pg_catalog.pg_database d on d.datdba = r.oid where d.datname = current_database()
	union all
	select 5, format('owns %s, such as %s', case count(*) when 1 then 'a function' else count(*) || ' functions' end, min(p.oid::regprocedure::text)),
		format('give it another owner: reassign owned by %I to ROLE', min(r.rolname))
	from r join pg_catalog.pg_proc p on p.proowner = r.oid where not r.rolsuper having count(*) > 0
	union all
	select 6, format('may make objects in the schema %I, which shadow others there', n.nspname), format('revoke create on schema %I from public, %I', n.nspname, r.rolname)
	from r cross join pg_catalog.pg_namespace n where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and not r.rolsuper
		and n.nspowner <> r.oid and has_schema_privilege(r.oid, n.oid, 'CREATE')
	union all
	select 6, format('may make schemas in the database %I', current_database()), format('revoke create on database %I from public, %I', current_database(), rolname)
	from r where not rolsuper and has_database_privilege(oid, current_database(), 'CREATE')
	union all
	select 7, 'may make temporary tables', format('revoke temporary on database %I from public, %I', current_database(), rolname)
	from r where not rolsuper and has_database_privilege(oid, current_database(), 'TEMPORARY')
	union all
	select 8, format('may call %s of the schema %I that sql.functions does not list, such as %s', case count(*) when 1 then 'a function' else count(*) || ' functions' end, nspname, min(oid::regprocedure::text)),
		format('revoke execute on all functions in schema %I from public, %I', nspname, min(rolname))
	from f group by nspname
	union all
	select 9, format('may call %s, which not everybody may', string_agg(distinct p.proname || '()', ', ' order by p.proname || '()')), format('revoke what was granted on them to %I', min(r.rolname))
	from r cross join pg_catalog.pg_proc p where p.oid < 16384 and p.pronamespace = 'pg_catalog'::regnamespace and not r.rolsuper and p.proacl is not null
		and has_function_privilege(r.oid, p.oid, 'EXECUTE') and not has_function_privilege('public', p.oid, 'EXECUTE') having count(*) > 0
	union all
	select 9, format('has privileges on weir''s own %s', c.relname), format('revoke all on weir.%I from public, %I', c.relname, r.rolname)
	from r cross join pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
	where n.nspname = 'weir' and c.relname in ('log', 'reader', 'slot', 'watch', 'secret') and not r.rolsuper and c.relowner <> r.oid
		and has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
)
select r.rolname::text, f.what, f.mend from r left join found f on true order by f.rank, f.what
