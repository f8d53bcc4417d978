package serve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowd is many clients in a process of their own, which is this test binary when
// crowdAt is set: they take no part in the server's memory, scheduling and
// collection. Each has a bare socket.
type crowd struct {
	cmd   *exec.Cmd
	stdin io.Closer // the crowd leaves when it is closed
	lines chan string
}

// The environment of a crowd: where the server is, how many clients there are, how
// many subscriptions each has, and how many clients read nothing.
const (
	crowdAt      = "WEIR_SERVE_CROWD_AT"
	crowdSize    = "WEIR_SERVE_CROWD_SIZE"
	crowdSubs    = "WEIR_SERVE_CROWD_SUBS"
	crowdStalled = "WEIR_SERVE_CROWD_STALLED"
)

// spare is how many file descriptors a process has beside its streams.
const spare = 500

// roomFor returns how many of n streams two processes may hold, one end each.
func roomFor(b *testing.B, n int) int {
	b.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		b.Fatal(err)
	}
	if raised := (syscall.Rlimit{Cur: l.Max, Max: l.Max}); syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		l = raised
	}
	b.ReportMetric(float64(l.Cur), "descriptors")
	return min(n, int(min(l.Cur, 1<<20))-spare)
}

// gather opens streams.
func gather(b *testing.B, address string, size, subs int) *crowd {
	b.Helper()
	return gatherStalled(b, address, size, subs, 0)
}

// gatherStalled opens streams of which some are never read. They are not waited for.
func gatherStalled(b *testing.B, address string, size, subs, stalled int) *crowd {
	b.Helper()
	c := &crowd{cmd: exec.Command(os.Args[0]), lines: make(chan string, 64)}
	c.cmd.Env = append(os.Environ(), crowdAt+"="+address, crowdSize+"="+strconv.Itoa(size), crowdSubs+"="+strconv.Itoa(subs), crowdStalled+"="+strconv.Itoa(stalled))
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	c.stdin = in
	go func() {
		defer close(c.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.lines <- lines.Text()
		}
	}()
	return c
}

// shown returns when the last client had read that round.
func (c *crowd) shown(b *testing.B, round int) time.Time {
	b.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case line, ok := <-c.lines:
			var n int
			var at int64
			if _, err := fmt.Sscan(line, &n, &at); !ok || err != nil {
				b.Fatalf("the crowd says %q: %v", line, err)
			}
			if n == round {
				return time.Unix(0, at)
			}
		case <-timeout:
			b.Fatalf("after a minute not all are shown %d", round)
		}
	}
}

func (c *crowd) leave(b *testing.B) {
	b.Helper()
	_ = c.stdin.Close()
	for range c.lines { // until it is gone
	}
	if err := c.cmd.Wait(); err != nil {
		b.Error("the crowd:", err)
	}
}

// crowdMain is the crowd's process.
func crowdMain(address string) int {
	size, _ := strconv.Atoi(os.Getenv(crowdSize))
	subs, _ := strconv.Atoi(os.Getenv(crowdSubs))
	stalled, _ := strconv.Atoi(os.Getenv(crowdStalled))
	g := &gathering{size: int64(size - stalled)}
	var opening sync.WaitGroup
	conns := make([]net.Conn, size)
	slots := make(chan struct{}, 64)
	for i := range conns {
		slots <- struct{}{}
		opening.Go(func() {
			defer func() { <-slots }()
			buffer := 0
			if i < stalled {
				buffer = 4 << 10
			}
			conn, r, err := join(address, subs, buffer)
			if err != nil {
				fmt.Fprintln(os.Stderr, "crowd:", err)
				os.Exit(1)
			}
			conns[i] = conn
			if i >= stalled {
				go g.read(r)
			}
		})
	}
	opening.Wait()
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is to leave
	g.left.Store(true)
	for _, c := range conns {
		_ = c.Close()
	}
	return 0
}

// join opens a stream, with a receive buffer of that size if it is not 0, and reads
// the head of its answer.
func join(address string, subs, buffer int) (net.Conn, *bufio.Reader, error) {
	conn, err := net.Dial("tcp", address)
	if err == nil && buffer > 0 {
		err = conn.(*net.TCPConn).SetReadBuffer(buffer)
	}
	if err != nil {
		return nil, nil, err
	}
	var list []string
	for i := range subs {
		list = append(list, fmt.Sprintf(`{"id":%d,"q":"rooms.list"}`, i))
	}
	if _, err := io.WriteString(conn, opens(strings.Join(list, ","))); err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(conn, 2048)
	line, err := r.ReadString('\n')
	if err == nil && !strings.Contains(line, "200") {
		err = errors.New(line)
	}
	return conn, r, err
}

func opens(subs string) string {
	body := `{"subs":[` + subs + `]}`
	return fmt.Sprintf("POST /v1/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// gathering counts what the clients of a crowd have read. A round that a client
// skips, since a newer one was there, it has been shown with the newer one.
type gathering struct {
	size int64
	left atomic.Bool
	seen [1 << 16]atomic.Int64 // clients, by round
}

func (g *gathering) read(r *bufio.Reader) {
	next := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if !g.left.Load() {
				fmt.Fprintln(os.Stderr, "crowd: a stream ended:", err)
				os.Exit(1)
			}
			return
		}
		_, rest, is := bytes.Cut(line, []byte(`"rows":[{"n":`))
		if !is {
			continue
		}
		digits, _, _ := bytes.Cut(rest, []byte(","))
		n, err := strconv.Atoi(string(digits))
		if err != nil {
			continue
		}
		for ; next <= n; next++ {
			if g.seen[next].Add(1) == g.size {
				fmt.Println(next, time.Now().UnixNano())
			}
		}
	}
}

// kilobyte is the content of a result of 1 KB, of that round.
func kilobyte(round int) string {
	text := fmt.Sprintf(`"key":["n"],"rows":[{"n":%d,"t":"`, round)
	return text + strings.Repeat("x", 1000-len(text)) + `"}]`
}

// floorWriter is the least that a server of streams can be: it holds connections
// and writes the same bytes to all of them, each core its share.
type floorWriter struct {
	listener net.Listener
	accepted sync.WaitGroup

	mu    sync.Mutex // protects the field below
	conns []net.Conn
}

func newFloorWriter(b *testing.B) *floorWriter {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f := &floorWriter{listener: l}
	f.accepted.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err = http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			}
			if err != nil {
				b.Error("floor:", err)
			}
			f.mu.Lock()
			f.conns = append(f.conns, conn)
			f.mu.Unlock()
		}
	})
	return f
}

// holds waits until there are so many.
func (f *floorWriter) holds(b *testing.B, n int) {
	b.Helper()
	eventually(b, "all are connected", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.conns) == n
	})
}

// fan writes an event to all.
func (f *floorWriter) fan(b *testing.B, event string, cores int) {
	b.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(event), event)
	var all sync.WaitGroup
	for i := range cores {
		all.Go(func() {
			for j := i; j < len(f.conns); j += cores {
				if _, err := f.conns[j].Write(chunk); err != nil {
					b.Error("floor:", err)
					return
				}
			}
		})
	}
	all.Wait()
}

func (f *floorWriter) close() {
	_ = f.listener.Close()
	f.accepted.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
}
