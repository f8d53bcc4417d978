package host

import (
	"sync"
	"time"
)

// stray notices that runs go on reading another history of the database than the
// change log. After a failover that lasts a moment, until both have followed. If
// it lasts longer, one of them has a connection to the old primary, which lives
// and answers: nothing would ever end that (C4).
type stray struct {
	mu    sync.Mutex // protects the fields below
	since time.Time  // the first such run since both agreed
	next  time.Time  // not before it is anything done
}

const (
	// strayAfter is how long it must last, strayFor how long one such run counts.
	strayAfter = time.Second
	strayFor   = 10 * time.Second
	// strayEvery keeps a server that leads the two to different places for good from
	// being connected to all the time.
	strayEvery = 5 * time.Second
)

// strayed notes such a run and reports whether it has lasted too long.
func (s *stray) strayed(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) > strayFor {
		s.since = now
	}
	if now.Sub(s.since) < strayAfter || now.Before(s.next) {
		return false
	}
	s.since, s.next = now, now.Add(strayEvery)
	return true
}

// agree notes that the change log starts over.
func (s *stray) agree() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
}

// connectAnew lets everything connect anew, so that all of it finds the server that
// is the primary now.
func (h *Host) connectAnew() {
	h.cfg.Logger.Warn("runs read another history of the database than the change log: connecting anew")
	for _, s := range h.allRooms() {
		s.database.Redial()
	}
	h.log.Redial()
}
