package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stalled is a client that reads the head of its stream and then nothing.
type stalled struct {
	conn net.Conn
	r    *bufio.Reader
}

func openStalled(t *testing.T, l *pipeListener, subs string, headers ...string) *stalled {
	t.Helper()
	conn, err := l.dial()
	if err != nil {
		t.Fatal(err)
	}
	body := `{"subs":[` + subs + `]}`
	headers = append(headers, "Host: localhost", "Content-Type: application/json", fmt.Sprintf("Content-Length: %d", len(body)))
	go fmt.Fprintf(conn, "POST /v1/stream HTTP/1.1\r\n%s\r\n\r\n%s", strings.Join(headers, "\r\n"), body)
	s := &stalled{conn, bufio.NewReader(conn)}
	line, err := s.r.ReadString('\n')
	if err != nil || !strings.Contains(line, "200") {
		t.Fatalf("open: %q %v", line, err)
	}
	return s
}

func bigRows(size int, mark string) string {
	return `"rows":[{"mark":"` + mark + `","t":"` + strings.Repeat("x", size) + `"}]`
}

// D2: a frame must be taken within 30 s and the time of its bytes at 16 KB/s.
func TestClientThatStopsReadingIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l, end := newPipeFixture(t, nil)
		defer end()
		f.backend.set("big", bigRows(160<<10, "a"))
		begin := time.Now()
		c := openStalled(t, l, `{"id":1,"q":"big"}`)
		defer c.conn.Close()
		synctest.Wait()
		eventuallyIn(t, "the session ends", func() bool { return f.server.Stats().Sessions == 0 })
		if took := time.Since(begin); took < 40*time.Second || took > 45*time.Second {
			t.Errorf("closed after %v, want 30 s + 10 s", took)
		}
		if got := f.server.Stats().Closes["slow"]; got != 1 {
			t.Errorf("closes: %v", f.server.Stats().Closes)
		}
	})
}

// eventuallyIn waits on a bubble's clock.
func eventuallyIn(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 100_000 {
		if ok() {
			return
		}
		<-tick.C
	}
	t.Fatalf("never: %s", what)
}

// D2: one byte now and then is no progress.
// Cases: 68.
func TestTricklingClientIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l, end := newPipeFixture(t, nil)
		defer end()
		f.backend.set("big", bigRows(160<<10, "a"))
		begin := time.Now()
		c := openStalled(t, l, `{"id":1,"q":"big"}`)
		defer c.conn.Close()
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if _, err := c.conn.Read(make([]byte, 1)); err != nil {
						return
					}
				case <-stop:
					return
				}
			}
		}()
		eventuallyIn(t, "the session ends", func() bool { return f.server.Stats().Sessions == 0 })
		close(stop)
		<-done
		if took := time.Since(begin); took > 45*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

// S1: a client that stopped reading and goes on sees the newest state, not all
// that it missed, and nobody waited for it.
// Cases: 68.
func TestSlowClientGetsTheLatestState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l, end := newPipeFixture(t, nil)
		defer end()
		f.backend.set("big", bigRows(64<<10, "first"))
		slow := openStalled(t, l, `{"id":1,"q":"big"},{"id":2,"q":"rooms.list"}`)
		defer slow.conn.Close()
		fast := f.sessionFor(time.Hour, `{"id":1,"q":"rooms.list"}`)
		fast.expect("sub", "message")
		for n := range 20 {
			f.backend.set("big", bigRows(64<<10, fmt.Sprint(n)))
			f.backend.set("rooms.list", rows(n+100))
			if e := fast.expect("sub", "message"); !strings.Contains(e[1].data, fmt.Sprint(n+100)) {
				t.Fatalf("the fast client sees %s", e[1])
			}
		}
		f.backend.fail("rooms.list", fmt.Errorf("down"))
		fast.expect("sub")
		// The slow one reads again: at most the frame in its pipe, then the newest.
		var text strings.Builder
		_ = slow.conn.SetReadDeadline(time.Now().Add(time.Second))
		buf := make([]byte, 32<<10)
		for {
			n, err := slow.r.Read(buf)
			text.Write(buf[:n])
			if err != nil {
				break
			}
		}
		got := text.String()
		if n := strings.Count(got, `"mark"`); n > 4 || !strings.Contains(got, `"mark":"19"`) {
			t.Errorf("%d states of big were sent", n)
		}
		if strings.Count(got, `"rows":[{"id"`) > 2 || !strings.Contains(got, `{"id":119}`) || !strings.Contains(got, `"status":"stale"`) {
			t.Errorf("the other query's newest state or its status was lost: %s", strings.ReplaceAll(got, "x", ""))
		}
		fast.close()
	})
}

// D2: superseded bytes that stalled clients pin are capped; who pins most goes.
// Cases: 68.
func TestPinnedBytesAreCapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l, end := newPipeFixture(t, func(c *Config) { c.Limits.MaxPinnedBytes = 1 << 20 })
		defer end()
		// This one has read a version and left it: it pins nothing.
		reader := f.sessionFor(time.Hour, `{"id":1,"q":"big"}`)
		reader.expect("sub", "message")
		f.do("POST", "/v1/stream/"+reader.sid, `{"drop":[1]}`)
		reader.expect("end")
		var clients []*stalled
		// Each client stalls in another version of one result.
		for n := range 12 {
			f.backend.set("big", bigRows(200<<10, fmt.Sprint(n)))
			synctest.Wait() // or this one stalls in the version before
			clients = append(clients, openStalled(t, l, `{"id":1,"q":"big"}`))
			synctest.Wait()
		}
		f.backend.set("big", bigRows(200<<10, "last"))
		synctest.Wait()
		f.backend.set("big", bigRows(200<<10, "very last"))
		synctest.Wait()
		st := f.server.Stats()
		if st.PinnedBytes > 1<<20 {
			t.Errorf("%d bytes are pinned", st.PinnedBytes)
		}
		if st.Closes["slow"] < 6 || st.Sessions < 4 {
			t.Errorf("closes %v, %d sessions are left", st.Closes, st.Sessions)
		}
		for _, c := range clients {
			c.conn.Close()
		}
		eventuallyIn(t, "only the reader is left", func() bool { return f.server.Stats().Sessions == 1 })
		other := f.sessionFor(time.Hour, `{"id":1,"q":"big"}`)
		other.expect("sub", "message")
		synctest.Wait() // its writer has put the frame down
		f.backend.set("big", bigRows(200<<10, "after"))
		other.expect("sub", "message")
		synctest.Wait()
		if got := f.server.Stats().PinnedBytes; got != 0 {
			t.Errorf("%d bytes are pinned by nobody", got)
		}
		other.close()
		reader.close()
	})
}

// S4: also a stream that waits in the middle of a frame ends with its token, and
// a renewal gives it time.
// Cases: 61, 86.
func TestTokenEndsAStalledStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l, end := newPipeFixture(t, nil)
		defer end()
		begin := time.Now()
		f.user("t1", "ann", begin.Add(5*time.Second))
		f.user("t2", "ann", begin.Add(8*time.Second))
		f.backend.set("big", bigRows(160<<10, "a"))
		c := openStalled(t, l, `{"id":1,"q":"big"}`, "Authorization: Bearer t1")
		defer c.conn.Close()
		for range 30 { // up to the data line of hello
			if line, err := c.r.ReadString('\n'); err != nil || strings.Contains(line, "sid") {
				_, rest, _ := strings.Cut(line, `"sid":"`)
				sid, _, _ := strings.Cut(rest, `"`)
				if res := f.do("POST", "/v1/stream/"+sid, "{}", "Authorization: Bearer t2"); res.status != 204 {
					t.Errorf("renew: %d %s", res.status, res.body)
				}
				break
			}
		}
		eventuallyIn(t, "the session ends", func() bool { return f.server.Stats().Sessions == 0 })
		if took := time.Since(begin); took < 8*time.Second || took > 9*time.Second || f.server.Stats().Closes["expired"] != 1 {
			t.Errorf("closed after %v: %v", took, f.server.Stats().Closes)
		}
	})
}

// D2 on real sockets: whatever buffers lie between, a client that takes nothing
// is gone in time, and the others have not waited.
// Cases: 68.
func TestStalledClientIsClosedOnEachTransport(t *testing.T) {
	t.Parallel()
	onEach(t, func(c *Config) {
		c.Tenant = limited(func(l *limits) { l.WriteTimeout, l.MinWriteRate = 300*time.Millisecond, 1<<30 })
	}, func(t *testing.T, f *fixture) {
		f.backend.set("big", bigRows(16<<20, "a"))
		s := f.session(`{"id":1,"q":"big"}`)
		s.expect("sub")
		fast := f.session(`{"id":1,"q":"rooms.list"}`)
		fast.expect("sub", "message")
		f.backend.set("rooms.list", rows(1))
		fast.expect("sub", "message")
		eventually(t, "slow is closed", func() bool { return f.server.Stats().Closes["slow"] == 1 })
		// What was half written must not look whole.
		if e, err := s.parser.next(); err == nil || err == io.EOF {
			t.Errorf("the half frame reads as %.60s, %v", e, err)
		}
		f.backend.set("rooms.list", rows(2))
		fast.expect("sub", "message")
	})
}
