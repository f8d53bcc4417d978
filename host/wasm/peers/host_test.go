package peers

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"weir/abi"
	"weir/host/inspect"
	"weir/host/tenant"
	"weir/host/wasm"
)

// fuel is what a metered guest gets at once: what weir gives to one that is not
// slow.
const fuel = 100_000

// rawRuntime is wazero alone, with WASI, stubs for the host functions that a
// module imports, and the meter's tick, which looks at the clock as weir's does.
func rawRuntime(t testing.TB, config wazero.RuntimeConfig) wazero.Runtime {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() { _ = r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	ends := time.Now().Add(time.Hour)
	tick := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
		m := inspect.Meter(stack[0])
		if m.Room() < 0 || time.Now().After(ends) {
			panic("the guest has to stop")
		}
		stack[0] = uint64(inspect.NewMeter(fuel, m.Room()))
	})
	meter := r.NewHostModuleBuilder(inspect.MeterModule)
	meter.NewFunctionBuilder().WithGoModuleFunction(tick, []api.ValueType{api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).Export(inspect.MeterTick)
	_, err := meter.Instantiate(ctx)
	must(t, err)
	return r
}

func plainConfig() wazero.RuntimeConfig {
	return wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2)
}

// instantiate starts a module on wazero alone.
func instantiate(t testing.TB, r wazero.Runtime, code []byte) api.Module {
	t.Helper()
	ctx := context.Background()
	compiled, err := r.CompileModule(ctx, code)
	must(t, err)
	stubs := r.NewHostModuleBuilder(abi.Module)
	for _, f := range compiled.ImportedFunctions() {
		if module, name, _ := f.Import(); module == abi.Module {
			stub := api.GoModuleFunc(func(context.Context, api.Module, []uint64) { panic("a stub is called") })
			stubs.NewFunctionBuilder().WithGoModuleFunction(stub, f.ParamTypes(), f.ResultTypes()).Export(name)
		}
	}
	if r.Module(abi.Module) == nil {
		_, err = stubs.Instantiate(ctx)
		must(t, err)
	}
	mod, err := r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	must(t, err)
	return mod
}

func initialize(t testing.TB, mod api.Module) {
	t.Helper()
	if fn := mod.ExportedFunction(abi.ExportInitialize); fn != nil {
		_, err := fn.Call(context.Background())
		must(t, err)
	}
}

// metered starts the metered form of a module on wazero alone.
func metered(t testing.TB, r wazero.Runtime, code []byte) (api.Module, api.MutableGlobal) {
	t.Helper()
	shape, err := inspect.Parse(bytes.Clone(code))
	must(t, err)
	m, err := shape.Meter()
	must(t, err)
	mod := instantiate(t, r, m.Code)
	for _, s := range m.Segments {
		if len(s.Bytes) > 0 && !mod.Memory().Write(s.At, s.Bytes) {
			t.Fatalf("data at %d", s.At)
		}
	}
	global := mod.ExportedGlobal(inspect.MeterGlobal).(api.MutableGlobal)
	refuel(global)
	initialize(t, mod)
	return mod, global
}

// refuel is what weir does before each call.
func refuel(global api.MutableGlobal) { global.Set(uint64(inspect.NewMeter(fuel, 2<<20))) }

// raw calls a guest of weir's contract on wazero alone, through a buffer that was
// asked for once. What it returns lies in the slice of the call before.
type raw struct {
	mod   api.Module
	call  api.Function
	meter api.MutableGlobal // nil: not metered
	at    uint32
	stack [2]uint64
}

func newRaw(t testing.TB, mod api.Module, meter api.MutableGlobal) *raw {
	t.Helper()
	at, err := mod.ExportedFunction(abi.ExportBuf).Call(context.Background(), abi.InputBuffer)
	must(t, err)
	return &raw{mod: mod, call: mod.ExportedFunction(abi.ExportCall), meter: meter, at: uint32(at[0])}
}

func (r *raw) do(function int, input []byte) []byte {
	if !r.mod.Memory().Write(r.at, input) {
		panic("the buffer is outside")
	}
	if r.meter != nil {
		refuel(r.meter)
	}
	r.stack = [2]uint64{uint64(function), uint64(len(input))}
	if err := r.call.CallWithStack(context.Background(), r.stack[:]); err != nil {
		panic(err)
	}
	p := abi.Packed(r.stack[0])
	v, ok := r.mod.Memory().Read(p.At(), p.Len())
	if !ok {
		panic("the result is outside")
	}
	return bytes.Clone(v)
}

// rawOf starts a guest on wazero alone.
func rawOf(t testing.TB, code []byte, config wazero.RuntimeConfig) *raw {
	t.Helper()
	mod := instantiate(t, rawRuntime(t, config), code)
	initialize(t, mod)
	return newRaw(t, mod, nil)
}

// meteredOf starts its metered form.
func meteredOf(t testing.TB, code []byte) *raw {
	t.Helper()
	mod, global := metered(t, rawRuntime(t, plainConfig()), code)
	return newRaw(t, mod, global)
}

// mode is how much of one call the next one may see. In a batch calls come from
// several callers at once: one that comes alone is pristine.
type mode struct {
	name    string
	reuse   wasm.Reuse
	callers int
}

var modes = []mode{
	{"sticky", wasm.Sticky, 1},
	{"batch", wasm.Batch, 4},
	{"pristine", wasm.Pristine, 1},
}

// contestant makes one of what caller returns, for each caller its own: a Call has
// room for its Output.
func (m mode) contestant(name string, caller func() func() error) contestant {
	if m.callers == 1 {
		return contestant{name: name + m.name, run: caller()}
	}
	const each = 64
	callers := make([]func() error, m.callers)
	for i := range callers {
		callers[i] = caller()
	}
	return contestant{name: name + m.name, calls: m.callers * each, run: func() error {
		errs := make([]error, m.callers)
		var wg sync.WaitGroup
		for i, call := range callers {
			wg.Go(func() {
				for range each {
					if err := call(); err != nil {
						errs[i] = err
					}
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}}
}

// weirPool is a pool of weir's.
func weirPool(t testing.TB, code []byte, m mode) *wasm.Pool {
	t.Helper()
	ctx := context.Background()
	r, err := wasm.NewRuntime(ctx, wasm.Config{CompileTimeout: time.Minute})
	must(t, err)
	t.Cleanup(func() { _ = r.Close(ctx) })
	module, err := r.Compile(ctx, code)
	must(t, err)
	t.Cleanup(func() { _ = module.Close(ctx) })
	p, err := wasm.NewPool(r, module, wasm.PoolConfig{
		Plugin: "peers", Reuse: m.reuse, MaxInstances: 1,
		Limits: tenant.Limits{GuestTimeout: 20 * time.Second}, // its clock goes on while the machine does something else
	})
	must(t, err)
	t.Cleanup(func() { p.Close(ctx) })
	return p
}

// extismPlugin is a plugin of Extism's.
func extismPlugin(t testing.TB, code []byte, timeout time.Duration) *extism.Plugin {
	t.Helper()
	ctx := context.Background()
	manifest := extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: code}}, Timeout: uint64(timeout.Milliseconds())}
	p, err := extism.NewPlugin(ctx, manifest, extism.PluginConfig{EnableWasi: true}, nil)
	must(t, err)
	t.Cleanup(func() { _ = p.Close(ctx) })
	return p
}
