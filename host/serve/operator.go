package serve

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"weir/abi"
	"weir/reactor"
)

// Operator answers what operators ask on their listener. What it returns is
// encoded as JSON. It is safe for concurrent use, waits for nothing but the
// database, and never returns rows, claims, tokens or other secrets.
type Operator interface {
	// Overview is the state of the whole server.
	Overview() any
	// Functions describes what plugins offer.
	Functions() any
	// Groups lists what is live.
	Groups(ctx context.Context, q GroupsQuery) (any, error)
	// Runs lists the newest executions.
	Runs(ctx context.Context, tenant string, limit int) (any, error)
	// Why says why a result did or did not change.
	Why(ctx context.Context, q WhyQuery) (any, error)
	// Explain says what a function reads, in text. An empty tenant means the only
	// one, or "default".
	Explain(name, tenant string) (string, error)
}

// GroupsQuery asks for the first groups of a tenant, or of all.
type GroupsQuery struct {
	Tenant string // "": all
	By     reactor.Order
	Limit  int
}

// WhyQuery asks about one result: by function, arguments and caller, or by the
// group's name on the wire.
type WhyQuery struct {
	Tenant   string // "": the only one, or "default"
	Function string
	Args     Arguments
	// As is a user with no claims but sub; Token is a token. Both empty: nobody.
	As, Token string
	Group     string
}

// consoleFiles is the console: a page without a build step.
//
//go:embed console
var consoleFiles embed.FS

// consolePolicy lets the page use nothing but its own files and this listener.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var consoleTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// operate adds what operators ask, and the console, to the admin listener.
func (s *Server) operate(mux *http.ServeMux) {
	if s.cfg.Operator == nil {
		return
	}
	op := s.cfg.Operator
	answer := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			if err != nil {
				s.adminFail(w, err)
				return
			}
			tellJSON(w, http.StatusOK, v)
		})
	}
	answer("GET /api/overview", func(*http.Request) (any, error) { return op.Overview(), nil })
	answer("GET /api/functions", func(*http.Request) (any, error) { return op.Functions(), nil })
	answer("GET /api/groups", func(r *http.Request) (any, error) {
		q, err := groupsQuery(r)
		if err != nil {
			return nil, err
		}
		return op.Groups(r.Context(), q)
	})
	answer("GET /api/groups/{group}", func(r *http.Request) (any, error) {
		return op.Why(r.Context(), WhyQuery{Tenant: r.URL.Query().Get("tenant"), Group: r.PathValue("group")})
	})
	answer("GET /api/runs", func(r *http.Request) (any, error) {
		limit, err := listLimit(r)
		if err != nil {
			return nil, err
		}
		return op.Runs(r.Context(), r.URL.Query().Get("tenant"), limit)
	})
	answer("GET /api/explain/{name}", func(r *http.Request) (any, error) {
		text, err := op.Explain(r.PathValue("name"), r.URL.Query().Get("tenant"))
		return map[string]string{"text": text}, err
	})
	why := func(r *http.Request) (any, error) {
		q, err := whyQuery(r)
		if err != nil {
			return nil, err
		}
		return op.Why(r.Context(), q)
	}
	answer("GET /why/{name}", why)
	answer("GET /t/{tenant}/why/{name}", why)
	mux.HandleFunc("GET /why", func(w http.ResponseWriter, _ *http.Request) {
		s.adminFail(w, badRequest("name a function and its arguments: /why/messages.list?room=7&as=ann"))
	})
	mux.HandleFunc("/play/", s.play)
	mux.HandleFunc("GET /console/", serveConsole)
	mux.Handle("GET /{$}", http.RedirectHandler("/console/", http.StatusFound))
}

func serveConsole(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/console/")
	if name == "" {
		name = "index.html"
	}
	text, err := consoleFiles.ReadFile("console/" + name)
	kind := consoleTypes[path.Ext(name)]
	if err != nil || kind == "" {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", consolePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(text)
}

// play is the playground: the public listener's own handler, with its own guards,
// on this one. It gives no right that the public listener does not give: users by
// name exist only under weir dev, from this machine, and else a token is needed.
func (s *Server) play(w http.ResponseWriter, r *http.Request) {
	inner := r.Clone(r.Context())
	inner.URL.Path = strings.TrimPrefix(r.URL.Path, "/play")
	inner.URL.RawPath = ""
	if !isAPI(inner.URL.Path) {
		http.NotFound(w, r)
		return
	}
	// The names and origins of the public listener are not those of this one, which
	// has asked its own; what came from another site did not get here.
	inner.Host = "localhost"
	inner.Header.Del("Origin")
	inner.Header.Del("Sec-Fetch-Site")
	inner.Header.Del("Cookie")
	s.handler.ServeHTTP(w, inner)
}

// ownPage reports whether a request of the admin listener comes from a program or
// from its own page. What other sites' pages send to loopback is refused, whether
// they can read the answer or not.
func ownPage(r *http.Request) bool {
	if origins := r.Header.Values("Origin"); len(origins) > 0 {
		return len(origins) == 1 && sameOrigin(origins[0], r.Host)
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	// A link to the console may be on any page.
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Method == http.MethodGet
}

// adminFail tells an operator of an error: all of it, but for what tokens hold.
func (s *Server) adminFail(w http.ResponseWriter, err error) {
	p := problemOf(err)
	if p.ours() {
		p.Message = err.Error()
	}
	tellJSON(w, p.Status, struct {
		Code    abi.Code `json:"code"`
		Message string   `json:"message"`
	}{p.Code, p.Message})
}

func tellJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer for operators cannot be encoded: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// The bounds of lists.
const (
	listDefault = 50
	listMost    = 500
)

func listLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return listDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > listMost {
		return 0, badRequest(fmt.Sprintf("limit is a number from 1 to %d", listMost))
	}
	return n, nil
}

var orders = map[string]reactor.Order{"": reactor.ByWatchers, "watchers": reactor.ByWatchers, "cost": reactor.ByCost, "failures": reactor.ByFailures}

func groupsQuery(r *http.Request) (q GroupsQuery, err error) {
	params := r.URL.Query()
	by, known := orders[params.Get("by")]
	if !known {
		return q, badRequest("by is one of watchers, cost, failures")
	}
	q = GroupsQuery{Tenant: params.Get("tenant"), By: by}
	q.Limit, err = listLimit(r)
	return q, err
}

// whyQuery takes the arguments as GET /v1/q does. Tokens come in a header: what is
// in an address is kept by shells and browsers.
func whyQuery(r *http.Request) (WhyQuery, error) {
	q := WhyQuery{Tenant: r.PathValue("tenant"), Function: r.PathValue("name")}
	var err error
	if q.Token, err = bearer(r); err != nil {
		return q, err
	}
	params, err := parameters(r)
	if err != nil {
		return q, err
	}
	q.As = params.Get("as")
	if q.As != "" && q.Token != "" {
		return q, badRequest("as and a token are two ways to name a caller: use one")
	}
	q.Args, err = whyArguments(params)
	return q, err
}

func whyArguments(params url.Values) (Arguments, error) {
	text, all := params.Get("args"), params.Has("args")
	for _, name := range reserved {
		params.Del(name)
	}
	switch {
	case !all:
		return Arguments{Params: params}, nil
	case len(params) > 0:
		return Arguments{}, badRequest("with args= all arguments are inside it")
	}
	return jsonArguments([]byte(text))
}

// Readers says how the streams of one result stand.
type Readers struct {
	Streams int `json:"streams"`
	// Behind have not been sent the newest result that they may see.
	Behind int `json:"behind"`
	// Writing are in the middle of an older one: slow clients, if it lasts.
	Writing int `json:"writing"`
}

// Readers looks at every stream that watches a publication.
func (s *Server) Readers(pub *reactor.Publication) (r Readers) {
	for _, session := range s.hub.watchersOf(pub) {
		r.Streams++
		if session.behind(pub) {
			r.Behind++
		}
		if p := session.writing.Load(); p != nil && p.pub == pub {
			if st := pub.State(); st != nil && st.Frame != p.frame {
				r.Writing++
			}
		}
	}
	return r
}

// behind reports whether a subscription of the session may see a newer result of
// the publication than the client was sent.
func (s *session) behind(pub *reactor.Publication) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if sub.live == nil || sub.live.Sub.Publication() != pub {
			continue
		}
		if st, shown := sub.live.State(); shown && st.Frame != nil && !(sub.has && sub.version == st.Frame.Version) {
			return true
		}
	}
	return false
}
