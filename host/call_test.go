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
		key("chat", chat(table{"a": "1\x00b\x00"})),
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

// W4, F13: calls that differ in one thing only, of those that a result may depend
// on, never share a group: tenant, role, what was granted, plugin, function, input.
func TestKeyHoldsAllThatAFunctionSees(t *testing.T) {
	t.Parallel()
	type seen struct {
		tenant, role, granted, function string
		digest                          byte
		input                           string
	}
	key := func(c seen) string {
		s := &space{rooms: &rooms{role: c.role}, tenant: &tenant.Tenant{Name: c.tenant}, version: c.granted}
		fn := &plugin.Function{
			Function: &abi.Function{Name: c.function},
			Plugin:   &plugin.Plugin{Digest: [32]byte{31: c.digest}, Manifest: &abi.Manifest{Name: "chat"}},
		}
		return string(newCall(s, fn, abi.Input{Bytes: []byte(c.input)}).key)
	}
	calls := []seen{
		{"a", "r", "trusted", "list", 1, "x"},
		{"b", "r", "trusted", "list", 1, "x"},
		{"a", "s", "trusted", "list", 1, "x"},
		{"a", "r", "sandboxed", "list", 1, "x"},
		{"a", "r", "trusted", "lists", 1, "x"},
		{"a", "r", "trusted", "list", 2, "x"},
		{"a", "r", "trusted", "list", 1, "y"},
	}
	keys := map[string]seen{}
	for _, c := range calls {
		if other, known := keys[key(c)]; known {
			t.Errorf("%+v and %+v share a group", c, other)
		}
		keys[key(c)] = c
	}
	if again := calls[0]; key(again) != key(calls[0]) {
		t.Error("one call has two keys")
	}
}

func TestConfiguredPluginsThatAreNotLoadedAreNamed(t *testing.T) {
	t.Parallel()
	s := &space{rooms: &rooms{plugins: plugin.NewSet(plugin.Config{})}, settings: map[string]settings{"notes": {}, "chat": {}}}
	if got, want := s.unused(), []string{"chat", "notes"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
