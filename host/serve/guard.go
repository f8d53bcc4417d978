package serve

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"weir/abi"
)

// guards is what stands before every handler of the public listener.
type guards struct {
	server *Server
}

// Edge is what the public listener knows of the world around it. It is immutable.
type Edge struct {
	hosts   map[string]bool
	origins []string
	proxies []netip.Prefix
}

// NewEdge makes an Edge of what Config says under the same names. The error is
// one sentence.
func NewEdge(hosts, origins, proxies []string) (*Edge, error) {
	g := &Edge{hosts: map[string]bool{}}
	for _, h := range hosts {
		g.hosts[hostName(h)] = true
	}
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.Path != "" || u.RawQuery != "" {
			return nil, fmt.Errorf("origin %q is not of the form https://host or https://host:port", o)
		}
		g.origins = append(g.origins, strings.ToLower(o))
	}
	var err error
	g.proxies, err = parsePrefixes(proxies)
	return g, err
}

func parsePrefixes(texts []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q is neither an address nor a prefix such as 10.0.0.0/8", text)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// edge gives the request its id and answers for panics: this is the one recover
// of the server. What was half written is cut off.
func (g *guards) edge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxies := g.server.edge.Load().proxies
		q := newRequest(r, proxies)
		r = withRequest(r, q)
		h := w.Header()
		h.Set("X-Request-Id", q.id)
		h.Set("X-Content-Type-Options", "nosniff")
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p != http.ErrAbortHandler { //nolint:errorlint // a panic's value is compared as it is
				g.server.log.Error("BUG: a handler panicked", slog.String("request", q.id), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			}
			panic(http.ErrAbortHandler)
		}()
		if r.Header.Get("X-Forwarded-For") != "" && !trusted(peerAddress(r), proxies) {
			g.server.warnProxy()
		}
		if r.ContentLength != 0 {
			// Whoever is refused before the body is read is read to its end too, by
			// net/http. It is readBody that takes the deadline away.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.server.times.body))
			if r.Method != http.MethodPost {
				// Nobody would read it, and a stream must not begin before its request has ended (D3).
				g.server.fail(w, r, badRequest("only a POST has a body"))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// host lets only names pass that the server answers to, before anything else: a
// page that points its own name at this address (DNS rebinding) is same-origin
// for its browser, and only its Host header tells.
func (g *guards) host(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := requestOf(r).host
		if isLoopbackName(host) || g.server.edge.Load().hosts[host] {
			next.ServeHTTP(w, r)
			return
		}
		g.server.fail(w, r, &Refusal{Kind: abi.WrongHost, Message: fmt.Sprintf("host %q is not in server.hosts", host)})
	})
}

// Headers of CORS. Only the origins of the configuration may send cookies; a
// Bearer header needs no leave.
const (
	corsMethods = "GET, POST, DELETE"
	corsHeaders = "Authorization, Content-Type, If-None-Match, Last-Event-ID, Weir-Session, Idempotency-Key"
	corsExposed = "ETag, Retry-After, Weir-Status, X-Request-Id"
)

// origin refuses what another site's page asks for, unless that site is allowed.
func (g *guards) origin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin")
		origins := r.Header.Values("Origin")
		switch {
		case len(origins) == 0:
			// Requests without Origin: programs, same-origin GETs, and
			// cross-site GETs of images and scripts, which browsers mark.
			if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
				g.server.fail(w, r, refusal(abi.CrossSite))
				return
			}
		case len(origins) == 1 && sameOrigin(origins[0], r.Host):
		case len(origins) == 1 && g.allowed(origins[0], requestOf(r).local):
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origins[0])
			if g.configured(origins[0]) {
				h.Set("Access-Control-Allow-Credentials", "true")
			}
			h.Set("Access-Control-Expose-Headers", corsExposed)
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", corsMethods)
				h.Set("Access-Control-Allow-Headers", corsHeaders)
				h.Set("Access-Control-Max-Age", "600")
			}
		default:
			g.server.fail(w, r, refusal(abi.CrossSite))
			return
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// room refuses what comes on one of the last descriptors, in the way that lets
// each kind of client come back, and gives the descriptor back.
func (g *guards) room(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requestOf(r).crowded {
			// Not in the log: there are many, and the metrics count them.
			w.Header().Set("Connection", "close")
			if r.Method == http.MethodGet && wantsStream(r) {
				g.server.closeAtOnce(w, abi.Overload, retryMS(2*time.Second, 10*time.Second))
			} else {
				g.server.writeProblem(w, r, problemOfCode(abi.Overload, ""))
			}
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowed reports whether pages of another origin may ask: those that the
// configuration names, and in development, from this machine, those of this
// machine, such as a bundler's server.
func (g *guards) allowed(origin string, local bool) bool {
	if g.configured(origin) {
		return true
	}
	if !g.server.cfg.Dev || !local {
		return false
	}
	u, err := url.Parse(origin)
	return err == nil && u.Scheme == "http" && u.User == nil && u.Path == "" && isLoopbackName(hostName(u.Host))
}

// configured reports whether the configuration names the origin.
func (g *guards) configured(origin string) bool {
	return slices.Contains(g.server.edge.Load().origins, strings.ToLower(origin))
}

// sameOrigin compares host and port. The scheme is not known behind a proxy that
// ends TLS; a page of this name on another scheme is this server's all the same.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" {
		return false
	}
	return strings.EqualFold(withoutDefaultPort(u.Host, u.Scheme), withoutDefaultPort(host, u.Scheme))
}

func withoutDefaultPort(host, scheme string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}
