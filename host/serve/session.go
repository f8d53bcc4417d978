package serve

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/abi"
	"weir/host/auth"
	"weir/host/tenant"
	"weir/reactor"
)

// Codes in the role of a reason.
const (
	sessionGone = abi.SessionGone
	drainCode   = abi.Draining
	slowCode    = abi.Slow
	leftCode    = abi.Code("left") // the client went away; it is told nothing
)

// session is one client connection with its subscriptions. It lives as long as
// its stream.
type session struct {
	id      string
	server  *Server
	tenant  atomic.Pointer[tenant.Tenant] // a reload replaces it
	owner   auth.Principal                // fixed; a renewal brings other claims, not another owner
	address netip.Addr                    // of the client, when it may be counted
	single  bool                          // a stream of one query: ids, no sid, no changes
	deltas  bool                          // the client takes deltas
	request string                        // the id of the request, for the log
	ctx     context.Context               // ends with the stream; the lifetime of its Subscribe calls
	cancel  context.CancelFunc            // of ctx

	out     atomic.Pointer[outlet] // who writes; nil before the first byte and after the last
	writing atomic.Pointer[pin]    // the frame being written, for checkPins
	counted int                    // subscriptions; protected by registry.mu
	fanned  uint64                 // the last batch that woke it; protected by hub.mu

	mu      sync.Mutex // protects the fields below
	caller  *auth.Caller
	subs    []*subscription
	todo    []*subscription // wait for a call of Subscribe
	queued  bool            // the subscriber will give a turn
	closing *closeEvent     // the stream is to end
	closed  bool            // it has ended: nothing is taken in any more
	warned  bool            // expiring was told
	syncs   []*awaited      // mutations whose effect is to be told
	next    int             // where the next turn begins, so that no subscription starves another
	at      reactor.Stamp   // the newest state shown
}

func newSession(s *Server, r *request, single, deltas bool) *session {
	n := &session{
		id: newSID(), server: s, owner: r.caller.Principal, caller: r.caller,
		address: r.countable, single: single, deltas: deltas, request: r.id,
	}
	// Not the request's: a stream outlives its handler when a shard writes it.
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.tenant.Store(r.tenant)
	return n
}

// limits are those of the tenant as they are now.
func (s *session) limits() tenant.Limits { return s.tenant.Load().Limits.WithDefaults() }

// wake makes the writer look again. It never blocks. Who is not there yet looks
// when it comes.
func (s *session) wake() { s.wakeFor(false) }

// wakeFor is wake for something that may be urgent. It reports whether the writer
// is a goroutine that was asleep.
func (s *session) wakeFor(urgent bool) bool {
	out := s.out.Load()
	return out != nil && (*out).wake(urgent)
}

// add takes subscriptions in and lets them be subscribed. They are counted
// already. An id that is in use is replaced.
func (s *session) add(subs []*subscription) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	var left []*Live
	s.subs = slices.Grow(s.subs, len(subs))
	for _, sub := range subs {
		if old := s.byID(sub.id); old != nil {
			left = append(left, s.finish(old, &ending{}))
		}
		s.subs = append(s.subs, sub)
	}
	s.mu.Unlock()
	s.leave(left)
	s.renewAll(func(sub *subscription) bool { return slices.Contains(subs, sub) })
}

// drop ends the subscriptions of these ids and gives their places back at once.
// Unknown ids are nothing: they may have ended while the request was on its way.
func (s *session) drop(ids []string) {
	s.mu.Lock()
	var left []*Live
	fewer := 0
	for _, id := range ids {
		if sub := s.byID(id); sub != nil {
			left = append(left, s.finish(sub, &ending{reason: abi.Dropped, message: problems[abi.Dropped].message}))
			sub.released = true
			fewer++
		}
	}
	s.mu.Unlock()
	s.leave(left)
	s.server.sessions.release(s, fewer)
	s.wake()
}

// crowded reports whether the client keeps changing its subscriptions and does
// not read what came of it: their ends wait for the writer.
func (s *session) crowded() bool {
	limit := s.limits().MaxSessionSubscriptions
	s.mu.Lock()
	defer s.mu.Unlock()
	return limit >= 0 && len(s.subs) > 2*limit
}

func (s *session) byID(id string) *subscription {
	for _, sub := range s.subs {
		if sub.id == id && sub.over == nil {
			return sub
		}
	}
	return nil
}

// finish marks a subscription as over; the writer tells the client and forgets
// it. What it returns is to be left without the lock.
func (s *session) finish(sub *subscription, how *ending) *Live {
	sub.over = how
	live := sub.live
	sub.live = nil
	return live
}

// leave unwatches and leaves what is not nil.
func (s *session) leave(list []*Live) {
	for _, live := range list {
		if live != nil {
			s.server.hub.unwatch(live.Watches(), s)
			live.Leave()
		}
	}
}

// renew takes a newer token of the same principal. Every subscription is
// subscribed anew, so that policies and key follow the new claims (S4). False
// means that the token does not live longer than the one that is held.
func (s *session) renew(caller *auth.Caller) bool {
	s.mu.Lock()
	now := s.caller.Expires
	newer := !now.IsZero() && (caller.Expires.IsZero() || caller.Expires.After(now))
	if newer {
		s.caller, s.warned = caller, false
	}
	s.mu.Unlock()
	if newer {
		if out := s.out.Load(); out != nil {
			(*out).expire(caller.Expires)
		}
		s.renewAll(func(*subscription) bool { return true })
		s.wake()
	}
	return newer
}

// renewAll subscribes anew what matches.
func (s *session) renewAll(match func(*subscription) bool) {
	s.mu.Lock()
	for _, sub := range s.subs {
		if match(sub) && sub.again() {
			s.todo = append(s.todo, sub)
		}
	}
	turn := s.askTurn()
	s.mu.Unlock()
	if turn {
		s.server.subscriber.serve(s)
	}
}

// askTurn reports whether the subscriber must be asked for a turn. The caller
// holds the lock, and asks without it.
func (s *session) askTurn() bool {
	if s.closed || s.queued || len(s.todo) == 0 {
		return false
	}
	s.queued = true
	return true
}

// nextTodo takes the subscription whose turn it is, and says whether the session
// wants another turn.
func (s *session) nextTodo() (_ *subscription, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued = false
	if s.closed || len(s.todo) == 0 {
		return nil, false
	}
	sub := s.todo[0]
	if s.todo = slices.Delete(s.todo, 0, 1); len(s.todo) == 0 {
		s.todo = nil // an idle session keeps no list
	}
	return sub, s.askTurn()
}

// subscribe calls the backend for one subscription and leaves the outcome to the
// writer.
func (s *session) subscribe(sub *subscription) {
	a := &attempt{decided: make(chan struct{})}
	s.mu.Lock()
	sub.todo = false
	if s.closed || sub.over != nil {
		s.mu.Unlock()
		return
	}
	late := sub.attempt
	sub.attempt = a
	who, query := s.caller, sub.query(s.tenant.Load().Name)
	s.mu.Unlock()
	s.abandon(late)

	decide := sync.OnceFunc(func() { close(a.decided) })
	live, err := s.server.cfg.Backend.Subscribe(s.ctx, who, query, Signals{
		Decided: decide,
		Ready: func() {
			a.ready.Store(true)
			decide()
			s.wake()
		},
	})
	if err != nil && s.ctx.Err() == nil {
		s.server.noteStream(s, err)
	}
	s.mu.Lock()
	a.settled, a.live, a.err = true, live, err
	if s.closed || sub.attempt != a {
		s.mu.Unlock()
		s.abandon(a)
		return
	}
	s.mu.Unlock()
	s.wake()
}

// abandon leaves what an attempt that nobody waits for any more has got. An
// attempt that has not returned is abandoned by its own call.
func (s *session) abandon(a *attempt) {
	if a == nil {
		return
	}
	s.mu.Lock()
	live := a.live
	a.live = nil
	s.mu.Unlock()
	if live != nil {
		live.Leave()
	}
}

// adopt installs the attempts that are ready. Only the writer calls it.
func (s *session) adopt() {
	type outcome struct {
		sub *subscription
		a   *attempt
	}
	var ready []outcome
	s.mu.Lock()
	for _, sub := range s.subs {
		a := sub.attempt
		if a != nil && a.settled && (a.err != nil || a.ready.Load()) {
			sub.attempt = nil
			ready = append(ready, outcome{sub, a})
		}
	}
	s.mu.Unlock()
	for _, o := range ready {
		if o.a.err == nil {
			if err := o.a.live.Err(); err != nil {
				o.a.live.Leave()
				o.a.live, o.a.err = nil, err
				s.server.noteStream(s, err)
			} else if s.overtaken(o.sub, o.a.live) {
				continue
			} else {
				// Before its state is read: a state that comes between is not missed.
				s.server.hub.watch(o.a.live.Watches(), s)
			}
		}
		s.mu.Lock()
		left := o.sub.install(o.a, time.Now())
		s.mu.Unlock()
		s.leave([]*Live{left})
	}
}

// overtaken reports whether what a new subscription shows is older than what the one
// that it is to replace has shown while it was getting ready. Then the new one is left
// and made once more, from there on; until it is there the old one shows no other rows,
// or it could be overtaken for ever (W2).
func (s *session) overtaken(sub *subscription, live *Live) bool {
	s.mu.Lock()
	over := sub.over == nil && sub.live != nil && sub.at != nil && !live.Sub.Covers(*sub.at)
	if over {
		sub.held = true
		s.resubscribe(sub)
	}
	s.mu.Unlock()
	if over {
		live.Leave()
	}
	return over
}

// end asks the writer to close the stream. The first reason counts.
func (s *session) end(reason abi.Code, retryMS int64) {
	s.mu.Lock()
	if s.closing == nil {
		s.closing = &closeEvent{reason, retryMS}
	}
	s.mu.Unlock()
	s.wake()
}

// abort ends the stream without telling: the client takes nothing.
func (s *session) abort(reason abi.Code) {
	s.end(reason, 0)
	if out := s.out.Load(); out != nil {
		(*out).abort()
	}
}

// shut leaves everything when the stream has ended. Only the writer calls it.
func (s *session) shut() {
	s.cancel()
	s.out.Store(nil)
	s.mu.Lock()
	s.closed = true
	var left []*Live
	var late []*attempt
	for _, sub := range s.subs {
		left = append(left, s.finish(sub, &ending{}))
		late = append(late, sub.attempt)
		sub.attempt = nil
	}
	s.subs, s.todo, s.syncs = nil, nil, nil
	s.mu.Unlock()
	s.leave(left)
	for _, a := range late {
		s.abandon(a)
	}
	s.server.sessions.remove(s)
}
