package changelog

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/reactor"
)

// rotator drives the rotation by hand.
func (s *site) rotator(cfg Config) *keeper {
	s.t.Helper()
	cfg.URL, cfg.Deliver = s.weir, nil
	l := &Listener{cfg: cfg.withDefaults(), dialer: newDialer(time.Second), poke: make(chan struct{}, 1), look: make(chan struct{}, 1)}
	s.t.Cleanup(l.dialer.cut)
	return newKeeper(l)
}

// turn rotates once, as the node that rotates.
func (s *site) turn(k *keeper) {
	s.t.Helper()
	eventually(s.t, func() string {
		if !s.tryTurn(k) {
			return "the last turn's connection has not ended"
		}
		return ""
	})
}

// tryTurn rotates once if no other session holds the lock.
func (s *site) tryTurn(k *keeper) bool {
	s.t.Helper()
	k.rotating = false
	err := withConn(testContext(s.t), s.weir, func(conn *pgx.Conn) error { return k.rotate(testContext(s.t), conn) })
	if err != nil {
		s.t.Fatal(err)
	}
	return k.rotating
}

// rows returns how many rows each partition has, and which is written.
func (s *site) rows() string {
	return s.text(`select concat_ws(' ', (select count(*) from weir.log_0), (select count(*) from weir.log_1),
		(select count(*) from weir.log_2), 'slot', (select slot from weir.reader))`)
}

// C5: partitions turn by time; what is emptied was sealed; a reader starts over
// only if its cursor lacks something that was emptied.
// Cases: 101, 104.
func TestLogTurnsAndForgetsTheOldest(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int)`)
	s.watch("t", 1)
	s.exec(`delete from weir.log`)
	due := s.rotator(Config{Retention: time.Nanosecond})
	idle := s.rotator(Config{Retention: time.Hour})
	start := s.text(`select pg_current_snapshot()`)
	s.exec(`insert into t values (1)`)
	after := s.text(`select pg_current_snapshot()`)
	steps := []string{"1 0 0 slot 1", "1 1 0 slot 2", "0 1 1 slot 0", "1 0 1 slot 1"}
	s.turn(idle)
	if got := s.rows(); got != "1 0 0 slot 0" {
		t.Fatalf("not due: got %s", got)
	}
	for i, want := range steps {
		s.turn(due)
		if got := s.rows(); got != want {
			t.Fatalf("turn %d: got %s, want %s", i+1, got, want)
		}
		if i == 2 {
			trimmed, err := reactor.ParseSnapshot(s.text(`select trimmed from weir.reader`))
			if err != nil {
				t.Fatal(err)
			}
			old, _ := reactor.ParseSnapshot(start)
			behind, _ := reactor.ParseSnapshot(after)
			now, _ := reactor.ParseSnapshot(s.text(`select pg_current_snapshot()`))
			if old.Covers(trimmed) || !now.Covers(trimmed) {
				t.Errorf("trimmed %v, before %v, after %v, now %v", trimmed, old, behind, now)
			}
		}
		s.exec(`insert into t values (1)`)
	}
}

// C5: an open writer stops neither the log nor other writers: the turn is skipped
// and told.
func TestOpenWriterHoldsTheTurn(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int)`)
	s.watch("t", 1)
	due := s.rotator(Config{Retention: time.Nanosecond})
	open := s.DB.Conn(t)
	if _, err := open.Exec(testContext(t), `begin; insert into t values (1)`); err != nil {
		t.Fatal(err)
	}
	s.turn(due) // 0 → 1, 0 cannot be sealed
	s.turn(due) // 1 → 2
	s.turn(due) // 2 → 0 is held
	if got := s.text(`select slot from weir.reader`); got != "2" || due.l.Stats().RotationHeld == "" {
		t.Fatalf("slot %s, held %q", got, due.l.Stats().RotationHeld)
	}
	s.expect(`insert into t values (2)`, `I t * [{"1": 2}]`)
	if _, err := open.Exec(testContext(t), `commit`); err != nil {
		t.Fatal(err)
	}
	s.turn(due)
	if got := s.text(`select slot from weir.reader`); got != "0" || due.l.Stats().RotationHeld != "" {
		t.Fatalf("slot %s, held %q", got, due.l.Stats().RotationHeld)
	}
}

// C5: a writer may have chosen a partition that was sealed before it took its
// lock. Its row survives the next turn of that partition.
func TestLateWriterOfSealedPartitionIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int)`)
	s.watch("t", 1)
	s.exec(`delete from weir.log`)
	due := s.rotator(Config{Retention: time.Nanosecond})
	s.exec(`insert into t values (1)`)
	s.turn(due)
	s.turn(due) // slot 2, partition 0 is sealed
	s.exec(`insert into weir.log (slot, rel, op) values (0, 't'::regclass, 'I')`)
	if got := s.rows(); got != "2 0 0 slot 2" {
		t.Fatalf("the late row is not where the test needs it: %s", got)
	}
	s.turn(due)
	if got := s.rows(); got != "2 0 0 slot 2" {
		t.Errorf("got %s", got)
	}
	s.turn(due)
	if got := s.rows(); got != "0 0 0 slot 0" {
		t.Errorf("got %s", got)
	}
}

// C5: the log also turns by size, and only one node turns it.
func TestLogTurnsBySizeOnOneNode(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int)`)
	s.watch("t", 1)
	s.exec(`insert into t values (1)`)
	holder := s.DB.Conn(t)
	if _, err := holder.Exec(testContext(t), fmt.Sprintf(`select pg_advisory_lock(%d)`, lockRotate)); err != nil {
		t.Fatal(err)
	}
	big := s.rotator(Config{MaxLogBytes: 3})
	if s.tryTurn(big) || s.text(`select slot from weir.reader`) != "0" {
		t.Errorf("a second node turned the log")
	}
	if _, err := holder.Exec(testContext(t), `select pg_advisory_unlock_all()`); err != nil {
		t.Fatal(err)
	}
	s.turn(big)
	if got := s.text(`select slot from weir.reader`); got != "1" {
		t.Errorf("slot %s", got)
	}
}
