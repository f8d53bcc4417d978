package scenarios

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a client waits for what must come at all.
const patience = time.Minute

// who is a caller: a user of development by name, or by a token.
type who struct{ name, token string }

// address returns a path of the server for the caller.
func (c who) address(base, path string) string {
	if c.token != "" || c.name == "" {
		return base + path
	}
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return base + path + sep + "as=" + url.QueryEscape(c.name)
}

// do does one request as the caller.
func (c who) do(ctx context.Context, method, target, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if strings.Contains(target, "/v1/stream?") {
		req.Header.Set("Accept", "text/event-stream")
	}
	return http.DefaultClient.Do(req)
}

// live is one subscription of a client.
type live struct {
	id         int
	name, args string
	scope      *history // what it must show; nil: nobody looks
	// written is when what a result shows began to be committed, for those without a
	// scope; it is called with the client's lock held. Nil: no latency is noted.
	written func(*result) time.Time

	// The client's mutex protects the fields below.
	query, status, reason, version string
	result                         *result
	rev                            int
	fresh                          bool // it was shown nothing since it has access
	denials, shown                 int
	top                            int64 // of the history's other column
}

// client is one session over a connection of its own.
type client struct {
	world *world
	who   who

	mu     sync.Mutex // protects the fields below
	sid    string
	subs   []*live
	by     map[int]*live
	news   chan struct{} // closed at the next word of the server
	faults []string
	closed bool // by the test
	ended  bool
	at     string // the newest that it was told of
	end    func() // the stream's; the test's

	frames, deltas          int64
	frameBytes, deltaBytes  int64
	fullBytes               int64 // of the results that deltas made
	unchanged, stale, moved int64
	words                   int64 // of how a subscription stands
}

// open opens a session that watches subs. It ends with the test.
func (w *world) open(t *testing.T, who who, subs ...*live) *client {
	t.Helper()
	c := &client{world: w, who: who, news: make(chan struct{}), by: map[int]*live{}}
	if err := c.connect(t.Context(), `{"subs":`+c.list(subs)+`}`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.hangUp)
	w.clients = append(w.clients, c)
	w.quiet.Store(false)
	return c
}

// connect opens the client's stream and reads it.
func (c *client) connect(ctx context.Context, body string) error {
	ctx, cancel := context.WithCancel(ctx)
	resp, err := c.who.do(ctx, http.MethodPost, c.who.address(c.world.URL, "/v1/stream?delta=1"), body)
	if err != nil {
		cancel()
		return err
	}
	if resp.StatusCode != http.StatusOK {
		defer cancel()
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("open a stream: %s: %s", resp.Status, text)
	}
	done := make(chan struct{})
	c.end = func() {
		cancel()
		<-done
		_ = resp.Body.Close()
	}
	go func() {
		defer close(done)
		c.read(resp.Body)
	}()
	return nil
}

// hangUp ends the stream. What comes yet is looked at.
func (c *client) hangUp() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.end()
}

// reconnect hangs up and comes back with what it holds: with the versions that it was
// shown, and the newest point of time that it was told of. Nobody else may use the
// client meanwhile.
func (c *client) reconnect(ctx context.Context) error {
	c.hangUp()
	type sub struct {
		ID   int             `json:"id"`
		Q    string          `json:"q"`
		Args json.RawMessage `json:"args,omitempty"`
		Have string          `json:"have,omitempty"`
	}
	body := struct {
		At   string `json:"at,omitempty"`
		Subs []sub  `json:"subs"`
	}{At: c.at}
	c.mu.Lock()
	c.closed, c.ended, c.sid = false, false, ""
	for _, s := range c.subs {
		s.query, s.status, s.fresh = "", "", true
		if s.scope != nil {
			s.rev = max(s.rev, s.scope.committed(0)) // F3
		}
		again := sub{ID: s.id, Q: s.name, Args: json.RawMessage(s.args)}
		if s.result != nil {
			again.Have = s.result.version
		}
		body.Subs = append(body.Subs, again)
	}
	c.mu.Unlock()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.connect(ctx, string(text))
}

// list notes subscriptions and returns them as JSON.
func (c *client) list(subs []*live) string {
	type sub struct {
		ID   int             `json:"id"`
		Q    string          `json:"q"`
		Args json.RawMessage `json:"args,omitempty"`
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]sub, len(subs))
	for i, s := range subs {
		s.id, s.fresh = len(c.subs)+1, true
		if s.scope != nil {
			s.rev = s.scope.committed(0) // F3: no older than that
		}
		c.subs, c.by[s.id] = append(c.subs, s), s
		out[i] = sub{s.id, s.name, json.RawMessage(s.args)}
	}
	text, err := json.Marshal(out)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return string(text)
}

// add subscribes to more, in the session that is open.
func (c *client) add(t *testing.T, subs ...*live) {
	t.Helper()
	c.until(t, "hello", func() bool { return c.sid != "" })
	c.world.quiet.Store(false)
	resp, err := c.who.do(t.Context(), http.MethodPost, c.who.address(c.world.URL, "/v1/stream/"+c.sid), `{"add":`+c.list(subs)+`}`)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
		t.Fatalf("add: %s: %s", resp.Status, text)
	}
}

// read reads the stream until its end.
func (c *client) read(body io.Reader) {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 16<<20)
	var kind string
	var data []byte
	for lines.Scan() {
		switch text := lines.Bytes(); {
		case len(text) == 0:
			if data != nil {
				c.take(kind, data, time.Now())
			}
			kind, data = "", nil
		case bytes.HasPrefix(text, []byte("event: ")):
			kind = string(text[7:])
		case bytes.HasPrefix(text, []byte("data: ")):
			data = bytes.Clone(text[6:])
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if !c.closed {
		c.fault("the stream ended: %v", lines.Err())
	}
	c.tell()
}

// fault notes what must not happen, and tell wakes who waits.
func (c *client) fault(format string, args ...any) {
	if len(c.faults) < 20 {
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
	}
}

func (c *client) tell() {
	close(c.news)
	c.news = make(chan struct{})
}

// word is what events other than results say.
type word struct {
	ID                                           int
	SID, Q, V, At, Status, Reason, Code, Message string
}

// take takes one event.
func (c *client) take(kind string, data []byte, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.tell()
	if kind == "" || kind == "delta" {
		if err := c.frame(data, kind == "delta", now); err != nil {
			c.fault("%v", err)
		}
		return
	}
	var e word
	if err := json.Unmarshal(data, &e); err != nil {
		c.fault("%s: %v", data, err)
		return
	}
	switch kind {
	case "hello":
		c.sid = e.SID
	case "sub":
		c.sub(&e)
	case "ping", "synced", "expiring":
	default: // a problem, an end, the close of the stream
		if !c.closed {
			c.fault("%s: %s", kind, data)
		}
	}
}

// sub takes how a subscription stands.
func (c *client) sub(e *word) {
	s := c.by[e.ID]
	if s == nil {
		c.fault("a word of subscription %d, which is not there", e.ID)
		return
	}
	if s.query != "" && e.Q != "" && s.query != e.Q {
		c.moved++
	}
	if s.name != pulse {
		c.words++
	}
	s.status, s.reason = e.Status, e.Reason
	if e.At != "" {
		c.at = e.At
	}
	if e.Q != "" {
		s.query, s.version = e.Q, e.V
	}
	switch e.Status {
	case "denied":
		s.result, s.fresh = nil, true
		s.denials++
	case "unchanged":
		c.unchanged++
		if s.result == nil || s.result.version != e.V {
			c.fault("%s is said to be unchanged and was not shown", s.name)
			return
		}
		held := *s.result
		held.query, s.result = e.Q, &held
		if s.scope != nil { // to be told so is to be shown it
			if err := c.place(s, &held, time.Now()); err != nil {
				c.fault("%s is unchanged: %v", s.name, err)
			}
		}
	case "stale":
		c.stale++
	case "error":
		c.fault("%s fails: %s", s.name, e.Reason)
	}
}

// frame takes a full result or a delta, for each subscription of its query.
func (c *client) frame(data []byte, isDelta bool, now time.Time) error {
	var head struct{ Q string }
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	found := false
	for _, s := range c.subs {
		if s.query != head.Q {
			continue
		}
		if !found && s.name != pulse {
			c.frames++
			c.frameBytes += int64(len(data))
		}
		found = true
		if s.status == "denied" {
			return fmt.Errorf("W5: %s was shown while it is denied", s.name)
		}
		if err := c.show(s, data, isDelta, now); err != nil {
			return err
		}
	}
	if !found {
		return errors.New("a frame of a query that nobody here watches")
	}
	return nil
}

func (c *client) show(s *live, data []byte, isDelta bool, now time.Time) (err error) {
	var next *result
	if isDelta {
		next, err = s.result.apply(data)
	} else {
		next, err = parseFull(data)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if isDelta && s.name != pulse {
		c.deltas++
		c.deltaBytes += int64(len(data))
		c.fullBytes += int64(len(next.content())) + int64(len(`{"q":"","v":"",}`)+len(next.query)+len(next.version))
	}
	if s.result != nil && s.result.version == next.version && s.result.query == next.query {
		return fmt.Errorf("F10: %s was shown what it holds", s.name)
	}
	s.result = next
	s.shown++
	defer func() { s.fresh = false }()
	if s.scope == nil {
		if s.written != nil && !s.fresh {
			if at := s.written(next); !at.IsZero() {
				c.world.waited([]time.Duration{now.Sub(at)})
			}
		}
		return nil
	}
	return c.place(s, next, now)
}

// place looks a result up in the history of what it shows.
func (c *client) place(s *live, r *result, now time.Time) error {
	sum, top, err := c.world.sumOf(s.scope, r)
	if err != nil {
		return err
	}
	if top < s.top {
		return fmt.Errorf("W2: %s: %s is %d after %d", s.name, s.scope.without, top, s.top)
	}
	s.top = top
	rev, waited, err := s.scope.place(c.who.name, s.rev, sum, now)
	if err != nil {
		return fmt.Errorf("%w: %.300s", err, r.list())
	}
	s.rev = rev
	if !s.fresh { // what was committed before it could be shown is no sample
		c.world.waited(waited)
	}
	return nil
}

// until waits until something holds, which it asks with the client's lock held.
func (c *client) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if err := c.await(what, holds); err != nil {
		c.check(t)
		t.Fatal(err)
	}
}

// await is until for other goroutines than the test's.
func (c *client) await(what string, holds func() bool) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		ok, news := holds(), c.news
		bad := c.ended || len(c.faults) > 0
		c.mu.Unlock()
		if ok {
			return nil
		}
		if bad {
			return fmt.Errorf("%s waited for %s: what must not happen did", c.who.name, what)
		}
		select {
		case <-news:
		case <-timeout.C:
			return fmt.Errorf("%s waited for %s in vain: %s", c.who.name, what, c.standing())
		}
	}
}

// standing says how the client's subscriptions stand.
func (c *client) standing() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out strings.Builder
	for _, s := range c.subs[:min(len(c.subs), 12)] {
		fmt.Fprintf(&out, "\n%s%s: %s %s, revision %d, %d frames", s.name, s.args, s.status, s.reason, s.rev, s.shown)
		if s.result != nil {
			fmt.Fprintf(&out, ", %.200s", s.result.list())
		}
	}
	return out.String()
}

// shows waits until all that the client may see is the newest state.
func (c *client) shows(t *testing.T) {
	t.Helper()
	for _, s := range c.subs {
		if s.scope == nil {
			continue
		}
		_, _, text := s.scope.newest()
		c.until(t, fmt.Sprintf("%s%s: %.300s", s.name, s.args, text), func() bool { return s.status == "denied" || c.upToDate(s) })
	}
}

// upToDate reports whether a subscription shows the newest state. The client's lock is
// held.
func (c *client) upToDate(s *live) bool {
	if s.status == "" || s.status == "denied" || s.result == nil {
		return false
	}
	_, newest, _ := s.scope.newest()
	sum, _, err := c.world.sumOf(s.scope, s.result)
	return err == nil && sum == newest
}

// check fails the test for what must not have happened.
func (c *client) check(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, fault := range c.faults {
		t.Errorf("%s: %s", c.who.name, fault)
	}
}

// digest is what is compared of a result.
type digest struct {
	sum [32]byte
	top int64
}

// sumOf is the digest of a result's rows as equal JSON has them, and the greatest
// number of the column that the history does not have. The version is one of the
// bytes, so it is computed once for all who are shown them.
func (w *world) sumOf(h *history, r *result) (sum [32]byte, top int64, err error) {
	key := h.without + " " + r.version
	if d, ok := w.sums.Load(key); ok {
		return d.(digest).sum, d.(digest).top, nil
	}
	list := r.list()
	if h.without != "" {
		if list, top, err = cut(list, h.without); err != nil {
			return sum, 0, err
		}
	}
	text, err := canonical(list)
	if err != nil {
		return sum, 0, err
	}
	d := digest{sha256.Sum256([]byte(text)), top}
	w.sums.Store(key, d)
	return d.sum, d.top, nil
}

// cut takes a column out of rows, and returns its greatest number.
func cut(list []byte, column string) (out []byte, top int64, err error) {
	var rows []map[string]json.RawMessage
	if err := json.Unmarshal(list, &rows); err != nil {
		return nil, 0, err
	}
	for _, row := range rows {
		n, err := strconv.ParseInt(string(row[column]), 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("%s of a row: %w", column, err)
		}
		top = max(top, n)
		delete(row, column)
	}
	out, err = json.Marshal(rows)
	return out, top, err
}
