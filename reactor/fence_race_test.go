package reactor

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestAnswerAndSpanOfADecisionAreReadTogether: W5. A writer that has found an
// allow looks for its span in that same answer. A later one's may be that of a
// denial, at whose snapshot there is a result that nobody may see.
// Cases: 85.
func TestAnswerAndSpanOfADecisionAreReadTogether(t *testing.T) {
	t.Parallel()
	at := func(n uint64) Stamp { return NewStamp("e", Snapshot{XMin: n, XMax: n}) }
	var mark atomic.Pointer[Stamp]
	results, decisions := &Publication{}, &Publication{}
	open, secret := NewFrame("q", []byte(`"value":1`)), NewFrame("q", []byte(`"value":2`))
	f := &fence{result: results, decisions: []*Publication{decisions}, scopes: []string{""}, mark: &mark}
	// commit applies a commit that changes both, and publishes what comes of it.
	now := uint64(0)
	commit := func(frame *Frame, answer Answer) {
		until := span{from: at(now), to: at(now)}
		decisions.freeze(until)
		results.freeze(until)
		now++
		m := at(now)
		mark.Store(&m)
		holds := span{from: m, to: m, open: true}
		results.publish(State{Status: Live, Frame: frame, span: holds})
		decisions.standing.Store(&standing{Decision: Decision{Answer: answer}, span: holds})
	}
	commit(open, Allow)
	var done atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		overtakes := 0
		for !done.Load() {
			if st, shown := f.State(); shown && st.Frame == secret {
				overtakes++
			}
		}
		if overtakes > 0 {
			t.Errorf("what came with a revocation was shown %d times", overtakes)
		}
	})
	for range 100_000 {
		commit(secret, Deny)
		commit(open, Allow)
	}
	done.Store(true)
	all.Wait()
}
