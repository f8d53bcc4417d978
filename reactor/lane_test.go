package reactor

import "testing"

// F7: decisions go first; but when more of them wait than their share, queries
// have every second turn.
func TestLanesTakeTurns(t *testing.T) {
	t.Parallel()
	var l lanes
	turns := func(n int) (out string) {
		for range n {
			if l.order(2)[0] == &l.decisions {
				out += "d"
			} else {
				out += "q"
			}
		}
		return out
	}
	l.push(&group{})
	for range 2 {
		l.push(&group{decides: true})
	}
	if got := turns(4); got != "dddd" {
		t.Errorf("with few decisions the turns are %s", got)
	}
	l.push(&group{decides: true})
	if got := turns(4); got != "dqdq" {
		t.Errorf("with many decisions the turns are %s", got)
	}
}
