package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/host/auth"
)

func TestEventReaderReadsWhatTheProtocolAllows(t *testing.T) {
	t.Parallel()
	f := func(text string, want ...sseEvent) {
		t.Helper()
		r := &eventReader{in: bufio.NewReaderSize(strings.NewReader(text), 16)}
		for _, w := range want {
			got, err := r.next()
			if err != nil || got.name != w.name || got.id != w.id || string(got.data) != string(w.data) {
				t.Errorf("%q: got %q %q %q %v, want %q %q %q", text, got.name, got.id, got.data, err, w.name, w.id, w.data)
			}
		}
		if e, err := r.next(); !errors.Is(err, io.EOF) {
			t.Errorf("%q: got %+v %v, want the end", text, e, err)
		}
	}
	f("")
	f("retry: 12\n\n")
	f("data: {}\n\n", sseEvent{"", "", []byte("{}")})
	f("event: sub\r\ndata: {\"a\":1}\r\n\r\n", sseEvent{"sub", "", []byte(`{"a":1}`)})
	f("id: v~at\ndata:x\ndata: y\n\n: comment\nevent: ping\ndata: {}\n\n",
		sseEvent{"", "v~at", []byte("x\ny")}, sseEvent{"ping", "v~at", []byte("{}")})
	f("event: sub\n\ndata: a line that is longer than the reader's buffer\n\n",
		sseEvent{"", "", []byte("a line that is longer than the reader's buffer")})
	f("data: cut short\n")

	r := &eventReader{in: bufio.NewReader(strings.NewReader("retry: 1500\n\ndata: x\n\n"))}
	if _, err := r.next(); err != nil || r.retry != 1500*time.Millisecond {
		t.Errorf("retry is %v %v", r.retry, err)
	}
}

// fakeWeir answers as a weir with one function of each kind.
func fakeWeir(t *testing.T, query http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/schema", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"functions":[{"name":"list","kind":"query","args":{"properties":{"room":{"type":"integer"}}}},
			{"name":"post","kind":"mutation","args":{"properties":{"room":{"type":"integer"},"body":{"type":["string","null"]},"tags":{"type":"array"}}}}]}`)
	})
	mux.HandleFunc("POST /v1/call/post", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"result":{"sent":%s,"as":%q,"token":%q,"type":%q}}`, body,
			r.URL.Query().Get("as"), r.Header.Get("Authorization"), r.Header.Get("Content-Type"))
	})
	if query != nil {
		mux.HandleFunc("/v1/q/list", query)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestCallSendsArgumentsByTheirTypes(t *testing.T) {
	t.Parallel()
	server := fakeWeir(t, nil)
	f := func(want string, args ...string) {
		t.Helper()
		out := weir(t, t.TempDir(), append([]string{"call", "post", "--url", server.URL}, args...)...).must(t)
		var answer struct {
			Result struct {
				Sent      any
				As, Token string
				Type      string
			}
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			t.Fatal(err)
		}
		sent, _ := json.Marshal(answer.Result.Sent)
		if got := string(sent) + " " + answer.Result.As + answer.Result.Token; strings.TrimSpace(got) != want || answer.Result.Type != "application/json" {
			t.Errorf("%q sends %s as %s, want %s", args, got, answer.Result.Type, want)
		}
	}
	f(`{"body":"42","room":7}`, "room=7", "body=42")
	f(`{"body":"a=b","room":"seven","tags":["x"]}`, "room=seven", "body=a=b", `tags=["x"]`)
	f(`{"other":true}`, "other=true")
	f(`{"room":1} ann`, "--args", `{"room":1}`, "--as", "ann")
	f(`{} Bearer secret`, "--token", "secret")
}

func TestCallSuggestsTheNearestFunction(t *testing.T) {
	t.Parallel()
	server := fakeWeir(t, nil)
	weir(t, t.TempDir(), "call", "posd", "--url", server.URL).fails(t, 1, `did you mean "post"?`)
	weir(t, t.TempDir(), "call", "nothing.like.it", "--url", server.URL).fails(t, 1, "there are list, post")
}

func TestCallTellsTheServersProblem(t *testing.T) {
	t.Parallel()
	f := func(status int, body string, parts ...string) {
		t.Helper()
		server := fakeWeir(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
		weir(t, t.TempDir(), "call", "list", "--url", server.URL).fails(t, 1, parts...)
		weir(t, t.TempDir(), "watch", "list", "--url", server.URL).fails(t, 1, parts...)
	}
	f(403, `{"code":"denied","message":"members only"}`, "denied: members only")
	f(401, `{"code":"unauthenticated","message":"sign in"}`, "sign in", "--as NAME")
	f(400, `{"code":"bad_request","message":"two\nlines\u001b[31m"}`, "two lines [31m")
	f(502, `<html>`, "502 Bad Gateway", "check --url")
}

// TestWatchResumes: a stream that ends is opened again with what was shown, and
// shows nothing twice.
func TestWatchResumes(t *testing.T) {
	t.Parallel()
	opened := 0
	server := fakeWeir(t, func(w http.ResponseWriter, r *http.Request) {
		opened++ // the client opens one at a time
		if r.Header.Get("Accept") != "text/event-stream" || r.URL.Query().Get("room") != "7" || r.URL.Query().Get("as") != "ann" {
			t.Errorf("asked %s with Accept %s", r.URL, r.Header.Get("Accept"))
		}
		last := r.Header.Get("Last-Event-ID")
		switch opened {
		case 1:
			fmt.Fprint(w, "retry: 10\n\nevent: hello\ndata: {}\n\nevent: sub\ndata: {\"status\":\"live\"}\n\nid: v1~a\ndata: {\"v\":\"v1\",\"rows\":[{\"id\":1}]}\n\n")
		case 2:
			if last != "v1~a" {
				t.Errorf("resumes with %q, want v1~a", last)
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"code":"overload","message":"later","retryable":true}`)
		default:
			if last != "v1~a" {
				t.Errorf("resumes with %q, want v1~a", last)
			}
			fmt.Fprint(w, "event: sub\ndata: {\"status\":\"unchanged\"}\n\nid: v2~b\ndata: {\"v\":\"v2\",\"rows\":[{\"id\":1},{\"id\":2}]}\n\n")
		}
	})
	o := weir(t, t.TempDir(), "watch", "list", "room=7", "--as", "ann", "-n", "2", "--url", server.URL)
	want := "{\"v\":\"v1\",\"rows\":[{\"id\":1}]}\n{\"v\":\"v2\",\"rows\":[{\"id\":1},{\"id\":2}]}\n"
	if o.code != 0 || o.out != want {
		t.Errorf("exit %d, printed %q, want %q", o.code, o.out, want)
	}
	if opened != 3 || !strings.Contains(o.errors, "reconnecting") || !strings.Contains(o.errors, "live") {
		t.Errorf("opened %d times, said %q", opened, o.errors)
	}
}

func TestWatchEndsWhenTheQueryEnds(t *testing.T) {
	t.Parallel()
	f := func(events string, parts ...string) {
		t.Helper()
		server := fakeWeir(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, events) })
		weir(t, t.TempDir(), "watch", "list", "--url", server.URL).fails(t, 1, parts...)
	}
	f("event: end\ndata: {\"reason\":\"plugin_removed\",\"message\":\"it is gone\"}\n\n", "plugin_removed", "it is gone")
	f("event: problem\ndata: {\"code\":\"denied\",\"message\":\"members only\",\"retryable\":false}\n\n", "denied: members only")
	f("data: no json\n\n", "cannot be read")
	server := fakeWeir(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	weir(t, t.TempDir(), "watch", "list", "--url", server.URL).fails(t, 1, "has ended this query")
}

func TestWatchDrawsATableInATerminal(t *testing.T) {
	t.Parallel()
	server := fakeWeir(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "event: sub\ndata: {\"status\":\"live\"}\n\ndata: {\"rows\":[{\"id\":1,\"body\":\"a\\u001b[2Jb\"},{\"id\":22,\"body\":null}]}\n\n"+
			"event: sub\ndata: {\"status\":\"stale\",\"reason\":\"behind\"}\n\ndata: {\"value\":{\"n\":3}}\n\n")
	})
	m := &Main{Dir: t.TempDir(), Args: []string{"watch", "list", "-n", "2", "--url", server.URL}, Terminal: true}
	out := weirWith(t, m).must(t)
	frames := strings.Split(out, "\x1b[H\x1b[J\x1b[?7l")
	if len(frames) != 4 { // nothing before the first, a result, a status, a result
		t.Fatalf("drawn %d times: %q", len(frames)-1, out)
	}
	for i, parts := range [][]string{1: {"list  live  2 rows", "id  body\n──  ──────\n1   a [2Jb\n22  null\n"}, 2: {"stale  behind", "22  null"}, 3: {`{"n":3}`}} {
		for _, part := range parts {
			if !strings.Contains(frames[i], part) {
				t.Errorf("frame %d does not show %q: %q", i, part, frames[i])
			}
		}
	}
}

func TestWatchThatIsInterruptedIsNoFailure(t *testing.T) {
	t.Parallel()
	server := fakeWeir(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "data: {\"rows\":[]}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	out, _, stop := background(t, t.TempDir(), "watch", "list", "--url", server.URL)
	out.wait(t, "rows", 1)
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestTokenIsTakenByTheVerifier(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := strings.Repeat("k", 32)
	write(t, filepath.Join(dir, "key"), secret+"\n")
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"plugins\"\n[auth]\nkeys = [{ issuer = \"chat\", audience = \"app\", hs256_file = \"key\" }]\nclaims = { roles = \"roles\" }\n")
	v, err := auth.New(t.Context(), auth.Config{
		Tenant: "default", Claims: map[string]string{"roles": "roles", "level": "level"},
		Keys: []auth.Key{{Issuer: "chat", Audience: "app", Secret: []byte(secret)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, args := range [][]string{
		{"--claim", "sub=007"},
		{"--key", "key", "--claim", "iss=chat", "--claim", "aud=app", "--claim", "sub=007"},
	} {
		args = append([]string{"token", "--claim", `roles=["admin", "staff"]`, "--claim", "level=3"}, args...)
		caller, err := v.Verify(context.Background(), strings.TrimSpace(weir(t, dir, args...).must(t)))
		if err != nil {
			t.Fatal(err)
		}
		roles, _ := caller.Claim("roles")
		level, _ := caller.Claim("level")
		if caller.Principal.Subject != "007" || fmt.Sprint(roles) != "[admin staff]" || level != int64(3) {
			t.Errorf("%q: %+v, roles %v, level %v", args, caller.Principal, roles, level)
		}
		if left := time.Until(caller.Expires); left < 55*time.Minute || left > time.Hour {
			t.Errorf("%q: good for %v, want an hour", args, left)
		}
	}
	token := weir(t, dir, "token", "--claim", "sub=ann").must(t)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil || strings.Contains(string(payload), secret) {
		t.Errorf("payload %s %v", payload, err)
	}
}

func TestConfigHidesSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"plugins\"\n[database]\nurl = \"postgres://weir:hunter2@db/app\"\nguest = \"postgres://weir_guest:hunter2@db/app\"\n")
	out := weir(t, dir, "config").must(t)
	if strings.Contains(out, "hunter2") || !strings.Contains(out, "***") {
		t.Errorf("printed:\n%s", out)
	}
}
