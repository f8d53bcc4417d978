package serve

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"weir/abi"
	"weir/host/auth"
)

// tenant finds the tenant of a request.
func (g *guards) tenant(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := requestOf(r)
		var err error
		if q.tenant, err = g.server.cfg.Tenant(q.host, chi.URLParam(r, "tenant")); err != nil {
			g.server.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// identify finds the caller. The first credential that is there counts:
// Authorization (in development ?as= in its place), the cookie, a ticket. One
// that does not hold is refused, never passed over.
func (g *guards) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := requestOf(r)
		var err error
		q.caller, err = g.caller(r, q)
		switch {
		case errors.Is(err, errTicket) && opensStream(r):
			// An EventSource that comes back with its ticket stops for good; the
			// page fetches another. What was never a ticket looks the same.
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusNoContent)
		case err != nil:
			g.server.fail(w, r, err)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (g *guards) caller(r *http.Request, q *request) (*auth.Caller, error) {
	params, err := parameters(r)
	if err != nil {
		return nil, err
	}
	token, err := bearer(r)
	if err != nil {
		return nil, err
	}
	if params.Has("as") && !auth.IsDevToken(token) {
		token = auth.DevToken(params.Get("as"))
	}
	if token == "" {
		if token, err = cookieToken(r); err != nil {
			return nil, err
		}
	}
	if token == "" && params.Has("ticket") {
		return g.redeem(r, q, params)
	}
	return g.verify(r, q, token)
}

// verify returns the caller of a token; "" is nobody's.
func (g *guards) verify(r *http.Request, q *request, token string) (*auth.Caller, error) {
	// Who such a user is, the verifier says; from where one may come, only this
	// listener knows.
	if auth.IsDevToken(token) && (!g.server.cfg.Dev || !q.local) {
		return nil, &Refusal{Kind: abi.Unauthenticated, Message: "development users exist only under weir dev, from this machine: send a token"}
	}
	if token == "" {
		return auth.Anonymous(q.tenant.Name), nil
	}
	// Length comes before anything that reads the token (D7).
	if limit := q.tenant.Limits.WithDefaults().MaxTokenBytes; limit > 0 && len(token) > limit {
		g.server.stats.reached(q.tenant.Name, "token_bytes")
		return nil, &Refusal{Kind: abi.TooLarge, Message: "the token is over " + strconv.Itoa(limit) + " bytes: get one with fewer claims"}
	}
	if g.server.cfg.Verify == nil {
		return nil, refusal(abi.Unauthenticated)
	}
	caller, err := g.server.cfg.Verify(r.Context(), q.tenant, token)
	var refused *auth.Error
	if auth.IsDevToken(token) && errors.As(err, &refused) {
		// There is no secret to guess.
		return nil, &Refusal{Kind: abi.Unauthenticated, Message: refused.Detail()}
	}
	return caller, err
}

// errTicket is the refusal of a ticket: used, over, or none at all.
var errTicket = &Refusal{Kind: abi.Unauthenticated, Message: "the ticket is not valid: fetch a new one"}

// redeem takes a ticket. It opens a stream and does nothing else: another request
// leaves it as it was.
func (g *guards) redeem(r *http.Request, q *request, params url.Values) (*auth.Caller, error) {
	if !opensStream(r) {
		return nil, &Refusal{Kind: abi.Unauthenticated, Message: "a ticket opens one stream: send Accept: text/event-stream, or a token"}
	}
	if caller := g.server.tickets.take(params.Get("ticket"), q.tenant.Name); caller != nil && len(params["ticket"]) == 1 {
		return caller, nil
	}
	return nil, errTicket
}

// opensStream reports whether the request is one that an EventSource makes.
func opensStream(r *http.Request) bool {
	return r.Method == http.MethodGet && (wantsStream(r) || strings.HasSuffix(r.URL.Path, "/v1/stream"))
}
