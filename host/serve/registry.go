package serve

import (
	"crypto/rand"
	"encoding/base64"
	"net/netip"
	"sync"
	"time"

	"weir/host/auth"
	"weir/host/tenant"
)

// registry knows the sessions and counts them against the limits (S5).
type registry struct {
	mu         sync.Mutex // protects the fields below
	closed     bool
	known      map[string]bool // the tenants, once told; nil: any
	sessions   map[string]*session
	tenants    map[string]*tenantCount
	principals map[auth.Principal]*principalCount
	addresses  map[netip.Addr]int
	subs       int
	total      int              // the most sessions; negative: any number
	rates      map[string]*rate // of opening, by tenant
}

type tenantCount struct{ sessions, anonymous int }

type principalCount struct{ sessions, subs int }

func newRegistry(total int) *registry {
	return &registry{
		total: total, rates: map[string]*rate{},
		sessions:   map[string]*session{},
		tenants:    map[string]*tenantCount{},
		principals: map[auth.Principal]*principalCount{},
		addresses:  map[netip.Addr]int{},
	}
}

// newSID returns 128 random bits.
func newSID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// open admits a session with its first subscriptions, or refuses both. It never
// evicts: whoever is evicted comes back at once, and the two take turns for ever.
func (r *registry) open(s *session, subs int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return refusal(drainCode)
	}
	if r.known != nil && !r.known[s.owner.Tenant] {
		return tenant.ErrUnknownTenant
	}
	l := s.limits()
	who := s.owner
	t := r.tenants[s.owner.Tenant]
	if t == nil {
		t = &tenantCount{}
	}
	p := r.principals[who]
	if p == nil {
		p = &principalCount{}
	}
	switch {
	case over(len(r.sessions), r.total):
		return limitError(tenant.ErrTooManySessions, "total_sessions", "the server has %d", len(r.sessions))
	case over(t.sessions, l.MaxSessions):
		return limitError(tenant.ErrTooManySessions, "sessions", "the tenant has %d", t.sessions)
	case who.Anonymous() && over(t.anonymous, l.MaxAnonymousSessions):
		return limitError(tenant.ErrTooManySessions, "anonymous_sessions", "the tenant has %d without a token", t.anonymous)
	case !who.Anonymous() && over(p.sessions, l.MaxPrincipalSessions):
		return limitError(tenant.ErrTooManySessions, "principal_sessions", "the principal has %d", p.sessions)
	case s.address.IsValid() && l.MaxAddressSessions > 0 && r.addresses[s.address] >= l.MaxAddressSessions:
		return limitError(tenant.ErrTooManySessions, "address_sessions", "the address has %d", r.addresses[s.address])
	}
	if err := checkSubs(l, who, p, 0, subs); err != nil {
		return err
	}
	if !r.rateOf(s.owner.Tenant).take(l.MaxOpenRate, time.Now()) {
		return limitError(tenant.ErrTooManySessions, "open_rate", "the tenant's are opened at more than %d a second", l.MaxOpenRate)
	}
	r.sessions[s.id] = s
	t.sessions++
	r.tenants[s.owner.Tenant] = t
	if who.Anonymous() {
		t.anonymous++
	} else {
		p.sessions++
		p.subs += subs
		r.principals[who] = p
	}
	if s.address.IsValid() {
		r.addresses[s.address]++
	}
	s.counted = subs
	r.subs += subs
	return nil
}

// over reports whether one more than have is too many; a negative limit is off.
func over(have, limit int) bool { return limit >= 0 && have >= limit }

func checkSubs(l tenant.Limits, who auth.Principal, p *principalCount, have, more int) error {
	if l.MaxSessionSubscriptions >= 0 && have+more > l.MaxSessionSubscriptions {
		return limitError(tenant.ErrTooManySubscriptions, "session_subscriptions", "a session may have %d", l.MaxSessionSubscriptions)
	}
	if !who.Anonymous() && l.MaxPrincipalSubscriptions >= 0 && p.subs+more > l.MaxPrincipalSubscriptions {
		return limitError(tenant.ErrTooManySubscriptions, "principal_subscriptions", "a principal may have %d", l.MaxPrincipalSubscriptions)
	}
	return nil
}

// reserve counts more subscriptions of an open session, or refuses all of them.
func (r *registry) reserve(s *session, more int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.id] != s {
		return refusal(sessionGone)
	}
	p := r.principals[s.owner]
	if err := checkSubs(s.limits(), s.owner, p, s.counted, more); err != nil {
		return err
	}
	r.count(s, more)
	return nil
}

// release gives subscriptions of an open session back.
func (r *registry) release(s *session, fewer int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.id] == s {
		r.count(s, -fewer)
	}
}

func (r *registry) count(s *session, n int) {
	s.counted += n
	r.subs += n
	if p := r.principals[s.owner]; p != nil {
		p.subs += n
	}
}

// remove forgets a session and all that it counted.
func (r *registry) remove(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[s.id] != s {
		return
	}
	r.count(s, -s.counted)
	delete(r.sessions, s.id)
	t := r.tenants[s.owner.Tenant]
	t.sessions--
	if s.owner.Anonymous() {
		t.anonymous--
	} else if p := r.principals[s.owner]; p.sessions == 1 {
		delete(r.principals, s.owner)
	} else {
		p.sessions--
	}
	if t.sessions == 0 {
		delete(r.tenants, s.owner.Tenant)
	}
	if r.addresses[s.address]--; r.addresses[s.address] <= 0 {
		delete(r.addresses, s.address)
	}
}

// find returns the session of that id if it is who's, and nil in every other
// case, so that a stranger's id cannot be told from an unknown one (S6).
func (r *registry) find(id string, who auth.Principal) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sessions[id]
	if s == nil || s.owner != who || s.single {
		return nil
	}
	return s
}

// all returns the sessions of this moment.
func (r *registry) all() []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*session, 0, len(r.sessions))
	for _, s := range r.sessions {
		list = append(list, s)
	}
	return list
}

// close refuses all sessions from now on.
func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

func (r *registry) sizes() (sessions, subs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions), r.subs
}
