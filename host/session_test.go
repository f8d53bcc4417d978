package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/host/hosttest"
	"weir/reactor"
)

// observed sends the names of the functions that ran.
func observed(to chan<- string) func(reactor.Run) {
	return func(r reactor.Run) {
		select {
		case to <- r.Name:
		default: // the loop never waits
		}
	}
}

// request does one request with a token and a JSON body, either may be empty.
func request(t *testing.T, method, url, token, body string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if strings.Contains(url, "/stream") && !strings.Contains(url, "/stream/") {
		req.Header.Set("Accept", "text/event-stream")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// session opens a session stream. It ends with the test.
func session(t *testing.T, url, token, body string) *stream {
	t.Helper()
	resp := request(t, http.MethodPost, url, token, body)
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("POST %s: %s: %s", url, resp.Status, text)
	}
	s := &stream{url: url, events: make(chan event, 256)}
	go s.read(resp.Body)
	return s
}

// named waits for an event of a kind and decodes it.
func (s *stream) named(t *testing.T, kind string) map[string]any {
	t.Helper()
	e := s.next(t, func(e event) bool { return e.kind == kind })
	var v map[string]any
	if err := json.Unmarshal([]byte(e.data), &v); err != nil {
		t.Fatalf("%s: %v", e.data, err)
	}
	return v
}

// TestSessionStream: two subscriptions of one group share q and one frame; others
// come and go; the session belongs to its principal.
func TestSessionStream(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)}})
	stream := session(t, s.URL+"/v1/stream?as=ann", "", `{"subs":[
		{"id":1,"q":"todos.list","args":{"list":1}},{"id":"two","q":"todos.list","args":{"list":1}}]}`)
	sid := stream.named(t, "hello")["sid"].(string)
	first, second := stream.named(t, "sub"), stream.named(t, "sub")
	if first["q"] != second["q"] || first["v"] != second["v"] || first["id"] == second["id"] {
		t.Errorf("two subscriptions of one group: %v, %v", first, second)
	}
	stream.result(t)

	change := func(as, body string) (int, map[string]any) {
		return decode(t, request(t, http.MethodPost, s.URL+"/v1/stream/"+sid+"?as="+as, "", body))
	}
	for _, as := range []string{"bob", ""} {
		url := s.URL + "/v1/stream/" + sid
		if as != "" {
			url += "?as=" + as
		}
		status, answer := decode(t, request(t, http.MethodPost, url, "", `{"drop":[1]}`))
		if status != 404 || answer["code"] != "session_gone" {
			t.Errorf("%q changes ann's session: %d %v", as, status, answer)
		}
	}
	if status, answer := decode(t, request(t, http.MethodPost, s.URL+"/v1/stream/AAAAAAAAAAAAAAAAAAAAAA?as=ann", "", `{}`)); status != 404 || answer["code"] != "session_gone" {
		t.Errorf("a session that is not there: %d %v", status, answer)
	}
	if resp := request(t, http.MethodPost, s.URL+"/v1/stream/"+sid+"?as=ann", "",
		`{"add":[{"id":3,"q":"todos.list","args":{"list":2}}],"drop":["two"]}`); resp.StatusCode >= 300 {
		status, answer := change("ann", `{}`)
		t.Fatalf("add and drop: %s; %d %v", resp.Status, status, answer)
	} else {
		resp.Body.Close()
	}
	ended, added := false, false
	stream.next(t, func(e event) bool {
		ended = ended || e.kind == "end" && strings.Contains(e.data, `"two"`) && strings.Contains(e.data, "dropped")
		added = added || e.kind == "sub" && strings.Contains(e.data, `"id":3`)
		return ended && added
	})
	// One frame for the subscriptions that are left: nothing is written twice.
	s.SQL(t, `update todos set title = 'once' where id = 1`)
	once := stream.result(t)
	for once.Rows[0]["title"] != "once" {
		once = stream.result(t) // the first one of list 2
	}
	s.SQL(t, `update todos set title = 'twice' where id = 1`)
	if got := stream.result(t).Rows[0]["title"]; got != "twice" {
		t.Errorf("the frame after it is %v", got)
	}
}

// TestOneShotHasAnETag: unchanged content is 304, changed content is not.
func TestOneShotHasAnETag(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)}})
	ask := func(tag string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/q/todos.list?list=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tag != "" {
			req.Header.Set("If-None-Match", tag)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp
	}
	first := ask("")
	tag := first.Header.Get("ETag")
	if first.StatusCode != 200 || tag == "" || first.Header.Get("Cache-Control") != "private, no-cache" ||
		!strings.Contains(strings.Join(first.Header.Values("Vary"), ","), "Authorization") {
		t.Fatalf("%s %v", first.Status, first.Header)
	}
	if again := ask(tag); again.StatusCode != 304 || again.Header.Get("ETag") != tag {
		t.Errorf("unchanged: %s", again.Status)
	}
	s.SQL(t, `update todos set done = true where id = 1`)
	if changed := ask(tag); changed.StatusCode != 200 || changed.Header.Get("ETag") == tag {
		t.Errorf("changed: %s %s", changed.Status, changed.Header.Get("ETag"))
	}
	// A number is one argument however it is spelt, and another type is none.
	if status, answer := get(t, s.URL+"/v1/q/todos.list?list=one"); status != 400 || !strings.Contains(answer["message"].(string), "list") {
		t.Errorf("a wrong argument: %d %v", status, answer)
	}
	if status, answer := get(t, s.URL+"/v1/q/todos.lits?list=1"); status != 404 || !strings.Contains(answer["message"].(string), "todos.list") {
		t.Errorf("an unknown function: %d %v", status, answer)
	}
}

// TestSchemaListsWhatMayBeCalled: names, arguments and access, no policies; it
// needs a token unless everything is public.
func TestSchemaListsWhatMayBeCalled(t *testing.T) {
	t.Parallel()
	s := chat(t, hosttest.Config{})
	if status, answer := get(t, s.URL+"/v1/schema"); status != 401 {
		t.Errorf("without a token: %d %v", status, answer)
	}
	status, answer := get(t, s.URL+"/v1/schema?as=ann")
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	got := map[string]string{}
	for _, f := range answer["functions"].([]any) {
		f := f.(map[string]any)
		access, err := json.Marshal(f["access"])
		if err != nil {
			t.Fatal(err)
		}
		got[f["name"].(string)] = f["kind"].(string) + " " + string(access)
		if f["args"].(map[string]any)["type"] != "object" {
			t.Errorf("the arguments of %v are %v", f["name"], f["args"])
		}
	}
	want := map[string]string{
		"messages.list": `query {"policies":["member"]}`, "messages.post": `mutation {"policies":["member"]}`,
		"rooms.list": `query "signed_in"`, "rooms.summary": `query "signed_in"`,
		"weir.job": `query {"policies":["weir.job_access"]}`, "weir.workflow": `query {"policies":["weir.workflow_access"]}`,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	open := hosttest.Start(t, hosttest.Config{Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)}})
	if status, answer := get(t, open.URL+"/v1/schema"); status != 200 {
		t.Errorf("all is public: %d %v", status, answer)
	}
}

// TestOperatorsSeeHowItIs: /healthz, /readyz and /metrics, on their own address
// only.
func TestOperatorsSeeHowItIs(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)}})
	if resp, err := http.Get(s.Admin + "/healthz"); err != nil || resp.StatusCode != 200 {
		t.Errorf("healthz: %v %v", resp, err)
	} else {
		resp.Body.Close()
	}
	status, answer := get(t, s.Admin+"/readyz")
	if status != 200 || answer["ready"] != true || len(answer["conditions"].([]any)) < 3 {
		t.Errorf("readyz: %d %v", status, answer)
	}
	watch(t, s.URL+"/v1/q/todos.list?list=1").result(t)
	text := metrics(t, s)
	for _, line := range []string{
		"weir_reactor_groups 1\n", "weir_reactor_subscriptions 1\n", "weir_reactor_executions_total 1\n",
		"weir_changelog_healthy 1\n", "weir_plugin_plugins 1\n", "weir_plugin_failed 0\n",
		`weir_ready{condition="capture"} 1`, "weir_db_waves_total ", "weir_serve_",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("metrics lack %q", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if status, answer := get(t, s.URL+"/metrics"); status != 404 {
		t.Errorf("metrics on the clients' address: %d %v", status, answer)
	}
	// A plugin that cannot be loaded is told.
	s.Write(t, "bad.wasm", []byte("nothing"))
	for deadline := time.Now().Add(20 * time.Second); ; {
		if status, answer := get(t, s.Admin+"/readyz"); status == 503 && strings.Contains(fmt.Sprint(answer), "bad.wasm") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("readyz with a bad plugin: %d %v", status, answer)
		}
	}
}
