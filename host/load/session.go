package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// phase is how far a session is.
type phase uint8

const (
	closed     phase = iota // no socket
	connecting              // its socket is not connected yet
	asked                   // its request goes out, or went
	streaming               // its stream is open
)

// session is one stream with its subscriptions. It is owned by the loop.
type session struct {
	index   int
	fd      int
	phase   phase
	stalled bool // it counts for no latency, and stops reading when told so
	deaf    bool // it no longer reads
	out     []byte
	in      []byte // bytes of the body that wait for the end of their event
	head    []byte // bytes of the answer's head, until it is whole
	chunks  *chunks
	came    bool // it was open before
	sid     string
	again   time.Time // when it comes back; zero: not by itself
	subs    []subscription
}

// subscription is one query of a session.
type subscription struct {
	group  int
	query  string // its name in this stream
	told   bool   // this stream told how it stands
	fresh  bool   // this stream showed nothing of it yet
	status string
	state  *state
	shown  int // newest write that was shown, -1 for none
}

// maxPending bounds what is kept of one stream, or of an answer that is none.
const maxPending = 16 << 20

var errPending = errors.New("an event of the stream is too large")

// request is what opens the session's stream.
func (f *Fleet) request(s *session) []byte {
	type sub struct {
		ID   int             `json:"id"`
		Q    string          `json:"q"`
		Args json.RawMessage `json:"args"`
		Have string          `json:"have,omitempty"`
	}
	var body struct {
		Subs []sub `json:"subs"`
	}
	for i := range s.subs {
		sub := sub{ID: i + 1, Q: f.cfg.Query, Args: f.cfg.Args(s.subs[i].group)}
		if f.cfg.Resume && s.subs[i].state != nil {
			sub.Have = s.subs[i].state.version
		}
		body.Subs = append(body.Subs, sub)
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic("BUG: arguments that are no JSON: " + err.Error())
	}
	return f.post("/v1/stream?delta=1", text)
}

func (f *Fleet) post(path string, body []byte) []byte {
	target := strings.TrimSuffix(f.cfg.URL.EscapedPath(), "/") + path
	if f.cfg.As != "" {
		target += "&as=" + f.as
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", target, f.cfg.URL.Host, len(body))
	if f.cfg.Token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", f.cfg.Token)
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// take takes bytes that a session's socket gave. An error ends the session.
func (f *Fleet) take(s *session, b []byte) error {
	f.counts.Bytes += int64(len(b))
	if s.phase == asked {
		s.head = append(s.head, b...)
		rest, err := f.answer(s)
		if err != nil || s.phase == asked {
			return err
		}
		b = rest
	}
	body := b
	if s.chunks != nil {
		var err error
		if body, err = s.chunks.take(b); err != nil {
			return err
		}
	}
	return f.events(s, body)
}

// answer reads the head of the answer, and of one that is no stream the body too.
func (f *Fleet) answer(s *session) (rest []byte, err error) {
	head, rest, whole := bytes.Cut(s.head, []byte("\r\n\r\n"))
	if !whole {
		if len(s.head) > 64<<10 {
			return nil, errPending
		}
		return nil, nil
	}
	lines := strings.Split(string(head), "\r\n")
	fields := map[string]string{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		fields[strings.ToLower(name)] = strings.TrimSpace(value)
	}
	_, status, _ := strings.Cut(lines[0], " ")
	code, err := strconv.Atoi(status[:min(3, len(status))])
	if err != nil || !strings.HasPrefix(lines[0], "HTTP/1.1 ") {
		return nil, &RefusedError{Code: "no_http", Message: "what answers there does not speak HTTP"}
	}
	if code != 200 || !strings.HasPrefix(fields["content-type"], "text/event-stream") {
		if length, err := strconv.Atoi(fields["content-length"]); err == nil && len(rest) < length && length < 64<<10 {
			return nil, nil // its body is on the way
		}
		refused := &RefusedError{Status: code, Code: "http_" + strconv.Itoa(code)}
		var problem struct{ Code, Message string }
		if json.Unmarshal(rest, &problem) == nil && problem.Code != "" {
			refused.Code, refused.Message = problem.Code, problem.Message
		}
		return nil, refused
	}
	s.phase, s.head = streaming, nil
	if strings.EqualFold(fields["transfer-encoding"], "chunked") {
		s.chunks = &chunks{}
	}
	f.opening--
	f.open++
	if s.came {
		f.counts.Reconnects++
		f.lastBack = time.Now()
	}
	s.came = true
	return bytes.Clone(rest), nil
}

// events takes bytes of the stream and handles each whole event.
func (f *Fleet) events(s *session, body []byte) error {
	if len(s.in) > 0 {
		body = append(s.in, body...)
	}
	for {
		event, rest, whole := bytes.Cut(body, []byte("\n\n"))
		if !whole {
			break
		}
		if err := f.event(s, event); err != nil {
			return err
		}
		body = rest
	}
	if len(body) > maxPending {
		return errPending
	}
	s.in = nil // an idle session keeps no buffer
	if len(body) > 0 {
		s.in = bytes.Clone(body)
	}
	return nil
}

func (f *Fleet) event(s *session, text []byte) error {
	var name string
	var data []byte
	found := false
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if found {
				data = append(append(bytes.Clone(data), '\n'), value...)
			} else {
				data, found = value, true
			}
		}
	}
	if !found {
		return nil
	}
	switch name {
	case "":
		return f.result(s, data, false)
	case "delta":
		return f.result(s, data, true)
	}
	f.counts.Events++
	return f.told(s, name, data)
}

// told handles an event that carries no rows.
func (f *Fleet) told(s *session, name string, data []byte) error {
	var e struct {
		SID, Q, V, Status, Reason, Code, Message string
		ID                                       int
		Retryable                                bool
		RetryMS                                  int64 `json:"retry_ms"`
	}
	if name == "synced" || name == "ping" || name == "expiring" {
		return nil
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return errEvent
	}
	switch name {
	case "hello":
		s.sid = e.SID
	case "close":
		f.code("close " + e.Reason)
		s.again = time.Now().Add(time.Duration(e.RetryMS) * time.Millisecond)
	case "end":
		f.code("end " + e.Reason)
	case "problem":
		f.code(e.Code)
		if !e.Retryable {
			f.refuse(&RefusedError{Code: e.Code, Message: e.Message})
		}
	case "sub":
		if e.ID < 1 || e.ID > len(s.subs) {
			return errEvent
		}
		f.stand(s, &s.subs[e.ID-1], e.Q, e.V, e.Status)
		if e.Status == "denied" {
			f.code("denied")
			f.refuse(&RefusedError{Code: "denied", Message: "the query is denied to this user: " + e.Reason})
		}
	}
	return nil
}

// stand notes how a subscription stands in this stream.
func (f *Fleet) stand(s *session, sub *subscription, query, version, status string) {
	sub.query, sub.status, sub.told = query, status, true
	if status != "unchanged" {
		return
	}
	f.counts.Unchanged++
	if sub.state == nil || sub.state.version != version {
		f.counts.Wrong++ // it does not hold what it is said to hold
		return
	}
	f.lastTold = time.Now()
	held := *sub.state // under the query's name of this stream, for deltas
	held.query = query
	sub.state, sub.fresh = &held, false
	if f.cfg.Seen != nil {
		f.cfg.Seen(s.index, sub.group, sub.shown)
	}
}

// result handles a full result or a delta.
func (f *Fleet) result(s *session, data []byte, delta bool) error {
	f.counts.Frames++
	var st *state
	var err error
	if delta {
		f.counts.Deltas++
		st, err = f.states.delta(data, s.held(data))
	} else {
		st, err = f.states.full(data)
	}
	if errors.Is(err, errFrom) {
		f.code("delta_from")
		s.drop(data)
		return err // the session comes back, and is told all of it
	}
	if err != nil {
		return err
	}
	if st.wrong {
		f.counts.Wrong++
	}
	now := time.Now()
	for i := range s.subs {
		if sub := &s.subs[i]; sub.query == st.query {
			f.show(s, sub, st, now)
		}
	}
	return nil
}

// queryOf returns the name of the query in an event's data.
func queryOf(data []byte) string {
	rest, _ := bytes.CutPrefix(data, []byte(`{"q":"`))
	query, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(query)
}

// held is what the session has of the query that a delta is for.
func (s *session) held(data []byte) *state {
	query := queryOf(data)
	for i := range s.subs {
		if s.subs[i].query == query {
			return s.subs[i].state
		}
	}
	return nil
}

// drop forgets what the session has of the query.
func (s *session) drop(data []byte) {
	query := queryOf(data)
	for i := range s.subs {
		if s.subs[i].query == query {
			s.subs[i].state = nil
		}
	}
}

// show gives a subscription its new result.
func (f *Fleet) show(s *session, sub *subscription, st *state, now time.Time) {
	n := st.shows(sub.group)
	first := sub.fresh // what was written while it was away is no sample
	sub.state, sub.fresh = st, false
	f.lastTold = now
	if n < sub.shown {
		f.counts.Back++
		return
	}
	// L1: all that this result shows for the first time.
	for i := sub.shown + 1; i <= n && !first && !s.stalled; i++ {
		if begun := f.cfg.Book.Begun(sub.group, i); begun.After(f.since) {
			f.counts.Latency.Add(now.Sub(begun))
		}
	}
	sub.shown = n
	if f.cfg.Seen != nil {
		f.cfg.Seen(s.index, sub.group, n)
	}
}

// chunks decodes chunked framing.
type chunks struct {
	left int    // bytes of the chunk that are to come
	line []byte // the beginning of a size line
	skip int    // bytes of the end of the chunk before
}

var errChunk = errors.New("the stream's chunks cannot be read")

// take returns what chunks b holds, decoded in place.
func (c *chunks) take(b []byte) ([]byte, error) {
	out := b[:0]
	for len(b) > 0 {
		switch {
		case c.skip > 0:
			n := min(c.skip, len(b))
			c.skip, b = c.skip-n, b[n:]
		case c.left > 0:
			n := min(c.left, len(b))
			out = append(out, b[:n]...)
			if c.left, b = c.left-n, b[n:]; c.left == 0 {
				c.skip = 2
			}
		default:
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				c.line, b = append(c.line, b...), nil
				if len(c.line) > 1024 {
					return nil, errChunk
				}
				continue
			}
			line := append(c.line, b[:i]...)
			b, c.line = b[i+1:], nil
			text, _, _ := strings.Cut(strings.TrimSpace(string(line)), ";")
			n, err := strconv.ParseInt(text, 16, 32)
			if err != nil {
				return nil, errChunk
			}
			if n == 0 {
				return out, nil // the socket's end follows
			}
			c.left = int(n)
		}
	}
	return out, nil
}
