package reactor

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// Reactor drives one core per tenant. It is safe for concurrent use.
type Reactor struct {
	cfg     Config
	batches chan *sorted  // at most one waits: the log is read no faster than taken
	wake    chan struct{} // something is in the inbox
	done    chan struct{} // Run has ended

	mu     sync.Mutex // protects the fields below
	inbox  inbox
	stats  Stats
	shown  map[string]*TenantStats // what Stats tells of each core
	closed bool

	// Owned by the loop.
	cores   map[string]*core
	order   []*core           // round robin
	dark    map[uint32]string // tables that are not captured
	last    *sorted           // the newest batch, for cores made later
	waves   int
	running int
	wg      sync.WaitGroup // executions

	sliced func(time.Duration) // for benchmarks: how long a core kept the loop
}

// inbox is what other goroutines hand to the loop. It is bounded by what they
// hold: a subscription enters and leaves once, an execution finishes once.
type inbox struct {
	subs     []*Subscription
	leaves   []*Subscription
	finished []flight
	syncs    []tenantSync
	// The newest list of dark tables, if captureTold.
	uncaptured  map[uint32]string
	captureTold bool
	reload      bool // the tenants' limits have changed
	asks        []*question
}

type tenantSync struct {
	tenant string
	sync   *Sync
}

// flight is one wave and what came of it.
type flight struct {
	core     *core
	wave     []*Execution
	results  []Result
	expected time.Duration // what it was charged with
	ended    time.Time     // the execution
}

// slice is how long one core may keep the loop before the next one's turn (F8).
const slice = 100 * time.Microsecond

// New returns a Reactor that does nothing until Run.
func New(cfg Config) *Reactor {
	return &Reactor{
		cfg:     cfg.withDefaults(),
		batches: make(chan *sorted, 1),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		cores:   map[string]*core{},
		shown:   map[string]*TenantStats{},
	}
}

// Apply hands over what became visible in the database. It waits while an
// earlier batch has not been taken. The batch must not be changed later.
// Batches must come in the order of their snapshots. It returns ErrClosed or
// ctx's error.
func (r *Reactor) Apply(ctx context.Context, b Batch) error {
	select {
	case <-r.done:
		return ErrClosed // also if there is room for the batch
	default:
	}
	select {
	case r.batches <- sortBatch(&b):
		r.signal()
		return nil
	case <-r.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Subscribe asks for a live result. It returns at once; Request.Ready tells when
// there is something to show, or why there never will be.
func (r *Reactor) Subscribe(req Request) *Subscription {
	s := newSubscription(req, r.cfg.Now())
	s.reactor = r
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.inbox.subs = append(r.inbox.subs, s)
	}
	r.mu.Unlock()
	if closed {
		s.refuse(ErrClosed)
		return s
	}
	r.signal()
	return s
}

// refuse makes a subscription ready that will never have a state.
func (s *Subscription) refuse(err error) {
	s.err = err
	s.told()
}

// told says that it is ready. What was asked is of no use any more.
func (s *Subscription) told() {
	a := s.asking
	s.asking = nil
	if a != nil && a.req.Ready != nil {
		a.req.Ready(s)
	}
}

func (r *Reactor) leave(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.inbox.leaves = append(r.inbox.leaves, s)
		r.signal()
	}
}

// Reload asks Config.Tenant for the limits of every tenant again.
func (r *Reactor) Reload() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.inbox.reload = true
		r.signal()
	}
}

// Stats returns figures that are at most a moment old.
func (r *Reactor) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Tenants = make(map[string]TenantStats, len(r.shown))
	for name, t := range r.shown {
		s.Tenants[name] = *t
	}
	return s
}

func (r *Reactor) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run drives the cores until ctx ends and all executions have returned. It may
// be called once.
func (r *Reactor) Run(ctx context.Context) error {
	defer close(r.done)
	defer r.refuse()
	defer r.wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before Wait: executions in flight end with the loop
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.turn(ctx) {
			// What the turn started is on this thread's queue, where it would wait
			// until the loop is preempted.
			runtime.Gosched()
			continue
		}
		timer.Reset(r.sleep())
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// refuse tells those who still wait that nothing will come.
func (r *Reactor) refuse() {
	r.mu.Lock()
	r.closed = true
	waiting := r.inbox.subs
	r.inbox = inbox{}
	r.mu.Unlock()
	for _, c := range r.order {
		waiting = append(waiting, c.backlog.waiting()...)
		for _, g := range c.all {
			waiting = append(waiting, g.joiners...)
		}
	}
	for _, s := range waiting {
		if s.err == nil { // it may wait for several policies
			s.refuse(ErrClosed)
		}
	}
}

// turn gives each core a slice and hands out what it wants done. It reports
// whether a core has more to do.
func (r *Reactor) turn(ctx context.Context) bool {
	r.receive()
	more := false
	for _, c := range r.order {
		more = r.drive(c) || more
		r.show(c)
		r.hand(&c.out)
	}
	if len(r.order) > 1 {
		r.order = append(r.order[1:], r.order[0])
	}
	r.start(ctx)
	r.count()
	return more || len(r.batches) > 0
}

// receive moves the inbox into the cores. A batch goes to every core; each looks
// only at what its own groups read.
func (r *Reactor) receive() {
	r.mu.Lock()
	in := r.inbox
	r.inbox = inbox{}
	r.mu.Unlock()
	if in.captureTold {
		r.dark = in.uncaptured
		for _, c := range r.order {
			c.setUncaptured(r.cfg.Now(), r.dark)
		}
	}
	if in.reload {
		for _, c := range r.order {
			c.configure(r.cfg.of(c.tenant))
		}
	}
	for _, f := range in.finished {
		r.waves--
		r.running -= len(f.wave)
		f.core.charge(f.expected, f.results)
		for i, e := range f.wave {
			e.ended = f.ended
			f.core.backlog.tasks = append(f.core.backlog.tasks, task{run: e, result: &f.results[i]})
		}
	}
	for _, s := range in.subs {
		s.core = r.core(s.asking.req.Tenant)
		l := &s.core.backlog
		l.tasks = append(l.tasks, task{sub: s})
	}
	for _, s := range in.syncs {
		l := &r.core(s.tenant).backlog
		l.tasks = append(l.tasks, task{sync: s.sync})
	}
	for _, q := range in.asks {
		r.put(q)
	}
	for _, s := range in.leaves {
		l := &s.core.backlog
		l.tasks = append(l.tasks, task{sub: s, leaves: true})
	}
	select {
	case b := <-r.batches:
		r.last = b
		for _, c := range r.order {
			c.backlog.put(b)
		}
	default:
	}
}

// core returns a tenant's core, made at its first subscription.
func (r *Reactor) core(tenant string) *core {
	c := r.cores[tenant]
	if c == nil {
		c = newCore(tenant, r.cfg.of(tenant), r.cfg.Now())
		if r.last != nil {
			c.adopt(r.last)
		}
		c.uncaptured = r.dark
		r.cores[tenant] = c
		r.order = append(r.order, c)
	}
	return c
}

// drive does what waits for a core for at most a slice, and reports whether more
// remains.
func (r *Reactor) drive(c *core) (more bool) {
	now := r.cfg.Now()
	end := now.Add(slice)
	for more = true; more && now.Before(end); now = r.cfg.Now() {
		more = c.advance(now)
	}
	more = c.tick(now, 64) || more
	if r.sliced != nil {
		r.sliced(r.cfg.Now().Sub(end) + slice)
	}
	return more
}

// hand gives a core's outputs to those who wait for them. A run is counted before
// anybody is shown what it found.
func (r *Reactor) hand(out *outputs) {
	for _, run := range out.runs {
		r.cfg.Observe(run)
	}
	for _, took := range out.applied {
		r.cfg.Applied(took)
	}
	if len(out.published) > 0 && r.cfg.Published != nil {
		r.cfg.Published(out.published)
	}
	for _, s := range out.decided {
		if decided := s.asking.req.Decided; decided != nil {
			decided(s)
		}
	}
	for _, s := range out.ready {
		s.told()
	}
	for _, s := range out.synced {
		s.Done()
	}
	if out.poke && r.cfg.Poke != nil {
		r.cfg.Poke()
	}
	*out = outputs{}
}

// start begins as many waves as there are free slots; who has used least of the
// server comes first.
func (r *Reactor) start(ctx context.Context) {
	r.level()
	var tried map[*core]bool // those that have nothing that may run now
	for r.waves < r.cfg.MaxExecutions {
		c := r.fairest(tried)
		if c == nil {
			return
		}
		wave := c.wave(r.cfg.Now(), r.share(c))
		if len(wave) > 0 {
			r.launch(ctx, c, wave)
			continue
		}
		if tried == nil {
			tried = map[*core]bool{}
		}
		tried[c] = true
	}
}

// share is how many ready groups one wave should take: all cores of the machine
// busy, but no transaction longer than need be.
func (r *Reactor) share(c *core) int {
	free := min(r.cfg.MaxExecutions-r.waves, c.cfg.TenantExecutions-c.account.flights, runtime.GOMAXPROCS(0))
	return min(c.cfg.MaxWave, (c.ready.len()+free-1)/free)
}

// launch runs a wave in a goroutine of its own.
func (r *Reactor) launch(ctx context.Context, c *core, wave []*Execution) {
	r.waves++
	expected := c.expect(wave)
	deadline := c.cfg.Deadline
	r.running += len(wave)
	r.wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		results := r.cfg.Executor.Execute(ctx, wave)
		if len(results) != len(wave) {
			panic("BUG: the executor returned another number of results")
		}
		ended := r.cfg.Now()
		r.mu.Lock()
		r.inbox.finished = append(r.inbox.finished, flight{c, wave, results, expected, ended})
		r.mu.Unlock()
		r.signal()
	})
}

// sleep is how long nothing will happen by itself.
func (r *Reactor) sleep() time.Duration {
	now := r.cfg.Now()
	wait := time.Hour
	for _, c := range r.order {
		wait = min(wait, c.next().Sub(now))
	}
	return max(wait, 0)
}

// show publishes a tenant's figures, before anybody is told what they count.
func (r *Reactor) show(c *core) {
	r.mu.Lock()
	defer r.mu.Unlock()
	shown := r.shown[c.tenant]
	if shown == nil {
		shown = &TenantStats{}
		r.shown[c.tenant] = shown
	}
	*shown = c.tenantStats()
}

// count publishes the figures of all tenants together.
func (r *Reactor) count() {
	now := r.cfg.Now()
	s := Stats{Running: r.running, Waves: r.waves}
	for _, c := range r.order {
		s.add(c, now)
		r.show(c) // what start did with it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats = s
}
