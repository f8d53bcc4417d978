package main

import (
	"path/filepath"
	"testing"

	"weir/abi"
	"weir/host/wasm/wasmtest"
)

// TestPluginIsAskedOnceForEachContent: asking compiles, which takes long; a file
// with something else in it is asked again, and one that is no plugin left out.
func TestPluginIsAskedOnceForEachContent(t *testing.T) {
	t.Parallel()
	dir, cache := t.TempDir(), t.TempDir()
	k := modules{m: &Main{Getenv: func(string) string { return cache }}}
	plugin := func(version string) string {
		m := abi.Manifest{ABI: abi.Version, Name: "notes", Version: version}
		return string(wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes())
	}
	write(t, filepath.Join(dir, "a.wasm"), "no module")
	write(t, filepath.Join(dir, "b.wasm"), plugin("1"))
	only := func() *module {
		t.Helper()
		list := k.in(t.Context(), dir, "")
		if len(list) != 1 {
			t.Fatalf("%d modules, want that of b.wasm", len(list))
		}
		return list[0]
	}
	first := only()
	if again := only(); again != first {
		t.Error("the same file was asked twice")
	}
	write(t, filepath.Join(dir, "b.wasm"), plugin("2"))
	if now := only(); now.manifest.Version != "2" {
		t.Errorf("the file says version %s, want 2", now.manifest.Version)
	}
	write(t, filepath.Join(dir, "b.wasm"), "broken")
	if list := k.in(t.Context(), dir, ""); len(list) != 0 {
		t.Errorf("what is broken says %+v", list[0].manifest)
	}
}
