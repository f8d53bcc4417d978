package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"weir/abi/conform"
)

// Machine runs modules for the guest half of the conformance kit, on wazero and
// without a host: the kit brings its own. It checks nothing of the contract, so
// compile with a Runtime first what is not trusted. It is not safe for
// concurrent use.
type Machine struct {
	config wazero.RuntimeConfig
	cache  wazero.CompilationCache
}

var _ conform.Machine = (*Machine)(nil)

// NewMachine makes a Machine. CacheDir keeps what it compiled, unchecked (G8): it
// is for tests, which run what they made themselves. Empty, as it should be for
// anybody else's modules, keeps it in memory. Close frees it.
func NewMachine(cacheDir string) (*Machine, error) {
	cache := wazero.NewCompilationCache()
	if cacheDir != "" {
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(cacheDir); err != nil {
			return nil, fmt.Errorf("compile cache: %w", err)
		}
	}
	return &Machine{cache: cache, config: wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithCompilationCache(cache).
		WithCloseOnContextDone(true).
		WithMemoryLimitPages(maxMemory / pageSize).
		WithDebugInfoEnabled(false)}, nil
}

// Close frees what was compiled.
func (m *Machine) Close(ctx context.Context) error { return m.cache.Close(ctx) }

// Compile makes a program.
func (m *Machine) Compile(ctx context.Context, module []byte) (conform.Program, error) {
	r := wazero.NewRuntimeWithConfig(ctx, m.config)
	compiled, err := r.CompileModule(ctx, bytes.Clone(module))
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return &program{ctx: context.WithoutCancel(ctx), runtime: r, compiled: compiled}, nil
}

// program is a module with a runtime of its own, whose host modules stand for
// those of every instance.
type program struct {
	ctx      context.Context //nolint:containedctx // for closing
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	linked   bool
	host     conform.Host // of the instance that runs: there is one at a time
}

// Imports lists the imported functions.
func (p *program) Imports() []conform.Function {
	var all []conform.Function
	for _, f := range p.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		all = append(all, conform.Function{Module: module, Name: name, Type: shortType(f)})
	}
	return all
}

// Exports lists the exported functions.
func (p *program) Exports() []conform.Function {
	var all []conform.Function
	for name, f := range p.compiled.ExportedFunctions() {
		all = append(all, conform.Function{Name: name, Type: shortType(f)})
	}
	return all
}

// Memory says whether there is an export of that name, and an import.
func (p *program) Memory(export string) (exported, imported bool) {
	return p.compiled.ExportedMemories()[export] != nil, len(p.compiled.ImportedMemories()) > 0
}

// shortType writes a type as the kit does.
func shortType(f api.FunctionDefinition) string { return shortTypes(f.ParamTypes(), f.ResultTypes()) }

func shortTypes(params, results []api.ValueType) string {
	var s []byte
	for i, list := range [][]api.ValueType{params, results} {
		if i > 0 {
			s = append(s, ':')
		}
		for _, t := range list {
			switch t {
			case i32:
				s = append(s, 'i')
			case i64:
				s = append(s, 'I')
			default:
				s = append(s, '?')
			}
		}
	}
	return string(s)
}

// Start makes an instance.
func (p *program) Start(ctx context.Context, host conform.Host) (conform.Guest, error) {
	if err := p.link(); err != nil {
		return nil, err
	}
	p.host = host
	mod, err := p.runtime.InstantiateModule(ctx, p.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err
	}
	return &bareGuest{program: p, host: host, mod: mod}, nil
}

// link makes the modules that the program imports from, of what it imports.
func (p *program) link() error {
	if p.linked {
		return nil
	}
	p.linked = true
	builders := map[string]wazero.HostModuleBuilder{}
	for _, f := range p.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		b := builders[module]
		if b == nil {
			b = p.runtime.NewHostModuleBuilder(module)
			builders[module] = b
		}
		as := conform.Function{Module: module, Name: name, Type: shortType(f)}
		results := len(f.ResultTypes())
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, mod api.Module, stack []uint64) {
			result, err := p.host.Answer(as, bareMemory{mod.Memory()}, stack)
			if err != nil {
				panic(err) // wazero's way for a host function to end its caller
			}
			if results > 0 {
				stack[0] = result
			}
		}), f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	for _, b := range builders {
		if _, err := b.Instantiate(p.ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close frees the program.
func (p *program) Close() { _ = p.runtime.Close(p.ctx) } // nothing runs

// bareGuest is an instance.
type bareGuest struct {
	program *program
	host    conform.Host
	mod     api.Module
}

// Call runs an export.
func (g *bareGuest) Call(ctx context.Context, export string, params ...uint64) (uint64, error) {
	g.program.host = g.host
	results, err := g.mod.ExportedFunction(export).Call(ctx, params...)
	if err != nil || len(results) == 0 {
		return 0, err
	}
	return results[0], nil
}

// Size returns the bytes of its memory.
func (g *bareGuest) Size() uint64 { return bareMemory{g.mod.Memory()}.Size() }

// Read copies memory.
func (g *bareGuest) Read(at, n uint32) ([]byte, bool) { return bareMemory{g.mod.Memory()}.Read(at, n) }

// Write writes memory.
func (g *bareGuest) Write(at uint32, b []byte) bool { return bareMemory{g.mod.Memory()}.Write(at, b) }

// Close frees the instance.
func (g *bareGuest) Close() { _ = g.mod.Close(g.program.ctx) } // closing runs no guest code

// bareMemory is a memory for the kit.
type bareMemory struct{ mem api.Memory }

// Size returns its bytes.
func (m bareMemory) Size() uint64 {
	pages, _ := m.mem.Grow(0)
	return uint64(pages) * pageSize
}

// Read copies memory.
func (m bareMemory) Read(at, n uint32) ([]byte, bool) {
	b, ok := m.mem.Read(at, n)
	return bytes.Clone(b), ok
}

// Write writes memory.
func (m bareMemory) Write(at uint32, b []byte) bool { return m.mem.Write(at, b) }
