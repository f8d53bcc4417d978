package weirtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Live is a query that is watched, over a stream as a browser has it. It ends with
// the test and is safe for concurrent use.
type Live[T any] struct {
	t    testing.TB
	name string

	mu      sync.Mutex // protects the fields below
	state   state
	changed chan struct{} // closed and made anew at each change
}

// state is what a watcher would see at a moment.
type state struct {
	status string          // connecting, live, stale, denied, error
	reason string          // why, in weir's words
	data   json.RawMessage // nil while there is none
	frames int
	ended  error // the stream is over: nothing more will come
}

// Watch subscribes to a query. T is what its result is read into: a slice of the
// row type, or what a computed query returns.
//
//	live := weirtest.Watch[[]Message](w.As("ann"), "messages.list", ListArgs{Room: 1})
//	live.Want(func(m []Message) bool { return len(m) == 1 })
func Watch[T any](c *Client, name string, args any) *Live[T] {
	t := c.s.t
	t.Helper()
	body, err := encodeArgs(args)
	if err != nil {
		t.Fatalf("the arguments of %s: %v", name, err)
	}
	l := &Live[T]{t: t, name: name + " as " + c.String(), state: state{status: "connecting"}, changed: make(chan struct{})}
	ask, err := json.Marshal(map[string]any{"subs": []any{map[string]any{"id": 1, "q": name, "args": json.RawMessage(body)}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for err := errAgain; errors.Is(err, errAgain); {
			err = follow(ctx, c, ask, l.event)
			if !errors.Is(err, errAgain) {
				l.change(func(s *state) { s.ended = err })
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l
}

// Want waits until the live result is as wanted, and returns it. When that does not
// come the test fails and shows what was seen last.
func (l *Live[T]) Want(ok func(T) bool) T {
	l.t.Helper()
	var last T
	l.until("is not as wanted", func(s state) bool {
		if s.data == nil {
			return false
		}
		var value T
		if err := decodeInto(s.data, &value); err != nil {
			l.t.Fatalf("%s: %s: %v", l.name, s.data, err)
		}
		last = value
		return ok(value)
	})
	return last
}

// WantDenied waits until the policy denies. Stay subscribed: when it allows again,
// the result comes back, which Want sees.
func (l *Live[T]) WantDenied(policy string) {
	l.t.Helper()
	l.until(fmt.Sprintf("is not denied by %q", policy), func(s state) bool {
		return s.status == "denied" && (policy == "" || s.reason == policy)
	})
}

// Frames returns how many results have come so far: a change that the query did not
// read brings none.
func (l *Live[T]) Frames() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.frames
}

// until waits for a state.
func (l *Live[T]) until(otherwise string, good func(state) bool) {
	l.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		l.mu.Lock()
		s, changed := l.state, l.changed
		l.mu.Unlock()
		if good(s) {
			return
		}
		if s.ended != nil {
			l.t.Fatalf("%s %s, and its stream has ended: %v\n%s", l.name, otherwise, s.ended, s)
		}
		select {
		case <-changed:
		case <-timeout.C:
			l.t.Fatalf("%s %s after %s\n%s", l.name, otherwise, patience, s)
		}
	}
}

// String shows what was seen last, for people.
func (s state) String() string {
	text := "status: " + s.status
	if s.reason != "" {
		text += " (" + s.reason + ")"
	}
	if s.data == nil {
		return text + "\nno result came"
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, s.data, "", "  ") != nil {
		pretty.Write(s.data)
	}
	return fmt.Sprintf("%s\nlast result, of %d:\n%s", text, s.frames, pretty.String())
}

func (l *Live[T]) change(f func(*state)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.state)
	close(l.changed)
	l.changed = make(chan struct{})
}

// errAgain asks for the stream to be opened anew, which brings a whole result.
var errAgain = errors.New("again")

// event takes one event of the stream.
func (l *Live[T]) event(name string, data []byte) error {
	var said struct{ Status, Reason, Code, Message string }
	switch name {
	case "":
		l.change(func(s *state) { s.data, s.frames = content(data), s.frames+1 })
	case "delta":
		return errAgain
	case "sub":
		if err := json.Unmarshal(data, &said); err != nil {
			return err
		}
		l.change(func(s *state) {
			if s.status, s.reason = said.Status, said.Reason; said.Status == "denied" {
				s.data = nil
			}
		})
	case "problem":
		if err := json.Unmarshal(data, &said); err != nil {
			return err
		}
		l.change(func(s *state) { s.status, s.reason = "error", said.Code+": "+said.Message })
	case "end":
		if err := json.Unmarshal(data, &said); err != nil {
			return err
		}
		return fmt.Errorf("%s: %s", said.Reason, said.Message)
	case "close":
		return fmt.Errorf("weir closed it: %s", data)
	}
	return nil
}

// follow reads a stream to its end.
func follow(ctx context.Context, c *Client, ask []byte, event func(name string, data []byte) error) error {
	r, err := c.request("/v1/stream", ask)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	resp, err := c.s.client.Do(r.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, refusal, err := answered(resp)
		if refusal != nil {
			err = fmt.Errorf("%s: %s", refusal.Code, refusal.Message)
		}
		return err
	}
	in := bufio.NewReader(resp.Body)
	name := ""
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("the connection broke: %w", err)
		}
		field, value, _ := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(": "))
		switch string(field) {
		case "":
			name = ""
		case "event":
			name = string(value)
		case "data":
			if err := event(name, value); err != nil {
				return err
			}
		}
	}
}
