package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFuzzRunFailsWhenATargetFails: a package without targets ends nothing, a
// failure is shown and told by the exit code, and what comes after it still runs.
func TestFuzzRunFailsWhenATargetFails(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs(filepath.Join("..", "..", ".ci", "fuzz"))
	if err != nil {
		t.Fatal(err)
	}
	f := func(body string, wantOK bool, parts ...string) {
		t.Helper()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "go.mod"), "module fuzzed\n")
		write(t, filepath.Join(dir, "a", "a_test.go"), "package a\n")
		for name, body := range map[string]string{"b": body, "c": ""} {
			write(t, filepath.Join(dir, name, name+"_test.go"), "package "+name+"\nimport \"testing\"\n"+
				"func FuzzIt(f *testing.F) { f.Add(7); f.Fuzz(func(t *testing.T, n int) { "+body+" }) }\n")
		}
		cmd := exec.CommandContext(t.Context(), script, "1x")
		cmd.Dir, cmd.Env = dir, offline()
		out, err := cmd.CombinedOutput()
		if (err == nil) != wantOK {
			t.Errorf("body %q: %v\n%s", body, err, out)
		}
		for _, part := range parts {
			if !strings.Contains(string(out), part) {
				t.Errorf("body %q: the run does not say %q:\n%s", body, part, out)
			}
		}
	}
	f(`t.Error("this was found")`, false, "this was found", "fuzz: c FuzzIt", "failed: b FuzzIt")
	f(``, true, "fuzz: b FuzzIt", "2 targets, none failed")
}

// TestVulncheckThatLooksAtNothingSaysSo: a database that cannot be reached is told
// aloud, and is a failure for whoever needs it.
func TestVulncheckThatLooksAtNothingSaysSo(t *testing.T) {
	t.Parallel()
	for needs, wantOK := range map[string]bool{"": true, "1": false} {
		cmd := exec.CommandContext(t.Context(), filepath.Join("..", "..", ".ci", "vulncheck"))
		cmd.Env = append(offline(), "GOVULNDB=http://127.0.0.1:1", "WEIR_NEEDS_VULNDB="+needs)
		out, err := cmd.CombinedOutput()
		if (err == nil) != wantOK || !strings.Contains(string(out), "NOTHING WAS LOOKED AT. http://127.0.0.1:1 does not answer") {
			t.Errorf("WEIR_NEEDS_VULNDB=%s: %v\n%s", needs, err, out)
		}
	}
}
