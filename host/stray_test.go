package host

import (
	"testing"
	"time"
)

// TestStrayIsWhatLasts: C4. A run of another history is nothing: the change log
// follows. When such runs go on, all connect anew, and not all the time.
func TestStrayIsWhatLasts(t *testing.T) {
	t.Parallel()
	var s stray
	now := time.Now()
	f := func(after time.Duration, want bool) {
		t.Helper()
		now = now.Add(after)
		if got := s.strayed(now); got != want {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
	f(0, false)
	f(strayAfter/2, false)
	s.agree() // the log has followed
	f(strayAfter, false)
	f(strayAfter, true)
	f(strayAfter, false) // it was done just now
	f(strayAfter, false)
	f(strayEvery, true)
	f(2*strayFor, false) // another failover
	f(strayAfter, true)
}
