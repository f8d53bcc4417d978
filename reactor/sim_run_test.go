package reactor

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// simPatience is how long a failing run is made shorter.
const simPatience = 20 * time.Second

// simRuns are runs of many seeds, on all processors.
type simRuns struct {
	first  uint64
	length time.Duration // or
	count  int64         // steps

	next  atomic.Uint64
	begun time.Time

	mu     sync.Mutex // protects the fields below
	did    simCount
	broken bool
	plan   simPlan // that failed, of the lowest seed
	why    string
}

// over reports whether enough has been run.
func (r *simRuns) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count > 0 {
		return r.broken || r.did.steps >= r.count
	}
	return r.broken || time.Since(r.begun) >= r.length
}

// run takes one seed after the other.
func (r *simRuns) run() {
	for !r.over() {
		p := wholePlan(r.next.Add(1) - 1)
		s, failure := p.run(false)
		s.count.steps = int64(len(p.steps))
		r.mu.Lock()
		r.did.add(&s.count)
		if failure != "" && (!r.broken || p.seed < r.plan.seed) {
			r.broken, r.plan, r.why = true, p, failure
		}
		r.mu.Unlock()
	}
}

// tell prints once a minute how far a long run has come.
func (r *simRuns) tell(stop <-chan struct{}) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			fmt.Fprintln(os.Stderr, "prove:", r)
		case <-stop:
			return
		}
	}
}

func (c *simCount) add(d *simCount) {
	c.steps += d.steps
	c.commits += d.commits
	c.runs += d.runs
	c.results += d.results
	c.deltas += d.deltas
}

func (r *simRuns) String() string {
	r.mu.Lock()
	did := r.did
	r.mu.Unlock()
	return fmt.Sprintf("simulation: %d steps of seeds %d to %d, %.1f million a minute on %d processors: %d transactions, %d executions, %d full results and %d deltas taken",
		did.steps, r.first, r.next.Load()-1, float64(did.steps)/time.Since(r.begun).Minutes()/1e6, runtime.GOMAXPROCS(0), did.commits, did.runs, did.results, did.deltas)
}

// What it has found is kept as a script or a test, since a seed means another run as
// soon as the simulation draws differently: dark and fence_dark (what reads a dark
// table), join_behind (a denial of before a silence), join_epoch (a result of a history
// that is over), fence_two (a ban overtaken by a membership that returns), alone (a wave
// that is given up), TestSwapNeverShowsOlderRows of host/serve. That it would find them
// again, and what seeds of before have found, the mutants show that name TestSimulation.

// TestSimulation runs seeds for WEIR_SIM, a duration (2 s if not set), or until
// WEIR_SIM_STEPS are done, from WEIR_SEED on. With WEIR_STEPS it does these steps
// of one seed and shows what happens. W1, W2, W3, W4, W5, W6, W9, F1, F2, F3, F4,
// F5, F6, F10, F12, F13, C4, C7, C10, D1, D9.
// Cases: 85.
func TestSimulation(t *testing.T) {
	t.Parallel()
	r := &simRuns{first: 1, length: 2 * time.Second, begun: time.Now()}
	var err error
	if text := os.Getenv("WEIR_SIM"); text != "" {
		if r.length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("WEIR_SIM_STEPS"); text != "" {
		if r.count, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("WEIR_SEED"); text != "" {
		if r.first, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("WEIR_STEPS"); text != "" {
		replay(t, r.first, text)
		return
	}
	r.next.Store(r.first)
	stop := make(chan struct{})
	var workers, teller sync.WaitGroup
	teller.Go(func() { r.tell(stop) })
	for range runtime.GOMAXPROCS(0) {
		workers.Go(r.run)
	}
	workers.Wait()
	close(stop)
	teller.Wait()
	t.Log("prove: " + r.String())
	if r.broken {
		patience := simPatience
		if testing.Short() { // who runs mutants wants to know that it fails, not why
			patience = 0
		}
		t.Fatal(r.plan.explain(r.why, patience))
	}
}

// replay does some steps of a seed and shows them.
func replay(t *testing.T, seed uint64, steps string) {
	p, err := parsePlan(seed, steps)
	if err != nil {
		t.Fatal(err)
	}
	s, failure := p.run(true)
	t.Log("\n" + s.trace.String())
	if failure != "" {
		t.Fatal(failure)
	}
}

// A failing run becomes one that a person can read: what the failure does not need
// is left out, and the rest fails alike.
func TestSimulationShrinksWhatFails(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed < 200; seed++ {
		p := wholePlan(seed)
		p.sabotage = func(n *simNode) { n.core.recent.reset(Snapshot{}) } // F5 is lost
		_, failure := p.run(false)
		if failure == "" {
			continue
		}
		short, runs := p.shrink(failure, time.Now().Add(time.Hour))
		_, again := short.run(false)
		if kind(again) != kind(failure) || len(short.steps) > 60 {
			t.Errorf("seed %d: %d of %d steps are left after %d runs: %q, then %q", seed, len(short.steps), len(p.steps), runs, failure, again)
		}
		same, err := parsePlan(seed, short.String())
		if err != nil || !slices.Equal(same.steps, short.steps) {
			t.Errorf("%s reads as %v, %v", &short, same.steps, err)
		}
		if text := short.explain(again, simPatience); !strings.Contains(text, "WEIR_STEPS="+short.String()) || !strings.Contains(text, again) {
			t.Errorf("the trace does not say how to run it again: %s", text)
		}
		t.Logf("seed %d: %d steps of %d are left after %d runs", seed, len(short.steps), len(p.steps), runs)
		return
	}
	t.Error("a core that forgets recent changes passes")
}
