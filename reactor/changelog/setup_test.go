package changelog

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb/devdbtest"
)

func lines(fs []Finding) string {
	out := make([]string, len(fs))
	for i, f := range fs {
		out[i] = f.String()
	}
	return strings.Join(out, "\n")
}

func TestSetupByManyNodesAtOnceAndAgain(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			fs, err := Setup(testContext(t), SetupConfig{AdminURL: db.URL})
			if err != nil || strings.Contains(lines(fs), "missing") || strings.Contains(lines(fs), "degraded") {
				t.Errorf("%v\n%s", err, lines(fs))
			}
		})
	}
	wg.Wait()
}

// The printed SQL does the same as Setup.
func TestSetupSQLCanBeRunByHand(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	db.Exec(t, `create table t (id int)`)
	for range 2 {
		db.Exec(t, SetupSQL(SetupConfig{Schemas: []string{"public"}}))
	}
	fs, err := Check(testContext(t), db.As("weir", ""), "t")
	if err != nil || !containsAll(lines(fs), "ok change log", "ok event triggers", "ok public.t can be captured") {
		t.Errorf("%v\n%s", err, lines(fs))
	}
}

// Managed PostgreSQL: an administrator who is no superuser.
func TestSetupWithoutSuperuser(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	db.Exec(t, `create role managed login createrole createdb; grant create on database `+pgx.Identifier{db.Name}.Sanitize()+` to managed;
		grant all on schema public to managed`)
	t.Cleanup(func() {
		db.Exec(t, `drop owned by managed; drop owned by managed_weir; drop role managed, managed_weir, managed_guest`)
	})
	admin := db.As("managed", "")
	exec := func(url, sql string) {
		t.Helper()
		if err := withConn(testContext(t), url, func(c *pgx.Conn) error { _, err := c.Exec(testContext(t), sql); return err }); err != nil {
			t.Fatal(err)
		}
	}
	exec(admin, `create table public.mine (id int)`)
	db.Exec(t, `create table theirs (id int)`)
	cfg := SetupConfig{AdminURL: admin, Weir: "managed_weir", Guest: "managed_guest", Tables: []string{"public.mine"}}
	fs, err := Setup(testContext(t), cfg)
	if err != nil || !containsAll(lines(fs), "degraded: no event triggers", "ok public.mine is captured") {
		t.Fatalf("%v\n%s", err, lines(fs))
	}
	fs, err = Check(testContext(t), db.As("managed_weir", ""), "public.mine", "public.theirs", "public.none")
	if err != nil || !containsAll(lines(fs), "ok public.mine is captured",
		`missing: right to capture public.theirs: GRANT USAGE ON SCHEMA "public" TO "managed_weir"; GRANT TRIGGER ON public.theirs`,
		"missing: table public.none does not exist") {
		t.Errorf("%v\n%s", err, lines(fs))
	}
	if err := Uninstall(testContext(t), admin); err != nil && !strings.Contains(err.Error(), "role") {
		t.Errorf("uninstall: %v", err)
	}
	exec(admin, `create role managed_weir_again; drop role managed_weir_again`)
	db.Exec(t, `do $$ begin if not exists (select from pg_roles where rolname = 'managed_weir') then create role managed_weir; end if;
		if not exists (select from pg_roles where rolname = 'managed_guest') then create role managed_guest; end if; end $$`)
}

func TestCheckSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	fs, err := Check(testContext(t), db.URL)
	if err != nil || !strings.Contains(lines(fs), "missing: the change log (schema weir): weir db setup") {
		t.Errorf("%v\n%s", err, lines(fs))
	}
	if err := NewCapture(CaptureConfig{URL: db.URL}).Watch(testContext(t), nil); !errors.Is(err, ErrNotSetUp) {
		t.Errorf("watch: %v", err)
	}
	if err := Pause(testContext(t), db.URL); !errors.Is(err, ErrNotSetUp) {
		t.Errorf("pause: %v", err)
	}
	s := newSite(t, `create table t (id int)`)
	s.watch("t")
	s.exec(`alter table t disable trigger weir_update`)
	fs, err = Check(testContext(t), s.weir)
	if err != nil || !containsAll(lines(fs), "degraded: public.t: trigger weir_update is disabled") {
		t.Errorf("%v\n%s", err, lines(fs))
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int); create table own (id int); alter table own owner to weir`)
	s.watch("t", 1)
	s.watch("own", 1)
	if err := Pause(testContext(t), s.weir); err != nil {
		t.Fatal(err)
	}
	s.expect(`insert into t values (1); insert into own values (1)`, ``)
	if got := s.text(`select count(*) from pg_trigger where tgname like 'weir%'`); got != "0" {
		t.Errorf("%s triggers are left", got)
	}
	if err := s.tryWatch(s.weir, "t", 1); !errors.Is(err, ErrPaused) {
		t.Errorf("watch while paused: %v", err)
	}
	st, err := ReadStatus(testContext(t), s.weir)
	if err != nil || !st.Paused || len(st.Drift) != 2 || st.Watched["public.t"] != 1 {
		t.Errorf("%v %+v", err, st)
	}
	for range 2 {
		if err := Resume(testContext(t), s.weir); err != nil {
			t.Fatal(err)
		}
	}
	s.expect(`insert into t values (1); insert into own values (1)`, `I t * [{"1": 1}]; I own * [{"1": 1}]`)
}

func TestUninstallLeavesNothing(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	db.Exec(t, `create table t (id int)`)
	conn := db.Conn(t)
	look := `select md5(string_agg(x, ' ' order by x)) from (
		select 'c' || relname || coalesce(relacl::text, '') || relhastriggers from pg_class where oid >= 16384
		union all select 'p' || proname from pg_proc where oid >= 16384
		union all select 'n' || nspname || coalesce(nspacl::text, '') from pg_namespace
		union all select 't' || tgname from pg_trigger union all select 'e' || evtname from pg_event_trigger
		union all select 'd' || defaclacl::text from pg_default_acl
		union all select 'r' || rolname from pg_roles where rolname like 'gone%') x(x)`
	read := func() (sum string) {
		if err := conn.QueryRow(testContext(t), look).Scan(&sum); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	// A table that once had triggers or privileges keeps the mark of it.
	db.Exec(t, `create role uninstalled; create function f() returns trigger language plpgsql as 'begin return null; end';
		create trigger x after insert on t execute function f(); drop function f cascade;
		grant trigger on t to uninstalled; revoke trigger on t from uninstalled; grant usage on schema public to uninstalled;
		revoke usage on schema public from uninstalled; drop role uninstalled`)
	before := read()
	cfg := SetupConfig{AdminURL: db.URL, Weir: "gone_weir", Guest: "gone_guest", Tables: []string{"t"}}
	if _, err := Setup(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	if read() == before {
		t.Fatal("the look does not see the setup")
	}
	for range 2 {
		if err := Uninstall(testContext(t), db.URL); err != nil {
			t.Fatal(err)
		}
	}
	if read() != before {
		t.Error("something is left")
	}
}

// Roles that somebody else made are not dropped.
func TestUninstallKeepsRolesItDidNotMake(t *testing.T) {
	t.Parallel()
	db := devdbtest.New(t)
	db.Exec(t, `create role kept_weir login; create role kept_guest login`)
	t.Cleanup(func() { db.Exec(t, `drop owned by kept_weir, kept_guest; drop role kept_weir, kept_guest`) })
	if _, err := Setup(testContext(t), SetupConfig{AdminURL: db.URL, Weir: "kept_weir", Guest: "kept_guest"}); err != nil {
		t.Fatal(err)
	}
	if err := Uninstall(testContext(t), db.URL); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `comment on role kept_weir is null`) // fails if it is gone
}

// An earlier form of the log was partitioned. Its rows are dropped, which is a
// gap (C6), and the old triggers' functions work until they are made again.
func TestSetupReplacesThePartitionedLog(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key); drop table weir.log cascade; set role weir;
		create table weir.log (xid xid8 not null default pg_current_xact_id(), at timestamptz not null default clock_timestamp(),
			slot int2 not null, rel oid not null, op "char" not null, mask int2[], keys jsonb) partition by list (slot);
		create table weir.log_0 partition of weir.log for values in (0); create table weir.log_1 partition of weir.log for values in (1);
		create table weir.log_2 partition of weir.log for values in (2); create index log_xid on weir.log (xid); reset role;
		insert into weir.log (slot, rel, op) values (0, 1, 'I')`)
	gap := s.text(`select gap from weir.reader`)
	if _, err := Setup(testContext(t), SetupConfig{AdminURL: s.URL}); err != nil {
		t.Fatal(err)
	}
	if now := s.text(`select gap from weir.reader`); now == gap {
		t.Error("no gap is counted")
	}
	s.expect(`insert into weir.log (slot, rel, op) select slot, 't'::regclass, 'X' from weir.reader`, `X t * *`)
	s.watch("t", 1)
	s.expect(`insert into t values (1)`, `I t * [{"1": 1}]`)
}
