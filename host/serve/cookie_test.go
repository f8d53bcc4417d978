package serve

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/host/tenant"
)

const ownOrigin = "Origin: http://localhost"

// asCookie makes a cookie of a token and returns it as a header.
func (f *fixture) asCookie(path, token string) (header string, c *http.Cookie) {
	f.t.Helper()
	res := f.do(http.MethodPost, path, "", "Authorization: Bearer "+token)
	if res.status != http.StatusNoContent || len(res.header.Values("Set-Cookie")) != 1 {
		f.t.Fatalf("%s: %d %s %v", path, res.status, res.body, res.header)
	}
	c, err := http.ParseSetCookie(res.header.Get("Set-Cookie"))
	if err != nil {
		f.t.Fatal(err)
	}
	return "Cookie: " + c.Name + "=" + c.Value, c
}

func TestCookieLivesNoLongerThanItsTokenAndNoScriptReadsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("ann", "ann", time.Now().Add(10*time.Minute))
	f.user("ever", "ann", time.Time{})
	header, c := f.asCookie("/v1/cookie", "ann")
	if header != "Cookie: weir=ann" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/v1" || c.Domain != "" {
		t.Errorf("cookie %+v", c)
	}
	if c.MaxAge < 590 || c.MaxAge > 600 {
		t.Errorf("it lives for %d s, its token for 600", c.MaxAge)
	}
	if _, c := f.asCookie("/v1/cookie", "ever"); c.MaxAge != 0 {
		t.Errorf("of a token without end: %+v", c)
	}
	if _, c := f.asCookie("/t/default/v1/cookie", "ann"); c.Path != "/t/default/v1" {
		t.Errorf("of a tenant's path: %+v", c)
	}
	res := f.do(http.MethodDelete, "/v1/cookie", "", "Cookie: weir=whatever")
	if got := res.header.Get("Set-Cookie"); res.status != 204 || !strings.Contains(got, "Max-Age=0") || !strings.HasPrefix(got, "weir=;") {
		t.Errorf("dropped: %d %q", res.status, got)
	}
}

func TestCookieIsMadeOfABearerOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Tenant = limited(func(l *limits) { l.MaxTokenBytes = 8 << 10 }) })
	f.user("ann", "ann", inAnHour())
	f.user("late", "ann", time.Now().Add(900*time.Millisecond))
	long := strings.Repeat("a", maxCookieToken+1)
	f.user(long, "ann", inAnHour())
	ask := func(want int, headers ...string) {
		t.Helper()
		res := f.do(http.MethodPost, "/v1/cookie", "", headers...)
		if res.status != want || res.header.Get("Set-Cookie") != "" {
			t.Errorf("%.60v: %d %s, want %d", headers, res.status, res.body, want)
		}
	}
	ask(401)
	ask(401, "Authorization: Bearer none")
	ask(401, "Authorization: Bearer late")
	ask(401, "Cookie: weir=ann", ownOrigin, "Host: localhost")
	ask(413, "Authorization: Bearer "+long)
	ask(415, "Authorization: Bearer ann", "Content-Type: ", "Content-Type: text/plain")
}

// The first credential that is there counts, and one that does not hold is not
// passed over.
func TestCredentialsAreTakenInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("ann", "ann", inAnHour())
	f.user("bob", "bob", inAnHour())
	who := func(want string, headers ...string) {
		t.Helper()
		s := f.session("", append(headers, ownOrigin, "Host: localhost")...)
		defer s.close()
		for _, session := range f.server.sessions.all() {
			if session.id == s.sid && session.owner.Subject != want {
				t.Errorf("%v: it is %q, want %q", headers, session.owner.Subject, want)
			}
		}
	}
	who("")
	who("ann", "Cookie: weir=ann")
	who("bob", "Cookie: weir=ann", "Authorization: Bearer bob")
	for _, headers := range [][]string{
		{"Cookie: weir=ann", "Authorization: Bearer none"}, {"Cookie: weir=none"}, {"Cookie: weir="}, {"Cookie: weir=ann; weir=bob"},
	} {
		if res := f.do(http.MethodPost, "/v1/stream", "{}", append(headers, ownOrigin, "Host: localhost")...); res.status != 401 {
			t.Errorf("%v: %d %s", headers, res.status, res.body)
		}
	}
	k := f.ticket("Authorization: Bearer ann")
	for i, header := range []string{"Authorization: Bearer bob", "Cookie: weir=bob"} {
		s := f.stream(http.MethodGet, "/v1/stream?ticket="+k, "", header)
		if n := len(f.server.tickets.held); n != 1 {
			t.Errorf("%d: %s with a ticket used the ticket up", i, header)
		}
		s.close()
	}
}

// CSRF: the browser adds the cookie whatever page asks.
// Cases: 72.
func TestRequestsByCookieNeedTheirPagesOrigin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Hosts, c.Origins = []string{"api.example.com"}, []string{"https://app.example.com"} })
	f.user("ann", "ann", inAnHour())
	ask := func(method, path string, want int, headers ...string) response {
		t.Helper()
		body := ""
		if method == http.MethodPost {
			body = "{}"
		}
		res := f.do(method, path, body, append(headers, "Host: api.example.com", "Cookie: weir=ann")...)
		if res.status != want {
			t.Errorf("%s %s %v: %d %s, want %d", method, path, headers, res.status, res.body, want)
		}
		return res
	}
	const query = "/v1/q/rooms.list"
	// These change something, or open what does.
	for _, path := range []string{"/v1/call/x", "/v1/stream/x", "/v1/ticket", query} {
		ask(http.MethodPost, path, 403)
		ask(http.MethodPost, path, 403, "Sec-Fetch-Site: same-site")
		ask(http.MethodPost, path, 403, "Origin: https://evil.example.com")
		ask(http.MethodPost, path, 403, "Origin: null")
	}
	for _, origin := range []string{"Origin: https://app.example.com", "Origin: https://api.example.com"} {
		ask(http.MethodPost, query, 200, origin)
		ask(http.MethodPost, query, 415, origin, "Content-Type: ", "Content-Type: text/plain")
	}
	// Reading: a program, the page itself, an allowed page; not an image of a neighbour.
	ask(http.MethodGet, query, 200)
	ask(http.MethodGet, query, 200, "Sec-Fetch-Site: same-origin")
	ask(http.MethodGet, query, 403, "Sec-Fetch-Site: same-site")
	ask(http.MethodGet, query, 403, "Sec-Fetch-Site: cross-site")
	ask(http.MethodGet, query, 403, "Origin: https://evil.example.com")
	// Credentials of CORS: for the origins of the configuration and no others.
	if res := ask(http.MethodGet, query, 200, "Origin: https://app.example.com"); res.header.Get("Access-Control-Allow-Credentials") != "true" || res.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("an allowed page cannot read it: %v", res.header)
	}
	if res := ask(http.MethodGet, query, 200, "Origin: https://api.example.com"); res.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("same origin: %v", res.header)
	}
	res := f.do(http.MethodOptions, "/v1/cookie", "", "Host: api.example.com", "Origin: https://app.example.com", "Access-Control-Request-Method: DELETE")
	if res.status != 204 || !strings.Contains(res.header.Get("Access-Control-Allow-Methods"), "DELETE") || res.header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("preflight of DELETE: %d %v", res.status, res.header)
	}
	if res := f.do(http.MethodDelete, "/v1/cookie", "", "Host: api.example.com", "Origin: https://evil.example"); res.status != 403 || res.header.Get("Set-Cookie") != "" {
		t.Errorf("dropped by another site: %d", res.status)
	}
}

// Pages of this machine may ask in development, but not with cookies.
func TestDevelopmentGivesNoCookiesToOtherOrigins(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Dev = true })
	res := f.do(http.MethodGet, "/v1/q/rooms.list", "", "Origin: http://localhost:5173")
	if res.status != 200 || res.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", res.status, res.header)
	}
}

// A cookie carries a whole stream: EventSource opens it, fetch changes it.
func TestStreamByCookie(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.user("ann", "ann", inAnHour())
		s := f.stream(http.MethodGet, "/v1/stream", "", "Cookie: weir=ann", "Sec-Fetch-Site: same-origin")
		if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, `{"add":[{"id":1,"q":"rooms.list"}]}`, "Cookie: weir=ann", "Host: localhost", ownOrigin); res.status != 204 {
			t.Fatalf("change: %d %s", res.status, res.body)
		}
		s.expect("sub", "message")
		s.close()
	})
}

// ticket fetches a ticket.
func (f *fixture) ticket(headers ...string) string {
	f.t.Helper()
	res := f.do(http.MethodPost, "/v1/ticket", "", headers...)
	var answer struct {
		Ticket string `json:"ticket"`
		Life   int    `json:"expires_in_ms"`
	}
	if err := json.Unmarshal([]byte(res.body), &answer); err != nil || res.status != 200 || len(answer.Ticket) != 22 || answer.Life != 30_000 {
		f.t.Fatalf("ticket: %d %s", res.status, res.body)
	}
	if res.header.Get("Cache-Control") != "no-store" {
		f.t.Errorf("a ticket may be stored: %v", res.header)
	}
	return answer.Ticket
}

// Cases: 64.
func TestTicketOpensOneStream(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.user("ann", "ann", inAnHour())
		f.backend.deny("rooms.list/", true) // nobody may, ann may
		for _, path := range []string{"/v1/q/rooms.list?ticket=", "/v1/stream?ticket="} {
			k := f.ticket("Authorization: Bearer ann")
			// Neither one result nor a POST uses it up.
			if res := f.do(http.MethodGet, "/v1/q/rooms.list?ticket="+k, ""); res.status != 401 {
				t.Errorf("a result by ticket: %d %s", res.status, res.body)
			}
			if res := f.do(http.MethodPost, "/v1/stream?ticket="+k, "{}", eventStream); res.status != 401 {
				t.Errorf("a POST by ticket: %d %s", res.status, res.body)
			}
			s := f.stream(http.MethodGet, path+k, "")
			if sessions := f.server.sessions.all(); len(sessions) != 1 || sessions[0].owner.Subject != "ann" {
				t.Errorf("%s: not ann's stream", path)
			}
			// The EventSource comes back: it must stop for good (D4), and the page
			// fetches another. So it is for what never was a ticket.
			for _, again := range []string{k, newSID(), "", "x&ticket=y"} {
				if res := f.do(http.MethodGet, path+again, "", eventStream); res.status != 204 || res.body != "" {
					t.Errorf("%s%s: %d %s", path, again, res.status, res.body)
				}
			}
			s.close()
			eventually(t, "the stream's end", func() bool { return len(f.server.sessions.all()) == 0 })
		}
	})
}

func TestTicketsAreForWhoHasAToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Tenant = limited(func(l *limits) { l.MaxPrincipalSessions = 2 }) })
	f.user("ann", "ann", inAnHour())
	f.user("bob", "bob", inAnHour())
	ask := func(want int, headers ...string) {
		t.Helper()
		if res := f.do(http.MethodPost, "/v1/ticket", "", headers...); res.status != want {
			t.Errorf("%v: %d %s, want %d", headers, res.status, res.body, want)
		}
	}
	ask(401)
	ask(401, "Authorization: Bearer none")
	ask(415, "Authorization: Bearer ann", "Content-Type: ", "Content-Type: text/plain")
	first := f.ticket("Cookie: weir=ann", "Host: localhost", ownOrigin)
	f.ticket("Authorization: Bearer ann")
	ask(429, "Authorization: Bearer ann")
	ask(200, "Authorization: Bearer bob")
	f.stream(http.MethodGet, "/v1/stream?ticket="+first, "").close()
	ask(200, "Authorization: Bearer ann")
	if got := f.server.Stats().Limits[tenant.DefaultName]["tickets"]; got != 1 {
		t.Errorf("the limit was counted %d times", got)
	}
}

// Cases: 64.
func TestTicketIsOverAfter30SecondsOrWithItsToken(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		begin := time.Now()
		f.user("ann", "ann", begin.Add(time.Hour))
		f.user("brief", "ann", begin.Add(10*time.Second))
		open := func(k string, want int) {
			t.Helper()
			res := f.open(http.MethodGet, "/v1/stream?ticket="+k, "", eventStream)
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("after %v: %d, want %d", time.Since(begin), res.StatusCode, want)
			}
		}
		late, good, brief := f.ticket("Authorization: Bearer ann"), f.ticket("Authorization: Bearer ann"), f.ticket("Authorization: Bearer brief")
		<-time.After(ticketLife - time.Millisecond)
		open(good, 200)
		open(brief, 204)
		<-time.After(time.Millisecond)
		open(late, 204)
		f.ticket("Authorization: Bearer ann")
		if k := f.server.tickets; len(k.held) != 1 || len(k.byAge) != 1 || len(k.owners) != 1 || len(k.tenants) != 1 {
			t.Errorf("old tickets are kept: %+v", k)
		}
	})
}

// A ticket of one tenant is none of another's.
// Cases: 64.
func TestTicketIsOfItsTenant(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Tenant = func(_, name string) (*tenant.Tenant, error) {
			if name == "" {
				name = tenant.DefaultName
			}
			return &tenant.Tenant{Name: name}, nil
		}
	})
	f.user("ann", "ann", inAnHour())
	k := f.ticket("Authorization: Bearer ann")
	if res := f.do(http.MethodGet, "/t/acme/v1/stream?ticket="+k, "", eventStream); res.status != 204 {
		t.Errorf("another tenant's stream: %d", res.status)
	}
	f.stream(http.MethodGet, "/v1/stream?ticket="+k, "").close()
}

// D8: neither a ticket nor a cookie is in the log, whatever comes of it.
// Cases: 74.
func TestNoTicketAndNoCookieIsLogged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("canary-ann", "ann", inAnHour())
	k := f.ticket("Authorization: Bearer canary-ann")
	f.asCookie("/v1/cookie", "canary-ann")
	f.stream(http.MethodGet, "/v1/stream?ticket="+k, "").close()
	f.do(http.MethodGet, "/v1/stream?ticket="+k, "", eventStream)
	f.do(http.MethodGet, "/v1/q/rooms.list?ticket=canary", "")
	f.do(http.MethodGet, "/v1/q/rooms.list", "", "Cookie: weir=canary-cookie")
	f.do(http.MethodPost, "/v1/ticket", `{"canary":1}`, "Authorization: Bearer canary-ann")
	f.do(http.MethodGet, "/v1/none?ticket=canary", "")
	if log := f.log.String(); strings.Contains(log, "canary") || strings.Contains(log, k) || log == "" {
		t.Errorf("log: %s", log)
	}
}
