package serve

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"weir/abi"
	"weir/host/tenant"
	"weir/reactor"
)

// TestSubscriptionIsSmall: there are many thousands of them (N9), and who asks the same
// shares what was asked.
func TestSubscriptionIsSmall(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(subscription{}); size > 128 {
		t.Errorf("a subscription is %d bytes, 128 are the most", size)
	}
	args := Arguments{JSON: []byte(`{"room":1}`)}
	one, two := newSubscription("1", "rooms.list", args, nil), newSubscription("2", "rooms.list", args, nil)
	if q := two.query("t"); one.asked != two.asked || q.Name != "rooms.list" || string(q.Args.JSON) != `{"room":1}` || q.Tenant != "t" || !q.At.IsZero() {
		t.Errorf("it asks for %+v", q)
	}
	if q := newSubscription("3", "rooms.list", Arguments{}, nil).query("t"); q.Args.JSON != nil {
		t.Errorf("without arguments it asks for %+v", q)
	}
}

// S6: a session id of somebody else is no different from one that never was.
// Cases: 65.
func TestSessionIDWorksOnlyWithItsPrincipal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Tenant = limited(func(l *limits) { l.MaxSessionSubscriptions = 3 }) })
	f.user("ann", "ann", inAnHour())
	f.user("ann2", "ann", inAnHour())
	f.user("bob", "bob", inAnHour())
	s := f.session("", "Authorization: Bearer ann")
	one := f.stream(http.MethodGet, "/v1/q/rooms.list", "", "Authorization: Bearer ann")
	ask := func(sid string, headers ...string) response {
		return f.do(http.MethodPost, "/v1/stream/"+sid, `{"add":[{"id":1,"q":"rooms.list"}]}`, headers...)
	}
	unknown := ask(newSID(), "Authorization: Bearer ann")
	if unknown.status != 404 || codeOf(t, unknown) != "session_gone" {
		t.Fatalf("unknown: %d %s", unknown.status, unknown.body)
	}
	body := func(r response) string { return strings.Replace(r.body, r.header.Get("X-Request-Id"), "", 1) }
	for _, res := range []response{
		ask(s.sid, "Authorization: Bearer bob"), ask(s.sid), ask(s.sid+"A", "Authorization: Bearer ann"),
		ask(strings.Repeat("A", 5000), "Authorization: Bearer ann"),
	} {
		if res.status != 404 || body(res) != body(unknown) {
			t.Errorf("a stranger can tell: %d %s", res.status, res.body)
		}
	}
	if res := ask(s.sid, "Authorization: Bearer forged"); res.status != 401 {
		t.Errorf("forged token: %d", res.status)
	}
	// Another token of the same principal is fine.
	if res := ask(s.sid, "Authorization: Bearer ann2"); res.status != 204 {
		t.Errorf("same principal: %d %s", res.status, res.body)
	}
	s.expect("sub", "message")
	one.close()
	s.close()
	eventually(t, "the session is gone", func() bool { return f.server.Stats().Sessions == 0 })
	if res := ask(s.sid, "Authorization: Bearer ann"); res.status != 404 {
		t.Errorf("after its end: %d", res.status)
	}
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// Cases: 66.
func TestLimitsOfSessionsAndSubscriptions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Tenant = limited(func(l *limits) {
			l.MaxSessions, l.MaxPrincipalSessions, l.MaxAnonymousSessions = 4, 2, 1
			l.MaxSessionSubscriptions, l.MaxPrincipalSubscriptions = 3, 4
		})
	})
	for _, name := range []string{"ann", "bob", "cat"} {
		f.user(name, name, inAnHour())
	}
	subs := func(from, n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`{"id":%d,"q":"rooms.list"}`, from+i))
		}
		return strings.Join(list, ",")
	}
	refused := func(res response, part string) {
		t.Helper()
		if res.status != 429 || codeOf(t, res) != "limit" || !strings.Contains(res.body, part) || res.header.Get("Retry-After") == "" {
			t.Errorf("%d %s, want a limit: %s", res.status, res.body, part)
		}
	}
	open := func(who string, n int) response {
		return f.do(http.MethodPost, "/v1/stream", `{"subs":[`+subs(1, n)+`]}`, "Authorization: Bearer "+who)
	}
	first := f.session(subs(1, 3), "Authorization: Bearer ann")
	refused(open("ann", 2), "too many subscriptions: a principal may have 4")
	refused(open("ann", 4), "too many subscriptions: a session may have 3")
	f.session(subs(1, 1), "Authorization: Bearer ann")
	refused(open("ann", 0), "too many sessions: the principal has 2")
	change := func(body string) response {
		return f.do(http.MethodPost, "/v1/stream/"+first.sid, body, "Authorization: Bearer ann")
	}
	refused(change(`{"add":[`+subs(9, 1)+`]}`), "too many subscriptions")
	// What is dropped makes room for what is added.
	if res := change(`{"drop":[1],"add":[` + subs(9, 1) + `]}`); res.status != 204 {
		t.Errorf("drop and add: %d %s", res.status, res.body)
	}
	refused(change(`{"drop":[1],"add":[`+subs(8, 1)+`]}`), "too many subscriptions")
	f.session("")
	refused(f.do(http.MethodPost, "/v1/stream", `{}`), "too many sessions: the tenant has 1 without a token")
	f.session("", "Authorization: Bearer bob")
	refused(open("cat", 0), "too many sessions: the tenant has 4")
	// What a client leaves is free again.
	first.close()
	eventually(t, "a session is free", func() bool { return f.server.Stats().Sessions == 3 })
	if st := f.server.Stats(); st.Subscriptions != 1 {
		t.Errorf("%d subscriptions are counted", st.Subscriptions)
	}
	f.session(subs(1, 3), "Authorization: Bearer ann")
}

// A client that adds and drops without reading does not grow the session.
// Cases: 66.
func TestChangesThatNobodyReadsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l, end := newPipeFixture(t, nil)
		defer end()
		f.backend.set("big", bigRows(64<<10, "a"))
		c := openStalled(t, l, `{"id":1,"q":"big"}`)
		defer c.conn.Close()
		synctest.Wait()
		sid := f.server.sessions.all()[0].id
		refusedAt := 0
		for n := range 500 {
			res := f.do(http.MethodPost, "/v1/stream/"+sid, fmt.Sprintf(`{"drop":[%d],"add":[{"id":%d,"q":"rooms.list"}]}`, n+1, n+2))
			if res.status == 429 {
				refusedAt = n
				break
			}
		}
		if refusedAt < 100 || refusedAt > 201 {
			t.Errorf("refused at %d", refusedAt)
		}
	})
}

// inBubble runs a test on a bubble's clock.
func inBubble(t *testing.T, change func(*Config), test func(t *testing.T, f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, _, end := newPipeFixture(t, change)
		defer end()
		test(t, f)
	})
}

func TestSilentStreamPings(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		s := f.sessionFor(10*time.Minute, `{"id":1,"q":"rooms.list"}`)
		if s.hello.field("ping_ms") != "25000" || s.hello.field("max_subs") != "100" || s.hello.field("server") != "0.1.0" || s.hello.field("schema") != "d1" {
			t.Errorf("hello is %s", s.hello)
		}
		at := s.expect("sub", "message")[0].field("at")
		for range 5 {
			before := time.Now()
			e := s.expect("ping")[0]
			if waited := time.Since(before); waited < 20*time.Second || waited > 30*time.Second {
				t.Errorf("ping after %v", waited)
			}
			if e.field("at") != at {
				t.Errorf("ping carries at %q, want %q", e.field("at"), at)
			}
		}
		s.close()
	})
}

// sessionFor opens a session whose request lives for d.
func (f *fixture) sessionFor(d time.Duration, subs string, headers ...string) *stream {
	f.t.Helper()
	return f.streamFor(d, http.MethodPost, "/v1/stream", `{"subs":[`+subs+`]}`, headers...)
}

func (f *fixture) streamFor(d time.Duration, method, path, body string, headers ...string) *stream {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	f.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, h := range append(headers, eventStream) {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	s := &stream{t: f.t, res: res, parser: newSSEParser(res.Body)}
	s.retry = s.next().retry
	s.hello = s.next()
	s.sid = s.hello.field("sid")
	return s
}

// S4: the stream ends at the token's end, exactly, and says so before.
// Cases: 61, 86.
func TestTokenEndsTheStreamByTimer(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		begin := time.Now()
		f.user("ann", "ann", begin.Add(90*time.Second))
		s := f.sessionFor(time.Hour, "", "Authorization: Bearer ann")
		s.until("expiring", func(e sseEvent) bool { return e.name == "expiring" && e.field("in_ms") == "30000" })
		if waited := time.Since(begin); waited != 60*time.Second {
			t.Errorf("expiring after %v", waited)
		}
		e := s.until("close", func(e sseEvent) bool { return e.name == "close" })
		if waited := time.Since(begin); waited != 90*time.Second || e.field("reason") != "expired" {
			t.Errorf("%s after %v", e, waited)
		}
		s.ended()
	})
}

// D6: a token of a minute does not end the stream each minute.
func TestRenewalKeepsTheStream(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		begin := time.Now()
		f.user("t1", "ann", begin.Add(time.Minute))
		f.user("t2", "ann", begin.Add(2*time.Minute))
		f.user("old", "ann", begin.Add(90*time.Second))
		f.user("bob", "bob", begin.Add(time.Hour))
		s := f.sessionFor(time.Hour, `{"id":1,"q":"rooms.list"}`, "Authorization: Bearer t1")
		s.expect("sub", "message")
		s.until("expiring", func(e sseEvent) bool { return e.name == "expiring" })
		renew := func(token string, want int) {
			t.Helper()
			if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, `{}`, "Authorization: Bearer "+token); res.status != want {
				t.Errorf("renew with %s: %d %s", token, res.status, res.body)
			}
		}
		renew("bob", 404)
		renew("t2", 204)
		renew("old", 204) // still a token of the principal, but no longer life
		s.until("expiring", func(e sseEvent) bool { return e.name == "expiring" })
		if waited := time.Since(begin); waited != 90*time.Second {
			t.Errorf("expiring again after %v", waited)
		}
		s.until("close", func(e sseEvent) bool { return e.name == "close" && e.field("reason") == "expired" })
		if waited := time.Since(begin); waited != 2*time.Minute {
			t.Errorf("closed after %v", waited)
		}
	})
}

// S4: a renewed token means that policies are asked again.
func TestRenewalSubscribesAnew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("t1", "ann", inAnHour())
	f.user("t2", "ann", inAnHour().Add(time.Hour))
	f.user("t3", "ann", inAnHour().Add(2*time.Hour))
	s := f.session(`{"id":1,"q":"rooms.list"}`, "Authorization: Bearer t1")
	s.expect("sub", "message")
	f.backend.mu.Lock()
	f.backend.denied["rooms.list/ann"] = true
	f.backend.mu.Unlock()
	f.do(http.MethodPost, "/v1/stream/"+s.sid, `{}`, "Authorization: Bearer t2")
	if e := s.expect("sub")[0]; e.field("status") != "denied" || e.field("reason") != "not_a_member" || e.field("v") != "" {
		t.Errorf("after the renewal: %s", e)
	}
	f.backend.set("rooms.list", rows(5)) // dark: nothing is delivered
	f.backend.mu.Lock()
	delete(f.backend.denied, "rooms.list/ann")
	f.backend.mu.Unlock()
	f.do(http.MethodPost, "/v1/stream/"+s.sid, `{}`, "Authorization: Bearer t3")
	if e := s.expect("sub", "message"); !strings.Contains(e[1].data, `{"id":5}`) {
		t.Errorf("after the return: %s", e[1])
	}
}

// A plugin is swapped: the old result stays until the new one is there, which
// has another q.
// Cases: 87.
func TestMovedSubscriptionsGetTheNewGroup(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.session(`{"id":1,"q":"rooms.list"},{"id":2,"q":"messages.list"}`)
		old := map[string]sseEvent{}
		for range 4 {
			if e := s.next(); e.name == "sub" {
				old[e.field("id")] = e
			}
		}
		f.backend.swap("p2")
		f.server.Moved(tenant.DefaultName, func(name string) bool { return name == "rooms.list" })
		e := s.expect("sub")[0]
		if e.field("id") != "1" || e.field("q") == old["1"].field("q") || e.field("status") != "unchanged" || e.field("v") != old["1"].field("v") {
			t.Errorf("equal content after a swap: %s", e)
		}
		f.backend.set("rooms.list", rows(8))
		if got := s.expect("sub", "message"); got[0].field("q") != e.field("q") || !strings.Contains(got[1].data, `{"id":8}`) {
			t.Errorf("after the swap: %v", got)
		}
		// The function is gone with the next version.
		f.backend.mu.Lock()
		delete(f.backend.values, "rooms.list")
		f.backend.mu.Unlock()
		f.server.Moved(tenant.DefaultName, func(string) bool { return true })
		// messages.list moved too, to the group of p2; which is first is chance.
		for range 2 {
			e := s.next()
			switch {
			case e.name == "end" && e.field("id") == "1" && e.field("reason") == "plugin_removed":
			case e.name == "sub" && e.field("id") == "2" && e.field("q") != old["2"].field("q") && e.field("status") == "unchanged":
			default:
				t.Errorf("after the removal: %s", e)
			}
		}
		if got := f.server.Stats().Subscriptions; got != 1 {
			t.Errorf("%d subscriptions are counted", got)
		}
	})
}

// W2: a run of the new version reads before a commit and comes back after it. By then
// the old version has shown that commit: the client does not go back. It asks once
// more, and the next run of the new version is what it gets.
func TestSwapNeverShowsOlderRows(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		old := s.expect("sub", "message")[0].field("q")
		read, release, asked := make(chan struct{}), make(chan struct{}), make(chan struct{})
		ask := sync.OnceFunc(func() { close(asked) })
		defer ask()
		f.backend.mu.Lock()
		f.backend.plugin = "p2"
		f.backend.called = func(calls int) {
			if calls == 3 {
				ask()
			}
		}
		f.backend.late = func(e *reactor.Execution) {
			switch {
			case e.Query == old:
			case e.Cause.Reason == reactor.First:
				close(read)
				<-release
			default:
				<-asked
			}
		}
		f.backend.mu.Unlock()
		f.server.Moved(tenant.DefaultName, func(string) bool { return true })
		<-read
		f.backend.set("rooms.list", rows(1))
		if e := s.expect("sub", "message"); e[0].field("q") != old || !strings.Contains(e[1].data, `{"id":1}`) {
			t.Errorf("the old version, which is live yet: %v", e)
		}
		close(release)
		if e := s.expect("sub")[0]; e.field("q") == old || e.field("status") != "unchanged" {
			t.Fatalf("after the swap: %s", e)
		}
		f.backend.set("rooms.list", rows(2))
		if e := s.expect("sub", "message"); !strings.Contains(e[1].data, `{"id":2}`) {
			t.Errorf("after the swap: %v", e)
		}
	})
}

func (b *backend) swap(digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plugin = digest
}

// F4: what cannot be decided is not denied: the client keeps its rows, is told
// stale, and the move is tried again.
func TestMoveThatCannotBeDecidedIsRetried(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		s := f.sessionFor(time.Hour, `{"id":1,"q":"rooms.list"}`)
		v := s.expect("sub", "message")[0].field("v")
		f.backend.mu.Lock()
		f.backend.refused["rooms.list"] = &Refusal{Kind: abi.Unavailable, Message: "no database"}
		f.backend.mu.Unlock()
		f.server.Moved(tenant.DefaultName, func(string) bool { return true })
		if e := s.expect("sub")[0]; e.field("status") != "stale" || e.field("reason") != "unavailable" {
			t.Errorf("undecided: %s", e)
		}
		f.backend.mu.Lock()
		delete(f.backend.refused, "rooms.list")
		f.backend.mu.Unlock()
		if e := s.until("sub", func(e sseEvent) bool { return e.name == "sub" }); e.field("status") != "unchanged" || e.field("v") != v {
			t.Errorf("after the retry: %s", e)
		}
		s.close()
	})
}

// Drops and the end of a stream that come while the policies are asked leave
// nothing behind.
func TestNothingIsLeftBehindBySlowPolicies(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	gate := make(chan struct{})
	f.backend.gate = gate
	s := f.session(`{"id":1,"q":"rooms.list"},{"id":2,"q":"messages.list"}`)
	eventually(t, "both are asked for", func() bool { return f.server.Stats().Subscribing == 2 })
	f.do(http.MethodPost, "/v1/stream/"+s.sid, `{"drop":[1]}`)
	if e := s.expect("end")[0]; e.field("id") != "1" {
		t.Errorf("dropped: %s", e)
	}
	close(gate)
	if e := s.expect("sub", "message"); e[0].field("id") != "2" {
		t.Errorf("got %s", e[0])
	}
	eventually(t, "nothing in flight", func() bool { return f.server.Stats().Subscribing == 0 })
	eventually(t, "one subscription", func() bool { return f.backend.reactor.Stats().Subscriptions == 1 })
	f.backend.mu.Lock()
	gate = make(chan struct{})
	f.backend.gate = gate
	f.backend.mu.Unlock()
	f.do(http.MethodPost, "/v1/stream/"+s.sid, `{"add":[{"id":3,"q":"rooms.list"}]}`)
	s.close()
	eventually(t, "no subscription", func() bool { return f.backend.reactor.Stats().Subscriptions == 0 })
	close(gate)
	eventually(t, "nothing in flight", func() bool { st := f.server.Stats(); return st.Subscribing == 0 && st.Sessions == 0 })
	f.server.hub.mu.Lock()
	defer f.server.hub.mu.Unlock()
	if n := len(f.server.hub.watchers); n != 0 {
		t.Errorf("%d publications are still watched", n)
	}
}

// TestDrainWaitsForNobody: when all clients have left there is nothing to spread.
func TestDrainWaitsForNobody(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		begin := time.Now()
		var list []*stream
		for range 10 {
			list = append(list, f.sessionFor(time.Hour, `{"id":1,"q":"rooms.list"}`))
		}
		drained := make(chan struct{})
		go func() {
			f.server.Drain(t.Context())
			close(drained)
		}()
		synctest.Wait()
		for _, s := range list {
			s.close()
		}
		<-drained
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestDrainSpreadsTheEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		var list []*stream
		for range 10 {
			list = append(list, f.sessionFor(time.Hour, `{"id":1,"q":"rooms.list"}`))
		}
		begin := time.Now()
		drained := make(chan struct{})
		go func() {
			f.server.Drain(t.Context())
			close(drained)
		}()
		synctest.Wait()
		if res := f.readyz(); res.Code != 503 || !strings.Contains(res.Body.String(), "draining") {
			t.Errorf("readyz while draining: %d %s", res.Code, res.Body)
		}
		for _, path := range []string{"GET /v1/q/rooms.list", "GET /v1/stream", "POST /v1/stream"} {
			method, path, _ := strings.Cut(path, " ")
			body := ""
			if method == http.MethodPost {
				body = "{}"
			}
			s := f.rawStream(method, path, body)
			s.next()
			if e := s.next(); e.name != "close" || e.field("reason") != "drain" {
				t.Errorf("new stream %s: %s", path, e)
			}
			s.ended()
		}
		retries, ends := map[string]bool{}, map[time.Duration]bool{}
		type end struct {
			at    time.Duration
			retry string
		}
		ended := make(chan end)
		for _, s := range list {
			go func() {
				for {
					e, err := s.parser.next()
					if err != nil || e.name == "close" {
						ended <- end{time.Since(begin), e.field("retry_ms")}
						return
					}
				}
			}()
		}
		for range list {
			e := <-ended
			retries[e.retry], ends[e.at] = true, true
		}
		<-drained
		if took := time.Since(begin); took < 15*time.Second || took > 20*time.Second || len(ends) != len(list) || len(retries) < len(list)-1 {
			t.Errorf("took %v, %d moments, retries %v", took, len(ends), retries)
		}
	})
}

func TestCloseEndsEveryStream(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		s.expect("sub", "message")
		if err := f.server.Close(); err != nil {
			t.Fatal(err)
		}
		if e := s.expect("close")[0]; e.field("reason") != "shutdown" {
			t.Errorf("got %s", e)
		}
		s.ended()
		if err := f.server.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A result that comes for an id which was dropped and given to another query is
// nobody's.
// Cases: 89.
func TestLateResultOfADroppedIDReachesNobody(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		gate := make(chan struct{})
		hold := func(g chan struct{}) {
			f.backend.mu.Lock()
			defer f.backend.mu.Unlock()
			f.backend.gate = g
		}
		change := func(s *stream, body string) {
			t.Helper()
			if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, body); res.status != http.StatusNoContent {
				t.Fatalf("change %s: %d %s", body, res.status, res.body)
			}
		}
		f.backend.set("messages.list", `"key":["id"],"rows":[{"id":"old"}]`)
		f.backend.set("rooms.list", `"key":["id"],"rows":[{"id":"new"}]`)
		s := f.session("")
		hold(gate)
		change(s, `{"add":[{"id":1,"q":"messages.list"}]}`)
		eventually(t, "it is asked for", func() bool { return f.server.Stats().Subscribing == 1 })
		change(s, `{"drop":[1]}`)
		s.expect("end")
		hold(nil)
		change(s, `{"add":[{"id":1,"q":"rooms.list"}]}`)
		if e := s.expect("sub", "message"); !strings.Contains(e[1].data, `"new"`) {
			t.Errorf("the id shows %s", e[1])
		}
		close(gate) // now the old one comes, and is subscribed to nothing
		eventually(t, "nothing in flight", func() bool { return f.server.Stats().Subscribing == 0 })
		f.backend.set("messages.list", `"key":["id"],"rows":[{"id":"old again"}]`)
		f.backend.set("rooms.list", `"key":["id"],"rows":[{"id":"newer"}]`)
		if e := s.expect("sub", "message"); !strings.Contains(e[1].data, `"newer"`) {
			t.Errorf("after the old result: %s", e[1])
		}
		eventually(t, "one subscription", func() bool { return f.backend.reactor.Stats().Subscriptions == 1 })
		f.backend.set("rooms.list", `"key":["id"],"rows":[{"id":"newest"}]`) // and not because the stream is at its end
		s.expect("sub", "message")
	})
}
