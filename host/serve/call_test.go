package serve

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/auth"
	"weir/reactor"
)

func inAnHour() time.Time { return time.Now().Add(time.Hour) }

func TestOneShotHasVersionAsETag(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		res := f.do(http.MethodGet, "/v1/q/messages.list?room=7", "")
		tag := res.header.Get("ETag")
		if res.status != 200 || !strings.HasPrefix(res.body, `{"v":`+tag+`,"key":["id"],"rows":[{"id":0}]}`) {
			t.Fatalf("%d %s %s", res.status, tag, res.body)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "Cache-Control": "private, no-cache",
			"X-Content-Type-Options": "nosniff", "Weir-Status": "live",
		} {
			if got := res.header.Get(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if vary := strings.Join(res.header.Values("Vary"), ", "); !strings.Contains(vary, "Authorization, Cookie, Accept") {
			t.Errorf("Vary: %s", vary)
		}
		for _, header := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			if res := f.do(http.MethodGet, "/v1/q/messages.list?room=7", "", "If-None-Match: "+header); res.status != 304 || res.body != "" {
				t.Errorf("If-None-Match %s: %d %q", header, res.status, res.body)
			}
		}
		f.backend.set("messages.list", rows(1))
		res = f.do(http.MethodPost, "/v1/q/messages.list", `{"room":7}`, "If-None-Match: "+tag)
		if res.status != 200 || !strings.Contains(res.body, `{"id":1}`) {
			t.Errorf("after a change: %d %s", res.status, res.body)
		}
	})
}

func TestOneShotArguments(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ask := func(want int, message, query string) {
		t.Helper()
		res := f.do(http.MethodGet, "/v1/q/messages.list?"+query, "")
		if res.status != want || !strings.Contains(res.body, message) {
			t.Errorf("%s: %d %s, want %d %s", query, res.status, res.body, want, message)
		}
	}
	ask(200, "", "room=7&text=a%20b")
	ask(200, "", `args={"room":7}`)
	ask(200, "", "room=7&delta=1")
	ask(400, `unknown argument \"rooms\"`, "rooms=7")
	ask(400, `argument \"room\"`, "room=seven")
	ask(400, `argument \"room\"`, `args={"room":"7"}`)
	ask(400, "json at byte", `args={"room":1,"room":2}`)
	ask(400, "json at byte", `args={`)
	ask(400, "json at byte", `args={"room":1}x`)
	ask(400, "json at byte", "args="+strings.Repeat("[", 40)+strings.Repeat("]", 40))
	ask(400, "unknown parameter", `args={}&room=1`)
	ask(400, "twice", `args={}&args={}`)
	ask(400, "UTF-8", "text=%ff")
	ask(400, "malformed", "text=%zz")
	if res := f.do(http.MethodGet, "/v1/q/mesages.list", ""); codeOf(t, res) != "unknown_function" || !strings.Contains(res.body, `did you mean \"messages.list\"?`) {
		t.Errorf("unknown function: %s", res.body)
	}
	post := func(want int, code, body string) {
		t.Helper()
		res := f.do(http.MethodPost, "/v1/q/messages.list", body)
		if res.status != want || code != "" && codeOf(t, res) != code {
			t.Errorf("%.60s: %d %s", body, res.status, res.body)
		}
	}
	post(200, "", "")
	post(200, "", `{"room":7}`)
	post(400, "bad_request", `{"room":7`)
	post(400, "bad_request", `[]`)
	post(400, "bad_request", "{\"text\":\"\xff\"}")
	post(413, "too_large", `{"text":"`+strings.Repeat("a", 64<<10)+`"}`)
	if res := f.do(http.MethodPost, "/v1/q/messages.list?room=7", "{}"); res.status != 400 {
		t.Errorf("parameters beside a body: %d", res.status)
	}
}

func TestFailuresOfOneShots(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.backend.denied["big"] = true
	f.backend.fail("rooms.list", errors.New("secret: relation \"salaries\" does not exist"))
	res := f.do(http.MethodGet, "/v1/q/rooms.list", "")
	if res.status != 500 || codeOf(t, res) != "internal" || strings.Contains(res.body, "salaries") {
		t.Errorf("internal: %d %s", res.status, res.body)
	}
	// Logged once, with the id that the client was told.
	if log := f.log.String(); strings.Count(log, "salaries") != 1 || !strings.Contains(log, res.header.Get("X-Request-Id")) {
		t.Errorf("log: %s", log)
	}
	if res := f.do(http.MethodGet, "/v1/q/big", ""); res.status != 403 || codeOf(t, res) != "denied" {
		t.Errorf("denied: %d %s", res.status, res.body)
	}
	for _, path := range []string{"/v1/nothing", "/v1/q", "/v2/q/x", "/", "/t/x"} {
		if res := f.do(http.MethodGet, path, ""); res.status != 404 || codeOf(t, res) != "not_found" {
			t.Errorf("%s: %d %s", path, res.status, res.body)
		}
	}
	for _, ask := range []string{"DELETE /v1/q/rooms.list", "PUT /v1/stream", "GET /v1/call/x", "POST /v1/schema", "POST /x"} {
		method, path, _ := strings.Cut(ask, " ")
		if res := f.do(method, path, ""); res.status != 405 || path != "/x" && res.header.Get("Allow") == "" || codeOf(t, res) != "method_not_allowed" {
			t.Errorf("%s: %d %s", ask, res.status, res.body)
		}
	}
}

// A result that is known not to be fresh says so, also outside streams (W9).
func TestOneShotSaysStale(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	s := f.session(`{"id":1,"q":"rooms.list"}`)
	s.expect("sub", "message")
	f.backend.fail("rooms.list", errors.New("down"))
	s.expect("sub")
	if res := f.do(http.MethodGet, "/v1/q/rooms.list", ""); res.status != 200 || res.header.Get("Weir-Status") != "stale" {
		t.Errorf("%d %v", res.status, res.header)
	}
}

func TestCallRunsAMutation(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.user("ann", "ann", inAnHour())
	f.backend.mutation = func(who *auth.Caller, name string, args Arguments) (Answer, error) {
		switch name {
		case "messages.post":
			return Answer{Result: []byte(`{"by":"` + who.Principal.Subject + `","args":` + string(args.JSON) + `}`), Tx: reactor.TxStamp("e", 7)}, nil
		case "nothing":
			return Answer{}, nil
		case "conflict":
			return Answer{}, &Refusal{Kind: abi.Conflict, Message: "other writes were in the way: try again"}
		case "closed":
			return Answer{}, &abi.Error{Code: "room_closed", Message: "the room is closed", Public: true}
		case "hidden":
			return Answer{}, &abi.Error{Code: "room_closed", Message: "canary"}
		case "broken":
			return Answer{Result: []byte("{")}, nil
		case "panic":
			panic("canary-panic")
		}
		return Answer{}, trap{}
	}
	ask := func(name string, want int, part string) {
		t.Helper()
		res := f.do(http.MethodPost, "/v1/call/"+name, `{"a":1}`, "Authorization: Bearer ann")
		if res.status != want || !strings.Contains(res.body, part) || strings.Contains(res.body, "canary") {
			t.Errorf("%s: %d %s, want %d %s", name, res.status, res.body, want, part)
		}
	}
	ask("messages.post", 200, `{"result":{"by":"ann","args":{"a":1}},"tx":"`+reactor.TxStamp("e", 7).String()+`"}`)
	ask("nothing", 200, `{"result":null,"tx":null}`)
	ask("conflict", 409, `"retryable":true`)
	ask("closed", 422, `"code":"room_closed","message":"the room is closed"`)
	ask("hidden", 500, `"code":"internal"`)
	ask("broken", 500, `"code":"internal"`)
	ask("trap", 500, `"code":"guest_trap"`)
	if res := f.do(http.MethodPost, "/v1/call/nothing?x=1", `{}`); res.status != 400 {
		t.Errorf("unknown parameter: %d", res.status)
	}
	req, _ := http.NewRequest(http.MethodPost, f.url+"/v1/call/panic", strings.NewReader("{}"))
	req.Header.Set("Content-Type", "application/json")
	if res, err := f.client.Do(req); err == nil {
		res.Body.Close()
		t.Errorf("a panic was answered with %d", res.StatusCode)
	}
	if !strings.Contains(f.log.String(), "canary-panic") {
		t.Error("a panic is not logged")
	}
}

// trap is an error that brings its own code, as those of package wasm do.
type trap struct{}

func (trap) Error() string  { return "canary: unreachable" }
func (trap) Code() abi.Code { return abi.GuestTrap }

func TestSchemaNeedsATokenUnlessAllIsPublic(t *testing.T) {
	t.Parallel()
	schema := Schema{JSON: []byte(`{"functions":[]}`), Digest: "d"}
	f := newFixture(t, func(c *Config) { c.Schema = func(string) Schema { return schema } })
	f.user("ann", "ann", inAnHour())
	if res := f.do(http.MethodGet, "/v1/schema", ""); res.status != 401 {
		t.Errorf("anonymous: %d", res.status)
	}
	res := f.do(http.MethodGet, "/v1/schema", "", "Authorization: Bearer ann")
	if res.status != 200 || res.body != string(schema.JSON) || res.header.Get("ETag") != `"d"` {
		t.Errorf("%d %s", res.status, res.body)
	}
	schema.Public = true
	if res := f.do(http.MethodGet, "/v1/schema", "", `If-None-Match: "d"`); res.status != 304 {
		t.Errorf("public: %d", res.status)
	}
}

func TestOnlyWhoAsksForAStreamGetsOne(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "text/*": false, "text/event-stream": true,
		"application/json, text/event-stream;q=0.5": true, "Text/Event-Stream": true, "text/event-stream; q=0": false,
		"text/event-streams": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		if got := wantsStream(r); got != want {
			t.Errorf("Accept %q: %v, want %v", accept, got, want)
		}
	}
}
