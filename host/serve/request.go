package serve

import (
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"weir/abi"
	"weir/host/auth"
	"weir/host/tenant"
)

// request is what the guards found out about a request.
type request struct {
	id     string
	host   string // in lower case, without port
	tenant *tenant.Tenant
	caller *auth.Caller
	// local says that the client is on this machine, behind no proxy, and
	// used a loopback name.
	local bool
	// countable is the client's address if sessions may be counted by it (D5).
	countable netip.Addr
	// crowded says that the connection has one of the last descriptors.
	crowded bool
}

// requestKey is the only context key of this package.
type requestKey struct{}

func withRequest(r *http.Request, q *request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), requestKey{}, q))
}

func requestOf(r *http.Request) *request {
	if q, ok := r.Context().Value(requestKey{}).(*request); ok {
		return q
	}
	return &request{}
}

func newRequest(r *http.Request, proxies []netip.Prefix) *request {
	q := &request{id: uuid.NewString(), host: hostName(r.Host), crowded: requestOf(r).crowded}
	peer := peerAddress(r)
	forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != ""
	q.local = !forwarded && isLoopbackName(q.host) && (peer.IsLoopback() || !peer.IsValid())
	q.countable = clientAddress(r, peer, proxies)
	return q
}

// hostName takes the port and the final dot off a Host header.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func isLoopbackName(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// peerAddress is the address of the other end of the connection; invalid for a
// Unix socket.
func peerAddress(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// clientAddress returns the address that a client may be counted by: a peer that
// is a public address itself, or the last address before the trusted proxies in
// X-Forwarded-For. Behind any other proxy all clients look like one (D5), so that
// none is counted. The leftmost entries are whatever the client wrote.
func clientAddress(r *http.Request, peer netip.Addr, proxies []netip.Prefix) netip.Addr {
	if !trusted(peer, proxies) {
		if !peer.IsValid() || peer.IsLoopback() || peer.IsPrivate() || peer.IsLinkLocalUnicast() {
			return netip.Addr{}
		}
		return peer
	}
	chain := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(chain) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(chain[i]))
		if err != nil {
			return netip.Addr{}
		}
		if a = a.Unmap().WithZone(""); !trusted(a, proxies) {
			return a
		}
	}
	return netip.Addr{}
}

func trusted(a netip.Addr, proxies []netip.Prefix) bool {
	for _, p := range proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// times bounds how long a client may take to send headers and body, and how long
// a connection may be idle. Tests change it.
type times struct{ header, body, idle time.Duration }

var usualTimes = times{header: 10 * time.Second, body: 20 * time.Second, idle: 2 * time.Minute}

// readBody reads the whole body: a stream must not begin before its request has
// ended (D3). The body must be JSON by its Content-Type, so that a page of
// another site cannot send it without a preflight.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, refusal(abi.MediaType)
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, &Refusal{Kind: abi.MediaType, Message: "send the body without Content-Encoding"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, err
	case err != nil:
		return nil, badRequest("the body ended early: send all of it within " + s.times.body.String())
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, nil
}

// bearer returns the token of the Authorization header, "" if there is none.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(token) == "" {
		return "", &Refusal{Kind: abi.Unauthenticated, Message: "send one Authorization header: Bearer and a token"}
	}
	return strings.TrimSpace(token), nil
}
