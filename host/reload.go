package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"weir/host/auth"
	"weir/host/config"
	"weir/host/plugin"
	"weir/host/serve"
	"weir/host/tenant"
)

// ErrRestart is wrapped by the refusal of a reload that needs a restart.
var ErrRestart = errors.New("restart weir")

// reloadTimeout bounds what a reload asks of the database.
const reloadTimeout = 10 * time.Second

// Reload makes file the configuration, all or nothing: what can fail is done
// before anything is changed, and an error leaves all as it was. It is a sentence.
// File's database URLs must be set. Results of what did not change go on.
//
// What is in flight is finished as it began. Subscriptions of a tenant whose
// plugins, grants, settings or required policies changed are subscribed anew; open
// streams keep the token that they have. Streams of a tenant that is gone end.
func (h *Host) Reload(file *config.Config) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	next, err := h.prepare(context.Background(), file)
	if err != nil {
		err = sentence(err)
		h.told(err)
		return err
	}
	moved := next.apply(context.Background())
	h.told(nil)
	h.cfg.Logger.Info(string(ConfigReloaded), "changed", strings.Join(moved, " "))
	h.cfg.Event(Event{Kind: ConfigReloaded, Text: strings.Join(moved, ", ")})
	return nil
}

// told keeps why the configuration in the file is not the one that is used.
func (h *Host) told(err error) {
	if err == nil {
		h.fault.Store(nil)
		return
	}
	text := err.Error()
	h.fault.Store(&text)
	h.cfg.Logger.Error(string(ConfigRefused), "err", err)
	h.cfg.Event(Event{Kind: ConfigRefused, Err: err})
}

// reloading is a configuration that is made and not yet used.
type reloading struct {
	host    *Host
	tenants *tenants
	edge    *serve.Edge
	made    []*space               // with rooms of their own
	kept    []*plugin.Reconfigured // of rooms that stay
	fresh   []*auth.Verifier
}

// prepare does all that can fail.
func (h *Host) prepare(ctx context.Context, file *config.Config) (_ *reloading, err error) {
	now := h.tenants.Load()
	if keys := now.file.Fixed(file); len(keys) > 0 {
		return nil, fmt.Errorf("%s cannot change while weir runs: %w", strings.Join(keys, ", "), ErrRestart)
	}
	if heartbeat(file) < heartbeat(now.file) {
		return nil, fmt.Errorf("max_stale is shorter than the change log's reader was started for: %w", ErrRestart)
	}
	r := &reloading{host: h}
	defer func() {
		if err != nil {
			r.drop(ctx)
		}
	}()
	spaces := map[string]*space{}
	for _, t := range file.Tenants() {
		old := now.spaces[t.Name]
		switch {
		case old != nil && reflect.DeepEqual(old.config, t):
			spaces[t.Name] = old
		case old != nil && sameRooms(old.config, t):
			spaces[t.Name], err = r.change(ctx, old, t)
		default:
			spaces[t.Name], err = r.build(ctx, file, t)
		}
		if err == nil && h.loader.tried() && asksForMore(old, spaces[t.Name]) {
			err = spaces[t.Name].refuseUnmet()
		}
		if err != nil {
			return nil, err
		}
	}
	// Last, because it stops the loading of plugins until the end.
	for name, s := range spaces {
		old := now.spaces[name]
		if old == s || old == nil || old.rooms != s.rooms {
			continue
		}
		c, err := s.plugins.Reconfigure(ctx, s.tenant, func(name string) string { return s.settingsNamed(name).version }, s.reuse)
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", name, err)
		}
		r.kept = append(r.kept, c)
	}
	r.tenants = newTenants(file, spaces)
	r.edge, err = serve.NewEdge(r.tenants.names(), file.Server.Origins, file.Server.TrustedProxies)
	return r, err
}

// change makes a tenant on the rooms that it has.
func (r *reloading) change(ctx context.Context, old *space, cfg config.Tenant) (*space, error) {
	t, err := newTenant(cfg)
	if err != nil {
		return nil, err
	}
	s, err := r.host.spaceOn(ctx, old.rooms, t, cfg, old)
	if err == nil && s.verifier != old.verifier {
		r.fresh = append(r.fresh, s.verifier)
	}
	return s, err
}

// build makes a tenant with rooms of its own, and loads its plugins.
func (r *reloading) build(ctx context.Context, file *config.Config, cfg config.Tenant) (*space, error) {
	h := r.host
	s, err := h.newSpace(ctx, file, cfg)
	if err != nil {
		return nil, err
	}
	r.made = append(r.made, s)
	asked, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	if err := s.database.Ping(asked); err != nil {
		return nil, fmt.Errorf("tenant %s: %w", cfg.Name, err)
	}
	if err := h.loader.open(asked, s); err != nil {
		return nil, fmt.Errorf("tenant %s: %w", cfg.Name, err)
	}
	paths, err := plugin.Files(cfg.Plugins)
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", cfg.Name, err)
	}
	for _, path := range paths {
		if err := s.plugins.Load(ctx, path); err != nil {
			return nil, fmt.Errorf("tenant %s: %w", cfg.Name, err)
		}
	}
	s.look.tried, s.look.settled = true, true
	s.tried.Store(true)
	return s, nil
}

// drop forgets what was made.
func (r *reloading) drop(ctx context.Context) {
	for _, c := range r.kept {
		c.Drop(ctx)
	}
	for _, s := range r.made {
		s.close(ctx)
		_ = s.verifier.Close() // it returns nil
	}
	for _, v := range r.fresh {
		_ = v.Close()
	}
}

// apply makes the configuration the host's, and names the tenants that changed. It
// cannot fail.
func (r *reloading) apply(ctx context.Context) (changed []string) {
	h, next := r.host, r.tenants
	old := h.tenants.Load()
	h.retireAfter(old, next)
	for _, c := range r.kept {
		c.Apply(ctx) // before the tenants: calls under the settings before are still answered
	}
	next.after(old)
	h.tenants.Store(next)
	for _, s := range next.spaces {
		s.newest.Store(s)
		s.database.Configure(boundsOf(s.tenant))
	}
	for _, s := range r.made {
		s.database.ForgetAll() // definitions may have changed since it was prepared
	}
	h.server.Reload(r.edge, next.values())
	h.reactor.Reload()
	for name, s := range next.spaces {
		was := old.spaces[name]
		if s != was {
			changed = append(changed, name)
		}
		if was != nil && shownDifferently(was, s) {
			h.server.Moved(name, func(string) bool { return true })
		}
	}
	for name := range old.spaces {
		if next.spaces[name] == nil {
			changed = append(changed, name)
		}
	}
	h.keepInspector()
	slices.Sort(changed)
	if h.loader.tried() {
		for _, s := range next.spaces {
			h.tellUnmet(s)
		}
	}
	h.loader.retry()
	return changed
}

// shownDifferently reports whether subscriptions must be made anew: their keys, or
// the policies that guard them, may be others.
func shownDifferently(a, b *space) bool {
	return a.rooms != b.rooms || a.version != b.version || !reflect.DeepEqual(a.tenant.Require, b.tenant.Require) ||
		!reflect.DeepEqual(a.config.Plugin, b.config.Plugin)
}

// asksForMore reports whether the policies that a tenant requires, or its plugins,
// are others. What a plugin has taken away since is told already, and must not keep
// the rest of a file from being used.
func asksForMore(old, s *space) bool {
	return old == nil || old.rooms != s.rooms || !reflect.DeepEqual(old.tenant.Require, s.tenant.Require)
}

// heartbeat is how often the change log is read at least: well within the time
// after which the least patient tenant's results are stale (F4).
func heartbeat(file *config.Config) time.Duration {
	least := tenant.Limits(file.Limits).WithDefaults().MaxStale
	for _, t := range file.Tenants() {
		least = min(least, tenant.Limits(t.Limits).WithDefaults().MaxStale)
	}
	return least * 2 / 5
}

// retired are rooms and a verifier that a reload has replaced. Groups may run on
// them until their subscribers have moved.
type retired struct {
	rooms    *rooms // nil if they stay
	verifier *auth.Verifier
	until    time.Time
}

// lastUse is how long what was replaced is kept.
const lastUse = 10 * time.Second

// retireAfter notes what of the old tenants the new ones do not use.
func (h *Host) retireAfter(old, next *tenants) {
	h.retiredMu.Lock()
	defer h.retiredMu.Unlock()
	for name, s := range old.spaces {
		r := retired{until: time.Now().Add(lastUse)}
		now := next.spaces[name]
		if now == nil || now.rooms != s.rooms {
			r.rooms = s.rooms
		}
		if now == nil || now.verifier != s.verifier {
			r.verifier = s.verifier
		}
		if r.rooms != nil || r.verifier != nil {
			h.retired = append(h.retired, r)
		}
	}
}

// freeRetired frees what has been replaced long enough, or all of it.
func (h *Host) freeRetired(ctx context.Context, all bool) {
	h.retiredMu.Lock()
	var free []retired
	h.retired = slices.DeleteFunc(h.retired, func(r retired) bool {
		over := all || time.Now().After(r.until)
		if over {
			free = append(free, r)
		}
		return over
	})
	h.retiredMu.Unlock()
	for _, r := range free {
		if r.rooms != nil {
			r.rooms.close(ctx)
		}
		if r.verifier != nil {
			_ = r.verifier.Close() // it returns nil
		}
	}
}

// allRooms returns those of all tenants, and those that were replaced and may
// still be used.
func (h *Host) allRooms() []*rooms {
	var list []*rooms
	for _, s := range h.spaces() {
		list = append(list, s.rooms)
	}
	h.retiredMu.Lock()
	defer h.retiredMu.Unlock()
	for _, r := range h.retired {
		if r.rooms != nil {
			list = append(list, r.rooms)
		}
	}
	return list
}
