package host

import (
	"slices"
	"testing"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/tenant"
)

// TestKeyHoldsTheConfiguration: W4, F13. Results are shared only under equal
// configurations of their own plugin.
// Cases: 83.
func TestKeyHoldsTheConfiguration(t *testing.T) {
	t.Parallel()
	key := func(name string, all map[string]map[string]string) string {
		s := &space{rooms: &rooms{}, tenant: &tenant.Tenant{Name: "default"}, version: "trusted", settings: map[string]settings{}}
		for plugin, values := range all {
			s.settings[plugin] = newSettings(s.version, values)
		}
		fn := &plugin.Function{
			Function: &abi.Function{Name: "f"}, Plugin: &plugin.Plugin{Manifest: &abi.Manifest{Name: name}},
		}
		return string(newCall(s, fn, abi.Input{}).key)
	}
	type table = map[string]string
	chat := func(values table) map[string]map[string]string { return map[string]map[string]string{"chat": values} }
	keys := []string{
		key("chat", nil),
		key("chat", chat(table{"a": "1"})),
		key("chat", chat(table{"a": "2"})),
		key("chat", chat(table{"a": ""})),
		key("chat", chat(table{"a": "1", "b": ""})),
		key("chat", chat(table{"a": "1b"})),
		key("chat", chat(table{"a1": "b"})),
		key("chat", chat(table{"": "a1b"})),
		key("chat", chat(table{"b": "1", "a": "1"})),
	}
	for i, k := range keys {
		if at := slices.Index(keys, k); at != i {
			t.Errorf("configurations %d and %d have one key", at, i)
		}
	}
	if a, b := key("chat", chat(table{"a": "1", "b": "2"})), key("chat", chat(table{"b": "2", "a": "1"})); a != b {
		t.Error("equal configurations have two keys")
	}
	if a, b := key("chat", nil), key("chat", map[string]map[string]string{"notes": {"a": "1"}}); a != b {
		t.Error("another plugin's configuration is in the key")
	}
}

func TestConfiguredPluginsThatAreNotLoadedAreNamed(t *testing.T) {
	t.Parallel()
	s := &space{rooms: &rooms{plugins: plugin.NewSet(plugin.Config{})}, settings: map[string]settings{"notes": {}, "chat": {}}}
	if got, want := s.unused(), []string{"chat", "notes"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
