package plugin

import (
	"context"
	"errors"
	"fmt"

	"weir/host/tenant"
	"weir/host/wasm"
)

// instances are a plugin's under one configuration. A guest may keep what it was
// told between calls, so that an instance never sees two of them (W4).
type instances struct {
	settings string
	pool     *wasm.Pool
}

// Reconfigured is a set's next configuration, made and not yet used. Until Apply
// or Drop the set neither loads nor removes anything.
type Reconfigured struct {
	set    *Set
	tenant *tenant.Tenant
	reuse  func(plugin string) wasm.Reuse
	next   map[*Plugin]*instances
}

// Reconfigure prepares other limits, grants and settings for the plugins that
// serve: settings names what a plugin is told, by its name, and reuse says how its
// instances are used again; nil is as before. The error is a plugin that does not
// fit, and nothing is changed.
func (s *Set) Reconfigure(ctx context.Context, t *tenant.Tenant, settings func(plugin string) string, reuse func(plugin string) wasm.Reuse) (*Reconfigured, error) {
	s.mu.Lock()
	r := &Reconfigured{set: s, tenant: t, reuse: reuse, next: map[*Plugin]*instances{}}
	var errs []error
	for path, p := range s.table.Load().plugins {
		if err := granted(t, p); err != nil {
			errs = append(errs, fmt.Errorf("plugin %s: %w", pluginName(path), err))
			continue
		}
		now := p.instances()
		name := settings(p.Name())
		if now.settings == name && t.Limits == s.config.Tenant.Limits {
			continue
		}
		pool, err := wasm.NewPool(s.config.Runtime, p.module, s.poolConfig(t, path, p.Digest))
		if err != nil {
			errs = append(errs, fmt.Errorf("plugin %s: %w", pluginName(path), err))
			continue
		}
		pool.SetDynamic(dynamic(t, p.Manifest))
		r.next[p] = &instances{settings: name, pool: pool}
	}
	if err := errors.Join(errs...); err != nil {
		r.Drop(ctx)
		return nil, err
	}
	return r, nil
}

// Apply makes the next configuration the set's. Calls under the one before are
// still answered, by instances of it.
func (r *Reconfigured) Apply(ctx context.Context) {
	s := r.set
	s.config.Tenant = r.tenant
	for _, p := range s.table.Load().plugins {
		p.breaker.setLimit(r.tenant.Limits.WithDefaults().MaxFailures)
	}
	for p, next := range r.next {
		p.use(ctx, next)
	}
	for _, p := range s.table.Load().plugins {
		if now := p.instances(); now != nil && now.pool != nil && r.reuse != nil {
			now.pool.SetReuse(r.reuse(p.Name()))
		}
	}
	s.mu.Unlock()
}

// Drop forgets the next configuration.
func (r *Reconfigured) Drop(ctx context.Context) {
	for _, next := range r.next {
		next.pool.Close(ctx)
	}
	r.set.mu.Unlock()
}

// instances returns those of the configuration of now.
func (p *Plugin) instances() *instances {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// use makes next the plugin's instances. Those before are kept for the groups
// that have not moved yet, and those before them are freed; so are those of the
// same configuration.
func (p *Plugin) use(ctx context.Context, next *instances) {
	p.mu.Lock()
	old := p.before
	if p.now.settings == next.settings {
		old = p.now
	} else {
		p.before = p.now
	}
	p.now = next
	if old != nil {
		p.past = sum(p.past, old.pool.Stats())
	}
	p.mu.Unlock()
	if old != nil {
		old.pool.Close(ctx)
	}
}

// pool returns the pool for a configuration, nil if it is gone.
func (p *Plugin) poolOf(settings string) *wasm.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.now.settings == settings:
		return p.now.pool
	case p.before != nil && p.before.settings == settings:
		return p.before.pool
	}
	return nil
}

// sum adds counters; the instances of b are not counted.
func sum(a, b wasm.PoolStats) wasm.PoolStats {
	a.Calls += b.Calls
	a.Started += b.Started
	a.Dropped += b.Dropped
	a.Resets += b.Resets
	a.Regrown += b.Regrown
	a.Evicted += b.Evicted
	return a
}
