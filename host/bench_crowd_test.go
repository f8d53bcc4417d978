package host_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	process "os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowd is many clients of one server, in a process of their own: they take
// neither its file descriptors nor part in its scheduling and collection. The
// test binary itself is that process, when crowdAt is set.
type crowd struct {
	size  int
	cmd   *process.Cmd
	stdin io.Closer // the crowd leaves when it is closed
	lines chan string
}

// The environment of a crowd: the server's address and how many clients.
const (
	crowdAt   = "WEIR_BENCH_CROWD_AT"
	crowdSize = "WEIR_BENCH_CROWD_SIZE"
)

// principals is how many users a crowd's streams belong to, in equal parts.
const principals = 100

// spare is how many file descriptors a process has beside its streams.
const spare = 500

// roomFor returns how many streams of n two processes may hold, one end each, and
// raises the limit of file descriptors for it if it may.
func roomFor(b *testing.B, n int) int {
	b.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		b.Fatal(err)
	}
	if want := uint64(n + spare); l.Cur < want {
		raised := syscall.Rlimit{Cur: want, Max: max(l.Max, want)}
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			l = raised
		}
	}
	return min(n, int(min(l.Cur, 1<<20))-spare)
}

// gather opens a crowd's streams and returns when the server has begun to answer
// all of them. It ends with the benchmark, if it was not left before.
func gather(b *testing.B, address string, size int) *crowd {
	b.Helper()
	c := &crowd{size: size, lines: make(chan string, 16)}
	c.cmd = process.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), crowdAt+"="+address, crowdSize+"="+strconv.Itoa(size))
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
	b.Cleanup(func() { c.leave(b) })
	c.wait(b, "open")
	return c
}

// leave ends the crowd. It may be called twice.
func (c *crowd) leave(b *testing.B) {
	if c.stdin == nil {
		return
	}
	_ = c.stdin.Close()
	c.stdin = nil
	for range c.lines { // until it is gone
	}
	if err := c.cmd.Wait(); err != nil {
		b.Error("the crowd:", err)
	}
}

// told is what a crowd says when all of it was told something.
type told struct {
	first, last time.Time // when the first and the last of them had read it
	bytes       int       // of the event
	overtakes   int       // frames that none of them should have seen, so far
}

// wait returns when all have been told.
func (c *crowd) wait(b *testing.B, what string) told {
	b.Helper()
	select {
	case line, ok := <-c.lines:
		word, rest, _ := strings.Cut(line, " ")
		if !ok || word != what {
			b.Fatalf("the crowd says %q, want %s", line, what)
		}
		var t told
		var first, last int64
		if _, err := fmt.Sscan(rest, &first, &last, &t.bytes, &t.overtakes); err != nil {
			b.Fatal(line, err)
		}
		t.first, t.last = time.Unix(0, first), time.Unix(0, last)
		return t
	case <-time.After(time.Minute):
		b.Fatalf("after a minute not all of %d streams are %s", c.size, what)
	}
	return told{}
}

// gathering is a crowd from within its process.
type gathering struct {
	address string
	size    int64

	open, shown, denied tally
	overtakes           atomic.Int64
}

// tally counts those who have been told, and says when it was all of them. All
// are told again only after that.
type tally struct {
	n     atomic.Int64
	first atomic.Int64
}

func (g *gathering) count(t *tally, what string, bytes int) {
	now := time.Now().UnixNano()
	switch n := t.n.Add(1); {
	case n%g.size == 1:
		t.first.Store(now)
		fallthrough
	default:
		if n%g.size == 0 {
			fmt.Println(what, t.first.Load(), now, bytes, g.overtakes.Load())
		}
	}
}

// crowdMain is the life of a crowd's process, and its exit code.
func crowdMain() int {
	size, err := strconv.ParseInt(os.Getenv(crowdSize), 10, 64)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	g := &gathering{address: os.Getenv(crowdAt), size: size}
	var next atomic.Int64
	for range 32 {
		go func() {
			for i := next.Add(1) - 1; i < size; i = next.Add(1) - 1 {
				if err := g.join(i); err != nil {
					fmt.Println("lost", err)
				}
			}
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// join opens one stream and begins to read it.
func (g *gathering) join(i int64) error {
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		return err
	}
	_ = conn.(*net.TCPConn).SetLinger(0) // no ports that wait when the crowd has left
	body := `{"subs":[{"id":1,"q":"notes.list","args":{"room":1}}]}`
	_, err = fmt.Fprintf(conn, "POST /v1/stream?as=user%d HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		i%principals, len(body), body)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 2<<10), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	g.count(&g.open, "open", 0)
	go func() { fmt.Println("lost", g.read(resp.Body)) }()
	return nil
}

// read reads a stream. A note's number says what it is, see revocation: no clock
// is needed to tell that a frame has overtaken a revocation.
func (g *gathering) read(body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 2<<10), 1<<20)
	dark, top, kind, size := true, int64(-1), "", 0
	for lines.Scan() {
		line := lines.Bytes()
		size += len(line) + 1
		switch {
		case len(line) == 0:
			kind, size = "", 0
		case line[0] == 'e':
			kind = string(line[len("event: "):])
		case line[0] != 'd':
		case kind == "":
			now := newest(line)
			if forbidden(now) || dark && now <= top {
				g.overtakes.Add(1)
				fmt.Fprintf(os.Stderr, "note %d was shown, after note %d, denied %v\n", now, top, dark)
			}
			top = max(top, now)
			if dark {
				dark = false
				g.count(&g.shown, "shown", size+1)
			}
		case kind == "sub" && strings.Contains(string(line), `"status":"denied"`):
			if dark {
				return fmt.Errorf("told twice: %s", line)
			}
			dark = true
			g.count(&g.denied, "denied", size+1)
		}
	}
	return errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}

// newest returns the number of the first note of a result, the newest one.
func newest(line []byte) (n int64) {
	_, rest, found := bytes.Cut(line, []byte(`"seq":`))
	if !found {
		return -1
	}
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// floorWriter is the least that a server of streams can be: it holds connections
// and writes the same bytes to all of them, each core its share.
type floorWriter struct {
	listener net.Listener
	mu       sync.Mutex // protects the field below
	conns    []net.Conn
}

// newFloorWriter listens. It ends with the benchmark, if it was not closed before.
func newFloorWriter(b *testing.B) *floorWriter {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f := &floorWriter{listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.answer(b, conn)
		}
	}()
	b.Cleanup(f.close)
	return f
}

// answer reads the request and writes the headers of a stream.
func (f *floorWriter) answer(b *testing.B, conn net.Conn) {
	_, err := http.ReadRequest(bufio.NewReader(conn))
	if err == nil {
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		f.mu.Unlock()
		_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	}
	if err != nil {
		b.Error("floor:", err)
	}
}

func (f *floorWriter) close() {
	_ = f.listener.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
	f.conns = nil
}

// fan writes an event to all.
func (f *floorWriter) fan(b *testing.B, event string, shards int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(event), event)
	var all sync.WaitGroup
	for i := range shards {
		all.Go(func() {
			for j := i; j < len(f.conns); j += shards {
				if _, err := f.conns[j].Write(chunk); err != nil {
					b.Error("floor:", err)
					return
				}
			}
		})
	}
	all.Wait()
}
