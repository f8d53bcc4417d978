package serve

import (
	"errors"
	"net/netip"
	"testing"

	"weir/host/auth"
	"weir/host/tenant"
)

// D5: a session is counted by address only where the address is known to be the
// client's.
func TestSessionsAreCountedByAddressWhenItIsKnown(t *testing.T) {
	t.Parallel()
	r := newRegistry(-1)
	owner := &tenant.Tenant{Name: "acme", Limits: tenant.Limits{MaxAddressSessions: 2}}
	open := func(address string) *session {
		s := &session{id: newSID(), owner: auth.Principal{Tenant: "acme"}}
		s.tenant.Store(owner)
		if address != "" {
			s.address = netip.MustParseAddr(address)
		}
		return s
	}
	first := open("203.0.113.9")
	for _, s := range []*session{first, open("203.0.113.9"), open("203.0.113.10"), open(""), open(""), open("")} {
		if err := r.open(s, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.open(open("203.0.113.9"), 0); !errors.Is(err, tenant.ErrTooManySessions) {
		t.Errorf("a third session of one address: %v", err)
	}
	r.remove(first)
	r.remove(first)
	if err := r.open(open("203.0.113.9"), 0); err != nil {
		t.Errorf("after one has left: %v", err)
	}
	for _, s := range r.all() {
		r.remove(s)
	}
	if len(r.sessions)+len(r.tenants)+len(r.principals)+len(r.addresses)+r.subs != 0 {
		t.Errorf("the empty registry holds %+v", r)
	}
}
