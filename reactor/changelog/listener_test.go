package changelog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb/devdbtest"
	"weir/reactor"
)

func TestFirstBatchIsResyncThenChangesFollow(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key, a text)`)
	s.watch("t", 1, 2)
	f := s.listen(Config{Live: time.Millisecond})
	f.SetLive(true)
	first := f.awaitResync()
	if first.Epoch == "" || first.Snapshot.IsZero() || len(first.Changes) != 0 || first.Began.IsZero() {
		t.Errorf("got %+v", first)
	}
	s.exec(`insert into t values (7, 'x')`)
	c := f.awaitChange(s.oid("t"))
	d, _ := c.Keys[0].Find(1)
	e, _ := c.Keys[0].Find(2)
	if c.Op != reactor.Insert || d.Value != reactor.IntValue(7) || e.Value != "x" || first.Snapshot.Visible(c.XID) {
		t.Errorf("got %+v", c)
	}
	s.exec(`update t set a = a; update t set a = null`) // the first changes nothing
	c = f.awaitChange(s.oid("t"))
	if c.Op != reactor.Update || c.Changed.Has(1) || !c.Changed.Has(2) || len(c.Keys) != 2 {
		t.Errorf("got %+v", c)
	}
	s.exec(`truncate t`)
	if c = f.awaitChange(s.oid("t")); c.Op != reactor.Truncate || c.Keys != nil {
		t.Errorf("got %+v", c)
	}
	// Empty batches advance the cursor.
	f.await("empty", func(b reactor.Batch) bool { return len(b.Changes) == 0 && !b.Snapshot.IsZero() })
}

// A poke is served by a read that begins after it, soon, and many are one read.
func TestPokeReadsOnceSoonAfter(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var reads atomic.Int64
	f := s.listen(Config{Idle: time.Hour, Heartbeat: time.Hour, Catalog: time.Hour, hooks: hooks{reading: func() { reads.Add(1) }}})
	f.awaitResync()
	before := reads.Load()
	poked := time.Now()
	for range 100 {
		f.Poke()
	}
	if b := <-f.batches; b.Began.Before(poked) {
		t.Error("the read began before the poke")
	}
	// At most one more: the first poke may have been taken before the last came.
	after := time.Now()
	f.Poke()
	f.await("second", func(b reactor.Batch) bool { return b.Began.After(after) })
	if n := reads.Load() - before; n > 3 {
		t.Errorf("101 pokes made %d reads", n)
	}
}

// C13: no wake-up by the database is relied on. Reads come as far apart as they are
// needed, and at once when somebody asks; many who ask are one read.
func TestReadsAreAsFarApartAsTheyAreNeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, err := NewListener(Config{Deliver: func(context.Context, reactor.Batch) error { return nil }, Live: 5 * time.Millisecond, Idle: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		pauses := func(when string, want time.Duration) {
			t.Helper()
			began := time.Now() // virtual
			if err := l.pause(t.Context(), began); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got != want {
				t.Errorf("%s the next read comes after %v, want %v", when, got, want)
			}
		}
		pauses("while nothing lives", time.Second)
		l.SetLive(true)
		pauses("when the first result lives", 0)
		pauses("while results live", 5*time.Millisecond)
		l.SetLive(true)
		pauses("when one more lives", 5*time.Millisecond)
		l.Poke()
		l.Poke()
		pauses("when two ask", 0)
		pauses("after they were served", 5*time.Millisecond)
		time.Sleep(time.Minute) // virtual
		pauses("after a long time", 5*time.Millisecond)
		l.SetLive(false)
		pauses("when nothing lives any more", time.Second)
		// A read that is due serves who asked before it, too: there is no second one.
		for range 100 {
			l.Poke()
			if err := l.pause(t.Context(), time.Now().Add(-time.Minute)); err != nil || len(l.poke) > 0 {
				t.Fatalf("a read that was due left %d pokes, %v", len(l.poke), err)
			}
		}
	})
}

// C11: DDL arrives as a change, through event triggers or the fingerprint, and
// the types are read again.
// Cases: 104.
func TestDDLIsDelivered(t *testing.T) {
	t.Parallel()
	for _, events := range []bool{true, false} {
		s := newSite(t, `create table t (id int); create view v as select id from t`)
		if !events {
			s.exec(`drop event trigger weir_ddl; drop event trigger weir_drop`)
		}
		s.watch("t", 1)
		f := s.listen(Config{Live: time.Millisecond, Catalog: 20 * time.Millisecond})
		f.SetLive(true)
		f.awaitResync()
		eventually(t, func() string { // the keeper has its first fingerprint
			if f.Stats().LogBytes == 0 {
				return "no tick"
			}
			return ""
		})
		ddl := func(sql string) {
			t.Helper()
			drain(f)
			s.exec(sql)
			f.await(sql, func(b reactor.Batch) bool {
				for _, c := range b.Changes {
					if c.Op == reactor.DDL && c.XID > 0 {
						return true
					}
				}
				return false
			})
		}
		ddl(`create or replace view v as select id + 1 as id from t`)
		ddl(`alter table t add column b int`)
		ddl(`create policy p on t using (true)`)
		ddl(`create function f() returns int language sql as 'select 1'`)
		ddl(`drop view v; alter table t alter id type text`)
		eventually(t, func() string {
			if k := f.cfg.Capture.Tables()[s.oid("t")].Columns[1].Kind; k != reactor.KindText {
				return fmt.Sprintf("kind is %d", k)
			}
			return ""
		})
		f.stop()
	}
}

// C11: what a role that runs statements may see is a part of the definitions.
// Other roles of the cluster, which come and go with other databases, are not.
func TestRolesThatActAreDefinitions(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int)`)
	conn, err := pgx.Connect(t.Context(), s.weir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	name := func(kind string) string { return pgx.Identifier{s.Name + "_" + kind}.Sanitize() }
	s.exec(`create role ` + name("actor"))
	s.exec(`create role ` + name("group"))
	t.Cleanup(func() {
		s.exec(`drop owned by ` + name("actor"))
		for _, kind := range []string{"actor", "group", "owner", "stranger"} {
			s.exec(`drop role if exists ` + name(kind))
		}
	})
	look := func() string {
		t.Helper()
		print, err := fingerprint(t.Context(), conn, []string{s.Name + "_actor"})
		if err != nil {
			t.Fatal(err)
		}
		return print
	}
	for _, test := range []struct {
		sql    string
		counts bool
	}{
		{`create role ` + name("stranger"), false},
		{`alter role ` + name("stranger") + ` bypassrls`, false},
		{`alter role ` + name("stranger") + ` set work_mem = '1MB'`, false},
		{`alter role ` + name("actor") + ` bypassrls`, true},
		{`alter role ` + name("actor") + ` set search_path = x`, true},
		{`grant ` + name("stranger") + ` to ` + name("group"), false},
		{`grant ` + name("group") + ` to ` + name("actor"), true}, // now the stranger counts
		{`alter role ` + name("stranger") + ` nobypassrls`, true},
		{`revoke ` + name("stranger") + ` from ` + name("group"), true},
		{`create role ` + name("owner"), false},
		{`alter table t owner to ` + name("owner"), true},
		{`alter role ` + name("owner") + ` bypassrls`, true}, // as a view's owner
		{`alter table t owner to ` + name("actor"), true},
	} {
		before := look()
		s.exec(test.sql)
		if now := look(); (now != before) != test.counts {
			t.Errorf("%s: the fingerprint changed: %v, want %v", test.sql, now != before, test.counts)
		}
	}
}

// drain leaves nothing of what was noticed before.
func drain(f *feed) {
	mark := time.Now()
	quiet := 0
	f.await("quiet", func(b reactor.Batch) bool {
		quiet++
		if len(b.Changes) > 0 {
			quiet = 0
		}
		return quiet > 5 && b.Began.Sub(mark) > 60*time.Millisecond
	})
}

// C11: the event trigger never aborts the user's DDL.
func TestEventTriggerNeverAbortsDDL(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.exec(`alter table weir.log rename to elsewhere`)
	s.exec(`create table t (id int); alter table t add column a int; drop table t`)
	s.exec(`alter table weir.elsewhere rename to log`)
	if got := s.logged(`create table t (id int)`); got != "X t * *" {
		t.Errorf("got %q", got)
	}
	s.expect(`create temp table tt (id int); drop table tt; comment on table t is 'x'; create index on t (id)`, ``)
}

// C10: drift of triggers is told, missing ones are made again.
// Cases: 105.
func TestDriftIsToldAndRepaired(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int) partition by list (id); create table t1 partition of t for values in (1)`)
	s.watch("t", 1)
	states := make(chan State, 100)
	f := s.listen(Config{
		Idle: 5 * time.Millisecond, Catalog: 10 * time.Millisecond, State: func(st State) { states <- st },
		Deliver: func(context.Context, reactor.Batch) error { return nil },
	})
	eventually(t, func() string {
		if !f.Stats().Healthy {
			return "not healthy"
		}
		return ""
	})
	s.exec(`alter table t1 disable trigger weir_update`)
	eventually(t, func() string {
		if why := f.Stats().Uncaptured[s.oid("t")]; !strings.Contains(why, "disabled") {
			return "not told: " + why
		}
		return ""
	})
	s.exec(`alter table t1 enable trigger weir_update; create table t2 partition of t for values in (2); drop trigger weir_insert on t1`)
	eventually(t, func() string {
		if n := s.text(`select count(*) from pg_trigger where tgname like 'weir\_%'`); n != "12" || f.Stats().Uncaptured != nil {
			return fmt.Sprint(n, f.Stats().Uncaptured)
		}
		return ""
	})
	if len(states) < 3 {
		t.Errorf("told %d states", len(states))
	}
}

// C3: a crowded read has one change per table.
// Cases: 100.
func TestCrowdedReadIsOneChangePerTable(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table a (id int primary key, n int, m int); create table b (id int primary key); insert into a values (1, 1, 1)`)
	s.watch("a", 1)
	s.watch("b", 1)
	f := s.listen(Config{Idle: time.Hour, Heartbeat: time.Hour, MaxRows: 5, Catalog: time.Hour})
	before := f.awaitResync()
	s.exec(`update a set n = n + 1; update a set n = n + 1; update a set m = m + 1; update a set n = n + 1; insert into b values (1); insert into b values (2)`)
	f.Poke()
	var got reactor.Batch
	f.await("crowded", func(b reactor.Batch) bool { got = b; return len(b.Changes) > 0 })
	if len(got.Changes) != 2 || f.Stats().Collapsed != 1 {
		t.Fatalf("got %+v", got.Changes)
	}
	for _, c := range got.Changes {
		if c.Keys != nil || before.Snapshot.Visible(c.XID) || got.Snapshot.Visible(c.XID) {
			t.Errorf("got %+v", c)
		}
		if c.Table == s.oid("a") && (c.Op != reactor.Update || c.Changed.Has(1) || !c.Changed.Has(2) || !c.Changed.Has(3)) {
			t.Errorf("mask: %+v", c)
		}
	}
	f.Poke()
	// The next result sees the number that was given to them.
	f.await("after", func(b reactor.Batch) bool { return b.Snapshot.Visible(got.Changes[0].XID) && len(b.Changes) == 0 })
}

// C6: when the mark lapsed, everything is dirty, again whenever a transaction
// ends that is older than the new mark.
func TestLapsedMarkMeansResyncForElders(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int); update weir.reader set seen_at = now() - interval '1 day'`)
	s.watch("t", 1)
	elder := s.DB.Conn(t)
	if _, err := elder.Exec(testContext(t), `begin; insert into t values (1)`); err != nil {
		t.Fatal(err)
	}
	settled := make(chan struct{}, 10)
	f := s.listen(Config{Live: time.Millisecond, Heartbeat: 40 * time.Millisecond * 10, hooks: hooks{settled: func() { settled <- struct{}{} }}})
	f.SetLive(true)
	f.awaitResync()
	if len(settled) > 0 {
		t.Fatal("settled while an older transaction is open")
	}
	if _, err := elder.Exec(testContext(t), `commit`); err != nil {
		t.Fatal(err)
	}
	if n := s.text(`select count(*) from weir.log where op = 'I'`); n != "0" {
		t.Fatalf("the elder logged: the test proves nothing")
	}
	b := f.awaitResync()
	if xid := s.text(`select xmin::text from t`); !b.Snapshot.Visible(mustUint(xid)) {
		t.Error("the resync does not see the elder")
	}
	<-settled
}

func mustUint(text string) (n uint64) {
	if _, err := fmt.Sscan(text, &n); err != nil {
		panic(err)
	}
	return n
}

// C6: another node renewed a mark that had lapsed: this reader starts over too.
func TestGapOfAnotherReaderMeansResync(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	f := s.listen(Config{Idle: time.Millisecond, Retention: time.Hour})
	f.awaitResync()
	s.exec(`update weir.reader set seen_at = now() - interval '40 min'`)
	f.awaitResync() // its own mark notices
}

// C5: a log that was trimmed past the cursor means resync, and only that.
// Cases: 104.
func TestTrimmedLogMeansResync(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	f := s.listen(Config{Idle: time.Millisecond})
	first := f.awaitResync()
	n := f.Stats().Resyncs
	s.exec(fmt.Sprintf(`update weir.reader set trimmed = '%s'`, first.Snapshot))
	for range 5 {
		<-f.batches
	}
	if f.Stats().Resyncs != n {
		t.Error("resync though the cursor covers what was trimmed")
	}
	s.exec(`update weir.reader set trimmed = '1000000:1000000:'`)
	f.awaitResync()
}

// The connection is cut: the cursor survives, nothing is lost or said twice.
// Cases: 93.
func TestCutConnectionResumesWithoutLoss(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key)`)
	s.watch("t", 1)
	f := s.listen(Config{Live: time.Millisecond, MaxBackoff: 20 * time.Millisecond})
	f.SetLive(true)
	f.awaitResync()
	seen := map[reactor.Value]int{}
	take := func(b reactor.Batch) bool {
		if b.Resync {
			t.Error("resync after a cut connection")
		}
		for _, c := range b.Changes {
			for _, k := range c.Keys {
				d, _ := k.Find(1)
				seen[d.Value]++
			}
		}
		return true
	}
	for i := range 5 {
		s.exec(fmt.Sprintf(`insert into t values (%d)`, 2*i))
		s.exec(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'weir' and datname = current_database()`)
		s.exec(fmt.Sprintf(`insert into t values (%d)`, 2*i+1))
		if i%2 == 0 {
			f.await("any", take)
		}
	}
	f.await("all", func(b reactor.Batch) bool { take(b); return len(seen) == 10 })
	for v, n := range seen {
		if n != 1 {
			t.Errorf("%x came %d times", string(v), n)
		}
	}
	if f.Stats().Reconnects < 2 {
		t.Errorf("%d reconnects: the test proves nothing", f.Stats().Reconnects)
	}
}

// A half-open connection is noticed within the heartbeat and replaced (F4).
// Cases: 95.
func TestHalfOpenConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	p := newProxy(t, s.weir)
	states := make(chan State, 100)
	f := s.listen(Config{
		URL: p.url, Idle: 5 * time.Millisecond, Heartbeat: 100 * time.Millisecond, MaxBackoff: 20 * time.Millisecond,
		State:   func(st State) { states <- st },
		Deliver: func(context.Context, reactor.Batch) error { return nil },
	})
	wait := func(healthy bool) State {
		t.Helper()
		timeout := time.After(patience)
		for {
			select {
			case st := <-states:
				if st.Healthy == healthy {
					return st
				}
			case <-timeout:
				t.Fatalf("healthy never became %v: %+v", healthy, f.Stats())
			}
		}
	}
	wait(true)
	resyncs := f.Stats().Resyncs
	p.hole.Store(true)
	began := time.Now()
	if st := wait(false); !errors.Is(st.Err, errSilent) {
		t.Errorf("got %v", st.Err)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("noticed after %v", d)
	}
	p.hole.Store(false)
	wait(true)
	if f.Stats().Resyncs != resyncs {
		t.Error("resync after a black hole")
	}
	p.hole.Store(true)
	done := make(chan struct{})
	go func() { f.stop(); close(done) }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("Run does not end in a black hole")
	}
}

// C4: the primary of before lives and answers, so that nothing in the reader's own
// connection tells. The other connection is renewed, and shows it.
func TestReaderOnTheServerOfBeforeConnectsAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	f := s.listen(Config{Idle: time.Hour, Heartbeat: time.Hour, Catalog: time.Millisecond, Renew: 10 * time.Millisecond, MaxBackoff: 10 * time.Millisecond, Deliver: func(context.Context, reactor.Batch) error { return nil }})
	eventually(t, func() string {
		// Reads are seldom here: it stays so until the reader connects.
		f.count(func(s *Stats) { s.Epoch = "of before" })
		if n := f.Stats().Reconnects; n < 3 {
			return fmt.Sprint("connections: ", n)
		}
		return ""
	})
}

// C14: a pooler makes up the process number of its greeting.
func TestPoolerIsRefusedWithASentence(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	p := newProxy(t, s.weir)
	p.fakePID.Store(true)
	fs, err := Check(testContext(t), p.url)
	if err != nil || !strings.Contains(lines(fs), "missing: the database URL leads through a connection pooler: weir needs a direct connection") {
		t.Errorf("%v\n%s", err, lines(fs))
	}
	f := s.listen(Config{URL: p.url})
	eventually(t, func() string {
		if st := f.Stats(); !errors.Is(st.Err, ErrPooler) {
			return fmt.Sprint(st.Err)
		}
		return ""
	})
}

// The database may be down, or not set up, at the start.
func TestListenerWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.exec(`alter schema weir rename to away`)
	f := s.listen(Config{MaxBackoff: 20 * time.Millisecond, Idle: time.Millisecond})
	eventually(t, func() string {
		if st := f.Stats(); !errors.Is(st.Err, ErrNotSetUp) {
			return fmt.Sprint(st.Err)
		}
		return ""
	})
	s.exec(`alter schema away rename to weir`)
	f.awaitResync()
	if _, err := NewListener(Config{URL: "postgres://%zz", Deliver: f.cfg.Deliver}); err == nil {
		t.Error("a bad URL is accepted")
	}
}

// A batch that could not be delivered is made good by a resync.
func TestFailedDeliveryMeansResync(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	var n atomic.Int64
	resyncs := make(chan struct{}, 100)
	s.listen(Config{Idle: time.Millisecond, MaxBackoff: time.Millisecond, Deliver: func(_ context.Context, b reactor.Batch) error {
		if b.Resync {
			resyncs <- struct{}{}
		}
		if n.Add(1) == 3 {
			return errors.New("no room")
		}
		return nil
	}})
	for i := range 2 {
		select {
		case <-resyncs:
		case <-time.After(patience):
			t.Fatalf("%d resyncs, want 2", i)
		}
	}
}

// proxy stands between weir and the server over TCP.
type proxy struct {
	url     string
	hole    atomic.Bool // bytes vanish
	fakePID atomic.Bool // new connections are told another number of their backend
}

func newProxy(t *testing.T, target string) *proxy {
	p := &proxy{}
	p.url = devdbtest.Wire(t, target, func() (server, client devdbtest.Pass) {
		fake := p.fakePID.Load()
		server = func([]byte) bool { return !p.hole.Load() }
		return server, func(piece []byte) bool {
			if i := strings.Index(string(piece), "K\x00\x00\x00\x0c"); fake && i >= 0 {
				piece[i+5] ^= 0x55
				fake = false
			}
			return !p.hole.Load()
		}
	})
	return p
}

// How old a change is when it is seen counts from its statement, by the database's
// clock: what was left of the transaction is in it.
func TestAgeOfAChangeIsToldWhenItIsSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int)`)
	s.watch("t", 1)
	ages := make(chan time.Duration, 10)
	f := s.listen(Config{Live: time.Millisecond, Seen: func(age time.Duration) { ages <- age }})
	f.SetLive(true)
	f.awaitResync()
	s.exec(`begin; insert into t values (1); select pg_sleep(0.2); commit`)
	f.awaitChange(s.oid("t"))
	if age := <-ages; age < 200*time.Millisecond {
		t.Errorf("a change of a transaction of 200 ms is %v old", age)
	}
}
