package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPluginsSayWhatServesAndWhatDoesNot: the old plugin goes on serving, and why
// the new file does not stands below it.
func TestPluginsSayWhatServesAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	dir := newPluginIn(t, openDir(t))
	t.Cleanup(func() { weir(t, dir, "db", "private", "--remove").must(t) })
	out, _, stop := background(t, dir, "dev", "--listen", "127.0.0.1:0")
	out.wait(t, "  change ", 1)

	text := weir(t, dir, "plugins").must(t)
	if fields := strings.Fields(text); len(fields) < 7 || fields[0] != "notes" || fields[1] != "0.1.0" || len(fields[2]) != 12 ||
		!strings.Contains(text, "5 functions  since 20") {
		t.Errorf("got %q", text)
	}

	write(t, filepath.Join(dir, "plugins", "broken.wasm"), "no module")
	edit(t, filepath.Join(dir, "plugin", "main.go"), "order by id desc limit", "limit")
	out.wait(t, "plugin failed", 2)
	o := weir(t, dir, "plugins")
	for _, want := range []string{"notes ", "  notes.wasm was refused: tasks.list: statement 1", "broken.wasm ", "does not serve", "  broken.wasm was refused: "} {
		if !strings.Contains(o.out, want) {
			t.Errorf("it does not say %q:\n%s", want, o.out)
		}
	}
	if o.code != 1 || o.errors != "" {
		t.Errorf("exit %d %q, want 1 and the list", o.code, o.errors)
	}
	stop()
	if _, err := os.Stat(filepath.Join(dir, ".weir", "admin")); err == nil {
		t.Error("the address of the admin listener stays when weir dev has ended")
	}
}
