package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"weir/abi"
	"weir/host/config"
	"weir/host/db"
	"weir/host/devdb/devdbtest"
	"weir/host/plugin"
	"weir/host/tenant"
	"weir/reactor"
	"weir/reactor/changelog"
)

// oracle is one random world on the real path: triggers, Listener, Reactor,
// executor and db, without guests and HTTP. Every live result is compared with
// what PostgreSQL answers to the same question, written out, on a connection of
// its own.
type oracle struct {
	*oracleHand
	host  *Host
	space *space
	plain *pgconn.PgConn // asks what is right, as the tenant's role
	live  []*liveQuery
	sum   *oracleTally

	mu   sync.Mutex // protects the fields below
	runs map[string]int
	fine int      // runs without an error
	last []string // the latest of them, with why each ran
	at   map[*reactor.Publication]*reactor.State
	back string // a state that went backwards
}

// liveQuery is one live query.
type liveQuery struct {
	oracleQuery
	call *call
	sub  *reactor.Subscription
	rows []string // the right answer at the last check
	ran  int      // runs by the last check
}

// oracleTally counts what a run of the oracle saw.
type oracleTally struct {
	worlds, queries, checks, compared, changed, missed int
	runs, useless, narrowed                            int
	wrote                                              handCounts
	refused                                            refusals
}

func (s *oracleTally) String() string {
	return fmt.Sprintf("%d worlds, %d queries (%d narrowed by their results), %v, %d checks, %d results compared, %d changed, %d runs, %d of them (%d %%) useless, %d missed\n%v",
		s.worlds, s.queries, s.narrowed, s.wrote, s.checks, s.compared, s.changed, s.runs, s.useless, 100*s.useless/max(1, s.runs), s.missed, &s.refused)
}

// newOracle makes a world and starts its rooms.
func newOracle(t *testing.T, seed uint64, sum *oracleTally) *oracle {
	t.Helper()
	devdbtest.Template(t, "weir_oracle", setUp)
	server := devdbtest.New(t, devdbtest.From("weir_oracle"))
	schema := newOracleSchema(rand.New(rand.NewPCG(seed, 1)))
	server.Exec(t, schema.sql.String())
	o := &oracle{
		oracleHand: newOracleHand(t, schema, seed, server), sum: sum,
		runs: map[string]int{}, at: map[*reactor.Publication]*reactor.State{},
	}
	config, err := pgconn.ParseConfig(server.As("weir_guest", ""))
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["timezone"] = "UTC"
	if o.plain, err = pgconn.ConnectConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.plain.Close(context.Background()) }) // the database may be gone
	o.start(server)
	sum.worlds++
	return o
}

// setUp prepares a database for weir.
func setUp(url string) error {
	_, err := changelog.Setup(context.Background(), changelog.SetupConfig{AdminURL: url})
	return err
}

// standing makes a space the only one of a host.
func standing(h *Host, s *space) *space {
	s.newest.Store(s)
	h.tenants.Store(newTenants(config.Default(), map[string]*space{s.tenant.Name: s}))
	return s
}

// start wires the rooms as Host does.
func (o *oracle) start(server devdbtest.DB) {
	t := o.t
	h := &Host{cfg: Config{Observe: o.observe, Logger: slog.New(slog.DiscardHandler)}}
	h.loader = newLoader(h)
	database, err := db.Open(t.Context(), db.Config{
		URL: server.As("weir_guest", ""), Connections: 4, EpochExpr: changelog.EpochExpr, SearchPath: searchPath("public"),
		Recapture: h.recapture,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.capture = changelog.NewCapture(changelog.CaptureConfig{URL: server.As("weir", "")})
	h.log, err = changelog.NewListener(changelog.Config{
		URL: server.As("weir", ""), Deliver: h.deliver, Capture: h.capture, Catalog: 50 * time.Millisecond,
		State: func(s changelog.State) { h.reactor.SetUncaptured(s.Uncaptured) },
	})
	if err != nil {
		t.Fatal(err)
	}
	h.reactor = reactor.New(reactor.Config{
		Executor: &executor{h}, Poke: h.log.Poke, Published: o.published, Observe: h.observe,
		Resync: -1, // nothing but changes may make a group run
		Seed:   o.seed | 1,
	})
	s := standing(h, &space{tenant: &tenant.Tenant{Name: tenant.DefaultName}, rooms: &rooms{database: database, role: "weir_guest"}})
	o.host, o.space = h, s
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.reactor.Run(ctx) })
	wg.Go(func() { _ = h.log.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait(); database.Close() })
	h.log.SetLive(true)
}

func (o *oracle) observe(r reactor.Run) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs[r.Query]++
	if r.Err == nil {
		o.fine++
		o.last = append(o.last[max(0, len(o.last)-19):], fmt.Sprintf("%s: %v %+v more %d, waited %s, same %v", r.Query, r.Cause.Reason, r.Cause.Change, r.Cause.More, r.Waited, r.Same))
	}
	if r.Cause.Reason == reactor.First {
		return
	}
	o.sum.runs++
	if r.Same {
		o.sum.useless++
	}
}

// published checks W2: no subscription is shown an older state.
func (o *oracle) published(pubs []*reactor.Publication) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range pubs {
		now, last := p.State(), o.at[p]
		if last != nil && (now.Number <= last.Number || !now.At.Covers(last.At)) && o.back == "" {
			o.back = fmt.Sprintf("state %d at %s after state %d at %s", now.Number, now.At, last.Number, last.At)
		}
		o.at[p] = now
	}
}

// subscribe draws n queries that weir accepts, and watches them.
func (o *oracle) subscribe(n int) {
	o.t.Helper()
	var added []*liveQuery
	var statements []*db.Statement
	for tried := 0; len(added) < n; tried++ {
		if tried > 50*n {
			o.t.Fatalf("seed %d: no random query is accepted", o.seed)
		}
		q := o.query()
		s, err := o.space.database.Prepare(o.t.Context(), []abi.Statement{{SQL: q.sql}}, 0, db.Read)
		if o.sum.refused.note(q.sql, err); err != nil {
			continue // of a wrong type, or without a total order
		}
		index, name := 0, fmt.Sprintf("q%d", o.sum.queries)
		fn := &plugin.Function{
			Function: &abi.Function{Name: name, Kind: abi.Query, Statement: &index},
			Plugin:   &plugin.Plugin{Manifest: &abi.Manifest{Name: "oracle"}},
		}
		p := &prepared{reads: []*db.Statement{s}, args: map[string][]int{name: nil}}
		for _, param := range s.Names() {
			var i int
			fmt.Sscanf(param, "p%d", &i)
			p.args[name] = append(p.args[name], i)
		}
		fn.Plugin.Prepared = p
		c := newCall(o.space, fn, abi.Input{Values: q.args, Bytes: []byte(name)})
		added, statements = append(added, &liveQuery{oracleQuery: q, call: c}), append(statements, s)
		o.sum.queries++
		if text := s.Explain(); strings.Contains(text, "any of the values") || strings.Contains(text, "of the last row") {
			o.sum.narrowed++
		}
	}
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	if err := (&checker{space: o.space, capture: o.host.capture}).watch(ctx, statements); err != nil {
		o.t.Fatalf("seed %d: watch: %v", o.seed, err)
	}
	for _, w := range added {
		w.sub = o.host.reactor.Subscribe(w.request(nil))
	}
	o.live = append(o.live, added...)
}

func (w *liveQuery) request(ready func(*reactor.Subscription)) reactor.Request {
	return reactor.Request{Tenant: tenant.DefaultName, Key: w.call.key, Name: w.call.fn.Name, Call: w.call, Waves: true, Ready: ready}
}

// drop ends the oldest subscriptions.
func (o *oracle) drop(n int) {
	for _, w := range o.live[:n] {
		w.sub.Leave()
	}
	o.live = slices.Delete(o.live, 0, n)
}

// quiesce waits until every group has seen all that is committed now: it is
// clean at a read of the log that began after this call, or ran after it.
func (o *oracle) quiesce() {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	ready := make(chan struct{}, len(o.live))
	for _, w := range o.live {
		defer o.host.reactor.Subscribe(w.request(func(*reactor.Subscription) { ready <- struct{}{} })).Leave()
	}
	for range o.live {
		select {
		case <-ready:
		case <-ctx.Done():
			o.t.Fatalf("seed %d: no rest: %+v, log %+v", o.seed, o.host.reactor.Stats(), o.host.log.Stats())
		}
	}
}

// check compares every live result with the right answer.
func (o *oracle) check() {
	o.t.Helper()
	o.quiesce()
	o.sum.checks++
	for end := time.Now().Add(20 * time.Second); ; o.quiesce() {
		right := o.answers()
		again := false
		for i, w := range o.live {
			again = o.compare(w, right[i]) || again
		}
		if !again {
			break
		}
		if time.Now().After(end) {
			o.t.Errorf("seed %d: not fresh after a minute: %s\n%s", o.seed, o.stuck(right), o.history())
			break
		}
		o.doze(50 * time.Millisecond) // a back-off runs; the next quiesce asks again
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.back != "" {
		o.t.Errorf("seed %d: W2: %s", o.seed, o.back)
	}
	o.forget()
}

// stuck says which results still say that they are not fresh, and why.
func (o *oracle) stuck(right []oracleAnswer) string {
	var b strings.Builder
	for i, w := range o.live {
		if state := w.sub.Publication().State(); state.Status != reactor.Live || right[i].err != "" {
			fmt.Fprintf(&b, "%s: %s %v; PostgreSQL says %q\n", w.sql, state.Status, state.Err, right[i].err)
		}
	}
	return b.String()
}

// rest checks that nothing runs when nothing is written: a read set that never
// becomes current would make its group run for ever.
func (o *oracle) rest() {
	o.t.Helper()
	count := func() int {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.fine
	}
	before := -1
	for range 75 {
		if now := count(); now == before {
			return
		} else {
			before = now
		}
		o.doze(400 * time.Millisecond) // more than the debounce
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.t.Errorf("seed %d: groups run though nothing is written\n%+v\n%s\n%s",
		o.seed, o.host.log.Stats(), strings.Join(o.last, "\n"), o.history())
}

// compare reports whether the result says itself that it is not fresh.
func (o *oracle) compare(w *liveQuery, right oracleAnswer) (again bool) {
	state := w.sub.Publication().State()
	switch {
	case right.err != "" && state.Err != nil:
		return false // both say that it does not work
	case errors.Is(state.Err, db.ErrRefused):
		return false // W10: after a change of the schema it cannot be kept live, and says so
	case errors.Is(state.Err, tenant.ErrResultTooLarge) && len(right.rows) > 10000:
		return false // a limit, and told
	case state.Status != reactor.Live || right.err != "":
		return true // W9: told
	}
	o.mu.Lock()
	ran := o.runs[w.sub.Publication().Query]
	o.mu.Unlock()
	o.sum.compared++
	got := right.canonical(o.t, state.Frame)
	want := slices.Clone(right.rows)
	if !w.ordered {
		slices.Sort(got)
		slices.Sort(want)
	}
	changed := w.rows != nil && !slices.Equal(w.rows, want)
	if changed {
		o.sum.changed++
	}
	if !slices.Equal(got, want) || changed && ran == w.ran {
		o.sum.missed++
		if o.sum.missed == 1 {
			o.t.Errorf("seed %d: missed (%d runs, before %d):\n%s\nargs %v\n got %q\nwant %q\nbefore %q\nat %s\n%s\n%s", o.seed, ran, w.ran, w.sql, w.args,
				got, want, w.rows, state.At, w.call.prepared().reads[0].Explain(), o.history())
		}
	}
	w.rows, w.ran = want, ran
	return false
}

// oracleAnswer is what PostgreSQL says when it is asked now.
type oracleAnswer struct {
	columns []pgconn.FieldDescription
	rows    []string
	err     string
}

// answers asks for all live queries, in one round trip while none fails.
func (o *oracle) answers() []oracleAnswer {
	o.t.Helper()
	var out []oracleAnswer
	for len(out) < len(o.live) {
		var text strings.Builder
		for _, w := range o.live[len(out):] {
			text.WriteString(w.plain + ";\n")
		}
		results := o.plain.Exec(o.t.Context(), text.String())
		for results.NextResult() {
			rr := results.ResultReader()
			a := oracleAnswer{columns: slices.Clone(rr.FieldDescriptions())}
			for rr.NextRow() {
				row := make([]string, len(a.columns))
				for i, v := range rr.Values() {
					row[i] = canonical(a.columns[i].DataTypeOID, v == nil, string(v))
				}
				a.rows = append(a.rows, strings.Join(row, "|"))
			}
			if _, err := rr.Close(); err != nil {
				break
			}
			out = append(out, a)
		}
		if err := results.Close(); err != nil {
			if o.plain.IsClosed() {
				o.t.Fatalf("seed %d: %v", o.seed, err)
			}
			out = append(out, oracleAnswer{err: err.Error()})
		}
	}
	return out
}

// canonical returns the rows of a frame like those of the answer.
func (a *oracleAnswer) canonical(t *testing.T, f *reactor.Frame) []string {
	var content struct{ Rows []map[string]any }
	dec := json.NewDecoder(bytes.NewReader(slices.Concat([]byte("{"), f.Content(), []byte("}"))))
	dec.UseNumber()
	if err := dec.Decode(&content); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, object := range content.Rows {
		row := make([]string, len(a.columns))
		for i, c := range a.columns {
			row[i] = canonicalJSON(c.DataTypeOID, object[c.Name])
		}
		rows = append(rows, strings.Join(row, "|"))
	}
	return rows
}

// round does one thing that may change results, and compares.
func (o *oracle) round() {
	if o.chance(3) {
		o.endLong() // or its locks keep triggers from being made
		o.drop(len(o.live) / 4)
		o.subscribe(len(o.live) / 3)
	} else {
		o.turn(o.check)
	}
	o.check()
}

// oracleSlice is how long an oracle runs: WEIR_ORACLE, or what is usual for it.
func oracleSlice(t *testing.T, usual time.Duration) time.Duration {
	if text := os.Getenv("WEIR_ORACLE"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("WEIR_ORACLE: %v", err)
		}
		return d
	}
	if testing.Short() {
		return usual / 4
	}
	return usual
}

// oracleSeed is WEIR_ORACLE_SEED, or the time.
func oracleSeed(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WEIR_ORACLE_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatalf("WEIR_ORACLE_SEED: %v", err)
		}
	}
	return seed
}

// TestOracleNothingIsMissed: W1, W2. After every write every live result equals
// a fresh execution, and the group of each result that changed has run.
func TestOracleNothingIsMissed(t *testing.T) {
	t.Parallel()
	var sum oracleTally
	end := time.Now().Add(oracleSlice(t, 16*time.Second))
	// However slow the machine is, some is checked.
	more := func() bool { return (time.Now().Before(end) || sum.checks < 25) && !t.Failed() }
	for seed := oracleSeed(t); more(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			o := newOracle(t, seed, &sum)
			o.subscribe(100)
			o.check()
			for i := 0; i < 80 && more() && !t.Failed(); i++ {
				o.round()
			}
			o.endLong()
			o.check()
			o.rest()
			sum.wrote.add(o.counts)
			// The first batch is one, and there is another when a transaction that was
			// open then, maybe of another database, has ended (C6).
			if n := o.host.log.Stats().Resyncs; n > 2 {
				t.Errorf("seed %d: %d resyncs, which hide what is missed", o.seed, n)
			}
			for _, w := range o.live {
				w.sub.Leave()
			}
		})
	}
	t.Log(&sum)
	if sum.changed < 10 && !t.Failed() {
		t.Errorf("only %d results changed: this proves too little", sum.changed)
	}
	sum.refused.Check(t)
}
