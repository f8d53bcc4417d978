package serve

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/host/tenant"
)

// Streams are refused one by one before the descriptors end, each kind of client
// in the way that lets it come back; what is open goes on.
// Cases: 112.
func TestLastDescriptorsRefuseAndDoNotServe(t *testing.T) {
	t.Parallel()
	var next atomic.Int64 // the descriptor that the next connection has
	f := newDoor(t, nil, func(s *Server) {
		s.door.limit = 1000
		s.door.number = func(net.Conn) (int, bool) { return int(next.Load()), true }
	})
	s := f.session(`{"id":1,"q":"rooms.list"}`, asAnn)
	s.expect("sub", "message")
	f.client.CloseIdleConnections()

	reserve := f.server.door.reserve()
	next.Store(int64(1000 - reserve))
	es := f.rawStream(http.MethodGet, "/v1/q/rooms.list", "", "Origin: "+f.url)
	if e := es.next(); e.retry == "" || es.expect("close")[0].field("reason") != "overload" {
		t.Errorf("an EventSource: %s", e)
	}
	es.ended()
	if !es.res.Close {
		t.Error("the connection stays open")
	}
	res := f.do(http.MethodPost, "/v1/stream", `{}`)
	if res.status != 503 || codeOf(t, res) != "overload" || res.header.Get("Retry-After") == "" {
		t.Errorf("a program: %d %s %v", res.status, res.body, res.header)
	}
	next.Store(int64(1000 - reserve/2))
	if got := f.raw("GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"); got != "" {
		t.Errorf("beyond the first half of the reserve: %q", got)
	}
	if st := f.server.Stats(); st.Crowded < 2 || st.Shed != 1 || st.Descriptors != 1000 {
		t.Errorf("%d crowded, %d shed of %d", st.Crowded, st.Shed, st.Descriptors)
	}
	f.backend.set("rooms.list", rows(1))
	s.until("the open stream's next state", func(e sseEvent) bool { return strings.Contains(e.data, `{"id":1}`) })
	next.Store(10)
	f.session("").close()
	if log := f.log.String(); strings.Contains(log, "ERROR") {
		t.Errorf("each is in the log: %s", log)
	}
}

// scarce is a listener of a process without descriptors: a connection waits.
type scarce struct {
	net.Listener
	fail    int // how many calls fail
	accepts int
	waiting net.Conn
}

func (l *scarce) Accept() (net.Conn, error) {
	l.accepts++
	if l.fail > 0 {
		l.fail--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.waiting, nil
}

// Cases: 112.
func TestListenerWithoutDescriptorsDoesNotSpin(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer client.Close()
	l := &scarce{fail: 1, waiting: server}
	d := newDoorOf(1000)
	defer d.close()
	behind := d.of(l)
	// The connection that waits is taken on the spare and closed, the next served.
	if _, err := behind.Accept(); err != nil || d.shed.Load() != 1 || l.accepts != 3 {
		t.Errorf("err %v, shed %d, accepts %d", err, d.shed.Load(), l.accepts)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client that waits is not told")
	}
	// Without a spare the error goes up, and net/http waits.
	l.fail, l.accepts = 3, 0
	if _, err := behind.Accept(); !errors.Is(err, syscall.EMFILE) || l.accepts != 2 {
		t.Errorf("err %v after %d accepts", err, l.accepts)
	}
}

func TestDescriptorsAreRaisedToTheHardLimit(t *testing.T) {
	t.Parallel()
	n := descriptorLimit()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if l.Cur != l.Max || n == 0 || uint64(n) > l.Cur {
		t.Errorf("limit %d of %d, told as %d", l.Cur, l.Max, n)
	}
}

// D5: clients behind a trusted proxy are counted by their own address, and a plain
// EventSource may come back.
func TestAddressesAreCountedBehindATrustedProxy(t *testing.T) {
	t.Parallel()
	f := newDoor(t, func(c *Config) {
		c.TrustedProxies = []string{"127.0.0.1"}
		c.Tenant = limited(func(l *limits) { l.MaxAddressSessions = 1 })
	})
	s := f.session("", "X-Forwarded-For: 198.51.100.1")
	if res := f.do(http.MethodPost, "/v1/stream", `{}`, "X-Forwarded-For: 6.6.6.6, 198.51.100.1"); res.status != 429 {
		t.Errorf("a second of one address: %d %s", res.status, res.body)
	}
	es := f.rawStream(http.MethodGet, "/v1/stream", "", "X-Forwarded-For: 198.51.100.1")
	es.next()
	if e := es.expect("close")[0]; e.field("reason") != "limit" {
		t.Errorf("an EventSource: %s", e)
	}
	f.session("", "X-Forwarded-For: 198.51.100.2")
	s.close()
}

func TestStreamsOfAllTenantsAreBounded(t *testing.T) {
	t.Parallel()
	f := newDoor(t, func(c *Config) {
		c.Limits.MaxTotalSessions = 2
		c.Tenant = func(_, name string) (*tenant.Tenant, error) { return &tenant.Tenant{Name: name}, nil }
	})
	for _, name := range []string{"acme", "bolt"} {
		f.stream(http.MethodPost, "/t/"+name+"/v1/stream", `{}`)
	}
	if res := f.do(http.MethodPost, "/t/cask/v1/stream", `{}`); res.status != 429 || !strings.Contains(res.body, "the server has 2") {
		t.Errorf("%d %s", res.status, res.body)
	}
	if n := f.server.Stats().Limits["cask"]["total_sessions"]; n != 1 {
		t.Errorf("counted %d times", n)
	}
}

func TestStreamsThatComeTooFastAreRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *Config) { c.Tenant = limited(func(l *limits) { l.MaxOpenRate = 2 }) }, func(t *testing.T, f *fixture) {
		open := func(want int) {
			t.Helper()
			res := f.open(http.MethodPost, "/v1/stream", `{}`)
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("%d, want %d", res.StatusCode, want)
			}
		}
		for range 2 * burst { // what ten seconds have, at once
			open(200)
		}
		open(429)
		<-time.After(time.Second)
		open(200)
		open(200)
		open(429)
		if n := f.server.Stats().Limits[tenant.DefaultName]["open_rate"]; n != 2 {
			t.Errorf("counted %d times", n)
		}
	})
}
