package serve

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var benchWriters = []Writer{WriterGoroutine, WriterShard}

// benchServer is a server on a listener of its own, without a limit of streams.
func benchServer(b *testing.B, writer Writer, change func(*Config)) *fixture {
	b.Helper()
	f := newParts(b, func(c *Config) {
		c.Writer, c.Logger = writer, nil
		c.Tenant = limited(func(l *limits) { l.MaxAnonymousSessions, l.MaxSessions = -1, -1 })
		if change != nil {
			change(c)
		}
	})
	f.backend.set("rooms.list", kilobyte(0))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f.url = l.Addr().String()
	ran := make(chan error, 1)
	go func() { ran <- f.server.Run(b.Context(), l) }() // the context ends before the clean-up
	b.Cleanup(func() {
		if err := <-ran; err != nil {
			b.Error(err)
		}
		f.backend.close()
	})
	return f
}

// rss is this process's resident memory, in bytes.
func rss(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	var size, resident float64
	if err == nil {
		_, err = fmt.Sscan(string(text), &size, &resident)
	}
	if err != nil {
		b.Fatal(err)
	}
	return resident * float64(os.Getpagesize())
}

// settled is it when the collector has given back what it can.
func settled(b *testing.B) float64 {
	b.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	return rss(b)
}

// BenchmarkIdleStream is N9: resident memory of an idle stream with one
// subscription, and of each further one, with the clients in another process.
// KB/stream is once the collector has run and given memory back; grown-KB/stream
// is as it stands after opening, with the garbage of the requests. The reactor and
// its subscriptions are in it; the kernel's socket is not.
func BenchmarkIdleStream(b *testing.B) {
	for _, writer := range benchWriters {
		b.Run(string(writer), func(b *testing.B) {
			n := roomFor(b, 10_000)
			f := benchServer(b, writer, nil)
			f.backend.silent = true
			open := func(size, subs int) (grown, kept float64) {
				c := gather(b, f.url, size, subs)
				c.shown(b, 0)
				eventually(b, "all is told", func() bool { return f.server.Stats().Subscriptions == size*subs })
				grown = rss(b)
				kept = settled(b)
				c.leave(b)
				eventually(b, "all have left", func() bool { return f.server.Stats().Sessions == 0 && f.backend.reactor.Stats().Subscriptions <= 0 })
				return grown, kept
			}
			const part, more = 10, 80 // the fewer sessions have so many more each
			open(100, 1)              // what the first one costs
			var one, grown, further []float64
			for b.Loop() {
				none := settled(b)
				g, k := open(n, 1)
				grown = append(grown, (g-none)/float64(n))
				one = append(one, (k-none)/float64(n))
				none = settled(b)
				_, k = open(n/part, 1+more)
				further = append(further, ((k-none)/float64(n/part)-one[len(one)-1])/more)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(n), "streams")
			b.ReportMetric(middle(one)/1e3, "KB/stream")
			b.ReportMetric(middle(grown)/1e3, "grown-KB/stream")
			b.ReportMetric(middle(further), "B/subscription")
		})
	}
}

func middle(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// used is what this process has computed, in the kernel and outside.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDeliver is N10, and the way of N8's last stream without its policies: a
// result of 1 KB to all streams of one group, again when all have read it. The
// floor writer sends as many bytes to as many connections before and after.
// last-ms is from the change until the last client has read it.
func BenchmarkDeliver(b *testing.B) {
	for _, writer := range benchWriters {
		b.Run(string(writer), func(b *testing.B) {
			n := roomFor(b, 10_000)
			const rounds = 8
			var cpu, last, floorCPU, floorLast []float64
			floor := func() {
				f := newFloorWriter(b)
				c := gather(b, f.listener.Addr().String(), n, 1)
				f.holds(b, n)
				event := func(round int) string {
					return "event: sub\ndata: " + strings.Repeat("x", 130) + "\n\ndata: {\"q\":\"" + strings.Repeat("x", 50) + `",` + kilobyte(round) + "}\n\n"
				}
				for i := range rounds {
					began, before := time.Now(), used(b)
					f.fan(b, event(i), runtime.GOMAXPROCS(0))
					took := c.shown(b, i).Sub(began)
					if i > 0 { // the first one finds everything cold
						floorCPU, floorLast = append(floorCPU, float64(used(b)-before)/1e3/float64(n)), append(floorLast, took.Seconds()*1e3)
					}
				}
				c.leave(b)
				f.close()
			}
			floor()
			f := benchServer(b, writer, nil)
			c := gather(b, f.url, n, 1)
			c.shown(b, 0)
			eventually(b, "all frames are counted", func() bool { return f.server.Stats().Frames == uint64(n) })
			frames, round := uint64(n), 0
			for b.Loop() {
				for range rounds {
					round++
					began, before := time.Now(), used(b)
					f.backend.set("rooms.list", kilobyte(round))
					took := c.shown(b, round).Sub(began)
					if round > 1 {
						cpu, last = append(cpu, float64(used(b)-before)/1e3/float64(n)), append(last, took.Seconds()*1e3)
					}
				}
			}
			// The last client may have read its frame before it was counted.
			eventually(b, "each frame is written once", func() bool { return f.server.Stats().Frames-frames == uint64(round*n) })
			c.leave(b)
			floor()
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(n), "streams")
			b.ReportMetric(middle(cpu), "cpu-µs/frame")
			b.ReportMetric(middle(floorCPU), "floor-cpu-µs/frame")
			b.ReportMetric(middle(cpu)/middle(floorCPU), "cpu-ratio")
			b.ReportMetric(middle(last), "last-ms")
			b.ReportMetric(middle(floorLast), "floor-last-ms")
			b.ReportMetric(middle(last)/middle(floorLast), "last-ratio")
		})
	}
}

// BenchmarkTick is the second half of N10: 100 changes a second to 500 streams of
// one group, each of which shows the newest, with the tick and without it. CPU is
// for each change and stream, whether or not it was skipped.
func BenchmarkTick(b *testing.B) {
	const n, changes, gap = 500, 200, 10 * time.Millisecond
	var off float64
	for _, mode := range []string{"off", "on"} {
		b.Run(mode, func(b *testing.B) {
			f := benchServer(b, WriterShard, func(c *Config) {
				if mode == "off" {
					c.MaxTick = -1
				}
			})
			c := gather(b, f.url, n, 1)
			c.shown(b, 0)
			round, writes := 0, 0.0
			var cpu []float64
			for b.Loop() {
				pace := time.NewTicker(gap)
				before, frames := used(b), f.server.Stats().Frames
				for range changes {
					<-pace.C
					round++
					f.backend.set("rooms.list", kilobyte(round))
				}
				pace.Stop()
				c.shown(b, round)
				cpu = append(cpu, float64(used(b)-before)/1e3/n/changes)
				writes = float64(f.server.Stats().Frames-frames) / n / changes
			}
			c.leave(b)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(middle(cpu), "cpu-µs/change")
			b.ReportMetric(writes, "writes/change")
			if mode == "off" {
				off = middle(cpu)
			} else {
				b.ReportMetric(middle(cpu)/off, "ratio")
			}
		})
	}
}

// BenchmarkStalled is N13: 60 changes a second of a result of 17 KB to 200 streams,
// of which none or every fifth is never read. It is from the change until the last of
// those that read has it; the tick is off, so that nothing but the stalled ones
// can make them wait.
func BenchmarkStalled(b *testing.B) {
	const n, changes, gap = 200, 200, time.Second / 60
	for _, writer := range benchWriters {
		var without float64
		for _, stalled := range []int{0, n / 5} {
			b.Run(fmt.Sprintf("%s/stalled=%d", writer, stalled), func(b *testing.B) {
				f := benchServer(b, writer, func(c *Config) { c.MaxTick = -1 })
				c := gatherStalled(b, f.url, n, 1, stalled)
				c.shown(b, 0)
				round := 0
				var waits []float64
				for b.Loop() {
					pace := time.NewTicker(gap)
					for range changes {
						<-pace.C
						round++
						began := time.Now()
						f.backend.set("rooms.list", strings.Replace(kilobyte(round), "x", strings.Repeat("x", 16<<10), 1))
						waits = append(waits, c.shown(b, round).Sub(began).Seconds()*1e3)
					}
					pace.Stop()
				}
				c.leave(b)
				slices.Sort(waits)
				p99 := waits[len(waits)*99/100]
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(waits[len(waits)/2], "p50-ms")
				b.ReportMetric(p99, "p99-ms")
				b.ReportMetric(float64(f.server.Stats().PinnedBytes), "pinned-B")
				if stalled == 0 {
					without = p99
				} else {
					b.ReportMetric(p99/without, "p99-ratio")
				}
			})
		}
	}
}

// BenchmarkPinned is N23: 600 clients that stop reading in a result of 4 MiB, twenty
// in each of thirty versions of it. Pinned-MiB is the most that superseded versions
// held, heap-MiB what the process holds at the end beyond what it had.
func BenchmarkPinned(b *testing.B) {
	const versions, each, size = 30, 20, 4 << 20
	for _, writer := range benchWriters {
		b.Run(string(writer), func(b *testing.B) {
			f := benchServer(b, writer, nil)
			big := func(round int) string {
				return strings.Replace(kilobyte(round), "x", strings.Repeat("x", size), 1)
			}
			live := func() float64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				return float64(m.HeapAlloc)
			}
			var pinned, heap, closed float64
			for b.Loop() {
				f.backend.set("rooms.list", big(0))
				before := live()
				var conns []net.Conn
				for round := range versions {
					f.backend.set("rooms.list", big(round+1))
					for range each {
						conn, _, err := join(f.url, 1, 4<<10)
						if err != nil {
							b.Fatal(err)
						}
						conns = append(conns, conn)
					}
					eventually(b, "all of the round stand in its frame", func() bool { return f.writingBig(each) })
					pinned = max(pinned, float64(f.server.Stats().PinnedBytes))
				}
				f.backend.set("rooms.list", kilobyte(0))
				eventually(b, "the superseded are looked at", func() bool {
					pinned = max(pinned, float64(f.server.Stats().PinnedBytes))
					return f.server.Stats().PinnedBytes <= f.server.cfg.Limits.MaxPinnedBytes
				})
				heap = max(heap, live()-before)
				closed = float64(f.server.Stats().Closes[string(slowCode)])
				for _, conn := range conns {
					_ = conn.Close()
				}
				eventually(b, "all have left", func() bool { return f.server.Stats().Sessions == 0 })
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(pinned/(1<<20), "pinned-MiB")
			b.ReportMetric(heap/(1<<20), "heap-MiB")
			b.ReportMetric(closed, "closed")
		})
	}
}

// writingBig reports whether at least n sessions are in the middle of the newest
// frame.
func (f *fixture) writingBig(n int) bool {
	for _, s := range f.server.sessions.all() {
		if p := s.writing.Load(); p != nil {
			if st := p.pub.State(); st != nil && st.Frame == p.frame {
				n--
			}
		}
	}
	return n <= 0
}
