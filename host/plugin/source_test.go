package plugin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// engine is a module that runs any source: it describes itself with m.
func engine(m *abi.Manifest, n int64) []byte {
	g := guest(m, n)
	g.Source = Pack(abi.TagNone, 0, 0)
	return g.Bytes()
}

// A *.js file is run by the engine; its digest is that of both; the same file
// changes nothing, another one is swapped in.
func TestSourceFilesAreRunByTheEngine(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "acme"})
	missing := errors.New("the engine is not there: get it")
	asked := 0
	r.config.Engine = func() ([]byte, error) {
		asked++
		if missing != nil {
			return nil, missing
		}
		return engine(manifest("chat", "messages.list"), 7), nil
	}
	if err := r.put("chat.js", []byte("one")); !errors.Is(err, missing) || r.Errors()[r.path("chat.js")] == nil {
		t.Errorf("without the engine: %v", err)
	}
	missing = nil
	r.must("chat.js", []byte("one"))
	r.want("messages.list", 7)
	first := r.All()[0]
	r.must("chat.js", []byte("one"))
	if now := r.All()[0]; now != first || asked != 2 || len(r.changes) != 1 || len(r.Errors()) != 0 {
		t.Errorf("the same bytes changed something: asked %d times, %d changes", asked, len(r.changes))
	}
	r.must("chat.js", []byte("two"))
	if now := r.All()[0]; now == first || now.Digest == first.Digest {
		t.Error("another source has the same digest")
	}
	// A module is no source, and the other way round.
	if err := r.put("other.wasm", engine(manifest("other", "a.b"), 1)); err == nil || !strings.Contains(err.Error(), "put the source file there") {
		t.Errorf("the engine as a plugin: %v", err)
	}
	if err := r.put("other.js", make([]byte, maxSource+1)); err == nil || !strings.Contains(err.Error(), "more than the 1048576 allowed: split the plugin") {
		t.Errorf("a large source: %v", err)
	}
	if err := r.put("other.js", []byte("\xff")); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("no text: %v", err)
	}
	// G16: a name is one plugin's, whatever it is written in.
	if err := r.put("chat.wasm", guest(manifest("chat", "c.d"), 1).Bytes()); err == nil || !strings.Contains(err.Error(), "a plugin called chat is loaded from chat.js") {
		t.Errorf("two of one name: %v", err)
	}
	r.Remove(context.Background(), r.path("chat.js"))
	if len(r.All()) != 0 {
		t.Error("it is still there")
	}
	r.config.Engine = nil
	if err := r.put("chat.js", []byte("one")); err == nil || !strings.Contains(err.Error(), "no plugins in JavaScript") {
		t.Errorf("without a door to the engine: %v", err)
	}
}

func TestFilesAreThePluginsOfADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b.js", "a.wasm", ".#b.js", "weir.d.ts", "c.wasm.new", "jsconfig.json", "b.js~"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Files(dir)
	if want := []string{filepath.Join(dir, "a.wasm"), filepath.Join(dir, "b.js")}; err != nil || !slices.Equal(files, want) {
		t.Errorf("%q %v, want %q", files, err, want)
	}
}
