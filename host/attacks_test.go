package host_test

// attack is what a plugin may try. Its messages are sent one after another on one
// connection. It got through if none failed, or if leak or effect say so.
type attack struct {
	group, name string
	sql         []string
	// leak is a text that must not be read.
	leak string
	// effect is SQL that a superuser runs afterwards: true if it got through.
	effect string
	// own is the same on the attacker's connection, in raw layers.
	own string
	// super runs it as a superuser where no role is under test: nobody else could.
	super bool
	// notify: a listener heard of it. sibling: another session of the role died.
	notify, sibling bool
	// harmless says why it may get through when all layers are there.
	harmless string
	// vain says why it does not get through even with no layer at all.
	vain string
}

func one(group, name, sql string) attack { return attack{group: group, name: name, sql: []string{sql}} }

func (a attack) leaks(text string) attack   { a.leak = text; return a }
func (a attack) causes(sql string) attack   { a.effect = sql; return a }
func (a attack) leaves(sql string) attack   { a.own = sql; return a }
func (a attack) asSuper() attack            { a.super = true; return a }
func (a attack) then(sql ...string) attack  { a.sql = append(a.sql, sql...); return a }
func (a attack) isHarmless(w string) attack { a.harmless = w; return a }
func (a attack) isVain(why string) attack   { a.vain = why; return a }
func (a attack) disturbs() attack           { a.sibling = true; return a }
func (a attack) heard() attack              { a.notify = true; return a }

const (
	writes     = "writes in a query"
	escapes    = "ways out of the transaction"
	identities = "other roles"
	tenants    = "rows of other tenants"
	hidden     = "calls without a call"
	sessions   = "the session"
	servers    = "the server and its files"
	foreign    = "other databases, by extensions"
	resources  = "resources"
	catalogs   = "what is in the catalog"
	live       = "what cannot be kept live"
)

const (
	noteWritten = `select exists (select from acme.notes where body = 'evil')`
	logWritten  = `select exists (select from other.audit)`
	advisory    = `select exists (select from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database()))`
)

// controls are what plugins do all day: they get through everything.
var controls = []attack{
	one("control", "a plain query", `select id, body from acme.notes order by id`).leaks("mine too"),
	one("control", "aggregates over a view of rows", `with x as (select count(*) as n from notes) select json_agg(x) from x`).leaks("2"),
	one("control", "the own rows behind row security", `select body from docs`).leaks("of the role"),
}

// attacks is every way out of the sandbox that was found: by research, by reading
// PostgreSQL's grammar, and by trying. $ROLE is the tenant's role, $PEER another
// tenant's, $OWNER the owner of all tables.
var attacks = []attack{
	one(writes, "INSERT", `insert into acme.notes (body) values ('evil')`).causes(noteWritten),
	one(writes, "UPDATE", `update acme.notes set body = 'evil'`).causes(noteWritten),
	one(writes, "DELETE", `delete from acme.notes`).causes(`select not exists (select from acme.notes)`),
	one(writes, "MERGE", `merge into acme.notes n using (select 1) x on false when not matched then insert (body) values ('evil')`).causes(noteWritten),
	one(writes, "TRUNCATE", `truncate acme.notes`).causes(`select not exists (select from acme.notes)`),
	one(writes, "a write in WITH", `with x as (insert into acme.notes (body) values ('evil') returning 1) select * from x`).causes(noteWritten),
	one(writes, "EXPLAIN ANALYZE of a write", `explain analyze insert into acme.notes (body) values ('evil')`).causes(noteWritten),
	one(writes, "COPY FROM a program", `copy acme.notes (body) from program 'echo evil'`).asSuper().causes(noteWritten),
	one(writes, "CREATE TABLE", `create table acme.mine (a int)`).causes(`select to_regclass('acme.mine') is not null`),
	one(writes, "CREATE TABLE AS", `create table acme.mine as select 1`).causes(`select to_regclass('acme.mine') is not null`),
	one(writes, "SELECT INTO", `select 1 as a into acme.mine`).causes(`select to_regclass('acme.mine') is not null`),
	one(writes, "CREATE TEMP TABLE", `create temp table mine (a int)`).leaves(`select to_regclass('pg_temp.mine') is not null`),
	one(writes, "CREATE FUNCTION", `create function acme.mine() returns int language sql as 'select 1'`).causes(`select to_regproc('acme.mine') is not null`),
	one(writes, "DO", `do $$ begin insert into acme.notes (body) values ('evil'); end $$`).causes(noteWritten),
	one(writes, "CALL of a procedure", `call acme.proc()`).causes(noteWritten),
	one(writes, "FOR UPDATE", `select * from acme.notes for update`),
	one(writes, "FOR SHARE", `select * from acme.notes for share`),
	one(writes, "LOCK TABLE", `lock table acme.notes in access exclusive mode`).isVain("outside a transaction PostgreSQL refuses it"),
	one(writes, "nextval", `select nextval('acme.seq')`).causes(`select is_called from acme.seq`),
	one(writes, "setval", `select setval('acme.seq', 7)`).causes(`select last_value = 7 from acme.seq`),
	one(writes, "lo_create", `select lo_create(4711)`).causes(`select exists (select from pg_largeobject_metadata where oid = 4711)`),
	one(writes, "lo_from_bytea", `select lo_from_bytea(4711, 'x')`).causes(`select exists (select from pg_largeobject_metadata where oid = 4711)`),
	one(writes, "a SECURITY DEFINER function", `select acme.sneaky()`).causes(logWritten),

	one(escapes, "COMMIT, then a write", `commit`).then(`insert into acme.notes (body) values ('evil')`).causes(noteWritten),
	one(escapes, "COMMIT and a write in one text", `commit; insert into acme.notes (body) values ('evil')`).causes(noteWritten),
	one(escapes, "a write after a semicolon", `select 1; commit; begin; insert into acme.notes (body) values ('evil'); commit`).causes(noteWritten),
	one(escapes, "a write behind a comment", "select 1 /* ; */ -- ;\n; commit; insert into acme.notes (body) values ('evil')").causes(noteWritten),
	one(escapes, "a write behind dollar quotes", `select $a$ ; $b$ ; $a$; commit; insert into acme.notes (body) values ('evil')`).causes(noteWritten),
	one(escapes, "a write behind a backslash", `select 'a\'; commit; insert into acme.notes (body) values ('evil') --'`).causes(noteWritten),
	one(escapes, "ROLLBACK, then a write", `rollback`).then(`insert into acme.notes (body) values ('evil')`).causes(noteWritten),
	one(escapes, "SET TRANSACTION READ WRITE", `set transaction read write`).then(`insert into acme.notes (body) values ('evil')`, `commit`).causes(noteWritten),
	one(escapes, "set_config('transaction_read_only')", `select set_config('transaction_read_only', 'off', false)`).then(`insert into acme.notes (body) values ('evil')`, `commit`).causes(noteWritten),
	one(escapes, "SET default_transaction_read_only", `set default_transaction_read_only = off`).then(`commit`, `insert into acme.notes (body) values ('evil')`).causes(noteWritten),
	one(escapes, "SAVEPOINT", `savepoint evil`).isVain("outside a transaction PostgreSQL refuses it"),
	one(escapes, "PREPARE TRANSACTION", `prepare transaction 'evil'`).causes(`select exists (select from pg_prepared_xacts where database = current_database())`).isVain("max_prepared_transactions is 0 unless somebody raised it"),
	one(escapes, "a portal that outlives the transaction", `declare evil cursor with hold for select body from acme.notes`).leaves(`select exists (select from pg_cursors where name = 'evil')`),
	one(escapes, "DISCARD ALL", `discard all`),

	one(identities, "SET ROLE", `set role "$PEER"`).then(`select body from other.secrets`).leaks("theirs"),
	one(identities, "SET LOCAL ROLE", `set local role "$PEER"`).then(`select body from other.secrets`).leaks("theirs"),
	one(identities, "RESET ROLE", `reset role`).then(`select body from other.secrets`).leaks("theirs"),
	one(identities, "set_config('role')", `select set_config('role', '$PEER', true)`).then(`select body from other.secrets`).leaks("theirs"),
	one(identities, "SET SESSION AUTHORIZATION", `set session authorization "$PEER"`).then(`select body from other.secrets`).asSuper().leaks("theirs"),
	one(identities, "ALTER ROLE", `alter role "$ROLE" connection limit 41`).asSuper().causes(`select rolconnlimit = 41 from pg_roles where rolname = '$ROLE'`),
	one(identities, "GRANT to oneself", `grant select on other.secrets to "$ROLE"`).causes(`select has_table_privilege('$ROLE', 'other.secrets', 'SELECT')`),
	one(identities, "CREATE ROLE", `create role "$ROLE_evil"`).asSuper().causes(`select to_regrole('"$ROLE_evil"') is not null`),

	one(tenants, "another schema", `select body from other.secrets`).leaks("theirs"),
	one(tenants, "a row behind row security", `select body from acme.docs`).leaks("of the peer"),
	one(tenants, "row security by SET", `set app.tenant = 'peer'`).then(`select body from acme.byguc`).leaks("of the peer"),
	one(tenants, "row security by set_config", `select set_config('app.tenant', 'peer', false)`).then(`select body from acme.byguc`).leaks("of the peer"),
	one(tenants, "row security by set_config in the same SELECT", `with x as materialized (select set_config('app.tenant', 'peer', true)) select body from x, acme.byguc`).leaks("of the peer"),
	one(tenants, "SET row_security", `set row_security = off`).then(`select body from acme.docs`).leaks("of the peer"),
	one(tenants, "query_to_xml", `select query_to_xml('select body from other.secrets', true, true, '')`).leaks("theirs"),
	one(tenants, "table_to_xml", `select table_to_xml('other.secrets', true, true, '')`).leaks("theirs"),
	one(tenants, "ts_stat", `select word from ts_stat('select to_tsvector(''simple'', body) from other.secrets')`).leaks("theirs"),
	one(tenants, "ts_rewrite", `select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, plainto_tsquery(''simple'', body) from other.secrets')`).leaks("theirs"),
	one(tenants, "COPY TO STDOUT", `copy other.secrets to stdout`),
	one(tenants, "search_path", `set search_path = other`).then(`select body from secrets`).leaks("theirs"),
	one(tenants, "SECURITY DEFINER that reads", `select acme.peek()`).leaks("theirs"),

	one(hidden, "a column's name: n.of_row", `select n.of_row from acme.notes n`).leaks("theirs"),
	one(hidden, "a value's name: (7).of_number", `select (7).of_number`).leaks("theirs"),
	one(hidden, "an alias in FROM: x.of_number", `select x.of_number from generate_series(1, 2) x`).leaks("theirs"),
	one(hidden, "an operator", `select 7 <~~> 7`).leaks("theirs"),
	one(hidden, "OPERATOR(acme.+)", `select 'a'::text operator(acme.+) 'b'::text`).leaks("theirs"),
	one(hidden, "a cast with a function", `select (row(1)::acme.odd)::int`).leaks("666"),
	one(hidden, "a domain's check", `select 7::acme.checked`).causes(logWritten).isHarmless("who made the domain granted what its check calls"),
	one(hidden, "pg_sleep by (2).pg_sleep", `select (0.5::float8).pg_sleep`),
	one(hidden, "locks by x.pg_advisory_lock", `select x.pg_advisory_lock from generate_series(1, 3) x`).causes(advisory),
	one(hidden, "a setting by ($1).current_setting", `select ('data_directory'::text).current_setting`).asSuper().leaks("/"),
	one(hidden, "a text as SQL by (…).ts_stat", `select (('select to_tsvector(''simple'', body) from other.secrets'::text).ts_stat).word`).leaks("theirs"),

	one(sessions, "SET statement_timeout", `set statement_timeout = 0`).then(`select pg_sleep(0.5)`),
	one(sessions, "set_config('statement_timeout')", `select set_config('statement_timeout', '0', false)`).then(`select pg_sleep(0.5)`),
	one(sessions, "SET work_mem", `set work_mem = '2GB'`).leaves(`select current_setting('work_mem') = '2GB'`),
	one(sessions, "ALTER ROLE SET", `alter role current_user set work_mem = '2GB'`).causes(`select exists (select from pg_db_role_setting where 'work_mem=2GB' = any (setconfig) and setrole in ('"$ROLE"'::regrole, '"$OWNER"'::regrole))`),
	one(sessions, "SET search_path", `set search_path = other, acme`).leaves(`select current_setting('search_path') like 'other%'`),
	one(sessions, "SET standard_conforming_strings", `set standard_conforming_strings = off`).leaves(`select current_setting('standard_conforming_strings') = 'off'`),
	one(sessions, "RESET ALL", `reset all`),
	one(sessions, "SHOW", `show data_directory`).asSuper().leaks("/"),
	one(sessions, "PREPARE and EXECUTE", `prepare evil as select body from acme.notes`).leaves(`select exists (select from pg_prepared_statements where name = 'evil')`),
	one(sessions, "DEALLOCATE ALL", `deallocate all`),
	one(sessions, "LISTEN", `listen evil`).leaves(`select exists (select from pg_listening_channels())`),
	one(sessions, "NOTIFY", `notify evil, 'forged'`).heard(),
	one(sessions, "pg_notify", `select pg_notify('evil', 'forged')`).heard(),
	one(sessions, "NOTIFY and COMMIT", `notify evil, 'forged'`).then(`commit`).heard(),
	one(sessions, "LOAD", `load 'plpgsql'`).asSuper(),
	one(sessions, "pg_terminate_backend of a sibling", `select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and application_name = 'sibling'`).disturbs(),
	one(sessions, "pg_cancel_backend", `select pg_cancel_backend(pg_backend_pid() + 1000000)`),

	one(servers, "pg_read_file", `select pg_read_file('PG_VERSION')`).asSuper(),
	one(servers, "pg_ls_dir", `select pg_ls_dir('.')`).asSuper(),
	one(servers, "pg_stat_file", `select pg_stat_file('PG_VERSION')`).asSuper(),
	one(servers, "COPY TO a program", `copy (select 1) to program 'cat > /dev/null'`).asSuper(),
	one(servers, "COPY FROM a file", `copy acme.notes (body) from '/etc/passwd'`).asSuper(),
	one(servers, "lo_import", `select lo_import('PG_VERSION', 4711)`).asSuper(),
	one(servers, "lo_export", `select lo_from_bytea(4712, 'x')`).then(`select lo_export(4712, '/dev/null')`).asSuper(),
	one(servers, "ALTER SYSTEM", `alter system set work_mem = '5MB'`).asSuper(),
	one(servers, "pg_reload_conf", `select pg_reload_conf()`).asSuper(),
	one(servers, "pg_switch_wal", `select pg_switch_wal()`).asSuper(),
	one(servers, "a WAL message", `select pg_logical_emit_message(false, 'evil', 'x')`),
	one(servers, "pg_export_snapshot", `select pg_export_snapshot()`),
	one(servers, "a transaction id burnt", `select pg_current_xact_id()`),
	one(servers, "version()", `select version()`),
	one(servers, "the server's address", `select inet_server_port(), pg_postmaster_start_time()`),

	one(foreign, "dblink: rows by a connection of its own", `select body from public.dblink('$DSN', 'select body from other.secrets') as x(body text)`).asSuper().leaks("theirs"),
	one(foreign, "dblink_exec: a write on a connection of its own", `select public.dblink_exec('$DSN', 'insert into acme.notes (body) values (''evil'')')`).asSuper().causes(noteWritten),
	one(foreign, "a foreign table of postgres_fdw", `select body from acme.remote`).asSuper().leaks("theirs"),
	one(foreign, "a foreign table of file_fdw", `select line from acme.passwd`).asSuper().leaks("root:"),
	one(foreign, "CREATE SERVER", `create server evil foreign data wrapper postgres_fdw`).asSuper().causes(`select exists (select from pg_foreign_server where srvname = 'evil')`),

	one(resources, "pg_sleep", `select pg_sleep(0.5)`),
	one(resources, "an endless recursion", `with recursive t as (select 1 as n union all select n + 1 from t) select count(*) from t`),
	one(resources, "generate_series without end", `select count(*) from generate_series(1, 1000000000000)`),
	one(resources, "a cross join without end", `select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 100000) c where a.a + b.b = c.c`),
	one(resources, "memory by repeat()", `select sum(length(repeat(x::text, 10000000))) from generate_series(1, 100000) x`),
	one(resources, "a result without end", `select repeat('x', 1000) from generate_series(1, 100000000)`),
	one(resources, "one advisory lock", `select pg_advisory_lock(1)`).causes(advisory),
	one(resources, "all advisory locks", `select pg_advisory_lock(x) from generate_series(1, 200) x`).causes(advisory),
	one(resources, "advisory locks of the transaction", `select pg_advisory_xact_lock(1)`),

	one(catalogs, "pg_stat_activity", `select query from pg_stat_activity`),
	one(catalogs, "pg_authid", `select rolpassword from pg_authid`).asSuper(),
	one(catalogs, "pg_class", `select relname from pg_class where relname = 'secrets'`).leaks("secrets"),
	one(catalogs, "information_schema", `select table_name from information_schema.tables`),
	one(catalogs, "pg_settings", `select setting from pg_settings where name = 'port'`),
	one(catalogs, "regclass", `select 'other.secrets'::regclass`),
	one(catalogs, "to_regclass", `select to_regclass('other.secrets')`),
	one(catalogs, "has_table_privilege", `select has_table_privilege('other.secrets', 'SELECT')`),
	one(catalogs, "current_setting", `select current_setting('server_version')`),
	one(catalogs, "EXPLAIN: how many rows there are", `explain select * from acme.docs`).leaks("rows="),
	one(catalogs, "weir's own log", `select count(*) from weir.log`),
	one(catalogs, "a forged change", `insert into weir.log (op) values ('X')`),

	one(live, "now()", `select now()`).isHarmless("for a mutation"),
	one(live, "random()", `select random()`).isHarmless("for a mutation"),
	one(live, "TABLESAMPLE", `select * from acme.notes tablesample bernoulli (50)`),
	one(live, "ctid", `select ctid from acme.notes`).isHarmless("for a mutation"),
}
