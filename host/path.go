package host

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"weir/abi"
	"weir/host/auth"
	"weir/host/plugin"
	"weir/host/tenant"
	"weir/reactor"
)

// deliver takes a batch from the change log to the reactor. What was derived
// from definitions that changed, or may have, is forgotten first, so that the
// runs which the batch causes derive it again (R4).
func (h *Host) deliver(ctx context.Context, b reactor.Batch) error {
	defined := b.Resync
	for i := range b.Changes {
		defined = defined || b.Changes[i].Op == reactor.DDL
	}
	if b.Resync && !h.history.Same(b.Epoch) && h.history != "" {
		// After a failover the old primary may live, and answer over connections that
		// nobody has cut.
		for _, s := range h.allRooms() {
			s.database.Redial()
		}
	}
	if b.Resync {
		h.history = b.Epoch
		h.stray.agree()
	}
	if defined {
		h.loader.retry() // a plugin that was refused may lack nothing any more
	}
	for _, s := range h.allRooms() {
		if b.Resync {
			s.database.ForgetAll() // a change of definitions may be lost too
			continue
		}
		for i := range b.Changes {
			if b.Changes[i].Op != reactor.DDL {
				continue
			}
			s.database.Forget(b.Changes[i].XID)
			if b.Changes[i].Table == 0 { // it may be a setting
				s.database.Redial()
			}
		}
	}
	h.trace.read(&b)
	return h.reactor.Apply(ctx, b)
}

// published tells the writers.
func (h *Host) published(pubs []*reactor.Publication) { h.server.Published(pubs) }

// watched makes the change log be read often: somebody watches, or is about to.
func (h *Host) watched() { h.log.SetLive(true) }

// liveliness lets the change log be read seldom when nobody watches.
func (h *Host) liveliness(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			h.log.SetLive(h.reactor.Stats().Groups > 0)
			h.freeRetired(ctx, false)
		}
	}
}

// changed takes a swap of plugins to those who watch its functions, or functions
// behind its policies: they are subscribed anew, under the new digest.
func (h *Host) changed(s *space, c plugin.Change) {
	names := map[string]bool{}
	for _, name := range c.Functions {
		names[name] = true
	}
	if now := h.spaces()[s.tenant.Name]; now == nil || now.rooms != s.rooms {
		return // they are loaded for a reload, or go with one
	}
	h.server.Moved(s.tenant.Name, func(name string) bool {
		if names[name] {
			return true
		}
		// Also what one of its policies guards: the old one decides no more.
		fn, err := s.plugins.Lookup(name)
		return err == nil && s.guard.GuardedBy(fn, names)
	})
	p, kind := c.New, PluginLoaded
	if p == nil {
		p, kind = c.Old, PluginRemoved
	}
	h.cfg.Logger.Info(string(kind), "tenant", s.tenant.Name, "plugin", p.Name(), "digest", p.Version())
	if of := p.Stats(); of.Reset != "" {
		h.cfg.Logger.Debug("instances", "tenant", s.tenant.Name, "plugin", p.Name(), "reset", of.Reset, "image_bytes", of.ImageBytes)
	}
	h.cfg.Event(Event{Kind: kind, Name: p.Name(), Text: p.Version()})
	h.keepInspector()
	if h.loader.tried() { // before that, what lacks may be about to come
		h.tellUnmet(s)
	}
}

// verify implements serve.Verify.
func (h *Host) verify(ctx context.Context, t *tenant.Tenant, token string) (*auth.Caller, error) {
	spaces := h.spaces()
	s := spaces[t.Name]
	if s == nil {
		return nil, tenant.ErrUnknownTenant // it was removed in this moment
	}
	caller, err := s.verifier.Verify(ctx, token)
	if errors.Is(err, auth.ErrUnauthenticated) && s.ofAnother(spaces, token) {
		return nil, tenant.ErrOtherTenant
	}
	return caller, err
}

// maxAsked bounds the tenants that are asked for a token that is not their own:
// whoever sends garbage must not make weir check it for all.
const maxAsked = 64

// ofAnother reports whether the token is one of another tenant.
func (s *space) ofAnother(spaces map[string]*space, token string) bool {
	names := slices.Sorted(maps.Keys(spaces))
	for _, name := range names[:min(len(names), maxAsked)] {
		if name != s.tenant.Name && spaces[name].verifier.Takes(token) {
			return true
		}
	}
	return false
}

// tenantOf implements serve.TenantOf: by path, else by host name, else default.
func (h *Host) tenantOf(host, name string) (*tenant.Tenant, error) {
	if name == "" {
		if s := h.tenants.Load().hosts[host]; s != nil {
			return s.tenant, nil
		}
		name = tenant.DefaultName
	}
	if s := h.spaces()[name]; s != nil {
		return s.tenant, nil
	}
	return nil, tenant.ErrUnknownTenant
}

func (h *Host) checker(s *space) *checker {
	return &checker{space: s, capture: h.capture, inspector: h.inspector}
}

// logOf returns where a call's guest logs to.
func (h *Host) logOf(c *call) func(level int, line string) {
	return func(level int, line string) { h.guestLog(c.space, c.fn.Plugin.Path, c.fn.Name, level, line) }
}

// guestLog takes a line that a plugin wrote. The room wasm has bounded it and
// taken control characters out.
func (h *Host) guestLog(s *space, path, function string, level int, line string) {
	if !h.mayLog(s, len(line)) {
		return
	}
	logger := h.cfg.Logger.With("tenant", s.tenant.Name, "plugin", path, "func", function)
	switch level {
	case abi.LogError:
		logger.Error(line)
	case abi.LogWarn:
		logger.Warn(line)
	case abi.LogInfo:
		logger.Info(line)
	default:
		logger.Debug(line)
	}
	if level >= abi.LogInfo {
		h.cfg.Event(Event{Kind: GuestLog, Name: function, Text: line})
	}
}
