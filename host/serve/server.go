package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"weir/abi"
	"weir/host/tenant"
	"weir/reactor"
)

// Server serves the public listener. Make it with New; it has no goroutines until
// it has something to do. All its methods are safe for concurrent use.
type Server struct {
	cfg        Config
	log        *slog.Logger
	sessions   *registry
	tickets    *tickets
	hub        *hub
	shards     *shards
	subscriber *subscriber
	web        *web
	handler    http.Handler
	router     chi.Routes
	client     map[string]clientFile // by path
	edge       atomic.Pointer[Edge]
	door       *door
	stats      counters
	draining   atomic.Bool
	linger     time.Duration // of a denied subscription in its group; tests change it
	times      times
	proxyWarn  sync.Once
	closeOnce  sync.Once

	// Owned by the fan-out, for checkPins.
	unlooked int64 // bytes published since the last look
	looked   time.Time
}

// New returns a Server. The error is one sentence that names the setting.
func New(cfg Config) (*Server, error) {
	if cfg.Backend == nil {
		return nil, errors.New("BUG: serve.Config.Backend is nil")
	}
	cfg = cfg.withDefaults()
	switch cfg.Writer {
	case WriterAuto, WriterGoroutine:
	case WriterShard:
		if !shardsExist {
			return nil, errors.New(`server.writer is "shard", which needs Linux: use "auto"`)
		}
	default:
		return nil, fmt.Errorf("server.writer is %q: use auto, goroutine or shard", cfg.Writer)
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, sessions: newRegistry(cfg.Limits.MaxTotalSessions), tickets: newTickets(),
		subscriber: &subscriber{limit: cfg.MaxSubscribing}, client: clientFiles(cfg.Version), linger: deniedLinger, times: usualTimes, door: newDoorOf(descriptorLimit()),
	}
	s.hub, s.shards = newHub(s), &shards{server: s}
	edge, err := NewEdge(cfg.Hosts, cfg.Origins, cfg.TrustedProxies)
	if err != nil {
		return nil, err
	}
	s.edge.Store(edge)
	if s.web, err = openWeb(cfg.Web); err != nil {
		return nil, err
	}
	s.handler = s.routes(&guards{s})
	return s, nil
}

// Handler returns the handler of the public listener.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) routes(g *guards) http.Handler {
	r := chi.NewRouter()
	r.Use(g.edge, g.host)
	api := func(r chi.Router) {
		r.Use(g.origin, g.room, g.tenant)
		r.Delete("/cookie", s.handleDropCookie)
		r = r.With(g.identify)
		r.Get("/q/{name}", s.handleQuery)
		r.Post("/q/{name}", s.handleQuery)
		r.Post("/call/{name}", s.handleCall)
		r.Get("/stream", s.handleOpen)
		r.Post("/stream", s.handleOpen)
		r.Post("/stream/{sid}", s.handleChange)
		r.Post("/cookie", s.handleCookie)
		r.Post("/ticket", s.handleTicket)
		r.Get("/schema", s.handleSchema)
		r.Get("/openapi.json", s.handleOpenAPI)
	}
	r.Route("/v1", api)
	r.Route("/t/{tenant}/v1", api)
	for name := range s.client {
		r.With(g.origin).Get(name, s.handleClient)
		r.With(g.origin).Head(name, s.handleClient)
		r.With(g.origin).Options(name, s.handleMethod)
	}
	r.NotFound(s.handleStatic)
	r.MethodNotAllowed(s.handleMethod)
	s.router = r
	return r
}

func (s *Server) handleMethod(w http.ResponseWriter, r *http.Request) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if s.router.Match(chi.NewRouteContext(), method, r.URL.Path) {
			w.Header().Add("Allow", method)
		}
	}
	s.fail(w, r, refusal(abi.MethodNotUsed))
}

// Published tells the server which publications have a new state. It is what
// reactor.Config.Published wants: it does not block.
func (s *Server) Published(pubs []*reactor.Publication) { s.hub.published(pubs) }

// Moved subscribes anew, in every session of a tenant, what matches by its
// function's name: a plugin was swapped, or its policies or configuration changed.
// The old results stay until the new ones are there. It returns at once.
func (s *Server) Moved(tenantName string, match func(name string) bool) {
	for _, session := range s.sessions.all() {
		if session.owner.Tenant != tenantName {
			continue
		}
		session.renewAll(func(sub *subscription) bool { return match(sub.name()) })
	}
}

// Reload takes the server's names, and the tenants by name. Config.Tenant must
// know them already. Streams of tenants that are not among them end, and none of
// theirs begins; those of others have the new limits, but for ping and write times,
// which a stream keeps.
func (s *Server) Reload(edge *Edge, tenants map[string]*tenant.Tenant) {
	s.edge.Store(edge)
	for _, session := range s.sessions.retain(tenants) {
		session.end(abi.TenantRemoved, retryMS(time.Second, 4*time.Second))
	}
}

// retain gives the sessions their tenants and returns those that have none any
// more.
func (r *registry) retain(tenants map[string]*tenant.Tenant) []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = map[string]bool{}
	for name := range tenants {
		r.known[name] = true
	}
	maps.DeleteFunc(r.rates, func(name string, _ *rate) bool { return !r.known[name] })
	var left []*session
	for _, s := range r.sessions {
		if t := tenants[s.owner.Tenant]; t != nil {
			s.tenant.Store(t)
		} else {
			left = append(left, s)
		}
	}
	return left
}

// maxHeaderBytes bounds the headers of a request: a token of 8 KiB, a stamp of
// 16 KiB in Last-Event-ID, and the rest.
const maxHeaderBytes = 32 << 10

// Run serves l until ctx ends, then closes as Close does. It returns nil when it
// was ctx that ended it.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	l = s.door.of(l)
	defer s.door.close()
	s.log.Info("clients are served", "address", l.Addr().String(), "descriptors", s.door.limit)
	srv := &http.Server{
		Handler:           s.handler,
		ConnContext:       s.door.mark,
		ReadHeaderTimeout: s.times.header,
		IdleTimeout:       s.times.idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	writer := WriterGoroutine
	if shardsExist && s.cfg.Writer != WriterGoroutine {
		writer = WriterShard
	}
	s.log.Info("streams are written", "writer", string(writer))
	served := make(chan error, 1)
	go func() {
		if s.cfg.Certificate == nil {
			served <- srv.Serve(l)
			return
		}
		// HTTP/2 comes by itself; Go's choice of ciphers is better than ours.
		srv.TLSConfig = &tls.Config{GetCertificate: s.cfg.Certificate, MinVersion: tls.VersionTLS12}
		served <- srv.ServeTLS(l, "", "")
	}()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	closed := s.Close()
	shut, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	if srv.Shutdown(shut) != nil {
		_ = srv.Close()
	}
	if err == nil { // ctx ended it
		err = <-served
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return closed
}

// Drain makes /readyz fail, refuses new streams and closes the ones there are,
// spread over Config.DrainWindow, each with another time to come back. It returns
// when all are gone or ctx ends; Close ends what is left.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	list := s.sessions.all()
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for i, session := range list {
		session.end(drainCode, retryMS(0, max(time.Second, s.cfg.DrainWindow)))
		if i == len(list)-1 {
			break
		}
		// Clients may leave before their turn: nobody new comes in.
		pause, cancel := context.WithTimeout(ctx, s.cfg.DrainWindow/time.Duration(len(list)))
		s.waitForSessions(pause)
		cancel()
		if n, _ := s.sessions.sizes(); n == 0 || ctx.Err() != nil {
			return
		}
	}
	s.waitForSessions(ctx)
}

// closeGrace is how long Close waits for clients to take their last event.
const closeGrace = time.Second

// Close ends every stream at once and waits for what it started. It may be called
// twice. Handlers that still write belong to the HTTP server, which waits for
// them.
func (s *Server) Close() error {
	var err error
	s.closeOnce.Do(func() {
		s.draining.Store(true)
		s.sessions.close()
		for _, session := range s.sessions.all() {
			session.end(abi.Shutdown, retryMS(time.Second, 4*time.Second))
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		s.waitForSessions(ctx)
		for _, session := range s.sessions.all() {
			session.abort(abi.Shutdown)
		}
		s.shards.close()
		s.subscriber.close()
		s.hub.close()
		err = s.web.close()
	})
	return err
}

// waitForSessions returns when there are none, or ctx has ended.
func (s *Server) waitForSessions(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if n, _ := s.sessions.sizes(); n == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Stats returns a moment's view.
func (s *Server) Stats() Stats {
	sessions, subs := s.sessions.sizes()
	st := Stats{
		Sessions: sessions, ShardSessions: int(s.shards.held.Load()), Subscriptions: subs, Subscribing: int(s.subscriber.calls.Load()),
		PinnedBytes: s.stats.pinned.Load(), Draining: s.draining.Load(), Wake: &s.stats.wake, Write: &s.stats.write,
		Descriptors: s.door.limit, Crowded: s.door.crowded.Load(), Shed: s.door.shed.Load(),
		Streams: s.stats.streams.Load(), Frames: s.stats.frames.Load(), Deltas: s.stats.deltas.Load(), FrameBytes: s.stats.frameBytes.Load(),
	}
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	st.Closes, st.Problems = cloned(s.stats.closes), cloned(s.stats.problems)
	st.Limits = map[string]map[string]uint64{}
	for name, m := range s.stats.limits {
		st.Limits[name] = cloned(m)
	}
	return st
}

func cloned(m map[string]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// noteStream logs what went wrong for a subscription of a stream, if it is ours.
func (s *Server) noteStream(session *session, err error) {
	p := problemOf(err)
	request := session.request
	s.stats.problem(p.Code)
	if p.ours() {
		s.log.Error("subscribe failed", slog.String("request", request), slog.String("code", string(p.Code)), slog.Any("err", err))
	}
}

// warnProxy says once that clients come through a proxy that is not trusted.
func (s *Server) warnProxy() {
	s.proxyWarn.Do(func() {
		s.log.Warn("requests come through a proxy that is not in server.trusted_proxies: limits per address are not counted for its clients")
	})
}

// conditions are those of the host and the server's own.
func (s *Server) conditions() []Condition {
	list := slices.Clone(s.cfg.Ready())
	own := Condition{Name: "accepting", OK: !s.draining.Load()}
	if !own.OK {
		own.Message = "the server is draining: send clients elsewhere"
	}
	return append(list, own)
}
