package serve

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"weir/abi"
)

// onEach runs a test on every transport.
func onEach(t *testing.T, change func(*Config), test func(t *testing.T, f *fixture)) {
	for _, transport := range transports {
		if transport == "http1 shard" && !shardsExist {
			continue
		}
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			test(t, newFixtureOn(t, transport, change))
		})
	}
}

func TestSessionShowsResultAndItsChanges(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.session(`{"id":1,"q":"messages.list","args":{"room":7}}`)
		for name, want := range map[string]string{
			// D5: no proxy may hold it back or compress it.
			"Content-Type": "text/event-stream", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no",
		} {
			if got := s.res.Header.Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if ms, err := strconv.Atoi(s.retry); err != nil || ms < 2000 || ms > 5000 {
			t.Errorf("retry = %q", s.retry)
		}
		if len(s.sid) != 22 {
			t.Errorf("sid %q is not 128 bits in base64url", s.sid)
		}
		first := s.expect("sub", "message")
		if first[0].field("status") != "live" || first[0].field("v") != first[1].field("v") || first[0].field("q") != first[1].field("q") {
			t.Errorf("sub %s does not announce %s", first[0], first[1])
		}
		if first[0].field("at") == "" || first[1].hasID {
			t.Errorf("sub %s has no at, or the result an id", first[0])
		}
		for n := range 5 {
			f.backend.set("messages.list", rows(n+1))
			next := s.expect("sub", "message")
			if !strings.Contains(next[1].data, fmt.Sprintf(`"rows":[{"id":%d}]`, n+1)) {
				t.Fatalf("result is %s", next[1])
			}
			// S3: the stamp comes before the rows, and grows.
			if next[0].field("at") == first[0].field("at") || next[0].field("v") != next[1].field("v") {
				t.Fatalf("sub %s before %s", next[0], next[1])
			}
			first = next
		}
	})
}

// W3: two subscriptions of one group have one run, one q and one frame.
func TestSubscriptionsOfOneGroupShareOneFrame(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := f.session(`{"id":1,"q":"rooms.list"},{"id":"two","q":"rooms.list","args":{}}`)
	// The second may be ready later than the first; after that they go together.
	seen := map[string]string{}
	for len(seen) < 2 {
		if e := s.next(); e.name == "sub" {
			seen[e.field("id")] = e.field("q")
		}
	}
	if seen["1"] != seen["two"] {
		t.Fatalf("two names of one group: %v", seen)
	}
	f.backend.set("rooms.list", rows(9))
	s.until("second sub", func(e sseEvent) bool { return e.name == "sub" && e.field("v") != "" && e.field("id") == "1" })
	e := s.expect("sub", "message")
	if e[0].field("id") != "two" || !strings.Contains(e[1].data, `{"id":9}`) {
		t.Errorf("got %s, %s", e[0], e[1])
	}
	f.backend.mu.Lock()
	defer f.backend.mu.Unlock()
	if f.backend.runs > 3 {
		t.Errorf("%d runs for one group", f.backend.runs)
	}
}

func TestResumeByVersionSendsNoData(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		sub := s.expect("sub", "message")[0]
		s.close()

		resume := fmt.Sprintf(`{"at":%q,"subs":[{"id":5,"q":"rooms.list","have":%q}]}`, sub.field("at"), sub.field("v"))
		s = f.stream(http.MethodPost, "/v1/stream", resume)
		again := s.expect("sub")[0]
		if again.field("status") != "unchanged" || again.field("v") != sub.field("v") {
			t.Fatalf("resume: %s", again)
		}
		f.backend.set("rooms.list", rows(1))
		s.expect("sub", "message")
		s.close()

		// Another version than the newest: the rows come.
		s = f.stream(http.MethodPost, "/v1/stream", resume)
		if e := s.expect("sub", "message"); e[0].field("status") != "live" {
			t.Errorf("resume of an old version: %s", e[0])
		}
	})
}

// Cases: 89.
func TestSubscriptionsAreAddedAndDropped(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.stream(http.MethodGet, "/v1/stream", "")
		change := func(body string) {
			t.Helper()
			if res := f.do(http.MethodPost, "/v1/stream/"+s.sid, body); res.status != http.StatusNoContent {
				t.Fatalf("change %s: %d %s", body, res.status, res.body)
			}
		}
		change(`{"add":[{"id":1,"q":"rooms.list"}]}`)
		s.expect("sub", "message")
		change(`{"drop":[1,77]}`)
		if e := s.expect("end")[0]; e.field("id") != "1" || e.field("reason") != "dropped" {
			t.Errorf("drop: %s", e)
		}
		// A dropped group is not told any more, and its id is free.
		f.backend.set("rooms.list", rows(4))
		change(`{"add":[{"id":1,"q":"messages.list"}]}`)
		if e := s.expect("sub", "message"); e[0].field("id") != "1" {
			t.Errorf("add after drop: %s", e[0])
		}
		// An id that is in use is replaced.
		change(`{"add":[{"id":1,"q":"rooms.list"}]}`)
		if e := s.expect("sub", "message"); !strings.Contains(e[1].data, `{"id":4}`) {
			t.Errorf("replaced: %s", e[1])
		}
		if got := f.server.Stats().Subscriptions; got != 1 {
			t.Errorf("%d subscriptions are counted", got)
		}
	})
}

// S2, W9: a failed run is told as stale, and live again without data when the
// result is the same (F10).
func TestStatusIsToldWithoutData(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	live := s.expect("sub", "message")[0]
	f.backend.fail("rooms.list", &abi.Error{Code: abi.SQLError, Message: "secret detail"})
	stale := s.expect("sub")[0]
	if stale.field("status") != "stale" || stale.field("v") != live.field("v") || stale.field("reason") != "internal" {
		t.Errorf("after a failed run: %s", stale)
	}
	f.backend.set("rooms.list", rows(0))
	again := s.expect("sub")[0]
	if again.field("status") != "live" || again.field("v") != live.field("v") || again.field("reason") != "" {
		t.Errorf("after recovery: %s", again)
	}
	f.backend.set("rooms.list", rows(1))
	s.expect("sub", "message")
	if strings.Contains(f.log.String(), "rooms.list") {
		t.Error("the run's failure was logged for a session: that is the loop's to do, once")
	}
}

// Cases: 88.
func TestFirstFailureIsAnErrorWithItsProblem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.fail("rooms.list", &abi.Error{Code: "no_such_board", Message: "there is no such board", Public: true})
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	e := s.expect("sub", "problem")
	if e[0].field("status") != "error" || e[0].field("reason") != "no_such_board" || e[1].field("message") != "there is no such board" {
		t.Errorf("got %s, %s", e[0], e[1])
	}
	f.backend.set("rooms.list", rows(3))
	s.until("result", func(e sseEvent) bool { return e.name == "message" })
}

func TestRefusedSubscriptionLeavesTheStream(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		f.backend.denied["big"] = true
		f.backend.refused["messages.list"] = errors.New("pq: password of weir is hunter2")
		s := f.session(`{"id":1,"q":"room.list"}`)
		if e := s.expect("problem")[0]; e.field("code") != "unknown_function" || e.field("message") != `unknown query "room.list": did you mean "rooms.list"?` {
			t.Errorf("unknown function: %s", e)
		}
		add := func(body string) sseEvent {
			t.Helper()
			f.do(http.MethodPost, "/v1/stream/"+s.sid, `{"add":[`+body+`]}`)
			return s.next()
		}
		if e := add(`{"id":2,"q":"big"}`); e.name != "sub" || e.field("status") != "denied" || e.field("reason") != "not_a_member" {
			t.Errorf("denied: %s", e)
		}
		if e := add(`{"id":3,"q":"messages.list"}`); e.field("code") != "internal" || strings.Contains(e.data, "hunter2") {
			t.Errorf("internal: %s", e)
		}
		if n := strings.Count(f.log.String(), "hunter2"); n != 1 {
			t.Errorf("an internal error was logged %d times", n)
		}
		if e := add(`{"id":4,"q":"rooms.list","args":{"x":1}}`); e.field("code") != "bad_request" || !strings.Contains(e.data, "unknown argument") {
			t.Errorf("unknown argument: %s", e)
		}
		if e := add(`{"id":5,"q":"rooms.list"}`); e.name != "sub" {
			t.Errorf("the stream does not go on: %s", e)
		}
		// 2 is denied, which is a state, and 5 is live; the others are gone.
		if got := f.server.Stats().Subscriptions; got != 2 {
			t.Errorf("%d subscriptions are counted, want 2", got)
		}
	})
}

func TestOneQueryStream(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.stream(http.MethodGet, "/v1/q/messages.list?room=7", "")
		if s.sid != "" {
			t.Error("a stream of one query has a sid")
		}
		e := s.expect("sub", "message")
		if e[0].field("id") != "0" {
			t.Errorf("sub %s", e[0])
		}
		if want := e[1].field("v") + "~" + e[0].field("at"); e[1].id != want {
			t.Errorf("id %q, want %q", e[1].id, want)
		}
		f.backend.set("messages.list", rows(2))
		last := s.expect("sub", "message")[1]
		s.close()
		s = f.stream(http.MethodPost, "/v1/q/messages.list", `{"room":7}`, "Last-Event-ID: "+last.id)
		if e := s.expect("sub")[0]; e.field("status") != "unchanged" {
			t.Errorf("resume: %s", e)
		}
		f.backend.set("messages.list", rows(3))
		s.expect("sub", "message")
		s.close()
		// A forged id is no id.
		for _, id := range []string{"~", "x~y", last.field("v"), last.field("v") + "~!!", strings.Repeat("a", 9000)} {
			s = f.stream(http.MethodGet, "/v1/q/messages.list?room=7", "", "Last-Event-ID: "+id)
			s.expect("sub", "message")
			s.close()
		}
	})
}

// D4: an EventSource gives up for good at anything but 200, so that only what is
// final has another status.
func TestOnlyFinalRefusalsEndAnEventSource(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Tenant = limited(func(l *limits) { l.MaxAnonymousSessions = 1 })
	})
	f.backend.denied["big"] = true
	final := func(path string, want int, headers ...string) {
		t.Helper()
		if res := f.do(http.MethodGet, path, "", append(headers, eventStream)...); res.status != want {
			t.Errorf("%s: %d %s, want %d", path, res.status, res.body, want)
		}
	}
	passing := func(path, reason string, most int) {
		t.Helper()
		s := f.rawStream(http.MethodGet, path, "")
		if ms, err := strconv.Atoi(s.next().retry); err != nil || ms < 2000 || ms > most {
			t.Errorf("%s: retry %d", path, ms)
		}
		if e := s.expect("close")[0]; e.field("reason") != reason {
			t.Errorf("%s: %s, want %s", path, e, reason)
		}
		s.ended()
	}
	final("/v1/q/nothing.here", 404)
	final("/v1/q/nothing.here", 204, "Last-Event-ID: a~b") // it was there: stop
	final("/v1/q/messages.list?room=x", 400)
	final("/v1/q/big", 403)
	final("/v1/q/rooms.list", 401, "Authorization: Bearer forged")

	f.backend.refused["messages.list"] = &Refusal{Kind: abi.Unavailable, Message: "no database"}
	for range 20 {
		passing("/v1/q/messages.list", "overload", 5000) // as after a broken connection
	}
	hold := f.session("")
	passing("/v1/q/rooms.list", "limit", 25000)
	passing("/v1/stream", "limit", 25000)
	// A program that posts gets the status.
	if res := f.do(http.MethodPost, "/v1/stream", `{}`, eventStream); res.status != 429 || res.header.Get("Retry-After") == "" {
		t.Errorf("POST over the limit: %d %v", res.status, res.header)
	}
	hold.close()
}

// S9: whatever rows hold, an event stays one event. JSON escapes what would end a
// line.
// Cases: 70.
func TestRowsCannotBreakFrames(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := f.session(`{"id":"a\nevent: x\n\n","q":"rooms.list"}`)
	s.expect("sub", "message")
	f.backend.set("rooms.list", `"rows":[{"t":"a\n\nevent: close\r\ndata: {}\u0000\u2028</script>"}]`)
	e := s.expect("sub", "message")
	if e[0].field("id") != "a\nevent: x\n\n" || !strings.Contains(e[1].data, `\n\nevent: close\r\n`) {
		t.Errorf("got %s %s", e[0], e[1])
	}
}
