package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/tenant"
)

// lack is a policy that the configuration requires and no plugin has.
type lack struct{ pattern, policy, sentence string }

// lacks are those of a tenant that were told.
type lacks struct {
	mu   sync.Mutex // protects the field below
	told []lack
}

// unmet lists what the configuration requires of the tenant's functions and no
// plugin has. Such a function is closed: its access cannot be decided (F4). Without
// a plugin there is nothing to guard, and the list is empty.
func (s *space) unmet() []lack {
	var policies []string
	plugins := s.plugins.All()
	for _, p := range plugins {
		for _, f := range p.Functions() {
			if f.Kind == abi.Policy {
				policies = append(policies, f.Name)
			}
		}
	}
	if len(plugins) == 0 {
		return nil
	}
	slices.Sort(policies)
	var list []lack
	for _, u := range s.guard.Unmet() {
		list = append(list, lack{u.Pattern, u.Policy, fmt.Sprintf("tenant %s: require %q names the policy %q, but %s: %s",
			s.tenant.Name, u.Pattern, u.Policy, why(u.Err), choice(u.Policy, policies))})
	}
	return list
}

// why says in half a sentence why a policy is none.
func why(err error) string {
	var unknown *plugin.UnknownError
	if errors.As(err, &unknown) {
		return "no plugin has it"
	}
	return err.Error()
}

// maxNamed bounds the names in one sentence.
const maxNamed = 12

// choice says which policies there are.
func choice(name string, policies []string) string {
	if len(policies) == 0 {
		return "there is no policy at all"
	}
	text := "there is " + policies[0]
	if n := len(policies); n > 1 {
		more := ""
		if n > maxNamed {
			more = fmt.Sprintf(" and %d more", n-maxNamed)
		}
		text = "there are " + strings.Join(policies[:min(n, maxNamed)], ", ") + more
	}
	_, bare, crosses := strings.Cut(name, "/")
	if !crosses {
		bare = name
	}
	if near := abi.Nearest(bare, policies); near != "" && near != bare {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	return text
}

// startable refuses to start with a required policy that is not there, in one
// sentence. Not under `weir dev`, where plugins come and go. Not for a sandboxed
// tenant, whose plugins are not the operator's: it could keep all others from being
// served (W7). Nor when a file did not load, which is told by itself and may be what
// lacks. In these cases the functions are closed, and it is told.
func (h *Host) startable() error {
	spaces := h.spaces()
	for _, name := range slices.Sorted(maps.Keys(spaces)) {
		s := spaces[name]
		list := s.unmet()
		if len(list) > 0 && !h.cfg.Dev && s.tenant.Trust == tenant.Trusted && len(s.plugins.Errors()) == 0 {
			return errors.New(list[0].sentence)
		}
		h.tellUnmet(s)
	}
	return nil
}

// refuseUnmet is an error if a required policy is not there.
func (s *space) refuseUnmet() error {
	if list := s.unmet(); len(list) > 0 {
		return errors.New(list[0].sentence)
	}
	return nil
}

// tellUnmet tells of required policies that no plugin has any more, and of those
// that are back, each once.
func (h *Host) tellUnmet(s *space) {
	now := s.unmet()
	s.lacks.mu.Lock()
	before := s.lacks.told
	s.lacks.told = now
	s.lacks.mu.Unlock()
	for _, l := range now {
		if !l.among(before) {
			h.cfg.Logger.Error(string(PolicyMissing), "tenant", s.tenant.Name, "err", l.sentence)
			h.cfg.Event(Event{Kind: PolicyMissing, Name: l.policy, Err: errors.New(l.sentence)})
		}
	}
	for _, l := range before {
		if !l.among(now) {
			h.cfg.Logger.Info(string(PolicyBack), "tenant", s.tenant.Name, "policy", l.policy, "pattern", l.pattern)
			h.cfg.Event(Event{Kind: PolicyBack, Name: l.policy, Text: fmt.Sprintf("required for %q of tenant %s", l.pattern, s.tenant.Name)})
		}
	}
}

func (l lack) among(list []lack) bool {
	return slices.ContainsFunc(list, func(other lack) bool { return l.pattern == other.pattern && l.policy == other.policy })
}
