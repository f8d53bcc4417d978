package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"weir/abi"
	"weir/host/tenant"
	"weir/reactor"
)

// TestBodyScripts shows what a stream body may hold and what is said of others.
// Commands: open BODY, change BODY (of a session that may have 3 subscriptions).
func TestBodyScripts(t *testing.T) {
	t.Parallel()
	datadriven.RunTest(t, "testdata/body.txt", func(t *testing.T, d *datadriven.TestData) string {
		rules := rulesOf(tenant.Limits{MaxSessionSubscriptions: 3, MaxIDBytes: 8, MaxArgumentBytes: 64}, d.Cmd == "open")
		b, err := parseStreamBody([]byte(d.Input), rules)
		if err != nil {
			p := problemOf(err)
			return fmt.Sprintf("%d %s: %s\n", p.Status, p.Code, p.Message)
		}
		var out strings.Builder
		if !b.At.IsZero() {
			fmt.Fprintf(&out, "at %s\n", b.At)
		}
		for _, id := range b.Drop {
			fmt.Fprintf(&out, "drop %s\n", id)
		}
		for _, a := range b.Add {
			fmt.Fprintf(&out, "add %s %s", a.ID, a.Name)
			if a.Args != nil {
				fmt.Fprintf(&out, " %s", a.Args)
			}
			if a.Has {
				fmt.Fprintf(&out, " have %s", a.Have)
			}
			out.WriteByte('\n')
		}
		if out.Len() == 0 {
			return "nothing\n"
		}
		return out.String()
	})
}

func TestDeepArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	rules := rulesOf(tenant.Limits{}, true)
	for _, depth := range []int{100, 10_001} {
		body := `{"subs":[{"id":1,"q":"x","args":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}]}`
		if _, err := parseStreamBody([]byte(body), rules); problemOf(err).Code != abi.BadRequest {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

// FuzzStreamBody: what is taken is in bounds, and goes back to the client as JSON
// on one line.
func FuzzStreamBody(f *testing.F) {
	f.Add([]byte(`{"at":"","subs":[{"id":1,"q":"messages.list","args":{"room":7},"have":"AAAAAAAAAAAAAAAAAAAAAA"}]}`), true)
	f.Add([]byte(`{"add":[{"id":"a\n","q":"x"}],"drop":[1,"b"]}`), false)
	f.Add([]byte(`{"subs":[{"id":1e3,"q":""}]}`), true)
	f.Add([]byte(`{"subs":[{"id":1,"id":2}]}`), true)
	f.Add([]byte("{\"drop\":[\"\xff\"]}"), false)
	limits := tenant.Limits{MaxSessionSubscriptions: 5}
	f.Fuzz(func(t *testing.T, text []byte, opening bool) {
		b, err := parseStreamBody(text, rulesOf(limits, opening))
		if err != nil {
			if p := problemOf(err); p.Status >= 500 {
				t.Fatalf("%q: a bad body is the client's fault: %v", text, err)
			}
			return
		}
		if !json.Valid(text) || len(b.Add) > 5 || opening && b.Drop != nil {
			t.Fatalf("%q was taken as %+v", text, b)
		}
		ids := map[string]bool{}
		for _, a := range b.Add {
			if ids[a.ID] || a.Name == "" || a.Args != nil && !json.Valid(a.Args) {
				t.Fatalf("%q was taken as %+v", text, a)
			}
			ids[a.ID] = true
			line := appendEvent(nil, "sub", subEvent{ID: json.RawMessage(a.ID), Status: "live"})
			e, err := newSSEParser(strings.NewReader(string(line))).next()
			if err != nil || !strings.Contains(e.data, `"id":`) {
				t.Fatalf("id %q breaks a frame: %v", a.ID, err)
			}
		}
	})
}

// FuzzEvents: S9, whatever texts an event carries, a strict client reads exactly
// that event, and what follows is the next one.
// Cases: 70.
func FuzzEvents(f *testing.F) {
	f.Add("denied\n\nevent: close\r\n", "a\x00b\u2028\xff", int64(1))
	f.Add("", "data: {}", int64(-1))
	f.Fuzz(func(t *testing.T, reason, message string, n int64) {
		var b []byte
		b = appendRetry(b, max(0, n))
		b = appendEvent(b, "sub", subEvent{ID: json.RawMessage("1"), Query: message, Status: reason, Reason: message})
		b = appendEvent(b, "problem", problemEvent{json.RawMessage(`"x"`), abi.Code(reason), message, true})
		b = appendEvent(b, "end", endEvent{json.RawMessage("2"), abi.Code(reason), message})
		content, _ := json.Marshal(map[string]string{"rows": message})
		frame := reactor.NewFrame("q", content[1:len(content)-1])
		b = appendEventID(b, frame.Version, reactor.Stamp{})
		b = append(b, frame.Event()...)
		b = appendEvent(b, "ping", pingEvent{})
		p := newSSEParser(strings.NewReader(string(b)))
		for _, want := range []string{"", "sub", "problem", "end", "message", "ping"} {
			e, err := p.next()
			if err != nil || want != "" && e.name != want {
				t.Fatalf("%q: got %v, %v, want %s", b, e, err, want)
			}
			if want == "problem" && e.field("message") != strings.ToValidUTF8(message, "\uFFFD") && len(message) == len(strings.ToValidUTF8(message, "")) {
				t.Fatalf("message %q became %s", message, e.data)
			}
		}
		if _, err := p.next(); err == nil {
			t.Fatal("one event too many")
		}
	})
}

// S8: every code has a line in the table, and no unknown error has a text.
func TestEveryCodeHasAProblem(t *testing.T) {
	t.Parallel()
	for code, r := range problems {
		if r.status < 400 || r.message == "" {
			t.Errorf("%s: %+v", code, r)
		}
	}
	f := func(err error, code abi.Code, status int, part string) {
		t.Helper()
		p := problemOf(err)
		if p.Code != code || p.Status != status || !strings.Contains(p.Message, part) || strings.Contains(p.Message, "secret") {
			t.Errorf("%v: %+v, want %s %d", err, p, code, status)
		}
	}
	wrap := func(err error) error { return fmt.Errorf("secret layer: %w", err) }
	f(errors.New("secret"), abi.Internal, 500, "request id")
	f(wrap(reactor.ErrClosed), abi.Draining, 503, "")
	f(wrap(reactor.ErrTooManyGroups), abi.LimitReached, 429, "too many different live queries")
	f(wrap(reactor.ErrBehind), abi.Unavailable, 503, "")
	f(wrap(reactor.ErrLate), abi.Stale, 503, "")
	f(wrap(reactor.ErrAhead), abi.Unavailable, 503, "has not reached")
	f(wrap(tenant.ErrTooManySessions), abi.LimitReached, 429, "too many sessions")
	f(wrap(tenant.ErrOtherTenant), abi.Denied, 403, "another tenant")
	f(wrap(tenant.ErrResultTooLarge), abi.ResultTooLarge, 500, "")
	f(wrap(trap{}), abi.GuestTrap, 500, "crashed")
	f(wrap(&abi.ArgumentError{Path: "room", What: "is needed"}), abi.BadRequest, 400, `argument "room": is needed`)
	f(wrap(&abi.CodecError{What: "secret"}), abi.GuestContract, 500, "")
	f(wrap(&Refusal{Kind: abi.Denied, Message: "no"}), abi.Denied, 403, "no")
	f(wrap(&abi.Error{Code: "mine", Message: "text", Public: true}), "mine", 422, "text")
	f(wrap(&abi.Error{Code: "mine", Message: "secret"}), abi.Internal, 500, "")
}
