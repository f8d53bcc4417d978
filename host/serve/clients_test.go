package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/abi"
)

// The cases of clients who mean harm, on a real listener with the server's own
// bounds. docs/security.md lists them by number.

// newDoor is a fixture behind Server.Run. Whatever a case does, nothing of a token
// or a row may be in the log (case 74): all of them say canary.
func newDoor(t *testing.T, change func(*Config), adjust ...func(*Server)) *fixture {
	t.Helper()
	f := newParts(t, change)
	for _, a := range adjust {
		a(f.server)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.server.Run(ctx, l) }()
	tr := &http.Transport{}
	f.url, f.client = "http://"+l.Addr().String(), &http.Client{Transport: tr}
	f.user("canary-ann", "ann", inAnHour())
	f.user("canary-bob", "bob", inAnHour())
	f.backend.set("rooms.list", `"key":["id"],"rows":[{"id":"canary"}]`)
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("run: %v", err)
		}
		tr.CloseIdleConnections()
		f.backend.close()
		if log := f.log.String(); strings.Contains(log, "canary") {
			t.Errorf("case 74: the log has what it must not:\n%s", log)
		}
	})
	return f
}

const asAnn, asBob = "Authorization: Bearer canary-ann", "Authorization: Bearer canary-bob"

// plain opens a connection that ends by itself.
func (f *fixture) plain() net.Conn {
	f.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// raw sends a text and reads until the server closes the connection.
func (f *fixture) raw(text string) string {
	f.t.Helper()
	c := f.plain()
	if _, err := io.WriteString(c, text); err != nil {
		return "" // it was closed while the text was on its way
	}
	all, err := io.ReadAll(c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		f.t.Errorf("%.60q: the server keeps the connection; it said %q", text, all)
	}
	return string(all)
}

// Cases: 61.
func TestCase61TokenExpiresMidStream(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	end := time.Now().Add(1200 * time.Millisecond).Truncate(time.Millisecond)
	f.user("canary-brief", "ann", end)
	s := f.session("", "Authorization: Bearer canary-brief")
	// Somebody else's token renews nothing.
	if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, `{}`, asBob); res.status != 404 || codeOf(t, res) != "session_gone" {
		t.Errorf("renewed by another: %d %s", res.status, res.body)
	}
	s.until("expiring", func(e sseEvent) bool { return e.name == "expiring" })
	e := s.until("close", func(e sseEvent) bool { return e.name == "close" })
	if e.field("reason") != "expired" || time.Now().Before(end) {
		t.Errorf("%s", e)
	}
	s.ended()
	f.user("canary-brief", "ann", time.Now().Add(time.Second))
	s = f.session("", "Authorization: Bearer canary-brief")
	if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, `{"add":[{"id":1,"q":"rooms.list"}]}`, asAnn); res.status != 204 {
		t.Errorf("renewed by the same: %d %s", res.status, res.body)
	}
	s.until("a result after the renewal", func(e sseEvent) bool { return e.name == "message" })
}

// There are no API keys: what looks like one is nobody's, and no credential that
// lives is taken from a URL.
// Cases: 63.
func TestCase63NoLastingCredentialInAURL(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	for _, name := range []string{"token", "access_token", "api_key", "key", "jwt"} {
		if res := f.do(http.MethodGet, "/v1/stream?"+name+"=canary-ann", "", eventStream); res.status != 400 || strings.Contains(res.body, "canary") {
			t.Errorf("?%s=: %d %s", name, res.status, res.body)
		}
	}
	f.backend.deny("rooms.list/", true)
	for _, header := range []string{"X-Api-Key: canary-ann", "Apikey: canary-ann", "X-Authorization: Bearer canary-ann", "Proxy-Authorization: Bearer canary-ann", "Cookie: token=canary-ann"} {
		if res := f.do(http.MethodGet, "/v1/q/rooms.list", "", header); res.status != 403 {
			t.Errorf("%s: %d", header, res.status)
		}
	}
	for _, header := range []string{"Authorization: canary-ann", "Authorization: Basic canary-ann", "Authorization: ApiKey canary-ann"} {
		if res := f.do(http.MethodGet, "/v1/q/rooms.list", "", header); res.status != 401 {
			t.Errorf("%s: %d", header, res.status)
		}
	}
}

// Cases: 64.
func TestCase64TicketIsForOneStream(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	k := f.ticket(asAnn)
	s := f.stream(http.MethodGet, "/v1/q/rooms.list?ticket="+k, "", "Referer: http://localhost/?ticket="+k)
	s.expect("sub", "message")
	for range 3 {
		if res := f.do(http.MethodGet, "/v1/q/rooms.list?ticket="+k, "", eventStream); res.status != 204 {
			t.Errorf("replayed: %d %s", res.status, res.body)
		}
	}
	if log := f.log.String(); strings.Contains(log, k) {
		t.Errorf("the log has the ticket: %s", log)
	}
}

// Cases: 65.
func TestCase65ForeignSessionIsLikeNone(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	s := f.session("", asAnn)
	body := `{"add":[{"id":1,"q":"rooms.list"}]}`
	ask := func(sid string, headers ...string) string {
		res := f.do(http.MethodPost, "/v1/stream/"+sid, body, headers...)
		if res.status != 404 {
			t.Errorf("%v: %d %s", headers, res.status, res.body)
		}
		return regexp.MustCompile(`"request_id":"[^"]*"`).ReplaceAllString(res.body, "")
	}
	foreign, none, unknown := ask(s.sid, asBob), ask(s.sid), ask(newSID(), asAnn)
	if foreign != unknown || none != unknown {
		t.Errorf("told apart:\n%s%s%s", foreign, none, unknown)
	}
	if len(s.sid) != 22 {
		t.Errorf("sid %q has not 128 bits", s.sid)
	}
	if n := f.server.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

// Cases: 66.
func TestCase66FloodsAreRefused(t *testing.T) {
	t.Parallel()
	f := newDoor(t, func(c *Config) {
		c.Tenant = limited(func(l *limits) { l.MaxPrincipalSessions, l.MaxPrincipalSubscriptions = 3, 50 })
	})
	var subs []string
	for i := range 50 {
		subs = append(subs, fmt.Sprintf(`{"id":%d,"q":"messages.list","args":{"text":"canary%d"}}`, i, i))
	}
	s := f.session(strings.Join(subs, ","), asAnn)
	for range 2 {
		f.session("", asAnn)
	}
	for range 20 {
		res := f.do(http.MethodPost, "/v1/stream", `{}`, asAnn)
		if res.status != 429 || res.header.Get("Retry-After") == "" {
			t.Fatalf("one stream more: %d %v", res.status, res.header)
		}
		if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, `{"add":[{"id":99,"q":"rooms.list"}]}`, asAnn); res.status != 429 {
			t.Fatalf("one subscription more: %d %s", res.status, res.body)
		}
	}
	// A plain EventSource would give up for good at a status.
	es := f.rawStream(http.MethodGet, "/v1/q/rooms.list", "", asAnn)
	if e := es.next(); e.retry == "" || es.expect("close")[0].field("reason") != "limit" {
		t.Errorf("an EventSource more: %s", e)
	}
	es.ended()
	f.session(`{"id":1,"q":"rooms.list"}`, asBob).expect("sub", "message") // others are served
	if got := f.server.Stats(); got.Sessions != 4 || got.Subscriptions != 51 {
		t.Errorf("%+v", got)
	}
}

// Cases: 67.
func TestCase67SlowAndHugeRequestsEnd(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil, func(s *Server) {
		s.times = times{header: 300 * time.Millisecond, body: 300 * time.Millisecond, idle: 300 * time.Millisecond}
	})
	has := func(what, got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("%s: %.300q, want %q", what, got, want)
		}
	}
	const post = "POST /v1/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	// raw fails where the connection stays open.
	f.raw("GET /v1/stream HTTP/1.1\r\nHost: loc")
	f.raw("GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nA: b\r\n")
	f.raw("")
	has("a slow body", f.raw(post+"Content-Length: 100\r\n\r\n{"), " 400 ")
	has("a slow chunk", f.raw(post+"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"), " 400 ")
	// Whoever is refused unread must not be waited for either.
	has("a slow body of a refused host", f.raw(strings.Replace(post, "localhost", "evil", 1)+"Content-Length: 100\r\n\r\n{"), " 421 ")
	has("a slow body of a refused token", f.raw(post+"Authorization: Bearer none\r\nContent-Length: 100\r\n\r\n{"), " 401 ")
	has("a slow body of nothing", f.raw("POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"), " 405 ")
	has("a GET with a body", f.raw("GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"), " 400 ")
	has("a header of 1 MB", f.raw("GET / HTTP/1.1\r\nHost: localhost\r\nA: "+strings.Repeat("a", 1<<20)), "431")
	has("10 000 headers", f.raw("GET / HTTP/1.1\r\nHost: localhost\r\n"+strings.Repeat("A: b\r\n", 10_000)), "431")
	has("two lengths", f.raw(post+"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), " 400 ")
	has("a length and chunks", f.raw(strings.Replace(post, "stream", "q/rooms.list", 1)+"Connection: close\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), "HTTP/1.1 ")
	// Pipelined requests are answered one after the other.
	one := "GET /v1/q/rooms.list HTTP/1.1\r\nHost: localhost\r\n\r\n"
	if got := f.raw(one + one + one); strings.Count(got, "HTTP/1.1 200") != 3 {
		t.Errorf("three pipelined requests: %q", got)
	}
}

// A reader that stops costs one pending state, and nobody else anything.
// Cases: 68.
func TestCase68StalledReaderIsClosed(t *testing.T) {
	t.Parallel()
	f := newDoor(t, func(c *Config) {
		c.Tenant = limited(func(l *limits) { l.WriteTimeout, l.MinWriteRate = 300*time.Millisecond, 1<<30 })
	})
	f.backend.set("big", bigRows(8<<20, "canary"))
	for range 3 {
		f.session(`{"id":1,"q":"big"}`).expect("sub")
	}
	fast := f.session(`{"id":1,"q":"rooms.list"}`)
	fast.expect("sub", "message")
	for i := range 5 {
		f.backend.set("rooms.list", rows(i))
		fast.until("the state", func(e sseEvent) bool {
			return e.name == "message" && strings.Contains(e.data, fmt.Sprintf(`{"id":%d}`, i))
		})
	}
	eventually(t, "the stalled are closed", func() bool { return f.server.Stats().Closes["slow"] == 3 })
}

// Cases: 69.
func TestCase69MalformedArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	ask := func(args string, want int) {
		t.Helper()
		if res := f.do(http.MethodPost, "/v1/q/messages.list", args); res.status != want {
			t.Errorf("%.40q: %d %s, want %d", args, res.status, res.body, want)
		}
	}
	ask(`{"text":"canary"}`, 200)
	ask(`{"text":"`+strings.Repeat("a", 10<<20)+`"}`, 413)
	ask(strings.Repeat(`[`, 10_001)+strings.Repeat(`]`, 10_001), 400)
	ask(strings.Repeat(`{"a":`, 33)+"1"+strings.Repeat(`}`, 33), 400)
	ask(`{"room":1,"room":2}`, 400)
	ask(`{"room":1,"r\u006fom":2}`, 400)
	ask(`{"text":"\ud800"}`, 400)
	ask("{\"text\":\"\xff\"}", 400)
	ask(`{"room":1e400}`, 400)
	ask(`{"room":1}x`, 400)
	ask(`{"room":1}{"room":2}`, 400)
	ask(`{"ROOM":1}`, 400)
	if res := f.do(http.MethodGet, "/v1/q/messages.list?text=%ff", ""); res.status != 400 {
		t.Errorf("a URL that is not UTF-8: %d", res.status)
	}
}

// Every line that a stream writes is one that the protocol knows.
// Cases: 70.
func TestCase70RowsWriteNoLinesOfTheirOwn(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	bad := "canary\n\nevent: admin\r\ndata: x\rid: 7\u2028retry: 1\u0000"
	text, err := json.Marshal(bad)
	if err != nil {
		t.Fatal(err)
	}
	id := string(text)
	f.backend.set("rooms.list", `"rows":[{"t":`+id+`}]`)
	c := f.plain()
	body := `{"subs":[{"id":` + id + `,"q":"rooms.list"},{"id":2,"q":` + id + `}]}`
	fmt.Fprintf(c, "POST /v1/stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile(`^(retry: \d+|event: (hello|sub|problem|ping|close)|data: \{.*\}|)$`)
	lines := bufio.NewScanner(res.Body)
	messages, problems := 0, 0
	for (messages == 0 || problems == 0) && lines.Scan() {
		line := lines.Text()
		if !known.MatchString(line) || strings.ContainsAny(line, "\r\x00") {
			t.Errorf("line %q", line)
		}
		if strings.HasPrefix(line, "event: problem") {
			problems++
		}
		if strings.Contains(line, `"rows"`) {
			messages++
		}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}

// Cases: 71.
func TestCase71NothingIsEchoedIntoHeaders(t *testing.T) {
	t.Parallel()
	f := newDoor(t, func(c *Config) { c.Hosts, c.Origins = []string{"api.example"}, []string{"https://app.example"} })
	for _, text := range []string{
		f.raw("GET /v1/q/x%0d%0aSet-Cookie:%20canary=1?a=%0d%0ab HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
		f.raw("GET /%0d%0aSet-Cookie:%20canary=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
		f.raw("GET /v1/schema HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\x0bSet-Cookie: canary=1\r\nConnection: close\r\n\r\n"),
		f.raw("GET /v1/schema HTTP/1.1\r\nHost: x\x0d\x0aSet-Cookie: canary=1\r\nConnection: close\r\n\r\n"),
	} {
		head, _, _ := strings.Cut(text, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 4") || strings.Contains(strings.ToLower(head), "\r\nset-cookie") {
			t.Errorf("answer %q", head)
		}
	}
	for _, origin := range []string{"null", "https://app.example.evil.example", "https://evilapp.example", "https://app.example:8443", "http://app.example", "https://APP.example.", "*"} {
		res := f.do(http.MethodGet, "/v1/q/rooms.list", "", "Host: api.example", "Origin: "+origin)
		if res.status != 403 || res.header.Get("Access-Control-Allow-Origin") != "" || res.header.Get("Access-Control-Allow-Credentials") != "" || !slices.Contains(res.header.Values("Vary"), "Origin") {
			t.Errorf("origin %s: %d %v", origin, res.status, res.header)
		}
	}
}

// Cases: 72.
func TestCase72ForgedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	f := newDoor(t, func(c *Config) { c.Hosts = []string{"api.example"} })
	const cookie = "Cookie: weir=canary-ann"
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
		if res := f.do(http.MethodPost, "/v1/call/x", `{}`, "Host: api.example", "Origin: https://api.example", cookie, "Content-Type: ", "Content-Type: "+kind); res.status != 415 {
			t.Errorf("as %q: %d", kind, res.status)
		}
	}
	for _, headers := range [][]string{{}, {"Origin: null"}, {"Origin: https://evil.example"}, {"Sec-Fetch-Site: cross-site"}, {"Sec-Fetch-Site: same-site"}} {
		if res := f.do(http.MethodPost, "/v1/call/x", `{}`, append(headers, "Host: api.example", cookie)...); res.status != 403 {
			t.Errorf("%v: %d %s", headers, res.status, res.body)
		}
	}
	if n := f.backend.count("x"); n != 0 {
		t.Errorf("%d ran", n)
	}
}

// Cases: 73.
func TestCase73CachesKeepNothingOfAnybody(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	ask := func(path string, want int, headers ...string) response {
		t.Helper()
		res := f.do(http.MethodGet, path, "", headers...)
		if res.status != want {
			t.Errorf("%s %v: %d %s, want %d", path, headers, res.status, res.body, want)
		}
		return res
	}
	res := ask("/v1/q/rooms.list", 200, asAnn, "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Original-Url: /v1/schema", "X-Rewrite-Url: /v1/schema")
	vary := strings.Join(res.header.Values("Vary"), ", ")
	if res.header.Get("Cache-Control") != "private, no-cache" || !strings.Contains(vary, "Authorization, Cookie") || strings.Contains(fmt.Sprint(res.header), "evil") {
		t.Errorf("%v", res.header)
	}
	if got := ask("/v1/q/rooms.list", 401, "Authorization: Bearer none").header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("a refusal: Cache-Control %q", got)
	}
	s := f.session("", asAnn)
	if got := s.res.Header.Get("Cache-Control"); got != "no-store, no-transform" {
		t.Errorf("a stream: Cache-Control %q", got)
	}
	for _, path := range []string{"//v1/q/rooms.list", "/v1//q/rooms.list", "/v1/q/%2e%2e/schema", "/v1/../v1/q/rooms.list", "/v1/q/rooms.list;a=b", "/v1/q/rooms.list/", "/V1/q/rooms.list", "/v1/q/rooms.list%00"} {
		if res := f.do(http.MethodGet, path, ""); res.status != 404 || strings.Contains(res.body, "canary") {
			t.Errorf("%s: %d %s", path, res.status, res.body)
		}
	}
	for _, header := range []string{"X-Http-Method-Override: POST", "X-Method-Override: DELETE", "X-Http-Method: POST"} {
		ask("/v1/call/x", 405, header)
	}
}

// What clients send comes into no log, and a refused token is not told either. The
// end of every case here looks for the canaries.
// Cases: 74.
func TestCase74LogsHaveNothingOfClients(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	f.backend.fail("messages.list", &abi.Error{Code: abi.SQLError, Message: "sql"})
	f.do(http.MethodGet, "/v1/q/messages.list?text=canary%0a%1b%5b31m", "", asAnn)
	f.do(http.MethodGet, "/v1/q/canary%0alevel=ERROR", "", "Authorization: Bearer canary-forged")
	f.do(http.MethodGet, "/canary%1b", "", "User-Agent: canary", "Referer: http://canary/")
	f.raw("GET /canary HTTP/1.1\r\nHost: canary\r\nCanary\r\n\r\n")
	f.session(`{"id":"canary","q":"rooms.list"},{"id":2,"q":"canary.none"}`, asAnn, "Last-Event-ID: canary").until("a result", func(e sseEvent) bool { return e.name == "message" })
	if log := f.log.String(); !strings.Contains(log, "request failed") || strings.Contains(log, "\x1b") {
		t.Errorf("log: %s", log)
	}
}

// Cases: 75.
func TestCase75ReconnectStormIsSpread(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	before := f.backend.count("rooms.list")
	retries := map[string]bool{}
	for range 40 {
		s := f.stream(http.MethodGet, "/v1/q/rooms.list", "")
		s.expect("sub", "message")
		retries[s.retry] = true
	}
	if len(retries) < 20 {
		t.Errorf("40 streams come back at %d moments", len(retries))
	}
	if n := f.backend.count("rooms.list") - before; n > 2 {
		t.Errorf("the group ran %d times for 40 streams", n)
	}
	// A forged id is nobody's state: a fresh snapshot comes.
	f.backend.set("messages.list", `"rows":[{"of":"others"}]`)
	other := f.stream(http.MethodGet, "/v1/q/messages.list", "")
	foreign := other.expect("sub", "message")[1].id
	for _, id := range []string{foreign, "x", "~", strings.Repeat("a", 10_000), "AAAAAAAAAAAAAAAAAAAAAA~zz", foreign + "\u00e9"} {
		s := f.stream(http.MethodGet, "/v1/q/rooms.list", "", "Last-Event-ID: "+id)
		if e := s.until("a result", func(e sseEvent) bool { return e.name == "message" }); !strings.Contains(e.data, "canary") || strings.Contains(e.data, "others") {
			t.Errorf("Last-Event-ID %.30q: %s", id, e)
		}
		s.close()
	}
}

// Cases: 76.
func TestCase76NothingOfOperatorsIsPublic(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	for _, path := range []string{
		"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/healthz", "/readyz", "/plugins", "/console", "/console/", "/play/v1/schema",
		"/why/rooms.list", "/queries", "/sessions", "/v1/metrics", "/.env", "/.git/config", "/weir.toml",
	} {
		if res := f.do(http.MethodGet, path, "", asAnn); res.status != 404 {
			t.Errorf("%s: %d", path, res.status)
		}
	}
	f.session(`{"id":"canary","q":"messages.list","args":{"text":"canary"}}`, asAnn).expect("sub", "message")
	if text := f.admin("/metrics", "127.0.0.1:8091").Body.String(); strings.Contains(text, "canary") || strings.Contains(text, `"ann"`) || !strings.Contains(text, "weir_serve_sessions 1") {
		t.Error("the metrics name a user or an argument")
	}
}

// Cases: 77.
func TestCase77ContentOfRowsIsData(t *testing.T) {
	t.Parallel()
	f := newDoor(t, nil)
	const content = `"rows":[{"t":"</script><!--","__proto__":{"canary":true},"n":9007199254740993,"f":"NaN","a":"\u001b[31m","l":"\u2028\u2029"}]`
	f.backend.set("rooms.list", content)
	e := f.session(`{"id":1,"q":"rooms.list"}`).expect("sub", "message")[1]
	if !strings.Contains(e.data, content) {
		t.Errorf("a row was changed: %s", e.data)
	}
	res := f.do(http.MethodGet, "/v1/q/rooms.list", "")
	if res.header.Get("Content-Type") != "application/json" || res.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(res.body, content) {
		t.Errorf("%v %s", res.header, res.body)
	}
	client := string(clientText("weir.js"))
	for _, word := range []string{"eval(", "new Function", "innerHTML", "document.write", "Object.assign({}, row", "__proto__"} {
		if strings.Contains(client, word) {
			t.Errorf("weir.js has %s", word)
		}
	}
}
