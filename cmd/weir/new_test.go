package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"weir/plugins/js"
	"weir/plugins/js/jstest"
)

// offline is an environment in which the go tool may fetch nothing.
func offline() []string {
	return append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOWORK=off")
}

// newProjectIn makes the project notes and returns its directory.
func newProjectIn(t *testing.T, dir string) string {
	t.Helper()
	weir(t, dir, "new", "notes").must(t)
	return filepath.Join(dir, "notes")
}

var notesCompiled sync.Once

// newPluginIn is newProjectIn for tests that run the plugin: it is compiled once,
// before they all do it side by side.
func newPluginIn(t *testing.T, dir string) string {
	t.Helper()
	notesCompiled.Do(func() { weir(t, newProjectIn(t, t.TempDir()), "build").must(t) })
	return newProjectIn(t, dir)
}

func TestNewProjectBuildsAndPassesItsTestsOffline(t *testing.T) {
	t.Parallel()
	dir := newProjectIn(t, t.TempDir())
	for _, args := range [][]string{{"vet", "./..."}, {"test", "-run", "AddWrites|AddRefuses|Manifest", "./..."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = dir, offline()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// A plugin alone, to wasm, as weir dev does it.
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-o", filepath.Join(t.TempDir(), "notes.wasm"), "./plugin")
	cmd.Dir, cmd.Env = dir, append(offline(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// TestNewProjectStandsAlone: nothing in it is imported from this module.
func TestNewProjectStandsAlone(t *testing.T) {
	t.Parallel()
	dir := newProjectIn(t, t.TempDir())
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, bad := range []string{`"weir/`, "{{name}}", "{{go}}"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s contains %s", path, bad)
			}
		}
		if strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "plugin") {
			t.Errorf("%s is a test of the SDK itself", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	weir(t, dir, "check").must(t)
}

func TestNewProjectLeavesADirectoryInUseAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "notes", "mine.txt"), "mine")
	weir(t, dir, "new", "notes").fails(t, 2, "notes is not empty", "--dir")
	entries, err := os.ReadDir(filepath.Join(dir, "notes"))
	if err != nil || len(entries) != 1 {
		t.Errorf("found %v %v", entries, err)
	}
	weir(t, dir, "new", "notes", "--dir", "elsewhere/deep").must(t)
	if _, err := os.Stat(filepath.Join(dir, "elsewhere", "deep", "weir.toml")); err != nil {
		t.Error(err)
	}
}

func TestBuildAndInspectSayWhatIsInAPlugin(t *testing.T) {
	t.Parallel()
	dir := newPluginIn(t, t.TempDir())
	out := weir(t, dir, "build").must(t)
	if !strings.Contains(out, "plugins/notes.wasm") || !strings.Contains(out, "5 functions") {
		t.Errorf("build says %q", out)
	}
	out = weir(t, dir, "inspect", "plugins/notes.wasm").must(t)
	for _, want := range []string{
		"notes  0.1.0", "sha256   ", "tasks.list", "(list integer, done boolean?, before integer?, limit integer?)", "claim sub",
		"statement 1", "guest", "select id, title, author, done from tasks", "weir_call",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("inspect does not say %q:\n%s", want, out)
		}
	}
	// The plugin alone, to a file of its own.
	weir(t, dir, "build", "plugin", "-o", "other.wasm").must(t)
	if _, err := os.Stat(filepath.Join(dir, "other.wasm")); err != nil {
		t.Error(err)
	}

	edit(t, filepath.Join(dir, "plugin", "main.go"), "func main() {}", "func main() { undefinedName() }")
	o := weir(t, dir, "build")
	if o.code != 1 || !strings.Contains(o.errors, "notes.wasm does not compile") || !strings.Contains(o.errors, "main.go:") {
		t.Errorf("got %+v", o)
	}
}

func TestPluginIsNamedAfterItsProject(t *testing.T) {
	t.Parallel()
	f := func(dir, want string) {
		t.Helper()
		if got := pluginName(dir); got != want {
			t.Errorf("pluginName(%s) = %s, want %s", dir, got, want)
		}
	}
	f("/home/ann/chat/plugin", "chat")
	f("/home/ann/chat/plugin/", "chat")
	f("/home/ann/chat", "chat")
	f("/plugin", "plugin")
}

// A project in JavaScript needs no toolchain: its plugin is what lies there.
func TestNewProjectInJavaScriptIsAPluginAtOnce(t *testing.T) {
	t.Parallel()
	engine, dir := jstest.File(t), t.TempDir()
	// A cache of its own: other tests keep the engine in theirs.
	cache := t.TempDir()
	weir := func(t *testing.T, dir string, args ...string) outcome {
		t.Helper()
		return weirWith(t, &Main{Dir: dir, Args: args, Getenv: func(name string) string {
			if name == "XDG_CACHE_HOME" {
				return cache
			}
			return environment(name)
		}})
	}
	out := weir(t, dir, "new", "notes", "--js").must(t)
	if !strings.Contains(out, "npm pack quickjs-wasi@") {
		t.Errorf("without an engine it says %q", out)
	}
	file, err := os.ReadFile(engine)
	if err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "notes")
	o := weir(t, project, "inspect", "plugins/notes.js")
	if o.code != 1 || !strings.Contains(o.errors, "npm pack quickjs-wasi@") {
		t.Errorf("inspect without the engine: %+v", o)
	}
	// What weir.toml names is there: npm would have put it.
	write(t, filepath.Join(project, js.Package+"-"+js.Version+".tgz"), string(file))
	out = weir(t, project, "inspect", "plugins/notes.js").must(t)
	for _, want := range []string{"notes  0.1.0", "tasks.list", "(list integer, done boolean?)", "claim sub", "statement 1", "guest", "weir_source"} {
		if !strings.Contains(out, want) {
			t.Errorf("inspect does not say %q:\n%s", want, out)
		}
	}
	weir(t, project, "check").must(t)
	edit(t, filepath.Join(project, "plugins", "notes.js"), "const title = a.title.trim()", "const title = ")
	o = weir(t, project, "inspect", "plugins/notes.js")
	if o.code != 1 || !strings.Contains(o.errors, "SyntaxError") || !strings.Contains(o.errors, "notes.js:2") {
		t.Errorf("a syntax error: %+v", o)
	}
}
