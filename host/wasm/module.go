package wasm

import (
	"context"
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
