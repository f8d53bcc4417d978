package chat

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// gate is what stands between browsers and a server: it counts streams, cuts
// them, loses them, refuses them, and leads to another server.
type gate struct {
	URL string

	mu      sync.Mutex // protects the fields below
	target  *url.URL
	refuse  bool
	streams map[int]*passage // those that are open
	opened  int
	refused int
	token   func() string // answers /token
}

// passage is a stream on its way through.
type passage struct {
	http.ResponseWriter
	cancel context.CancelFunc
	lost   atomic.Bool // nothing reaches the browser any more, and nobody says so
}

func (p *passage) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *passage) Write(b []byte) (int, error) {
	if p.lost.Load() {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	g := &gate{streams: map[int]*passage{}}
	g.lead(t, target)
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		// Without X-Forwarded-For, so that development users are let through.
		Rewrite: func(r *httputil.ProxyRequest) {
			g.mu.Lock()
			defer g.mu.Unlock()
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = g.target.Scheme, g.target.Host, r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token" && g.token != nil:
			g.mu.Lock()
			token := g.token()
			g.mu.Unlock()
			_, _ = w.Write([]byte(token))
		case r.URL.Path == "/v1/stream":
			g.stream(w, r, proxy)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	g.URL = s.URL
	t.Cleanup(func() {
		g.cut()
		s.CloseClientConnections()
		s.Close()
		transport.CloseIdleConnections()
	})
	return g
}

func (g *gate) stream(w http.ResponseWriter, r *http.Request, next http.Handler) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	g.mu.Lock()
	if g.refuse {
		g.refused++
		g.mu.Unlock()
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	g.opened++
	n := g.opened
	p := &passage{ResponseWriter: w, cancel: cancel}
	g.streams[n] = p
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.streams, n)
		g.mu.Unlock()
	}()
	next.ServeHTTP(p, r.WithContext(ctx))
}

// lead leads what comes from now on to another server.
func (g *gate) lead(t *testing.T, target string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.target = u
}

// cut breaks all streams off.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.streams {
		p.cancel()
	}
}

// lose lets every stream that is open now die unnoticed.
func (g *gate) lose() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.streams {
		p.lost.Store(true)
	}
}

// shut refuses streams from now on, or no more.
func (g *gate) shut(refuse bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refuse = refuse
}

// counts returns how many streams are open, were opened, and were refused.
func (g *gate) counts() (open, opened, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.streams), g.opened, g.refused
}
