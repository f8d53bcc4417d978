package db

import (
	"context"
	"slices"
	"sync"
)

// slots bounds what is in use at once. Who waits is served in the order of
// arrival. The bound may change at any time. There is one place beside it, for
// those who ask for it.
type slots struct {
	mu      sync.Mutex // protects the fields below
	limit   int
	used    int
	spare   bool // the place beside the bound is taken
	waiting []*waiter
	waits   int64
}

// waiter waits for a slot.
type waiter struct {
	turn  chan struct{} // closed when it has one
	spare bool          // it takes the place beside the bound too
	extra bool          // it has that one
}

// take waits for a slot until ctx ends, or, if it may have it, for the place
// beside the bound; extra says that it is that one.
func (s *slots) take(ctx context.Context, spare bool) (extra bool, err error) {
	w := &waiter{turn: make(chan struct{}), spare: spare}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.passLocked()
	if slices.Contains(s.waiting, w) {
		s.waits++
	}
	s.mu.Unlock()
	select {
	case <-w.turn:
		return w.extra, nil
	default:
	}
	select {
	case <-w.turn:
		return w.extra, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	if i := slices.Index(s.waiting, w); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		s.mu.Unlock()
		return false, ctx.Err()
	}
	s.mu.Unlock()
	s.give(w.extra) // it got its turn in the same moment
	return false, ctx.Err()
}

// give returns a slot, or the place beside the bound.
func (s *slots) give(extra bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if extra {
		s.spare = false
	} else {
		s.used--
	}
	s.passLocked()
}

// resize changes the bound. What is over it is in use until it is given back.
func (s *slots) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
	s.passLocked()
}

func (s *slots) passLocked() {
	for s.used < s.limit && len(s.waiting) > 0 {
		close(s.waiting[0].turn)
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.used++
	}
	if i := slices.IndexFunc(s.waiting, func(w *waiter) bool { return w.spare }); i >= 0 && !s.spare {
		w := s.waiting[i]
		s.spare, w.extra = true, true
		close(w.turn)
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
}

// counts returns how many are in use and how many had to wait so far.
func (s *slots) counts() (used int, waits int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	used = s.used
	if s.spare {
		used++
	}
	return used, s.waits
}
