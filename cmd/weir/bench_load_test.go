package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/host/load"
)

// benchTargetOf starts what weir bench starts for a plan.
func benchTargetOf(t *testing.T, plan benchPlan) *benchTarget {
	t.Helper()
	m := &Main{Getenv: environment, Stdout: io.Discard, Stderr: io.Discard}
	target, err := m.benchTarget(t.Context(), benchFlags{plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cluster, server, dir := target.own.cluster, target.own.server, target.own.dir
		if err := target.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); cluster.PID() != 0 || server != nil && server.cmd.ProcessState == nil || err == nil {
			t.Error("something that was started is still there")
		}
	})
	return target
}

// tap is the independent client: it stands between fleet and server, on sockets of
// its own, and looks for marks in the bytes as they come. It knows nothing of frames,
// queries or deltas.
type tap struct {
	listener net.Listener
	server   string
	all      sync.WaitGroup

	mu    sync.Mutex // protects the fields below
	bytes int64
	marks []tapMark
}

type tapMark struct {
	group, n int
	at       time.Time
}

var markPattern = regexp.MustCompile(`weir-bench:[0-9a-f]{8}:([0-9]+):([0-9]+):`)

func newTap(t *testing.T, server string) *tap {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: l, server: server}
	p.all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			if err != nil {
				near.Close()
				continue
			}
			p.all.Go(func() { _, _ = io.Copy(far, near); far.Close() })
			p.all.Go(func() { p.read(far, near); near.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); p.all.Wait() })
	return p
}

func (p *tap) read(from io.Reader, to io.Writer) {
	var tail []byte // what may be the beginning of a mark
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		now := time.Now()
		tail = append(tail, buf[:n]...)
		p.mu.Lock()
		p.bytes += int64(n)
		for found := markPattern.FindSubmatchIndex(tail); found != nil; found = markPattern.FindSubmatchIndex(tail) {
			group, _ := strconv.Atoi(string(tail[found[2]:found[3]]))
			number, _ := strconv.Atoi(string(tail[found[4]:found[5]]))
			p.marks = append(p.marks, tapMark{group, number, now})
			tail = tail[found[1]:]
		}
		p.mu.Unlock()
		tail = bytes.Clone(tail[max(0, len(tail)-64):])
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// caughtUp waits until every subscription shows what was committed last.
func caughtUp(ctx context.Context, f *load.Fleet) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if st := f.Standing(); st.Told == st.Subscriptions && st.Behind == 0 {
			return
		}
		<-tick.C
	}
}

// TestBenchAgreesWithAnIndependentClient: on the same run, a client that only looks
// for marks in raw bytes counts the same frames and bytes, and sees each of them
// before the fleet does, which sees it before the next is written. So each latency
// of the fleet lies between two that it has no part in.
func TestBenchAgreesWithAnIndependentClient(t *testing.T) {
	t.Parallel()
	const sessions, subs, groups, commits = 12, 3, 6, 40
	target := benchTargetOf(t, benchPlan{Mode: "latency", Sessions: sessions, Subscriptions: subs, Groups: groups, Size: 200, Writers: 1})
	p := newTap(t, target.url.Host)
	through := *target.url
	through.Host = p.listener.Addr().String()
	var mu sync.Mutex
	var seen []tapMark
	f, err := load.NewFleet(t.Context(), load.Config{
		URL: &through, Token: target.client.token, Query: target.query, Args: target.args, Book: target.book,
		Sessions: sessions, Subscriptions: subs,
		Seen: func(_, group, n int) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, tapMark{group, n, time.Now()})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Open()
	caughtUp(t.Context(), f)
	written := load.Writes{
		Book: target.book, Writer: target, Groups: groups, Size: 200, Count: commits,
		Shown: func(ctx context.Context) { caughtUp(ctx, f) },
	}.Run(t.Context())
	if written.Done != commits || written.Err != nil {
		t.Fatalf("%+v", written)
	}
	counts := f.Counts()

	p.mu.Lock()
	defer p.mu.Unlock()
	mu.Lock()
	defer mu.Unlock()
	each := sessions * subs / groups // watchers of a group
	if want := int64(sessions*subs + commits*each); counts.Frames != want || int64(len(p.marks)) != want || int64(len(seen)) != want {
		t.Errorf("%d frames, the independent client saw %d marks, %d were told: want %d each", counts.Frames, len(p.marks), len(seen), want)
	}
	if counts.Bytes != p.bytes {
		t.Errorf("%d bytes, the independent client read %d", counts.Bytes, p.bytes)
	}
	if counts.Back != 0 || counts.Wrong != 0 || counts.Latency.Count() != int64(commits*each) {
		t.Errorf("%d went back, %d wrong, %d latencies, want %d", counts.Back, counts.Wrong, counts.Latency.Count(), commits*each)
	}
	least, most := latencies(target.book, p.marks), latencies(target.book, seen)
	for _, q := range []float64{0, 0.5, 0.9, 0.99} {
		i := min(int(q*float64(len(least))), len(least)-1)
		got := counts.Latency.Quantile(q)
		if got < least[i] || float64(got) > 1.02*float64(most[i]) {
			t.Errorf("p%g is %s, the independent client saw it after %s, and the last that looked after %s", 100*q, got, least[i], most[i])
		}
	}
}

// latencies are those of marks, in order.
func latencies(book *load.Book, marks []tapMark) (list []time.Duration) {
	for _, m := range marks {
		if begun := book.Begun(m.group, m.n); !begun.IsZero() {
			list = append(list, m.at.Sub(begun))
		}
	}
	slices.Sort(list)
	return list
}

func TestBenchReportsEachMode(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"latency", "--sessions", "20", "--groups", "10", "--each", "2"},
		{"idle", "--sessions", "20"},
		{"fanout", "--sessions", "20", "--count", "5"},
		{"mixed", "--sessions", "20", "--groups", "40"},
		{"herd", "--sessions", "20", "--groups", "10"},
		{"stalled", "--sessions", "20"},
	} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			out := weir(t, t.TempDir(), append([]string{"bench", "--json", "--duration", "500ms", "--settle", "0s"}, args...)...).must(t)
			var r benchReport
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatal(err)
			}
			if r.Plan.Mode != args[0] || r.Missing+r.Stale+r.Stored+r.Differ != 0 || r.Back+r.Wrong != 0 || r.Subscriptions == 0 || r.Asked == 0 || r.RSSIdle == 0 {
				t.Errorf("%s", out)
			}
			if args[0] == "herd" && (r.Reconnects != 20 || r.HerdUnchanged != 1 || r.Connections == 0) {
				t.Errorf("%s", out)
			}
			if args[0] != "herd" && args[0] != "idle" && (r.Latencies == 0 || r.Transactions == 0 || r.Frames == 0) {
				t.Errorf("%s", out)
			}
		})
	}
}

// TestBenchSaysWhatIsWrong: one sentence with the next step, before a load is made.
func TestBenchSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	target := benchTargetOf(t, benchPlan{Sessions: 4, Subscriptions: 1, Groups: 4, Size: 100, Writers: 1})
	o := target.own
	bench := func(change map[string]string, more ...string) outcome {
		flags := map[string]string{
			"--url": target.client.base, "--token": target.client.token, "--query": "weir.job",
			"--args":     `{"job_id":"00000000-0000-4000-8000-00000000000{group}"}`,
			"--database": o.cluster.URL(o.database), "--sessions": "4", "--groups": "4", "--duration": "300ms", "--settle": "0s",
			"--write-sql": `update weir.jobs set message = $2 where job_id = ('00000000-0000-4000-8000-00000000000' || $1)::uuid`,
		}
		args := append([]string{"bench", "latency"}, more...)
		for name, value := range flags {
			if other, ok := change[name]; ok {
				value = other
			}
			if value != "" {
				args = append(args, name, value)
			}
		}
		return weirWith(t, &Main{Dir: t.TempDir(), Args: append(args, "--json")})
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()

	bench(nil).must(t) // a server of one's own, as it should be
	bench(map[string]string{"--url": "http://" + closed.Addr().String()}).fails(t, exitFailed, "nobody listens at")
	bench(map[string]string{"--token": "no.such.token"}).fails(t, exitFailed, "token")
	bench(map[string]string{"--query": "weir.jobs"}).fails(t, exitFailed, "did you mean", "weir.job")
	bench(map[string]string{"--args": `{"job":"1"}`}).fails(t, exitFailed, "job_id")
	bench(map[string]string{"--database": o.cluster.UserURL(guestRole, o.database)}).fails(t, exitFailed, "the first write was refused", "permission denied")
	bench(map[string]string{"--write-sql": `update weir.jobs set message = $2 where kind = $1`}).fails(t, exitFailed, "changed no row for group")
	bench(map[string]string{"--write-sql": ""}).fails(t, exitUsage, "--write-sql")
	bench(map[string]string{"--url": "http://192.0.2.1:8090"}).fails(t, exitUsage, "--host 192.0.2.1 --other-machine")
	bench(map[string]string{"--sessions": "300000"}).fails(t, exitUsage, "at most", "--sessions")
	weir(t, t.TempDir(), "bench", "lots").fails(t, exitUsage, "latency, idle, fanout")
	weir(t, t.TempDir(), "bench", "idle", "--query", "x").fails(t, exitUsage, "--url")
}

// TestBenchCountsWhatIsStale: a result that never arrives is told, and fails the run.
func TestBenchCountsWhatIsStale(t *testing.T) {
	t.Parallel()
	r := &benchReport{Stale: 3}
	if err := r.verdict(); err == nil {
		t.Error("three stale subscriptions are no error")
	}
	if err := (&benchReport{}).verdict(); err != nil {
		t.Error(err)
	}
}
