package serve

import (
	"net/http"
	"strings"
	"testing"

	"weir/host/tenant"
)

// A reload gives sessions their new limits, ends those of a tenant that is gone,
// and lets none of it begin. What the server answers to changes with it.
func TestReloadChangesWhatIsOpen(t *testing.T) {
	t.Parallel()
	onEach(t, nil, func(t *testing.T, f *fixture) {
		s := f.session(`{"id":1,"q":"rooms.list"}`)
		s.expect("sub", "message")
		reload := func(hosts []string, tenants ...*tenant.Tenant) {
			t.Helper()
			edge, err := NewEdge(hosts, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			byName := map[string]*tenant.Tenant{}
			for _, one := range tenants {
				byName[one.Name] = one
			}
			f.server.Reload(edge, byName)
		}
		small := &tenant.Tenant{Name: tenant.DefaultName, Limits: tenant.Limits{MaxSessionSubscriptions: 1}}
		reload([]string{"new.example"}, small)
		got := f.do(http.MethodPost, "/v1/stream/"+s.sid, `{"add":[{"id":2,"q":"messages.list"}]}`)
		if got.status != 429 || !strings.Contains(got.body, "may have 1") {
			t.Errorf("over the new limit: %d %s", got.status, got.body)
		}
		if n := f.server.Stats().Limits[tenant.DefaultName]["session_subscriptions"]; n != 1 {
			t.Errorf("the limit was reached %d times", n)
		}
		f.backend.set("rooms.list", rows(5))
		if e := s.expect("sub", "message")[1]; !strings.Contains(e.data, `{"id":5}`) {
			t.Errorf("after the reload: %s", e)
		}
		reload(nil, &tenant.Tenant{Name: "other"})
		if e := s.expect("close")[0]; e.field("reason") != "tenant_removed" {
			t.Errorf("the tenant is gone: %s", e)
		}
		s.ended()
		if got := f.do(http.MethodPost, "/v1/stream", `{"subs":[]}`); got.status != 404 {
			t.Errorf("a stream of a tenant that is gone: %d %s", got.status, got.body)
		}
		reload(nil, small)
		f.session(`{"id":1,"q":"rooms.list"}`).expect("sub", "message")
	})
}

func TestHostsFollowAReload(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Hosts = []string{"old.example"} })
	f2 := func(host string, want int) {
		t.Helper()
		if got := f.do(http.MethodGet, "/v1/schema", "", "Host: "+host); (got.status == 421) != (want == 421) {
			t.Errorf("%s: %d, want %d", host, got.status, want)
		}
	}
	f2("old.example", 200)
	f2("new.example", 421)
	edge, err := NewEdge([]string{"new.example"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.server.Reload(edge, map[string]*tenant.Tenant{tenant.DefaultName: {Name: tenant.DefaultName}})
	f2("old.example", 421)
	f2("new.example", 200)
	if _, err := NewEdge(nil, []string{"nonsense"}, nil); err == nil {
		t.Error("an origin that is none was taken")
	}
}
