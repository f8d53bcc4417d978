package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"weir/abi"
	"weir/host/inspect"
)

// gate looks at a module before anything else does (G1), and refuses what is
// damaged, over a limit, or no guest. source says that it is to run a source file.
func gate(code []byte, source bool) (*inspect.Shape, error) {
	if err := checkPreamble(code); err != nil {
		return nil, err
	}
	shape, err := inspect.Gate(code, inspect.GateLimits{}, importChecker())
	if err != nil {
		var module *inspect.ModuleError
		if errors.As(err, &module) {
			return nil, &RefusedError{What: module.What, Limit: module.Limit}
		}
		return nil, err
	}
	return shape, checkExports(shape, source)
}

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

// checkExports refuses a module that does not export what a guest does.
func checkExports(shape *inspect.Shape, source bool) error {
	switch _, _, engine := shape.Function(abi.ExportSource); {
	case engine && !source:
		return refuse("the module runs source files and is no plugin itself: put the source file there")
	case !engine && source:
		return refuse("the engine does not export %s: build it with this weir", abi.ExportSource)
	}
	_, _, command := shape.Function("_start")
	for _, want := range guestExports {
		params, results, ok := shape.Function(want.name)
		switch got := signature(params, results); {
		case !ok && want.optional:
		case !ok && command:
			return refuse("the module is a command, with _start and without %s: build a reactor %s", want.name, howTo)
		case !ok:
			return refuse("the module does not export %s%s: build it with weir's SDK %s", want.name, want.signature, howTo)
		case got != want.signature:
			return refuse("the module exports %s%s, but %s%s is wanted: build it with weir's SDK", want.name, got, want.name, want.signature)
		}
	}
	if !shape.HasMemory(abi.ExportMemory) {
		return refuse("the module does not export its memory as %q: let the linker export it", abi.ExportMemory)
	}
	return nil
}

// importChecker returns a function that refuses what a guest may not import.
func importChecker() func(module, name string, params, results []api.ValueType) error {
	known := imports()
	return func(module, name string, params, results []api.ValueType) error {
		want, ok := known[module][name]
		switch got := signature(params, results); {
		case module != abi.Module && isVersion(module):
			return refuse("the module speaks %s and this weir speaks %s: build the plugin with the SDK of this weir, or update weir", module, abi.Module)
		case known[module] == nil:
			return refuse("the module imports %.100s.%.100s: a plugin has only %s and WASI's %s, so remove what needs it", module, name, abi.Module, abi.WASIModule)
		case !ok:
			return refuse("the module imports %s.%.100s, which %s does not have: build the plugin with the SDK of this weir", module, name, module)
		case got != want:
			return refuse("the module imports %s.%s%s, but it is %s%s: build the plugin with the SDK of this weir", module, name, got, name, want)
		}
		return nil
	}
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
