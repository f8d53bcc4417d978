package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Pool keeps the instances of one module for one tenant. It is safe for
// concurrent use. Instances are made when calls need them and kept until Close;
// they are never shared with another pool.
type Pool struct {
	runtime *Runtime
	module  *Module
	config  PoolConfig
	slots   chan struct{} // a place for each instance

	mu       sync.Mutex // protects the fields below
	idle     []*instance
	manifest []byte
	stats    PoolStats
	closed   bool
}

// PoolStats counts what a pool did.
type PoolStats struct {
	Calls     int64
	Started   int64
	Dropped   int64 // after a fault
	Instances int   // alive, idle ones included
	Idle      int
}

// NewPool makes a pool. Nothing runs yet. The module must outlive the pool.
func NewPool(r *Runtime, m *Module, config PoolConfig) (*Pool, error) {
	config = config.withDefaults()
	if least := m.MinMemory(); least > config.Limits.MaxMemoryBytes {
		return nil, refuse("the module needs %d bytes of memory to start, more than the %d allowed: lower its initial memory or raise the limit", least, config.Limits.MaxMemoryBytes)
	}
	return &Pool{
		runtime: r, module: m, config: config,
		slots: make(chan struct{}, max(1, config.MaxInstances)),
	}, nil
}

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
	i.frame.inside, i.frame.since = true, time.Now()
	// Deferred, because a Call.Log of the host may panic.
	defer func() {
		if i.frame.inside {
			p.runtime.leave()
		}
		i.frame.inside = false
		p.put(ctx, i)
		<-p.slots
	}()
	return i.call(ctx, c)
}

// enter takes a place for an instance and a token to run.
func (p *Pool) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := p.runtime.enter(ctx); err != nil {
		<-p.slots
		return err
	}
	return nil
}

func (p *Pool) leave() {
	p.runtime.leave()
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
	if n := len(p.idle); n > 0 {
		i := p.idle[n-1] // the newest: its memory is still in the caches
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return i, nil
	}
	p.mu.Unlock()

	i, manifest, err := p.start(ctx, p.config.InitSeed, p.config.LoadedAt)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Started++
	p.runtime.totals.started.Add(1)
	p.stats.Instances++
	if p.manifest == nil {
		p.manifest = manifest
	}
	return i, nil
}

// put takes an instance back, or drops it.
func (p *Pool) put(ctx context.Context, i *instance) {
	p.mu.Lock()
	if !i.sick && !p.closed {
		p.idle = append(p.idle, i)
		p.mu.Unlock()
		return
	}
	p.stats.Instances--
	if i.sick {
		p.stats.Dropped++
		p.runtime.totals.dropped.Add(1)
	}
	p.mu.Unlock()
	i.close(context.WithoutCancel(ctx))
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
	idle := p.idle
	p.idle, p.closed = nil, true
	p.stats.Instances -= len(idle)
	p.mu.Unlock()
	for _, i := range idle {
		i.close(ctx)
	}
}
