-- The event triggers that log DDL. Superusers only; without them definitions are
-- compared each second.

do $do$
begin
	if not exists (select from pg_catalog.pg_event_trigger where evtname = 'weir_ddl') then
		create event trigger weir_ddl on ddl_command_end execute function weir.ddl();
	end if;
	alter event trigger weir_ddl enable always;
	if not exists (select from pg_catalog.pg_event_trigger where evtname = 'weir_drop') then
		create event trigger weir_drop on sql_drop execute function weir.ddl();
	end if;
	alter event trigger weir_drop enable always;
exception when insufficient_privilege then
	raise notice 'weir: event triggers need a superuser: definitions are compared each second instead';
end
$do$;
