package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/host/auth"
	"weir/host/tenant"
	"weir/reactor"
)

// raw is a client of its own socket.
type raw struct {
	t    testing.TB
	conn *net.TCPConn
	r    *bufio.Reader
}

// dial connects with a receive buffer of that size; 0: the system's.
func (f *fixture) dial(buffer int) *raw {
	f.t.Helper()
	d := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) error {
		if buffer == 0 {
			return nil
		}
		var err error
		if failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer) }); failed != nil {
			return failed
		}
		return err
	}}
	conn, err := d.DialContext(f.t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &raw{f.t, conn.(*net.TCPConn), bufio.NewReader(conn)}
}

func (c *raw) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// stream reads the head of the answer and hello.
func (c *raw) stream() *stream {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	if err != nil || res.StatusCode != http.StatusOK {
		c.t.Fatalf("open: %v %v", res, err)
	}
	s := &stream{t: c.t, res: res, parser: newSSEParser(res.Body)}
	s.next()
	s.hello = s.next()
	s.sid = s.hello.field("sid")
	return s
}

// reset ends the connection without a word.
func (c *raw) reset() {
	_ = c.conn.SetLinger(0)
	_ = c.conn.Close()
}

func shardFixture(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	return newFixtureOn(t, "http1 shard", change)
}

func TestShardsHoldPlainStreamsOnly(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		s.expect("sub", "message")
		one := f.stream(http.MethodGet, "/v1/q/rooms.list", "")
		one.expect("sub", "message")
		want := 0
		if strings.HasSuffix(t.Name(), "shard") {
			want = 2
			if s.res.Header.Get("X-Request-Id") == "" || !s.res.Close {
				t.Errorf("headers: %v", s.res.Header)
			}
		}
		if got := f.server.Stats().ShardSessions; got != want {
			t.Errorf("%d streams are held by shards, want %d", got, want)
		}
		s.close()
		one.close()
		eventually(t, "they are gone", func() bool { st := f.server.Stats(); return st.ShardSessions == 0 && st.Sessions == 0 })
	})
}

func TestShardsLeaveOddRequestsToGoroutines(t *testing.T) {
	t.Parallel()
	f := shardFixture(t, nil)
	for name, text := range map[string]string{
		"HTTP/1.0": "GET /v1/q/rooms.list HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
	} {
		c := f.dial(0)
		c.send(text)
		c.stream().expect("sub", "message")
		if got := f.server.Stats().ShardSessions; got != 0 {
			t.Errorf("%s: a shard holds it", name)
		}
	}
}

// D3: what stands behind the request was read with it and will not be answered:
// the stream does not begin.
func TestPipelinedBytesCloseTheConnection(t *testing.T) {
	t.Parallel()
	f := shardFixture(t, nil)
	c := f.dial(0)
	c.send(opens(`{"id":1,"q":"rooms.list"}`) + "GET /v1/schema HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if text, err := io.ReadAll(c.r); len(text) != 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("answered %q, %v", text, err)
	}
	eventually(t, "no session", func() bool { st := f.server.Stats(); return st.Sessions == 0 && st.ShardSessions == 0 })
	eventually(t, "no subscription", func() bool { return f.backend.reactor.Stats().Subscriptions == 0 })
}

// D3: a little input is read and forgotten, more than that is no client of a
// stream.
func TestInputAfterTheRequestIsBounded(t *testing.T) {
	t.Parallel()
	f := shardFixture(t, nil)
	c := f.dial(0)
	c.send(opens(`{"id":1,"q":"rooms.list"}`))
	s := c.stream()
	s.expect("sub", "message")
	c.send(strings.Repeat("x", maxInput))
	for n := range 3 {
		f.backend.set("rooms.list", rows(n+1))
		s.expect("sub", "message")
	}
	c.send("x")
	eventually(t, "it is closed", func() bool { return f.server.Stats().Closes["left"] == 1 })
}

// A client that shuts its side has left, as for net/http.
func TestHalfClosedClientHasLeft(t *testing.T) {
	t.Parallel()
	f := shardFixture(t, nil)
	c := f.dial(0)
	c.send(opens(`{"id":1,"q":"rooms.list"}`))
	c.stream().expect("sub", "message")
	if err := c.conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has left", func() bool { return f.server.Stats().Closes["left"] == 1 })
	eventually(t, "no subscription", func() bool { return f.backend.reactor.Stats().Subscriptions == 0 })
}

func TestResetInTheMiddleOfAFrameEndsOnlyItsStream(t *testing.T) {
	t.Parallel()
	f := shardFixture(t, nil)
	f.backend.set("big", bigRows(16<<20, "a"))
	other := f.session(`{"id":1,"q":"rooms.list"}`)
	other.expect("sub", "message")
	c := f.dial(4096)
	c.send(opens(`{"id":1,"q":"big"}`))
	c.stream().expect("sub")
	c.reset()
	eventually(t, "it has left", func() bool { return f.server.Stats().Closes["left"] == 1 })
	f.backend.set("rooms.list", rows(1))
	other.expect("sub", "message")
}

// S1 on a real socket: who reads again sees the frame that was in its socket, and
// then the newest.
func TestShardGivesASlowReaderTheLatestState(t *testing.T) {
	t.Parallel()
	f := shardFixture(t, nil)
	f.backend.set("big", bigRows(16<<20, "first"))
	c := f.dial(4096)
	c.send(opens(`{"id":1,"q":"big"}`))
	slow := c.stream()
	slow.expect("sub")
	fast := f.session(`{"id":1,"q":"rooms.list"}`)
	fast.expect("sub", "message")
	for n := range 5 {
		f.backend.set("big", bigRows(1<<20, fmt.Sprint(n)))
		f.backend.set("rooms.list", rows(n+100))
		fast.expect("sub", "message")
	}
	if e := slow.next(); !strings.Contains(e.data[:100], `"mark":"first"`) {
		t.Errorf("first comes %.100s", e)
	}
	if e := slow.expect("sub", "message"); !strings.Contains(e[1].data[:100], `"mark":"4"`) {
		t.Errorf("then comes %.100s", e[1])
	}
}

// D3: a stalled stream does not hold up the end of the server, which net/http's
// Shutdown does not know of.
func TestRunEndsWithStalledShardStreams(t *testing.T) {
	t.Parallel()
	f := newParts(t, func(c *Config) { c.Writer = WriterShard })
	defer f.backend.close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- f.server.Run(ctx, l) }()
	f.backend.set("big", bigRows(16<<20, "a"))
	stalled, quiet := f.dial(4096), f.dial(0)
	stalled.send(opens(`{"id":1,"q":"big"}`))
	stalled.stream().expect("sub")
	quiet.send(opens(`{"id":1,"q":"rooms.list"}`))
	s := quiet.stream()
	s.expect("sub", "message")
	cancel()
	if e := s.expect("close")[0]; e.field("reason") != "shutdown" {
		t.Errorf("the quiet one is told %s", e)
	}
	s.ended()
	if err := <-ran; err != nil {
		t.Errorf("run: %v", err)
	}
	if st := f.server.Stats(); st.ShardSessions != 0 || st.Sessions != 0 {
		t.Errorf("left behind: %+v", st)
	}
}

// D3: sockets' numbers are given out again at once; nobody sees another one's
// bytes, and nobody is ended for another one.
// Cases: 89.
func TestChurnKeepsStreamsApart(t *testing.T) {
	t.Parallel()
	f := shardFixture(t, func(c *Config) { c.Tenant = limited(func(l *limits) { l.MaxAnonymousSessions = -1 }) })
	stop := make(chan struct{})
	var writer, clients sync.WaitGroup
	writer.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
				f.backend.set("rooms.list", rows(n))
			}
		}
	})
	for worker := range 8 {
		clients.Go(func() {
			for round := range 30 {
				id := fmt.Sprintf(`"%d/%d"`, worker, round)
				c := f.dial(0)
				c.send(opens(`{"id":` + id + `,"q":"rooms.list"}`))
				res, err := http.ReadResponse(c.r, nil)
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				parser := newSSEParser(res.Body)
				for seen := 0; seen < 3; {
					e, err := parser.next()
					if err != nil {
						t.Errorf("%s is ended for another one: %v", id, err)
						return
					}
					if e.name == "sub" {
						seen++
						if `"`+e.field("id")+`"` != id {
							t.Errorf("%s sees %s", id, e)
						}
					}
				}
				if round%2 == 0 {
					c.reset()
				} else {
					_ = c.conn.Close()
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	writer.Wait()
	eventually(t, "all are gone", func() bool { st := f.server.Stats(); return st.ShardSessions == 0 && st.Sessions == 0 })
}

// bench is one stream on a shard whose loop the test is.
type bench struct {
	f    *fixture
	sh   *shard
	st   *shardStream
	peer int // the other end
}

func newBench(t *testing.T) *bench {
	t.Helper()
	f := newFixture(t, nil)
	sh, err := newShard(f.server.shards)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := newSession(f.server, &request{tenant: &tenant.Tenant{Name: tenant.DefaultName}, caller: auth.Anonymous(tenant.DefaultName)}, false, false)
	st := &shardStream{session: s, shard: sh, fd: pair[0], slot: -1, script: newScript(s, time.Now())}
	s.hold(st)
	f.server.shards.held.Add(1)
	t.Cleanup(func() {
		sh.finish(st, leftCode)
		_ = sh.poller.file.Close()
		_ = unix.Close(pair[1])
	})
	return &bench{f, sh, st, pair[1]}
}

// subscribes gives the stream a subscription that has its first state.
func (b *bench) subscribes(name string) {
	b.f.t.Helper()
	b.st.session.add([]*subscription{newSubscription("1", name, Arguments{}, nil)})
	eventually(b.f.t, "the subscription is ready", func() bool {
		s := b.st.session
		s.mu.Lock()
		defer s.mu.Unlock()
		a := s.subs[0].attempt
		return a != nil && a.settled && a.ready.Load()
	})
}

// taken is what the client reads now; ended says that the stream has an end.
func (b *bench) taken() (text string, ended bool) {
	b.f.t.Helper()
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(b.peer, buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return text, false
		case err != nil:
			b.f.t.Fatal(err)
		case n == 0:
			return text, true
		}
		text += string(buf[:n])
	}
}

// W9: a denial that comes while a turn is handed over ends nothing: the frame was
// allowed when it was looked at, and the denial is the next turn.
func TestShardTellsADenialThatCameWithAFrame(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.f.backend.set("big", bigRows(100, "shown"))
	b.f.backend.decide("big", allow)
	b.subscribes("big")
	now := time.Now()
	if !b.sh.admit(b.st) {
		t.Fatal("not admitted")
	}
	p, done := b.sh.compose(b.st, now)
	b.f.backend.decide("big", deny)
	eventually(t, "the denial is public", p.overtaken)
	b.sh.put(b.st, p, done, now)
	b.sh.step(b.st, now)
	if b.st.ended {
		t.Error("the stream has ended")
	}
	text, _ := b.taken()
	if shown, told := strings.Index(text, "shown"), strings.Index(text, `"denied"`); shown < 0 || told < shown {
		t.Errorf("the client got %s", text)
	}
}

// S10, D2: a frame is not begun, and not gone on with, when its policies do not
// allow it any more.
// Cases: 85.
func TestShardAsksTheFenceBeforeEachPiece(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{false, true} {
		t.Run(fmt.Sprintf("begun %v", begun), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.f.backend.set("big", bigRows(3*pieceSize, "secret"))
			b.f.backend.decide("big", allow)
			b.subscribes("big")
			now := time.Now()
			if b.st.generation == 0 && !b.sh.admit(b.st) {
				t.Fatal("not admitted")
			}
			if begun {
				if !b.sh.step(b.st, now) {
					t.Fatal("there is no second piece")
				}
				if text, _ := b.taken(); len(text) != pieceSize {
					t.Errorf("the first piece has %d bytes", len(text))
				}
				if p := b.st.session.writing.Load(); p == nil || !strings.Contains(string(p.frame.Event()), "secret") {
					t.Error("the frame is not counted as pinned")
				}
			} else {
				p, _ := b.sh.compose(b.st, now)
				b.st.keep(p)
			}
			b.f.backend.decide("big", deny)
			eventually(t, "the denial is public", func() bool { return b.st.pending.overtaken() })
			if b.sh.step(b.st, now) || !b.st.ended {
				t.Error("the stream goes on")
			}
			if text, ended := b.taken(); text != "" || !ended {
				t.Errorf("%d bytes came after the denial", len(text))
			}
			if got := b.f.server.Stats().Closes["denied"]; got != 1 {
				t.Errorf("closes: %v", b.f.server.Stats().Closes)
			}
		})
	}
}

// D2: a client that takes nothing has 30 s and the time of the bytes at 16 KB/s;
// S4: and no longer than its token.
func TestShardEndsAStalledStreamInTime(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"slow", "expired"} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.f.backend.set("big", bigRows(1600<<10, "a"))
			b.subscribes("big")
			now := time.Now()
			for b.sh.step(b.st, now) {
				continue
			}
			if !b.st.blocked || b.st.slot < 0 {
				t.Fatalf("not blocked: %+v", b.st)
			}
			within := 130 * time.Second // 30 s and 1600 KB at 16 KB/s
			if reason == "expired" {
				b.st.session.mu.Lock()
				b.st.session.caller = &auth.Caller{Principal: b.st.session.owner, Expires: now}
				b.st.session.mu.Unlock()
				within = 0
			}
			b.sh.step(b.st, now.Add(within+expiryGrace-time.Millisecond-map[bool]time.Duration{true: expiryGrace}[within > 0]))
			if b.st.ended {
				t.Fatal("it ended too early")
			}
			// A little progress gives it no more time.
			buf := make([]byte, 1)
			if _, err := unix.Read(b.peer, buf); err != nil {
				t.Fatal(err)
			}
			b.sh.step(b.st, now.Add(within+time.Second))
			if got := b.f.server.Stats().Closes[reason]; !b.st.ended || got != 1 {
				t.Errorf("closes: %v", b.f.server.Stats().Closes)
			}
		})
	}
}

// D3: an event of a socket that was closed does not reach the stream that has its
// number now.
// Cases: 89.
func TestEventOfAnEndedStreamReachesNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sh.step(b.st, time.Now())
	handled := make(chan struct{})
	go func() { <-b.sh.poller.handled; close(handled) }()
	b.sh.polled([]unix.EpollEvent{{Events: unix.EPOLLHUP, Fd: int32(b.st.fd), Pad: b.st.generation - 1}})
	<-handled
	if b.st.ended {
		t.Error("it ended the stream")
	}
}

// D3: an abort leaves the socket to the loop, so that no piece goes to whoever has
// its number next.
// Cases: 89.
func TestAbortLeavesTheSocketToTheLoop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sh.step(b.st, time.Now())
	socket := func() uint64 { // whose number it is
		var stat unix.Stat_t
		if err := unix.Fstat(b.st.fd, &stat); err != nil {
			return 0
		}
		return stat.Ino
	}
	before := socket()
	b.st.session.abort("slow")
	if after := socket(); before == 0 || before != after {
		t.Errorf("the socket was %d, the number is that of %d", before, after)
	}
	b.sh.step(b.st, time.Now())
	if _, ended := b.taken(); !ended || b.sh.streams[int32(b.st.fd)] != nil {
		t.Error("the loop did not close it")
	}
}

// What a stream is told at once goes out with one call, each event whole.
func TestShardWritesAllThatIsNewAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.subscribes("rooms.list")
	b.st.session.add([]*subscription{newSubscription("2", "messages.list", Arguments{}, nil)})
	eventually(t, "both are ready", func() bool {
		s := b.st.session
		s.mu.Lock()
		defer s.mu.Unlock()
		return !slices.ContainsFunc(s.subs, func(sub *subscription) bool {
			return sub.attempt == nil || !sub.attempt.ready.Load() || !sub.attempt.settled
		})
	})
	if b.sh.step(b.st, time.Now()) {
		t.Error("there is more to tell")
	}
	text, _ := b.taken()
	parser := newSSEParser(httputil.NewChunkedReader(strings.NewReader(text)))
	var names []string
	for range 4 {
		e, err := parser.next()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.name)
	}
	if strings.Join(names, " ") != "sub message sub message" {
		t.Errorf("told %v", names)
	}
	if b.st.pending != nil || b.sh.work.pending.chunks != nil || slices.ContainsFunc(b.sh.work.frames[:cap(b.sh.work.frames)], func(w written) bool { return w.frame != nil }) {
		t.Error("an idle stream or its shard holds what was written")
	}
	if got := b.f.server.Stats().Frames; got != 2 {
		t.Errorf("%d frames are counted", got)
	}
}

func TestTimersGiveTheEarliest(t *testing.T) {
	t.Parallel()
	var h timers
	begin := time.Now()
	var list []*shardStream
	for _, s := range []int{5, 3, 9, 1, 7, 2} {
		st := &shardStream{slot: -1}
		h.schedule(st, begin.Add(time.Duration(s)*time.Second))
		list = append(list, st)
	}
	h.schedule(list[2], begin)                  // earlier counts
	h.schedule(list[3], begin.Add(time.Minute)) // later does not
	h.cancel(list[1])
	h.cancel(list[1])
	sh := &shard{timers: h}
	sh.takeDue(begin.Add(4 * time.Second))
	if got := sh.ready; len(got) != 3 || got[0] != list[2] || got[1] != list[3] || got[2] != list[5] || list[1].slot != -1 {
		t.Errorf("due are %d", len(got))
	}
	if wait := sh.pause(begin); wait != 5*time.Second {
		t.Errorf("the next after %v", wait)
	}
}

// A busy shard lets a stream rest after a write; what policies decide and aborts do
// not wait for that.
func TestUrgentWakesDoNotRest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	now := time.Now()
	b.st.rest = now.Add(50 * time.Millisecond)
	b.st.wake(false)
	b.st.wake(false)
	b.sh.takeWoken(now)
	if len(b.sh.ready) != 0 || b.sh.pause(now) != 50*time.Millisecond {
		t.Errorf("%d are ready within the rest, the next after %v", len(b.sh.ready), b.sh.pause(now))
	}
	b.st.wake(false)
	b.st.wake(true)
	b.st.wake(true)
	b.sh.takeWoken(now)
	if len(b.sh.ready) != 1 {
		t.Errorf("%d are ready for something urgent", len(b.sh.ready))
	}
	b.st.session.abort("slow")
	b.sh.takeWoken(now)
	if len(b.sh.ready) != 2 {
		t.Errorf("%d are ready for an abort", len(b.sh.ready)-1)
	}
	b.sh.ready = nil
	b.st.wake(false)
	b.sh.takeWoken(now)
	b.sh.takeDue(now.Add(50 * time.Millisecond))
	if len(b.sh.ready) != 1 || b.st.queued.Load() || len(b.sh.timers) != 0 {
		t.Errorf("after the rest %d are ready", len(b.sh.ready))
	}
}

// Each stream rests for itself: one that is written in between, because its ping is
// due or for something urgent, and so rests anew, holds up nobody. A ping waits with
// what the stream was woken for.
func TestRestHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	after := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	sh := &shard{}
	stream := func(rest int) *shardStream { return &shardStream{shard: sh, slot: -1, rest: after(rest)} }
	pinged, hurried, other := stream(40), stream(40), stream(20)
	sh.timers.schedule(pinged, after(10))
	for _, st := range []*shardStream{pinged, hurried, other} {
		st.wake(false)
	}
	sh.takeWoken(begin)
	ready := func(ms int, want ...*shardStream) {
		t.Helper()
		sh.takeWoken(after(ms))
		sh.takeDue(after(ms))
		if !slices.Equal(sh.ready, want) {
			t.Errorf("after %d ms %d are ready, want %d", ms, len(sh.ready), len(want))
		}
		sh.ready = nil
	}
	ready(10) // the ping waits
	hurried.wake(true)
	ready(11, hurried)
	hurried.rest = after(60) // written just now
	hurried.wake(false)
	ready(20, other)
	ready(39)
	if wait := sh.pause(after(39)); wait != time.Millisecond {
		t.Errorf("the next after %v", wait)
	}
	ready(40, pinged)
	ready(59)
	ready(60, hurried)
	if len(sh.timers) != 0 {
		t.Errorf("%d are left", len(sh.timers))
	}
}

// A policy's publication makes a batch urgent, a result's does not.
func TestDecisionsAreUrgent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.f.backend.decide("rooms.list", allow)
	b.subscribes("rooms.list")
	b.sh.step(b.st, time.Now())
	var policies, results int
	b.st.session.mu.Lock()
	watches := b.st.session.subs[0].live.Watches()
	b.st.session.mu.Unlock()
	for _, pub := range watches {
		if decides(map[*reactor.Publication]struct{}{pub: {}}) {
			policies++
		} else {
			results++
		}
	}
	if policies != 1 || results != 1 {
		t.Errorf("%d policies and %d results are watched", policies, results)
	}
}
