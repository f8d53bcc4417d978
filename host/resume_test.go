package host_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"weir/host/config"
	"weir/host/hosttest"
	"weir/reactor"
)

// runs counts the executions of a host.
type runs struct{ n atomic.Int64 }

func (r *runs) observe(reactor.Run) { r.n.Add(1) }

// longTodos are worth a delta.
const longTodos = todos + `
	update todos set title = title || repeat(' and so on', 20);`

// resuming is the body of a stream that a client opens with what it holds.
func resuming(sub map[string]any) string {
	return fmt.Sprintf(`{"at":%q,"subs":[{"id":1,"q":"todos.list","args":{"list":1},"have":%q}]}`, sub["at"], sub["v"])
}

// A client comes back with the version and the stamp that it was shown last: what
// has not changed is not sent, and not run if the group lives; what has is a delta
// if the server knows what the client holds, and else the rows. It makes no
// difference whether the server is the one of before, was started again, or is
// another on the same database (W2: it answers only when it has caught up).
// Cases: 117.
func TestResumeByVersionAcrossServers(t *testing.T) {
	t.Parallel()
	modules := map[string][]byte{"todos.wasm": module(byList)}
	var here, there, later runs
	a := hosttest.Start(t, hosttest.Config{Schema: longTodos, Modules: modules, Observe: here.observe})
	same := &hosttest.Database{URL: config.Secret(a.DB.As("weir", "")), Guest: config.Secret(a.DB.As("weir_guest", ""))}
	b := hosttest.Start(t, hosttest.Config{Database: same, Modules: modules, Observe: there.observe})

	const path = "/v1/stream?delta=1"
	open := func(s *hosttest.Server, body string) (*stream, map[string]any) {
		t.Helper()
		stream := session(t, s.URL+path, "", body)
		return stream, stream.named(t, "sub")
	}
	watcher, first := open(a, `{"subs":[{"id":1,"q":"todos.list","args":{"list":1}}]}`)
	watcher.result(t)
	unchanged := func(s *hosttest.Server, sub map[string]any) (*stream, map[string]any) {
		t.Helper()
		stream, again := open(s, resuming(sub))
		if again["status"] != "unchanged" || again["v"] != sub["v"] {
			t.Fatalf("nothing has changed: %v", again)
		}
		return stream, again
	}

	before := here.n.Load()
	for range 5 {
		unchanged(a, first)
	}
	if n := here.n.Load(); n != before {
		t.Errorf("%d runs for clients who hold what a live group shows", n-before)
	}
	moved, _ := unchanged(b, first)
	if n := there.n.Load(); n != 1 {
		t.Errorf("%d runs on a server where nobody watched", n)
	}
	// Whoever comes to the other server has seen this write: he is shown nothing
	// older than it, whatever that server has read of the log so far.
	a.SQL(t, "update todos set done = true where id = 4")
	change := func(s *stream, kind string) {
		t.Helper()
		e := s.next(t, func(e event) bool { return e.kind == kind })
		if !strings.Contains(e.data, `"done":true`) {
			t.Errorf("a change: %s", e.data)
		}
	}
	second := watcher.named(t, "sub")
	change(watcher, "delta")
	_, again := open(b, resuming(second))
	if again["status"] != "unchanged" || again["v"] != second["v"] {
		t.Errorf("the other server shows %v to a client of %v", again, second)
	}
	change(moved, "delta")
	// The version of before is known here as well.
	behind, _ := open(b, resuming(first))
	change(behind, "delta")

	for _, s := range []*hosttest.Server{a, b} {
		s.Stop()
	}
	c := hosttest.Start(t, hosttest.Config{Database: same, Modules: modules, Observe: later.observe})
	_, third := unchanged(c, second)
	if n := later.n.Load(); n != 1 {
		t.Errorf("%d runs of a server that was started again", n)
	}
	unchanged(c, third)
	// It does not know what was before it: the rows come.
	old, _ := open(c, resuming(first))
	change(old, "")
	if n := later.n.Load(); n != 1 {
		t.Errorf("%d runs for clients who come to a live group", n)
	}
}

// firstSub opens a stream and returns its first sub event, or what went wrong.
func firstSub(ctx context.Context, url, body string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if lines.Text() == "event: sub" && lines.Scan() {
			return lines.Text()
		}
	}
	return resp.Status
}

// F3: clients that all come back at once share one run of each query, and those
// whose rows are the same get none.
// Cases: 75.
func TestAHerdThatComesBackSharesItsRuns(t *testing.T) {
	t.Parallel()
	modules := map[string][]byte{"todos.wasm": module(byList)}
	a := hosttest.Start(t, hosttest.Config{Schema: longTodos, Modules: modules})
	const path = "/v1/stream?delta=1"
	one := session(t, a.URL+path, "", `{"subs":[{"id":1,"q":"todos.list","args":{"list":1}}]}`)
	held := resuming(one.named(t, "sub"))
	one.result(t)
	a.Stop()

	var ran runs
	same := &hosttest.Database{URL: config.Secret(a.DB.As("weir", "")), Guest: config.Secret(a.DB.As("weir_guest", ""))}
	b := hosttest.Start(t, hosttest.Config{Database: same, Modules: modules, Observe: ran.observe})
	const herd = 100
	subs := make(chan string, herd)
	for range herd {
		go func() { subs <- firstSub(t.Context(), b.URL+path, held) }()
	}
	for range herd {
		if e := <-subs; !strings.Contains(e, `"unchanged"`) {
			t.Errorf("got %s", e)
		}
	}
	if n := ran.n.Load(); n != 1 {
		t.Errorf("%d runs for %d clients of one query", n, herd)
	}
}
