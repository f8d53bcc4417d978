package host_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"weir/abi"
	"weir/host"
	"weir/host/hosttest"
)

// requiring is the file of two tenants in which acme's items need a policy.
func requiring(policy string) string {
	return strings.Replace(twoTenants, `plugins = "acme"`, "plugins = \"acme\"\nrequire = { \"items.*\" = [\""+policy+"\"] }", 1)
}

// rules is a plugin of policies that allow everybody.
func rules(names ...string) []byte {
	zero := 0
	m := abi.Manifest{Statements: []abi.Statement{{SQL: `select 1 as one`}}}
	for _, name := range names {
		m.Functions = append(m.Functions, abi.Function{Name: name, Kind: abi.Policy, Statement: &zero})
	}
	return guest("rules", m, nil, constant(0))
}

// ruled gives acme such a plugin.
func ruled(names ...string) map[string]hosttest.Tenant {
	return map[string]hosttest.Tenant{"acme": {Modules: map[string][]byte{"rules.wasm": rules(names...)}}}
}

// policies are the events of required policies.
func policies() (chan host.Event, func(host.Event)) {
	told := make(chan host.Event, 16)
	return told, func(e host.Event) {
		if e.Kind == host.PolicyMissing || e.Kind == host.PolicyBack {
			told <- e
		}
	}
}

// TestReloadRefusesARequiredPolicyThatNoPluginHas: in a sentence that says what
// there is, and nothing changes.
func TestReloadRefusesARequiredPolicyThatNoPluginHas(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{TOML: requiring("always"), Tenants: ruled("always", "staff")})
	f := func(policy, want string) {
		t.Helper()
		moved := strings.Replace(requiring(policy), `"bolt.test"`, `"moved.test"`, 1)
		if err := s.Host.Reload(s.File(t, moved)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", policy, err, want)
		}
		for _, name := range []string{"acme", "bolt"} {
			if status, text := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", name+".test", "", ""); status != 200 {
				t.Errorf("%s: what served before: %d %s", name, status, text)
			}
		}
	}
	f("stuff", `tenant acme: require "items.*" names the policy "stuff", but no plugin has it: there are always, staff; did you mean "staff"?`)
	f("items/staff", `tenant acme: require "items.*" names the policy "items/staff", but plugin items has no policy staff: there are always, staff`)
	f("items.list", `tenant acme: require "items.*" names the policy "items.list", but items.list is a query, not a policy: there are always, staff`)
	for _, policy := range []string{"staff", "rules/staff"} {
		if err := s.Host.Reload(s.File(t, requiring(policy))); err != nil {
			t.Error(err)
		}
	}
}

// TestASwapThatTakesARequiredPolicyClosesWhatItGuards: F4, W5. What it guards is
// undecided, never open; that is told once; with the policy it comes back. The
// tenant's plugins may be another's work, so that other changes of the file are
// taken meanwhile (W7).
// Cases: 87.
func TestASwapThatTakesARequiredPolicyClosesWhatItGuards(t *testing.T) {
	t.Parallel()
	told, onEvent := policies()
	s := two(t, hosttest.Config{TOML: requiring("always"), Tenants: ruled("always"), Event: onEvent})
	live := session(t, s.URL+"/t/acme/v1/stream", "", `{"subs":[{"id":1,"q":"items.open"}]}`)
	live.result(t)
	s.Write(t, filepath.Join("tenants", "acme", "rules.wasm"), rules("other"))
	e := <-told
	if e.Kind != host.PolicyMissing || e.Name != "always" || !strings.Contains(e.Err.Error(), `tenant acme: require "items.*" names the policy "always", but no plugin has it: there is other`) {
		t.Errorf("told: %v %q %v", e.Kind, e.Name, e.Err)
	}
	live.status(t, "stale")
	late := session(t, s.URL+"/t/acme/v1/stream", "", `{"subs":[{"id":1,"q":"items.open"}]}`)
	if e := late.status(t, "stale"); !strings.Contains(e.data, `"reason":"unavailable"`) {
		t.Errorf("who comes now is told %s", e.data)
	}
	s.SQL(t, `update acme.items set title = 'hidden' where id = 1`)
	for range 2 {
		if status, text := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", "acme.test", "", ""); status != 503 || strings.Contains(text, "always") {
			t.Errorf("asked: %d %s", status, text)
		}
		if status, text := onHost(t, http.MethodPost, s.URL+"/v1/call/items.touch", "acme.test", tokenOf(t, "acme"), `{}`); status != 503 || strings.Contains(text, "always") {
			t.Errorf("a mutation: %d %s", status, text)
		}
	}
	if status, ok, message := conditionOf(t, s, "policies"); status != 200 || ok || !strings.Contains(message, `"always"`) {
		t.Errorf("readyz is %d, policies %v %q", status, ok, message)
	}
	file := strings.Replace(requiring("always"), `"bolt.test"`, `"moved.test"`, 1)
	if err := s.Host.Reload(s.File(t, file)); err != nil {
		t.Errorf("a change of another tenant: %v", err)
	}
	s.Write(t, filepath.Join("tenants", "acme", "rules.wasm"), rules("always", "other"))
	if e := <-told; e.Kind != host.PolicyBack || e.Name != "always" {
		t.Errorf("told: %v %q %v", e.Kind, e.Name, e.Err)
	}
	for _, stream := range []*stream{live, late} {
		if got := stream.result(t).Rows[0]["title"]; got != "hidden" {
			t.Errorf("the stream shows %v", got)
		}
	}
	if _, ok, message := conditionOf(t, s, "policies"); !ok {
		t.Errorf("policies: %q", message)
	}
}

// TestAStartWithoutARequiredPolicyIsTold: under weir dev, and for a tenant whose
// plugins are not the operator's own, it is no end, and closed.
func TestAStartWithoutARequiredPolicyIsTold(t *testing.T) {
	t.Parallel()
	told, onEvent := policies()
	s := two(t, hosttest.Config{TOML: requiring("never"), Event: onEvent})
	if e := <-told; e.Kind != host.PolicyMissing || !strings.HasSuffix(e.Err.Error(), "there is no policy at all") {
		t.Errorf("told: %v %v", e.Kind, e.Err)
	}
	for name, want := range map[string]int{"acme": 503, "bolt": 200} {
		if status, text := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", name+".test", "", ""); status != want {
			t.Errorf("%s: %d %s, want %d", name, status, text, want)
		}
	}
}
