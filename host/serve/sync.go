package serve

import (
	"encoding/json"
	"sync/atomic"
	"time"

	"weir/reactor"
)

// Bounds of what a session waits for after its mutations.
const (
	syncTimeout = 10 * time.Second
	maxSyncs    = 64 // more are told at once, with all subscriptions pending
)

// awaited is a mutation of a session's client whose effect on its subscriptions
// is to be told. The session's mutex protects the other fields.
type awaited struct {
	tx      reactor.Stamp
	until   time.Time
	reached atomic.Bool // the reactor has nothing to come for it
}

// follow lets the stream tell when the subscriptions show what the transaction
// wrote (F10). It is for mutations that wrote something.
func (s *session) follow(tx reactor.Stamp) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	a := &awaited{tx: tx, until: time.Now().Add(syncTimeout)}
	if len(s.syncs) >= maxSyncs {
		a.until = time.Time{}
	}
	s.syncs = append(s.syncs, a)
	sync := &reactor.Sync{Tx: tx, Done: func() { // from the loop: it takes no lock
		a.reached.Store(true)
		s.wake()
	}}
	for _, sub := range s.subs {
		if sub.live != nil && sub.over == nil {
			sync.Subscriptions = append(sync.Subscriptions, sub.live.Sub)
		}
	}
	s.server.cfg.Backend.Await(s.owner.Tenant, sync)
}

// gatherSyncs tells of mutations whose effect was shown, or has not come in time.
// It comes last in a turn that has nothing else to send: what is told as shown has
// gone out before.
func (s *session) gatherSyncs(t *turn, now time.Time) {
	left := s.syncs[:0]
	for _, a := range s.syncs {
		pending := s.pending(a)
		if late := !now.Before(a.until); !late && (!a.reached.Load() || len(pending) > 0) {
			left = append(left, a)
			continue
		}
		t.small = appendEvent(t.small, "synced", syncedEvent{a.tx.String(), pending, s.at.String()})
	}
	clear(s.syncs[len(left):])
	s.syncs = left
}

// pending lists the subscriptions that do not show the transaction yet.
func (s *session) pending(a *awaited) []json.RawMessage {
	var ids []json.RawMessage
	for _, sub := range s.subs {
		if sub.over != nil || sub.refused != nil {
			continue
		}
		if sub.live == nil || sub.todo || sub.attempt != nil || !sub.live.Sub.Saw(a.tx) {
			ids = append(ids, json.RawMessage(sub.id))
		}
	}
	return ids
}

type syncedEvent struct {
	Tx      string            `json:"tx"`
	Pending []json.RawMessage `json:"pending,omitempty"`
	At      string            `json:"at,omitempty"`
}
