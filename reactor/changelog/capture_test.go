package changelog

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/reactor"
)

// C7: the watch list only grows, and a writer that logged the old list leaves the
// new column absent, never null.
func TestWatchedColumnsOnlyGrow(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key, a int, b int)`)
	s.watch("t", 2)
	other := s.DB.Conn(t)
	if _, err := other.Exec(testContext(t), `begin; insert into t values (1, 5, 6)`); err != nil {
		t.Fatal(err)
	}
	s.watch("t", 3) // does not wait for the writer
	s.expect(`insert into t values (2, 5, 6)`, `I t * [{"2": 5, "3": 6}]`)
	s.watch("t", 1)
	if _, err := other.Exec(testContext(t), `commit`); err != nil {
		t.Fatal(err)
	}
	s.expect(`insert into t values (3, 5, null)`, `I t * [{"1": 3, "2": 5, "3": null}]`)
	r := row{op: 'I', rel: 1, keys: `[{"2": 5}]`}
	tables := map[uint32]Table{1: {Columns: map[uint16]Column{2: {Kind: reactor.KindInt}, 3: {Kind: reactor.KindInt}}}}
	if _, found := r.change(tables).Keys[0].Find(3); found {
		t.Error("a column that was not logged is not absent")
	}
}

// C7, C9: one-row statements log values without names. What is no plain value is
// absent, and a row that does not fit its columns is the whole table.
func TestFlatTuplesWidenWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	tables := map[uint32]Table{1: {Columns: map[uint16]Column{2: {Kind: reactor.KindInt}, 3: {Kind: reactor.KindText}}}}
	for _, c := range []struct {
		keys string
		want []reactor.Tuple
	}{
		{`[5, "x"]`, []reactor.Tuple{{{Column: 2, Value: reactor.IntValue(5)}, {Column: 3, Value: "x"}}}},
		{`[5, "x", 5, "x"]`, []reactor.Tuple{{{Column: 2, Value: reactor.IntValue(5)}, {Column: 3, Value: "x"}}}},
		{`[9007199254740993, null, {"gone": 1}, "y"]`, []reactor.Tuple{
			{{Column: 2, Value: reactor.IntValue(9007199254740993)}, {Column: 3, Null: true}}, {{Column: 3, Value: "y"}},
		}},
		{`[5, {}]`, []reactor.Tuple{{{Column: 2, Value: reactor.IntValue(5)}}}},
		{`[5, [1, 2]]`, []reactor.Tuple{{{Column: 2, Value: reactor.IntValue(5)}}}},
		{`[5, "x", {}, {}]`, nil},
		{`[5, "x", 6]`, nil},
		{`{}`, nil},
	} {
		r := row{op: 'U', rel: 1, cols: []int16{2, 3}, keys: c.keys}
		if got := r.change(tables).Keys; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.keys, got, c.want)
		}
	}
}

// C7: several nodes extend the list of one table at once; nothing is lost.
func TestWatchByManyNodesAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (c1 int, c2 int, c3 int, c4 int, c5 int, c6 int)`)
	var wg sync.WaitGroup
	table, ctx := s.oid("t"), testContext(t)
	for c := range uint16(6) {
		wg.Go(func() {
			err := NewCapture(CaptureConfig{URL: s.weir}).Watch(ctx, []Watch{{Table: table, Columns: []uint16{c + 1}}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.expect(`insert into t values (1, 2, 3, 4, 5, 6)`, `I t * [{"1": 1, "2": 2, "3": 3, "4": 4, "5": 5, "6": 6}]`)
}

// C10: writes are seen through the root and straight into a leaf, under the root's
// OID and column numbers.
// Cases: 105.
func TestPartitionsAreReportedUnderTheRoot(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table root (x int, id int, a text, primary key (id)) partition by range (id);
		alter table root drop column x;
		create table mid partition of root for values from (0) to (100) partition by range (id);
		create table leaf1 partition of mid for values from (0) to (10);
		create table leaf2 (junk int, a text, id int not null); alter table leaf2 drop column junk; alter table leaf2 add primary key (id);
		alter table mid attach partition leaf2 for values from (10) to (20)`)
	s.watch("leaf2", 2, 3) // its numbers of a and id
	s.expect(`insert into root values (1, 'a')`, `I root * [{"2": 1, "3": "a"}]`)
	s.expect(`insert into leaf1 values (2, 'a')`, `I root * [{"2": 2, "3": "a"}]`)
	s.expect(`insert into mid values (3, 'a')`, `I root * [{"2": 3, "3": "a"}]`)
	s.expect(`insert into leaf2 (id, a) values (11, 'a')`, `I root * [{"2": 11, "3": "a"}]`)
	s.expect(`update leaf2 set a = 'b'`, `U root {3} [{"2": 11, "3": "a"}, {"2": 11, "3": "b"}]`)
	s.expect(`update root set id = 12 where id = 1`, `U root {2} [{"2": 1, "3": "a"}, {"2": 12, "3": "a"}]`) // moves
	s.expect(`truncate leaf1`, `T root * *`)
	s.expect(`truncate root`, `T root * *; T root * *; T root * *; T root * *`)
}

// A table that is captured is told as one that has changed, to those who read it:
// weir's own definitions are nobody else's concern.
func TestCaptureConcernsThoseWhoReadTheTable(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int, a text); create table own (id int, a text); alter table own owner to weir`)
	s.exec(`update weir.reader set seen_at = now()`)
	logged := func(columns ...uint16) (log []string) {
		t.Helper()
		for _, table := range []string{"t", "own"} {
			s.exec(`delete from weir.log`)
			s.watch(table, columns...)
			log = append(log, s.text(`select coalesce(string_agg(concat(op, ' ', rel::regclass), '; '), '') from weir.log`))
		}
		return log
	}
	if got := logged(1); !slices.Equal(got, []string{"T t", "T own"}) {
		t.Errorf("captured: %q", got)
	}
	if got := logged(1, 2); !slices.Equal(got, []string{"", ""}) {
		t.Errorf("a column more: %q", got)
	}
	s.exec(`delete from weir.log; grant select on t to weir`)
	if got := s.text(`select concat(op, rel) from weir.log`); got != "X0" {
		t.Errorf("somebody's own definition: %q", got)
	}
}

// C10: children of an inheritance parent; columns of their own count as all.
func TestInheritanceChildrenAreReportedUnderTheRoot(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table parent (id int primary key, a int); create table child (extra int) inherits (parent);
		create table other (z int); create table "both" () inherits (parent, other)`)
	if err := s.tryWatch(s.weir, "parent", 1); err == nil || !strings.Contains(err.Error(), "more than one") {
		t.Errorf("two parents: %v", err)
	}
	s.exec(`drop table "both"`)
	s.watch("parent", 1)
	s.expect(`insert into child values (1, 2, 3)`, `I parent * [{"1": 1}]`)
	s.expect(`update child set extra = 4`, `U parent * [{"1": 1}]`)
	s.expect(`update parent set a = 4`, `U parent * [{"1": 1}]`)
}

// C10: a replica session's writes are seen where the role owns the table.
// Cases: 105.
func TestOwnersTriggersFireAlways(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int); create table theirs (id int); alter table t owner to weir`)
	s.watch("t", 1)
	s.watch("theirs", 1)
	s.exec(`set session_replication_role = replica`)
	s.expect(`insert into t values (1); insert into theirs values (1)`, `I t * [{"1": 1}]`)
	s.exec(`reset session_replication_role`)
	// Setup as the administrator makes up for it.
	if _, err := Setup(testContext(t), SetupConfig{AdminURL: s.URL}); err != nil {
		t.Fatal(err)
	}
	s.exec(`set session_replication_role = replica`)
	s.expect(`insert into theirs values (1)`, `I theirs * [{"1": 1}]`)
}

// C10: what cannot be captured is refused in a sentence.
// Cases: 105.
func TestUncapturableTablesAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create extension postgres_fdw; create server far foreign data wrapper postgres_fdw; create foreign table f (a int) server far;
		create table t (a int); create materialized view m as select * from t; create view v as select * from t;
		create table sub (a int); create table part (a int) partition by list (a); create foreign table fp partition of part for values in (1) server far`)
	s.exec(`create subscription s connection 'host=nowhere' publication p with (connect = false, slot_name = none);
		insert into pg_subscription_rel values ((select oid from pg_subscription where subname = 's'), 'sub'::regclass, 'r')`)
	t.Cleanup(func() { s.exec(`drop subscription s`) })
	for table, want := range map[string]string{
		"f": "foreign", "m": "materialized", "v": "not a table", "pg_class": "system", "sub": "logical replication",
		"part": "foreign", "weir.reader": "system",
	} {
		err := s.tryWatch(s.weir, table)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(refused.Why, want) {
			t.Errorf("watch %s: %v, want a refusal with %q", table, err, want)
		}
	}
	err := NewCapture(CaptureConfig{URL: s.weir}).Watch(testContext(t), []Watch{{Table: 1}})
	if err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("unknown table: %v", err)
	}
}

// Without the right the error is the one command to run.
func TestWatchWithoutRightNamesTheCommand(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create schema "my app"; create table "my app".t (id int)`)
	err := s.tryWatch(s.weir, `"my app".t`, 1)
	var need *NeedError
	if !errors.As(err, &need) {
		t.Fatalf("got %v, want a NeedError", err)
	}
	_, grants, _ := strings.Cut(need.Do, "owner: ")
	s.exec(grants)
	s.watch(`"my app".t`, 1)
	s.expect(`insert into "my app".t values (1)`, `I "my app".t * [{"1": 1}]`)
}

// C12: a busy table is waited for in short tries that do not queue its writers.
func TestWatchDoesNotBlockWritersBehindALongTransaction(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key); create table quick (id int)`)
	long := s.DB.Conn(t)
	if _, err := long.Exec(testContext(t), `begin; insert into t values (1)`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	watch, ctx := []Watch{{Table: s.oid("t"), Columns: []uint16{1}}}, testContext(t)
	go func() { done <- NewCapture(CaptureConfig{URL: s.weir}).Watch(ctx, watch) }()
	for i := range 40 { // more than all tries of the watcher
		s.exec(`begin; set local lock_timeout = '1s'`)
		if _, err := s.conn.Exec(testContext(t), `insert into t values ($1)`, i+10); err != nil {
			t.Fatalf("a writer was blocked: %v", err)
		}
		s.exec(`commit; select pg_sleep(0.01)`)
	}
	select {
	case err := <-done:
		t.Fatalf("the watcher did not wait for the writer: %v", err)
	default:
	}
	if _, err := long.Exec(testContext(t), `commit`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.expect(`insert into t values (2)`, `I t * [{"1": 2}]`)
}

// After a rename the function is made again and writers in flight are waited
// for: they may have logged under the old name.
func TestSwappedNamesAreFollowed(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (a int, b int)`)
	s.watch("t", 1, 2)
	s.exec(`alter table t rename a to tmp; alter table t rename b to a; alter table t rename tmp to b`)
	s.watch("t", 1)
	s.expect(`insert into t (a, b) values (7, 8)`, `I t * [{"1": 8, "2": 7}]`)
}

// C7: functions go by names. From a swap of names until they are made again,
// what they log is taken for the whole table; then it is narrow again.
func TestSwappedNamesWidenUntilRepaired(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key, a int, b int)`)
	s.watch("t", 2, 3)
	f := s.listen(Config{Live: time.Millisecond, Catalog: 20 * time.Millisecond})
	f.SetLive(true)
	f.awaitResync()
	// The keeper's repair waits for this lock, so the function is the old one.
	busy := s.Conn(t)
	if _, err := busy.Exec(testContext(t), `begin; alter table t rename a to tmp; alter table t rename b to a;
		alter table t rename tmp to b; insert into t (id, a, b) values (1, 7, 8); commit; begin; lock table t in row exclusive mode`); err != nil {
		t.Fatal(err)
	}
	if c := f.awaitChange(s.oid("t")); c.Keys != nil {
		t.Errorf("the old function's tuples are trusted: %+v", c)
	}
	s.exec(`update t set a = 9`)
	if c := f.awaitChange(s.oid("t")); c.Keys != nil || c.Changed != nil {
		t.Errorf("the old function's tuples are trusted: %+v", c)
	}
	if _, err := busy.Exec(testContext(t), `commit`); err != nil {
		t.Fatal(err)
	}
	id := 1
	eventually(t, func() string {
		id++
		s.exec(fmt.Sprintf(`insert into t (id, a, b) values (%d, 7, 8)`, id))
		c := f.awaitChange(s.oid("t"))
		if c.Keys == nil {
			return "the whole table"
		}
		a, _ := c.Keys[0].Find(3)
		b, _ := c.Keys[0].Find(2)
		if a.Value != reactor.IntValue(7) || b.Value != reactor.IntValue(8) {
			t.Fatalf("the new function's tuples: %+v", c)
		}
		return ""
	})
}

// A table that becomes a partition reports its new root, also to its own writers.
func TestAttachedTableReportsItsNewRoot(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table root (id int, a int) partition by list (id); create table t (id int, a int)`)
	s.watch("t", 1)
	s.exec(`alter table root attach partition t for values in (1)`)
	s.watch("t", 1)
	s.expect(`insert into t values (1, 1)`, `I root * [{"1": 1}]`)
}

func TestTablesDescribeKinds(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create type mood as enum ('a'); create domain d1 as int8; create domain d2 as d1;
		create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		create table t (a int2, b mood, c d2, d text collate blind, e varchar(3), f numeric, g bpchar(2), h uuid, i float8, j int[], k timestamptz)`)
	c := NewCapture(CaptureConfig{URL: s.weir})
	if err := c.Watch(testContext(t), []Watch{{Table: s.oid("t"), Columns: []uint16{1, 4, 6}}}); err != nil {
		t.Fatal(err)
	}
	table := c.Tables()[s.oid("t")]
	want := []reactor.Kind{
		reactor.KindInt, reactor.KindEnum, reactor.KindInt, reactor.KindNone, reactor.KindText,
		reactor.KindNone, reactor.KindNone, reactor.KindUUID, reactor.KindNone, reactor.KindNone, reactor.KindInstant,
	}
	for i, kind := range want {
		if got := table.Columns[uint16(i+1)].Kind; got != kind {
			t.Errorf("column %d has kind %d, want %d", i+1, got, kind)
		}
	}
	if table.Name != "public.t" || !table.Columns[1].Watched || table.Columns[4].Watched || table.Columns[2].Watched {
		t.Errorf("got %+v", table)
	}
}
