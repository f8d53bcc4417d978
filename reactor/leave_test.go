package reactor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// W3, W5: who has begun a run and gives up ends nothing for who has joined it: the
// run goes on, once, and its result is what the others get. Whose policies deny
// gets none of it.
// Cases: 84.
func TestWhoGivesUpEndsNothingForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newLiveDB(t)
		d.hold = make(chan struct{})
		r, stop := d.start(Config{})
		defer stop()
		if err := r.Apply(t.Context(), d.batch()); err != nil {
			t.Fatal(err)
		}
		first, giveUp := context.WithCancelCause(t.Context())
		gone, joined := make(chan error, 1), make(chan State, 1)
		go func() {
			_, err := r.Get(first, d.request("a", 1))
			gone <- err
		}()
		synctest.Wait()
		go func() {
			st, err := r.Get(t.Context(), d.request("a", 1))
			if err != nil {
				t.Errorf("who joined: %v", err)
			}
			joined <- st
		}()
		synctest.Wait()
		left := errors.New("the first one has left")
		giveUp(left)
		if err := <-gone; !errors.Is(err, left) {
			t.Errorf("who gave up is told %v", err)
		}
		synctest.Wait()
		close(d.hold)
		synctest.Wait()
		if err := r.Apply(t.Context(), d.batch()); err != nil { // who asks wants what was committed before
			t.Fatal(err)
		}
		st := <-joined
		if st.Status != Live || simContent(st.Frame) != "0" {
			t.Errorf("who joined gets %+v", st)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.runs != 1 {
			t.Errorf("%d runs, want 1", d.runs)
		}
	})
}
