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

// K2: what the Go SDK makes keeps the contract: the stock policies, the examples
// and a new project.
func TestGoPluginsConform(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, source := range map[string]string{
		"policy": "../../plugins/policy", "chat": "../../examples/chat/plugin", "kanban": "../../examples/kanban/plugin",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, name+".wasm")
			weir(t, "", "build", source, "-o", file).must(t)
			conforms(t, "", file)
		})
	}
	t.Run("new", func(t *testing.T) {
		t.Parallel()
		project := newPluginIn(t, t.TempDir())
		weir(t, project, "build").must(t)
		conforms(t, project, "plugins/notes.wasm")
	})
}

// K2: and so does the engine of JavaScript with a source file.
func TestJavaScriptPluginsConform(t *testing.T) {
	t.Parallel()
	engine, err := os.ReadFile(jstest.File(t))
	if err != nil {
		t.Fatal(err)
	}
	chat, err := os.ReadFile("../../examples/chat/javascript/chat.js")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	weir(t, dir, "new", "notes", "--js").must(t)
	project := filepath.Join(dir, "notes")
	write(t, filepath.Join(project, "quickjs.wasm"), string(engine))
	write(t, filepath.Join(project, "weir.toml"), "plugins = \"plugins\"\nengine = \"quickjs.wasm\"\n")
	write(t, filepath.Join(project, "plugins", "chat.js"), string(chat))
	for _, file := range []string{"plugins/notes.js", "plugins/chat.js"} {
		conforms(t, project, file)
	}
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
