package host_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/hosttest"
)

// looking is a policy that a guest evaluates, in a read transaction of its own: a
// member is allowed.
func looking() map[string][]byte { return map[string][]byte{"club.wasm": looks("member")} }

// TestRevocationAndPublication: W5. What is published with or after a revocation
// is never shown to whom it concerns, in whichever order the two are written, by a
// policy that shares the snapshot of the result, and by one that does not.
// Cases: 85.
func TestRevocationAndPublication(t *testing.T) {
	t.Parallel()
	for name, plugin := range map[string]map[string][]byte{"statement": {"club.wasm": behind(member)}, "guest": looking()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hosttest.Start(t, hosttest.Config{Schema: club, Modules: plugin})
			bob, ann := reads(t, s, "bob", "notes.list"), reads(t, s, "ann", "notes.list")
			bob.shows(t, "first")
			ann.shows(t, "first")
			const revoke, grant = `delete from members where user_id = 'bob';`, `insert into members values (1, 'bob');`
			publish := func(i int) string { return fmt.Sprintf(`insert into notes values (%d, 1, 'acme', 'secret %[1]d');`, i) }
			orders := []func(i int) []string{
				func(i int) []string { return []string{"begin;" + revoke + publish(i) + "commit"} },
				func(i int) []string { return []string{"begin;" + publish(i) + revoke + "commit"} },
				func(i int) []string { return []string{revoke, publish(i)} },
				// Revoked and back, with a secret between: it may be read afterwards.
				func(i int) []string {
					return []string{"begin;" + publish(i) + revoke + "commit", "begin;" + revoke + "commit"}
				},
			}
			for i := 10; i < 50; i++ {
				for _, sql := range orders[i%len(orders)](i) {
					s.SQL(t, sql)
				}
				secret := fmt.Sprint("secret ", i)
				for _, before := range bob.tells(t, "denied") {
					if slices.Contains(before.rows, secret) {
						t.Fatalf("order %d: bob was shown %v", i%len(orders), before.rows)
					}
				}
				ann.shows(t, secret) // what was not shown to bob is there
				s.SQL(t, grant)
				if back := bob.tell(t); back.what != "notes" || back.rows[0] != secret {
					t.Fatalf("after the return: %v", back)
				}
			}
			// Published, then revoked: he may have seen it, and nothing after it.
			for i := 50; i < 60; i++ {
				s.SQL(t, publish(i))
				s.SQL(t, revoke)
				for _, before := range bob.tells(t, "denied") {
					if before.top > int64(i) {
						t.Fatalf("bob was shown %v", before.rows)
					}
				}
				s.SQL(t, grant)
				bob.shows(t, fmt.Sprint("secret ", i))
			}
		})
	}
}

// history is what was committed, in order: each transaction took its number under
// a lock that it held until it was visible.
type history struct {
	mu    sync.Mutex // protects the fields below
	notes []int64
	dark  [][2]int64 // from the number of a revocation to that of the grant
}

const numbered1 = `create sequence numbers start 100;` // the club's own notes come before

// in runs statements in a transaction with the next number, $1 in them.
func (h *history) in(ctx context.Context, conn *pgx.Conn, note bool, sql ...string) (n int64, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(context.Background()) }() // after the commit it is nothing
	// Another statement than the lock: it must see what the last holder did.
	if _, err = tx.Exec(ctx, `select pg_advisory_xact_lock(7)`); err == nil {
		err = tx.QueryRow(ctx, `select nextval('numbers')`).Scan(&n)
	}
	if note && err == nil {
		_, err = tx.Exec(ctx, `insert into notes values ($1, 1, 'acme', 'note')`, n)
	}
	for _, text := range sql {
		if err == nil {
			_, err = tx.Exec(ctx, text)
		}
	}
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err == nil && note {
		h.mu.Lock()
		h.notes = append(h.notes, n)
		h.mu.Unlock()
	}
	return n, err
}

// check fails if one of the results, by their newest notes, was never the result
// while its reader was let in.
func (h *history) check(t *testing.T, tops []int64) {
	t.Helper()
	slices.Sort(h.notes)
	for i, top := range tops {
		if i > 0 && top < tops[i-1] {
			t.Errorf("W2: result %d came after %d", top, tops[i-1])
		}
		next := int64(math.MaxInt64) // when it was the result no longer
		if at, _ := slices.BinarySearch(h.notes, top+1); at < len(h.notes) {
			next = h.notes[at]
		}
		for _, d := range h.dark {
			if d[0] <= top && next <= d[1] {
				t.Errorf("W5: the note %d, the newest until %d, was shown to whom was shut out from %d to %d", top, next, d[0], d[1])
			}
		}
	}
}

// TestNothingOvertakesARevocationUnderLoad: W5, W1. Fifty write at once while one
// reader is shut out and let in again. Whatever he is shown was, at some moment,
// the result and his to read; and he is lit again after each grant.
// Cases: 85.
func TestNothingOvertakesARevocationUnderLoad(t *testing.T) {
	t.Parallel()
	for name, plugin := range map[string]map[string][]byte{"statement": {"club.wasm": behind(member)}, "guest": looking()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hosttest.Start(t, hosttest.Config{Schema: club + numbered1, Modules: plugin})
			underLoad(t, s, 9)
		})
	}
}

func underLoad(t *testing.T, s *hosttest.Server, rounds int) {
	bob, ann := reads(t, s, "bob", "notes.list"), reads(t, s, "ann", "notes.list")
	bob.shows(t, "first")
	ann.shows(t, "first")
	h := &history{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var done atomic.Bool
	var all sync.WaitGroup
	defer all.Wait()
	defer done.Store(true)
	for range 50 {
		conn := s.DB.Conn(t)
		all.Go(func() {
			for !done.Load() {
				if _, err := h.in(ctx, conn, true); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	// Ann is let in all the time: she must not starve. Her reader is beside.
	var newest, shown atomic.Int64
	all.Go(func() {
		for e := range ann.events {
			if e.kind == "" {
				shown.Add(1)
				newest.Store(topOf(e.data))
				if newest.Load() >= math.MaxInt32 {
					return
				}
			}
		}
	})
	conn := s.DB.Conn(t)
	must := func(n int64, err error) int64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var tops []int64
	see := func(list []seen) {
		for _, l := range list {
			if l.what == "notes" {
				tops = append(tops, l.top)
			}
		}
	}
	for round := range rounds {
		// With a note in the same transaction, before or after, or without.
		revoke := `delete from members where user_id = 'bob'`
		var from int64
		switch round % 3 {
		case 0:
			from = must(h.in(ctx, conn, true, revoke))
		case 1:
			from = must(h.in(ctx, conn, false, revoke, `insert into notes select currval('numbers'), 1, 'acme', 'with it'`))
			h.mu.Lock()
			h.notes = append(h.notes, from)
			h.mu.Unlock()
		default:
			from = must(h.in(ctx, conn, false, revoke))
		}
		see(bob.tells(t, "denied"))
		// Others go on to write and to read in the dark.
		for newest.Load() < from+20 {
			if ctx.Err() != nil {
				t.Fatalf("ann, who may read, is at %d, and the writers are beyond %d", newest.Load(), from+20)
			}
			number(t, conn, `select 1`)
		}
		to := must(h.in(ctx, conn, false, `insert into members values (1, 'bob')`))
		h.dark = append(h.dark, [2]int64{from, to})
		next := bob.tell(t)
		see([]seen{next})
		if next.what != "notes" {
			t.Fatalf("after the grant: %v", next)
		}
	}
	done.Store(true)
	last := must(h.in(ctx, conn, true))
	for len(tops) == 0 || tops[len(tops)-1] < last {
		next := bob.tell(t)
		see([]seen{next})
		if next.what != "notes" {
			t.Fatalf("at the end: %v", next)
		}
	}
	must(0, exec(ctx, conn, fmt.Sprintf(`insert into notes values (%d, 1, 'acme', 'end')`, math.MaxInt32)))
	all.Wait()
	h.check(t, tops)
	t.Logf("%d notes, %d revocations, %d results for bob, %d for ann", len(h.notes), len(h.dark), len(tops), shown.Load())
}

func exec(ctx context.Context, conn *pgx.Conn, sql string) error {
	_, err := conn.Exec(ctx, sql)
	return err
}
