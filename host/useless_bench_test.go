package host_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host"
	"weir/host/hosttest"
	"weir/reactor"
)

// uselessWorld is a schema, what is watched in it, and what is written to it.
type uselessWorld struct {
	name, schema string
	queries      []uselessQuery
	writes       []uselessWrite
}

// uselessQuery is a function and the arguments with which it is live.
type uselessQuery struct {
	statement
	tables string // it reads
	args   [][]any
}

// uselessWrite is one kind of transaction, a statement. Times is how often it is
// committed: of a thousand in all, five hundred in the inboxes.
type uselessWrite struct {
	times       int
	name        string
	tables, sql string // it writes
	args        func(r *rand.Rand) []any
}

// uselessLive is one live group.
type uselessLive struct {
	*host.LiveQuery
	of   *uselessQuery
	args []any
}

// uselessTally counts executions that were not the first of their group, and
// those of them that found nothing new.
type uselessTally struct{ runs, useless int }

func (t uselessTally) percent() float64 { return 100 * float64(t.useless) / float64(max(t.runs, 1)) }

// uselessRun is one world while it is measured.
type uselessRun struct {
	b     *testing.B
	world *uselessWorld
	host  *hosttest.Server
	conn  *pgx.Conn
	live  []uselessLive

	mu   sync.Mutex // protects the field below
	runs []reactor.Run

	weir, table      uselessTally
	byQuery, byWrite map[string]*uselessTally
	rows             int
}

// BenchmarkUseless is N5: the share of executions that found nothing new, for four
// applications with some hundred live groups, under random writes. After each
// write all is quiet before the next one, so that no run serves two. The peer is
// invalidation by table, computed from the same writes: each live group that reads
// a written table would run, and is useless when weir's run of it, or that there
// was none, says that its result is the same; at the end, and on the way, each
// result is compared with the rows that PostgreSQL has. Two worlds, named "keyed",
// are not N5's: they say what it costs when rows carry what others join.
func BenchmarkUseless(b *testing.B) {
	for _, world := range []*uselessWorld{chatWorld(), kanbanWorld(), inboxWorld(), leaderboardWorld(), chatKeyedWorld(), inboxKeyedWorld()} {
		b.Run(world.name, func(b *testing.B) {
			for b.Loop() {
				w := startUseless(b, world)
				r := rand.New(rand.NewPCG(5, 5))
				for i, kind := range world.deck(r) {
					w.write(kind, r)
					if i%100 == 99 {
						w.check()
					}
				}
				w.check()
				w.report()
				w.host.Stop()
			}
		})
	}
}

// startUseless starts a host with the world's functions and watches them all.
func startUseless(b *testing.B, world *uselessWorld) *uselessRun {
	b.Helper()
	w := &uselessRun{b: b, world: world, byQuery: map[string]*uselessTally{}, byWrite: map[string]*uselessTally{}}
	statements := make([]statement, len(world.queries))
	for i, q := range world.queries {
		statements[i] = q.statement
	}
	w.host = hosttest.Start(b, hosttest.Config{
		TOML:   "plugins = \"plugins\"\n[limits]\nmax_debounce = \"1ms\"\nfirst_runs = 0\nresync_sweep = 0\n",
		Schema: world.schema, Seed: "analyze;", Modules: map[string][]byte{"bench.wasm": module(statements...)}, Observe: w.observe,
	})
	w.conn = w.host.DB.Conn(b)
	for i := range world.queries {
		q := &world.queries[i]
		for _, args := range q.args {
			named := map[string]any{}
			for j, field := range q.fields {
				named[field] = args[j]
			}
			text, err := json.Marshal(named)
			if err != nil {
				b.Fatal(err)
			}
			live, err := w.host.Host.Watch(q.name, string(text))
			if err != nil {
				b.Fatal(err)
			}
			w.live = append(w.live, uselessLive{live, q, args})
		}
	}
	w.settle()
	w.check()
	w.taken()
	return w
}

func (w *uselessRun) observe(run reactor.Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, run)
}

// taken returns the runs since it was called before.
func (w *uselessRun) taken() []reactor.Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	runs := w.runs
	w.runs = nil
	return runs
}

func (w *uselessRun) settle() {
	w.b.Helper()
	list := make([]*host.LiveQuery, len(w.live))
	for i, l := range w.live {
		list[i] = l.LiveQuery
	}
	if err := w.host.Host.Settle(list); err != nil {
		w.b.Fatal(err)
	}
}

// write commits one write, waits until all is quiet, and counts.
func (w *uselessRun) write(kind *uselessWrite, r *rand.Rand) {
	w.b.Helper()
	tag, err := w.conn.Exec(w.b.Context(), kind.sql, kind.args(r)...)
	if err != nil {
		w.b.Fatalf("%s: %v", kind.name, err)
	}
	w.settle()
	changed := map[string]bool{}
	for _, run := range w.taken() {
		if run.Err != nil {
			w.b.Errorf("%s after %s: %v", run.Name, kind.name, run.Err)
		}
		if run.Cause.Reason == reactor.First {
			continue
		}
		changed[run.Query] = changed[run.Query] || !run.Same
		w.weir.add(run.Same)
		tallyOf(w.byQuery, run.Name).add(run.Same)
		tallyOf(w.byWrite, kind.name).add(run.Same)
	}
	if tag.RowsAffected() == 0 {
		return // its rows were gone
	}
	w.rows++
	for i := range w.live {
		if meet(w.live[i].of.tables, kind.tables) {
			w.table.add(!changed[w.live[i].Query()])
		}
	}
}

func (t *uselessTally) add(useless bool) {
	t.runs++
	if useless {
		t.useless++
	}
}

func tallyOf(m map[string]*uselessTally, name string) *uselessTally {
	if m[name] == nil {
		m[name] = &uselessTally{}
	}
	return m[name]
}

// deck is all writes in a random order.
func (w *uselessWorld) deck(r *rand.Rand) (all []*uselessWrite) {
	for i := range w.writes {
		for range w.writes[i].times {
			all = append(all, &w.writes[i])
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// meet reports whether two lists of names have one in common.
func meet(a, b string) bool {
	list := strings.Fields(b)
	return slices.ContainsFunc(strings.Fields(a), func(name string) bool { return slices.Contains(list, name) })
}

// check compares every live result with the rows that the database has now.
func (w *uselessRun) check() {
	w.b.Helper()
	batch := &pgx.Batch{}
	for _, l := range w.live {
		sql := l.of.sql
		for i, field := range l.of.fields {
			sql = strings.ReplaceAll(sql, "$"+field, fmt.Sprint("$", i+1))
		}
		batch.Queue(`select coalesce(json_agg(t), '[]')::text from (`+sql+`) t`, l.args...)
	}
	results := w.conn.SendBatch(w.b.Context(), batch)
	defer results.Close()
	for _, l := range w.live {
		var want string
		if err := results.QueryRow().Scan(&want); err != nil {
			w.b.Fatalf("%s: %v", l.of.name, err)
		}
		state := l.State()
		if state.Status != reactor.Live {
			w.b.Errorf("%s %v is %s: %v", l.of.name, l.args, state.Status, state.Err)
			continue
		}
		var shown struct{ Rows []map[string]any }
		var right []map[string]any
		if err := json.Unmarshal([]byte("{"+string(state.Frame.Content())+"}"), &shown); err != nil {
			w.b.Fatal(err)
		}
		if err := json.Unmarshal([]byte(want), &right); err != nil {
			w.b.Fatal(err)
		}
		if !reflect.DeepEqual(alike(shown.Rows), alike(right)) {
			w.b.Fatalf("%s %v is not fresh:\n got %s\nwant %s", l.of.name, l.args, state.Frame.Content(), want)
		}
	}
}

// alike spells times in one way.
func alike(rows []map[string]any) []map[string]any {
	for _, row := range rows {
		for name, v := range row {
			if text, ok := v.(string); ok {
				if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
					row[name] = at.UTC().Format(time.RFC3339Nano)
				}
			}
		}
	}
	return rows
}

// report says how it was, and with -v whose the useless executions were.
func (w *uselessRun) report() {
	b := w.b
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(w.live)), "groups")
	b.ReportMetric(float64(w.weir.runs), "executions")
	b.ReportMetric(w.weir.percent(), "useless_%")
	b.ReportMetric(float64(w.table.runs), "table_level_executions")
	b.ReportMetric(w.table.percent(), "table_level_useless_%")
	for _, m := range []map[string]*uselessTally{w.byQuery, w.byWrite} {
		var lines []string
		for name, t := range m {
			lines = append(lines, fmt.Sprintf("%6d runs %6d useless  %s", t.runs, t.useless, name))
		}
		slices.Sort(lines)
		slices.Reverse(lines)
		b.Logf("%d writes\n%s", w.rows, strings.Join(lines, "\n"))
	}
	if !testing.Verbose() {
		return
	}
	for _, q := range w.world.queries {
		if text, err := w.host.Host.Explain(q.name); err == nil {
			b.Log(text)
		}
	}
}
