package load

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bare is a fleet without a loop: the test is the loop.
func bare(t *testing.T, subs int) (*Fleet, *session) {
	t.Helper()
	u, _ := url.Parse("http://127.0.0.1:1")
	book := NewBook(8)
	book.prefix = testPrefix
	cfg, err := Config{URL: u, Query: "q", Sessions: 1, Subscriptions: subs, Book: book, Args: func(int) []byte { return []byte("{}") }}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	f := &Fleet{cfg: cfg, states: newStates(book.prefix)}
	f.counts.Codes = map[string]int64{}
	s := &session{fd: -1, phase: asked}
	for i := range subs {
		s.subs = append(s.subs, subscription{group: i, shown: -1, fresh: true})
	}
	f.sessions, f.opening = []*session{s}, 1
	return f, s
}

// answerOf is a whole answer: head, and a body in chunks of a size.
func answerOf(body string, chunk int) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	for len(body) > 0 {
		n := min(chunk, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.Bytes()
}

func shownEvent(b *Book, query string, group, n int) string {
	event, _ := fullEvent(query, `"id"`, []string{`{"id":1,"text":"` + b.Mark(group, n, 0) + `"}`})
	return "data: " + event + "\n\n"
}

// TestStreamsAreReadHoweverTheyAreCut: chunks and reads may end anywhere.
func TestStreamsAreReadHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	for _, chunk := range []int{1, 7, 100, 10_000} {
		for _, read := range []int{1, 3, 50, 10_000} {
			f, s := bare(t, 2)
			body := "retry: 3000\n\nevent: hello\ndata: {\"sid\":\"s\",\"ping_ms\":1}\n\n" +
				"event: sub\ndata: {\"id\":1,\"q\":\"a\",\"v\":\"x\",\"status\":\"live\"}\n\n" + shownEvent(f.cfg.Book, "a", 0, 1) +
				"event: sub\ndata: {\"id\":2,\"q\":\"b\",\"v\":\"x\",\"status\":\"live\"}\n\n" + shownEvent(f.cfg.Book, "b", 1, 4) +
				"event: ping\ndata: {}\n\n" + shownEvent(f.cfg.Book, "a", 0, 2)
			text := answerOf(body, chunk)
			for rest := text; len(rest) > 0; rest = rest[min(read, len(rest)):] {
				if err := f.take(s, bytes.Clone(rest[:min(read, len(rest))])); err != nil {
					t.Fatal(err)
				}
			}
			if s.sid != "s" || s.subs[0].shown != 2 || s.subs[1].shown != 4 || f.counts.Frames != 3 || f.counts.Bytes != int64(len(text)) || s.in != nil || f.open != 1 {
				t.Errorf("chunks of %d, reads of %d: %+v, %d frames, %d bytes", chunk, read, s, f.counts.Frames, f.counts.Bytes)
			}
		}
	}
}

// TestEveryCommitIsASample (L1), and what came before, or while it was away, is none.
func TestEveryCommitIsASample(t *testing.T) {
	t.Parallel()
	f, s := bare(t, 1)
	b := f.cfg.Book
	write := func() {
		n := b.Next(0)
		b.Committing(0, n)
		b.Committed(0, n)
	}
	show := func(n int) {
		t.Helper()
		if err := f.events(s, []byte(shownEvent(b, "a", 0, n))); err != nil {
			t.Fatal(err)
		}
	}
	s.phase, s.subs[0].query = streaming, "a"
	for range 6 {
		write()
	}
	show(2) // the first result
	if n := f.counts.Latency.Count(); n != 0 {
		t.Errorf("%d latencies of what was there before", n)
	}
	show(5)
	if n := f.counts.Latency.Count(); n != 3 {
		t.Errorf("%d latencies of three commits in one result", n)
	}
	show(4)
	if f.counts.Back != 1 || s.subs[0].shown != 5 {
		t.Errorf("a result that went back (L2) is counted %d times", f.counts.Back)
	}
	f.since = time.Now()
	show(6)
	if n := f.counts.Latency.Count(); n != 3 {
		t.Errorf("%d latencies: one is of a commit before Reset", n)
	}
}

// TestRefusalsAreTheServersSentence: in the answer or in the stream.
func TestRefusalsAreTheServersSentence(t *testing.T) {
	t.Parallel()
	f, s := bare(t, 1)
	body := `{"code":"unauthenticated","message":"the token has expired"}`
	text := fmt.Sprintf("HTTP/1.1 401 Unauthorized\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n", len(body))
	if err := f.take(s, []byte(text+body[:10])); err != nil {
		t.Fatal(err)
	}
	if err := f.take(s, []byte(body[10:])); err == nil || !strings.Contains(err.Error(), "the token has expired (unauthenticated)") {
		t.Errorf("%v", err)
	}
	f, s = bare(t, 1)
	if err := f.take(s, []byte("SSH-2.0-OpenSSH\r\n\r\n")); err == nil || !strings.Contains(err.Error(), "does not speak HTTP") {
		t.Errorf("%v", err)
	}
	f, s = bare(t, 1)
	s.phase = streaming
	if err := f.events(s, []byte("event: problem\ndata: {\"id\":1,\"code\":\"unknown_function\",\"message\":\"no such query\",\"retryable\":false}\n\n")); err != nil || f.refused == nil || f.counts.Codes["unknown_function"] != 1 {
		t.Errorf("%v, %v", err, f.refused)
	}
}
