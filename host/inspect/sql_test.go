package inspect

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

// parsing keeps the tests to one parser: each costs 255 MB.
var parsing sync.Mutex

// check is checkSQL, one at a time.
func check(text string, rules *Rules) error {
	parsing.Lock()
	defer parsing.Unlock()
	return checkSQL(text, rules)
}

// judgement is the sentence of a refusal, "" if the text is allowed.
func judgement(t *testing.T, text string, rules Rules) string {
	t.Helper()
	err := check(text, &rules)
	if err == nil {
		return ""
	}
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("%s: %v", text, err)
	}
	return refused.What
}

// I1: what applications write passes.
func TestPlainStatementsAreAllowed(t *testing.T) {
	t.Parallel()
	f := func(kind Kind, text string) {
		t.Helper()
		if got := judgement(t, text, Rules{Kind: kind, Schema: "acme"}); got != "" {
			t.Errorf("%s\n\tis refused: it %s", text, got)
		}
	}
	for _, text := range []string{
		`select id, author, body from messages where room_id = $1 order by id desc limit $2`,
		`select 1 from members where room_id = $1 and user_id = $2;`,
		`(select 1 union all select 2) order by 1`,
		`values (1, 'a'), (2, 'b')`,
		`table messages`,
		`select * from acme.messages m`,
		`select m.*, u.name from messages m left join users u on u.id = m.author and not u.gone cross join rooms natural join x join y using (id) as j`,
		`select count(*), count(distinct a), sum(n) filter (where n > 0), array_agg(a order by b desc nulls last), string_agg(t, ', ') from x group by grouping sets ((a), (b), ()) having grouping(a) = 1`,
		`select row_number() over w, lag(a, 1) over (partition by b order by c rows between 1 preceding and current row) from x window w as (order by a)`,
		`with recursive t(n) as (select 1 union all select n + 1 from t where n < 100) search depth first by n set o cycle n set seen using path select * from t`,
		`with a as materialized (select 1 as n) select n from a`,
		`select case a when 1 then 'x' else 'y' end, case when a is null then 1 end, coalesce(a, b), nullif(a, b), greatest(a, b), least(a, b), a is distinct from b from x`,
		`select a::text, cast($1 as numeric(10, 2)), date '2024-01-01', interval '1 day', $2::acme.mood, 'x'::mood, '{1,2}'::int[], null::timestamptz from x`,
		`select (array[1, 2])[1], (array[1, 2])[1:2], array(select 1), row(1, 2), (1, 2) = (3, 4), exists (select from x), 1 in (select 1), 1 = any($1), 2 > all(array[1])`,
		`select a like 'x%' escape '!', a ilike $1, a similar to 'x', a ~ 'b', a between 1 and 2, a not between symmetric 1 and 2, a in (1, 2), a is true, a collate "C", a at time zone 'UTC' from x`,
		`select extract(year from $1::timestamptz), overlay(a placing b from 1), position('a' in b), substring(a from 1 for 2), trim(both from a), normalize(a), (a, b) overlaps (c, d) from x`,
		`select doc->>'a', doc#>'{a,b}', doc @> '{}', doc ? 'a', doc['a'], jsonb_build_object('a', 1), to_jsonb(x), json_object_agg(a, b) from x`,
		`select e.key, e.value, u.n, u.ordinality, r.a, g.g, value from x, jsonb_each(doc) e, unnest(arr) with ordinality u(n), jsonb_to_record(doc) as r(a int, b text), generate_series(1, 3) g, jsonb_array_elements(doc), lateral (select 1) l`,
		`select * from rows from (generate_series(1, 2), unnest(array[1])) as x(a, b)`,
		`select generate_series.generate_series from generate_series(1, 2)`,
		`select to_tsvector('english', body) @@ websearch_to_tsquery($1), date_trunc('day', $2::timestamptz), age($1, $2), 1 operator(pg_catalog.+) 2 from x`,
		`select pg_catalog.lower('A'), "Quoted"."Column" from "Quoted" /* a comment */ -- and one more`,
		`select make_interval(days => 3), format('%s', variadic array['a']), percentile_cont(0.5) within group (order by a) from x`,
		`select 1 where false limit all offset 1 fetch first 2 rows with ties`,
	} {
		if strings.Contains(text, "offset 1 fetch") {
			text = `select a from x order by a offset 1 fetch first 2 rows with ties`
		}
		f(Read, text)
		f(Write, text)
	}
	for _, text := range []string{
		`insert into messages (room_id, body, at) values ($1, $2, now()), (1, default, current_timestamp) on conflict (id) where body is not null do update set body = excluded.body where messages.body <> excluded.body returning *`,
		`insert into messages default values on conflict on constraint m_key do nothing`,
		`insert into acme.messages overriding system value select * from old`,
		`update messages m set body = $1, (a, b) = (select 1, 2), tags[1] = 'x', address.street = 'y' from rooms r where r.id = m.room_id and ctid = $2 returning m.id, gen_random_uuid()`,
		`delete from only messages using rooms where rooms.id = room_id returning messages.*`,
		`merge into stock s using sales x on s.id = x.id when matched and x.n > s.n then delete when matched then update set n = s.n - x.n when not matched then insert (id, n) values (x.id, default)`,
		`with gone as (delete from messages where at < $1 returning *) insert into archive select * from gone`,
		`select id from jobs where state = 'new' order by id for update of jobs skip locked limit 1`,
		`select weir.job_create('mail', $1)`, `select * from weir.workflow_start($1) w(id)`,
		`with recursive a as (select random()) select clock_timestamp() from a`,
	} {
		f(Write, text)
	}
}

// refusals checks sentences.
type refusals struct{ t *testing.T }

func (r refusals) kind(kind Kind, text, want string) {
	r.t.Helper()
	got := judgement(r.t, text, Rules{Kind: kind, Schema: "acme", Functions: []string{"public.similarity", "acme.rank_it", "pg_catalog.nextval"}})
	if want == "" && got != "" || !strings.Contains(got, want) || want != "" && got == "" {
		r.t.Errorf("%s\n\tgot  %q\n\twant %q", text, got, want)
	}
}

func (r refusals) both(text, want string) {
	r.t.Helper()
	r.kind(Read, text, want)
	r.kind(Write, text, want)
}

// I1: what is refused says what to write instead.
// Cases: 44, 47.
func TestRefusalsSayWhatToWrite(t *testing.T) {
	t.Parallel()
	f, both := refusals{t}.kind, refusals{t}.both
	both(``, `is empty`)
	both(`  -- nothing`, `is empty`)
	both(`;`, `begins with ;`)
	both(`select 1; select 2`, `is 2 statements: write one`)
	both(`select 1; commit`, `is 2 statements`)
	both("select 1\x00; drop table x", `NUL byte`)
	both("select '\xff'", `not valid UTF-8`)
	both(`select 1 from from`, `is no statement that the inspection can read: syntax error at or near "from"`)
	both(`select 'x`, `is no SQL: unterminated quoted string`)
	for _, word := range []string{
		"begin", "commit", "rollback", "set role x", "reset role", "show all", "explain analyze select 1", "copy x to stdout", "do 'x'", "call f()",
		"listen x", "notify x", "lock table x", "prepare x as select 1", "execute x", "declare c cursor for select 1", "discard all", "create table x (a int)",
		"drop table x", "vacuum", "truncate x", "grant all on x to y", "alter role x superuser", "load 'x'", "checkpoint", "refresh materialized view x", "savepoint a",
		"set session authorization x", "security label on table x is 'y'", "close c", "fetch 1 from c", "deallocate all", "import foreign schema x from server y into z",
		"start transaction read write", "abort", "end", "rollback to savepoint a", "release a", "commit prepared 'x'", "set constraints all deferred", "set transaction read write",
		"unlisten x", "analyze x", "reindex table x", "cluster x", "comment on table x is 'y'", "reassign owned by x to y", "drop owned by x", "alter system set a = 1",
		"create or replace function f() returns int language sql as 'select 1'", "create extension dblink", "create temp table x as select 1", "revoke all on x from y",
	} {
		both(word, `begins with `+strings.Fields(word)[0])
	}
	f(Read, `insert into x values (1)`, `writes (insert), but a query only reads: move it into a mutation`)
	f(Read, `with a as (delete from x returning *) select * from a`, `writes (DELETE), but a query only reads`)
	f(Read, `with a as (select 1) update x set a = 1`, `writes (UPDATE)`)
	f(Read, `select 1 from x for update`, `locks rows: leave out FOR UPDATE`)
	f(Read, `select * from (select 1 from x for share) y`, `locks rows`)
	both(`select 1 into y`, `makes a table (INTO)`)
	both(`select * into temp y from x`, `makes a table (INTO)`)
	f(Read, `select now()`, `reads the clock (now()): pass the time as a parameter`)
	f(Read, `select current_date`, `reads the clock (CURRENT_DATE)`)
	f(Read, `select localtime(3)`, `reads the clock (LOCALTIME)`)
	f(Read, `select age(at) from x`, `reads the clock (age() of one time)`)
	f(Read, `select timeofday()`, `reads the clock (timeofday())`)
	f(Read, `select random()`, `answers differently each time`)
	f(Read, `select ctid from x`, `reads the system column ctid`)
	f(Read, `select x.xmin from x`, `reads the system column xmin`)
	f(Read, `select weir.job_create('a')`, `calls weir.job_create()`)
}

// I1: functions, relations, types and operators by their names.
// Cases: 48, 49, 55.
func TestNamesAreJudged(t *testing.T) {
	t.Parallel()
	f, both := refusals{t}.kind, refusals{t}.both
	both(`select current_user`, `asks for CURRENT_USER, which is the database role of all callers`)
	both(`select current_schema`, `asks for CURRENT_SCHEMA`)
	both(`select pg_sleep(1)`, `calls pg_sleep(), which is not on the list of functions: write it with listed ones, or, when the operator has reviewed it, add "pg_catalog.pg_sleep" to sql.functions`)
	both(`select pg_catalog.pg_sleep(1)`, `calls pg_catalog.pg_sleep()`)
	both(`select "pg_sleep"(1)`, `calls pg_sleep()`)
	both(`select U&"pg\005fsleep"(1)`, `calls pg_sleep()`)
	both(`select lower(set_config('role', 'x', true))`, `calls set_config(), which touches the session`)
	both(`select current_setting('app.tenant')`, `calls current_setting(), which touches the session`)
	both(`select setval('s', 1)`, `calls setval()`)
	both(`select lastval()`, `calls lastval(): let the column's default number the row`)
	both(`select similarity(a, b) from x`, `calls similarity()`) // public is not the tenant's schema
	both(`select public.similarity(a, b), rank_it(a), acme.rank_it(b), nextval('s') from x`, ``)
	both(`select other.rank_it(a) from x`, `add "other.rank_it"`)
	both(`select a.b.c(1)`, `by a name of 3 parts`)
	both(`select weir.seal()`, `calls weir.seal()`)
	both(`select sum(n) filter (where pg_try_advisory_lock(n)) over (order by lo_creat(-1)) from x`, `calls `)
	both(`select * from x order by lo_unlink(1)`, `calls lo_unlink()`)
	both(`select * from dblink('dbname=x', 'select 1') as y(a int)`, `calls dblink()`)
	both(`select * from rows from (generate_series(1, 2), pg_ls_dir('.')) as x`, `calls pg_ls_dir()`)
	both(`select 1 limit (select pg_backend_pid())`, `calls pg_backend_pid()`)
	both(`with recursive t(a) as (select pg_sleep(1) union all select 1 from t) cycle a set b to 1 default 0 using p select 1`, `calls pg_sleep()`)
	both(`select * from pg_class`, `reads the catalog (pg_class)`)
	both(`select * from pg_catalog.pg_authid`, `reads the catalog (pg_catalog.pg_authid)`)
	both(`table information_schema.tables`, `reads the catalog (information_schema.tables)`)
	both(`select * from pg_temp.x`, `reads the catalog (pg_temp.x)`)
	both(`select * from weir.log`, `reads weir.log, which is weir's own`)
	both(`select job_id from weir.jobs j join weir.workflow_runs on true, weir.workflow_steps where owner = $1`, ``)
	f(Write, `update weir.jobs set status = 'done'`, `writes into weir's own tables: call weir.job_create`)
	f(Write, `merge into weir.jobs using x on true when matched then delete`, `writes into weir's own tables`)
	both(`select * from db.acme.x`, `names a database`)
	both(`select 'pg_authid'::regclass`, `uses the type regclass, which reads the catalog`)
	both(`select regclass 'pg_authid'`, `uses the type regclass`)
	both(`select '{pg_authid}'::_regclass`, `uses the type _regclass`)
	both(`select cast('x' as pg_catalog.regrole[])`, `uses the type regrole`)
	both(`select null::pg_authid`, `uses the type pg_authid`)
	both(`select null::pg_catalog.pg_shadow, null::information_schema.sql_identifier`, `uses the type`)
	both(`select a operator(evil.+) b from x`, `uses the operator + of the schema evil`)
	both(`select a <~~> b from x`, `uses the operator <~~>, which is not PostgreSQL's own`)
	both(`select * from x order by a using operator(evil.<)`, `uses the operator < of the schema evil`)
	both(`select 1 operator(evil.=) any (select 1)`, `uses the operator = of the schema evil`)
	both(`select (7).pg_sleep`, `takes .pg_sleep of an expression, which PostgreSQL may read as a call of a function`)
	both(`select ($1).pg_advisory_lock`, `takes .pg_advisory_lock`)
	both(`select (a.b).current_setting from a`, `takes .current_setting`)
	both(`select (array['x'])[1].ts_stat`, `takes .ts_stat`)
	both(`select (select 'pg_authid'::text).regclass`, `takes .regclass`)
	both(`select x.pg_advisory_lock from generate_series(1, 20000) x`, `reads x.pg_advisory_lock, which PostgreSQL may read as a call of its own function`)
	both(`select x.lo_unlink from generate_series(1, 20000) x`, `reads x.lo_unlink, which PostgreSQL may read as a call of a function: name the columns of the function in FROM, as in f() AS x(lo_unlink)`)
	both(`select lo_unlink.lo_unlink from generate_series(1, 2) as lo_unlink(i)`, `reads lo_unlink.lo_unlink`)
	both(`select (select x.lo_unlink from generate_series(1, 2) x) from generate_series(1, 2) as x(lo_unlink)`, `reads x.lo_unlink`)
	both(`select x.lo_unlink from cast(1 as oid) x`, `reads x.lo_unlink`)
	both(`select notes.pg_typeof from notes`, `reads notes.pg_typeof`)
	both(`select generate_series.pg_advisory_lock from generate_series(1, 2)`, `reads generate_series.pg_advisory_lock`)
	both(`select pg_sleep.pg_sleep from generate_series(1, 2) as pg_sleep(i)`, `reads pg_sleep.pg_sleep`)
	both(`select value.value from jsonb_array_elements($1) value, (select pg_sleep.pg_sleep from jsonb_array_elements($1) pg_sleep) y`, `reads pg_sleep.pg_sleep`)
	both(`select (select x.pg_sleep from generate_series(1, 2) x) from generate_series(1, 2) as x(pg_sleep)`, `reads x.pg_sleep`)
	both(`select x.pg_sleep from cast(1 as float8) x`, `reads x.pg_sleep`)
	both(`select "float8".pg_sleep from cast(1 as float8)`, `an expression in FROM without a name`)
	both(`select r.body from jsonb_populate_recordset(null::notes, $1) r`, `as in f() AS r(body)`)
	both(`select * from x tablesample system (10)`, `uses TABLESAMPLE`)
	both(`select xmlelement(name a)`, `uses XML`)
	both(`select * from xmltable('a' passing b columns c int) x`, `uses XML`)
	both(`select json_object('a': 1)`, `uses the SQL/JSON syntax`)
	both(`select * from json_table($1, '$' columns (a int)) x`, `uses the SQL/JSON syntax`)
	both(`select a is json from x`, `uses the SQL/JSON syntax`)
	f(Write, `update x set a = 1 where current of c`, `uses a cursor (CURRENT OF)`)
	f(Write, `insert into weir.log (op) values ('X')`, `writes into weir's own tables`)
	f(Write, `insert into x values (1) on conflict (lower(pg_sleep(1))) do nothing`, `calls pg_sleep()`)
	f(Write, `update x set a = set_config('a', 'b', true)`, `calls set_config()`)
	f(Write, `update x set (a, b) = (select pg_sleep(1), 2)`, `calls pg_sleep()`)
	f(Write, `merge into x using pg_authid a on true when matched then delete`, `reads the catalog (pg_authid)`)
	f(Write, `delete from x returning pg_notify('a', 'b')`, `calls pg_notify()`)
	both(`select `+strings.Repeat("(", 200)+`1`+strings.Repeat(")", 200), `nested too deeply`)
	both(`select 1`+strings.Repeat(`/*`, 200)+strings.Repeat(`*/`, 200), `more than 100 comments`)
	both(`select '`+strings.Repeat(`x`, 70000)+`'`, `is longer than`)
}

// I1: a newer parser may know fields that the walker does not, and plain values
// that hold nodes.
func TestFieldsThatAreNotKnownAreRefused(t *testing.T) {
	t.Parallel()
	f := func(tree string, broken bool) {
		t.Helper()
		root, err := decode(tree)
		if err != nil {
			t.Fatal(err)
		}
		err = newWalker(&Rules{Kind: Read}, root).run()
		var refused *RefusedError
		if err == nil || broken == errors.As(err, &refused) {
			t.Errorf("%s: %v", tree, err)
		}
	}
	const call = `{"FuncCall":{"funcname":[{"String":{"sval":"pg_sleep"}}]}}`
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{"newClause":`+call+`}}}]}`, false)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{"targetList":[{"NewExpr":{"arg":`+call+`}}]}}}]}`, false)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{"op":`+call+`}}}]}`, true)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{"op":[`+call+`]}}}]}`, true)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{"targetList":`+call+`}}}]}`, true)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{"whereClause":[`+call+`]}}}]}`, true)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{"whereClause":{"A_Const":{},"FuncCall":{}}}}}]}`, true)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{"withClause":7}}}]}`, true)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{}},"other":`+call+`}]}`, true)
	f(`{"version":1,"stmts":[{"stmt":{"SelectStmt":{}}}],"more":1}`, true)
	f(`{"version":1,"stmts":[{"stmt":7}]}`, true)
	f(`{"version":1,"stmts":[]}`, false)
	f(`{}`, false)
}
