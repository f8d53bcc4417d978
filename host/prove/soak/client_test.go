package soak

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// patience is how long anything may take before it is a failure.
const patience = time.Minute

// client does requests. Connections are kept between them, and closed before the
// server is measured.
type client struct {
	base string
	http *http.Client
}

func newClient(base string) *client {
	return &client{base, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true}}}
}

// do does a request with a JSON body, which may be empty, and returns the answer. The
// caller closes its body.
func (c *client) do(ctx context.Context, method, path, token, body string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return c.http.Do(req)
}

// ask does a request and reads its answer, which has one of the statuses.
func (c *client) ask(method, path, token, body string, statuses []int, header ...string) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp, err := c.do(ctx, method, path, token, body, header...)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	for _, status := range statuses {
		if resp.StatusCode == status {
			return resp.Header, text, nil
		}
	}
	return nil, nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
}

// stream is a session's stream, or that of one query, as a simple client keeps it:
// the newest state of each subscription.
type stream struct {
	end func() // closes it

	mu     sync.Mutex // protects the fields below
	sid    string
	subs   map[int]shown
	data   map[string]json.RawMessage // the newest result, by q
	news   chan struct{}              // closed when something changes
	closed error                      // why it has ended
}

// shown is how a subscription stands.
type shown struct{ query, version, status string }

// open opens a stream. It ends when end is called, or the server ends it.
func (c *client) open(method, path, token, body string) (*stream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(patience, cancel)
	resp, err := c.do(ctx, method, path, token, body, "Accept", "text/event-stream")
	if !timer.Stop() || err != nil {
		cancel()
		return nil, errors.Join(err, fmt.Errorf("%s %s: no stream", method, path))
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		cancel()
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	s := &stream{subs: map[int]shown{}, data: map[string]json.RawMessage{}, news: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer resp.Body.Close()
		err := s.read(resp.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = errors.Join(errors.New("the stream has ended"), err)
		s.tell()
	})
	s.end = func() { cancel(); reading.Wait() }
	return s, nil
}

// tell wakes who waits. The lock is held.
func (s *stream) tell() {
	close(s.news)
	s.news = make(chan struct{})
}

func (s *stream) read(body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 8<<20)
	name := ""
	for lines.Scan() {
		line := lines.Bytes()
		if text, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			name = string(text)
		} else if text, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			if err := s.take(name, text); err != nil {
				return err
			}
		} else if len(line) == 0 {
			name = ""
		}
	}
	return lines.Err()
}

func (s *stream) take(name string, data []byte) error {
	var e struct {
		ID                        int
		SID, Q, V, Status, Reason string
		Code, Message             string
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("%s %s: %w", name, data, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case "":
		s.data[e.Q] = bytes.Clone(data)
	case "hello":
		s.sid = e.SID
	case "sub":
		if old := s.subs[e.ID]; old.query != e.Q {
			delete(s.data, old.query)
		}
		if e.Status == "denied" {
			delete(s.data, e.Q) // its rows are dropped
		}
		s.subs[e.ID] = shown{e.Q, e.V, e.Status}
	case "end":
		delete(s.subs, e.ID)
	case "problem", "close":
		return fmt.Errorf("told %s %s", name, data)
	}
	s.tell()
	return nil
}

// live returns the result of a subscription, nil unless it is live and there.
func (s *stream) live(id int) json.RawMessage {
	if s.subs[id].status != "live" && s.subs[id].status != "unchanged" {
		return nil
	}
	return s.data[s.subs[id].query]
}

// wait returns when ready, which sees the stream locked, reports true.
func (s *stream) wait(what string, ready func() bool) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		ok, closed, news, subs := ready(), s.closed, s.news, fmt.Sprint(s.subs)
		s.mu.Unlock()
		switch {
		case ok:
			return nil
		case closed != nil:
			return fmt.Errorf("wait for %s: %w", what, closed)
		}
		select {
		case <-news:
		case <-timeout.C:
			return fmt.Errorf("%s did not come; the subscriptions are %s", what, subs)
		}
	}
}

// rowsOf are the rows of a result.
func rowsOf(data json.RawMessage) (rows json.RawMessage) {
	var r struct{ Rows json.RawMessage }
	_ = json.Unmarshal(data, &r) // no rows then
	return r.Rows
}

// valueOf is the value of a result.
func valueOf(data json.RawMessage) (value json.RawMessage) {
	var r struct{ Value json.RawMessage }
	_ = json.Unmarshal(data, &r) // no value then
	return r.Value
}
