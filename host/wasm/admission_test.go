package wasm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// G9: tokens go to tenants in turn. One that wants twenty before the other wants
// any does not delay it by more than one turn.
// Cases: 40.
func TestTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1)
		if err := a.enter(t.Context(), "loud"); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		want := func(tenant string) {
			go func() {
				if err := a.enter(t.Context(), tenant); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, tenant)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				a.leave()
			}()
			synctest.Wait()
		}
		for range 20 {
			want("loud")
		}
		for range 3 {
			want("quiet")
		}
		if got := a.waiting.Load(); got != 23 {
			t.Errorf("%d wait", got)
		}
		a.leave()
		time.Sleep(time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if first := order[:6]; !slices.Equal(first, []string{"loud", "quiet", "loud", "quiet", "loud", "quiet"}) || len(order) != 23 {
			t.Errorf("the order was %v", order)
		}
		if a.free != 1 || a.waiting.Load() != 0 || len(a.turns) != 0 || len(a.queues) != 0 {
			t.Errorf("left over: %d free, %d wait, %d turns, %d queues", a.free, a.waiting.Load(), len(a.turns), len(a.queues))
		}
	})
}

// Who stops waiting takes no token with it, and none is lost or made.
func TestTokensSurviveWhoGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2)
		for range 2 {
			if err := a.enter(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var failed, granted int
		var mu sync.Mutex
		for n := range 10 {
			which := ctx
			if n%2 == 0 {
				which = t.Context()
			}
			go func() {
				err := a.enter(which, "b")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, context.Canceled):
					failed++
				case err == nil:
					granted++
				}
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		for range 7 {
			a.leave()
		}
		synctest.Wait()
		if failed != 5 || granted != 5 || a.free != 2 || a.waiting.Load() != 0 {
			t.Errorf("%d failed, %d got one, %d are free, %d wait", failed, granted, a.free, a.waiting.Load())
		}
	})
}
