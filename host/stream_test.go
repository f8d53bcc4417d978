package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// stream is a one-query stream as a stock client sees it.
type stream struct {
	url    string
	events chan event
}

type event struct{ kind, data string }

// full is a full result.
type full struct {
	Version string `json:"v"`
	Key     []string
	Rows    []map[string]any
	Value   map[string]any
	raw     string
}

// watch opens a stream. It ends with the test.
func watch(t *testing.T, url string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("GET %s: %s: %s", url, resp.Status, body)
	}
	return reading(t, url, resp.Body, cancel)
}

// reading reads a stream until the test ends.
func reading(t *testing.T, url string, body io.ReadCloser, end func()) *stream {
	s := &stream{url: url, events: make(chan event, 256)}
	go s.read(body)
	t.Cleanup(func() {
		end()
		for range s.events { // what nobody waited for, until it is closed
		}
	})
	return s
}

func (s *stream) read(body io.ReadCloser) {
	defer close(s.events)
	defer body.Close()
	var e event
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "":
			if e.data != "" {
				s.events <- e
			}
			e = event{}
		case strings.HasPrefix(line, "event: "):
			e.kind = line[7:]
		case strings.HasPrefix(line, "data: "):
			e.data = line[6:]
		}
	}
}

// result returns the next full result.
func (s *stream) result(t *testing.T) full {
	t.Helper()
	e := s.next(t, func(e event) bool { return e.kind == "" })
	var f full
	if err := json.Unmarshal([]byte(e.data), &f); err != nil {
		t.Fatalf("%s: %v", e.data, err)
	}
	f.raw = e.data
	return f
}

// status waits for a sub event with that status.
func (s *stream) status(t *testing.T, status string) event {
	t.Helper()
	return s.next(t, func(e event) bool {
		return e.kind == "sub" && strings.Contains(e.data, `"status":"`+status+`"`)
	})
}

// next returns the next event that is wanted and skips others.
func (s *stream) next(t *testing.T, want func(event) bool) event {
	t.Helper()
	var seen []event
	for e := range s.events {
		if want(e) {
			return e
		}
		seen = append(seen, e)
	}
	t.Fatalf("the stream of %s ended; it showed %v", s.url, seen)
	return event{}
}

func get(t *testing.T, url string) (status int, answer map[string]any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, resp)
}

func post(t *testing.T, url, body string) (status int, answer map[string]any) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, resp)
}

func decode(t *testing.T, resp *http.Response) (int, map[string]any) {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %s", resp.Status, text)
	}
	return resp.StatusCode, answer
}
