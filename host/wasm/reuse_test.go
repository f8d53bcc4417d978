package wasm

import (
	"context"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// counting returns how often its instance was called since it was the image.
func counting() Guest {
	return Guest{Call: number(Join(I32(DataAt+100), Load(), I32(DataAt+100), I32(DataAt+100), Load(), add(I32(1)), Store()))}
}

// A batch is what waits while others run: those calls may see each other's, at most
// 64 of them, and none after them does.
func TestBatchIsABurst(t *testing.T) {
	t.Parallel()
	p := newPool(t, counting(), PoolConfig{MaxInstances: 1, Reuse: Batch})
	for range 3 { // nobody waits
		if n := numberOf(t, call(t, p, Call{})); n != 0 {
			t.Fatalf("a call alone sees %d before it", n)
		}
	}
	i, err := p.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.waiting.Add(1) // somebody always does
	most := 0
	for range 3 * maxBatch {
		out, err := i.call(t.Context(), named(&Call{}))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, int(numberOf(t, out)))
		p.put(t.Context(), i)
		if i, err = p.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if most != maxBatch-1 {
		t.Errorf("a call sees %d before it, want %d", most, maxBatch-1)
	}
	// An instance that was kept for a batch that is over is not used as it is.
	if _, err := i.call(t.Context(), named(&Call{})); err != nil {
		t.Fatal(err)
	}
	p.put(t.Context(), i)
	p.waiting.Add(-1)
	p.batch.Add(1)
	if n := numberOf(t, call(t, p, Call{})); n != 0 {
		t.Errorf("a call of another batch sees %d before it", n)
	}
}

// The choice is the operator's, also for instances that were kept.
func TestReuseCanBeChanged(t *testing.T) {
	t.Parallel()
	p := newPool(t, counting(), PoolConfig{MaxInstances: 1, Reuse: Sticky})
	for want := range int32(3) {
		if n := numberOf(t, call(t, p, Call{})); n != want {
			t.Errorf("sticky: %d calls before, want %d", n, want)
		}
	}
	p.SetReuse(Pristine)
	for range 2 {
		if n := numberOf(t, call(t, p, Call{})); n != 0 {
			t.Errorf("pristine: %d calls before", n)
		}
	}
	if s := p.Stats(); s.Started != 1 || s.Resets != 3 {
		t.Errorf("stats %+v", s)
	}
}

// busy makes a pool have n idle instances.
func busy(t *testing.T, p *Pool, n int) {
	t.Helper()
	taken := make([]*instance, n)
	for k := range taken {
		i, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		taken[k] = i
	}
	for _, i := range taken {
		i.frame.clock.since = now() // as a call that has ended now
		p.put(t.Context(), i)
	}
}

// Idle instances have a budget, per tenant and in total. Over it those go that were
// used the longest time ago, whosever they are, and the last one of a pool only if
// there is nothing else.
// Cases: 113.
func TestIdleInstancesHaveABudget(t *testing.T) {
	t.Parallel()
	r, err := NewRuntime(t.Context(), Config{MaxIdleBytes: 8 * instanceBytes})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	m, err := r.Compile(t.Context(), counting().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	pool := func(tenantName string, own int64) *Pool {
		p, err := NewPool(r, m, PoolConfig{Tenant: tenantName, MaxInstances: 20, Limits: tenant.Limits{
			MaxIdleGuestBytes: own * instanceBytes, GuestTimeout: generous.GuestTimeout,
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close(context.Background()) })
		i, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.image.way = &way{kind: discards} // so that an instance keeps nothing
		p.put(t.Context(), i)
		return p
	}
	idle := func(want ...int) func(pools ...*Pool) {
		return func(pools ...*Pool) {
			t.Helper()
			for n, p := range pools {
				if s := p.Stats(); s.Idle != want[n] || s.Instances != want[n] || s.IdleBytes != int64(want[n])*instanceBytes {
					t.Errorf("pool %d has %+v, want %d idle", n, s, want[n])
				}
			}
		}
	}
	a1 := pool("a", 5)
	busy(t, a1, 4)
	idle(4)(a1)
	a2 := pool("a", 5)
	busy(t, a2, 3) // of its own tenant, the oldest go
	idle(2, 3)(a1, a2)
	b := pool("b", 8)
	busy(t, b, 5) // of all
	idle(1, 2, 5)(a1, a2, b)
	busy(t, b, 8)
	idle(1, 1, 6)(a1, a2, b) // the last of each stays
	small := pool("c", 1)
	busy(t, small, 3)
	idle(1, 1, 5, 1)(a1, a2, b, small)
	if got := r.budget.bytes.Load(); got != 8*instanceBytes {
		t.Errorf("%d bytes are counted", got)
	}
	for _, p := range []*Pool{a1, a2, b, small} {
		p.Close(t.Context())
		p.Close(t.Context())
	}
	if got := r.budget.bytes.Load(); got != 0 || len(r.budget.pools)+len(r.budget.shares) != 0 || r.mapped.Load() != 0 {
		t.Errorf("after closing %d bytes are counted, %d pools, %d shares, %d are mapped", got, len(r.budget.pools), len(r.budget.shares), r.mapped.Load())
	}
}

// X4, X9: what ended badly is never used again, in no way of reuse.
// Cases: 37.
func TestFaultsEndTheInstance(t *testing.T) {
	t.Parallel()
	code := Join(I32(DataAt+100), Load(), Put(2), I32(DataAt+100), I32(9), Store(), Get(0), If(Unreachable()), number(Get(2)))
	for _, reuse := range []Reuse{Pristine, Batch, Sticky} {
		p := newPool(t, Guest{Call: code}, PoolConfig{Reuse: reuse})
		for range 5 {
			fails(t, p, Call{Function: 1}, abi.GuestTrap)
			if n := numberOf(t, call(t, p, Call{})); n != 0 {
				t.Errorf("reuse %d: the call after a trap sees %d", reuse, n)
			}
			p.SetReuse(Pristine)
			i, err := p.take(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i.sick = true
			p.put(t.Context(), i)
			p.SetReuse(reuse)
		}
	}
}

// An instance that is idle for a second keeps nothing for itself, and works.
func TestIdleInstancesRest(t *testing.T) {
	t.Parallel()
	p := newPool(t, counting(), PoolConfig{MaxInstances: 4})
	call(t, p, Call{})
	p.image.way = &way{kind: copies, hot: []span{{0, p.image.size}}}
	busy(t, p, 3)
	kept := instanceBytes + int64(p.image.size)
	for n, i := range p.idle {
		if i.memory.space == nil {
			t.Skip("this system maps no images")
		}
		i.served = 1
		p.renew(i)
		i.bytes = kept
		i.since = now() - instant(time.Duration(3-n)*restAfter/2) // the first is idle for 1.5 s, the second for 1
	}
	p.stats.IdleBytes = 3 * kept
	for _, want := range []int64{2, 1, 1, 1} { // how many do not rest
		p.share.bytes.Store(p.Stats().IdleBytes)
		busy(t, p, 1)
		if s := p.Stats(); s.IdleBytes != 3*instanceBytes+want*int64(p.image.size) {
			t.Errorf("%d bytes are kept, want those of %d", s.IdleBytes-3*instanceBytes, want)
		}
	}
	for range 2 {
		busy(t, p, 3)
		if n := numberOf(t, call(t, p, Call{})); n != 0 {
			t.Errorf("a call sees %d before it", n)
		}
	}
}
