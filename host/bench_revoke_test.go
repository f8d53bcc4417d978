package host_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/auth"
	"weir/host/hosttest"
	"weir/host/serve"
	"weir/host/tenant"
	"weir/reactor"
)

// BenchmarkRevoke is N8: ten thousand streams of one group, a hundred for each of
// a hundred members of an org, whose one row lets all of them in. A transaction
// deletes the row and writes a note that they must not see; another note follows
// at once. Then the org is let in again, and all have the full result back.
//
// Times are from just before the commit is sent. The fence is shut when the last
// of the hundred decisions is a denial, and no stream may be handed a frame any
// more. The floor writer, which writes as many bytes to as many connections of
// the same clients, is measured before and after, in the same run.
func BenchmarkRevoke(b *testing.B) {
	n := roomFor(b, 10_000)
	s := newRevocation(b)
	s.crowd = gather(b, s.address, principals) // what an event is, and a plugin that is warm
	s.crowd.wait(b, "shown")
	size := s.round(b, false).bytes
	s.crowd.leave(b)

	floor, floorCPU := floorFan(b, n, size)
	s.crowd = gather(b, s.address, n)
	s.crowd.wait(b, "shown")
	var quiet, busy []round
	for b.Loop() {
		quiet = append(quiet, s.round(b, false))
		if len(quiet)%4 == 0 {
			busy = append(busy, s.round(b, true))
		}
	}
	overtakes := s.shown.overtakes
	s.crowd.leave(b)
	after, afterCPU := floorFan(b, n, size)
	floor, floorCPU = append(floor, after...), append(floorCPU, afterCPU...)
	slices.Sort(floor)
	slices.Sort(floorCPU)

	of := func(list []round, f func(round) time.Duration, part float64) float64 {
		var d []time.Duration
		for _, r := range list {
			d = append(d, f(r))
		}
		slices.Sort(d)
		return d[min(len(d)-1, int(float64(len(d))*part))].Seconds() * 1e3
	}
	fence := func(r round) time.Duration { return r.fence }
	last := func(r round) time.Duration { return r.last }
	least := floor[len(floor)/2].Seconds() * 1e3
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n), "streams")
	b.ReportMetric(of(quiet, fence, 0.5), "fence-p50-ms")
	b.ReportMetric(of(quiet, fence, 0.99), "fence-p99-ms")
	b.ReportMetric(of(quiet, func(r round) time.Duration { return r.first }, 0.5), "first-ms")
	b.ReportMetric(of(quiet, last, 0.5), "last-ms")
	b.ReportMetric(least, "floor-ms")
	b.ReportMetric(of(quiet, last, 0.5)/least, "ratio")
	b.ReportMetric(of(quiet, func(r round) time.Duration { return r.back }, 0.5), "back-ms")
	b.ReportMetric(of(quiet, func(r round) time.Duration { return r.cpu }, 0.5)*1e3/float64(n), "cpu-µs/stream")
	b.ReportMetric(floorCPU[len(floorCPU)/2].Seconds()*1e6/float64(n), "floor-cpu-µs/stream")
	b.ReportMetric(float64(overtakes), "overtakes")
	if len(busy) > 0 {
		b.ReportMetric(of(busy, fence, 0.99), "busy-fence-p99-ms")
		b.ReportMetric(of(busy, last, 0.5), "busy-last-ms")
	}
}

// Notes are numbered in fours: one comes with the grant and one later in the
// light, the next with the revocation and the last in the dark.
const (
	withGrant int64 = iota
	inLight
	withRevocation
	inDark
	kinds
)

// forbidden reports whether a result whose newest note this is was nobody's to see.
func forbidden(top int64) bool { return top%kinds >= withRevocation }

// revocation is a host with a list behind a membership.
type revocation struct {
	address string
	crowd   *crowd
	shown   told // what the crowd said last, when it was let in

	host         *hosttest.Server
	writer, late *pgx.Conn
	era          int64                         // rounds so far
	left         atomic.Int64                  // decisions that are not denials yet
	shut         chan time.Time                // when none was left
	inside       atomic.Pointer[[]*serve.Live] // subscriptions of each principal that must be denied then
}

func newRevocation(b *testing.B) *revocation {
	b.Helper()
	s := &revocation{shut: make(chan time.Time, 1)}
	s.host = hosttest.Start(b, hosttest.Config{
		TOML: "plugins = \"plugins\"\nlimits = { principal_sessions = 1000, principal_subscriptions = 1000 }\n",
		Schema: `create table notes (seq bigint primary key, room int not null, body text not null);
			create table users (user_id text primary key, org text not null);
			create table members (room int not null, org text not null, primary key (room, org));
			insert into notes values (0, 1, 'first');
			insert into users select 'user' || i, 'acme' from generate_series(0, 999) i;
			insert into members values (1, 'acme');`,
		Modules: map[string][]byte{"club.wasm": behind(rule{
			"member",
			`select 1 from users u join members m on m.org = u.org where m.room = $room and u.user_id = $me`,
		})},
		Observe: s.observe,
	})
	s.address = strings.TrimPrefix(s.host.URL, "http://")
	s.writer, s.late = s.host.DB.Conn(b), s.host.DB.Conn(b)
	return s
}

// observe is called by the reactor's loop, when the answer is public and nobody
// was told of it.
func (s *revocation) observe(run reactor.Run) {
	if !run.Policy || run.Answer != reactor.Deny || run.Same || s.left.Add(-1) != 0 {
		return
	}
	now := time.Now()
	for _, live := range *s.inside.Load() {
		if st, shown := live.State(); !shown || st.Status != reactor.Denied {
			now = time.Time{} // the fence is not shut
		}
	}
	s.shut <- now
}

// round is what one revocation took.
type round struct {
	fence, first, last time.Duration // until the fence was shut; until the first and last were told
	back               time.Duration // from the grant until the last had its rows again
	cpu                time.Duration // of this process until the last was told; no machine's load is in it
	bytes              int           // of what they were told
}

// round revokes and grants. When it is busy, a note is on its way to all of them.
func (s *revocation) round(b *testing.B, busy bool) round {
	b.Helper()
	era := s.era * kinds
	s.era++
	inside := s.subscribe(b)
	s.inside.Store(&inside)
	s.left.Store(principals)
	// The poll's phase is not that of the rounds.
	<-time.NewTimer(20*time.Millisecond + rand.N(10*time.Millisecond)).C

	note := `insert into notes values ($1, 1, 'a note')`
	if busy {
		s.in(b, s.writer, call{note, []any{era + inLight}})
	}
	cpu := cpuTime(b)
	began := s.in(b, s.writer, call{note, []any{era + withRevocation}}, call{`delete from members where room = 1 and org = 'acme'`, nil})
	s.in(b, s.late, call{note, []any{era + inDark}})
	shut := <-s.shut
	if shut.IsZero() {
		b.Fatal("a stream may be handed a frame when all decisions deny")
	}
	dark := s.crowd.wait(b, "denied")
	cpu = cpuTime(b) - cpu
	for _, live := range inside {
		live.Leave()
	}
	granted := s.in(b, s.writer, call{note, []any{era + kinds + withGrant}}, call{`insert into members values (1, 'acme')`, nil})
	s.shown = s.crowd.wait(b, "shown")
	return round{
		fence: shut.Sub(began), first: dark.first.Sub(began), last: dark.last.Sub(began),
		back: s.shown.last.Sub(granted), cpu: cpu, bytes: dark.bytes,
	}
}

type call struct {
	sql  string
	args []any
}

// in runs statements in one transaction and returns when its commit was sent.
func (s *revocation) in(b *testing.B, conn *pgx.Conn, calls ...call) time.Time {
	b.Helper()
	ctx := b.Context()
	tx, err := conn.Begin(ctx)
	for _, c := range calls {
		if err == nil {
			_, err = tx.Exec(ctx, c.sql, c.args...)
		}
	}
	began := time.Now()
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		b.Fatal(err)
	}
	return began
}

// subscribe subscribes once for each principal, in this process.
func (s *revocation) subscribe(b *testing.B) []*serve.Live {
	b.Helper()
	var list []*serve.Live
	ready := make(chan struct{}, principals)
	users, err := auth.New(b.Context(), auth.Config{Tenant: tenant.DefaultName, Dev: true})
	if err != nil {
		b.Fatal(err)
	}
	for i := range principals {
		who, err := users.DevUser(fmt.Sprint("user", i))
		if err != nil {
			b.Fatal(err)
		}
		q := serve.Query{Tenant: tenant.DefaultName, Name: "notes.list", Args: serve.Arguments{JSON: []byte(`{"room":1}`)}}
		live, err := s.host.Host.Subscribe(context.Background(), who, q, serve.Signals{Decided: func() {}, Ready: func() { ready <- struct{}{} }})
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, live)
	}
	for range list {
		<-ready
	}
	for _, live := range list {
		if st, shown := live.State(); !shown || st.Status != reactor.Live {
			b.Fatal("a member is shown", st.Status)
		}
	}
	return list
}

// floorFan is how long the floor writer takes, from its first write until the last
// client has read an event of that size, and its own computing time, several times.
func floorFan(b *testing.B, n, size int) (took, cpu []time.Duration) {
	b.Helper()
	f := newFloorWriter(b)
	c := gather(b, f.listener.Addr().String(), n)
	event := `event: sub` + "\n" + `data: {"id":1,"status":"denied","at":"`
	event += strings.Repeat("x", max(0, size-len(event)-len("\"}\n\n"))) + "\"}\n\n"
	for i := range 11 {
		f.fan(b, fmt.Sprintf("data: {\"rows\":[{\"seq\":%d}]}\n\n", int64(i)*kinds), runtime.GOMAXPROCS(0))
		c.wait(b, "shown")
		began, used := time.Now(), cpuTime(b)
		f.fan(b, event, runtime.GOMAXPROCS(0))
		took = append(took, c.wait(b, "denied").last.Sub(began))
		cpu = append(cpu, cpuTime(b)-used)
	}
	c.leave(b)
	f.close()
	return took[1:], cpu[1:] // the first one finds everything cold
}

// cpuTime is what this process has computed, in the kernel and outside.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
