package soak

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// plan is how much is done.
type plan struct {
	scale    int
	watchers int   // streams of the hot query
	samples  int   // on the way, at equal distances
	rounds   int   // a multiple of samples
	commits  int   // of the hot query, in a round
	sessions int   // in a round
	calls    int   // of the plugin, in a round
	logBytes int64 // limits.log_bytes, so that the log is rotated

	swapEvery, reloadEvery int // rounds
}

// newPlan is ten thousand deliveries and a hundred calls, scale times.
func newPlan(scale int) plan {
	if scale < 10 {
		return plan{scale: scale, watchers: 100, samples: 10, rounds: 10 * scale, commits: 10, sessions: 2, calls: 10, logBytes: 192 << 10, swapEvery: 1, reloadEvery: 5}
	}
	rounds := (2*scale + 19) / 20 * 20
	return plan{scale: scale, watchers: 1000, samples: 20, rounds: rounds, commits: 5, sessions: 5, calls: 50, logBytes: 768 << 10, swapEvery: 4, reloadEvery: 10}
}

// run is a run of the test.
type run struct {
	t     *testing.T
	p     plan
	w     *world
	s     *server
	h     *hot
	k     *churn
	stat  *pgx.Conn
	names []quantity
	list  []sample

	unsettled bool    // what had left was still seen when the last sample was taken
	wal, tx   float64 // after the sample before
}

// TestServerKeepsNothing: W6. Ten thousand deliveries and a hundred plugin calls,
// times WEIR_SOAK, with everything else that comes and goes: nothing grows with it,
// and at the end every client shows what the database holds. C5: the log is rotated
// meanwhile.
//
//	WEIR_SOAK=1000 go test ./host/prove/soak -run TestServerKeepsNothing -v -timeout 60m
//
// Cases: 18.
func TestServerKeepsNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the streams are held by epoll, and the figures are those of /proc")
	}
	scale, err := strconv.Atoi(cmp.Or(os.Getenv("WEIR_SOAK"), "1"))
	if err != nil || scale < 1 {
		t.Fatal("WEIR_SOAK is how many times ten thousand deliveries are made: write a whole number, 1000 for the full length")
	}
	seed := rand.Uint64()
	if text := os.Getenv("WEIR_SOAK_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal("WEIR_SOAK_SEED is the number that a run has printed")
		}
	}
	p := newPlan(scale)
	r := &run{t: t, p: p, w: newWorld(t, p)}
	r.s = start(t, r.w.file, r.w.stateDir)
	r.awaitCapture()
	r.h, r.k = newHot(t, r.w, r.s, p.watchers), newChurn(t, p, r.w, r.s, seed)
	r.stat, r.names = r.w.db.Conn(t), kept(p, r.w.maxConns)
	began := time.Now()
	r.print("soak: %d rounds of %d commits with %d watchers, %d calls and %d sessions; WEIR_SOAK=%d WEIR_SOAK_SEED=%d\n%s",
		p.rounds, p.commits, p.watchers, p.calls, p.sessions, scale, seed, header(r.names))
	r.work()
	r.rotated()
	r.equal()
	r.h.judge(t)
	r.verdict()
	last := r.list[len(r.list)-1]
	r.print("soak: %.0f deliveries and %.0f plugin calls in %s", last.deliveries, last.calls, time.Since(began).Round(time.Second))
}

// print shows the curves as they come: a long run is watched.
func (r *run) print(format string, args ...any) {
	if testing.Verbose() {
		fmt.Printf(format+"\n", args...)
	} else {
		r.t.Logf(format, args...)
	}
}

// work does the rounds, and measures as often as samples says.
func (r *run) work() {
	r.wal, r.tx = r.written()
	for round := range r.p.rounds {
		var churn sync.WaitGroup
		churn.Go(func() { r.k.turn(r.p.calls, r.p.sessions) })
		if err := r.h.turn(r.p.commits); err != nil {
			r.t.Error(err)
		}
		churn.Wait()
		if r.t.Failed() {
			r.t.FailNow() // what follows would be an echo
		}
		if (round+1)%(r.p.rounds/r.p.samples) == 0 {
			wal, tx := r.written()
			r.k.leave()
			s := r.settled()
			s.values[r.at("wal/tx")] = (wal - r.wal) / (tx - r.tx)
			r.wal, r.tx = r.written() // without what it took to look
			r.list = append(r.list, s)
			r.print("%s", s.line(r.names))
		}
	}
}

// settleFor is how long what has left may be seen: a closed socket is noticed, groups
// linger, idle connections to the database stay a while. What did not leave in that
// time will not, and is not waited for again.
const settleFor, unsettledFor = 20 * time.Second, time.Second

// settled measures when as many streams are open as stay, and again until the rest
// has followed them or does not.
func (r *run) settled() (s sample) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began, limit := time.Now(), settleFor
	if r.unsettled {
		limit = unsettledFor
	}
	for {
		s = r.sample()
		first := s
		if len(r.list) > 0 {
			first = r.list[0]
		}
		quiet := len(r.list) > 0 || time.Since(began) > 2*time.Second // the first is what others are held against
		for i, q := range r.names {
			switch q.name {
			case "sessions", "subs":
				quiet = quiet && s.values[i] <= q.most
			case "goroutines", "files", "groups":
				quiet = quiet && s.values[i] <= first.values[i]+q.slack
			}
		}
		if r.unsettled = !quiet; quiet || time.Since(began) > limit {
			return s
		}
		<-tick.C
	}
}

// sample measures.
func (r *run) sample() sample {
	m := r.metrics()
	f := r.s.look(r.t, "look")
	var conns, retained, slots, log float64
	err := r.stat.QueryRow(r.t.Context(), `select
		(select count(*) from pg_stat_activity where datname = current_database() and usename in ('weir', 'weir_guest'))::float8,
		(select sum(size) from pg_ls_waldir())::float8, (select count(*) from pg_replication_slots)::float8,
		(select sum(pg_total_relation_size(format('weir.log_%s', s)::regclass)) from generate_series(0, 2) s)::float8`).
		Scan(&conns, &retained, &slots, &log)
	if err != nil {
		r.t.Fatal(err)
	}
	return sample{
		deliveries: m["weir_serve_frames_total"], calls: m["weir_plugin_calls_total"],
		values: []float64{
			float64(f.RSS), float64(f.Heap), float64(f.Goroutines), float64(f.Descriptors), float64(f.Children),
			m["weir_serve_sessions"], m["weir_serve_subscriptions"], m["weir_reactor_groups"], conns, log, 0, retained, slots,
		},
	}
}

// at is where a quantity is among a sample's values.
func (r *run) at(name string) int {
	return slices.IndexFunc(r.names, func(q quantity) bool { return q.name == name })
}

// written is how many bytes of WAL were written, and in how many transactions.
func (r *run) written() (wal, tx float64) {
	err := r.stat.QueryRow(r.t.Context(), `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8,
		pg_snapshot_xmax(pg_current_snapshot())::text::float8`).Scan(&wal, &tx)
	if err != nil {
		r.t.Fatal(err)
	}
	return wal, tx
}

var figure = regexp.MustCompile(`(?m)^(weir_[a-z_]+) (\S+)$`)

// metrics reads the figures of /metrics that have no label.
func (r *run) metrics() map[string]float64 {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.s.admin+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Close = true // no connection of ours stays
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	list := map[string]float64{}
	for _, found := range figure.FindAllSubmatch(text, -1) {
		list[string(found[1])], _ = strconv.ParseFloat(string(found[2]), 64)
	}
	return list
}

// until waits for something of the server's, and reports whether it came.
func (r *run) until(ready func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ready(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// awaitCapture waits until the change log is read.
func (r *run) awaitCapture() {
	if !r.until(func() bool {
		m := r.metrics()
		return m["weir_changelog_healthy"] == 1 && m["weir_plugin_plugins"] == 2
	}) {
		r.t.Fatalf("the server did not get ready: %v", r.metrics())
	}
}

// rotated sees that the log was rotated: in a short run it takes some more writes.
func (r *run) rotated() {
	n := 0.0
	if !r.until(func() bool {
		n = r.metrics()["weir_changelog_rotations_total"]
		if err := r.h.turn(10 * r.p.commits); err != nil {
			r.t.Fatal(err)
		}
		return n >= 2
	}) {
		r.t.Errorf("the log was rotated %.0f times", n)
	}
	r.print("soak: the log was rotated %.0f times", n)
}

// equal compares what every client shows with the database, when what was written
// last has reached them all.
func (r *run) equal() {
	wrong := ""
	if !r.until(func() bool { wrong = r.different(); return wrong == "" }) {
		r.t.Error(wrong)
	}
}

// different says which client shows something else than the database holds.
func (r *run) different() string {
	const messages = `select coalesce(jsonb_agg(jsonb_build_object('id', id, 'author', author, 'body', body) order by id desc), '[]')::text
		from messages where room_id = $1`
	header, body, err := r.k.c.ask("GET", fmt.Sprintf("/v1/q/messages.list?room=%d", hotRoom), r.w.token(r.t, hotUser, 0), "", []int{200})
	if err != nil {
		return err.Error()
	}
	tag := strings.Trim(header.Get("ETag"), `"`)
	versions, st := r.h.fleet.Versions(), r.h.fleet.Standing()
	if len(versions) != 1 || !slices.Equal(versions[0], []string{tag}) || st.Told != r.p.watchers || st.Open != r.p.watchers {
		return fmt.Sprintf("the fleet shows %v and stands as %+v, a request has %s", versions, st, tag)
	}
	k := r.k.witness
	k.mu.Lock()
	room, summary, version, people := k.live(1), k.live(2), k.live(3), k.live(4)
	k.mu.Unlock()
	return cmp.Or(
		same("a request", rowsOf(body), "sent_at", r.w.jsonOf(r.t, r.stat, messages, hotRoom)),
		same("the witness's room", rowsOf(room), "sent_at", r.w.jsonOf(r.t, r.stat, messages, flippedRoom)),
		same("the witness's summary", valueOf(summary), "busiest", r.w.jsonOf(r.t, r.stat, `select jsonb_build_object(
			'rooms', count(distinct r.id), 'messages', count(m.id))::text
			from rooms r join members me on me.room_id = r.id and me.user_id = $1 left join messages m on m.room_id = r.id`, witness)),
		same("the witness's version", valueOf(version), "", json.RawMessage(strconv.Itoa(r.k.version))),
		same("the people", rowsOf(people), "", r.w.jsonOf(r.t, r.stat, `select jsonb_agg(jsonb_build_object('user_id', user_id, 'version', $1::int)
			order by user_id collate "C")::text from members where room_id = $2`, r.k.version, flippedRoom)))
}

// same says how what somebody shows differs from the database's, but for one member
// of its objects.
func same(who string, got json.RawMessage, without string, want json.RawMessage) string {
	a, err1 := plain(got, without)
	b, err2 := plain(want, without)
	if err1 != nil || err2 != nil || a != b {
		return fmt.Sprintf("%s shows %.500s, the database has %.500s", who, got, want)
	}
	return ""
}

// plain is a value in one way of writing, without one of its objects' members.
func plain(text json.RawMessage, without string) (string, error) {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case map[string]any:
		delete(v, without)
	case []any:
		for _, row := range v {
			delete(row.(map[string]any), without)
		}
	}
	out, err := json.Marshal(v)
	return string(out), err
}

// verdict judges each curve, and tells who waits for what when goroutines are kept.
func (r *run) verdict() {
	for i, q := range r.names {
		found, wrong := q.judge(r.list, i)
		r.print("%s", found)
		if wrong == "" {
			continue
		}
		r.t.Error(wrong)
		if q.name == "goroutines" {
			r.t.Log(r.s.look(r.t, "stacks").Stacks)
		}
	}
	last := r.list[len(r.list)-1]
	if least := float64(r.p.scale); last.deliveries < 1e4*least || last.calls < 100*least {
		r.t.Errorf("%.0f deliveries and %.0f plugin calls are less than %.0f and %.0f", last.deliveries, last.calls, 1e4*least, 100*least)
	}
}
