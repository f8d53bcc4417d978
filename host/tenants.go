package host

import (
	"strings"

	"weir/host/config"
	"weir/host/db"
	"weir/host/tenant"
)

// tenants is one state of all tenants. It is never changed: a reload makes
// another.
type tenants struct {
	file   *config.Config
	spaces map[string]*space
	hosts  map[string]*space   // by host name, in lower case
	past   map[string]db.Stats // by tenant: of rooms that are no more; "" of tenants that are no more
}

// after takes over what rooms of old counted that are not among these: a counter
// must never fall.
func (t *tenants) after(old *tenants) {
	t.past = map[string]db.Stats{}
	add := func(name string, s db.Stats) {
		if t.spaces[name] == nil {
			name = ""
		}
		t.past[name] = counters(t.past[name], s)
	}
	for name, s := range old.past {
		add(name, s)
	}
	for name, s := range old.spaces {
		if now := t.spaces[name]; now == nil || now.rooms != s.rooms {
			add(name, s.database.Stats())
		}
	}
}

// counters adds what only grows.
func counters(a, b db.Stats) db.Stats {
	return db.Stats{
		Waves: a.Waves + b.Waves, Retries: a.Retries + b.Retries, Failures: a.Failures + b.Failures,
		Dials: a.Dials + b.Dials, Cancels: a.Cancels + b.Cancels, Waits: a.Waits + b.Waits,
	}
}

func newTenants(file *config.Config, spaces map[string]*space) *tenants {
	t := &tenants{file: file, spaces: spaces, hosts: map[string]*space{}}
	for _, s := range spaces {
		for _, name := range s.tenant.Hosts {
			t.hosts[strings.ToLower(name)] = s
		}
	}
	return t
}

// values returns the tenants by name, for rooms that know no spaces.
func (t *tenants) values() map[string]*tenant.Tenant {
	m := make(map[string]*tenant.Tenant, len(t.spaces))
	for name, s := range t.spaces {
		m[name] = s.tenant
	}
	return m
}

// roles returns the roles that tenants' statements run as.
func (h *Host) roles() (list []string) {
	for _, s := range h.tenants.Load().spaces {
		list = append(list, s.database.Role())
	}
	return list
}

// names returns the host names that the server answers to.
func (t *tenants) names() []string {
	list := append([]string(nil), t.file.Server.Hosts...)
	for name := range t.hosts {
		list = append(list, name)
	}
	return list
}

// spaces returns the tenants of this moment by name. The map is not to be
// changed.
func (h *Host) spaces() map[string]*space {
	if t := h.tenants.Load(); t != nil {
		return t.spaces
	}
	return nil
}

// file is the configuration of this moment.
func (h *Host) file() *config.Config { return h.tenants.Load().file }
