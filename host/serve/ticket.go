package serve

import (
	"sync"
	"time"

	"weir/host/auth"
	"weir/host/tenant"
)

// ticketLife is how long a ticket may wait for its stream.
const ticketLife = 30 * time.Second

// tickets holds the tickets of this process that were not used. A ticket is 128
// random bits that stand for a verified caller, once.
type tickets struct {
	mu      sync.Mutex // protects the fields below
	held    map[string]ticket
	byAge   []string // all have one life: the first is over first; used ones stay until then
	owners  map[auth.Principal]int
	tenants map[string]int
}

type ticket struct {
	caller *auth.Caller
	until  time.Time
}

func newTickets() *tickets {
	return &tickets{held: map[string]ticket{}, owners: map[auth.Principal]int{}, tenants: map[string]int{}}
}

// issue makes a ticket for a caller who may have as many as sessions.
func (t *tickets) issue(caller *auth.Caller, limits tenant.Limits) (string, error) {
	l, who := limits.WithDefaults(), caller.Principal
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(now)
	switch {
	case over(t.owners[who], l.MaxPrincipalSessions):
		return "", errTickets("the principal", t.owners[who])
	case over(t.tenants[who.Tenant], l.MaxSessions):
		return "", errTickets("the tenant", t.tenants[who.Tenant])
	}
	id := newSID()
	t.held[id] = ticket{caller, now.Add(ticketLife)}
	t.byAge = append(t.byAge, id)
	t.owners[who]++
	t.tenants[who.Tenant]++
	return id, nil
}

// take uses a ticket up and returns whose it is; nil if it is none of this tenant,
// was used, is over, or the token that it stands for is.
func (t *tickets) take(id, tenantName string) *auth.Caller {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	k, is := t.held[id]
	if !is || k.caller.Principal.Tenant != tenantName {
		return nil
	}
	t.drop(id, k)
	if !now.Before(k.until) || !k.caller.Expires.IsZero() && !now.Before(k.caller.Expires) {
		return nil
	}
	return k.caller
}

// forget drops the tickets that are over.
func (t *tickets) forget(now time.Time) {
	for len(t.byAge) > 0 {
		k, is := t.held[t.byAge[0]]
		if is && now.Before(k.until) {
			return
		}
		if is {
			t.drop(t.byAge[0], k)
		}
		t.byAge = t.byAge[1:]
	}
}

func (t *tickets) drop(id string, k ticket) {
	delete(t.held, id)
	who := k.caller.Principal
	if t.owners[who]--; t.owners[who] <= 0 {
		delete(t.owners, who)
	}
	if t.tenants[who.Tenant]--; t.tenants[who.Tenant] <= 0 {
		delete(t.tenants, who.Tenant)
	}
}
