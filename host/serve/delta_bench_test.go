package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/reactor"
)

// cpu is what this process has used, readers included.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOneRowOfFifty: a list of 50 rows in which one changes, 1 000 clients who
// watch it, with deltas and without. An operation is one change that has reached
// all of them; the processor's time is that of server and readers together.
func BenchmarkOneRowOfFifty(b *testing.B) {
	const watchers = 1000
	for _, mode := range []string{"full", "delta"} {
		b.Run(mode, func(b *testing.B) {
			var wrote atomic.Int64
			all := make(chan struct{}, 1)
			f := newFixture(b, func(c *Config) {
				c.Wrote = func(string, reactor.Version, time.Time) {
					if wrote.Add(1)%watchers == 0 {
						all <- struct{}{}
					}
				}
			})
			rows := make([]string, 50)
			for i := range rows {
				rows[i] = fmt.Sprintf(`{"id":%d,"author":"somebody","body":"%s","sent_at":"2026-01-02T03:04:05.678901Z"}`, i, strings.Repeat("words ", 15))
			}
			change := func(n int) {
				rows[n%50] = fmt.Sprintf(`{"id":%d,"author":"somebody","body":"%s %d","sent_at":"2026-01-02T03:04:05.678901Z"}`, n%50, strings.Repeat("words ", 15), n)
				f.backend.set("rooms.list", `"key":["id"],"rows":[`+strings.Join(rows, ",")+`]`)
			}
			change(0)
			path := "/v1/stream"
			if mode == "delta" {
				path += "?delta=1"
			}
			for range watchers {
				readAll(b, f.url, path)
			}
			<-all
			for n := 1; n <= 3; n++ { // until all have what deltas lead from
				change(n)
				<-all
			}
			sent, used := f.server.stats.frameBytes.Load(), cpu(b)
			b.ResetTimer()
			n := 3
			for b.Loop() {
				n++
				change(n)
				<-all
			}
			deliveries := float64(b.N) * watchers
			b.ReportMetric(float64(f.server.stats.frameBytes.Load()-sent)/deliveries, "B/delivery")
			b.ReportMetric(float64((cpu(b)-used).Nanoseconds())/deliveries/1000, "µs-cpu/delivery")
		})
	}
}

// readAll opens a stream of the list and reads it until the end of the test.
func readAll(b *testing.B, url, path string) {
	b.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	const body = `{"subs":[{"id":1,"q":"rooms.list"}]}`
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body); err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReaderSize(conn, 16<<10)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatal(resp, err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
}
