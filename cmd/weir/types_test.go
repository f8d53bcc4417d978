package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// describing serves a description of functions, for who has the token.
func describing(t *testing.T, schema string) string {
	t.Helper()
	text, err := os.ReadFile(schema)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/schema" || r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":"unauthenticated","message":"send a token"}`))
			return
		}
		_, _ = w.Write(text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestGoldenTypes(t *testing.T) {
	t.Parallel()
	url := describing(t, "testdata/types/schema.json")
	golden(t, "types/weir-types.d.ts", weir(t, t.TempDir(), "types", "--url", url, "--token", "good").must(t))
	other := weir(t, t.TempDir(), "types", "--url", url, "--token", "good", "--module", "/weir.js").must(t)
	if !strings.Contains(other, `declare module "/weir.js" {`) {
		t.Errorf("--module is not heard:\n%s", other)
	}
	if r := weir(t, t.TempDir(), "types", "--url", url); r.code != exitFailed || !strings.Contains(r.errors, "--token") {
		t.Errorf("without a token: %+v", r)
	}
}

// What a running weir and the plugin's file say is the same.
func TestTypesOfAPluginNeedNoServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, bad := range []string{"none", "."} {
		if r := weir(t, dir, "types", "--plugins", bad); r.code != exitUsage || !strings.Contains(r.errors, "weir build") {
			t.Errorf("--plugins %s: %+v", bad, r)
		}
	}
	doc := `{"type":"object","properties":{"b":{"type":"integer"},"a":{"type":["array","null"],"items":{"type":"object","properties":{"x y":{"type":"number"}},"required":["x y"]}}},"required":["b"]}`
	var f typedFunction
	if err := json.Unmarshal([]byte(`{"name":"f","kind":"query","args":`+doc+`,"result":`+doc+`}`), &f); err != nil {
		t.Fatal(err)
	}
	got := string(appendTypes(nil, "weir", []typedFunction{f, {Name: "p", Kind: "policy"}}))
	for _, want := range []string{
		"args: {\n        b: number\n        a?: Array<{\n          \"x y\": number\n        }> | null\n      }",
		"result: {\n        b: number\n        a: Array<{",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	if strings.Contains(got, `"p"`) {
		t.Errorf("a policy is not for clients:\n%s", got)
	}
}

// compiler returns the TypeScript compiler. Without it these tests are not run,
// and that is said where nobody misses it.
func compiler(t *testing.T) (node, tsc string) {
	t.Helper()
	const packages = "../../host/serve/client/_test/node_modules"
	node, err := exec.LookPath("node")
	tsc, _ = filepath.Abs(packages + "/typescript/lib/tsc.js")
	if err == nil {
		_, err = os.Stat(tsc)
	}
	if err != nil {
		_, _ = os.Stderr.WriteString("\n*** " + t.Name() + " WAS NOT RUN: there is no TypeScript compiler. Install Node.js 20 or newer and run .ci/deps client. ***\n\n")
		t.Skip("TypeScript is not installed: the types of weir.js are untested")
	}
	return node, tsc
}

// compile compiles one file against weir.d.ts as npm would install it, and returns
// the lines with errors.
func compile(t *testing.T, file string, more ...string) map[int]string {
	t.Helper()
	node, tsc := compiler(t)
	dir := t.TempDir()
	copyTo := func(from, to string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to), string(text))
	}
	for _, name := range []string{"package.json", "weir.js", "weir.d.ts", "react.js", "react.d.ts"} {
		copyTo("../../host/serve/client/"+name, "node_modules/weir/"+name)
	}
	for _, name := range append([]string{file}, more...) {
		copyTo("testdata/types/"+name, name)
	}
	packages, err := filepath.Abs("../../host/serve/client/_test/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"@types", "csstype", "react"} {
		if err := os.Symlink(filepath.Join(packages, name), filepath.Join(dir, "node_modules", name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "tsconfig.json"), fmt.Sprintf(`{"compilerOptions": {"strict": true, "noEmit": true, "target": "es2022", "module": "esnext",
		"moduleResolution": "bundler", "jsx": "react-jsx", "lib": ["es2022", "dom"], "preserveSymlinks": true}, "files": [%q%s]}`, file, strings.Join(append([]string{""}, quotedAll(more)...), ", ")))
	return diagnose(t, file, node, tsc, "-p", dir, "--pretty", "false")
}

// diagnose runs the compiler and returns the lines of a file with errors.
func diagnose(t *testing.T, file, node string, args ...string) map[int]string {
	t.Helper()
	out, _ := exec.Command(node, args...).CombinedOutput() // an exit code is what the errors are
	wrong := map[int]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\S+)\((\d+),\d+\): (error .*)$`).FindAllStringSubmatch(string(out), -1) {
		var line int
		_, _ = fmt.Sscan(m[2], &line)
		if filepath.Base(m[1]) != file {
			t.Errorf("an error that is not of %s: %s", file, m[0])
		}
		wrong[line] = m[3]
	}
	if len(wrong) == 0 && len(out) > 0 {
		t.Fatalf("tsc: %s", out)
	}
	return wrong
}

func quotedAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return out
}

func TestGoodCallsCompile(t *testing.T) {
	t.Parallel()
	for line, text := range compile(t, "good.tsx", "weir-types.d.ts") {
		t.Errorf("good.tsx:%d: %s", line, text)
	}
	for line, text := range compile(t, "untyped.tsx") {
		t.Errorf("untyped.tsx:%d: %s", line, text)
	}
}

func TestWrongCallsDoNotCompile(t *testing.T) {
	t.Parallel()
	wantMarked(t, "testdata/types/wrong.tsx", compile(t, "wrong.tsx", "weir-types.d.ts"))
}

// wantMarked wants an error in each line below a mark, and no other.
func wantMarked(t *testing.T, path string, wrong map[int]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	marks := 0
	for i, line := range strings.Split(string(text), "\n") {
		if mark := strings.TrimSpace(line); strings.HasPrefix(mark, "// wrong: ") {
			marks++
			if wrong[i+2] == "" {
				t.Errorf("%s:%d compiles: %s", path, i+2, mark)
			}
			delete(wrong, i+2)
		}
	}
	for line, text := range wrong {
		t.Errorf("%s:%d should compile: %s", path, line, text)
	}
	if marks < 10 {
		t.Errorf("there are %d marks", marks)
	}
}
