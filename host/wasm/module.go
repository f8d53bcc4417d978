package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"weir/abi"
	"weir/host/inspect"
)

// Module is a compiled guest. It is immutable and safe for concurrent use.
type Module struct {
	compiled wazero.CompiledModule
	metered  *inspect.Metered // without its code
	code     [32]byte         // SHA-256 of the metered form, which was compiled
	digest   [32]byte         // SHA-256 of the module, and of its source
	source   []byte           // what weir_source gets; nil without
}

// RefusedError says why a module or plugin cannot be loaded and what to do.
type RefusedError struct {
	What  string
	Limit string // the key in the configuration of the bound that it is over, or ""
}

// Error returns the sentence.
func (e *RefusedError) Error() string { return e.What }

func refuse(format string, args ...any) error {
	return &RefusedError{What: fmt.Sprintf(format, args...)}
}

// over refuses what is over a bound.
func over(limit, format string, args ...any) error {
	return &RefusedError{What: fmt.Sprintf(format, args...), Limit: limit}
}

// Digest returns the SHA-256 of the module's bytes, and of its source if it has
// one.
func (m *Module) Digest() [32]byte { return m.digest }

// Imports reports whether the module imports the host function.
func (m *Module) Imports(name string) bool {
	return slices.ContainsFunc(m.compiled.ImportedFunctions(), func(f api.FunctionDefinition) bool {
		module, imported, _ := f.Import()
		return module == abi.Module && imported == name
	})
}

// Signatures returns the module's imports and exports in words, sorted, for
// people: "import weir_1 query(i32, i32, i32) -> i32".
func (m *Module) Signatures() []string {
	var all []string
	for _, f := range m.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == inspect.MeterModule {
			continue
		}
		all = append(all, "import "+module+" "+name+signature(f.ParamTypes(), f.ResultTypes()))
	}
	for name, f := range m.compiled.ExportedFunctions() {
		all = append(all, "export "+name+signature(f.ParamTypes(), f.ResultTypes()))
	}
	for name := range m.compiled.ExportedMemories() {
		all = append(all, "export memory "+name)
	}
	slices.Sort(all)
	return all
}

// MinMemory returns the bytes that an instance starts with.
func (m *Module) MinMemory() int64 {
	return int64(m.compiled.ExportedMemories()[abi.ExportMemory].Min()) * pageSize
}

// Close frees the compiled code. No pool may use the module any more.
func (m *Module) Close(ctx context.Context) error { return m.compiled.Close(ctx) }

// howTo is what most people who see a refusal need to read.
const howTo = "(for Go: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared)"

// checkPreamble refuses what is no core module before a compiler sees it.
func checkPreamble(code []byte) error {
	if len(code) < 8 || !bytes.Equal(code[:4], []byte("\x00asm")) {
		return refuse("this is not a WebAssembly module: build one %s", howTo)
	}
	switch version := binary.LittleEndian.Uint32(code[4:]); version {
	case 1:
		return nil
	case 0x0001_000d:
		return refuse("this is a component: build a core module %s", howTo)
	default:
		return refuse("this is WebAssembly of version %#x: build a core module of version 1 %s", version, howTo)
	}
}

// check refuses a module whose imports or exports are not those of a guest.
func (m *Module) check() error {
	if err := m.checkImports(); err != nil {
		return err
	}
	exports := m.compiled.ExportedFunctions()
	switch _, engine := exports[abi.ExportSource]; {
	case engine && m.source == nil:
		return refuse("the module runs source files and is no plugin itself: put the source file there")
	case !engine && m.source != nil:
		return refuse("the engine does not export %s: build it with this weir", abi.ExportSource)
	}
	for _, want := range guestExports {
		f, ok := exports[want.name]
		switch got := signature(paramTypes(f), resultTypes(f)); {
		case !ok && want.optional:
		case !ok && exports["_start"] != nil:
			return refuse("the module is a command, with _start and without %s: build a reactor %s", want.name, howTo)
		case !ok:
			return refuse("the module does not export %s%s: build it with weir's SDK %s", want.name, want.signature, howTo)
		case got != want.signature:
			return refuse("the module exports %s%s, but %s%s is wanted: build it with weir's SDK", want.name, got, want.name, want.signature)
		}
	}
	if m.compiled.ExportedMemories()[abi.ExportMemory] == nil {
		return refuse("the module does not export its memory as %q: let the linker export it", abi.ExportMemory)
	}
	return nil
}

func (m *Module) checkImports() error {
	if len(m.compiled.ImportedMemories()) > 0 {
		return refuse("the module imports its memory: let it define and export its own")
	}
	known := imports()
	for _, f := range m.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		if module == inspect.MeterModule {
			continue // ours: meterOf refuses one of the module's own
		}
		want, ok := known[module][name]
		switch got := signature(f.ParamTypes(), f.ResultTypes()); {
		case module != abi.Module && isVersion(module):
			return refuse("the module speaks %s and this weir speaks %s: build the plugin with the SDK of this weir, or update weir", module, abi.Module)
		case known[module] == nil:
			return refuse("the module imports %s.%s: a plugin has only %s and WASI's %s, so remove what needs it", module, name, abi.Module, abi.WASIModule)
		case !ok:
			return refuse("the module imports %s.%s, which %s does not have: build the plugin with the SDK of this weir", module, name, module)
		case got != want:
			return refuse("the module imports %s.%s%s, but it is %s%s: build the plugin with the SDK of this weir", module, name, got, name, want)
		}
	}
	return nil
}

// isVersion reports whether a module's name is one of the contract's.
func isVersion(module string) bool {
	number, ok := strings.CutPrefix(module, "weir_")
	return ok && strings.Trim(number, "0123456789") == ""
}

// guestExports are what a guest must export.
var guestExports = []struct {
	name      string
	signature string
	optional  bool
}{
	{abi.ExportInitialize, "()", true},
	{abi.ExportSource, "(i32) -> i64", true},
	{abi.ExportDescribe, "() -> i64", false},
	{abi.ExportBuf, "(i32) -> i32", false},
	{abi.ExportCall, "(i32, i32) -> i64", false},
}

// imports returns the signatures of all that may be imported.
func imports() map[string]map[string]string {
	host := make(map[string]string)
	for _, f := range hostFuncs {
		host[f.name] = signature(f.params, f.results)
	}
	wasi := make(map[string]string)
	for _, f := range wasiFuncs {
		wasi[f.name] = signature(f.params, f.results)
	}
	return map[string]map[string]string{abi.Module: host, abi.WASIModule: wasi}
}

func signature(params, results []api.ValueType) string {
	names := func(types []api.ValueType) string {
		list := make([]string, len(types))
		for i, t := range types {
			list[i] = api.ValueTypeName(t)
		}
		return strings.Join(list, ", ")
	}
	s := "(" + names(params) + ")"
	if len(results) > 0 {
		s += " -> " + names(results)
	}
	return s
}

func paramTypes(f api.FunctionDefinition) []api.ValueType {
	if f == nil {
		return nil
	}
	return f.ParamTypes()
}

func resultTypes(f api.FunctionDefinition) []api.ValueType {
	if f == nil {
		return nil
	}
	return f.ResultTypes()
}
