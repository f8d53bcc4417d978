package db

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"weir/abi"
	"weir/reactor"
)

// column returns the attnum of a column of a table that the statement reads.
func column(t *testing.T, s *Statement, table, name string) uint16 {
	t.Helper()
	for i := range s.variants {
		for _, r := range s.variants[i].analysis.Load().tables {
			if r.name == table && r.columns[name] != nil {
				return r.columns[name].attr
			}
		}
	}
	t.Fatalf("the statement reads no %s.%s", table, name)
	return 0
}

// wantReads checks the read set of a statement as Explain prints it.
func wantReads(t *testing.T, d *DB, sql string, want ...string) *Statement {
	t.Helper()
	s := prepare(t, d, sql)
	got := s.Explain()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s\nreads:\n%s\nwant %q in it", sql, got, w)
		}
	}
	return s
}

// R1: the output of a subplan prints as $2 and is not parameter 2.
func TestInitPlanOutputIsNoParameter(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	s := prepare(t, d, `select m.id from messages m where m.room_id = $room and m.author = (select max(u.id) from users u where u.name <> $name)`)
	a := one(t, d, s, abi.Int(7), abi.Text("nobody"))
	author := column(t, s, "messages", "author")
	for _, atom := range a.Reads {
		for _, eq := range atom.Eq {
			if eq.Column == author {
				t.Errorf("author is tied to a parameter: %+v", atom)
			}
		}
	}
}

// R1: on every version of PostgreSQL, also on those that print no such output.
func TestHiddenNamesOutputsOfSubplans(t *testing.T) {
	t.Parallel()
	root, err := parsePlan([]byte(`[{"Plan": {"Node Type": "Seq Scan", "Relation Name": "m", "Filter": "(m.a = $2)",
		"Plans": [{"Node Type": "Result", "Subplan Name": "InitPlan 1 (returns $0,$2)"}]}}]`))
	if err != nil {
		t.Fatal(err)
	}
	hidden := root.hidden()
	if !hidden[2] || !hidden[0] || hidden[1] {
		t.Errorf("hidden = %v", hidden)
	}
	r := reader{alias: "m", table: testTable(), params: make([]sqlType, 3), hidden: hidden}
	r.params[1], _ = builtin(oidInt8)
	if _, why := r.read(tokenize("(m.a = $2)")); why == "" {
		t.Error("the output of a subplan was read as parameter 2 (R1)")
	}
	r.hidden = nil
	if _, why := r.read(tokenize("(m.a = $2)")); why != "" {
		t.Errorf("parameter 2 was not read: %s", why)
	}
}

// R2: with index scans on, the partial index on room_id = 7 would swallow it.
func TestPartialIndexDoesNotHideItsPredicate(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	server.Exec(t, `insert into messages (room_id) select 8 from generate_series(1, 5000); analyze messages`)
	wantReads(t, d, `select id from messages where room_id = 7 and id = $id`, "id = $id", "room_id = a constant", "columns id, room_id")
}

// R3: every partition is read, and a table that the plan leaves out has an atom.
func TestPartitionsAndRemovedTablesHaveAtoms(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `create table logs (id int, day int, t text, primary key (id, day)) partition by range (day);
		create table logs_1 partition of logs for values from (0) to (10);
		create table logs_2 (t text, day int not null, id int not null);
		alter table logs attach partition logs_2 for values from (10) to (20);
		grant select on all tables in schema public to weir_test`)
	s := wantReads(t, d, `select t from logs where day = $day`, "logs where day = $day; columns day, t")
	if got := s.variants[0].analysis.Load(); len(got.leaves) != 2 || len(got.atoms) != 1 {
		t.Errorf("%d leaves, %d atoms: %s", len(got.leaves), len(got.atoms), s.Explain())
	}
	wantReads(t, d, `select m.id from messages m left join users u on u.id = m.author where m.room_id = $room`, "messages where room_id = $room", "users, table level")
	wantReads(t, d, `select id from messages where false and room_id = $room`, "messages, table level")
	// A part that is named: a row may leave it by an update of any column.
	wantReads(t, d, `select t from logs_1 where id = $id`, "logs where id = $id; columns all")
}

// R4: after DDL the read set is derived again, and a statement that no longer
// works says so.
func TestForgetDerivesAgain(t *testing.T) {
	t.Parallel()
	d, server := start(t, `create view v as select id, title from rooms; grant select on v to weir_test`)
	s := prepare(t, d, `select id, title from v where id = $id`)
	before := one(t, d, s, abi.Int(1))
	server.Exec(t, `create or replace view v as select id, name as title from users`)
	var xid uint64
	if err := server.Conn(t).QueryRow(t.Context(), `select pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	if before.Derived.Visible(xid) {
		t.Fatalf("the analysis at %v saw the DDL %d", before.Derived, xid)
	}
	d.Forget(xid)
	after := one(t, d, s, abi.Int(1))
	if got := rowsJSON(t, after); got != `[{"id":1,"title":"user 1"}]` {
		t.Errorf("after the view changed: %s", got)
	}
	if before.Reads[0].Table == after.Reads[0].Table || !after.Derived.Visible(xid) {
		t.Errorf("reads before %+v, after %+v at %v", before.Reads, after.Reads, after.Derived)
	}
	d.Forget(xid) // seen: nothing is dropped
	if !d.fresh(s.variants[0].analysis.Load()) {
		t.Error("a DDL change that the analysis saw made it void")
	}
	server.Exec(t, `drop view v`)
	d.Forget(xid + 10)
	if err := one(t, d, s, abi.Int(1)).Err; !errors.Is(err, ErrRefused) || s.Err() == nil {
		t.Errorf("the view is gone: %v, Err %v", err, s.Err())
	}
	if err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), `"v" does not exist`) {
		t.Errorf("Refresh = %v", err)
	}
}

// R4: DDL that no change has told of yet is noticed by the server's refusal.
func TestChangedShapeIsDerivedAgain(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	s := prepare(t, d, `select * from rooms where id = $id`)
	one(t, d, s, abi.Int(1))
	server.Exec(t, `alter table rooms add column extra text default 'new'`)
	if got := rowsJSON(t, one(t, d, s, abi.Int(1))); !strings.Contains(got, `"extra":"new"`) {
		t.Errorf("after a column was added: %s", got)
	}
}

// R5: a function that says it is immutable and reads a table is computed while
// planning; no plan shows the table.
func TestTablesOutOfSightAreRefused(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `
		create function folded() returns bigint immutable language plpgsql as 'begin return (select count(*) from rooms); end';
		create function hidden(x bigint) returns bigint stable language plpgsql as 'begin return (select count(*) from rooms); end';
		create function lying(x bigint) returns bigint immutable language plpgsql as 'begin return (select count(*) from rooms); end';
		create function inlined(x bigint) returns setof messages stable language sql as 'select * from messages where room_id = x';
		create function pure(x bigint) returns bigint immutable language plpgsql as 'begin return x + 1; end'`)
	refuses(t, d, `select id from users where id = folded()`, "folded()", "reads the table rooms out of sight", "inline it or make it a view")
	refuses(t, d, `select hidden(id) as h from users`, "hidden()", "out of sight")
	refuses(t, d, `select lying(id) as h from users`, "lying()", "out of sight")
	wantReads(t, d, `select id from inlined($x)`, "messages where room_id = $x")
	wantReads(t, d, `select pure(id) as p from users where id = $id`, "users where id = $id")
}

// R6: an equality needs one type with one form on both sides.
func TestEqualityNeedsOneForm(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `create domain room_no as bigint; create domain word as varchar(20);
		create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		create table forms (id room_no primary key, w word, c char(8), nu numeric, f float8, ts timestamptz, blind text collate blind, i2 smallint);
		grant select on forms to weir_test`)
	found := func(where, column string) {
		t.Helper()
		wantReads(t, d, `select id from forms where `+where, "forms where "+column+" =")
	}
	lost := func(where string) {
		t.Helper()
		wantReads(t, d, `select id from forms where `+where, "forms, table level", "not used: ")
	}
	found("id = $x", "id")
	found("id = $x::int", "id")
	found("i2 = $x::bigint", "i2")
	found("w = $x", "w")
	found("w = $x::text", "w")
	found("ts = $x", "ts")
	lost("ts = $x::date")
	lost("ts = $x::timestamp")
	lost("ts = $x::timestamptz::date") // a parameter of the column's type, and another value
	lost("w = $x::text::char(3)")
	lost("i2 = $x::bigint::smallint")
	lost("c = $x")
	lost("nu = $x")
	lost("f = $x")
	lost("id = $x::numeric")
	lost("blind = $x")
	lost(`w = $x collate blind`) // EXPLAIN does not print the collation
	wantReads(t, d, `select id from messages where state = $s`, "messages where state = $s")
	wantReads(t, d, `select id from messages where state = 'open'`, "messages where state = a constant")
	lost("w > $x") // PostgreSQL orders texts by their collation
}

// R7: the clock, randomness, the session and the catalog are refused wherever
// they hide.
// Cases: 39.
func TestClockAndSessionAreRefused(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `
		create view recent as select * from messages where sent_at > now() - interval '1 hour';
		create function fresh() returns setof messages stable language sql as 'select * from messages where sent_at > clock_timestamp()';
		create table guarded (id int primary key, until timestamptz);
		alter table guarded enable row level security;
		create policy p on guarded using (until > current_timestamp);
		grant select on recent, guarded to weir_test; create sequence seq; grant select on seq to weir_test`)
	clock := "pass the time as a parameter and call wake_at, or use $now and return a column wake_at"
	refuses(t, d, `select id from messages where sent_at > now()`, "statement 0 reads the clock (now())", clock)
	refuses(t, d, `select id, current_date as d from messages`, "reads the clock (CURRENT_DATE)", clock)
	refuses(t, d, `select id from recent`, "reads the clock (now())")
	refuses(t, d, `select id from fresh()`, "reads the clock (clock_timestamp())")
	refuses(t, d, `select id from guarded`, "reads the clock (CURRENT_TIMESTAMP)")
	refuses(t, d, `select id from messages where sent_at > 'today'::timestamptz`, "reads the clock ('today')")
	refuses(t, d, `select id from messages where sent_at > timestamptz 'yesterday 10:00'`, "reads the clock ('yesterday 10:00')")
	refuses(t, d, `select id, age(sent_at) as a from messages`, "reads the clock (CURRENT_DATE)")
	refuses(t, d, `select random() as r from messages`, "volatile function random()")
	refuses(t, d, `select gen_random_uuid() as r`, "volatile function gen_random_uuid()")
	refuses(t, d, `select nextval('seq') as n`, "nextval()")
	refuses(t, d, `select last_value from seq`, "sequence seq")
	refuses(t, d, `select xmin::text as x from messages`, "system column xmin")
	refuses(t, d, `select ctid from messages where id = $id`, "system column ctid")
	refuses(t, d, `select has_table_privilege('messages', 'select') as h`, "has_table_privilege()")
	refuses(t, d, `select pg_backend_pid() as p`, "pg_backend_pid()")
	wantReads(t, d, `select id from messages where body = 'today'`, "messages where body = a constant")
	wantReads(t, d, `select age(sent_at, $x::timestamptz) as a from messages where id = $id`, "id = $id")
	wantReads(t, d, `select sent_at + interval '1 hour' as wake_at from messages where sent_at > $now and id = $id`, "sent_at > $now")
	refuses(t, d, `select id from messages where sent_at > $now`, "uses $now but returns no column wake_at")
	refuses(t, d, `select id, 1 as wake_at from messages where sent_at > $now`, "returns wake_at as integer")
}

// R8: under LIMIT the order must tell all rows apart.
func TestOrderUnderLimit(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	f := func(sql, want string, key ...string) {
		t.Helper()
		_, err := d.Prepare(t.Context(), []abi.Statement{{SQL: sql, Key: key}}, 0, Read)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s\nrefused: %v", sql, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s\ngot %v\nwant %q", sql, err, want)
		}
	}
	f(`select id from messages limit 5`, "LIMIT without ORDER BY")
	f(`select id from messages offset 5`, "LIMIT without ORDER BY")
	f(`select id, sent_at from messages order by sent_at desc limit 5`, "order by sent_at desc, id desc", "id")
	f(`select id, sent_at from messages order by sent_at desc limit 5`, "order by sent_at desc, id desc")
	f(`select id, sent_at from messages order by sent_at desc, id desc limit 5`, "")
	f(`select id, sent_at from messages order by sent_at desc, id desc limit $n`, "", "id")
	f(`select user_id, room_id from members where room_id = $room order by user_id limit 5`, "", "room_id", "user_id")
	f(`select user_id from members order by user_id limit 5`, "") // equal rows are equal
	f(`select user_id, role from members order by user_id limit 5`, "order by user_id, room_id")
	f(`select role from members where room_id = $room and user_id = $me limit 1`, "")
	f(`select 1 as one from members where room_id = $room limit 1`, "")
	f(`select count(*) as n from messages limit 1`, "")
	f(`select m.id, u.name from messages m join users u on u.id = m.author order by m.id limit 5`, "")
	f(`select m.id, u.name from messages m left join users u on u.email = m.body order by m.id desc limit 5`, "")
	f(`select m.id, u.id as user_id from messages m join users u on u.name = m.body order by m.id limit 5`, "order by m.id, u.id")
	f(`select author, count(*) as n from messages group by author order by n desc limit 3`, "do not tell them apart")
	f(`select author, count(*) as n from messages group by author order by n desc, author limit 3`, "")
	f(`select author, count(*) as n from messages group by author limit 3`, "without ORDER BY")
	f(`select r.id, (select body from messages m where m.room_id = r.id order by id desc limit 1) as last from rooms r`, "")
	f(`select r.id, (select body from messages m where m.room_id = r.id order by sent_at desc limit 1) as last from rooms r`, "order by sent_at desc, id desc")
	f(`select distinct on (room_id) room_id, body from messages order by room_id, sent_at`, "DISTINCT ON")
	f(`select distinct on (room_id) room_id, body from messages order by room_id, id desc`, "")
	f(`select distinct author from messages`, "")
	f(`select distinct author from messages order by author limit 4`, "")
	f(`select id from messages where id in (select id from messages where room_id = 1) order by id limit 4`, "")
}

// R8: on weir's connections nothing changes the order of rows by itself, whatever
// the database's own settings are.
func TestNothingChangesTheOrderByItself(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	server.Exec(t, `do $$ begin
		execute format('alter database %I set synchronize_seqscans = on', current_database());
		execute format('alter database %I set max_parallel_workers_per_gather = 4', current_database()); end $$`)
	check := func(when string) {
		t.Helper()
		conn, err := pgconn.ConnectConfig(t.Context(), d.pool.server())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		results, err := conn.Exec(t.Context(), `select current_setting('synchronize_seqscans') || ' ' || current_setting('max_parallel_workers_per_gather')`).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(results[0].Rows[0][0]); got != "off 0" {
			t.Errorf("%s synchronize_seqscans and max_parallel_workers_per_gather are %s, want off 0", when, got)
		}
	}
	check("at first")
	d.Configure(Bounds{Connections: 2, MaxRows: 10, MaxResultBytes: 1 << 20, StatementTimeout: time.Minute})
	check("after the bounds were changed")
}

// R9: TRUNCATE shows through an older snapshot; what was read is not used.
// Cases: 104.
func TestTruncateUnderReadTransactionIsNoticed(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	rooms, messages := prepare(t, d, `select id from rooms where id = 1`), prepare(t, d, `select count(*) as n from messages`)
	tx, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	if _, err := tx.Query(t.Context(), []Query{{Statement: rooms}}); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, `truncate messages`)
	answers, err := tx.Query(t.Context(), []Query{{Statement: messages}})
	if err != nil {
		t.Fatal(err)
	}
	if got := rowsJSON(t, answers[0]); got != `[{"n":0}]` {
		t.Fatalf("the trap is gone: the snapshot still sees %s", got)
	}
	if err := tx.Finish(t.Context()); !errors.Is(err, ErrUnstable) || !Retryable(err) {
		t.Errorf("Finish = %v", err)
	}
	if got := rowsJSON(t, one(t, d, messages)); got != `[{"n":0}]` {
		t.Errorf("after the truncate a wave reads %s", got)
	}
}

// R10: a standby is refused.
// Cases: 102.
func TestStandbyIsRefused(t *testing.T) {
	t.Parallel()
	_, server := start(t)
	d := open(t, server, Config{})
	s := prepare(t, d, `select id from rooms where id = 1`)
	tx, err := d.open(t.Context(), false, true)
	if err != nil {
		t.Fatal(err)
	}
	tx.c.snapshot = &command{id: snapshotID, text: strings.Replace(d.head(tx.c).text, "pg_is_in_recovery()", "true", 1)}
	tx.close() // the next transaction takes this connection
	if _, err := d.Wave(t.Context(), []Query{{Statement: s}}); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "standby") {
		t.Errorf("a wave on a standby: %v", err)
	}
}

// R11: a set is an equality with up to a thousand values; a range beside an
// equality is checked with it.
func TestSetsAndRanges(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	s := wantReads(t, d, `select id from messages where room_id = any($rooms) and sent_at >= $since and score > 1 and author is not null`,
		"messages where room_id = any of $rooms", "checked: author is not null and sent_at >= $since", "not used: messages.score > ")
	room := column(t, s, "messages", "room_id")
	since := abi.Text("2024-01-01T00:00:00Z")
	set := func(n int) abi.Value {
		var items []abi.Value
		for i := range n {
			items = append(items, abi.Int(int64(i)))
		}
		return abi.Array(append(items, abi.Null(), abi.Int(0))...)
	}
	a := one(t, d, s, set(1000), since)
	if len(a.Reads) != 1 || len(a.Reads[0].Eq) != 1 || len(a.Reads[0].Eq[0].Values) != 1000 || a.Reads[0].Eq[0].Column != room || len(a.Reads[0].Where) != 2 {
		t.Errorf("a thousand: %d atoms", len(a.Reads))
	}
	if a := one(t, d, s, set(1001), since); len(a.Reads) != 1 || len(a.Reads[0].Eq) != 0 {
		t.Errorf("more than a thousand: %+v", a.Reads)
	}
	if a := one(t, d, s, abi.Array(), since); len(a.Reads) != 0 {
		t.Errorf("an empty set can never match: %+v", a.Reads)
	}
	if a := one(t, d, s, abi.Null(), since); len(a.Reads) != 0 {
		t.Errorf("NULL can never match: %+v", a.Reads)
	}
	s = wantReads(t, d, `select id from messages where room_id in (1, $x)`, "room_id = any of $x, a constant")
	a = one(t, d, s, abi.Int(5))
	if got := a.Reads[0].Eq[0].Values; !slices.Contains(got, reactor.IntValue(1)) || !slices.Contains(got, reactor.IntValue(5)) {
		t.Errorf("values = %q", got)
	}
}

// The first equality is the one that the index finds the atom by: the unique one.
func TestMostSelectiveEqualityIsFirst(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	wantReads(t, d, `select id from messages where room_id = $r and id = $id`, "messages where id = $id and room_id = $r")
	wantReads(t, d, `select id from users where name = $n and email = $e`, "users where email = $e and name = $n")
}

// Before PostgreSQL 17 the tested expression of "not in (subquery)" is not
// printed.
func TestSubplanHidesItsTestExpression(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	wantReads(t, d, `select id from messages where author not in (select id from users where name = 'x')`, "columns all")
}

func TestRowLevelSecurityIsPartOfTheReadSet(t *testing.T) {
	t.Parallel()
	d, _ := start(t, `alter table rooms enable row level security; create policy mine on rooms using (owner = current_user);
		alter table users enable row level security; create policy m on users using (exists (select 1 from members m where m.user_id = users.name))`)
	wantReads(t, d, `select id from rooms where title = $t`, "rooms where title = $t and owner = a constant")
	wantReads(t, d, `select id from users where id = $id`, "users where id = $id", "members, table level; columns user_id")
}

// R4: an analysis that was under way while the DDL was told, or that the cache
// has dropped, is not used either.
func TestForgetReachesWhatIsNotCached(t *testing.T) {
	t.Parallel()
	d, _ := start(t)
	s := prepare(t, d, `select id from rooms where id = $id`)
	a := s.variants[0].analysis.Load()
	d.drop(a)
	a.void.Store(false)
	d.Forget(a.derived.XMax + 5)
	if d.fresh(a) {
		t.Error("an analysis that the cache does not hold stays fresh")
	}
	late := &analysis{derived: a.derived}
	late.seen.Store(d.generation.Load() - 1) // begun before the DDL was told
	if d.fresh(late) {
		t.Error("an analysis that began before the DDL was told is fresh")
	}
	old := &analysis{derived: reactor.Snapshot{XMin: 1 << 40, XMax: 1 << 40}}
	old.seen.Store(d.generation.Load())
	for i := range uint64(maxDDL + 1) {
		d.Forget(i + 1)
	}
	if d.fresh(old) {
		t.Error("an analysis that missed more DDL than is remembered is fresh")
	}
}

// C4: every execution reads the epoch; with another one everything is derived
// again.
// Cases: 102.
func TestAnotherEpochMakesReadSetsVoid(t *testing.T) {
	t.Parallel()
	d, server := start(t, `create table life (epoch text); insert into life values ('one'); grant select on life to weir_test`)
	d.config.EpochExpr = func(int) string { return "select max(epoch) from life" }
	s := prepare(t, d, `select id from rooms where id = $id`)
	query := []Query{{Statement: s, Args: []abi.Value{abi.Int(1)}}}
	before, err := d.Wave(t.Context(), query)
	if err != nil || before.Epoch != "one" {
		t.Fatalf("epoch %q, %v", before.Epoch, err)
	}
	a := s.variants[0].analysis.Load()
	server.Exec(t, `update life set epoch = 'two'`)
	after, err := d.Wave(t.Context(), query)
	if err != nil || after.Epoch != "two" || after.Answers[0].Err != nil {
		t.Fatalf("epoch %q, %v, %v", after.Epoch, err, after.Answers[0].Err)
	}
	if s.variants[0].analysis.Load() == a {
		t.Error("a read set of another epoch is still used")
	}
	server.Exec(t, `update life set epoch = 'three'`)
	tx, err := d.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	if _, err := tx.Query(t.Context(), query); !errors.Is(err, ErrUnstable) {
		t.Errorf("the first transaction of an epoch: %v", err)
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// G13: the answers of a wave share one snapshot, whatever commits meanwhile.
func TestWaveIsOneSnapshot(t *testing.T) {
	t.Parallel()
	d, server := start(t)
	s := prepare(t, d, `select count(*) as n from messages`)
	queries := make([]Query, 50)
	for i := range queries {
		queries[i] = Query{Statement: s}
	}
	conn, done := server.Conn(t), make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 200 && err == nil; i++ {
			_, err = conn.Exec(t.Context(), `insert into messages (room_id) values (1)`)
		}
		done <- err
	}()
	var last reactor.Snapshot
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		w, err := d.Wave(t.Context(), queries)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range w.Answers {
			if got, first := rowsJSON(t, a), rowsJSON(t, w.Answers[0]); got != first {
				t.Fatalf("one wave saw %s and %s", first, got)
			}
		}
		if !w.Snapshot.Covers(last) {
			t.Fatalf("the snapshot went back from %v to %v", last, w.Snapshot)
		}
		last = w.Snapshot
	}
}
