package reactor

import (
	"testing"
	"time"
)

// W6: the back-off doubles from 100 ms to 30 s, a quarter more or less, and never
// goes beyond.
// Cases: 118.
func TestBackoffIsBounded(t *testing.T) {
	t.Parallel()
	cfg := Config{Seed: 1}.withDefaults()
	c := newCore("a", &cfg, time.Unix(1e9, 0))
	f := func(failures int, want time.Duration) {
		t.Helper()
		for range 100 {
			if got := c.backoff(failures); got < want*3/4 || got > want*5/4 {
				t.Fatalf("after %d failures %v, want %v", failures, got, want)
			}
		}
	}
	f(1, 100*time.Millisecond)
	f(2, 200*time.Millisecond)
	f(9, 25600*time.Millisecond)
	f(10, 30*time.Second)
	f(11, 30*time.Second)
	f(1e6, 30*time.Second)
}

// The sweep and a resync run all groups, but not at one moment.
func TestGroupsDoNotRunTogether(t *testing.T) {
	t.Parallel()
	cfg := Config{Seed: 1}.withDefaults()
	now := time.Unix(1e9, 0)
	c := newCore("a", &cfg, now)
	sweeps, resyncs := map[time.Time]bool{}, map[time.Time]bool{}
	for range 100 {
		at, why := c.wake(now, time.Time{})
		if in := at.Sub(now); why != Swept || in < cfg.Resync*3/4 || in > cfg.Resync*5/4 {
			t.Fatalf("%s in %v", why, in)
		}
		sweeps[at] = true
	}
	for i := range 100 {
		key := Key([]byte{byte(i)})
		c.subscribe(now, newSubscription(Request{Key: key}, now))
	}
	c.feed(now, sortBatch(&Batch{Epoch: "e", Resync: true}))
	for c.step(now, 64) {
	}
	for _, g := range c.all {
		if in := g.due.Sub(now); in > 10*time.Millisecond {
			t.Fatalf("a hundred groups take %v", in) // 100 µs each
		}
		resyncs[g.due] = true
	}
	if len(sweeps) < 90 || len(resyncs) < 90 {
		t.Errorf("100 groups sweep at %d moments and resync at %d", len(sweeps), len(resyncs))
	}
}
