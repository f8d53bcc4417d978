package serve

import (
	"testing"
	"time"
)

// The tick is 0 while there is little to do, grows with the load, is bounded, and
// goes away.
func TestTickFollowsTheLoad(t *testing.T) {
	t.Parallel()
	p := pulse{max: 50 * time.Millisecond}
	now := time.Now()
	work := func(share float64) time.Duration {
		for range 20 {
			now = now.Add(10 * time.Millisecond)
			p.worked(time.Duration(share*float64(10*time.Millisecond)), now)
		}
		return p.tick(now)
	}
	if got := p.tick(now); got != 0 {
		t.Errorf("at the start %v", got)
	}
	if got := work(0.015); got != 0 {
		t.Errorf("with little to do %v", got)
	}
	some := work(0.028)
	if some < 10*time.Millisecond || some > 20*time.Millisecond {
		t.Errorf("with some load %v", some)
	}
	if got := work(0.9); got != p.max {
		t.Errorf("with much load %v", got)
	}
	now = now.Add(2 * time.Second) // nothing at all
	if got := p.tick(now); got > 20*time.Millisecond {
		t.Errorf("after a second of nothing %v", got)
	}
	now = now.Add(pulseWindow)
	if got := p.tick(now); got != 0 {
		t.Errorf("later %v", got)
	}
	// One large fan-out goes out at once, whatever it takes.
	p.worked(90*time.Millisecond, now)
	if got := p.tick(now); got != 0 {
		t.Errorf("in one fan-out %v", got)
	}
	off := pulse{}
	off.worked(time.Second, now)
	if got := off.tick(now.Add(time.Second)); got != 0 {
		t.Errorf("switched off %v", got)
	}
}
