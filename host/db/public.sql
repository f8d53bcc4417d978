-- What everybody may do in a database unless it is taken back: temporary tables,
-- objects in the schema public, where other roles would find them, and calls of
-- all functions there, and of those that the administrator makes from now on.
do $do$
begin
	execute format('revoke temporary on database %I from public', current_database());
	execute format('revoke create on database %I from public', current_database());
	if exists (select from pg_catalog.pg_namespace where nspname = 'public') then
		revoke create on schema public from public;
		revoke execute on all functions in schema public from public;
	end if;
	alter default privileges revoke execute on functions from public;
end
$do$;
