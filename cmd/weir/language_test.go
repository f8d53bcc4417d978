package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/config"
	"weir/host/hosttest"
	"weir/plugins/guesttest"
)

// needs returns the compiler of a language. A test without it is skipped, but under
// make test, which has found or installed it.
func needs(t *testing.T, lang string) string {
	t.Helper()
	find := findRustc
	if lang == "c" {
		find = findClang
	}
	compiler, err := find(t.Context())
	switch {
	case err == nil:
	case os.Getenv("WEIR_NEEDS_GUESTS") != "":
		t.Fatal(err)
	default:
		t.Skipf("not run: %v", err)
	}
	return compiler
}

// newProjectInLanguage makes the project notes, if there is a compiler.
func newProjectInLanguage(t *testing.T, lang string) string {
	t.Helper()
	needs(t, lang)
	dir := t.TempDir()
	weir(t, dir, "new", "notes", "--lang", lang).must(t)
	return filepath.Join(dir, "notes")
}

// The templates have the functions of the one in Go, and serve.
func TestNewProjectInRustOrCBuildsAndServes(t *testing.T) {
	t.Parallel()
	inGo := newPluginIn(t, t.TempDir())
	weir(t, inGo, "build").must(t)
	want := weir(t, inGo, "inspect", "plugins/notes.wasm").must(t)
	functions := func(out string) string {
		_, rest, _ := strings.Cut(out, "\nfunctions\n")
		rest, _, _ = strings.Cut(rest, "\nmodule\n")
		lines := strings.Fields(strings.ReplaceAll(rest, "statement ", "statement_"))
		return strings.Join(lines, " ")
	}
	for _, lang := range []string{"rust", "c"} {
		t.Run(lang, func(t *testing.T) {
			dir := newProjectInLanguage(t, lang)
			if out := weir(t, dir, "build").must(t); !strings.Contains(out, "plugins/notes.wasm") || !strings.Contains(out, "5 functions") {
				t.Errorf("build says %q", out)
			}
			out := weir(t, dir, "inspect", "plugins/notes.wasm").must(t)
			if functions(out) != functions(want) {
				t.Errorf("it has\n%s\nin Go\n%s", functions(out), functions(want))
			}
			weir(t, dir, "check").must(t)
			serves(t, dir)
		})
	}
}

// serves asks the plugin of a project for what its page does.
func serves(t *testing.T, dir string) {
	t.Helper()
	c, err := config.Load(filepath.Join(dir, configName))
	if err != nil {
		t.Fatal(err)
	}
	s := hosttest.Start(t, hosttest.Config{
		Schema: read(t, c.Dev.Schema), Seed: read(t, c.Dev.Seed), Plugins: []string{filepath.Join(dir, "plugins", "notes.wasm")},
	})
	f := func(resp *http.Response, err error) func(want string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return func(want string) {
			t.Helper()
			if !strings.Contains(string(body), want) {
				t.Errorf("%s, want %s", body, want)
			}
		}
	}
	post := func(name, body string) (*http.Response, error) {
		return http.Post(s.URL+"/v1/call/"+name, "application/json", strings.NewReader(body))
	}
	f(post("tasks.add?as=ann", `{"list":1,"title":" tea "}`))(`"result":{"id":2,"done":false,"title":"tea","author":"ann"}`)
	f(post("tasks.add?as=ann", `{"list":1,"title":" \n"}`))(`"write what is to be done"`)
	f(post("tasks.add?as=eve", `{"list":1,"title":"x"}`))(`"denied"`)
	f(post("tasks.finish?as=bob", `{"list":1,"task":2,"done":true}`))(`"done":true`)
	f(http.Get(s.URL + "/v1/q/tasks.list?list=1&as=bob"))(`"rows":[{"id":2,"title":"tea","author":"ann","done":true},{"id":1,`)
	f(http.Get(s.URL + "/v1/q/lists.mine?as=bob"))(`"members":[{"list_id":1,"user":"ann"},{"list_id":1,"user":"bob"}]`)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What an author can mend is told with file and line.
func TestBuildInRustOrCSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := func(lang, file, old, changed string, want ...string) {
		t.Helper()
		dir := newProjectInLanguage(t, lang)
		edit(t, filepath.Join(dir, filepath.FromSlash(file)), old, changed)
		o := weir(t, dir, "build")
		if o.code != 1 {
			t.Errorf("%s: exit %d", lang, o.code)
		}
		for _, w := range want {
			if !strings.Contains(o.errors, w) {
				t.Errorf("%s: %q does not say %q", lang, o.errors, w)
			}
		}
	}
	t.Run("rust", func(t *testing.T) {
		f("rust", "plugin/src/lib.rs", "a.title.trim()", "a.titel.trim()", "notes.wasm does not compile", "src/lib.rs:", "titel")
		f("rust", "plugin/src/lib.rs", "where list_id = $list and id = $task", "where list_id = $list and id = $tsk", "uses $tsk", "(list, task, done)")
		f("rust", "plugin/Cargo.toml", "[profile.release]", "serde = \"1\"\n\n[profile.release]", "depends on more than weir", "cargo build")
	})
	t.Run("c", func(t *testing.T) {
		f("c", "plugin/plugin.c", `weir_arg_text("title")`, `weir_arg_txt("title")`, "notes.wasm does not compile", "plugin.c:", "weir_arg_txt")
	})
}

func TestNewRefusesALanguageThatIsNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	weir(t, dir, "new", "notes", "--lang", "cobol").fails(t, 2, "cobol", "--lang go, rust, c or js")
	weir(t, dir, "new", "notes", "--lang", "c", "--js").fails(t, 2, "--js")
	weir(t, dir, "new", "notes", "--lang", "js").must(t)
	weir(t, filepath.Join(dir, "notes"), "test").fails(t, 2, "no go.mod", "plugins in Go")
	if text := read(t, filepath.Join(dir, "notes", "plugins", "notes.js")); !strings.Contains(text, `plugin("notes"`) {
		t.Errorf("the plugin in JavaScript is\n%s", text)
	}
}

// What cargo writes for editors builds nothing.
func TestCargosOutputIsNoSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plugin", cargoName), "[package]\n")
	write(t, filepath.Join(dir, "plugin", "target", "debug", "x.rs"), "")
	write(t, filepath.Join(dir, "go", "target", "x.go"), "package target\n")
	w := &watcher{project: &project{config: &config.Config{Plugins: filepath.Join(dir, "plugins")}}, sources: []string{filepath.Join(dir, "plugin"), filepath.Join(dir, "go")}}
	f := func(path string, want bool) {
		t.Helper()
		if got := w.isSource(filepath.Join(dir, filepath.FromSlash(path))); got != want {
			t.Errorf("isSource(%s) = %v, want %v", path, got, want)
		}
	}
	f("plugin/src/lib.rs", true)
	f("plugin/Cargo.toml", true)
	f("plugin/Cargo.lock", false)
	f("plugin/target/debug/x.rs", false)
	f("go/target/x.go", true)
}

// What the READMEs show builds as it stands there.
func TestReadmesOfRustAndCBuild(t *testing.T) {
	t.Parallel()
	f := func(lang, file string, more map[string]string) {
		t.Run(lang, func(t *testing.T) {
			sdk := filepath.Join("..", "..", "plugins", lang)
			_, code, _ := strings.Cut(read(t, filepath.Join(sdk, "README.md")), "```"+lang+"\n")
			code, _, found := strings.Cut(code, "```\n")
			if !found {
				t.Fatal("the README has no code")
			}
			dir := newProjectInLanguage(t, lang)
			write(t, filepath.Join(dir, filepath.FromSlash(file)), code)
			for name, text := range more {
				write(t, filepath.Join(dir, filepath.FromSlash(name)), text)
			}
			if out := weir(t, dir, "build").must(t); !strings.Contains(out, "3 functions") {
				t.Errorf("build says %q", out)
			}
		})
	}
	f("rust", "plugin/src/lib.rs", nil)
	f("c", "plugin/plugin.c", map[string]string{"plugin/weir.h": "#include \"../weir/weir.h\"\n"})
}

// The samples of the SDKs in Rust and C keep the guest contract, and so do new projects.
func TestGuestsInRustAndCKeepTheContract(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"rust", "c"} {
		t.Run(lang, func(t *testing.T) {
			weir(t, ".", "inspect", "--conform", guesttest.File(t, lang)).must(t)
			dir := newProjectInLanguage(t, lang)
			weir(t, dir, "build").must(t)
			weir(t, dir, "inspect", "--conform", "plugins/notes.wasm").must(t)
		})
	}
}

// The SDK in Rust has tests of its own.
func TestSDKInRustPassesItsTests(t *testing.T) {
	t.Parallel()
	rustc := needs(t, "rust")
	file := filepath.Join(t.TempDir(), "tests")
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(t.Context(), rustc, "--edition", "2021", "-C", "opt-level=1", "--test", "-o", file, filepath.Join("..", "..", "plugins", "rust", "src", "lib.rs")),
		exec.CommandContext(t.Context(), file),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// The cases that the SDK in Rust is tested with are true of the host.
func TestParametersOfSDKsAreThoseOfTheHost(t *testing.T) {
	t.Parallel()
	for line := range strings.Lines(read(t, filepath.Join("..", "..", "plugins", "testdata", "parameters.txt"))) {
		at := strings.LastIndex(line, "=>")
		if line[0] == '#' || at < 0 {
			continue
		}
		parsed, err := abi.ParseStatement(strings.ReplaceAll(line[:at], `\n`, "\n"))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		names := slices.DeleteFunc(slices.Clone(parsed.Names()), func(n string) bool { return n == abi.ParamNow })
		if got, want := strings.Join(names, " "), strings.TrimSpace(line[at+2:]); got != want {
			t.Errorf("%s: the host finds %q", line, got)
		}
	}
}
