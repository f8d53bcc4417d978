package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/abi/abitest"
	"weir/abi/conform"
	"weir/plugins/js/jstest"
)

// conforms wants a plugin that keeps every rule.
func conforms(t *testing.T, dir, file string) {
	t.Helper()
	out := weir(t, dir, "inspect", "--conform", file).must(t)
	if got, want := strings.Count("\n"+out, "\nok "), len(conform.Rules()); got != want {
		t.Errorf("%s keeps %d of %d rules:\n%s", file, got, want, out)
	}
}

// What weir builds keeps the contract.
func TestNewPluginConforms(t *testing.T) {
	t.Parallel()
	project := newPluginIn(t, t.TempDir())
	weir(t, project, "build").must(t)
	conforms(t, project, "plugins/notes.wasm")
}

// And so does what needs no building.
func TestNewPluginInJavaScriptConforms(t *testing.T) {
	t.Parallel()
	engine, err := os.ReadFile(jstest.File(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	weir(t, dir, "new", "notes", "--js").must(t)
	project := filepath.Join(dir, "notes")
	write(t, filepath.Join(project, "quickjs.wasm"), string(engine))
	write(t, filepath.Join(project, "weir.toml"), "plugins = \"plugins\"\nengine = \"quickjs.wasm\"\n")
	conforms(t, project, "plugins/notes.js")
}

// CLI1: a plugin that breaks a rule is told which, what was seen and what to do,
// and the exit code says so.
func TestConformSaysWhatIsBroken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := func(rule string, says ...string) {
		t.Helper()
		for _, w := range abitest.Wrongs() {
			if w.Rule == rule {
				write(t, filepath.Join(dir, "wrong.wasm"), string(w.Module))
			}
		}
		o := weir(t, dir, "inspect", "--conform", "wrong.wasm")
		o.fails(t, 1, says...)
		for _, r := range conform.Rules() {
			if r.Name == rule && (!strings.Contains(o.out, "failed  "+rule) || !strings.Contains(o.out, r.Do)) {
				t.Errorf("%s: it says\n%s", rule, o.out)
			}
		}
	}
	f(conform.RuleForgets, "wrong.wasm breaks 1 of 20 rules of the contract, which docs/abi.md lists")
	f(conform.RuleEnds, "breaks 1 of 20 rules")
	write(t, filepath.Join(dir, "wrong.wasm"), string(abitest.Honest()))
	conforms(t, dir, "wrong.wasm")
	// What a host refuses is not run at all.
	for _, w := range abitest.Wrongs() {
		if w.Rule == conform.RuleImports {
			write(t, filepath.Join(dir, "wrong.wasm"), string(w.Module))
			if o := weir(t, dir, "inspect", "--conform", "wrong.wasm"); o.code != 1 || o.out != "" {
				t.Errorf("%s: %+v", w.How, o)
			}
		}
	}
}
