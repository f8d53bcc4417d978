package host_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/reactor"
)

// wireClient is a client of a stream that keeps what it is shown, as weir.js does:
// it puts deltas into the rows that it holds, and comes back with what it has.
type wireClient struct {
	t      *testing.T
	base   string // of the host
	name   string // for people
	single bool   // it watches one query by GET, and comes back with Last-Event-ID
	delta  bool   // it asks for deltas
	lazy   bool   // it reads nothing while others write, and has a small buffer
	moving bool   // it goes away now and then
	http   *http.Client

	end    func()        // ends the connection
	ended  chan struct{} // closed when nothing is read any more; nil: it is away
	reader sync.RWMutex  // who holds it for writing keeps a lazy client from reading

	mu     sync.Mutex // protects the fields below
	subs   []*wireSub
	next   int    // id of the next subscription
	sid    string // of the session
	at     string // the newest stamp
	lastID string
	wrong  string // what a server must not do
	counts wireCounts
	wrote  map[string]int64 // what the session's mutations have written, by their tx
	synced map[string]int64 // the least that was shown by then
}

// wireCounts are what clients saw.
type wireCounts struct{ frames, deltas, unchanged, returns, swaps, stale, synced int }

func (c *wireCounts) add(o wireCounts) {
	c.frames += o.frames
	c.deltas += o.deltas
	c.unchanged += o.unchanged
	c.returns += o.returns
	c.swaps += o.swaps
	c.stale += o.stale
	c.synced += o.synced
}

// wireSub is a subscription of a client.
type wireSub struct {
	id       int
	question int // index in the world's list
	counts   bool
	last     int64 // of a question that counts: the number shown last

	q, v   string // announced
	status string
	code   string // why it is an error
	held   string // the version of the rows that it holds, "" if none
	key    []string
	keys   []string // of each row
	rows   []json.RawMessage
	// refused: the server does not have it, and it may be asked for again.
	refused bool
	stale   bool   // at the last look
	told    bool   // at the last check it was an error or stale, as it should be
	seen    string // in what form the rows below were read, and of which version
	read    []string
}

// newClient makes a client that is not connected.
func newClient(t *testing.T, base, name string) *wireClient {
	c := &wireClient{t: t, base: base, name: name}
	dialer := &net.Dialer{}
	c.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		ReadBufferSize:    512,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if tcp, ok := conn.(*net.TCPConn); ok && c.lazy {
				_ = tcp.SetReadBuffer(2048)
			}
			return conn, err
		},
	}}
	t.Cleanup(c.leave)
	return c
}

// watch adds a subscription before the client connects.
func (c *wireClient) watch(question int, counts bool) {
	c.subs = append(c.subs, &wireSub{id: c.next, question: question, counts: counts})
	c.next++
}

// ask is a subscription in a request.
func (s *wireSub) ask(o *wireOracle) string {
	have := ""
	if s.held != "" {
		have = fmt.Sprintf(`,"have":%q`, s.held)
	}
	return fmt.Sprintf(`{"id":%d,"q":"q%d","args":%s%s}`, s.id, s.question, o.args(s.question), have)
}

// open connects, with all that it holds.
func (c *wireClient) open(o *wireOracle) {
	c.t.Helper()
	c.mu.Lock()
	query, deltas := url.Values{}, ""
	if c.delta {
		deltas = "?delta=1"
		query.Set("delta", "1")
	}
	ctx, cancel := context.WithCancel(context.Background())
	var req *http.Request
	var err error
	if c.single {
		query.Set("args", o.args(c.subs[0].question))
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/q/q%d?%s", c.base, c.subs[0].question, query.Encode()), nil)
		req.Header.Set("Last-Event-ID", c.lastID)
	} else {
		var subs []string
		for _, s := range c.subs {
			subs = append(subs, s.ask(o))
		}
		at := ""
		if c.at != "" {
			at = fmt.Sprintf(`"at":%q,`, c.at)
		}
		body := `{` + at + `"subs":[` + strings.Join(subs, ",") + `]}`
		req, err = http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/stream"+deltas, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
	}
	for _, s := range c.subs {
		s.q, s.v, s.status, s.code, s.refused = "", "", "", "", false
	}
	c.sid, c.wrote, c.synced = "", map[string]int64{}, map[string]int64{} // another session
	c.mu.Unlock()
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatalf("%s: %v", c.name, err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		c.t.Fatalf("%s: %s: %s", c.name, resp.Status, text)
	}
	ended := make(chan struct{})
	c.ended, c.end = ended, func() { cancel(); _ = resp.Body.Close() }
	go func() {
		defer close(ended)
		c.follow(ctx, resp.Body)
	}()
}

// leave ends the connection, if there is one.
func (c *wireClient) leave() {
	if c.ended == nil {
		return
	}
	c.end()
	<-c.ended
	c.ended = nil
}

// follow reads a stream until it ends.
func (c *wireClient) follow(ctx context.Context, body io.Reader) {
	lines := bufio.NewReaderSize(body, 16)
	var kind, id string
	var data []byte
	for {
		if c.lazy {
			c.reader.RLock()
			//lint:ignore SA2001 it waits for the others to have written
			c.reader.RUnlock()
		}
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if ctx.Err() == nil {
				c.fault("the stream ended: %v", err)
			}
			return
		}
		switch text := bytes.TrimSuffix(line, []byte("\n")); {
		case len(text) == 0:
			if data != nil {
				c.take(kind, id, data)
			}
			kind, id, data = "", "", nil
		case bytes.HasPrefix(text, []byte("event: ")):
			kind = string(text[7:])
		case bytes.HasPrefix(text, []byte("id: ")):
			id = string(text[4:])
		case bytes.HasPrefix(text, []byte("data: ")):
			data = slices.Clone(text[6:])
		}
	}
}

// fault notes the first thing that a server must not do.
func (c *wireClient) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faultLocked(format, args...)
}

func (c *wireClient) faultLocked(format string, args ...any) {
	if c.wrong == "" {
		c.wrong = c.name + ": " + fmt.Sprintf(format, args...)
	}
}

// wireEvent is whatever an event may hold.
type wireEvent struct {
	ID      any // a number, of ours
	SID     string
	TX      string
	Pending []int
	Q, V, At, From,
	Status, Code, Reason string
	Key       []string
	Rows      []json.RawMessage
	Retryable bool
	Set       [][3]json.RawMessage
	Del       []string
}

// take is what a client does with an event.
func (c *wireClient) take(kind, id string, data []byte) {
	var e wireEvent
	if err := json.Unmarshal(data, &e); err != nil {
		c.fault("%s %s: %v", kind, data, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if id != "" {
		c.lastID = id
	}
	if e.At != "" {
		c.at = e.At
	}
	var sub *wireSub
	if n, ok := e.ID.(float64); ok {
		if i := slices.IndexFunc(c.subs, func(s *wireSub) bool { return s.id == int(n) || c.single }); i >= 0 {
			sub = c.subs[i]
		}
	}
	switch kind {
	case "hello":
		c.sid = e.SID
	case "sub":
		if sub != nil {
			c.announce(sub, &e)
		}
	case "problem":
		if sub != nil {
			sub.code = e.Code
			if sub.status == "" { // refused
				sub.status, sub.refused = "error", e.Retryable
			}
		}
	case "end":
		if sub != nil {
			c.faultLocked("the end of %d: %s", sub.id, data)
		}
	case "synced":
		c.sync(&e)
	case "close":
		c.faultLocked("closed: %s", data)
	case "", "delta":
		c.show(kind, &e, data)
	}
}

// announce takes a sub event.
func (c *wireClient) announce(sub *wireSub, e *wireEvent) {
	sub.status, sub.code = e.Status, ""
	switch e.Status {
	case "unchanged":
		c.counts.unchanged++
		if e.V != sub.held {
			c.faultLocked("unchanged at %s, and it holds %s", e.V, sub.held)
		}
	case "stale":
		c.counts.stale++
	case "denied":
		c.faultLocked("denied: what is public")
	}
	if e.Q != "" {
		sub.q = e.Q
	}
	if e.V != "" {
		sub.v = e.V
	}
}

// show takes rows.
func (c *wireClient) show(kind string, e *wireEvent, data []byte) {
	known := false
	for _, s := range c.subs {
		if s.q != e.Q {
			continue
		}
		if s.v != e.V {
			c.faultLocked("W2: rows of version %s, announced was %s", e.V, s.v)
			continue
		}
		known = true
		if s.held == e.V {
			continue
		}
		if kind == "delta" {
			c.counts.deltas++
			if e.From != s.held {
				c.faultLocked("D1: a delta from %s, held is %q", e.From, s.held)
				continue
			}
			s.patch(e)
		} else {
			c.counts.frames++
			s.fill(e)
		}
		if s.held = e.V; s.version() != e.V {
			c.faultLocked("the version of what it holds is %s: %s", s.version(), data)
		}
		s.forward(c)
	}
	if !known && !slices.ContainsFunc(c.subs, func(s *wireSub) bool { return s.q == e.Q }) && c.counts.swaps == 0 {
		c.faultLocked("rows of no subscription: %.200s", data)
	}
}

// fill takes a full result.
func (s *wireSub) fill(e *wireEvent) {
	s.key, s.rows, s.keys = e.Key, e.Rows, nil
	for _, row := range e.Rows {
		var members map[string]json.RawMessage
		_ = json.Unmarshal(row, &members)
		var parts []string
		for _, name := range e.Key {
			parts = append(parts, string(members[name]))
		}
		s.keys = append(s.keys, strings.Join(parts, ","))
	}
}

// patch puts a delta into the rows.
func (s *wireSub) patch(e *wireEvent) {
	var rows []json.RawMessage
	var keys []string
	for i, row := range s.rows {
		if !slices.Contains(e.Del, s.keys[i]) {
			rows, keys = append(rows, row), append(keys, s.keys[i])
		}
	}
	for _, set := range e.Set {
		var at int
		var key string
		_ = json.Unmarshal(set[0], &at)
		_ = json.Unmarshal(set[1], &key)
		switch {
		case at < len(keys) && keys[at] == key:
			rows[at] = set[2]
		default: // past the end it panics: no server says that
			rows, keys = slices.Insert(rows, at, set[2]), slices.Insert(keys, at, key)
		}
	}
	s.rows, s.keys = rows, keys
}

// version is that of the rows held, encoded as the server does.
func (s *wireSub) version() string {
	var b bytes.Buffer
	if s.key != nil {
		key, _ := json.Marshal(s.key)
		b.WriteString(`"key":` + string(key) + `,`)
	}
	b.WriteString(`"rows":[`)
	for i, row := range s.rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(row)
	}
	b.WriteByte(']')
	return reactor.VersionOf(b.Bytes()).String()
}

// forward checks that what only grows has grown (W2), also over reconnects.
func (s *wireSub) forward(c *wireClient) {
	if !s.counts || len(s.rows) != 1 {
		return
	}
	var row struct{ N int64 }
	if err := json.Unmarshal(s.rows[0], &row); err != nil || row.N < s.last {
		c.faultLocked("W2: shown %s after %d (%v)", s.rows[0], s.last, err)
	}
	s.last = row.N
}

// swap drops a subscription and adds one of another question in its place.
func (c *wireClient) swap(o *wireOracle, question int) {
	if c.ended == nil {
		return // it is away
	}
	c.mu.Lock()
	i := o.world.IntN(len(c.subs))
	if c.subs[i].counts || c.sid == "" {
		c.mu.Unlock()
		return
	}
	gone := c.subs[i].id
	c.subs[i] = &wireSub{id: c.next, question: question}
	c.next++
	c.counts.swaps++
	body := fmt.Sprintf(`{"drop":[%d],"add":[%s]}`, gone, c.subs[i].ask(o))
	c.mu.Unlock()
	c.change(body)
}

// again asks for what was refused, as weir.js does, but without a wait.
func (c *wireClient) again(o *wireOracle) {
	var asks []string
	c.mu.Lock()
	for _, s := range c.subs {
		if s.refused && c.ended != nil && !c.single {
			s.status, s.refused = "", false
			asks = append(asks, s.ask(o))
		}
	}
	c.mu.Unlock()
	if len(asks) > 0 {
		c.change(`{"add":[` + strings.Join(asks, ",") + `]}`)
	}
}

// change changes the subscriptions of the session.
func (c *wireClient) change(body string) {
	c.mu.Lock()
	path := c.base + "/v1/stream/" + c.sid
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(resp.Body)
		c.t.Errorf("%s: change: %s: %s", c.name, resp.Status, text)
	}
}
