package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pool keeps the instances of one module for one tenant. It is safe for
// concurrent use. Instances are made when calls need them and are never shared
// with another pool. Idle ones are kept until Close, or until the budget of
// Config.MaxIdleBytes or Limits.MaxIdleGuestBytes is used up.
type Pool struct {
	runtime *Runtime
	module  *Module
	config  PoolConfig
	slots   chan struct{} // a place for each instance
	imaging chan struct{} // a token for who makes the image
	waiting atomic.Int64  // calls that wait for a place or their turn
	reuse   atomic.Uint32 // a Reuse
	batch   atomic.Uint64 // counts the times that no call waited
	share   *share        // the tenant's part of the budget

	mu       sync.Mutex  // protects the fields below
	idle     []*instance // the oldest first
	rested   int         // how many of them, from the first, rest
	image    *image
	imagined bool // whether there is an image, or will never be one
	manifest []byte
	stats    PoolStats
	closed   bool
}

// PoolStats counts what a pool did.
type PoolStats struct {
	Calls   int64
	Started int64 // instances made for calls
	Dropped int64 // after a fault
	Resets  int64 // instances made the image again
	Regrown int64 // calls that grew the memory
	Evicted int64 // idle instances given up for others

	Instances  int // alive, idle ones included
	Idle       int
	IdleBytes  int64  // estimate of what the idle ones keep for themselves
	ImageBytes int64  // what they share
	Reset      string // how: discard, keep or copy; none if a call's instance is used once
}

// NewPool makes a pool. Nothing runs yet. The module must outlive the pool.
func NewPool(r *Runtime, m *Module, config PoolConfig) (*Pool, error) {
	config = config.withDefaults()
	if least := m.MinMemory(); least > config.Limits.MaxMemoryBytes {
		return nil, refuse("the module needs %d bytes of memory to start, more than the %d allowed: lower its initial memory or raise the limit", least, config.Limits.MaxMemoryBytes)
	}
	p := &Pool{
		runtime: r, module: m, config: config,
		slots:   make(chan struct{}, max(1, config.MaxInstances)),
		imaging: make(chan struct{}, 1),
	}
	p.SetReuse(config.Reuse)
	p.share = r.budget.join(p)
	return p, nil
}

// SetReuse chooses how instances are used again from now on.
func (p *Pool) SetReuse(r Reuse) { p.reuse.Store(uint32(r)) }

// SetDynamic grants query_sql, which needs the manifest. Call it before the first
// Call.
func (p *Pool) SetDynamic(granted bool) { p.config.Dynamic = granted }

// Describe starts an instance and returns its manifest. A second instance, born
// at another time with another seed, must describe itself in the same bytes: a
// manifest that depends on luck would make two nodes serve different plugins
// under one name.
func (p *Pool) Describe(ctx context.Context) ([]byte, error) {
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	defer p.leave()
	first, err := p.take(ctx)
	if err != nil {
		return nil, undescribed(err)
	}
	p.put(ctx, first)
	seed := p.config.InitSeed
	for i := range seed {
		seed[i] = ^seed[i]
	}
	canary, manifest, err := p.start(ctx, seed, p.config.LoadedAt.Add(time.Hour))
	if err != nil {
		return nil, undescribed(err)
	}
	canary.close(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !bytes.Equal(manifest, p.manifest) {
		return nil, refuse("the plugin describes itself differently each time: its manifest must not depend on time, randomness or the order of a map")
	}
	return bytes.Clone(manifest), nil
}

// undescribed says what to look at when a guest ends before it has described
// itself.
func undescribed(err error) error {
	var trap *TrapError
	if !errors.As(err, &trap) {
		return err
	}
	said := string(trap.Kind) + ": " + trap.What
	if trap.Said != "" {
		said = trap.Said + ", " + said
	}
	return &undescribedError{"the plugin crashes while it describes itself (" + said + "): look at its init functions and package-level variables", err}
}

// undescribedError is a sentence of its own, with the trap as its cause.
type undescribedError struct {
	text string
	err  error
}

// Error returns the sentence.
func (e *undescribedError) Error() string { return e.text }

// Unwrap returns the trap.
func (e *undescribedError) Unwrap() error { return e.err }

// Call runs one call on an instance of its own. It waits for an instance and for
// its turn until ctx ends. Errors of the guest's own are outputs; an error here
// means that the call has no outcome.
func (p *Pool) Call(ctx context.Context, c *Call) (*Output, error) {
	if frameOf(ctx) != nil {
		return nil, ErrReentrant
	}
	if err := p.enter(ctx); err != nil {
		return nil, fmt.Errorf("%s: waiting for an instance: %w", Where{p.config.Plugin, c.Name}, err)
	}
	i, err := p.take(ctx)
	if err != nil {
		p.leave()
		return nil, err
	}
	i.frame.inside = true
	// Deferred, because a Call.Log of the host may panic.
	defer func() {
		if i.frame.inside {
			p.runtime.running.leave()
		}
		i.frame.inside = false
		p.put(ctx, i)
		<-p.slots
	}()
	return i.call(ctx, c)
}

// enter takes a place for an instance and a token to run.
func (p *Pool) enter(ctx context.Context) error {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	select { // a select of one case costs a fraction of one of two
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := p.admit(ctx); err != nil {
		<-p.slots
		return err
	}
	return nil
}

// admit takes a token to run.
func (p *Pool) admit(ctx context.Context) error { return p.runtime.running.enter(ctx, p.config.Tenant) }

func (p *Pool) leave() {
	p.runtime.running.leave()
	<-p.slots
}

// take returns an idle instance or a new one.
func (p *Pool) take(ctx context.Context) (*instance, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	p.stats.Calls++
	p.runtime.totals.calls.Add(1)
	for n := len(p.idle); n > 0; n = len(p.idle) {
		i := p.idle[n-1] // the newest: its memory is still in the caches
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.rested = min(p.rested, n-1)
		p.stats.IdleBytes -= i.bytes
		p.mu.Unlock()
		p.share.add(-i.bytes)
		if !p.stale(i) || p.refresh(i) {
			return i, nil
		}
		p.drop(ctx, i)
		p.mu.Lock()
	}
	p.stats.Instances++ // also before there is one: the image lives as long as any
	p.mu.Unlock()
	i, err := p.make(ctx)
	p.mu.Lock()
	if err == nil {
		p.stats.Started++
		p.runtime.totals.started.Add(1)
		p.mu.Unlock()
		return i, nil
	}
	free := p.goneLocked()
	p.mu.Unlock()
	free()
	return nil, err
}

// refresh makes an idle instance the image.
func (p *Pool) refresh(i *instance) bool {
	if !i.restore() {
		return false
	}
	i.served = 0
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Resets++
	p.runtime.totals.resets.Add(1)
	return true
}

// make makes an instance, and the image if there is none yet.
func (p *Pool) make(ctx context.Context) (*instance, error) {
	m, known := p.imageOf()
	if !known {
		select {
		case p.imaging <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the first instance: %w", ctx.Err())
		}
		defer func() { <-p.imaging }()
		if m, known = p.imageOf(); !known {
			var manifest []byte
			var err error
			if m, manifest, err = p.imagine(ctx); err != nil {
				return nil, err
			}
			if m != nil {
				p.calibrate(ctx, m, manifest)
			}
			p.mu.Lock()
			p.image, p.imagined, p.manifest = m, true, manifest
			p.stats.Reset = resetNone
			if m != nil {
				p.stats.ImageBytes, p.stats.Reset = int64(m.size), m.way.kind
			}
			p.mu.Unlock()
		}
	}
	if m != nil {
		return p.bear(ctx, m)
	}
	i, _, err := p.start(ctx, p.config.InitSeed, p.config.LoadedAt)
	return i, err
}

func (p *Pool) imageOf() (m *image, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.image, p.imagined
}

// put takes an instance back, or drops it.
func (p *Pool) put(ctx context.Context, i *instance) {
	grown := i.memory.grown
	good, reset := p.renew(i)
	p.mu.Lock()
	if grown {
		p.stats.Regrown++
		p.runtime.totals.regrown.Add(1)
	}
	if reset {
		p.stats.Resets++
		p.runtime.totals.resets.Add(1)
	}
	if good && !p.closed {
		i.bytes = instanceBytes + i.memory.private(i.served == 0)
		i.stamp, i.since = p.runtime.budget.clock.Add(1), i.frame.clock.since
		p.idle = append(p.idle, i)
		p.stats.IdleBytes += i.bytes
		more := i.bytes - p.restLocked(i.since)
		p.mu.Unlock()
		if p.share.add(more) {
			p.runtime.budget.enforce(context.WithoutCancel(ctx), p)
		}
		return
	}
	if i.sick {
		p.stats.Dropped++
		p.runtime.totals.dropped.Add(1)
	}
	p.mu.Unlock()
	p.drop(ctx, i)
}

// drop closes an instance that is not idle.
func (p *Pool) drop(ctx context.Context, i *instance) {
	i.close(context.WithoutCancel(ctx))
	p.mu.Lock()
	free := p.goneLocked()
	p.mu.Unlock()
	free()
}

// goneLocked counts an instance that is gone. With the last one of a closed pool
// goes the image: that is to be done without the lock.
func (p *Pool) goneLocked() (free func()) {
	p.stats.Instances--
	if m := p.image; m != nil && p.closed && p.stats.Instances == 0 {
		p.image = nil
		return m.close
	}
	return func() {}
}

// restAfter is how long an instance is idle before it keeps nothing for itself.
const restAfter = time.Second

// restLocked lets the oldest instance rest that does not yet, if it is idle for long
// enough, and returns how many bytes that frees. The next call on it has to fault in
// again what it writes to, which is nothing to one that comes after a second.
func (p *Pool) restLocked(at instant) (freed int64) {
	if p.rested == len(p.idle) || at.sub(p.idle[p.rested].since) < restAfter {
		return 0
	}
	i := p.idle[p.rested]
	p.rested++
	if i.served > 0 || !i.memory.rest() {
		return 0
	}
	freed = i.bytes - instanceBytes
	i.bytes -= freed
	p.stats.IdleBytes -= freed
	return freed
}

// evict closes the idle instance that was used the longest time ago.
func (p *Pool) evict(ctx context.Context) bool {
	p.mu.Lock()
	if len(p.idle) == 0 {
		p.mu.Unlock()
		return false
	}
	i := p.idle[0]
	p.idle = slices.Delete(p.idle, 0, 1)
	p.rested = max(0, p.rested-1)
	p.stats.IdleBytes -= i.bytes
	p.stats.Evicted++
	p.runtime.totals.evicted.Add(1)
	p.mu.Unlock()
	p.share.add(-i.bytes)
	p.drop(ctx, i)
	return true
}

// oldest returns how many instances are idle, and when the one was put there that
// was used the longest time ago.
func (p *Pool) oldest() (idle int, stamp int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return 0, 0
	}
	return len(p.idle), p.idle[0].stamp
}

// Stats returns the counters.
func (p *Pool) Stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Idle = len(p.idle)
	return s
}

// Close frees the idle instances; one that runs a call is freed when the call
// ends. It may be called twice.
func (p *Pool) Close(ctx context.Context) {
	p.mu.Lock()
	first, idle := !p.closed, p.idle
	p.idle, p.rested, p.closed = nil, 0, true
	kept := p.stats.IdleBytes
	p.stats.IdleBytes = 0
	p.stats.Instances++ // so that the image lives until all are closed
	p.mu.Unlock()
	p.share.add(-kept)
	for _, i := range idle {
		p.drop(ctx, i)
	}
	if first {
		p.runtime.budget.leave(p)
	}
	p.mu.Lock()
	free := p.goneLocked()
	p.mu.Unlock()
	free()
}
