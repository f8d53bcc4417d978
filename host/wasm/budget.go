package wasm

import (
	"context"
	"sync"
	"sync/atomic"
)

// instanceBytes estimates what an instance needs beside its memory: wazero's
// tables, functions and stack.
const instanceBytes = 128 << 10

// budget bounds what idle instances keep for themselves, per tenant and in total.
// Those that were used the longest time ago go first, whosever they are; the last
// one of a pool goes only if nothing else is left. It is safe for concurrent use.
type budget struct {
	limit int64
	clock atomic.Int64 // counts instances that become idle
	bytes atomic.Int64

	mu     sync.Mutex // protects the fields below
	pools  map[*Pool]struct{}
	shares map[string]*share
}

// share is what the idle instances of one tenant keep.
type share struct {
	budget *budget
	tenant string
	limit  atomic.Int64 // that of the newest pool
	bytes  atomic.Int64
	pools  int // protected by budget.mu
}

func newBudget(limit int64) *budget {
	return &budget{limit: limit, pools: map[*Pool]struct{}{}, shares: map[string]*share{}}
}

// join adds a pool and returns its tenant's share.
func (b *budget) join(p *Pool) *share {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.shares[p.config.Tenant]
	if s == nil {
		s = &share{budget: b, tenant: p.config.Tenant}
		b.shares[s.tenant] = s
	}
	s.limit.Store(p.config.Limits.MaxIdleGuestBytes)
	s.pools++
	b.pools[p] = struct{}{}
	return s
}

// leave removes a pool that has no idle instances any more.
func (b *budget) leave(p *Pool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.pools, p)
	if p.share.pools--; p.share.pools == 0 {
		delete(b.shares, p.share.tenant)
	}
}

// add counts bytes and reports whether there are too many now.
func (s *share) add(n int64) (over bool) {
	all, own := s.budget.bytes.Add(n), s.bytes.Add(n)
	return all > s.budget.limit || own > s.limit.Load()
}

// enforce closes idle instances until the tenant of p, and all together, keep no
// more than they may.
func (b *budget) enforce(ctx context.Context, p *Pool) {
	for p.share.bytes.Load() > p.share.limit.Load() {
		if !b.evict(ctx, p.share) {
			break
		}
	}
	for b.bytes.Load() > b.limit {
		if !b.evict(ctx, nil) {
			break
		}
	}
}

// evict closes one idle instance, of a tenant if there is one.
func (b *budget) evict(ctx context.Context, of *share) bool {
	var victim *Pool
	var at int64
	alone := true
	for _, p := range b.all(of) {
		n, stamp := p.oldest()
		switch {
		case n == 0:
		case victim == nil, alone && n > 1, alone == (n == 1) && stamp < at:
			victim, at, alone = p, stamp, n == 1
		}
	}
	return victim != nil && victim.evict(ctx)
}

func (b *budget) all(of *share) []*Pool {
	b.mu.Lock()
	defer b.mu.Unlock()
	pools := make([]*Pool, 0, len(b.pools))
	for p := range b.pools {
		if of == nil || p.share == of {
			pools = append(pools, p)
		}
	}
	return pools
}
