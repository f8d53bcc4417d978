package wasm

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// X3: the clock stands still in a pause, and what was used stays used.
func TestWatchCountsOnlyWhatTheGuestComputes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w watch
		w.start(t.Context(), nil, 100*time.Millisecond)
		time.Sleep(60 * time.Millisecond)
		w.pause()
		time.Sleep(time.Hour)
		w.resume()
		time.Sleep(40 * time.Millisecond)
		if err := w.check(now()); err != nil || w.cost() != 100*time.Millisecond || w.spent {
			t.Errorf("after 100 ms: %v, cost %v", err, w.cost())
		}
		time.Sleep(time.Nanosecond)
		if err := w.check(now()); !errors.Is(err, context.DeadlineExceeded) || !w.spent || w.Err() == nil {
			t.Errorf("after more: %v", err)
		}
	})
}

func TestWatchEndsWithItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var w watch
		w.start(ctx, nil, time.Hour)
		if err := w.check(now()); err != nil {
			t.Errorf("before: %v", err)
		}
		w.pause()
		time.Sleep(2 * time.Hour)
		if err := w.check(now()); err != nil {
			t.Errorf("while it stands still: %v", err)
		}
		cancel()
		if err := w.check(now()); !errors.Is(err, context.Canceled) || w.spent {
			t.Errorf("got %v", err)
		}
	})
}

// G15: who waits inside a call is known by what it waits with, also when it keeps
// that for longer than the call.
func TestWaitingOutlivesItsWatch(t *testing.T) {
	t.Parallel()
	f := &frame{}
	f.watch = &f.clock
	f.clock.start(t.Context(), f, time.Hour)
	kept := waiting{f.watch.parent, f}
	f.clock.start(context.Background(), f, time.Hour)
	if frameOf(kept) != f || kept.Done() != t.Context().Done() {
		t.Error("it changed with the next call")
	}
}
