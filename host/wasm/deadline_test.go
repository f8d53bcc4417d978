package wasm

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	. "weir/host/wasm/wasmtest"
)

// X3: the clock stands still in a pause, and what was used stays used.
func TestWatchCountsOnlyWhatTheGuestComputes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t.Context(), nil, 100*time.Millisecond)
		time.Sleep(60 * time.Millisecond)
		w.pause()
		time.Sleep(time.Hour)
		w.resume()
		time.Sleep(30 * time.Millisecond)
		synctest.Wait()
		if err := w.Err(); err != nil || w.cost() != 90*time.Millisecond {
			t.Errorf("after 90 ms: %v, cost %v", err, w.cost())
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if !errors.Is(w.Err(), context.DeadlineExceeded) || !w.spent() || w.stop() {
			t.Errorf("after 100 ms: %v", w.Err())
		}
	})
}

func TestWatchEndsWithItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWatch(ctx, nil, time.Hour)
		w.pause()
		cancel()
		synctest.Wait()
		if !errors.Is(w.Err(), context.Canceled) || w.spent() {
			t.Errorf("got %v", w.Err())
		}
		w.resume() // starts nothing again
		if w.stop() {
			t.Error("stop says that it never fired")
		}
	})
}

// X4: once stopped, a watch never fires: nobody closes an instance that is back
// in its pool.
func TestStoppedWatchNeverFires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWatch(ctx, nil, time.Second)
		if !w.stop() {
			t.Error("it fired")
		}
		cancel()
		w.resume()
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case <-w.Done():
			t.Error("it fired after stop")
		default:
		}
	})
}

// X4: a call that ended well just as its time was over keeps its result, but the
// interruption may close the instance at any moment: it is dropped.
func TestInstanceIsDroppedWhenItsWatchFired(t *testing.T) {
	t.Parallel()
	p := newPool(t, Guest{}, PoolConfig{})
	i, _, err := p.start(t.Context(), [32]byte{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer i.close(t.Context())
	err = i.guard(t.Context(), named(&Call{}), time.Nanosecond, func(w *watch) error {
		<-w.Done()
		return nil
	})
	if err != nil || !i.sick {
		t.Errorf("%v, dropped %v", err, i.sick)
	}
}
