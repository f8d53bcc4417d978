package host_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/abi/abitest"
	"weir/host/hosttest"
	"weir/host/wasm"
	"weir/host/wasm/wasmtest"
	"weir/plugins/guesttest"
	"weir/plugins/js/jstest"
)

// edgeLanguages have a plugin of the edges of their SDK.
var edgeLanguages = []string{"rust", "c"}

const wideSchema = `create table wide (id bigint primary key, body text not null);
	insert into wide select i, repeat('ü', (i % 7)::int * 100) from generate_series(1, 700) i;
	insert into wide values (1000, repeat('x', 200000)), (1001, ''), (1002, repeat('y', 40000));`

// edgeFile returns the plugin of the edges in a language, built.
func edgeFile(t *testing.T, language string) string {
	t.Helper()
	if language == "js" {
		jstest.File(t)
		return "../plugins/testdata/edges/js/edges.js"
	}
	return guesttest.File(t, "edges-"+language)
}

// Shapes without reading, pages, SQL that is made up, and what goes wrong:
// JavaScript, Rust and C say the same.
func TestLanguagesShapeAndReadRowsEqually(t *testing.T) {
	t.Parallel()
	answers := map[string]string{}
	for _, language := range otherLanguages {
		t.Run(language, func(t *testing.T) {
			s := startSpeaker(t, language, edgeFile(t, language), hosttest.Config{
				Schema: text(t, samples+"/schema.sql") + wideSchema,
				TOML:   "plugins = \"plugins\"\ngrant = [\"sql.dynamic\"]\n[limits]\nguest_timeout = \"30s\"\nquery_timeout = \"30s\"\n",
			})
			f := func(path, want string) {
				t.Helper()
				got := s.answer(t, path, "")
				if !strings.Contains(got, want) {
					t.Errorf("%s: %.600s, want %s", path, got, want)
				}
				if before, asked := answers[path]; asked && before != got {
					t.Errorf("%s:\n%.600s\n%.600s in %s", path, before, got, language)
				}
				answers[path] = got
			}
			f("rows.project", `"rows":[{"title":"naïve Grüße, 你好 🌍","id":2},{"title":"plain","id":1},{"title":"naïve`)
			f("rows.nest", `{"id":9007199254740993,"name":"große Kiste","notes":[{"id":9007199254740995,`)
			f("rows.read_projected", `{"id":9007199254740995,"title":"largest"}`)
			f("rows.inside", `["first 4","leer 0","große Kiste 1"]`)
			f("rows.wide", `{"last":1002,"rows":703,"bytes":660000}`)
			f("sql.made?table=notes&before=4", `[{"id":1},{"id":2},{"id":3}]`)
			f("sql.made?table=notes&before=4&title=whole", `[{"id":3}]`)
			f("sql.passed?table=notes&before=3", `"rows":[{"id":1},{"id":2}]`)
			f("sql.made?table=nothing&before=3", `"code":"sql_error"`)
			f("codec.echo?x=%22%C3%BC%22", `"ü"`)
			f("bad.index", `"code":"internal"`)
			f("bad.column", `"code":"internal"`)
			if language != "js" {
				edgesOfMemory(t, s)
			}
			f("rows.project", `200 `) // what failed before left nothing behind
		})
	}
}

// edgesOfMemory asks for what Rust and C alone have.
func edgesOfMemory(t *testing.T, s speaker) {
	t.Helper()
	if got := s.answer(t, "bad.memory", ""); !strings.Contains(got, `"code":"guest_memory"`) {
		t.Errorf("bad.memory: %s", got)
	}
	if got := s.answer(t, "bad.panic?x=1", ""); !strings.Contains(got, `"code":"guest_trap"`) {
		t.Errorf("bad.panic: %s", got)
	}
	if got := s.answer(t, "random.draw", ""); !strings.Contains(got, `"a":"`) || strings.Contains(got, "AAAAAAAAAAAA") {
		t.Errorf("random.draw: %s", got)
	}
}

// edgePool runs the edges of a language without a host.
func edgePool(t *testing.T, language string) (*wasm.Pool, *abi.Manifest) {
	t.Helper()
	config := wasm.Config{CompileTimeout: 5 * time.Minute}
	if home := wasmtest.CacheHome(); home != "" {
		config.CacheDir = filepath.Join(home, "weir", "wasm")
	}
	r, err := wasm.NewRuntime(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(guesttest.File(t, "edges-"+language))
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Compile(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := wasm.NewPool(r, m, wasm.PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool.Close(context.Background())
		if err := errors.Join(m.Close(context.Background()), r.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	described, err := pool.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := abi.DecodeManifest(described)
	if err != nil {
		t.Fatal(err)
	}
	return pool, manifest
}

func functionNamed(t testing.TB, m *abi.Manifest, name string) int {
	t.Helper()
	for i, f := range m.Functions {
		if f.Name == name {
			return i
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// deepest is as many arrays as may be around a value. An input is one itself.
var deepest = bytes.Repeat([]byte{0x81}, abi.MaxDepth)

// The codecs of the SDKs write what the contract's vectors say, and refuse what
// those refuse.
func TestLanguagesKeepToTheCodecsVectors(t *testing.T) {
	t.Parallel()
	for _, language := range edgeLanguages {
		t.Run(language, func(t *testing.T) {
			pool, m := edgePool(t, language)
			echo := functionNamed(t, m, "codec.echo")
			for _, v := range abitest.Vectors(t) {
				item, want := v.Bytes, v.Value.AppendCBOR(nil)
				if bytes.HasPrefix(item, deepest) {
					item, want = item[1:], want[min(1, len(want)):]
				}
				out, err := pool.Call(t.Context(), &wasm.Call{
					Function: echo, Name: "codec.echo", Kind: abi.Query, Input: append([]byte{0x81}, item...), Now: time.Now(),
				})
				switch {
				case v.Kind == "bad" && (err != nil || out.Kind != wasm.OutputError):
					t.Errorf("codec.txt:%d: %x: got %+v, %v, want it refused: %s", v.Line, v.Bytes, out, err, v.Why)
				case v.Kind == "bad" && (out.Err.Code != abi.GuestContract || out.Err.Public):
					t.Errorf("codec.txt:%d: %x: refused as %v", v.Line, v.Bytes, out.Err)
				case v.Kind != "bad" && (err != nil || !bytes.Equal(out.Value, want)):
					t.Errorf("codec.txt:%d: %x: got %+v, %v, want %x", v.Line, v.Bytes, out, err, want)
				}
			}
		})
	}
}

// What a guest dies of is in the log before it does.
func TestLanguagesLogBeforeTheyTrap(t *testing.T) {
	t.Parallel()
	for _, language := range edgeLanguages {
		t.Run(language, func(t *testing.T) {
			pool, m := edgePool(t, language)
			var lines []string
			_, err := pool.Call(t.Context(), &wasm.Call{
				Function: functionNamed(t, m, "bad.panic"), Name: "bad.panic", Kind: abi.Query, Input: []byte{0x81, 0x01}, Now: time.Now(),
				Log: func(level int, line string) { lines = append(lines, line) },
			})
			var trap *wasm.TrapError
			if !errors.As(err, &trap) || !strings.Contains(strings.Join(lines, "\n"), "this is said") {
				t.Errorf("got %v, log %q", err, lines)
			}
		})
	}
}

// An input larger than the first buffer is read whole.
func TestLanguagesTakeLargeInputs(t *testing.T) {
	t.Parallel()
	for _, language := range edgeLanguages {
		t.Run(language, func(t *testing.T) {
			pool, m := edgePool(t, language)
			for _, n := range []int{1, 70_000, 10, 900_000, 60_000} {
				want := abi.AppendText(nil, strings.Repeat("ü", n/2))
				out, err := pool.Call(t.Context(), &wasm.Call{
					Function: functionNamed(t, m, "codec.echo"), Name: "codec.echo", Kind: abi.Query, Input: append([]byte{0x81}, want...), Now: time.Now(),
				})
				if err != nil || !bytes.Equal(out.Value, want) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
		})
	}
}
