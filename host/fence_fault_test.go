package host_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/host/hosttest"
)

// TestTruncateIsNoPardon: R9. TRUNCATE is not transactional for who reads at an
// older snapshot: a policy that forbids those in a table must not take the emptied
// file for the state before it.
// Cases: 104.
func TestTruncateIsNoPardon(t *testing.T) {
	t.Parallel()
	clean := rule{"clean", `select 1 from members where room = $room and user_id = $me
		and touched >= 0 and not exists (select from bans where user_id = $me)`}
	s := hosttest.Start(t, hosttest.Config{
		Schema: club + `insert into bans values ('bob');`, Modules: map[string][]byte{"club.wasm": behind(clean)},
	})
	bob, ann := reads(t, s, "bob", "notes.list"), reads(t, s, "ann", "notes.list")
	bob.one(t, "denied clean")
	ann.shows(t, "first")
	conn, other := s.DB.Conn(t), s.DB.Conn(t)
	began := time.Time{}
	for i := range 10 {
		tx, err := other.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `truncate bans`); err != nil {
			t.Fatal(err)
		}
		// The policy runs now, and takes its snapshot before the commit below.
		s.SQL(t, `update members set touched = touched + 1 where user_id = 'bob'`)
		began = blocked(t, conn, began)
		note := fmt.Sprintf("secret %d", i)
		if _, err := tx.Exec(t.Context(), `insert into bans values ('bob')`); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `insert into notes values ($1, 1, 'acme', $2)`, i+10, note); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann.shows(t, note) // and whatever else was decided meanwhile
	}
	// A pardon is one, and what bob is told first is all of it.
	s.SQL(t, `truncate bans`)
	for _, before := range bob.shows(t, "secret 9") {
		if before.what == "notes" || strings.HasPrefix(before.what, "denied") && before.what != "denied clean" {
			t.Errorf("banned all the time, bob was told %v", before)
		}
	}
	// The table that lets in is emptied.
	s.SQL(t, `truncate members`)
	bob.one(t, "denied clean")
	ann.tells(t, "denied")
	s.SQL(t, `insert into members values (1, 'bob')`)
	bob.shows(t, "secret 9")
}

// TestNothingIsDeliveredWhileTheLogCannotBeRead: F4, W9. Nobody knows whether the
// policies still allow: what was shown stays and says stale after max_stale,
// nothing new is delivered, also to who comes now; then all is as it should be.
// Cases: 85.
func TestNothingIsDeliveredWhileTheLogCannotBeRead(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		TOML:   "plugins = \"plugins\"\n[limits]\nmax_stale = \"1s\"\n",
		Schema: club, Modules: map[string][]byte{"club.wasm": behind(member)}, Wire: true,
	})
	bob, ann := reads(t, s, "bob", "notes.list"), reads(t, s, "ann", "notes.list")
	bob.shows(t, "first")
	ann.shows(t, "first")
	for i := range 3 {
		s.Wire.Cut()
		secret := fmt.Sprintf("secret %d", i)
		s.SQL(t, `delete from members where user_id = 'bob'`)
		s.SQL(t, `insert into notes values ($1, 1, 'acme', $2)`, i+10, secret)
		ann.one(t, "stale unavailable")
		for _, before := range bob.tells(t, "stale") {
			if before.what != "denied member" { // a run that was on its way may have seen it
				t.Errorf("bob, while nobody reads the log: %v", before)
			}
		}
		// Who asks now is not shown the secret either: bob's denial is evaluated, at
		// a state that is as new as the result, or not known.
		late := reads(t, s, "bob", "notes.list")
		if got := late.tell(t); !strings.HasPrefix(got.what, "stale") && !strings.HasPrefix(got.what, "denied") {
			t.Errorf("a new stream of bob is told %v", got)
		}
		if status, a := get(t, s.URL+"/v1/q/notes.list?room=1&as=bob"); status == 200 || strings.Contains(fmt.Sprint(a), secret) {
			t.Errorf("one result: %d %v", status, a)
		}
		s.Wire.Mend()
		for _, before := range ann.shows(t, secret) {
			if !strings.HasPrefix(before.what, "stale") {
				t.Errorf("ann, on the way back: %v", before)
			}
		}
		for _, stream := range []*stream{bob, late} {
			for _, before := range stream.tells(t, "denied") {
				if slices.Contains(before.rows, secret) {
					t.Fatalf("bob was shown %v", before.rows)
				}
			}
		}
		s.SQL(t, `insert into members values (1, 'bob')`)
		bob.shows(t, secret)
		late.shows(t, secret)
	}
}

// TestHotPolicyTableStarvesNobody: F1, F2. The table of the policy changes all the
// time, without changing the answer. Results flow, to streams and to single
// requests: each of them before the table has changed so many times more.
func TestHotPolicyTableStarvesNobody(t *testing.T) {
	t.Parallel()
	const most = 20_000
	touched := rule{"member", `select 1 from members where room = $room and user_id = $me and touched >= 0`}
	for name, plugin := range map[string]map[string][]byte{"statement": {"club.wasm": behind(touched)}, "guest": {"club.wasm": looksAt("member", touched.sql)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := hosttest.Start(t, hosttest.Config{Schema: club, Modules: plugin})
			bob := reads(t, s, "bob", "notes.list")
			bob.shows(t, "first")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var writes atomic.Int64
			var done atomic.Bool
			var all sync.WaitGroup
			defer all.Wait()
			defer done.Store(true)
			for range 2 {
				conn := s.DB.Conn(t)
				all.Go(func() {
					// Each statement is a change of the row that the policy reads, and ten of
					// them are a round trip.
					for !done.Load() {
						if err := exec(ctx, conn, strings.Repeat(`update members set touched = touched + 1 where user_id = 'bob';`, 10)); err != nil {
							t.Error(err)
							return
						}
						writes.Add(10)
					}
				})
			}
			for i := range 40 {
				note, before := fmt.Sprintf("note %d", i), writes.Load()
				s.SQL(t, `insert into notes values ($1, 1, 'acme', $2)`, i+10, note)
				for _, b := range bob.shows(t, note) {
					if b.what != "notes" {
						t.Errorf("beside results: %v", b)
					}
				}
				if n := writes.Load() - before; n > most {
					t.Fatalf("note %d came after %d changes of the policy's table", i, n)
				}
				before = writes.Load()
				status, a := get(t, s.URL+"/v1/q/notes.list?room=1&as=bob")
				if n := writes.Load() - before; status != http.StatusOK || n > most || !strings.Contains(fmt.Sprint(a), note) {
					t.Fatalf("one result, after %d changes: %d %v", n, status, a)
				}
			}
			t.Logf("%d changes of the policy's table", writes.Load())
		})
	}
}
