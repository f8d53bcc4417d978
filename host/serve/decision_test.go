package serve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/host/tenant"
	"weir/reactor"
)

// scoped allows with a scope.
func scoped(org string) *reactor.Decision {
	return &reactor.Decision{Answer: reactor.Allow, Scope: reactor.Scope{"org": org}}
}

// is compares fields of an event: "status", "denied", "reason", "x".
func (e sseEvent) is(t *testing.T, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := e.field(pairs[i]); got != pairs[i+1] {
			t.Errorf("%s is %q, want %q: %s", pairs[i], got, pairs[i+1], e)
		}
	}
}

// marker adds a live query to a session and reads up to its first result: all
// that was to be told before it has been told. It returns what came before.
func (f *fixture) marker(s *stream, id int) (before []sseEvent) {
	f.t.Helper()
	if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, fmt.Sprintf(`{"add":[{"id":%d,"q":"big","args":{"n":%d}}]}`, id, id)); res.status != 204 {
		f.t.Fatalf("marker: %d %s", res.status, res.body)
	}
	for {
		e := s.next()
		if e.name == "sub" && e.field("id") == fmt.Sprint(id) {
			s.expect("message")
			return before
		}
		before = append(before, e)
	}
}

// Deny is a state, not an end: the rows are dropped, which is told once, and
// when the policy allows again the full result follows.
func TestDenyDropsRowsAndAllowBringsThemBack(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.backend.decide("rooms.list", allow)
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		first := s.expect("sub", "message")
		first[0].is(t, "status", "live")
		for round := range 3 {
			f.backend.decide("rooms.list", deny)
			e := s.expect("sub")[0]
			e.is(t, "id", "1", "status", "denied", "reason", "not_a_member", "v", "")
			f.backend.set("rooms.list", rows(10+round)) // dark: nothing is delivered
			if more := f.marker(s, 100+round); len(more) != 0 {
				t.Fatalf("after the denial: %v", more)
			}
			f.backend.decide("rooms.list", allow)
			back := s.expect("sub", "message")
			back[0].is(t, "status", "live", "v", back[1].field("v"), "q", back[1].field("q"))
			if !strings.Contains(back[1].data, fmt.Sprintf(`"id":%d}`, 10+round)) {
				t.Fatalf("after the return: %s", back[1])
			}
		}
		// It is as live as before.
		f.backend.set("rooms.list", rows(99))
		if e := s.expect("sub", "message"); !strings.Contains(e[1].data, `{"id":99}`) {
			t.Errorf("after all: %s", e[1])
		}
	})
}

// The rows that a client gets back after a denial are told in full also when
// they are those that it had before: it has dropped them.
// Cases: 90.
func TestSameRowsAfterADenialComeInFull(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", allow)
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	v := s.expect("sub", "message")[0].field("v")
	f.backend.decide("rooms.list", deny)
	s.expect("sub")[0].is(t, "status", "denied")
	f.backend.decide("rooms.list", allow)
	s.expect("sub", "message")[0].is(t, "status", "live", "v", v)
}

// Another reason is news; the same one is not.
func TestReasonOfADenialIsTold(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", deny)
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	s.expect("sub")[0].is(t, "status", "denied", "reason", "not_a_member", "q", "", "v", "")
	f.backend.decide("rooms.list", deny)
	f.backend.decide("rooms.list", &reactor.Decision{Answer: reactor.Deny, Reason: "banned"})
	s.expect("sub")[0].is(t, "status", "denied", "reason", "banned")
	// A policy that gives no reason gives its name.
	f.backend.decide("rooms.list", &reactor.Decision{Answer: reactor.Deny})
	s.expect("sub")[0].is(t, "status", "denied", "reason", "member")
}

// A subscription that is denied at its start costs no run, and is live when the
// policy allows.
func TestAllowAfterADenialAtTheStart(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.backend.decide("rooms.list", deny)
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		s.expect("sub")[0].is(t, "status", "denied", "reason", "not_a_member")
		if more := f.marker(s, 2); len(more) != 0 {
			t.Fatalf("after the denial: %v", more)
		}
		if runs := f.backend.count("rooms.list"); runs != 0 {
			t.Errorf("a query that nobody may see ran %d times", runs)
		}
		f.backend.decide("rooms.list", allow)
		e := s.expect("sub", "message")
		e[0].is(t, "status", "live", "v", e[1].field("v"))
		f.backend.set("rooms.list", rows(7))
		if e := s.expect("sub", "message"); !strings.Contains(e[1].data, `{"id":7}`) {
			t.Errorf("got %s", e[1])
		}
	})
}

// A denied subscription is not a group that somebody listens to: its query is
// left, and nothing of it stays watched when the session ends.
func TestDeniedSubscriptionLeavesTheGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.server.linger = time.Millisecond
	f.backend.decide("rooms.list", allow)
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	s.expect("sub", "message")
	f.backend.decide("rooms.list", deny)
	s.expect("sub")
	held := f.server.sessions.all()[0]
	eventually(t, "the query is left", func() bool {
		held.mu.Lock()
		defer held.mu.Unlock()
		live := held.subs[0].live
		return live != nil && live.Query() == ""
	})
	before, watcher := f.backend.count("rooms.list"), f.session("")
	for n := range 5 {
		f.backend.set("rooms.list", rows(n+1))
		f.marker(watcher, n)
	}
	if now := f.backend.count("rooms.list"); now != before {
		t.Errorf("a query that nobody may see ran %d times", now-before)
	}
	watcher.close()
	s.close()
	eventually(t, "no subscription", func() bool { return f.backend.reactor.Stats().Subscriptions == 0 })
	f.server.hub.mu.Lock()
	defer f.server.hub.mu.Unlock()
	if n := len(f.server.hub.watchers); n != 0 {
		t.Errorf("%d publications are still watched", n)
	}
}

// Who is let in again soon has the group as it was: ten thousand streams do not
// subscribe anew because of a row that went for a moment. They stay also later.
func TestDenialOfAMomentKeepsTheGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.server.linger = time.Hour
	f.backend.decide("rooms.list", allow)
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	s.expect("sub", "message")
	held := f.server.sessions.all()[0]
	state := func() (*Live, time.Time) {
		held.mu.Lock()
		defer held.mu.Unlock()
		return held.subs[0].live, held.subs[0].retryAt()
	}
	before, at := state()
	if !at.IsZero() {
		t.Error("it is about to leave, and was not denied")
	}
	f.backend.decide("rooms.list", deny)
	s.expect("sub")[0].is(t, "status", "denied")
	if live, at := state(); live != before || at.IsZero() {
		t.Errorf("denied: another subscription %v, leaves at %v", live != before, at)
	}
	f.backend.decide("rooms.list", allow)
	s.expect("sub", "message")[0].is(t, "status", "live")
	if live, at := state(); live != before || !at.IsZero() {
		t.Errorf("let in again: another subscription %v, leaves at %v", live != before, at)
	}
}

// F4: unknown is not deny: nothing is delivered, the client keeps its rows and is
// told why they may be behind.
func TestPolicyThatFailsIsStale(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.backend.decide("rooms.list", allow)
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		v := s.expect("sub", "message")[0].field("v")
		f.backend.decide("rooms.list", nil)
		s.expect("sub")[0].is(t, "status", "stale", "reason", "internal", "v", "")
		f.backend.set("rooms.list", rows(1))
		if more := f.marker(s, 2); len(more) != 0 {
			t.Fatalf("while the policy fails: %v", more)
		}
		f.backend.decide("rooms.list", allow)
		e := s.expect("sub", "message")
		e[0].is(t, "status", "live")
		if !strings.Contains(e[1].data, `{"id":1}`) {
			t.Errorf("after it was mended: %s", e[1])
		}
		// With the same rows: live again, without data.
		f.backend.decide("rooms.list", nil)
		s.expect("sub")[0].is(t, "status", "stale")
		f.backend.decide("rooms.list", allow)
		s.expect("sub")[0].is(t, "status", "live", "v", e[0].field("v"))
		// From unknown to deny the rows go.
		f.backend.decide("rooms.list", nil)
		s.expect("sub")[0].is(t, "status", "stale")
		f.backend.decide("rooms.list", deny)
		s.expect("sub")[0].is(t, "status", "denied")
		if v == e[0].field("v") {
			t.Error("both results have one version")
		}
	})
}

// Subscriptions that nobody can decide about are told each of its own reason,
// once.
// Cases: 88.
func TestUndecidedSubscriptionsHaveNothingInCommon(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", nil)              // internal
	f.backend.decide("messages.list", scoped("bad")) // unavailable
	s := f.session(`{"id":1,"q":"rooms.list"},{"id":2,"q":"messages.list"},{"id":3,"q":"rooms.list"}`)
	want := map[string]string{"1": "internal", "2": "unavailable", "3": "internal"}
	for range len(want) {
		e := s.expect("sub")[0]
		e.is(t, "status", "stale", "reason", want[e.field("id")])
		delete(want, e.field("id"))
	}
	if more := f.marker(s, 4); len(more) != 0 {
		t.Errorf("then: %v", more)
	}
}

// A policy that fails at the start: no rows and no end, and live when it is
// mended.
func TestPolicyThatFailsAtTheStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", nil)
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	s.expect("sub")[0].is(t, "status", "stale", "reason", "internal", "v", "", "q", "")
	if more := f.marker(s, 2); len(more) != 0 {
		t.Fatalf("while the policy fails: %v", more)
	}
	f.backend.decide("rooms.list", allow)
	s.expect("sub", "message")[0].is(t, "status", "live")
	if n := strings.Count(f.log.String(), "the policy fails"); n != 0 {
		t.Errorf("the policy's failure was logged %d times for a session: that is the loop's to do", n)
	}
}

// W4, W5: another scope is another group. The rows of the old one are dropped
// before anything of the new one is told, and come never again.
// Cases: 86.
func TestChangedScopeMovesTheSubscription(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.backend.decide("rooms.list", scoped("acme"))
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		e := s.expect("sub", "message")
		scopes := map[string]string{e[1].field("q"): "acme"}
		old := e[1].field("q")
		for round := range 5 {
			org := fmt.Sprint("org", round)
			f.backend.decide("rooms.list", scoped(org))
			s.expect("sub")[0].is(t, "id", "1", "status", "denied", "reason", "scope_changed", "v", "")
			f.backend.set("rooms.list", rows(round)) // for every scope
			for {
				e := s.next()
				if e.name == "sub" {
					e.is(t, "status", "live")
				}
				q := e.field("q")
				if q == old || scopes[q] != "" && scopes[q] != org {
					t.Fatalf("after the move to %s: %s of scope %s", org, e, scopes[q])
				}
				scopes[q] = org
				if strings.Contains(e.data, fmt.Sprintf(`"id":%d}`, round)) {
					old = q
					break
				}
			}
		}
		// Back to the first scope: its group may live still, and the rows come in full.
		f.backend.decide("rooms.list", scoped("acme"))
		s.expect("sub")[0].is(t, "status", "denied", "reason", "scope_changed")
		s.expect("sub", "message")[0].is(t, "status", "live")
	})
}

// A function that declares no scope shows the same rows with any: there is nothing
// to drop.
func TestScopeThatNobodyReadsMovesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.unscoped["rooms.list"] = true
	f.backend.decide("rooms.list", scoped("acme"))
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	q := s.expect("sub", "message")[0].field("q")
	for n := range 5 {
		f.backend.decide("rooms.list", scoped(fmt.Sprint(n)))
		f.backend.set("rooms.list", rows(n+1))
		if e := s.expect("sub", "message"); e[0].field("status") != "live" || e[0].field("q") != q || !strings.Contains(e[1].data, fmt.Sprintf(`"id":%d}`, n+1)) {
			t.Fatalf("with scope %d: %v", n, e)
		}
	}
}

// F4: a scope that the function cannot use decides nothing: what was shown of
// another one is dropped, nobody is denied, and the next answer mends it.
func TestScopeThatTheFunctionCannotUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", scoped("bad"))
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	s.expect("sub")[0].is(t, "status", "stale", "reason", "unavailable", "v", "")
	if res := f.do(http.MethodGet, "/v1/q/rooms.list", ""); res.status != 503 || codeOf(t, res) != "unavailable" || strings.Contains(res.body, "integer") {
		t.Errorf("one result: %d %s", res.status, res.body)
	}
	if more := f.marker(s, 2); len(more) != 0 {
		t.Fatalf("while the scope is bad: %v", more)
	}
	f.backend.decide("rooms.list", scoped("acme"))
	s.expect("sub", "message")[0].is(t, "status", "live")
	f.backend.decide("rooms.list", scoped("bad"))
	s.expect("sub")[0].is(t, "status", "denied", "reason", "scope_changed")
	s.expect("sub")[0].is(t, "status", "stale", "reason", "unavailable", "v", "")
	f.backend.decide("rooms.list", scoped("acme"))
	s.expect("sub", "message")[0].is(t, "status", "live")
}

// A scope that changes on the way back from a denial or from unknown.
func TestScopeThatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", scoped("acme"))
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	q := s.expect("sub", "message")[0].field("q")
	f.backend.decide("rooms.list", nil)
	s.expect("sub")[0].is(t, "status", "stale")
	f.backend.decide("rooms.list", scoped("evil"))
	s.expect("sub")[0].is(t, "status", "denied", "reason", "scope_changed")
	next := s.expect("sub", "message")[0].field("q")
	f.backend.decide("rooms.list", deny)
	s.expect("sub")[0].is(t, "status", "denied", "reason", "not_a_member")
	f.backend.decide("rooms.list", scoped("third"))
	third := s.expect("sub", "message")[0].field("q")
	if q == next || next == third || q == third {
		t.Errorf("three scopes share a group: %s %s %s", q, next, third)
	}
}

// W3: two subscriptions of one group and one decision share one frame; a denial
// is told to each.
func TestGuardedSubscriptionsShareOneFrame(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", allow)
	s := f.session(`{"id":1,"q":"rooms.list"},{"id":2,"q":"rooms.list","args":{}}`)
	subs := map[string]bool{}
	both := func(status string) {
		t.Helper()
		clear(subs)
		for len(subs) < 2 {
			if e := s.next(); e.name == "sub" {
				e.is(t, "status", status)
				subs[e.field("id")] = true
			}
		}
	}
	for len(subs) < 2 {
		if e := s.next(); e.name == "sub" {
			subs[e.field("id")] = true
		}
	}
	if more := f.marker(s, 50); len(more) > 1 {
		t.Fatalf("at the start: %v", more)
	}
	share := func(n int) {
		t.Helper()
		f.backend.set("rooms.list", rows(n))
		e := s.expect("sub", "sub", "message")
		if e[0].field("q") != e[1].field("q") || e[0].field("id") == e[1].field("id") || !strings.Contains(e[2].data, fmt.Sprintf(`{"id":%d}`, n)) {
			t.Errorf("one frame for two: %v", e)
		}
		if more := f.marker(s, 100+n); len(more) != 0 {
			t.Errorf("after the frame: %v", more)
		}
	}
	share(1)
	f.backend.decide("rooms.list", deny)
	both("denied")
	f.backend.decide("rooms.list", allow)
	both("live")
	f.marker(s, 51)
	share(2)
}

// D2: a denial in the middle of a frame cuts the connection: what the socket has
// not taken is not to be seen.
// Cases: 85.
func TestDenialCutsAFrameThatIsHalfWritten(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]*reactor.Decision{"denied": deny, "moved": scoped("other")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, l, end := newPipeFixture(t, nil)
				defer end()
				f.backend.set("big", bigRows(160<<10, "secret"))
				f.backend.decide("big", allow)
				c := openStalled(t, l, `{"id":1,"q":"big"}`)
				defer c.conn.Close()
				synctest.Wait() // the writer waits for the reader
				begin := time.Now()
				f.backend.decide("big", answer)
				eventuallyIn(t, "the session ends", func() bool { return f.server.Stats().Sessions == 0 })
				if took := time.Since(begin); took > time.Second {
					t.Errorf("cut after %v", took)
				}
				// Of what comes the connection gives no more than was in the pipe, and no
				// end that would make it whole.
				_ = c.conn.SetReadDeadline(time.Now().Add(time.Minute))
				text, err := io.ReadAll(c.r)
				if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
					t.Errorf("read: %v", err)
				}
				if len(text) > 32<<10 || strings.Contains(string(text), "0\r\n\r\n") {
					t.Errorf("%d bytes came after the denial, ending in %q", len(text), text[max(0, len(text)-20):])
				}
				if got := f.server.Stats().Closes["denied"]; got != 1 {
					t.Errorf("closes: %v", f.server.Stats().Closes)
				}
			})
		})
	}
}

// D2 on real sockets, whatever buffers lie between; and who comes back is told.
func TestDenialCutsOnEachTransport(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.backend.set("big", bigRows(16<<20, "secret"))
		f.backend.decide("big", allow)
		s := f.session(`{"id":1,"q":"big"}`)
		s.expect("sub")
		f.backend.decide("big", deny)
		eventually(t, "the stream is cut", func() bool { return f.server.Stats().Closes["denied"] == 1 })
		if e, err := s.parser.next(); err == nil || err == io.EOF {
			t.Errorf("the half frame reads as %.60s, %v", e, err)
		}
		again := f.session(`{"id":1,"q":"big"}`)
		again.expect("sub")[0].is(t, "status", "denied", "reason", "not_a_member")
	})
}

// blocked is a client that takes nothing: a write ends with its deadline.
type blocked struct {
	http.ResponseWriter
	once  sync.Once
	ended chan struct{}
}

func (b *blocked) Write([]byte) (int, error) {
	<-b.ended
	return 0, os.ErrDeadlineExceeded
}

func (b *blocked) SetWriteDeadline(at time.Time) error {
	time.AfterFunc(time.Until(at), func() { b.once.Do(func() { close(b.ended) }) })
	return nil
}

// D2: also a denial that comes between the choice of a frame and its first byte.
func TestDenialCutsAFrameThatBegins(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		f.backend.decide("rooms.list", allow)
		c := f.sessionFor(time.Hour, `{"id":1,"q":"rooms.list"}`)
		c.expect("sub", "message")
		s := f.server.sessions.all()[0]
		s.mu.Lock()
		live := s.subs[0].live
		s.mu.Unlock()
		st, _ := live.State()
		f.backend.decide("rooms.list", deny)
		c.expect("sub")
		synctest.Wait() // everybody was told of the denial
		out := newWriter(&blocked{ended: make(chan struct{})}, s.tenant.Load().Limits)
		s.hold(out)
		if err := out.turn(s, &turn{live: live, frame: st.Frame, event: st.Frame.Event()}); !errors.Is(err, errAborted) || s.cause(err) != "denied" {
			t.Errorf("the write ended with %v, because of %s", err, s.cause(err))
		}
		c.close()
	})
}

// A frame of another subscription is not cut, and one that the client takes in
// time is not either.
func TestDenialDoesNotCutOthersFrames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l, end := newPipeFixture(t, nil)
		defer end()
		f.backend.set("big", bigRows(64<<10, "public"))
		f.backend.decide("rooms.list", allow)
		c := openStalled(t, l, `{"id":2,"q":"rooms.list"},{"id":1,"q":"big"}`)
		defer c.conn.Close()
		r := newSSEParser(dechunked(c.r))
		for {
			if e, err := r.next(); err != nil {
				t.Fatal(err)
			} else if e.name == "sub" && e.field("id") == "1" {
				break // the frame of big comes next
			}
		}
		synctest.Wait()
		f.backend.decide("rooms.list", deny)
		<-time.After(time.Second) // of the bubble's clock: much longer than a cut takes
		if got := f.server.Stats(); got.Sessions != 1 {
			t.Fatalf("the stream was cut: %v", got.Closes)
		}
		denied := false
		for !denied {
			e, err := r.next()
			if err != nil {
				t.Fatal(err)
			}
			denied = e.name == "sub" && e.field("status") == "denied"
		}
	})
}

// A one-query stream: denied at the start it is a 403, later it ends, and the
// reconnect is the 403; what cannot be decided is a stream that says so.
func TestOneQueryStreamBehindAPolicy(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		path := "/v1/q/rooms.list"
		f.backend.decide("rooms.list", deny)
		refused := func() {
			t.Helper()
			res := f.do(http.MethodGet, path, "", eventStream)
			if res.status != 403 || codeOf(t, res) != "denied" || !strings.Contains(res.body, "not_a_member") ||
				!strings.HasPrefix(res.header.Get("Content-Type"), "application/problem+json") {
				t.Errorf("denied: %d %s", res.status, res.body)
			}
		}
		refused()
		f.backend.decide("rooms.list", allow)
		s := f.stream(http.MethodGet, path, "")
		s.expect("sub", "message")
		f.backend.decide("rooms.list", deny)
		s.expect("sub")[0].is(t, "id", "0", "status", "denied", "reason", "not_a_member")
		s.ended()
		refused()

		f.backend.decide("rooms.list", nil)
		s = f.stream(http.MethodGet, path, "")
		s.expect("sub")[0].is(t, "status", "stale", "reason", "internal")
		f.backend.decide("rooms.list", allow)
		s.expect("sub", "message")[0].is(t, "status", "live")
		f.backend.decide("rooms.list", scoped("acme"))
		s.expect("sub")[0].is(t, "status", "denied", "reason", "scope_changed")
		e := s.expect("sub", "message")
		if want := e[1].field("v") + "~" + e[0].field("at"); e[1].id != want {
			t.Errorf("id %q, want %q", e[1].id, want)
		}
		f.backend.decide("rooms.list", nil)
		s.expect("sub")[0].is(t, "status", "stale")
		f.backend.decide("rooms.list", deny)
		s.expect("sub")[0].is(t, "status", "denied")
		s.ended()
	})
}

// One result: a denial is a 403 with its reason; what cannot be decided is worth
// another try, and its cause is the log's.
func TestOneResultBehindAPolicy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	get := func() response { return f.do(http.MethodGet, "/v1/q/rooms.list", "") }
	f.backend.decide("rooms.list", deny)
	if res := get(); res.status != 403 || codeOf(t, res) != "denied" || !strings.Contains(res.body, "not_a_member") {
		t.Errorf("denied: %d %s", res.status, res.body)
	}
	f.backend.decide("rooms.list", nil)
	if res := get(); res.status != 503 || codeOf(t, res) != "unavailable" || res.header.Get("Retry-After") == "" ||
		strings.Contains(res.body, "the policy fails") || !strings.Contains(res.body, `"retryable":true`) {
		t.Errorf("undecided: %d %s", res.status, res.body)
	}
	if !strings.Contains(f.log.String(), "the policy fails") {
		t.Error("the log does not say why")
	}
	f.backend.decide("rooms.list", scoped("acme"))
	if res := get(); res.status != 200 || !strings.Contains(res.body, `"org":"acme"`) {
		t.Errorf("allowed: %d %s", res.status, res.body)
	}
}

// S4: claims of a renewed token lead to other decisions and another group. The
// rows of the old one are replaced, not mixed.
// Cases: 86.
func TestRenewalWithOtherClaimsMoves(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", allow)
	for i, d := range []*reactor.Decision{scoped("acme"), scoped("evil"), deny, scoped("acme")} {
		token := fmt.Sprint("t", i+1)
		f.user(token, "ann", inAnHour().Add(time.Duration(i)*time.Hour))
		f.answer(token, d)
	}
	s := f.session(`{"id":1,"q":"rooms.list"}`, "Authorization: Bearer t1")
	first := s.expect("sub", "message")
	renew := func(token string) {
		t.Helper()
		if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, `{}`, "Authorization: Bearer "+token); res.status != 204 {
			t.Fatalf("renew: %d %s", res.status, res.body)
		}
	}
	renew("t2")
	second := s.expect("sub", "message")
	if second[0].field("q") == first[0].field("q") || second[1].field("q") != second[0].field("q") || !strings.Contains(second[1].data, `"evil"`) {
		t.Errorf("after the renewal: %v", second)
	}
	f.backend.set("rooms.list", rows(4))
	if e := s.expect("sub", "message"); e[1].field("q") != second[0].field("q") || !strings.Contains(e[1].data, `"evil"`) {
		t.Errorf("a change after the renewal: %v", e)
	}
	renew("t3")
	s.expect("sub")[0].is(t, "status", "denied", "reason", "not_a_member")
	renew("t4")
	s.expect("sub", "message")[0].is(t, "status", "live")
}

// S4: the token ends the stream exactly, also while all that it shows is denied
// or cannot be decided.
func TestTokenEndsADeniedStream(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		begin := time.Now()
		f.user("ann", "ann", begin.Add(90*time.Second))
		f.backend.decide("rooms.list", deny)
		f.backend.decide("messages.list", nil)
		s := f.sessionFor(time.Hour, `{"id":1,"q":"rooms.list"},{"id":2,"q":"messages.list"}`, "Authorization: Bearer ann")
		s.until("denied", func(e sseEvent) bool { return e.field("status") == "denied" })
		s.until("expiring", func(e sseEvent) bool { return e.name == "expiring" })
		if waited := time.Since(begin); waited != time.Minute {
			t.Errorf("expiring after %v", waited)
		}
		e := s.until("close", func(e sseEvent) bool { return e.name == "close" })
		if waited := time.Since(begin); waited != 90*time.Second || e.field("reason") != "expired" {
			t.Errorf("%s after %v", e, waited)
		}
		s.ended()
	})
}

// W2: a denied stream pings, and its pings carry the stamp of the denial: who comes
// back with it is not shown rows of before, by no node.
func TestDeniedStreamPings(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, f *fixture) {
		f.backend.decide("rooms.list", allow)
		s := f.sessionFor(time.Hour, `{"id":1,"q":"rooms.list"}`)
		before := s.expect("sub", "message")[0].field("at")
		f.backend.decide("rooms.list", deny)
		at := s.expect("sub")[0].field("at")
		if at == before {
			t.Errorf("the denial is of %s, as the rows before it", at)
		}
		for range 3 {
			s.expect("ping")[0].is(t, "at", at)
		}
		s.close()
	})
}

// A frame that many were shown: whom the policy denies hears of the denial and of
// nothing after it, and the others go on.
func TestDenialIsForWhomItConcerns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("ann", "ann", inAnHour())
	f.user("bob", "bob", inAnHour())
	f.backend.decide("rooms.list", allow)
	f.answer("bob", allow)
	ann := f.session(`{"id":1,"q":"rooms.list"}`, "Authorization: Bearer ann")
	bob := f.session(`{"id":1,"q":"rooms.list"}`, "Authorization: Bearer bob")
	a, b := ann.expect("sub", "message"), bob.expect("sub", "message")
	if a[1].data != b[1].data {
		t.Errorf("two users of one group: %s, %s", a[1], b[1])
	}
	f.answer("bob", deny)
	f.backend.decide("rooms.list", allow) // the table changed
	bob.expect("sub")[0].is(t, "status", "denied")
	for n := range 5 {
		f.backend.set("rooms.list", rows(n+1))
		if e := ann.expect("sub", "message"); !strings.Contains(e[1].data, fmt.Sprintf(`{"id":%d}`, n+1)) {
			t.Fatalf("ann sees %s", e[1])
		}
	}
	f.do(http.MethodPost, "/v1/stream/"+bob.sid, `{"drop":[1]}`, "Authorization: Bearer bob")
	bob.expect("end")
}

// Whatever the order of answers and results, what a client holds in the end is
// what the last answer says, and no frame of a scope follows the end of it.
func TestStreamsFollowAnyOrderOfDecisions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.decide("rooms.list", scoped("acme"))
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	answers := []*reactor.Decision{scoped("acme"), deny, scoped("evil"), nil, scoped("acme"), scoped("evil"), deny, nil}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	go func() {
		for n := range 300 {
			if rng.IntN(2) == 0 {
				f.backend.decide("rooms.list", answers[rng.IntN(len(answers))])
			} else {
				f.backend.set("rooms.list", rows(n))
			}
		}
		f.backend.decide("rooms.list", scoped("last"))
		f.backend.set("rooms.list", rows(1000))
	}()
	var q, v string // what the client was told to show; nothing after a denial
	for {
		e := s.next()
		switch e.name {
		case "sub":
			switch e.field("status") {
			case "denied":
				q, v = "", ""
			case "stale": // what it has, or nothing
			default:
				q, v = e.field("q"), e.field("v")
			}
		case "message":
			if e.field("q") != q || e.field("v") != v {
				t.Fatalf("seed %d: %s came, and %s %s was announced", seed, e, q, v)
			}
			if strings.Contains(e.data, `"id":1000}`) {
				if !strings.Contains(e.data, `"last"`) {
					continue
				}
				return
			}
		default:
			t.Fatalf("seed %d: got %s", seed, e)
		}
	}
}

// dechunked reads the body of an answer whose status line was read.
func dechunked(r *bufio.Reader) io.Reader {
	for {
		if line, err := r.ReadString('\n'); err != nil || line == "\r\n" {
			return httputil.NewChunkedReader(r)
		}
	}
}

// W2, F6: a subscription that is subscribed anew, because its plugin was replaced
// or its scope has changed, asks for nothing older than what it was shown.
// Cases: 89.
func TestWhoIsMovedIsShownNothingOlder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("ann", "ann", inAnHour())
	s := f.session(`{"id":1,"q":"rooms.list"}`, "Authorization: Bearer ann")
	list := s.expect("sub", "message")
	shown, err := reactor.ParseStamp(list[0].field("at"))
	if err != nil || shown.IsZero() {
		t.Fatalf("at %q: %v", list[0].field("at"), err)
	}
	f.server.Moved(tenant.DefaultName, func(string) bool { return true })
	eventually(t, "it is subscribed anew", func() bool {
		f.backend.mu.Lock()
		defer f.backend.mu.Unlock()
		return len(f.backend.asked) == 2
	})
	f.backend.mu.Lock()
	at := f.backend.asked[1].At
	f.backend.mu.Unlock()
	if at.IsZero() || !at.Covers(shown) {
		t.Errorf("it asks for %v, and was shown %v", at, shown)
	}
	s.close()
}
