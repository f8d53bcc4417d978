package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/host/load"
)

// asFloor in its environment makes this binary the floor writer.
const asFloor = "WEIR_TEST_IS_FLOOR"

// floorMain is the least that a server of streams can do: it answers whatever it is
// asked with one result, and writes each line of standard input, a JSON string, to
// all streams as it is, with one write each. It knows no queries, no changes and no
// slow clients.
func floorMain() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex // protects the fields below
	var streams []int
	newest := ""
	lines := bufio.NewReader(os.Stdin)
	read := func() (event string, err error) {
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &event)
		}
		return event, err
	}
	if newest, err = read(); err != nil {
		return
	}
	fmt.Println(l.Addr())
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096)) // the request, in one piece
			fd := descriptorOf(conn)
			mu.Lock()
			writeAll(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: sub\ndata: {\"id\":1,\"q\":\"floor\",\"v\":\"\",\"status\":\"live\"}\n\n"+newest)
			streams = append(streams, fd)
			mu.Unlock()
		}
	}()
	for {
		event, err := read()
		if err != nil {
			return
		}
		text := []byte(event)
		mu.Lock()
		newest = event
		for _, fd := range streams {
			writeBytes(fd, text)
		}
		mu.Unlock()
	}
}

// floor is the floor writer in a process of its own.
type floor struct {
	url   *url.URL
	pid   int
	book  *load.Book
	size  int
	input io.WriteCloser
	cmd   *exec.Cmd
}

func startFloor(b *testing.B, size int) *floor {
	b.Helper()
	f := &floor{book: load.NewBook(1), size: size, cmd: exec.Command("/proc/self/exe")}
	f.cmd.Env = append(os.Environ(), asFloor+"=1")
	f.cmd.Stderr = os.Stderr
	input, err1 := f.cmd.StdinPipe()
	out, err2 := f.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, f.cmd.Start()); err != nil {
		b.Fatal(err)
	}
	f.input, f.pid = input, f.cmd.Process.Pid
	b.Cleanup(func() { f.input.Close(); _ = f.cmd.Wait() })
	if err := f.Write(b.Context(), 0, []load.Change{{Text: f.book.Mark(0, 0, size)}}, func() {}); err != nil {
		b.Fatal(err)
	}
	f.book.Committed(0, 0)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	f.url = &url.URL{Scheme: "http", Host: strings.TrimSpace(line)}
	return f
}

// Write is load.Writer: it makes the same frame as weir does for weir.job.
func (f *floor) Write(_ context.Context, _ int, changes []load.Change, committing func()) error {
	content := `"key":["job_id"],"rows":[{"job_id":"` + benchJob(0) + `","status":"done","progress":0,"message":"` + changes[0].Text + `","output":null,"error":null}]`
	sum := sha256.Sum256([]byte(content))
	event := `data: {"q":"floor","v":"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `",` + content + "}\n\n"
	var line bytes.Buffer
	if err := json.NewEncoder(&line).Encode(event); err != nil {
		return err
	}
	committing()
	_, err := f.input.Write(line.Bytes())
	return err
}

// measure holds sessions, writes count frames one after another, and returns memory for
// each stream and CPU for each frame.
func (f *floor) measure(b *testing.B, sessions, count int) (bytes int64, frame time.Duration) {
	b.Helper()
	before := load.UsageOf(f.pid)
	fleet, err := load.NewFleet(b.Context(), load.Config{
		URL: f.url, Query: "floor", Args: func(int) []byte { return []byte("{}") }, Sessions: sessions, Book: f.book,
	})
	if err != nil {
		b.Fatal(err)
	}
	defer fleet.Close()
	run := &benchRun{plan: benchPlan{Sessions: sessions}, target: &benchTarget{url: f.url}, fleet: fleet}
	shown := func(ctx context.Context) {
		if err := run.until(ctx, benchWait, func(st load.Standing) bool { return st.Told == st.Subscriptions && st.Behind == 0 }); err != nil {
			b.Error(err)
		}
	}
	fleet.Open()
	shown(b.Context())
	if err := pause(b.Context(), 2*time.Second); err != nil {
		b.Fatal(err)
	}
	idle := load.UsageOf(f.pid)
	fleet.Reset()
	load.Writes{Book: f.book, Writer: f, Groups: 1, Size: f.size, Count: count, Shown: shown}.Run(b.Context())
	c := fleet.Counts()
	if c.Frames != int64(sessions*count) || c.Wrong != 0 || b.Failed() {
		b.Fatalf("%d frames, want %d; %d are wrong", c.Frames, sessions*count, c.Wrong)
	}
	return (idle.RSS - before.RSS) / int64(sessions), (load.UsageOf(f.pid).CPU - idle.CPU) / time.Duration(max(c.Frames, 1))
}
