package reactor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// liveDB is a counter per tenant and list behind a Reactor: what each answers is
// how often it was changed. It is the database, the executor and the reader of
// the change log.
type liveDB struct {
	t *testing.T

	mu      sync.Mutex // protects the fields below
	next    uint64
	counts  map[string]int // by function, "tenant/list"
	pending []Change
	busy    map[string]bool // W3
	waves   map[string]int  // in flight, by tenant
	most    map[string]int
	all     int
	mostAll int
	widest  int
	runs    int
	fail    bool
	rand    *rand.Rand

	hold chan struct{} // if not nil, executions wait for it
}

func newLiveDB(t *testing.T) *liveDB {
	return &liveDB{
		t: t, next: 10, counts: map[string]int{}, busy: map[string]bool{}, waves: map[string]int{}, most: map[string]int{},
		rand: rand.New(rand.NewPCG(1, 2)),
	}
}

func liveTable(tenant string) uint32 { return 1000 + uint32(tenant[0]) }

func (d *liveDB) snapshot() Snapshot { return Snapshot{XMin: d.next, XMax: d.next} }

// change commits one update of a list.
func (d *liveDB) change(tenant string, list int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[fmt.Sprintf("%s/%d", tenant, list)]++
	d.pending = append(d.pending, Change{
		XID: d.next, Table: liveTable(tenant), Op: Update,
		Keys: []Tuple{{{Column: 1, Value: IntValue(int64(list))}}},
	})
	d.next++
}

// batch reads the log.
func (d *liveDB) batch() Batch {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := Batch{Epoch: "e", Began: time.Now(), Snapshot: d.snapshot(), Changes: d.pending}
	d.pending = nil
	return b
}

func (d *liveDB) request(tenant string, list int) Request {
	name := fmt.Sprintf("%s/%d", tenant, list)
	return Request{Tenant: tenant, Key: Key(name), Name: name, Call: list, Waves: true}
}

// Execute implements Executor.
func (d *liveDB) Execute(ctx context.Context, wave []*Execution) []Result {
	tenant := wave[0].Name[:1]
	d.enter(tenant, wave)
	defer d.exit(tenant, wave)
	if d.hold != nil {
		select {
		case <-d.hold:
		case <-ctx.Done():
		}
	}
	results := make([]Result, len(wave))
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, e := range wave {
		if ctx.Err() != nil || d.fail && d.rand.IntN(4) == 0 {
			results[i] = Result{Err: errSim}
			continue
		}
		results[i] = Result{
			Epoch: "e", Snapshot: d.snapshot(), Cost: time.Microsecond,
			Reads: ReadSet{Atoms: []Atom{{Table: liveTable(tenant), Eq: []Equality{{Column: 1, Values: []Value{IntValue(int64(e.Call.(int)))}}}}}},
			Frame: NewFrame(e.Query, fmt.Appendf(nil, `"value":"%d"`, d.counts[e.Name])),
		}
	}
	return results
}

func (d *liveDB) enter(tenant string, wave []*Execution) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waves[tenant]++
	d.all++
	d.runs += len(wave)
	d.most[tenant] = max(d.most[tenant], d.waves[tenant])
	d.mostAll = max(d.mostAll, d.all)
	d.widest = max(d.widest, len(wave))
	for _, e := range wave {
		if e.Name[:1] != tenant {
			d.t.Errorf("a wave of %s and %s", tenant, e.Name)
		}
		if d.busy[e.Name] {
			d.t.Errorf("W3: %s runs twice at once", e.Name)
		}
		d.busy[e.Name] = true
	}
}

func (d *liveDB) exit(tenant string, wave []*Execution) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waves[tenant]--
	d.all--
	for _, e := range wave {
		delete(d.busy, e.Name)
	}
}

func (d *liveDB) count(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprint(d.counts[name])
}

// start runs a Reactor on the database; stop ends it and waits.
func (d *liveDB) start(cfg Config) (r *Reactor, stop func()) {
	cfg.Executor = d
	r = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			d.t.Errorf("Run returned %v", err)
		}
	}
}

// TestReactorUnderConcurrency subscribes, leaves, asks and changes from many
// goroutines. In the end every client shows what the database says (W1), runs
// never overlapped (W3), waves were bounded (W6), and nobody was called twice at
// once.
func TestReactorUnderConcurrency(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	d := newLiveDB(t)
	d.fail = true
	poke := make(chan struct{}, 1)
	var inside atomic.Int32
	alone := func() {
		if inside.Add(1) != 1 {
			t.Error("two calls out of the loop at once")
		}
		inside.Add(-1)
	}
	r, stop := d.start(Config{
		Seed: 1, MaxExecutions: 3, TenantExecutions: 2, MaxWave: 4, MaxDebounce: time.Millisecond, Linger: time.Millisecond,
		Poke: func() {
			alone()
			select {
			case poke <- struct{}{}:
			default:
			}
		},
		Published: func([]*Publication) { alone() },
		Observe:   func(Run) { alone() },
	})
	defer stop()

	reading, readers := context.WithCancel(ctx)
	var reader, clients sync.WaitGroup
	reader.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for reading.Err() == nil {
			if err := r.Apply(ctx, d.batch()); err != nil {
				t.Errorf("apply: %v", err)
				return
			}
			select {
			case <-poke:
			case <-tick.C:
			case <-reading.Done():
			}
		}
	})
	for client := range 8 {
		clients.Go(func() { d.client(ctx, r, uint64(client)) })
	}
	clients.Wait()

	d.mu.Lock()
	d.fail = false
	d.mu.Unlock()
	for _, tenant := range []string{"a", "b", "c"} {
		for list := range 5 {
			d.settled(ctx, r, d.request(tenant, list))
		}
	}
	readers()
	reader.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mostAll > 3 || d.widest > 4 || max(d.most["a"], d.most["b"], d.most["c"]) > 2 {
		t.Errorf("W6: %d waves at once, %v by tenant, %d executions in a wave", d.mostAll, d.most, d.widest)
	}
}

// client does random things, and checks that what it gets is not older than its
// question (F3).
func (d *liveDB) client(ctx context.Context, r *Reactor, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	var subs []*Subscription
	for range 300 {
		tenant, list := string(rune('a'+rnd.IntN(3))), rnd.IntN(5)
		req := d.request(tenant, list)
		switch rnd.IntN(5) {
		case 0, 1:
			d.change(tenant, list)
		case 2:
			req.Ready = func(*Subscription) {}
			subs = append(subs, r.Subscribe(req))
		case 3:
			if n := len(subs); n > 0 {
				subs[n-1].Leave()
				subs[n-1].Leave() // twice is harmless
				subs = subs[:n-1]
			}
		case 4:
			var before, got int
			fmt.Sscan(d.count(req.Name), &before)
			st, err := r.Get(ctx, req)
			if err != nil {
				d.t.Errorf("get %s: %v", req.Name, err)
				return
			}
			if st.Status != Live {
				continue // a run failed, and says so
			}
			if fmt.Sscan(simContent(st.Frame), &got); got < before {
				d.t.Errorf("F3: %s is %d, was %d before the question", req.Name, got, before)
			}
		}
	}
	for _, s := range subs {
		s.Leave()
	}
}

// settled waits until a live result equals what the database says.
func (d *liveDB) settled(ctx context.Context, r *Reactor, req Request) {
	for {
		st, err := r.Get(ctx, req)
		if err != nil {
			d.t.Errorf("get %s: %v", req.Name, err)
			return
		}
		if st.Status == Live && simContent(st.Frame) == d.count(req.Name) {
			return
		}
	}
}

// After Run has ended everything says ErrClosed, at once, and executions in
// flight have returned.
func TestReactorCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newLiveDB(t)
		d.hold = make(chan struct{})
		r, stop := d.start(Config{})
		if err := r.Apply(t.Context(), d.batch()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		told := make(chan error, 3)
		req := d.request("a", 1)
		req.Ready = func(s *Subscription) { told <- s.Err() }
		r.Subscribe(req)
		synctest.Wait()
		if d.all != 1 {
			t.Fatalf("%d waves in flight, want 1", d.all)
		}
		stop()
		if err := <-told; !errors.Is(err, ErrClosed) {
			t.Errorf("who waited is told %v", err)
		}
		if d.all != 0 {
			t.Error("Run returned before its executions")
		}
		s := r.Subscribe(req)
		if err := <-told; !errors.Is(err, ErrClosed) {
			t.Errorf("a new subscription is told %v", err)
		}
		s.Leave()
		for range 3 {
			if err := r.Apply(t.Context(), d.batch()); !errors.Is(err, ErrClosed) {
				t.Errorf("apply returns %v", err)
			}
		}
		if _, err := r.Get(t.Context(), d.request("a", 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("get returns %v", err)
		}
	})
}

// Apply and Get give up with their context.
func TestReactorHeedsContext(t *testing.T) {
	t.Parallel()
	r := New(Config{}) // does not run
	ctx, cancel := context.WithCancel(t.Context())
	if err := r.Apply(ctx, Batch{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := r.Apply(ctx, Batch{}); !errors.Is(err, context.Canceled) {
		t.Errorf("apply returns %v", err)
	}
	if _, err := r.Get(ctx, Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("get returns %v", err)
	}
}

// An execution that does not come back ends with its deadline, the group says
// so, and runs again (W6, W9).
// Cases: 118.
func TestExecutionEndsAtDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newLiveDB(t)
		d.hold = make(chan struct{})
		r, stop := d.start(Config{Deadline: time.Second, MaxStale: time.Hour})
		defer stop()
		begun := time.Now()
		st, err := r.Get(t.Context(), d.request("a", 1))
		if err != nil || st.Status != Failed || !errors.Is(st.Err, errSim) {
			t.Errorf("got %+v, %v", st, err)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %v", took)
		}
		close(d.hold)
		if st, err := r.Get(t.Context(), d.request("a", 1)); err != nil || st.Status != Live {
			t.Errorf("got %+v, %v", st, err)
		}
	})
}

// W6: what runs at a moment is bounded, for all, for one tenant and in one wave;
// and what is free is used.
// Cases: 113, 115.
func TestExecutionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newLiveDB(t)
		d.hold = make(chan struct{})
		r, stop := d.start(Config{MaxExecutions: 3, TenantExecutions: 2, MaxWave: 2})
		defer stop()
		check := func(all int) {
			t.Helper()
			synctest.Wait()
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.mostAll != all || max(d.most["a"], d.most["b"], d.most["c"]) != 2 || d.widest > 2 {
				t.Errorf("%d waves at once, %v by tenant, %d executions in a wave", d.mostAll, d.most, d.widest)
			}
		}
		for i, tenant := range []string{"a", "b", "c"} {
			for list := range 10 {
				r.Subscribe(d.request(tenant, list))
			}
			check(min(2+i, 3))
		}
		close(d.hold)
		check(3)
		if d.runs != 30 {
			t.Errorf("%d runs, want 30", d.runs)
		}
	})
}

// F8: a slot that is free goes to one tenant after another, however much the
// first one has to do.
func TestFreeSlotsGoRound(t *testing.T) {
	t.Parallel()
	d := newLiveDB(t)
	now := time.Unix(1e9, 0)
	r := New(Config{Executor: d, Resync: -1, MaxExecutions: 1, MaxWave: 1, Now: func() time.Time { return now }})
	for _, tenant := range []string{"a", "b", "c"} {
		for list := range 20 {
			r.core(tenant).subscribe(now, newSubscription(d.request(tenant, list), now))
		}
	}
	for range 15 {
		r.turn(t.Context())
		r.wg.Wait()
	}
	for tenant, c := range r.cores {
		if ran := int(c.stats.executions); ran < 4 || ran > 5 {
			t.Errorf("tenant %s ran %d times", tenant, ran)
		}
	}
}

// C10, W9: a tenant that comes after a table went dark is told like the others.
// Cases: 105.
func TestLaterTenantIsToldOfDarkTables(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newLiveDB(t)
		r, stop := d.start(Config{})
		defer stop()
		r.SetUncaptured(map[uint32]string{liveTable("b"): "its triggers are gone"})
		synctest.Wait()
		for tenant, want := range map[string]error{"a": nil, "b": ErrUncaptured} {
			st, err := r.Get(t.Context(), d.request(tenant, 1))
			if err != nil || !errors.Is(st.Err, want) || st.Frame == nil {
				t.Errorf("tenant %s: %+v, %v", tenant, st, err)
			}
		}
	})
}

// N6, W3: a thousand subscribers of one group cost one execution and one
// encoding, at first and at a change.
// Cases: 75.
func TestManySubscribersOneRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		d := newLiveDB(t)
		r, stop := d.start(Config{})
		defer stop()
		if err := r.Apply(t.Context(), d.batch()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ready := 0
		var subs []*Subscription
		for range n {
			req := d.request("a", 1)
			req.Ready = func(*Subscription) { ready++ } // all from the loop
			subs = append(subs, r.Subscribe(req))
		}
		synctest.Wait()
		if err := r.Apply(t.Context(), d.batch()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		check := func(runs int, value string) {
			t.Helper()
			if d.runs != runs || ready != n {
				t.Errorf("%d runs, %d ready, want %d and %d", d.runs, ready, runs, n)
			}
			first := frameOf(subs[0])
			for _, s := range subs {
				if frameOf(s) != first {
					t.Fatal("subscribers have different frames")
				}
			}
			if got := simContent(first); got != value {
				t.Errorf("shows %s, want %s", got, value)
			}
		}
		check(1, "0")
		time.Sleep(time.Second) // virtual: let it become idle
		d.change("a", 1)
		if err := r.Apply(t.Context(), d.batch()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		check(2, "1")
	})
}

// stepped is a reactor whose loop the test turns. Each look at the clock costs
// 10 µs: a slice is some ten of them. Tenants a and b have one group each.
type stepped struct {
	*Reactor
	t  *testing.T
	db *liveDB
}

func newStepped(t *testing.T) *stepped {
	d := newLiveDB(t)
	var mu sync.Mutex
	clock := time.Unix(1e9, 0)
	s := &stepped{t: t, db: d, Reactor: New(Config{Executor: d, Resync: -1, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(10 * time.Microsecond)
		return clock
	}})}
	for _, tenant := range []string{"a", "b"} {
		s.core(tenant).subscribe(clock, newSubscription(d.request(tenant, 1), clock))
	}
	s.push(d.batch())
	d.change("b", 1)
	s.turns(func() bool {
		rests := func(c *core) bool { return !c.all[0].dirty && !c.all[0].running && s.shown(c.tenant) != "" }
		return len(s.batches) == 0 && !s.applying() && rests(s.cores["a"]) && rests(s.cores["b"])
	})
	return s
}

func (s *stepped) push(b Batch) { s.batches <- sortBatch(&b) }

// turns turns the loop until something is so, and counts. Runs end within the
// turn.
func (s *stepped) turns(until func() bool) (n int) {
	s.t.Helper()
	for ; !until(); n++ {
		s.turn(s.t.Context())
		s.wg.Wait()
		if n > 100000 {
			s.t.Fatal("never")
		}
	}
	return n
}

func (s *stepped) applying() bool {
	return slices.ContainsFunc(s.order, func(c *core) bool { return c.batch != nil || len(c.backlog.batches) > 0 })
}

// shown is the value that a tenant's group shows.
func (s *stepped) shown(tenant string) string {
	st := s.cores[tenant].all[0].pub.State()
	if st == nil {
		return ""
	}
	return simContent(st.Frame)
}

// F8: while a flood of tenant a's changes is applied, tenant b's group runs after
// a few turns of the loop, not after the flood.
func TestFloodOfOneTenantDoesNotStarveAnother(t *testing.T) {
	t.Parallel()
	s := newStepped(t)
	d := s.db
	const flood = 200000
	b := d.batch()
	for i := range flood {
		b.Changes = append(b.Changes, Change{XID: d.next + uint64(i), Table: liveTable("a"), Op: Update, Keys: []Tuple{{{Column: 1, Value: IntValue(int64(i % 1000))}}}})
	}
	d.counts["b/1"] = 7
	b.Changes[10] = Change{XID: d.next + 10, Table: liveTable("b"), Op: Insert}
	d.next += flood
	b.Snapshot = d.snapshot()
	s.push(b)
	if n := s.turns(func() bool { return s.shown("b") == "7" }); n > 6 {
		t.Errorf("tenant b waited %d turns", n)
	}
	// Batches that come meanwhile are b's at once, too.
	d.change("b", 1)
	s.push(d.batch())
	if n := s.turns(func() bool { return s.shown("b") == "8" }); n > 20 { // its debounce included
		t.Errorf("tenant b waited %d turns for the next batch", n)
	}
	if left := s.turns(func() bool { return !s.applying() }); left < 50 {
		t.Errorf("the flood was over after %d more turns: nothing is shown", left)
	}
}

// F8, W7: a tenant that cannot keep up with the log is told that changes were
// lost. Its results are right in the end, and what waits for it is bounded.
// Cases: 100.
func TestWhoCannotKeepUpResyncs(t *testing.T) {
	t.Parallel()
	s := newStepped(t)
	const batches = 1 + 3*maxBatches // the last one is the one too many
	for range batches {
		s.db.change("a", 1)
		s.push(s.db.batch())
		s.receive() // no core gets a turn
	}
	for _, c := range s.order {
		if n := len(c.backlog.batches); n > maxBatches {
			t.Errorf("%d batches wait for %s", n, c.tenant)
		}
	}
	want := fmt.Sprint(batches)
	s.turns(func() bool { return !s.applying() && s.shown("a") == want })
}

func frameOf(s *Subscription) *Frame {
	st, _ := s.State()
	return st.Frame
}
