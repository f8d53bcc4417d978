package serve

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
)

func TestHostIsCheckedBeforeAnythingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Hosts = []string{"chat.example.com", "Other.Example:8090"} })
	ask := func(host string, want int) {
		t.Helper()
		res := f.do(http.MethodGet, "/v1/q/rooms.list", "", "Host: "+host, "Origin: https://evil.example", "Authorization: Bearer forged")
		if res.status != want {
			t.Errorf("host %q: %d %s, want %d", host, res.status, res.body, want)
		}
		if want == 421 && !strings.Contains(res.body, `"message":"host \"`+hostName(host)+`\" is not in server.hosts"`) {
			t.Errorf("host %q: %s", host, res.body)
		}
	}
	for _, host := range []string{"evil.example", "chat.example.com.evil.example", "127.0.0.1.nip.io", "192.168.0.1", "localhost.evil.example:80"} {
		ask(host, 421)
	}
	// These pass the host check and are refused by the next guard.
	for _, host := range []string{"chat.example.com", "CHAT.example.com.:443", "other.example", "localhost:1", "127.0.0.1", "[::1]:8090"} {
		ask(host, 403)
	}
}

// In development a page of this machine may ask, whatever its port: a bundler's
// server is one. Nobody else may, and under serve not even it.
func TestDevelopmentTakesPagesOfThisMachine(t *testing.T) {
	t.Parallel()
	for _, dev := range []bool{true, false} {
		f := newFixture(t, func(c *Config) { c.Dev = dev })
		ask := func(origin string, want int) {
			t.Helper()
			if !dev {
				want = 403
			}
			if res := f.do(http.MethodGet, "/v1/q/rooms.list", "", "Origin: "+origin, "Sec-Fetch-Site: same-site"); res.status != want {
				t.Errorf("dev %v, %s: %d %s, want %d", dev, origin, res.status, res.body, want)
			} else if got := res.header.Get("Access-Control-Allow-Origin"); want == 200 && got != origin {
				t.Errorf("%s: allowed origin %q", origin, got)
			}
		}
		ask("http://localhost:5173", 200)
		ask("http://127.0.0.1:5173", 200)
		ask("http://[::1]:5173", 200)
		for _, origin := range []string{"null", "https://evil.example", "http://localhost.evil.example", "http://localhost@evil.example", "file://localhost", "http://localhost:5173/"} {
			ask(origin, 403)
		}
	}
}

// Cases: 71.
func TestCrossSiteRequestsNeedAnAllowedOrigin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Hosts, c.Origins = []string{"api.example.com"}, []string{"https://app.example.com"}
	})
	ask := func(method, path string, want int, headers ...string) response {
		t.Helper()
		body := ""
		if method == http.MethodPost {
			body = "{}"
		}
		res := f.do(method, path, body, append(headers, "Host: api.example.com")...)
		if res.status != want {
			t.Errorf("%s %s %v: %d %s, want %d", method, path, headers, res.status, res.body, want)
		}
		return res
	}
	const query, call = "/v1/q/rooms.list", "/v1/call/x"
	ask(http.MethodGet, query, 200)
	ask(http.MethodGet, query, 200, "Sec-Fetch-Site: none")
	ask(http.MethodGet, query, 200, "Sec-Fetch-Site: same-origin")
	ask(http.MethodGet, query, 403, "Sec-Fetch-Site: cross-site")
	ask(http.MethodGet, query, 200, "Origin: https://api.example.com")
	ask(http.MethodGet, query, 200, "Origin: https://api.example.com:443")
	for _, origin := range []string{
		"null", "https://evil.example", "https://app.example.com.evil.example", "https://evilapp.example.com",
		"http://app.example.com", "https://app.example.com:444", "https://app.example.com/", "https://api.example.com@evil.example", "*",
		"https://evilapi.example.com", "https://evil.api.example.com", "https://api.example.com.evil.example", "https://api.example.com:444",
	} {
		ask(http.MethodGet, query, 403, "Origin: "+origin)
		ask(http.MethodPost, call, 403, "Origin: "+origin)
		ask(http.MethodOptions, call, 403, "Origin: "+origin, "Access-Control-Request-Method: POST")
	}
	ask(http.MethodGet, query, 403, "Origin: https://app.example.com", "Origin: https://evil.example")

	res := ask(http.MethodGet, query, 200, "Origin: https://app.example.com", "Sec-Fetch-Site: cross-site")
	if got := res.header.Get("Access-Control-Allow-Origin"); got != "https://app.example.com" {
		t.Errorf("allowed origin %q", got)
	}
	if !strings.Contains(strings.Join(res.header.Values("Vary"), ","), "Origin") {
		t.Error("no Vary: Origin")
	}
	res = ask(http.MethodOptions, call, 204, "Origin: https://app.example.com", "Access-Control-Request-Method: POST")
	if !strings.Contains(res.header.Get("Access-Control-Allow-Headers"), "Authorization") || res.header.Get("Access-Control-Max-Age") != "600" {
		t.Errorf("preflight: %v", res.header)
	}
	// A refusal of an allowed origin can be read by its page.
	res = ask(http.MethodGet, "/v1/q/nothing", 404, "Origin: https://app.example.com")
	if res.header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("a problem without CORS headers looks like a broken network")
	}
}

// Cases: 72.
func TestPostsMustBeJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json2"} {
		for _, path := range []string{"/v1/call/x", "/v1/stream", "/v1/stream/x", "/v1/q/rooms.list"} {
			if res := f.do(http.MethodPost, path, "{}", "Content-Type: ", "Content-Type: "+kind); res.status != 415 {
				t.Errorf("%s as %q: %d", path, kind, res.status)
			}
		}
	}
	if res := f.do(http.MethodPost, "/v1/q/rooms.list", "{}", "Content-Type: ", "Content-Type: application/json; charset=utf-8"); res.status != 200 {
		t.Errorf("with a charset: %d", res.status)
	}
	if res := f.do(http.MethodPost, "/v1/q/rooms.list", "{}", "Content-Encoding: gzip"); res.status != 415 {
		t.Errorf("compressed: %d", res.status)
	}
}

func TestTokensThatDoNotHoldAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("good", "ann", inAnHour())
	f.verify["foreign"] = f.verify["good"]
	other := *f.verify["good"]
	other.Principal.Tenant = "acme"
	f.verify["foreign"] = &other
	ask := func(want int, code string, headers ...string) {
		t.Helper()
		res := f.do(http.MethodGet, "/v1/q/rooms.list", "", headers...)
		if res.status != want || code != "" && codeOf(t, res) != code {
			t.Errorf("%.80v: %d %s, want %d %s", headers, res.status, res.body, want, code)
		}
		if want == 401 && res.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%.80v: no WWW-Authenticate", headers)
		}
	}
	ask(200, "", "Authorization: Bearer good")
	ask(200, "", "Authorization: bearer good")
	ask(401, "unauthenticated", "Authorization: Bearer bad")
	ask(401, "unauthenticated", "Authorization: Bearer")
	ask(401, "unauthenticated", "Authorization: Basic Z29vZA==")
	ask(401, "unauthenticated", "Authorization: Bearer good", "Authorization: Bearer good")
	ask(403, "denied", "Authorization: Bearer foreign")
	ask(413, "too_large", "Authorization: Bearer "+strings.Repeat("a", 8193))
	// Development users do not exist here.
	ask(401, "unauthenticated", "Authorization: Bearer dev:ann")
	for _, path := range []string{"/v1/q/rooms.list?as=ann", "/v1/q/rooms.list?ticket=x"} {
		if res := f.do(http.MethodGet, path, ""); res.status != 401 {
			t.Errorf("%s: %d", path, res.status)
		}
	}
}

func TestDevelopmentUsersOnlyFromThisMachine(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Dev, c.Hosts = true, []string{"tunnel.example"} })
	f.user("dev:ann", "ann", time.Time{}) // the verifier's word
	ask := func(path string, want int, headers ...string) {
		t.Helper()
		if res := f.do(http.MethodGet, path, "", headers...); res.status != want {
			t.Errorf("%s %v: %d %s, want %d", path, headers, res.status, res.body, want)
		}
	}
	ask("/v1/q/rooms.list?as=ann", 200)
	ask("/v1/q/rooms.list", 200, "Authorization: Bearer dev:ann")
	ask("/v1/q/rooms.list?as=", 401)
	ask("/v1/q/rooms.list?as=ann", 401, "Host: tunnel.example")
	ask("/v1/q/rooms.list?as=ann", 401, "X-Forwarded-For: 1.2.3.4")
	ask("/v1/q/rooms.list?as=ann", 401, "Forwarded: for=1.2.3.4")
	r := httptest.NewRequest(http.MethodGet, "http://localhost/v1/q/rooms.list?as=ann", nil)
	r.RemoteAddr = "203.0.113.9:1"
	w := httptest.NewRecorder()
	f.server.Handler().ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("from another machine: %d", w.Code)
	}
}

// D5: behind a proxy every client has one address, and X-Forwarded-For is what
// the client wrote unless a trusted proxy added to it.
func TestClientAddressIsCountedOnlyWhenKnown(t *testing.T) {
	t.Parallel()
	proxies, err := parsePrefixes([]string{"127.0.0.1", "10.1.0.0/16", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	f := func(peer, forwarded, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = peer
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		got := clientAddress(r, peerAddress(r), proxies)
		if text := got.String(); got.IsValid() && text != want || !got.IsValid() && want != "" {
			t.Errorf("peer %s forwarded %q: %v, want %q", peer, forwarded, got, want)
		}
	}
	f("203.0.113.9:1", "", "203.0.113.9")
	f("203.0.113.9:1", "198.51.100.1", "203.0.113.9") // not a proxy of ours: its word is nothing
	f("192.168.0.7:1", "198.51.100.1", "")            // some proxy: everybody behind it looks like one
	f("172.17.0.1:1", "", "")
	f("127.0.0.1:1", "198.51.100.1", "198.51.100.1")
	f("127.0.0.1:1", "6.6.6.6, 198.51.100.1, 10.1.2.3", "198.51.100.1")
	f("127.0.0.1:1", "", "")
	f("127.0.0.1:1", "evil", "")
	f("[::1]:1", "::ffff:198.51.100.1", "198.51.100.1")
	f("@", "", "")
	if _, err := parsePrefixes([]string{"proxy.example"}); err == nil {
		t.Error("a name was taken for a proxy")
	}
}

// D5: limits that do not count behind a proxy are told of.
func TestUntrustedProxyIsToldOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for range 3 {
		f.do(http.MethodGet, "/v1/q/rooms.list", "", "X-Forwarded-For: 1.2.3.4")
	}
	if n := strings.Count(f.log.String(), "trusted_proxies"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// D8: arguments are personal data, tokens are keys.
// Cases: 74.
func TestNoQueryStringAndNoTokenIsLogged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.fail("messages.list", &abi.Error{Code: abi.SQLError})
	f.do(http.MethodGet, "/v1/q/messages.list?text=canary-argument", "", "Authorization: Bearer canary-token")
	f.do(http.MethodGet, "/v1/q/messages.list?text=canary-argument", "")
	f.do(http.MethodGet, "/v1/q/none?text=canary-argument&as=canary-user", "")
	f.do(http.MethodPost, "/v1/call/x?canary=1", `{"canary":1}`)
	f.do(http.MethodGet, "/v1/q/messages.list?text=%zz-canary", "")
	if log := f.log.String(); strings.Contains(log, "canary") || log == "" {
		t.Errorf("log: %s", log)
	}
}

func TestTenantsAreChosenByPathOrHost(t *testing.T) {
	t.Parallel()
	acme := &tenant.Tenant{Name: "acme"}
	f := newFixture(t, func(c *Config) {
		c.Hosts = []string{"live.acme.com"}
		c.Tenant = func(host, name string) (*tenant.Tenant, error) {
			switch {
			case name == "acme" || name == "" && host == "live.acme.com":
				return acme, nil
			case name == "":
				return &tenant.Tenant{Name: tenant.DefaultName}, nil
			}
			return nil, tenant.ErrUnknownTenant
		}
	})
	f.user("ann", "ann", inAnHour())
	ask := func(path string, want int, wantTenant string, headers ...string) {
		t.Helper()
		f.backend.mu.Lock()
		f.backend.asked = nil
		f.backend.mu.Unlock()
		res := f.do(http.MethodGet, path, "", headers...)
		f.backend.mu.Lock()
		defer f.backend.mu.Unlock()
		if res.status != want || want == 200 && f.backend.asked[0].Tenant != wantTenant {
			t.Errorf("%s: %d %s %+v", path, res.status, res.body, f.backend.asked)
		}
	}
	ask("/v1/q/rooms.list", 200, "default")
	ask("/t/acme/v1/q/rooms.list", 200, "acme")
	ask("/v1/q/rooms.list", 200, "acme", "Host: live.acme.com")
	ask("/t/other/v1/q/rooms.list", 404, "")
	ask("/t/acme/v1/q/rooms.list", 403, "", "Authorization: Bearer ann")
}

func codeOf(t *testing.T, res response) string {
	t.Helper()
	var p struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(res.body), &p); err != nil {
		t.Fatalf("%q is no problem: %v", res.body, err)
	}
	if res.header.Get("Content-Type") != "application/problem+json" || p.Message == "" || p.RequestID != res.header.Get("X-Request-Id") {
		t.Errorf("problem %s with %v", res.body, res.header)
	}
	return p.Code
}
