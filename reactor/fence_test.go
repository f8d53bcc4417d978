package reactor

import (
	"errors"
	"sync/atomic"
	"testing"
)

// W9, F4: a query fails, a policy denies and allows again while it still fails. Who
// was told of the denial is told that it is over, and who missed it that the
// result is stale; neither sees rows of before.
func TestFailureIsToldWhenAccessComesBack(t *testing.T) {
	t.Parallel()
	at := func(n uint64) Stamp { return NewStamp("e", Snapshot{XMin: n, XMax: n}) }
	var mark atomic.Pointer[Stamp]
	move := func(n uint64) span {
		m := at(n)
		mark.Store(&m)
		return span{from: m, to: m, open: true}
	}
	results, decisions := &Publication{}, &Publication{}
	f := &fence{result: results, decisions: []*Publication{decisions}, scopes: []string{""}, mark: &mark}
	decide := func(a Answer, s span) { decisions.standing.Store(&standing{Decision: Decision{Answer: a}, span: s}) }
	want := func(what string, status Status, rows bool) {
		t.Helper()
		if st, shown := f.State(); !shown || st.Status != status || (st.Frame != nil) != rows {
			t.Errorf("%s: %v, %v with rows %v, want %v", what, shown, st.Status, st.Frame != nil, status)
		}
	}
	one := move(1)
	frame := NewFrame("q", []byte(`"value":1`))
	results.publish(State{Status: Live, Frame: frame, span: one})
	decide(Allow, one)
	want("at first", Live, true)

	failed := errors.New("the database is away")
	one = span{from: at(1), to: at(1)}
	decisions.freeze(one)
	results.freeze(one)
	two := move(2)
	results.publish(State{Status: Stale, Frame: frame, Err: failed, span: one})
	decide(Deny, two)
	want("denied", Denied, false)

	three := move(3)
	decide(Allow, three)
	want("allowed again", Stale, false)
	if st, _ := f.State(); st.Err != failed { //nolint:errorlint // it is that one
		t.Errorf("the reason is %v", st.Err)
	}

	results.publish(State{Status: Live, Frame: frame, span: one})
	if st, shown := f.State(); shown {
		t.Errorf("a result that waits for its decision: %v", st.Status)
	}
	results.publish(State{Status: Live, Frame: frame, span: three})
	want("well again", Live, true)
}
