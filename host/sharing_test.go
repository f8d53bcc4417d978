package host_test

import (
	"strings"
	"testing"

	"weir/host/hosttest"
)

// W4: it can be asked why two callers share a result, or do not.
func TestExplainSharing(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{TOML: withKey, Schema: todos, Modules: map[string][]byte{"c.wasm": claiming()}})
	user := func(name, org string) string {
		return token(t, secret, "sub", name, "org", map[string]any{"name": org})
	}
	f := func(name, a, b, want string) {
		t.Helper()
		text, err := s.Host.ExplainSharing(t.Context(), name, []byte(`{}`), [2]string{a, b})
		if err != nil {
			text = err.Error()
		}
		if !strings.Contains(text, want) {
			t.Errorf("%s: got %q, want %q", name, text, want)
		}
	}
	ann, bob, eve := user("ann", "acme"), user("bob", "acme"), user("eve", "evil")
	f("of.all", ann, eve, "ann and eve share one result")
	f("of.org", ann, bob, "ann and bob share one result: of.org sees the same of both\n  who (claim org) = \"acme\"\n")
	f("of.org", ann, eve, "ann and eve do not share: of.org can tell them apart\n  who (claim org) = \"acme\" for ann, \"evil\" for eve\n")
	f("of.me", ann, "dev:bob", "\"ann\" for ann, \"bob\" for bob")
	f("of.org", ann, "dev:bob", "bob: of.org needs the claim \"org\"")
	f("of.nothing", ann, bob, "there is no function")
	f("of.all", "x.y.z", bob, "caller 1")
}
