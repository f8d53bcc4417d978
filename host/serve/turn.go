package serve

import (
	"math/rand/v2"
	"slices"
	"time"

	"weir/abi"
	"weir/reactor"
)

// turn is what the writer sends next.
type turn struct {
	small  []byte // events of this client only
	live   *Live
	frame  *reactor.Frame // a result, after small
	event  []byte         // how it is sent: the whole of it, or a delta
	last   bool           // the stream ends after this
	reason abi.Code       // why
	gone   int            // subscriptions to give back
	late   []*attempt     // theirs, to be abandoned
	work   bool           // a subscription waits for the subscriber
	all    bool           // there is nothing else to tell now
}

func (t *turn) empty() bool { return len(t.small) == 0 && t.frame == nil && !t.last }

// smallTurn ends the gathering of events: what is left comes with the next turn.
const smallTurn = 16 << 10

// expiringLead is how long before its end a stream is told of it.
const expiringLead = 30 * time.Second

// gather makes the next turn. Only the writer calls it; buf is reused.
func (s *session) gather(buf []byte, now time.Time, pingDue bool) turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := turn{small: buf[:0]}
	expires := s.caller.Expires
	if !expires.IsZero() && !now.Before(expires) && s.closing == nil {
		s.closing = &closeEvent{abi.Expired, retryMS(0, time.Second)}
	}
	if s.closing != nil {
		t.small = appendEvent(t.small, "close", s.closing)
		t.last, t.reason = true, s.closing.Reason
		return t
	}
	if !expires.IsZero() && !s.warned && expires.Sub(now) <= expiringLead {
		s.warned = true
		t.small = appendEvent(t.small, "expiring", expiringEvent{expires.Sub(now).Milliseconds()})
	}
	t.all = s.gatherSubs(&t, now) && len(s.syncs) == 0
	if t.empty() && len(s.syncs) > 0 {
		s.gatherSyncs(&t, now)
	}
	if t.empty() && pingDue {
		t.small = appendEvent(t.small, "ping", pingEvent{s.at.String()})
	}
	t.work = s.askTurn()
	return t
}

// gatherSubs reports whether it has looked at all subscriptions.
func (s *session) gatherSubs(t *turn, now time.Time) bool {
	for range len(s.subs) {
		if len(s.subs) == 0 || t.frame != nil || len(t.small) >= smallTurn {
			return len(s.subs) == 0
		}
		s.next %= len(s.subs)
		sub := s.subs[s.next]
		if sub.over != nil {
			t.small = sub.appendOver(t.small)
			if !sub.released {
				t.gone++
			}
			t.late, sub.attempt = append(t.late, sub.attempt), nil
			s.subs = slices.Delete(s.subs, s.next, s.next+1)
			t.last, t.reason = s.single, abi.Dropped
			continue
		}
		s.next++
		s.gatherSub(t, sub, now)
	}
	return true
}

func (s *session) gatherSub(t *turn, sub *subscription, now time.Time) {
	if sub.retry != nil && !sub.retry.at.IsZero() && !now.Before(sub.retry.at) && sub.again() {
		s.todo = append(s.todo, sub)
	}
	switch {
	case sub.refused != nil && !sub.told:
		t.small = sub.appendRefused(t.small, s.at)
		// A denied stream of one query ends; its client comes back to a 403.
		if s.single && sub.refused.Code == abi.Denied {
			t.last, t.reason = true, abi.Denied
		}
	case sub.live != nil:
		s.gatherState(t, sub, now)
	}
}

// deniedLinger is how long a denied subscription stays in its group at least, and
// half of the longest, so that nobody runs a query that nobody may see. It does not
// leave at once: all streams of the group would subscribe anew while most of them
// are still to be told; and who is let in again soon has the group as it was.
const deniedLinger = time.Second

// resubscribe lets a subscription whose decisions lead elsewhere now be
// subscribed anew.
func (s *session) resubscribe(sub *subscription) {
	if sub.attempt == nil && sub.again() {
		s.todo = append(s.todo, sub)
	}
}

// gatherState tells what a subscription may be shown now: its own events, then
// the frame, if it lacks it, once for all subscriptions of the group.
func (s *session) gatherState(t *turn, sub *subscription, now time.Time) {
	st, shown := sub.live.State()
	if !shown || sub.knows(&st) || sub.held && st.Frame != nil {
		return
	}
	switch st.Status {
	case reactor.Moved:
		s.gatherMove(t, sub)
		return
	case reactor.Denied:
		s.at = st.At.Later(s.at)
		t.small, _ = sub.appendState(t.small, &st, s.at)
		if s.single { // its client comes back to a 403
			t.last, t.reason = true, abi.Denied
		} else if sub.live.Query() != "" && sub.retryAt().IsZero() && !sub.todo && sub.attempt == nil {
			sub.retry = &retry{at: now.Add(s.server.linger + rand.N(s.server.linger))}
		}
		return
	}
	sub.retry = nil // it stays
	s.at = st.At.Later(s.at)
	any := false
	var held holding
	for _, other := range s.subs {
		if other != sub && !other.shares(sub, &st) {
			continue
		}
		has, version, lacks := other.has, other.version, false
		if t.small, lacks = other.appendState(t.small, &st, s.at); lacks {
			any = true
			held.add(has, version)
		}
	}
	if s.deltas && st.Frame != nil {
		st.Frame.Want()
	}
	if any {
		t.live, t.frame, t.event = sub.live, st.Frame, st.Frame.Event()
		if from, one := held.version(); s.deltas && one {
			if d := st.Frame.Delta(from); d != nil {
				t.event = d.Event()
				s.server.stats.deltas.Add(1)
			}
		}
		if s.single {
			t.small = appendEventID(t.small, st.Frame.Version, s.at)
		}
	}
}

// holding is what the subscriptions of a client that are to be shown one frame hold
// of it. A delta is for all of them: each must hold the version that it leads from
// (D1).
type holding struct {
	from        reactor.Version
	some, mixed bool
}

// add takes in a subscription that holds a version, or nothing.
func (h *holding) add(has bool, v reactor.Version) {
	h.mixed = h.mixed || !has || h.some && v != h.from
	h.from, h.some = v, true
}

// version returns what all of them hold; false if that is not one version.
func (h *holding) version() (reactor.Version, bool) { return h.from, h.some && !h.mixed }

// gatherMove drops the rows of a scope that is not the client's any longer, and
// asks for those of its new one.
func (s *session) gatherMove(t *turn, sub *subscription) {
	if sub.live.Sub.Scoped() && sub.live.Query() != "" && sub.has {
		gone := reactor.State{Status: reactor.Denied, Reason: scopeChanged}
		t.small, _ = sub.appendState(t.small, &gone, s.at)
	}
	s.resubscribe(sub)
}

// deadline is when the writer must look again even if nobody wakes it.
func (s *session) deadline(ping time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := ping
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	if expires := s.caller.Expires; !expires.IsZero() {
		earlier(expires)
		if !s.warned {
			earlier(expires.Add(-expiringLead))
		}
	}
	for _, sub := range s.subs {
		earlier(sub.retryAt())
	}
	for _, a := range s.syncs {
		earlier(a.until)
	}
	return at
}

// nextPing is an interval from now, a fifth more or less, so that the pings of
// many streams do not come in step.
func nextPing(now time.Time, interval time.Duration) time.Time {
	return now.Add(interval*4/5 + rand.N(interval*2/5+1))
}
