package db

import (
	"context"
	"sync"
)

// slots bounds what is in use at once. Who waits is served in the order of
// arrival. The bound may change at any time.
type slots struct {
	mu      sync.Mutex // protects the fields below
	limit   int
	used    int
	waiting []chan struct{} // closed when the waiter has its slot
	waits   int64
}

// take waits for a slot until ctx ends.
func (s *slots) take(ctx context.Context) error {
	s.mu.Lock()
	if s.used < s.limit && len(s.waiting) == 0 {
		s.used++
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	s.waits++
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.waiting {
		if other == turn {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			return ctx.Err()
		}
	}
	s.used-- // it got its turn in the same moment
	s.passLocked()
	return ctx.Err()
}

// give returns a slot.
func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
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
		close(s.waiting[0])
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		s.used++
	}
}

// counts returns how many are in use and how many had to wait so far.
func (s *slots) counts() (used int, waits int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.waits
}
