package host

import (
	"context"
	"errors"
	"sync"
	"time"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/tenant"
	"weir/host/wasm"
)

// limitCounts counts how often tenants reached limits, by the key in [limits]. The
// tenants are those of the configuration, so that it is bounded.
type limitCounts struct {
	mu     sync.Mutex // protects the field below
	counts map[string]map[string]uint64
}

func (l *limitCounts) add(tenantName, limit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[string]map[string]uint64{}
	}
	merge2(l.counts, tenantName, limit, 1)
}

func merge2(m map[string]map[string]uint64, tenantName, limit string, n uint64) {
	if n == 0 {
		return
	}
	if m[tenantName] == nil {
		m[tenantName] = map[string]uint64{}
	}
	m[tenantName][limit] += n
}

// limited counts the limit, if it was one, that a function's run has met.
// Deadline is the limit of a run whose time was over.
func (h *Host) limited(tenantName string, err error, deadline string) {
	if limit := limitOf(err, deadline); limit != "" {
		h.reached.add(tenantName, limit)
	}
}

func limitOf(err error, deadline string) string {
	var broken *plugin.BrokenError
	var late *wasm.DeadlineError
	var trap *wasm.TrapError
	var bound *wasm.LimitError
	var refused *wasm.RefusedError
	switch {
	case errors.As(err, &refused):
		return refused.Limit
	case errors.As(err, &broken):
		return "breaker_failures"
	case errors.As(err, &late) && late.Guest:
		return "guest_timeout"
	case errors.As(err, &trap) && trap.Kind == wasm.TrapStack:
		return "stack_bytes"
	case errors.As(err, &trap) && trap.Kind == wasm.TrapMemory:
		return "memory_bytes"
	case errors.As(err, &bound) && bound.Code() == abi.HostCalls:
		return "host_calls"
	case errors.Is(err, tenant.ErrResultTooLarge):
		return "result_bytes"
	case errors.Is(err, context.DeadlineExceeded):
		return deadline
	}
	return ""
}

// mayLog reports whether a line of a guest is within what the tenant may log in a
// second. What was dropped is told with the next line that is not.
func (h *Host) mayLog(s *space, size int) bool {
	limit := s.tenant.Limits.WithDefaults().MaxGuestLogRate
	if limit < 0 {
		return true
	}
	r, now := &s.logged, time.Now()
	r.mu.Lock()
	if now.Sub(r.second) >= time.Second {
		r.second, r.bytes = now, 0
	}
	ok := r.bytes+int64(size) <= limit
	missed := 0
	if ok {
		r.bytes += int64(size)
		missed, r.missed = r.missed, 0
	} else {
		r.missed++
	}
	r.mu.Unlock()
	if missed > 0 {
		h.cfg.Logger.Warn("guests log more than guest_log_rate", "tenant", s.tenant.Name, "dropped", missed)
	}
	if !ok {
		h.reached.add(s.tenant.Name, "guest_log_rate")
	}
	return ok
}

// broke tells of a plugin that keeps failing, and of its return.
func (h *Host) broke(s *space, p *plugin.Plugin, stopped bool) {
	kind, level := PluginResumed, h.cfg.Logger.Info
	text := ""
	if stopped {
		kind, level = PluginStopped, h.cfg.Logger.Error
		text = "its guest functions keep trapping or running out of time: they are refused but for one trial after a pause"
	}
	level(string(kind), "tenant", s.tenant.Name, "plugin", p.Name(), "digest", p.Version())
	h.cfg.Event(Event{Kind: kind, Name: p.Name(), Text: text})
}

// tenantStats are the figures of each tenant. The label is a name in the
// configuration.
type tenantStats struct {
	Groups        map[string]int           `label:"tenant" help:"Query groups and decisions of a tenant that are kept."`
	Subscriptions map[string]int           `label:"tenant" help:"Subscriptions of a tenant's sessions."`
	Waiting       map[string]int           `label:"tenant" help:"Dirty groups of a tenant that are due and wait for a slot."`
	Connections   map[string]int           `label:"tenant" help:"Connections for a tenant's SQL that are in use."`
	Stopped       map[string]int           `label:"tenant" help:"Plugins of a tenant that are stopped because they keep failing."`
	Failed        map[string]int           `label:"tenant" help:"Files of a tenant whose newest version does not serve."`
	Spent         map[string]time.Duration `label:"tenant" help:"Time that a tenant's executions took since the start."`

	// Since the start.
	Executions map[string]uint64            `label:"tenant" help:"Executions of a tenant that ended."`
	Limits     map[string]map[string]uint64 `label:"tenant,limit" help:"How often a tenant reached a limit, by its key in the configuration."`
}

func (h *Host) tenantStats() tenantStats {
	t := tenantStats{
		Groups: map[string]int{}, Subscriptions: map[string]int{}, Waiting: map[string]int{}, Connections: map[string]int{},
		Stopped: map[string]int{}, Failed: map[string]int{}, Spent: map[string]time.Duration{},
		Executions: map[string]uint64{}, Limits: map[string]map[string]uint64{},
	}
	cores, streams := h.reactor.Stats().Tenants, h.server.Stats().Limits
	all := h.tenants.Load()
	for name, s := range all.spaces {
		core := cores[name]
		t.Groups[name], t.Subscriptions[name], t.Waiting[name] = core.Groups, core.Subscriptions, core.Waiting
		t.Spent[name], t.Executions[name] = core.Cost, core.Executions
		merge2(t.Limits, name, "executions", core.Limits.Executions)
		merge2(t.Limits, name, "first_runs", core.Limits.FirstRuns)
		merge2(t.Limits, name, "groups", core.Limits.Groups)
		merge2(t.Limits, name, "principal_groups", core.Limits.PrincipalGroups)
		d := s.database.Stats()
		t.Connections[name] = d.InUse
		merge2(t.Limits, name, "connections", uint64(d.Waits+all.past[name].Waits))
		for limit, n := range streams[name] {
			merge2(t.Limits, name, limit, n)
		}
		t.Stopped[name], t.Failed[name] = 0, len(s.plugins.Errors())
		for _, p := range s.plugins.All() {
			if stopped, _ := p.Stopped(); stopped {
				t.Stopped[name]++
			}
		}
	}
	h.reached.mu.Lock()
	defer h.reached.mu.Unlock()
	for name, counts := range h.reached.counts {
		for limit, n := range counts {
			merge2(t.Limits, name, limit, n)
		}
	}
	return t
}
