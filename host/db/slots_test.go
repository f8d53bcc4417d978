package db

import (
	"context"
	"testing"
	"testing/synctest"
)

// W6: no more are in use than the bound says, waiters are served in order, and a
// bound that changes applies to those who wait.
// Cases: 115.
func TestSlotsFollowTheirBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slots{limit: 1}
		if _, err := s.take(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				if _, err := s.take(t.Context(), false); err == nil {
					order <- i
				}
			}()
			synctest.Wait()
		}
		f := func(what string, used int, got ...int) {
			t.Helper()
			synctest.Wait()
			if n, _ := s.counts(); n != used {
				t.Errorf("%s: %d are in use, want %d", what, n, used)
			}
			for _, want := range got {
				select {
				case i := <-order:
					if i != want {
						t.Errorf("%s: waiter %d got its turn, want %d", what, i, want)
					}
				default:
					t.Errorf("%s: nobody got a turn, want %d", what, want)
				}
			}
			if len(order) > 0 {
				t.Errorf("%s: too many got a turn", what)
			}
		}
		f("at the bound", 1)
		s.resize(2)
		f("raised", 2, 0)
		s.resize(1)
		s.give(false)
		f("lowered: what is over it goes first", 1)
		s.give(false)
		f("given back", 1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.take(ctx, false); err == nil {
			t.Error("who has given up got a slot")
		}
		s.give(false)
		f("the last", 1, 2)
		s.give(false)
		if used, waits := s.counts(); used != 0 || waits != 4 {
			t.Errorf("%d in use, %d waits", used, waits)
		}
		// Who may have it takes the place beside the bound when all else is taken.
		for _, want := range []bool{false, true} {
			if extra, err := s.take(t.Context(), true); extra != want || err != nil {
				t.Errorf("extra = %v, %v; want %v", extra, err, want)
			}
		}
		go func() {
			if extra, err := s.take(t.Context(), true); extra && err == nil {
				order <- 9
			}
		}()
		f("both taken", 2)
		s.give(true)
		f("the place beside is free", 2, 9)
	})
}
