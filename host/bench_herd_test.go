package host_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/host/config"
	"weir/host/hosttest"
	"weir/reactor"
)

const (
	herdGroups   = 2000
	herdSessions = 10_000
	herdSubs     = 5
	herdLimits   = "plugins = \"plugins\"\n[limits]\nanonymous_sessions = 20000\nsessions = 20000\n"
)

// BenchmarkHerd is N12: a server that was started again, and clients with five
// queries each that all come back at once, in the same process. An operation is
// from the last of them to the last word of what he is shown.
func BenchmarkHerd(b *testing.B) {
	sessions := min(herdSessions, roomFor(b, 2*herdSessions)/2)
	modules := map[string][]byte{"todos.wasm": module(byList)}
	a := hosttest.Start(b, hosttest.Config{
		TOML: herdLimits, Modules: modules,
		Schema: fmt.Sprintf(`create table todos (id int primary key, list int not null, title text not null, done boolean not null default false);
			insert into todos select i, i / 5, 'todo ' || i from generate_series(0, %d) i;
			create index on todos (list)`, 5*herdGroups-1),
	})
	same := &hosttest.Database{URL: config.Secret(a.DB.As("weir", "")), Guest: config.Secret(a.DB.As("weir_guest", ""))}
	held, at := versions(b, a.URL)
	for b.Loop() {
		b.StopTimer()
		a.Stop()
		var ran, open atomic.Int64
		a = hosttest.Start(b, hosttest.Config{TOML: herdLimits, Database: same, Modules: modules, Observe: func(reactor.Run) { ran.Add(1) }})
		h := &herd{address: strings.TrimPrefix(a.URL, "http://"), told: make(chan struct{})}
		h.want.Store(int64(sessions * herdSubs))
		conns := make([]net.Conn, sessions)
		began := time.Now()
		var dialing sync.WaitGroup
		for range 64 {
			dialing.Go(func() {
				for i := open.Add(1) - 1; i < int64(sessions); i = open.Add(1) - 1 {
					conns[i] = h.join(int(i), held, at)
				}
			})
		}
		dialing.Wait()
		arrival := time.Since(began)
		b.StartTimer()
		select {
		case <-h.told:
		case <-time.After(time.Minute):
			b.Fatalf("%d of %d subscriptions were told nothing; %v", h.want.Load(), sessions*herdSubs, h.failed.Load())
		}
		b.StopTimer()
		b.ReportMetric(arrival.Seconds(), "arrival-s")
		b.ReportMetric(float64(ran.Load()), "runs")
		b.ReportMetric(100*float64(h.unchanged.Load())/float64(sessions*herdSubs), "%unchanged")
		b.ReportMetric(float64(sessions), "sessions")
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
		b.StartTimer()
	}
}

// herd is the clients that come back.
type herd struct {
	address         string
	want, unchanged atomic.Int64
	failed          atomic.Value
	told            chan struct{}
}

// join opens one stream with what its client holds, and reads it.
func (h *herd) join(i int, held []string, at string) net.Conn {
	conn, err := net.Dial("tcp", h.address)
	if err != nil {
		h.failed.Store(err.Error())
		return nil
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	var subs []string
	for n := range herdSubs {
		list := (i*herdSubs + n) % herdGroups
		subs = append(subs, fmt.Sprintf(`{"id":%d,"q":"todos.list","args":{"list":%d},"have":%q}`, n, list, held[list]))
	}
	body := fmt.Sprintf(`{"at":%q,"subs":[%s]}`, at, strings.Join(subs, ","))
	_, err = fmt.Fprintf(conn, "POST /v1/stream?delta=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if err != nil {
		h.failed.Store(err.Error())
	}
	go h.read(conn)
	return conn
}

func (h *herd) read(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 2<<10), 1<<20)
	if !lines.Scan() || !strings.Contains(lines.Text(), " 200 ") {
		h.failed.Store("answered with " + lines.Text())
		return
	}
	for lines.Scan() {
		line := lines.Bytes()
		if !bytes.HasPrefix(line, []byte(`data: {"id"`)) {
			continue
		}
		if bytes.Contains(line, []byte(`"unchanged"`)) {
			h.unchanged.Add(1)
		}
		if h.want.Add(-1) == 0 {
			close(h.told)
		}
	}
}

// versions asks for the version of every group, and the newest stamp.
func versions(b *testing.B, url string) (held []string, at string) {
	b.Helper()
	held = make([]string, herdGroups)
	for from := 0; from < herdGroups; from += 100 {
		var subs []string
		for list := from; list < from+100; list++ {
			subs = append(subs, fmt.Sprintf(`{"id":%d,"q":"todos.list","args":{"list":%d}}`, list, list))
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/stream", strings.NewReader(`{"subs":[`+strings.Join(subs, ",")+`]}`))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		in := bufio.NewReader(resp.Body)
		for n := 0; n < 100; {
			line, err := in.ReadBytes('\n')
			if err != nil && err != io.EOF || len(line) == 0 {
				b.Fatal(err)
			}
			data, is := bytes.CutPrefix(line, []byte("data: "))
			if !is || !bytes.Contains(data, []byte(`{"id":`)) || !bytes.Contains(data, []byte(`"status"`)) {
				continue
			}
			var sub struct {
				ID    int
				V, At string
			}
			if err := json.Unmarshal(data, &sub); err != nil {
				b.Fatal(err)
			}
			held[sub.ID], at = sub.V, sub.At
			n++
		}
		cancel()
		resp.Body.Close()
	}
	return held, at
}
