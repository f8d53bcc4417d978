package serve

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"weir/abi"
	"weir/host/tenant"
)

// handleOpen answers POST /v1/stream and GET /v1/stream: a session stream.
func (s *Server) handleOpen(w http.ResponseWriter, r *http.Request) {
	q := requestOf(r)
	if err := onlyParameters(r, "ticket", "delta", "as"); err != nil {
		s.refuseStream(w, r, err)
		return
	}
	deltas, err := wantsDeltas(r)
	if err != nil {
		s.refuseStream(w, r, err)
		return
	}
	var body streamBody
	if r.Method == http.MethodPost {
		text, err := s.readBody(w, r, streamBodyLimit(q.tenant.Limits))
		if err == nil {
			body, err = parseStreamBody(text, rulesOf(q.tenant.Limits, true))
		}
		if err != nil {
			s.refuseStream(w, r, err)
			return
		}
	}
	session := newSession(s, q, false, deltas)
	session.at = body.At
	if err := s.admit(session, len(body.Add)); err != nil {
		s.refuseStream(w, r, err)
		return
	}
	handed := false
	defer session.follows(r.Context(), &handed)()
	session.add(body.subscriptions())
	handed = s.serveStream(w, r, session)
}

// follows lets the session end with its request. What it returns shuts it, unless
// it was handed over to a shard.
func (s *session) follows(request context.Context, handed *bool) (end func()) {
	stop := context.AfterFunc(request, s.cancel)
	return func() {
		if stop(); !*handed {
			s.shut()
		}
	}
}

// subscriptions makes subscriptions of what a client asks for.
func (b *streamBody) subscriptions() []*subscription {
	list := make([]*subscription, 0, len(b.Add))
	at := b.At
	for _, a := range b.Add {
		sub := newSubscription(a.ID, a.Name, Arguments{JSON: a.Args}, &at)
		sub.has, sub.version = a.Has, a.Have
		list = append(list, sub)
	}
	return list
}

// streamQuery serves a stream of one query, for a plain EventSource. What is
// final is refused with a status, since it closes the EventSource for good; what
// may pass is not (D4).
func (s *Server) streamQuery(w http.ResponseWriter, r *http.Request, q Query) {
	deltas, err := wantsDeltas(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	session := newSession(s, requestOf(r), true, deltas)
	lastID := r.Header.Get("Last-Event-ID")
	version, has, at := parseEventID(lastID)
	session.at = at
	sub := newSubscription("0", q.Name, q.Args, &at)
	sub.version, sub.has = version, has
	if err := s.admit(session, 1); err != nil {
		s.refuseStream(w, r, err)
		return
	}
	handed := false
	defer session.follows(r.Context(), &handed)()
	session.subs = []*subscription{sub}
	session.subscribe(sub)
	if err := sub.attempt.outcome(session.ctx); err != nil {
		// Not counted while the refusal is written: it may be the one too many.
		if p := problemOf(err); p.Code == abi.UnknownFunction && lastID != "" {
			w.WriteHeader(http.StatusNoContent) // it was there once: stop for good
			return
		}
		s.refuseStream(w, r, err)
		return
	}
	handed = s.serveStream(w, r, session)
}

// wantsDeltas reports whether the client of a stream can put a delta into the rows
// that it holds. Who does not ask for deltas gets whole results only.
func wantsDeltas(r *http.Request) (bool, error) {
	switch v := r.URL.Query().Get("delta"); v {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, badRequest("delta is 1 for a client that takes deltas, or 0")
}

// outcome waits until the policies have answered, and returns why there will be no
// stream of the one query. It is for an attempt that has settled and was not
// adopted yet.
func (a *attempt) outcome(ctx context.Context) error {
	if a.err != nil {
		return a.err
	}
	select {
	case <-a.decided:
	case <-ctx.Done():
		return ctx.Err()
	}
	if d := a.live.Sub.Denial(); d != nil {
		return Denial(d.Policy, d.Reason)
	}
	return nil
}

// admit opens a session unless the server is draining.
func (s *Server) admit(session *session, subs int) error {
	if s.draining.Load() {
		return refusal(drainCode)
	}
	return s.sessions.open(session, subs)
}

// serveStream writes a session's stream until it ends, or hands it over to a
// shard, which shuts the session at its end.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, session *session) (handed bool) {
	s.stats.streams.Add(1)
	limits := session.limits()
	hello := helloEvent{
		PingMS: limits.PingInterval.Milliseconds(), MaxSubs: limits.MaxSessionSubscriptions,
		Server: s.cfg.Version, Schema: s.cfg.Schema(session.owner.Tenant).Digest,
	}
	if !session.single {
		hello.SID = session.id
	} else {
		hello.MaxSubs = 1
	}
	begin := appendRetry(nil, retryMS(2*time.Second, 3*time.Second))
	begin = appendEvent(begin, "hello", hello)
	if s.shards.take(w, r, session, begin) {
		return true
	}
	reason, err := newWriter(w, limits).run(session, begin)
	s.ended(session, reason)
	if err != nil {
		// The last frame may be half written: a clean end would make it whole.
		panic(http.ErrAbortHandler)
	}
	return false
}

// ended counts a stream's end.
func (s *Server) ended(session *session, reason abi.Code) {
	s.stats.closed(reason)
	if reason == slowCode {
		s.stats.reached(session.owner.Tenant, "write_rate")
		s.log.Info("slow client closed", "session", session.request)
	}
}

// refuseStream answers a stream's request that cannot be served. A plain
// EventSource gives up for good at anything but 200, so that what may pass is
// told by a stream that closes at once.
func (s *Server) refuseStream(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	plain := r.Method == http.MethodGet && wantsStream(r)
	if !p.Retryable || !plain && p.Code != drainCode {
		s.fail(w, r, err)
		return
	}
	s.note(r, p, err)
	s.count(requestOf(r), err)
	s.stats.problem(p.Code)
	window := s.cfg.DrainWindow + 3*time.Second
	if p.Code == abi.Unavailable {
		window = 3 * time.Second // as after a broken connection: a restart takes no longer
	}
	s.closeAtOnce(w, closeReason(p.Code), retryMS(2*time.Second, window))
}

// closeReason is the reason of a close event for a refusal that may pass.
func closeReason(code abi.Code) abi.Code {
	switch code {
	case abi.LimitReached, abi.Draining:
		return code
	}
	return abi.Overload
}

// closeAtOnce answers with a stream that only says when to come back.
func (s *Server) closeAtOnce(w http.ResponseWriter, reason abi.Code, retry int64) {
	streamHeaders(w.Header())
	s.stats.closed(reason)
	b := appendRetry(nil, retry)
	_, _ = w.Write(appendEvent(b, "close", closeEvent{reason, retry}))
}

// handleChange answers POST /v1/stream/{sid}: it adds, drops, and renews. It
// answers when the changes are taken in; what comes of them is told by the
// stream.
func (s *Server) handleChange(w http.ResponseWriter, r *http.Request) {
	q := requestOf(r)
	err := onlyParameters(r, "as")
	var text []byte
	if err == nil {
		text, err = s.readBody(w, r, streamBodyLimit(q.tenant.Limits))
	}
	var body streamBody
	if err == nil {
		body, err = parseStreamBody(text, rulesOf(q.tenant.Limits, false))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	session := s.sessions.find(chi.URLParam(r, "sid"), q.caller.Principal)
	if session == nil {
		s.fail(w, r, refusal(sessionGone))
		return
	}
	session.renew(q.caller)
	session.drop(body.Drop)
	// Drops come first and stay: they make room for what is added.
	err = s.sessions.reserve(session, len(body.Add))
	if err == nil && session.crowded() {
		s.sessions.release(session, len(body.Add))
		err = limitError(tenant.ErrTooManySubscriptions, "session_subscriptions", "read the stream: it has ends that were not taken")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	session.add(body.subscriptions())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}
