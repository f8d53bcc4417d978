package host_test

import (
	"net/http"
	"os"
	"testing"

	"weir/host/hosttest"
)

// The stock policies, required by pattern in the configuration: of a public
// function and of one for the signed-in, with the roles that the operator lists.
func TestStockPoliciesAreRequiredByPattern(t *testing.T) {
	t.Parallel()
	code, err := os.ReadFile(hosttest.Build(t, "../plugins/policy"))
	if err != nil {
		t.Fatal(err)
	}
	s := hosttest.Start(t, hosttest.Config{
		TOML: `plugins = "plugins"
require = { "of.*" = ["policy/roles"] }
[auth]
claims = { org = "org.name", roles = "realm.roles" }
[[auth.keys]]
issuer = "https://id.test"
audience = "weir"
hs256 = "` + secret + `"
[plugin.policy.config]
roles = "auditor, admin"
`,
		Schema: todos, Modules: map[string][]byte{"c.wasm": claiming(), "policy.wasm": code},
	})
	f := func(status int, reason string, roles ...string) {
		t.Helper()
		tok := token(t, secret, "realm", map[string]any{"roles": roles})
		if roles == nil {
			tok = token(t, secret)
		}
		got, answer := decode(t, request(t, http.MethodGet, s.URL+"/v1/q/of.all", tok, ""))
		if got != status || status == 403 && answer["message"] != reason {
			t.Errorf("roles %v: %d %v, want %d %s", roles, got, answer, status, reason)
		}
	}
	f(200, "", "user", "auditor")
	f(200, "", "admin")
	f(403, "needs_role", "user")
	f(403, `roles needs the claim "roles": the caller's token does not have it`)
}
