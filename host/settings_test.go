package host_test

import (
	"testing"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// configured assembles a plugin that returns a key of its configuration: as text
// in the query settings.KEY and the mutation settings.told, or the negative errno
// in settings.none, for a key that is not set.
func configured(key string) []byte {
	const keyAt, noneAt, outAt = wasmtest.DataAt, wasmtest.DataAt + 300, wasmtest.DataAt + 400
	ask := func(at, n, size int) []byte {
		return wasmtest.Join(wasmtest.I32(int32(at)), wasmtest.I32(int32(n)), wasmtest.I32(outAt+1), wasmtest.I32(int32(size)), wasmtest.Invoke(0))
	}
	// A text of fewer than 24 bytes has a head of one, 0x60 + n.
	head := func(code []byte) []byte { return wasmtest.Join(wasmtest.I32(outAt), code, wasmtest.Store()) }
	tell := wasmtest.Join(ask(keyAt, len(key), 0), wasmtest.Put(2),
		head(wasmtest.Join(wasmtest.I32(0x60), wasmtest.I32(0), wasmtest.Get(2), wasmtest.Sub(), wasmtest.Sub())),
		ask(keyAt, len(key), 23), wasmtest.Drop(),
		wasmtest.Get(2), wasmtest.I32(-1), wasmtest.Sub(), wasmtest.PackValueAt(outAt))
	// A small negative number is 0x20 + (-1 - n).
	none := wasmtest.Join(ask(noneAt, 4, 0), wasmtest.Put(2),
		head(wasmtest.Join(wasmtest.I32(0x20), wasmtest.Get(2), wasmtest.I32(-1), wasmtest.Sub(), wasmtest.Sub())),
		wasmtest.Pack(abi.TagValue, outAt, 1))
	told := abi.Function{Name: "settings.told", Kind: abi.Mutation, Access: abi.Access{Public: true}}
	m := abi.Manifest{ABI: abi.Version, Name: "settings", Version: "1", Functions: []abi.Function{
		public("settings." + key), public("settings.none"), told,
	}}
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m), Call: choose([][]byte{tell, none, tell}),
		Imports: []wasmtest.Import{wasmtest.Host(abi.ImportConfig, "iiii:i")},
		Data:    map[uint32][]byte{keyAt: []byte(key), noneAt: []byte("none")},
	}.Bytes()
}

// TestPluginReadsItsConfiguration: from the file to the guest, for queries and
// mutations, each plugin its own table.
func TestPluginReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{
		Modules: map[string][]byte{"settings.wasm": configured("greeting")},
		TOML: `plugins = "plugins"
[plugin.settings.config]
greeting = "hello"
[plugin.other.config]
greeting = "not for settings"
none = true`,
	})
	f := func(name string, want any) {
		t.Helper()
		if status, answer := get(t, s.URL+"/v1/q/"+name); status != 200 || answer["value"] != want {
			t.Errorf("%s: %d %v, want %v", name, status, answer, want)
		}
	}
	f("settings.greeting", "hello")
	f("settings.none", float64(-abi.ErrnoMissing))
	if status, answer := post(t, s.URL+"/v1/call/settings.told", `{}`); status != 200 || answer["result"] != "hello" {
		t.Errorf("the mutation: %d %v", status, answer)
	}
}
