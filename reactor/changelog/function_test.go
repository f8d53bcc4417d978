package changelog

import (
	"fmt"
	"strings"
	"testing"
)

func TestEachStatementIsOneRowWithItsTuples(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table orders (id int primary key, room int, note text)`)
	s.watch("orders", 1, 2)
	s.expect(`insert into orders values (1, 7, 'a'), (2, 7, 'b')`, `I orders * [{"1": 1, "2": 7}, {"1": 2, "2": 7}]`)
	s.expect(`update orders set room = 8 where id = 1`, `U orders {2} [{"1": 1, "2": 7}, {"1": 1, "2": 8}]`)
	s.expect(`update orders set note = note || '!'`, `U orders {3} [{"1": 1, "2": 8}, {"1": 2, "2": 7}]`)
	s.expect(`update orders set room = room + id, note = 'x' where id = 2`, `U orders {2,3} [{"1": 2, "2": 7}, {"1": 2, "2": 9}]`)
	s.expect(`delete from orders where id = 1`, `D orders * [{"1": 1, "2": 8}]`)
	s.expect(`truncate orders`, `T orders * *`)
	s.expect(`insert into orders values (3, null, '')`, `I orders * [{"1": 3, "2": null}]`)
	s.expect(`begin; savepoint a; insert into orders values (4, 4); rollback to a; savepoint b; insert into orders values (5, 5); commit`,
		`I orders * [{"1": 5, "2": 5}]`)
	if got := s.text(`select count(distinct xid) = 1 and bool_and(xid::text::bigint < pg_snapshot_xmax(pg_current_snapshot())::text::bigint) from weir.log`); got != "true" {
		t.Errorf("savepoint's row has no top-level transaction: %s", got)
	}
}

func TestStatementsWithoutEffectAreNoChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key, a int); insert into t values (1, 1)`)
	s.watch("t", 1)
	s.expect(`update t set a = 2 where false; delete from t where false; insert into t select 5, 5 where false`, ``)
	s.expect(`update t set a = a`, `U t {} [{"1": 1}]`) // as long as it is one row; the reader drops it
	s.exec(`insert into t values (2, 2)`)
	s.expect(`update t set a = a`, ``)
	s.exec(`delete from t where id = 2`)
	s.expect(`insert into t values (1, 9) on conflict (id) do update set a = excluded.a`, `U t {2} [{"1": 1}]`)
	s.expect(`insert into t values (1, 9) on conflict do nothing`, ``)
}

// C3: more than 200 rows are the whole table.
// Cases: 120.
func TestBulkStatementIsTheWholeTable(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key, a int)`)
	s.watch("t", 2)
	s.expect(`insert into t select g, 1 from generate_series(1, 200) g`, `I t * [{"2": 1}]`)
	s.expect(`update t set a = 2`, `U t {2} [{"2": 1}, {"2": 2}]`)
	s.expect(`insert into t values (201, 2)`, `I t * [{"2": 2}]`)
	s.expect(`update t set a = 3`, `U t * *`)
	s.expect(`delete from t`, `D t * *`)
}

// C8: the mask compares images: 1.0 is not 1.00, json has no equality, and the
// writer's statement never fails.
func TestMaskComparesImages(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key, n numeric, j json, x xml, p point, f float8);
		insert into t values (1, 1.0, '{"a":1}', '<a/>', '(1,1)', 0), (2, 1.0, '{"a":1}', '<a/>', '(1,1)', 0)`)
	s.watch("t", 1)
	s.expect(`update t set n = 1.00 where id = 1`, `U t {2} [{"1": 1}]`)
	s.expect(`update t set j = '{"a": 1}'`, `U t {3} [{"1": 1}, {"1": 2}]`)
	s.expect(`update t set x = '<b/>', p = '(1,2)'`, `U t {4,5} [{"1": 1}, {"1": 2}]`)
	s.expect(`update t set f = '-0' where id = 1`, `U t {6} [{"1": 1}]`)
}

// C8: without a key, or when it changes, rows do not pair: all columns changed.
func TestMaskIsAllColumnsWhenRowsDoNotPair(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table bare (a int, b int); insert into bare values (1, 1), (2, 2);
		create table late (id int primary key deferrable initially deferred, a int); insert into late values (1, 1), (2, 2);
		create table keyed (id int, "Key" text, a int, primary key (id, "Key")); insert into keyed values (1, 'x', 1), (1, 'y', 1)`)
	s.watch("bare", 1)
	s.watch("late", 1)
	s.watch("keyed", 1)
	s.expect(`update bare set b = b + 1`, `U bare * [{"1": 1}, {"1": 2}]`)
	s.expect(`update bare set b = 5 where a = 1`, `U bare {2} [{"1": 1}]`) // one row pairs by itself
	s.expect(`update late set a = a + 1`, `U late * [{"1": 1}, {"1": 2}]`)
	s.expect(`update keyed set a = 2`, `U keyed {3} [{"1": 1}]`)
	s.expect(`update keyed set "Key" = "Key" || 'z'`, `U keyed * [{"1": 1}]`)
	s.expect(`update keyed set "Key" = 'q' where "Key" = 'xz'`, `U keyed {2} [{"1": 1}]`)
}

// C9: values do not follow the writer's settings.
func TestKeysDoNotFollowTheWritersSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (at timestamptz, b bytea, d date, l int8, z timestamp)`)
	s.watch("t", 1, 2, 3, 4, 5)
	s.exec(`set TimeZone = 'Asia/Tokyo'; set DateStyle = 'German'; set bytea_output = 'escape'; set IntervalStyle = 'iso_8601'; set extra_float_digits = -5`)
	s.expect(`insert into t values ('2026-01-02 03:04:05.5+00', '\x0102', '2026-01-02', 9223372036854775807, '2026-01-02 03:04:05')`,
		`I t * [{"1": "2026-01-02T03:04:05.5+00:00", "2": "\\x0102", "3": "2026-01-02", "4": 9223372036854775807, "5": "2026-01-02T03:04:05"}]`)
}

// C9: large values are left out, large tuples are the whole table; compressed
// ones count as they are.
// Cases: 98.
func TestLargeValuesAreWildcards(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (a text, b int); do $$ declare c text := ''; begin
		for i in 1..100 loop c := c || format(', c%s text', i); end loop;
		execute 'create table wide (id int' || c || ')'; end $$`)
	s.watch("t", 1, 2)
	s.expect(`insert into t values (repeat('x', 252), 1)`, fmt.Sprintf(`I t * [{"1": "%s", "2": 1}]`, strings.Repeat("x", 252)))
	s.expect(`insert into t values (repeat('x', 253), 1)`, `I t * [{"1": {}, "2": 1}]`)
	s.expect(`insert into t select string_agg(md5(g::text), ''), 1 from generate_series(1, 100000) g`, `I t * [{"1": {}, "2": 1}]`)
	columns := make([]uint16, 101)
	for i := range columns {
		columns[i] = uint16(i + 1)
	}
	s.watch("wide", columns...)
	s.expect(`insert into wide values (1, 'a')`, s.text(`select 'I wide * ' || jsonb_build_array(jsonb_object_agg(g::text, case g when 1 then to_jsonb(1) when 2 then to_jsonb('a'::text) else 'null' end))::text from generate_series(1, 101) g`))
	s.exec(`do $$ declare c text := ''; begin for i in 1..100 loop c := c || ', repeat(''x'', 240)'; end loop; execute 'prepare big as insert into wide values (1' || c || ')'; end $$`)
	s.expect(`execute big`, `I wide * *`)
}

// The writer's statement succeeds whatever DDL came after the function was made,
// and columns that the function does not know count as changed.
// Cases: 98.
func TestStaleFunctionNeverFailsTheWriter(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key, a int, b text, c int); insert into t values (1, 1, 'x', 1), (2, 1, 'x', 1)`)
	s.watch("t", 1, 2, 3)
	s.exec(`alter event trigger weir_ddl disable; alter event trigger weir_drop disable`)
	s.exec(`alter table t rename a to other`)
	s.expect(`update t set c = 2`, `U t {2,4} [{"1": 1, "2": {}, "3": "x"}, {"1": 2, "2": {}, "3": "x"}]`)
	s.exec(`alter table t drop column b`)
	s.expect(`update t set c = 3 where id = 1`, `U t {2,3,4} [{"1": 1, "2": {}, "3": {}}]`)
	s.exec(`alter table t alter c type json using '1'`)
	s.expect(`update t set c = '2'`, `U t {2,3,4} [{"1": 1, "2": {}, "3": {}}, {"1": 2, "2": {}, "3": {}}]`)
	s.exec(`alter table t add column d int`)
	s.expect(`update t set d = 1 where id = 1`, `U t * [{"1": 1, "2": {}, "3": {}}]`)
	s.exec(`alter table t drop column id`)
	s.expect(`delete from t`, `D t * [{"1": {}, "2": {}, "3": {}}]`)
	s.exec(`alter table t drop column c, drop column d, drop column other`)
	s.expect(`insert into t default values`, `I t * [{"1": {}, "2": {}, "3": {}}]`)
	s.watch("t")
	s.expect(`insert into t default values`, `I t * *`)
}

// Every shape of table: the writer's statement succeeds.
func TestUnusualTables(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create type mood as enum ('sad', 'it''s "ok"'); create domain small as int check (value < 10); create domain tiny as small;
		create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		create table "Odd ""T" ("Id" int primary key, gone int, m mood, s tiny, "weir_row" int, "l" text, slot int, keys jsonb,
			weir_mask int2[], found bool, n int generated always as ("Id" * 2) stored, c text collate blind, tags text[], "select" text);
		alter table "Odd ""T" drop column gone;
		create unlogged table u (id int primary key, a int);
		do $$ declare c text := ''; begin for i in 1..1400 loop c := c || format(', c%s int', i); end loop;
			execute 'create table huge (id int primary key' || c || ')'; end $$`)
	s.watch(`"Odd ""T"`, 1, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14)
	s.expect(`insert into "Odd ""T" ("Id", m, s, weir_row, l, slot, "select") values (1, 'it''s "ok"', 3, 4, 'l', 6, 'q')`,
		`I "Odd ""T" * [{"1": 1, "3": "it's \"ok\"", "4": 3, "5": 4, "6": "l", "7": 6, "11": 2, "14": "q"}]`)
	s.expect(`update "Odd ""T" set "Id" = 2`,
		`U "Odd ""T" {1,11} [{"1": 1, "3": "it's \"ok\"", "4": 3, "5": 4, "6": "l", "7": 6, "11": 2, "14": "q"}, {"1": 2, "3": "it's \"ok\"", "4": 3, "5": 4, "6": "l", "7": 6, "11": 4, "14": "q"}]`)
	s.expect(`update "Odd ""T" set found = true, weir_mask = '{1}', keys = '{}'`,
		`U "Odd ""T" {8,9,10} [{"1": 2, "3": "it's \"ok\"", "4": 3, "5": 4, "6": "l", "7": 6, "11": 4, "14": "q"}]`)
	s.watch("u", 1)
	s.expect(`insert into u values (1, 1)`, `I u * [{"1": 1}]`)
	s.watch("huge", 1, 1400)
	s.expect(`insert into huge (id, c1399) values (1, 5)`, `I huge * [{"1": 1, "1400": 5}]`)
	s.expect(`update huge set c1 = 1`, `U huge * [{"1": 1, "1400": 5}]`)
}

// A caller cannot lend the trigger functions his own operators, types or tables.
func TestWritersSearchPathDoesNotReachTheFunction(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key, a text); create schema evil;
		create function evil.eq(int, int) returns bool language plpgsql as 'begin raise exception ''called''; end';
		create operator evil.= (leftarg = int, rightarg = int, function = evil.eq);
		create function evil.now() returns timestamptz language plpgsql as 'begin raise exception ''called''; end';
		create function evil.to_jsonb(text) returns jsonb language plpgsql as 'begin raise exception ''called''; end'`)
	s.watch("t", 1, 2)
	s.exec(`set search_path = evil, pg_catalog, public`)
	s.expect(`insert into t values (1, 'a')`, `I t * [{"1": 1, "2": "a"}]`)
	s.expect(`update t set a = 'b'`, `U t {2} [{"1": 1, "2": "a"}, {"1": 1, "2": "b"}]`)
}

// C12: no EXCEPTION block: writers get no subtransactions. C12, C13: nothing of
// weir notifies, which would let one commit wait for another, and break PREPARE
// TRANSACTION.
// Cases: 98.
func TestDataTriggersHaveNoExceptionBlock(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key)`)
	s.watch("t", 1)
	if got := s.text(`select count(*) from pg_proc where proname like 'capture\_%' and prosrc ~* '\yexception\y'`); got != "0" {
		t.Errorf("%s capture functions have an exception block", got)
	}
	if got := s.text(`select count(*) from pg_proc p where p.pronamespace = 'weir'::regnamespace and p.prosrc ~* 'notify'`); got != "0" {
		t.Errorf("%s functions notify", got)
	}
	s.exec(`begin; insert into t values (1); insert into t values (2)`)
	if got := s.text(`select count(*) from pg_locks where locktype = 'transactionid' and pid = pg_backend_pid()`); got != "1" {
		t.Errorf("the writer holds %s transaction numbers, want 1", got)
	}
	s.exec(`rollback`)
}

// C6: nobody listens: the log stays empty.
func TestTriggersSkipTheLogWithoutReader(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key)`)
	s.watch("t", 1)
	s.exec(`update weir.reader set seen_at = now() - interval '31 min'`)
	s.expect(`insert into t values (1)`, ``)
	s.exec(`update weir.reader set seen_at = now() - interval '29 min'`)
	s.expect(`insert into t values (2)`, `I t * [{"1": 2}]`)
}

// C6: an old snapshot hides the mark that was renewed since, but the reader was
// there when the transaction began: it logs.
func TestOldSnapshotDoesNotHideTheReader(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key)`)
	s.watch("t", 1)
	s.exec(`update weir.reader set retention = '200 ms', seen_at = clock_timestamp()`)
	old := s.DB.Conn(t)
	if _, err := old.Exec(testContext(t), `begin isolation level repeatable read; select 1 from weir.reader; select pg_sleep(0.3)`); err != nil {
		t.Fatal(err)
	}
	s.exec(`update weir.reader set seen_at = clock_timestamp(); delete from weir.log`)
	if _, err := old.Exec(testContext(t), `insert into t values (1); commit`); err != nil {
		t.Fatal(err)
	}
	if n := s.text(`select count(*) from weir.log`); n != "1" {
		t.Errorf("%s rows were logged, want 1", n)
	}
}

// C6: a mark counts for transactions that began before it, whatever their
// snapshot is: they log from then on.
func TestMarkIsSeenThroughOldSnapshots(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key); update weir.reader set seen_at = '-infinity'`)
	s.watch("t", 1)
	old := s.DB.Conn(t)
	if _, err := old.Exec(testContext(t), `begin isolation level repeatable read; select 1 from weir.reader; insert into t values (1)`); err != nil {
		t.Fatal(err)
	}
	s.exec(`update weir.reader set seen_at = clock_timestamp(); delete from weir.log`)
	if _, err := old.Exec(testContext(t), `insert into t values (2); commit`); err != nil {
		t.Fatal(err)
	}
	if got := s.text(`select string_agg(keys::text, ' ') from weir.log`); got != "[2]" {
		t.Errorf("logged %s, want the second row", got)
	}
}

// A mark whose transaction fails is not taken back, which only means more rows.
func TestMarkThatFailsHurtsNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key); update weir.reader set seen_at = '-infinity'`)
	s.watch("t", 1)
	s.exec(`begin; update weir.reader set seen_at = clock_timestamp(), slot = 2; set constraints all immediate; rollback`)
	s.expect(`insert into t values (1)`, `I t * [{"1": 1}]`)
	if n := s.text(`select count(*) from weir.log_2`); n != "1" {
		t.Errorf("partition 2 has %s rows, want 1", n)
	}
}

// C6: weir is off for many times the retention: the log does not grow.
// Cases: 101.
func TestLogIsBoundedWhileNobodyReads(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int)`)
	s.watch("t", 1)
	s.exec(`update weir.reader set retention = '20 ms', seen_at = clock_timestamp()`)
	s.exec(`do $$ declare until timestamptz := clock_timestamp() + interval '300 ms'; begin
		while clock_timestamp() < until loop insert into t values (1); commit; end loop; end $$`)
	if got := s.text(`select (select count(*) from t) > 4 * (select count(*) from weir.log where op = 'I')`); got != "true" {
		t.Errorf("%s of %s rows were logged", s.text(`select count(*) from weir.log`), s.text(`select count(*) from t`))
	}
}
