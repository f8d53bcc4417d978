package scenarios

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host"
	"weir/host/hosttest"
	"weir/host/load"
	"weir/reactor"
)

// limits keep a slow machine from being taken for a fault: nothing runs again but for
// a change, and nothing is given up early.
const limits = `plugins = "plugins"
[limits]
resync_sweep = 0
max_stale = "60s"
query_timeout = "30s"
policy_timeout = "30s"
mutation_timeout = "30s"
linger = "2m"
first_runs = 0
open_rate = 0
session_subscriptions = 30000
principal_subscriptions = 30000
principal_groups = 30000
`

// pulse is a query of one number, which every client watches: what was pushed before
// it moved has arrived when it shows that it did.
const pulse = "pulse"

var pulsing = function{name: pulse, sql: `select id, n from pulse order by id`, key: []string{"id"}}

const pulseTable = `create table pulse (id int primary key, n bigint not null); insert into pulse values (1, 0);`

// tally counts the executions of one function.
type tally struct{ runs, same, first, woken, failed int }

// world is a host, its clients and what they saw.
type world struct {
	*hosttest.Server
	name    string
	conn    *pgx.Conn // the test's own
	clients []*client
	made    int         // histories
	quiet   atomic.Bool // nothing was committed since all was settled
	beat    int64
	commits atomic.Int64
	last    atomic.Int64 // when the last transaction began to commit, in ns
	sums    sync.Map     // by version

	mu      sync.Mutex // protects the fields below
	tallies map[string]*tally
	vain    []string // why runs that found nothing new were begun, a few
	latency load.Histogram
}

// start starts a host with a schema and plugins. Every plugin but the pulse's own is a
// module by its file's name.
func start(t *testing.T, name, schema string, modules map[string][]byte, more ...func(*hosttest.Config)) *world {
	t.Helper()
	w := &world{name: name, tallies: map[string]*tally{}}
	modules["pulse.wasm"] = plugin("pulse", "1", pulsing)
	cfg := hosttest.Config{TOML: limits, Schema: pulseTable + schema, Modules: modules, Observe: w.observe}
	for _, change := range more {
		change(&cfg)
	}
	w.Server = hosttest.Start(t, cfg)
	w.conn = w.DB.Conn(t)
	w.defined(t)
	return w
}

// defined returns when weir has captured what it captures by itself, after it is ready,
// and has heard of all that was defined: else groups would run once more (R4), and a
// count be another one.
func (w *world) defined(t *testing.T) {
	t.Helper()
	timeout := time.NewTimer(2 * patience)
	defer timeout.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for captured := 0; captured < 3; {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("of three tables of jobs weir has captured %d", captured)
		}
		err := w.conn.QueryRow(t.Context(), `select count(distinct tgrelid) from pg_trigger where tgname like 'weir%'
			and tgrelid in ('weir.jobs'::regclass, 'weir.workflow_runs'::regclass, 'weir.workflow_steps'::regclass)`).Scan(&captured)
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the first one runs at once, the second waits for a read of the log
		if err := w.ask(t.Context(), who{}, "/v1/q/"+pulse); err != nil {
			t.Fatal(err)
		}
	}
}

// loaded makes a host tell of plugins.
func loaded(to chan<- host.Event) func(*hosttest.Config) {
	return func(c *hosttest.Config) {
		c.Event = func(e host.Event) {
			if e.Kind == host.PluginLoaded || e.Kind == host.PluginFailed {
				to <- e
			}
		}
	}
}

func (w *world) observe(r reactor.Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.tallies[r.Name]
	if of == nil {
		of = &tally{}
		w.tallies[r.Name] = of
	}
	of.runs++
	if r.Cause.Reason == reactor.Woken {
		of.woken++
	}
	switch {
	case r.Err != nil:
		of.failed++
	case r.Cause.Reason == reactor.First:
		of.first++
	case r.Same:
		of.same++
		if len(w.vain) < 3 {
			w.vain = append(w.vain, fmt.Sprintf("%s: %v, %d more, %+v", r.Name, r.Cause.Reason, r.Cause.More, r.Cause.Change))
		}
	}
}

// ran is the count of a function.
func (w *world) ran(name string) tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	if of := w.tallies[name]; of != nil {
		return *of
	}
	return tally{}
}

// since is how often a function ran after an earlier count.
func (w *world) since(name string, before tally) tally {
	now := w.ran(name)
	return tally{now.runs - before.runs, now.same - before.same, now.first - before.first, now.woken - before.woken, now.failed - before.failed}
}

func (w *world) waited(list []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range list {
		w.latency.Add(d)
	}
}

// beats returns a subscription to the pulse.
func beats() *live { return &live{name: pulse} }

// commit is one transaction.
type commit struct {
	sql       string
	touches   []*history // every result that it may change
	shut, let string     // who is shut out of them by it, or let in
}

// commit carries out a transaction, and notes what it made of what it touches just
// before it commits. Transactions that touch the same wait for each other.
func (w *world) commit(t *testing.T, conn *pgx.Conn, c commit) {
	t.Helper()
	if err := w.try(t.Context(), conn, c); err != nil {
		t.Fatalf("%s: %v", c.sql, err)
	}
}

func (w *world) try(ctx context.Context, conn *pgx.Conn, c commit) error {
	// In the order of their making, or two that touch the same could wait for ever.
	slices.SortFunc(c.touches, func(a, b *history) int { return a.order - b.order })
	w.quiet.Store(false)
	for _, h := range c.touches {
		h.writing.Lock()
		defer h.writing.Unlock()
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // after the commit it is nothing
	if _, err := tx.Exec(ctx, c.sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	states := make([]string, len(c.touches))
	for i, h := range c.touches {
		if states[i], err = h.read(ctx, tx); err != nil {
			return err
		}
	}
	revs := make([]int, len(c.touches))
	for i, h := range c.touches {
		revs[i] = h.note(states[i])
		if c.shut != "" {
			h.shut(c.shut, revs[i])
		}
		if c.let != "" {
			h.let(c.let, revs[i])
		}
	}
	w.last.Store(time.Now().UnixNano())
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	w.commits.Add(1)
	for i, h := range c.touches {
		h.committed(revs[i])
	}
	return nil
}

// reader reads rows.
type reader interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// read returns what the result is now, as equal JSON has it.
func (h *history) read(ctx context.Context, db reader) (string, error) {
	var text []byte
	if err := db.QueryRow(ctx, `select coalesce(jsonb_agg(to_jsonb(r)), '[]') from (`+h.sql+`) r`).Scan(&text); err != nil {
		return "", fmt.Errorf("%s: %w", h.name, err)
	}
	return canonical(text)
}

// watchable makes a history, with the state of now.
func (w *world) watchable(t *testing.T, name, sql string) *history {
	t.Helper()
	h := newHistory(name, sql)
	w.made++
	h.order = w.made
	text, err := h.read(t.Context(), w.conn)
	if err != nil {
		t.Fatal(err)
	}
	h.note(text)
	return h
}

// settle returns when nothing more is on its way: each query was asked by each who
// watches it, which is answered when it is clean at a read of the log that began
// later, and then the pulse has moved twice, in turns of their own, for all.
func (w *world) settle(t *testing.T) {
	t.Helper()
	if w.quiet.Swap(true) {
		return
	}
	type question struct {
		who  who
		path string
	}
	asked := map[question]bool{}
	var list []question
	for _, c := range w.clients {
		for _, s := range c.subs {
			q := question{c.who, "/v1/q/" + s.name + "?args=" + url.QueryEscape(s.args)}
			if s.args == "" {
				q.path = "/v1/q/" + s.name
			}
			if s.name != pulse && !asked[q] {
				asked[q] = true
				list = append(list, q)
			}
		}
	}
	next := atomic.Int64{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(list); i = next.Add(1) - 1 {
				if err := w.ask(t.Context(), list[i].who, list[i].path); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	w.pulseOnce(t)
	w.pulseOnce(t)
}

// ask asks once: a result or a denial.
func (w *world) ask(ctx context.Context, who who, path string) error {
	resp, err := who.do(ctx, http.MethodGet, who.address(w.URL, path), "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusForbidden {
		err = fmt.Errorf("%s as %s: %s: %s", path, who.name, resp.Status, text)
	}
	return err
}

func (w *world) pulseOnce(t *testing.T) {
	t.Helper()
	w.beat++
	if _, err := w.conn.Exec(t.Context(), `update pulse set n = $1`, w.beat); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`[{"id":1,"n":%d}]`, w.beat)
	for _, c := range w.clients {
		c.until(t, "the pulse", func() bool {
			for _, s := range c.subs {
				if s.name == pulse {
					return s.result != nil && string(s.result.list()) == want
				}
			}
			return true
		})
	}
}

// fresh fails unless every client shows what PostgreSQL answers now, and has seen
// nothing that must not be.
func (w *world) fresh(t *testing.T, histories ...*history) {
	t.Helper()
	for _, h := range histories {
		text, err := h.read(t.Context(), w.conn)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, want := h.newest(); text != want {
			t.Errorf("the test did not note all: %s is %.300s, noted was %.300s", h.name, text, want)
		}
	}
	for _, c := range w.clients {
		c.shows(t)
		c.check(t)
	}
}

// frames is what all clients were sent.
func (w *world) frames() (n, deltas, bytes int64) {
	for _, c := range w.clients {
		c.mu.Lock()
		n, deltas, bytes = n+c.frames, deltas+c.deltas, bytes+c.frameBytes
		c.mu.Unlock()
	}
	return n, deltas, bytes
}

// row logs the scenario's line of the table, with the queries that it counts.
func (w *world) row(t *testing.T, about string, queries ...string) {
	t.Helper()
	var of tally
	for _, name := range queries {
		q := w.ran(name)
		of.runs, of.same, of.first = of.runs+q.runs, of.same+q.same, of.first+q.first
	}
	frames, deltas, bytes := w.frames()
	w.line(t, about, len(w.clients), frames, deltas, bytes, of, &w.latency)
}

// line is one line of the table.
func (w *world) line(t *testing.T, about string, clients int, frames, deltas, bytes int64, of tally, latency *load.Histogram) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if of.same > 0 {
		t.Logf("runs that found nothing new, the first ones: %s", strings.Join(w.vain, "; "))
	}
	ms := func(q float64) float64 { return latency.Quantile(q).Seconds() * 1e3 }
	t.Logf("prove: %s (%s): %d clients, %d commits, %d frames (%d deltas, %d kB), %d runs (%d first, %d useless), commit to client p50 %.1f ms, p99 %.1f ms",
		w.name, about, clients, w.commits.Load(), frames, deltas, bytes>>10, of.runs, of.first, of.same, ms(0.5), ms(0.99))
}

// cost is how often each query must run.
type cost map[string]int

// exactly fails unless what is done makes each query run as often as is said, none of
// them in vain, and pushes so many frames, with a word before each (of what state it
// is) and no other.
func (w *world) exactly(t *testing.T, what string, runs cost, frames int64, do func()) {
	t.Helper()
	w.settle(t)
	before, sent, words := map[string]tally{}, int64(0), w.words()
	for name := range runs {
		before[name] = w.ran(name)
	}
	sent, _, _ = w.frames()
	do()
	w.settle(t)
	for name, n := range runs {
		got := w.since(name, before[name])
		want(t, what+": runs of "+name, got.runs, n)
		want(t, what+": useless runs of "+name, got.same, 0)
	}
	now, _, _ := w.frames()
	want(t, what+": frames", now-sent, frames)
	want(t, what+": words", w.words()-words, frames)
}

// words is how often clients were told how a subscription stands.
func (w *world) words() (n int64) {
	for _, c := range w.clients {
		c.mu.Lock()
		n += c.words
		c.mu.Unlock()
	}
	return n
}

// concurrently runs n functions at once, each with a connection of its own, and fails
// the test if one fails.
func (w *world) concurrently(t *testing.T, n int, run func(i int, conn *pgx.Conn) error) {
	t.Helper()
	var all sync.WaitGroup
	for i := range n {
		conn := w.DB.Conn(t)
		all.Go(func() {
			if err := run(i, conn); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		for _, c := range w.clients {
			c.check(t)
		}
		t.FailNow()
	}
}

// want fails unless a count is what it must be.
func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
