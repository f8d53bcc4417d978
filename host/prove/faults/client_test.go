package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pingEvery is weir's ping_interval in these tests. A client that hears nothing
// for silence gives the connection up.
const (
	pingEvery = 2 * time.Second
	silence   = 3 * pingEvery
)

// subscription is one query of a client, and what the client has of it. It
// outlives the client's connections.
type subscription struct {
	id   int
	fn   string
	room int // 0: the query has no argument

	// Protected by the client's lock.
	status  string
	query   string // its name in this connection
	version string
	rows    []row
	floor   int64 // the newest write that was ever shown
	lastID  string
}

type row struct {
	key  string
	text json.RawMessage
}

// client is one user with one stream. A session asks for all its queries in one
// POST and takes deltas; a plain one does what EventSource does, for one query.
type client struct {
	user, token string
	plain       bool
	world       *world
	subs        []*subscription

	mu    sync.Mutex // protects the subscriptions and the field below
	at    string
	opens int // streams that were opened
}

func (c *client) String() string {
	kind := "session"
	if c.plain {
		kind = "EventSource"
	}
	return fmt.Sprintf("%s's %s", c.user, kind)
}

// run keeps a stream open until ctx ends.
func (c *client) run(ctx context.Context) {
	// As the page's script does: from a twentieth of a second up to two, never
	// two clients at once.
	const first, most = 50 * time.Millisecond, 2 * time.Second
	pause := first
	for ctx.Err() == nil {
		served, retry, err := c.stream(ctx)
		if err != nil && ctx.Err() == nil {
			c.world.breach("%v: %v", c, err)
			return
		}
		if served {
			pause = first
		}
		next := pause/2 + rand.N(pause)
		if pause = min(2*pause, most); retry > 0 {
			next = retry
		}
		wait(ctx.Done(), next)
	}
}

// stream opens one stream and reads it to its end. served says that it told
// something, retry when it asked to come back. An error is one that a client does
// not get over.
func (c *client) stream(ctx context.Context) (served bool, retry time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel) // also for an answer that does not come
	defer quiet.Stop()
	req, err := c.request(ctx)
	if err != nil {
		return false, 0, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false, c.patience(0), nil // the network failed: that is what these tests do
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		if c.plain {
			// D4: EventSource has now given up for good.
			return false, 0, fmt.Errorf("got %d, after which it never comes back: %s", resp.StatusCode, text)
		}
		return false, 0, c.refused(resp.StatusCode, string(text))
	}
	c.mu.Lock()
	c.opens++
	c.mu.Unlock()
	return c.read(bufio.NewReader(resp.Body), func() { quiet.Reset(silence) })
}

// patience is how long EventSource waits: what the stream said, or what browsers
// wait by themselves.
func (c *client) patience(said time.Duration) time.Duration {
	if c.plain && said == 0 {
		return 2 * time.Second
	}
	return said
}

// refused says whether an answer that is no stream is one that a session's client
// may get: what passes by itself.
func (c *client) refused(status int, text string) error {
	switch status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusGatewayTimeout:
		return nil
	}
	return fmt.Errorf("refused: %d %s", status, text)
}

func (c *client) request(ctx context.Context) (*http.Request, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	base := "http://" + c.world.front.at()
	var req *http.Request
	var err error
	if c.plain {
		s := c.subs[0]
		target := base + "/v1/q/" + s.fn
		if s.room != 0 {
			target += "?room=" + url.QueryEscape(strconv.Itoa(s.room))
		}
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, target, nil); err != nil {
			return nil, err
		}
		if s.lastID != "" {
			req.Header.Set("Last-Event-ID", s.lastID)
		}
	} else {
		body := struct {
			At   string           `json:"at,omitempty"`
			Subs []map[string]any `json:"subs"`
		}{At: c.at}
		for _, s := range c.subs {
			s.query = ""
			sub := map[string]any{"id": s.id, "q": s.fn, "args": map[string]any{}}
			if s.room != 0 {
				sub["args"] = map[string]any{"room": s.room}
			}
			if s.version != "" {
				sub["have"] = s.version
			}
			body.Subs = append(body.Subs, sub)
		}
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		if req, err = http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/stream?delta=1", strings.NewReader(string(text))); err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+c.token)
	return req, nil
}

// read takes events until the stream ends.
func (c *client) read(body *bufio.Reader, heard func()) (served bool, retry time.Duration, err error) {
	var kind, id string
	var data strings.Builder
	var again time.Duration
	for {
		line, err := body.ReadString('\n')
		if err != nil {
			return served, c.patience(again), nil // the end of a stream, whole lines or not
		}
		heard()
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			kind = value
		case "id":
			id = value
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil && c.plain {
				again = time.Duration(ms) * time.Millisecond
			}
		case "data":
			data.WriteString(value)
		case "":
			text := data.String()
			wanted, err := c.take(kind, id, text)
			if err == errAgain {
				return served, 0, nil
			}
			if err != nil {
				return served, 0, fmt.Errorf("%s %s: %w", kind, text, err)
			}
			served = served || kind == "sub" || kind == ""
			if wanted > 0 {
				again = wanted
			}
			kind, id = "", ""
			data.Reset()
		}
	}
}

// errAgain says that a subscription has ended for a reason that passes. It is asked
// for again, with all others, by the next stream.
var errAgain = errors.New("a problem that passes")

// told is what events without rows say.
type told struct {
	ID        int
	Q, V      string
	Status    string
	Reason    string
	Code      string
	Message   string
	At        string
	Retryable bool
	RetryMS   int64 `json:"retry_ms"`
}

// take takes one event.
func (c *client) take(kind, id, text string) (retry time.Duration, err error) {
	if text == "" {
		return 0, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.world.changed.tell()
	if id != "" && c.plain {
		c.subs[0].lastID = id
	}
	var e told
	switch kind {
	case "", "delta":
		return 0, c.result(kind == "delta", text)
	case "hello", "synced", "expiring":
		return 0, nil
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return 0, err
	}
	if e.At != "" {
		c.at = e.At
	}
	switch kind {
	case "sub":
		return 0, c.state(&e)
	case "problem":
		c.world.note("problem " + e.Code)
		if !e.Retryable {
			return 0, errors.New("a problem that does not pass")
		}
		return 0, errAgain
	case "end":
		return 0, errors.New("the subscription was ended")
	case "close":
		c.world.note("close " + e.Reason)
		return time.Duration(e.RetryMS) * time.Millisecond, nil
	}
	return 0, nil
}

func (c *client) of(id int) *subscription {
	for _, s := range c.subs {
		if s.id == id || c.plain {
			return s
		}
	}
	return nil
}

// state takes how a subscription stands.
func (c *client) state(e *told) error {
	s := c.of(e.ID)
	if s == nil {
		return errors.New("a subscription that nobody asked for")
	}
	if e.Q != "" {
		s.query = e.Q
	}
	switch e.Status {
	case "unchanged":
		if e.V != s.version {
			return fmt.Errorf("the client holds %s", s.version)
		}
		s.status = "live"
		return nil
	case "denied":
		s.version, s.rows = "", nil
	case "stale", "error":
		c.world.note(e.Status)
	}
	s.status = e.Status
	if e.Status == "live" && e.V != s.version {
		s.status = "announced" // its rows follow
	}
	return nil
}

var errFrom = errors.New("a delta from a version that the client does not hold (D1)")

// result takes rows.
func (c *client) result(delta bool, text string) error {
	var r struct {
		Q, From, V string
		Key        []string
		Rows       []json.RawMessage
		Set        [][3]json.RawMessage
		Del        []string
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	for _, s := range c.subs {
		if s.query != r.Q && !c.plain {
			continue
		}
		if c.user == outcast && strings.Contains(text, secret) {
			return errors.New("I2: shown to whom it was denied")
		}
		var err error
		rows := s.rows
		switch {
		case !delta:
			rows, err = keyed(r.Key, r.Rows)
		case r.From != s.version:
			err = errFrom
		default:
			rows, err = applied(s.rows, r.Set, r.Del)
		}
		if err != nil {
			return err
		}
		s.rows, s.version, s.status = rows, r.V, "live"
		newest, err := s.newest()
		if err != nil {
			return err
		}
		if newest < s.floor && !c.world.forgives(s) {
			return fmt.Errorf("I4: %s(%d) shows %d after %d", s.fn, s.room, newest, s.floor)
		}
		s.floor = newest
		return nil
	}
	return errors.New("rows of a query that nobody asked for")
}

// newest is the number of the newest write among the rows, or what was known if
// there are none.
func (s *subscription) newest() (int64, error) {
	top := int64(0)
	for _, r := range s.rows {
		var cells struct{ N int64 }
		if err := json.Unmarshal(r.text, &cells); err != nil {
			return 0, err
		}
		top = max(top, cells.N)
	}
	return top, nil
}

// keyed names rows by their key columns.
func keyed(key []string, texts []json.RawMessage) (rows []row, err error) {
	for _, text := range texts {
		var cells map[string]json.RawMessage
		if err := json.Unmarshal(text, &cells); err != nil {
			return nil, err
		}
		values := make([]string, len(key))
		for i, name := range key {
			values[i] = string(cells[name])
		}
		rows = append(rows, row{strings.Join(values, ","), text})
	}
	return rows, nil
}

// applied puts a delta into rows: what goes, then what is set, in ascending index.
func applied(rows []row, set [][3]json.RawMessage, del []string) ([]row, error) {
	gone := map[string]bool{}
	for _, key := range del {
		gone[key] = true
	}
	places := make([]int, len(set))
	added := make([]row, len(set))
	for i, s := range set {
		if err := errors.Join(json.Unmarshal(s[0], &places[i]), json.Unmarshal(s[1], &added[i].key)); err != nil {
			return nil, err
		}
		added[i].text = s[2]
		gone[added[i].key] = true
	}
	var out []row
	for _, r := range rows {
		if !gone[r.key] {
			out = append(out, r)
		}
	}
	for i, r := range added {
		if i > 0 && places[i] < places[i-1] || places[i] > len(out) {
			return nil, errors.New("a delta that cannot be applied")
		}
		out = append(out[:places[i]:places[i]], append([]row{r}, out[places[i]:]...)...)
	}
	return out, nil
}

// shows is what a subscription shows: its status if that is not live, else its
// rows.
func (s *subscription) shows() string {
	if s.status != "live" {
		return s.status
	}
	texts := make([]string, len(s.rows))
	for i, r := range s.rows {
		texts[i] = string(r.text)
	}
	return canonical("[" + strings.Join(texts, ",") + "]")
}

// canonical is one text for equal JSON.
func canonical(text string) string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err.Error()
	}
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(out)
}
