package changelog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb"
	"weir/reactor"
	"weir/reactor/changelog/changelogtest"
)

// C2: the log is read by two index conditions, also beside an old writer.
func TestLogIsReadByIndex(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	err := withConn(testContext(t), s.weir, func(conn *pgx.Conn) error {
		sql := strings.NewReplacer("$1", "'10:20:12,14'", "$2", "10000").Replace(newReader(serverVersion(conn)).log)
		rows, err := conn.Query(testContext(t), "explain (costs off) "+sql)
		if err != nil {
			return err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		plan := strings.Join(lines, "\n")
		if strings.Contains(plan, "Seq Scan on log") || !containsAll(plan, "xid >= ", "xid = ANY") {
			t.Errorf("plan:\n%s", plan)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// C1: eight writers with delays, savepoints, aborts and long transactions, two
// readers: each sees every committed row once. A cursor over a sequence, beside
// them, must miss some: the test bites.
// Cases: 97, 103.
func TestSnapshotCursorMissesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id bigint generated always as identity primary key, w int, n int);
		create index on t (id)`)
	s.watch("t", 1)
	readers := [2]*tally{}
	for i := range readers {
		readers[i] = &tally{seen: map[reactor.Value]int{}}
		f := s.listen(Config{Live: 2 * time.Millisecond, Deliver: readers[i].deliver})
		f.SetLive(true)
		eventually(t, func() string {
			if !f.Stats().Healthy {
				return fmt.Sprint(f.Stats().Err)
			}
			return ""
		})
	}
	ctx := testContext(t)
	mutant := changelogtest.FollowSequence(ctx, s.DB.Conn(t), "t", "id")
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			if err := scribble(ctx, s.URL, w); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	committed := 0
	if err := s.conn.QueryRow(ctx, `select count(*) from t`).Scan(&committed); err != nil {
		t.Fatal(err)
	}
	for i, r := range readers {
		eventually(t, func() string {
			if seen, twice := r.count(); seen < committed || twice > 0 {
				return fmt.Sprintf("reader %d saw %d of %d, %d more than once", i, seen, committed, twice)
			}
			return ""
		})
		if seen, _ := r.count(); seen != committed {
			t.Errorf("reader %d saw %d of %d", i, seen, committed)
		}
	}
	if seen := mutant(); seen == committed {
		t.Errorf("the sequence cursor saw all of %d: the test proves nothing", committed)
	} else {
		t.Logf("%d rows; sequence cursor missed %d", committed, committed-seen)
	}
}

// tally counts how often a reader saw each inserted row.
type tally struct {
	mu   sync.Mutex // protects the field below
	seen map[reactor.Value]int
}

func (r *tally) deliver(_ context.Context, b reactor.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range b.Changes {
		for _, k := range c.Keys {
			if d, ok := k.Find(1); ok && c.Op == reactor.Insert {
				r.seen[d.Value]++
			}
		}
	}
	return nil
}

func (r *tally) count() (seen, twice int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.seen {
		if n > 1 {
			twice++
		}
	}
	return len(r.seen), twice
}

// scribble writes as one of the writers.
func scribble(ctx context.Context, url string, w int) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	rng := rand.New(rand.NewPCG(uint64(w), 1))
	for n := range 150 {
		var b strings.Builder
		b.WriteString("begin;")
		for range 1 + rng.IntN(3) {
			fmt.Fprintf(&b, "insert into t (w, n) values (%d, %d);", w, n)
			switch rng.IntN(6) {
			case 0:
				fmt.Fprintf(&b, "savepoint a; insert into t (w, n) values (%d, %d); rollback to a;", w, n)
			case 1:
				fmt.Fprintf(&b, "savepoint b; insert into t (w, n) values (%d, %d); release b;", w, n)
			case 2:
				fmt.Fprintf(&b, "select pg_sleep(%f);", rng.Float64()*0.004)
			}
		}
		if n%50 == 25 && w < 2 {
			b.WriteString("select pg_sleep(0.1);") // a long one
		}
		if rng.IntN(8) == 0 {
			b.WriteString("rollback")
		} else {
			b.WriteString("commit")
		}
		if _, err := conn.Exec(ctx, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// C4: the kill of a backend restarts the server inside one postmaster; visible
// commits may be gone and their numbers come again. Both forms of the epoch tell.
// Cases: 93, 102.
func TestCrashInsideOnePostmasterIsAnotherEpoch(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	cluster, err := devdb.Start(ctx, devdb.Config{Settings: map[string]string{"synchronous_commit": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	url := cluster.URL("postgres")
	if _, err := Setup(ctx, SetupConfig{AdminURL: url}); err != nil {
		t.Fatal(err)
	}
	// The crash is to take the epoch, not the roles: what Setup committed may not
	// be on the disk yet.
	if err := withConn(ctx, url, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `checkpoint`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	read := func(version int) (epoch, started string) {
		t.Helper()
		eventually(t, func() string {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				return err.Error()
			}
			defer closeConn(conn)
			if err := conn.QueryRow(ctx, "select "+EpochExpr(version)+", pg_postmaster_start_time()::text").Scan(&epoch, &started); err != nil {
				return err.Error()
			}
			return ""
		})
		return epoch, started
	}
	s := &site{t: t, weir: cluster.UserURL("weir", "postgres")}
	f := s.listen(Config{Idle: time.Millisecond, MaxBackoff: 50 * time.Millisecond})
	first := f.awaitResync()
	new15, started := read(150000)
	old14, _ := read(140000)
	if string(first.Epoch) != new15 && cluster.Version() >= 150000 {
		t.Errorf("batch has epoch %s, executions %s", first.Epoch, new15)
	}
	if again, _ := read(140000); again != old14 || strings.Count(old14, "/") != 3 {
		t.Errorf("epochs %s and %s", old14, again)
	}
	// First the epoch alone changes: no snapshot goes back, no connection ends.
	if err := withConn(ctx, url, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `select pg_stat_reset_shared('bgwriter')`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if b := f.awaitResync(); b.Epoch.Same(first.Epoch) {
		t.Errorf("epoch is still %s", b.Epoch)
	}
	crash(t, ctx, url)
	second := f.awaitResync()
	if second.Epoch.Same(first.Epoch) {
		t.Errorf("epoch is still %s", first.Epoch)
	}
	if now, began := read(150000); now == new15 || began != started {
		t.Errorf("epoch %s → %s, postmaster %s → %s", new15, now, started, began)
	}
	if now, _ := read(140000); now == old14 {
		t.Errorf("epoch for PostgreSQL 14 is still %s", now)
	}
}
