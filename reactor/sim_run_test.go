package reactor

import (
	"fmt"
	"os"
	"runtime"
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

	next   atomic.Uint64
	steps  atomic.Int64
	deltas atomic.Int64
	begun  time.Time

	mu     sync.Mutex // protects the fields below
	broken bool
	plan   simPlan // that failed, of the lowest seed
	why    string
}

// over reports whether enough has been run.
func (r *simRuns) over() bool {
	r.mu.Lock()
	broken := r.broken
	r.mu.Unlock()
	if r.count > 0 {
		return broken || r.steps.Load() >= r.count
	}
	return broken || time.Since(r.begun) >= r.length
}

// run takes one seed after the other.
func (r *simRuns) run() {
	for !r.over() {
		p := wholePlan(r.next.Add(1) - 1)
		s, failure := p.run(false)
		r.steps.Add(int64(len(p.steps)))
		r.deltas.Add(int64(s.deltas))
		if failure == "" {
			continue
		}
		r.mu.Lock()
		if !r.broken || p.seed < r.plan.seed {
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
			fmt.Fprintln(os.Stderr, r)
		case <-stop:
			return
		}
	}
}

func (r *simRuns) String() string {
	steps, took := r.steps.Load(), time.Since(r.begun)
	return fmt.Sprintf("simulation: %d steps of seeds %d to %d, %d deltas, %.1f million steps a minute on %d processors",
		steps, r.first, r.next.Load()-1, r.deltas.Load(), float64(steps)/took.Minutes()/1e6, runtime.GOMAXPROCS(0))
}

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
	t.Log(r)
	if r.broken {
		t.Fatal(r.plan.explain(r.why, simPatience))
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
		short, runs := p.shrink(failure, time.Now().Add(simPatience))
		_, again := short.run(false)
		if kind(again) != kind(failure) || len(short.steps) > 60 {
			t.Errorf("seed %d: %d of %d steps are left after %d runs: %q, then %q", seed, len(short.steps), len(p.steps), runs, failure, again)
		}
		same, err := parsePlan(seed, short.String())
		if err != nil || len(same.steps) != len(short.steps) {
			t.Errorf("%s reads as %v, %v", &short, same.steps, err)
		}
		if text := p.explain(failure, simPatience); !strings.Contains(text, "WEIR_STEPS="+short.String()) {
			t.Errorf("the trace does not say how to run it again: %s", text)
		}
		return
	}
	t.Error("a core that forgets recent changes passes")
}
