package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// newCompiler returns the compiler that modules go to, as package wasm sets it up.
func newCompiler(t testing.TB) wazero.Runtime {
	r := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false))
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

// compiles reports what the compiler says of a module. It panics where that does.
func compiles(r wazero.Runtime, code []byte) error {
	m, err := r.CompileModule(context.Background(), code)
	if err == nil {
		_ = m.Close(context.Background())
	}
	return err
}

// scripted is a line of the official tests of WebAssembly that has a module.
type scripted struct{ Type, Filename, Text string }

// official calls do for each binary module of the official tests, which wazero's
// source carries.
func official(t *testing.T, do func(name string, c scripted, code []byte)) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest/v[12]/testdata/*.json"))
	if err != nil || len(scripts) < 100 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, path := range scripts {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var script struct{ Commands []scripted }
		if err := json.Unmarshal(data, &script); err != nil {
			t.Fatal(err)
		}
		for _, c := range script.Commands {
			if !strings.HasSuffix(c.Filename, ".wasm") {
				continue
			}
			code, err := os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			do(filepath.Base(c.Filename), c, code)
		}
	}
}

// unwanted are the words of refusals of modules that are valid and that no plugin
// may be.
var unwanted = []string{
	"start function", "imports its memory", "imports a table", "imports a global", "mutable global", "br_table of", "declare a maximum",
	"tables of more than", "that of another global", "begin with $", "more than the 1000 locals", "a function or block of",
}

// later are modules that the official tests call wrong and that the compiler
// takes: by a version after the first, or, for the last, because it is lenient
// where code is never reached.
var later = []string{"func.20.wasm", "func.21.wasm", "imports.49.wasm", "type.3.wasm", "type.4.wasm", "unreached-invalid.87.wasm"}

// G1, G2: what the official tests call valid is let through, unless it is what no
// plugin may be; what they call malformed or invalid is refused by the gate or by
// the compiler, which never panics.
// Cases: 1.
func TestGateAgreesWithTheOfficialTests(t *testing.T) {
	t.Parallel()
	r := newCompiler(t)
	valid, refused, wrong, malformed := 0, 0, 0, 0
	official(t, func(name string, c scripted, code []byte) {
		s, err := Gate(code, GateLimits{}, anyImport)
		switch c.Type {
		case "module", "assert_uninstantiable", "assert_unlinkable":
			if compiles(r, code) != nil {
				return // of a later version
			}
			switch {
			case err == nil:
				valid++
				if err := compiles(r, s.stripped()); err != nil {
					t.Errorf("%s: without custom sections: %v", name, err)
				}
			case slices.ContainsFunc(unwanted, func(w string) bool { return strings.Contains(err.Error(), w) }):
				refused++
			default:
				t.Errorf("%s is valid: %v", name, err)
			}
		case "assert_malformed", "assert_invalid":
			wrong++
			if err != nil {
				malformed++
				return
			}
			if compiles(r, s.stripped()) == nil && !slices.Contains(later, name) {
				t.Errorf("%s is let through: %s", name, c.Text)
			}
		}
	})
	t.Logf("%d valid modules let through and %d not, %d wrong ones, %d of them refused by the gate", valid, refused, wrong, malformed)
	if valid < 1500 || wrong < 2000 {
		t.Error("the tests did not run")
	}
}

// A plugin of the Go compiler, the heaviest that there are, is far from what the
// gate refuses, and costs no more than twice its size to read.
func TestPluginsOfGoAreFarFromTheLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-o", path, "weir/plugins/policy")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	standard := GateLimits{}.withDefaults()
	quarter := GateLimits{
		Types: standard.Types / 4, Functions: standard.Functions / 4, Globals: standard.Globals / 4, Exports: standard.Exports / 4,
		Elements: standard.Elements / 4, Params: standard.Params / 4, Results: standard.Results / 4, Locals: standard.Locals / 4,
		Loops: standard.Loops / 4, LoopDepth: standard.LoopDepth / 4, TotalTargets: standard.TotalTargets / 4,
		FunctionWork: standard.FunctionWork / 10, ModuleWork: standard.ModuleWork / 10,
	}
	spent := allocated(func() { _, err = Gate(code, quarter, anyImport) })
	if err != nil {
		t.Error(err)
	}
	if spent > 2*uint64(len(code)) {
		t.Errorf("%d bytes for a module of %d", spent, len(code))
	}
}

// mutate spoils a module in a few places.
func mutate(r *rand.Rand, code []byte) []byte {
	code = slices.Clone(code)
	for range 1 + r.IntN(3) {
		if len(code) == 0 {
			break
		}
		at := r.IntN(len(code))
		switch r.IntN(12) {
		case 0, 1, 2, 3:
			code[at] ^= 1 << r.IntN(8)
		case 4, 5:
			code[at] = byte(r.IntN(256))
		case 6, 7, 8: // often an instruction, a section or a small count
			code[at] = []byte{0, 1, 2, 3, 4, 5, 0x0b, 0x0c, 0x0e, 0x10, 0x11, 0x20, 0x40, 0x7f, 0x80, 0xd2, 0xfc, 0xfd, 0xff}[r.IntN(19)]
		case 9:
			code = slices.Insert(code, at, code[r.IntN(len(code))])
		case 10:
			code = slices.Delete(code, at, at+1)
		case 11: // a piece of it again, somewhere else
			from := r.IntN(len(code))
			code = slices.Insert(code, at, code[from:min(len(code), from+1+r.IntN(8))]...)
		}
	}
	return code
}

// W8: over many spoilt modules nothing dies: the gate refuses in its own error or
// lets through, and what it lets through the compiler takes or refuses, never with
// a panic. WEIR_MODULES is how many to try.
// Cases: 1, 2.
func TestSpoiltModulesHarmNobody(t *testing.T) {
	tries := 100_000
	if s := os.Getenv("WEIR_MODULES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		tries = n
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	defer func() {
		if t.Failed() {
			t.Logf("the seed was %d", seed)
		}
	}()
	var small [][]byte
	for _, h := range hostiles() {
		if len(h.code) < 2<<10 {
			small = append(small, h.code)
		}
	}
	official(t, func(_ string, c scripted, code []byte) {
		if c.Type == "module" && len(code) < 2<<10 {
			small = append(small, code)
		}
	})
	r := newCompiler(t)
	passed, compiled := 0, 0
	for range tries {
		code := mutate(random, small[random.IntN(len(small))])
		s, err := Gate(code, GateLimits{}, anyImport)
		var module *ModuleError
		if err != nil && !errors.As(err, &module) {
			t.Fatalf("%x: %v", code, err)
		}
		if err != nil {
			continue
		}
		passed++
		if passed%4 != 0 { // the compiler takes a hundred times as long
			continue
		}
		if sameWhenMetered(t, r, s) {
			compiled++
		}
	}
	t.Logf("%d of %d pass the gate; of every fourth of them, %d the compiler", passed, tries, compiled)
	if passed < tries/50 || compiled < tries/1000 {
		t.Error("too few pass to say anything")
	}
}

// sameWhenMetered reports whether the compiler takes the module. It must take the
// metered form of just the same: code that is wrong may not become right by what
// was added (G2).
func sameWhenMetered(t testing.TB, r wazero.Runtime, s *Shape) bool {
	t.Helper()
	plain := compiles(r, s.stripped())
	m, err := s.Meter()
	if err != nil {
		return plain == nil
	}
	if metered := compiles(r, m.Code); (plain == nil) != (metered == nil) {
		t.Errorf("%x: %v, metered %v", s.stripped(), plain, metered)
	}
	return plain == nil
}

// FuzzGate: whatever the bytes, the gate neither panics nor takes more memory than
// a multiple of them, and what it lets through makes the compiler neither panic
// nor take more than what small modules may.
// Cases: 1, 2.
func FuzzGate(f *testing.F) {
	for _, h := range hostiles() {
		if len(h.code) < 300 {
			f.Add(h.code)
		}
	}
	f.Add(full(with(opLocalGet, 0), with(opCall, 1), []byte{byte(opLoop), typeNone}, with(opBrIf, 0), []byte{byte(opEnd)}))
	r := newCompiler(f)
	f.Fuzz(func(t *testing.T, code []byte) {
		var s *Shape
		var err error
		if spent, limit := allocated(func() { s, err = Gate(code, GateLimits{}, anyImport) }), 256<<10+uint64(len(code))*32; spent > limit {
			t.Errorf("%d bytes for %d", spent, len(code))
		}
		if err != nil {
			var module *ModuleError
			if !errors.As(err, &module) {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		if len(code) > 2<<10 {
			return
		}
		if spent := allocated(func() { sameWhenMetered(t, r, s) }); spent > 64<<20 {
			t.Errorf("the compiler takes %d bytes for %d", spent, len(code))
		}
	})
}
