package wasm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"weir/host/inspect"
)

// G2, G3, W8: a metered module does what the module does. The official tests of
// WebAssembly, which wazero's source carries, run side by side on the module and
// on its metered form: every call must return the same bits or trap alike. The
// meter ticks all the time here, so that every payment is taken in every way.
// Cases: 43.
func TestMeteredModulesBehaveAsTheirOriginals(t *testing.T) {
	t.Parallel()
	var seen tally
	for i, script := range specScripts(t) {
		if i%oneIn == 0 {
			runScript(t, script, &seen, wazero.NewRuntimeConfigCompiler())
		}
	}
	t.Logf("%d modules of %d, %d calls, %d of them traps, %d ticks", seen.modules, seen.modules+seen.left, seen.calls, seen.traps, seen.ticks)
	// What is left imports a memory, a table or a global, or starts by itself.
	// The files differ much in size: of a part of them little is known.
	if seen.modules == 0 || oneIn == 1 && (seen.modules < 1800 || seen.calls < 50_000 || seen.traps < 2000 || seen.ticks < 50_000) {
		t.Error("the tests did not run")
	}
}

// Security 43: the compiler and the interpreter agree on the metered form. A part of
// the official tests; with WEIR_HOSTILE set, all of them.
// Cases: 43.
func TestCompiledModulesBehaveAsInterpreted(t *testing.T) {
	t.Parallel()
	scripts := specScripts(t)
	if os.Getenv("WEIR_HOSTILE") == "" {
		var some []string
		for i := 0; i < len(scripts); i += 5 {
			some = append(some, scripts[i])
		}
		scripts = some
	}
	var seen tally
	for _, script := range scripts {
		runScript(t, script, &seen, wazero.NewRuntimeConfigInterpreter())
	}
	t.Logf("%d modules, %d calls, %d of them traps", seen.modules, seen.calls, seen.traps)
	if seen.modules < 200 || seen.calls < 5000 || seen.traps < 50 {
		t.Error("the tests did not run")
	}
}

// specScripts returns the files of the official tests.
func specScripts(t *testing.T) (all []string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"v1", "v2"} {
		dir := filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest", version, "testdata")
		scripts, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil || len(scripts) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		all = append(all, scripts...)
	}
	return all
}

type tally struct{ modules, left, calls, traps, ticks int }

type script struct {
	Commands []struct {
		Type     string
		Line     int
		Filename string
		Name     string
		As       string
		Action   struct {
			Type, Module, Field string
			Args                []value
		}
	}
}

type value struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    json.RawMessage
}

// bits returns the value as wazero takes it.
func (v value) bits(t *testing.T) []uint64 {
	t.Helper()
	if v.Type != "v128" {
		var text string
		if err := json.Unmarshal(v.Value, &text); err != nil {
			t.Fatal(err)
		}
		if text == "null" {
			return []uint64{0}
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if v.Type == "externref" {
			n++ // wazero's null is 0
		}
		return []uint64{n}
	}
	var lanes []string
	if err := json.Unmarshal(v.Value, &lanes); err != nil {
		t.Fatal(err)
	}
	var raw []byte
	for _, lane := range lanes {
		n, err := strconv.ParseUint(lane, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, binary.LittleEndian.AppendUint64(nil, n)[:16/len(lanes)]...)
	}
	return []uint64{binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint64(raw[8:])}
}

// pair is a module in both forms.
type pair struct{ plain, metered api.Module }

func runScript(t *testing.T, path string, seen *tally, original wazero.RuntimeConfig) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s script
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	plain, metered := specRuntimeOn(t, nil, original), specRuntime(t, &seen.ticks)
	defer plain.Close(ctx)
	defer metered.Close(ctx)
	named := map[string]*pair{}
	var last *pair
	var alive []*pair
	for n, c := range s.Commands {
		where := fmt.Sprintf("%s:%d", filepath.Base(path), c.Line)
		switch c.Type {
		case "module":
			name := c.Name
			for _, later := range s.Commands[n:] {
				if later.Type == "register" && (later.Name == c.Name) {
					name = later.As
					break
				}
				if later.Type == "module" && later.Line != c.Line && c.Name == "" {
					break
				}
			}
			code, err := os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename))
			if err != nil {
				t.Fatal(err)
			}
			last = instantiateBoth(t, where, code, name, plain, metered)
			if last == nil {
				seen.left++
			} else {
				seen.modules++
				alive = append(alive, last)
			}
			named[c.Name] = last
		case "assert_return", "assert_trap", "action", "assert_exhaustion":
			p := last
			if c.Action.Module != "" {
				p = named[c.Action.Module]
			}
			if p == nil || c.Action.Type != "invoke" {
				continue
			}
			seen.calls++
			for _, p := range alive { // a trap gives no stack back
				p.metered.ExportedGlobal(inspect.MeterGlobal).(api.MutableGlobal).Set(uint64(inspect.NewMeter(20, 1<<20)))
			}
			var args []uint64
			for _, a := range c.Action.Args {
				args = append(args, a.bits(t)...)
			}
			if compare(t, where, p, c.Action.Field, args) {
				seen.traps++
			}
		}
	}
}

// compare calls both forms and reports whether they trapped.
func compare(t *testing.T, where string, p *pair, field string, args []uint64) bool {
	t.Helper()
	invoke := func(m api.Module) ([]uint64, error) {
		return m.ExportedFunction(field).Call(context.Background(), args...)
	}
	want, wantErr := invoke(p.plain)
	got, gotErr := invoke(p.metered)
	types := p.plain.ExportedFunction(field).Definition().ResultTypes()
	if (wantErr == nil) != (gotErr == nil) || wantErr != nil && firstLine(wantErr) != firstLine(gotErr) && !strings.Contains(gotErr.Error(), "stack") {
		t.Errorf("%s: %s(%v): %v, metered %v", where, field, args, wantErr, gotErr)
	}
	if len(want) != len(got) {
		t.Errorf("%s: %s: %v, metered %v", where, field, want, got)
		return wantErr != nil
	}
	vector := false
	for _, typ := range types {
		vector = vector || typ == 0x7b
	}
	for i := range want {
		same := want[i] == got[i]
		if vector { // whose lanes may be floats
			same = same || isNaN64(want[i]) && isNaN64(got[i]) || sameOrNaN32(want[i], got[i]) && sameOrNaN32(want[i]>>32, got[i]>>32)
		} else if i < len(types) {
			switch typ := types[i]; {
			case typ == i32: // the upper half means nothing
				same = uint32(want[i]) == uint32(got[i])
			case typ == api.ValueTypeF32:
				same = sameOrNaN32(want[i], got[i])
			case typ == api.ValueTypeF64:
				same = same || isNaN64(want[i]) && isNaN64(got[i])
			case typ == 0x70: // a reference to a function is an address
				same = (want[i] == 0) == (got[i] == 0)
			}
		}
		if !same {
			t.Errorf("%s: %s(%v): result %d is %#x, metered %#x", where, field, args, i, want[i], got[i])
		}
	}
	return wantErr != nil
}

func isNaN64(v uint64) bool { return math.IsNaN(math.Float64frombits(v)) }

func sameOrNaN32(a, b uint64) bool { return uint32(a) == uint32(b) || isNaN32(a) && isNaN32(b) }

func isNaN32(v uint64) bool { return math.IsNaN(float64(math.Float32frombits(uint32(v)))) }

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// instantiateBoth returns nil for a module that no plugin may be.
func instantiateBoth(t *testing.T, where string, code []byte, name string, plain, metered wazero.Runtime) *pair {
	t.Helper()
	ctx := context.Background()
	shape, err := inspect.Parse(code)
	if err != nil {
		return nil
	}
	m, err := shape.Meter()
	if err != nil {
		return nil
	}
	config := wazero.NewModuleConfig().WithName(name)
	var p pair
	if p.plain, err = plain.InstantiateWithConfig(ctx, code, config); err != nil {
		return nil // it imports what was left
	}
	if p.metered, err = metered.InstantiateWithConfig(ctx, m.Code, config); err != nil {
		t.Errorf("%s: the metered module: %v", where, err)
		return nil
	}
	for _, s := range m.Segments {
		// Empty ones may be where there is no memory, and nobody exports it here.
		if len(s.Bytes) > 0 && !p.metered.Memory().Write(s.At, s.Bytes) {
			t.Errorf("%s: data at %d", where, s.At)
		}
	}
	return &p
}

// maxSpecTicks is more than all the official tests need.
const maxSpecTicks = 5_000_000

// specRuntime has the modules that the official tests import. With ticks, the
// meter of its modules hardly ever has fuel.
func specRuntime(t *testing.T, ticks *int) wazero.Runtime {
	t.Helper()
	return specRuntimeOn(t, ticks, wazero.NewRuntimeConfigCompiler())
}

// specRuntimeOn is specRuntime on a compiler or an interpreter.
func specRuntimeOn(t *testing.T, ticks *int, config wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(api.CoreFeaturesV2))
	spec := r.NewHostModuleBuilder("spectest")
	for name, params := range map[string][]api.ValueType{
		"print": nil, "print_i32": {i32}, "print_i64": {i64}, "print_f32": {api.ValueTypeF32}, "print_f64": {api.ValueTypeF64},
		"print_i32_f32": {i32, api.ValueTypeF32}, "print_f64_f64": {api.ValueTypeF64, api.ValueTypeF64},
	} {
		spec.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), params, nil).Export(name)
	}
	if _, err := spec.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	if ticks == nil {
		return r
	}
	tick := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		*ticks++
		m := inspect.Meter(stack[0])
		if *ticks > maxSpecTicks {
			panic("it does not end")
		}
		if m.Room() < 0 {
			panic("stack overflow")
		}
		stack[0] = uint64(inspect.NewMeter(int32(*ticks%40), m.Room()))
	})
	meter := r.NewHostModuleBuilder(inspect.MeterModule)
	meter.NewFunctionBuilder().WithGoModuleFunction(tick, []api.ValueType{i64}, []api.ValueType{i64}).Export(inspect.MeterTick)
	if _, err := meter.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}
