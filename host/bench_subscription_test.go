package host_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// BenchmarkSubscription is the last part of N9 on the host's own path: what a
// further subscription of a session holds, with and without a policy, its group
// being there. It is the heap after a collection; the clients are sockets that
// nobody reads from meanwhile.
func BenchmarkSubscription(b *testing.B) {
	open := rule{"open", `select 1 from members where room = $room`}
	for _, policies := range [][]rule{nil, {open}} {
		b.Run(fmt.Sprintf("policies=%d", len(policies)), func(b *testing.B) {
			s := hosttest.Start(b, hosttest.Config{
				Schema:  club + `insert into members select i, 'x' from generate_series(2, 100) i;`,
				Modules: map[string][]byte{"club.wasm": openTo(policies)},
			})
			const sessions, few, many = 200, 1, 41
			hold := func(subs int) (heap float64) {
				conns := make([]net.Conn, sessions)
				for i := range conns {
					conns[i] = subscribed(b, s.URL, fmt.Sprintf("user%d", i), subs)
				}
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				for _, c := range conns {
					c.Close()
				}
				noSessions(b, s)
				return float64(m.HeapAlloc)
			}
			hold(many) // caches
			var each []float64
			for b.Loop() {
				one := hold(few)
				each = append(each, (hold(many)-one)/(many-few)/sessions)
			}
			b.ReportMetric(0, "ns/op")
			slices.Sort(each)
			b.ReportMetric(each[len(each)/2], "B/subscription")
		})
	}
}

// noSessions waits until all sessions have ended.
func noSessions(b *testing.B, s *hosttest.Server) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ended := false; !ended; <-tick.C {
		resp, err := http.Get(s.Admin + "/metrics")
		if err != nil {
			b.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		ended = bytes.Contains(text, []byte("\nweir_serve_sessions 0\n")) && bytes.Contains(text, []byte("\nweir_reactor_subscriptions 0\n"))
	}
}

// openTo is a plugin of notes.list behind rules, or for everybody.
func openTo(rules []rule) []byte {
	if len(rules) > 0 {
		return behind(rules...)
	}
	list := public("notes.list")
	list.Statement, list.Fields = new(int), []abi.Field{{Name: "room", Schema: abi.Schema{Type: "integer"}}}
	return guest("club", abi.Manifest{
		Statements: []abi.Statement{{SQL: `select seq, body from notes where room = $room order by seq desc limit 20`, Key: []string{"seq"}}},
		Functions:  []abi.Function{list},
	}, nil, wasmtest.Unreachable())
}

// subscribed opens a session with so many subscriptions and returns when all were
// told.
func subscribed(b *testing.B, url, as string, subs int) net.Conn {
	b.Helper()
	address := strings.TrimPrefix(url, "http://")
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	var list []string
	for i := range subs {
		list = append(list, fmt.Sprintf(`{"id":%d,"q":"notes.list","args":{"room":%d}}`, i+1, i+1))
	}
	body := `{"subs":[` + strings.Join(list, ",") + `]}`
	_, err = fmt.Fprintf(c, "POST /v1/stream?as=%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", as, address, len(body), body)
	if err != nil {
		b.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	var seen []byte
	for buf := make([]byte, 64<<10); bytes.Count(seen, []byte("event: sub\n")) < subs; {
		n, err := c.Read(buf)
		if err != nil {
			b.Fatalf("%v after %s", err, seen)
		}
		seen = append(seen, buf[:n]...)
	}
	return c
}
