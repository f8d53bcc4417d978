package reactor

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// fairBench drives the choice between tenants by hand: each has groups that are
// always due and cost the same, and one wave runs at a time.
type fairBench struct {
	r    *Reactor
	now  time.Time
	cost map[string]time.Duration
	runs map[string]int
}

func newFairBench(weights map[string]int, cost map[string]time.Duration) *fairBench {
	b := &fairBench{now: time.Unix(1e9, 0), cost: cost, runs: map[string]int{}}
	b.r = New(Config{Seed: 1, Resync: -1, Now: func() time.Time { return b.now }, Tenant: func(name string) Config {
		return Config{Weight: weights[name]}
	}})
	return b
}

func (b *fairBench) join(tenant string, groups int) {
	c := b.r.core(tenant)
	for i := range groups {
		key := Key(fmt.Sprint(tenant, i))
		c.subscribe(b.now, newSubscription(Request{Key: key, Name: tenant, Waves: true}, b.now))
	}
	c.tick(b.now, math.MaxInt)
}

// serve runs n waves of one group.
func (b *fairBench) serve(n int) {
	for range n {
		b.r.level()
		c := b.r.fairest(nil)
		wave := c.wave(b.now, 1)
		expected := c.expect(wave)
		cost := b.cost[c.tenant]
		b.now = b.now.Add(cost)
		results := []Result{{Epoch: "e", Snapshot: Snapshot{XMin: 10, XMax: 10}, Frame: NewFrame("", []byte(`"value":1`)), Cost: cost}}
		c.charge(expected, results)
		c.finish(b.now, wave[0], results[0])
		b.runs[c.tenant]++
		c.cfg.MaxDebounce = 0
		c.invalidate(b.now, wave[0].group, Cause{Reason: Swept})
		c.tick(b.now, math.MaxInt)
		c.out = outputs{}
	}
}

// W7: tenants share the server's time by weight, not its runs: who is slow gets
// fewer of them.
func TestTenantsShareTimeByWeight(t *testing.T) {
	t.Parallel()
	f := func(weights map[string]int, cost map[string]time.Duration, want float64) {
		t.Helper()
		b := newFairBench(weights, cost)
		b.join("a", 50)
		b.join("b", 50)
		b.serve(2000)
		a, other := time.Duration(b.runs["a"])*cost["a"], time.Duration(b.runs["b"])*cost["b"]
		if got := float64(a) / float64(other); got < 0.95*want || got > 1.05*want {
			t.Errorf("weights %v, costs %v: a had %.2f times the time of b, want %.2f", weights, cost, got, want)
		}
	}
	f(nil, map[string]time.Duration{"a": time.Millisecond, "b": time.Millisecond}, 1)
	f(nil, map[string]time.Duration{"a": 20 * time.Millisecond, "b": time.Millisecond}, 1)
	f(map[string]int{"a": 3}, map[string]time.Duration{"a": time.Millisecond, "b": time.Millisecond}, 3)
	f(map[string]int{"b": 4}, map[string]time.Duration{"a": 5 * time.Millisecond, "b": time.Millisecond}, 0.25)
}

// W7: who was idle saves nothing up, and does not have to catch up either.
func TestAnIdleTenantComesBackAsAnEqual(t *testing.T) {
	t.Parallel()
	cost := map[string]time.Duration{"a": time.Millisecond, "b": time.Millisecond}
	b := newFairBench(nil, cost)
	b.join("a", 20)
	b.r.core("b")
	b.serve(1000)
	b.join("b", 20)
	b.runs = map[string]int{}
	b.serve(100)
	if b.runs["a"] < 45 || b.runs["a"] > 55 {
		t.Errorf("of 100 runs the one that worked all the time got %d", b.runs["a"])
	}
}

// W6: a client that makes up arguments cannot begin more than so many groups in a
// second; the others wait for their turn.
func TestFirstRunsHaveARate(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	cfg := Config{Seed: 1, Resync: -1, FirstRuns: 10}.withDefaults()
	c := newCore("t", &cfg, now)
	for i := range 35 {
		c.subscribe(now, newSubscription(Request{Key: Key(fmt.Sprint(i)), Waves: true}, now))
	}
	began := 0
	for second, want := range []int{10, 20, 30, 35} {
		c.tick(now, math.MaxInt)
		began += len(c.wave(now, 100))
		if began != want {
			t.Errorf("after %d s %d groups have begun, want %d", second, began, want)
		}
		now = now.Add(time.Second)
	}
}

// W6: one user cannot use up the groups of all; whoever shares a group that is
// there makes none, and what has gone does not count.
func TestOnePrincipalMakesSoManyGroups(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	cfg := Config{Seed: 1, Resync: -1, PrincipalGroups: 3, Linger: time.Second}.withDefaults()
	c := newCore("t", &cfg, now)
	ask := func(who, key string, policies ...string) *Subscription {
		req := Request{Key: Key(key), Waves: true, Principal: who}
		for _, p := range policies {
			req.Policies = append(req.Policies, Target{Key: Key(p), Waves: true})
		}
		s := newSubscription(req, now)
		c.subscribe(now, s)
		return s
	}
	ask("bob", "shared")
	mine := ask("ann", "1")
	for key, want := range map[string]error{"shared": nil, "2": nil} {
		if s := ask("ann", key); s.err != want {
			t.Errorf("%s: %v, want %v", key, s.err, want)
		}
	}
	if s := ask("ann", "3", "policy"); s.err != nil { // the policy is the third
		t.Errorf("a policy: %v", s.err)
	}
	if s := ask("ann", "4"); s.err != ErrPrincipalGroups {
		t.Errorf("one too many: %v", s.err)
	}
	if s := ask("bob", "4"); s.err != nil {
		t.Errorf("somebody else: %v", s.err)
	}
	if s := ask("", "5"); s.err != nil {
		t.Errorf("nobody: %v", s.err)
	}
	c.leave(now, mine)
	if s := ask("ann", "6"); s.err != nil {
		t.Errorf("after one has gone: %v", s.err)
	}
}
