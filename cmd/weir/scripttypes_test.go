package main

import (
	"os"
	"path/filepath"
	"testing"

	"weir/plugins/js"
)

// checkScript checks a plugin in JavaScript as an editor does in the project that
// weir new --js makes, and returns the lines with errors.
func checkScript(t *testing.T, path string) map[int]string {
	t.Helper()
	node, tsc := compiler(t)
	dir := t.TempDir()
	config, err := others.ReadFile("script/plugins/jsconfig.json.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "jsconfig.json"), string(config))
	write(t, filepath.Join(dir, "weir.d.ts"), js.Types)
	write(t, filepath.Join(dir, "plugin.js"), string(text))
	return diagnose(t, "plugin.js", node, tsc, "-p", filepath.Join(dir, "jsconfig.json"), "--pretty", "false")
}

// Editors know all that a plugin may use, imported or not.
func TestTypesOfPluginsKnowWhatIsRight(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"testdata/types/plugin.js", "script/plugins/NAME.js.tmpl", "../../examples/chat/javascript/chat.js"} {
		for line, text := range checkScript(t, path) {
			t.Errorf("%s:%d: %s", path, line, text)
		}
	}
}

func TestTypesOfPluginsKnowWhatIsWrong(t *testing.T) {
	t.Parallel()
	const path = "testdata/types/wrong-plugin.js"
	wantMarked(t, path, checkScript(t, path))
}
