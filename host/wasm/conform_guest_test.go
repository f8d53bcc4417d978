package wasm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weir/abi/abitest"
	"weir/abi/conform"
	. "weir/host/wasm/wasmtest"
	"weir/plugins/js/jstest"
)

// machine is what guests of the kit run on.
func machine(t *testing.T) *Machine {
	t.Helper()
	dir := CacheHome()
	if dir != "" { // private: CacheHome made it
		dir = filepath.Join(dir, "machine")
	}
	m, err := NewMachine(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

// goPlugin builds a plugin with the Go toolchain.
func goPlugin(t *testing.T, source string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "plugin.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", file, source)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// broken returns what failed, by the name of the rule.
func broken(t *testing.T, p conform.Plugin) map[string]string {
	t.Helper()
	results, err := conform.Check(t.Context(), machine(t), p)
	if err != nil {
		t.Fatal(err)
	}
	failed := map[string]string{}
	for _, r := range results {
		if r.Failed != "" {
			failed[r.Name] = r.Failed
		}
	}
	for _, r := range results {
		if r.Unchecked && len(failed) == 0 {
			t.Errorf("%s was not checked, and nothing failed", r.Name)
		}
	}
	return failed
}

// K2: a guest that keeps the contract fails no rule.
func TestHonestGuestConforms(t *testing.T) {
	t.Parallel()
	if failed := broken(t, conform.Plugin{Module: abitest.Honest()}); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
}

// K2: what the Go SDK makes keeps the contract: the stock policies and the
// examples.
func TestGoPluginsConform(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"plugins/policy", "examples/chat/plugin", "examples/kanban/plugin", "examples/jobs/plugin"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			code := goPlugin(t, "../../"+source)
			if failed := broken(t, conform.Plugin{Module: code}); len(failed) > 0 {
				t.Errorf("failed: %v", failed)
			}
		})
	}
}

// K2: and so does the engine of JavaScript with a source file.
func TestJavaScriptPluginsConform(t *testing.T) {
	t.Parallel()
	engine := jstest.Engine(t)
	text, err := os.ReadFile("../../examples/chat/javascript/chat.js")
	if err != nil {
		t.Fatal(err)
	}
	if failed := broken(t, conform.Plugin{Module: engine, Name: "chat.js", Text: string(text)}); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	if failed := broken(t, conform.Plugin{Module: engine}); len(failed) != 1 || failed[conform.RuleExports] == "" {
		t.Errorf("an engine without a source: %v", failed)
	}
	if failed := broken(t, conform.Plugin{Module: engine, Name: "a.js", Text: "query("}); len(failed) != 1 || !strings.Contains(failed[conform.RuleStart], "a.js:1") {
		t.Errorf("a source that is none: %v", failed)
	}
}

// K1: each rule has a guest that breaks it and no other.
func TestWrongGuestsFailTheirOwnRule(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, w := range abitest.Wrongs() {
		have[w.Rule] = true
		t.Run(w.Rule+" "+w.How, func(t *testing.T) {
			t.Parallel()
			failed := broken(t, conform.Plugin{Module: w.Module})
			if failed[w.Rule] == "" {
				t.Errorf("it keeps the rule")
			}
			t.Log(failed[w.Rule])
			delete(failed, w.Rule)
			if len(failed) > 0 {
				t.Errorf("it also fails %v", failed)
			}
		})
	}
	for _, r := range conform.Rules() {
		if !have[r.Name] {
			t.Errorf("no guest breaks %s", r.Name)
		}
	}
}
