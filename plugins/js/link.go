package js

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The sections of a module.
const (
	sectionType = 1 + iota
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

// order is that of the sections in a module.
var order = []byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport, sectionElement,
	sectionDataCount, sectionCode, sectionData,
}

const kindFunction = 0

// linker puts an adapter into a module. It knows the modules that it is made for
// and refuses others: one memory, one table filled by one segment, no start
// function.
type linker struct {
	adapter  *adapter
	sections map[byte][]byte
	symbols  symbols

	old     int   // imported functions of the module
	indexes []int // of functions: where the old ones are now
	kept    [][]byte
}

// link returns the module with the adapter's functions in it, and data as one
// more segment, which the adapter calls $sdk; it knows the constants. Exports are those of the adapter, the
// memory and _initialize.
func link(module []byte, a *adapter, data []byte, constants map[string]int) ([]byte, error) {
	l := &linker{adapter: a, sections: map[byte][]byte{}}
	l.symbols = symbols{functions: map[string]int{}, globals: map[string]int{}, constants: maps.Clone(constants)}
	if err := l.split(module); err != nil {
		return nil, err
	}
	for _, step := range []func() error{l.linkImports, l.linkExports, l.linkFunctions, l.linkTable, l.linkCode} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("link the adapter: %w", err)
		}
	}
	l.linkData(data)
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, id := range order {
		if body, ok := l.sections[id]; ok {
			out = append(appendUint(append(out, id), len(body)), body...)
		}
	}
	return out, nil
}

var errModule = errors.New("BUG: the module is not one that can be linked")

// split finds the sections. Custom ones are left out.
func (l *linker) split(module []byte) error {
	if len(module) < 8 {
		return errModule
	}
	for r := (reader{data: module[8:]}); !r.done(); {
		id := r.byte()
		body := r.bytes(r.uint())
		if r.failed {
			return errModule
		}
		if id != 0 {
			l.sections[id] = body
		}
	}
	for _, id := range order {
		if l.sections[id] == nil {
			return errModule
		}
	}
	if l.sections[sectionStart] != nil {
		return errModule
	}
	return nil
}

// linkImports keeps the imports that the adapter does not take over, adds the
// adapter's, and so decides where all functions are.
func (l *linker) linkImports() error {
	r := reader{data: l.sections[sectionImport]}
	var replaced []string // by old index; "" for those that stay
	for range r.uint() {
		from := r.at
		name := r.name() + "." + r.name()
		if r.byte() != kindFunction {
			return errModule
		}
		r.uint()
		if slices.ContainsFunc(l.adapter.defined, func(f *function) bool { return f.name == "$"+name }) {
			replaced = append(replaced, "$"+name)
			continue
		}
		replaced = append(replaced, "")
		l.kept = append(l.kept, r.data[from:r.at])
	}
	l.old = len(replaced)
	functions := reader{data: l.sections[sectionFunction]}
	count := functions.uint()
	added := len(l.kept) + len(l.adapter.imports)
	for i, f := range l.adapter.imports {
		l.symbols.functions[f.name] = len(l.kept) + i
	}
	for i, f := range l.adapter.defined {
		l.symbols.functions[f.name] = added + count + i
	}
	stay := 0
	for _, name := range replaced {
		if name == "" {
			l.indexes = append(l.indexes, stay)
			stay++
			continue
		}
		l.indexes = append(l.indexes, l.symbols.functions[name])
	}
	for i := range count {
		l.indexes = append(l.indexes, added+i)
	}
	if r.failed || functions.failed {
		return errModule
	}
	return nil
}

// linkExports learns the module's exports, which the adapter calls by their
// names, and writes those of the result.
func (l *linker) linkExports() error {
	out, count := []byte{}, 0
	export := func(name string, kind byte, index int) {
		out = appendUint(append(appendName(out, name), kind), index)
		count++
	}
	r := reader{data: l.sections[sectionExport]}
	for range r.uint() {
		name, kind, index := r.name(), r.byte(), r.uint()
		if r.failed || kind == kindFunction && index >= len(l.indexes) {
			return errModule
		}
		if kind == kindFunction {
			index = l.indexes[index]
			if _, own := l.symbols.functions["$"+name]; !own { // there is a log of the C library's
				l.symbols.functions["$"+name] = index
			}
		}
		if name == "memory" || name == "_initialize" {
			export(name, kind, index)
		}
	}
	for _, f := range l.adapter.defined {
		if f.export != "" {
			export(f.export, kindFunction, l.symbols.functions[f.name])
		}
	}
	l.sections[sectionExport] = append(appendUint(nil, count), out...)
	return nil
}

// linkFunctions adds the adapter's types, imports, functions and globals.
func (l *linker) linkFunctions() error {
	types := reader{data: l.sections[sectionType]}
	next := types.uint()
	typeBytes := slices.Clone(types.rest())
	addType := func(s signature) int {
		typeBytes = append(typeBytes, 0x60)
		typeBytes = appendName(appendName(typeBytes, s.params), s.results)
		next++
		return next - 1
	}
	imports := appendUint(nil, len(l.kept)+len(l.adapter.imports))
	for _, kept := range l.kept {
		imports = append(imports, kept...)
	}
	for _, f := range l.adapter.imports {
		imports = appendName(appendName(imports, f.module), f.export)
		imports = appendUint(append(imports, kindFunction), addType(f.signature))
	}
	functions := reader{data: l.sections[sectionFunction]}
	defined := appendUint(nil, functions.uint()+len(l.adapter.defined))
	defined = append(defined, functions.rest()...)
	for _, f := range l.adapter.defined {
		defined = appendUint(defined, addType(f.signature))
	}
	globals := reader{data: l.sections[sectionGlobal]}
	first := globals.uint()
	globalBytes := append(appendUint(nil, first+len(l.adapter.globals)), globals.rest()...)
	for i, g := range l.adapter.globals {
		l.symbols.globals[g.name] = first + i
		zero := byte(0x41)
		if g.typ == valueTypes["i64"] {
			zero = 0x42
		}
		globalBytes = append(globalBytes, g.typ, 1, zero, 0, 0x0b)
	}
	l.sections[sectionType] = append(appendUint(nil, next), typeBytes...)
	l.sections[sectionImport] = imports
	l.sections[sectionFunction] = defined
	l.sections[sectionGlobal] = globalBytes
	if types.failed || functions.failed || globals.failed {
		return errModule
	}
	return nil
}

// linkTable makes room for the adapter's functions at the end of the table, which
// the adapter knows as $table and $table.count.
func (l *linker) linkTable() error {
	table := reader{data: l.sections[sectionTable]}
	one, kind, flags, size := table.uint(), table.byte(), table.byte(), table.uint()
	elements := reader{data: l.sections[sectionElement]}
	segments, mode := elements.uint(), elements.uint()
	start := elements.bytes(3) // i32.const of a small number, end
	if table.failed || elements.failed || one != 1 || kind != 0x70 || flags != 0 || segments != 1 || mode != 0 || start[0] != 0x41 || start[2] != 0x0b {
		return errModule
	}
	first := append([]byte{2, 0}, start...)
	count := elements.uint()
	first = appendUint(first, count)
	for range count {
		index := elements.uint()
		if elements.failed || index >= len(l.indexes) {
			return errModule
		}
		first = appendUint(first, l.indexes[index])
	}
	second := append(appendInt([]byte{0, 0x41}, int64(size)), 0x0b)
	second = appendUint(second, len(l.adapter.table))
	for _, name := range l.adapter.table {
		index, ok := l.symbols.functions[name]
		if !ok {
			return fmt.Errorf("the table has the unknown function %s", name)
		}
		second = appendUint(second, index)
	}
	l.symbols.constants["$table"], l.symbols.constants["$table.count"] = size, len(l.adapter.table)
	l.sections[sectionElement] = append(first, second...)
	l.sections[sectionTable] = appendUint([]byte{1, 0x70, 0}, size+len(l.adapter.table))
	return nil
}

// linkCode corrects the functions' numbers in the module's code, and adds the
// adapter's.
func (l *linker) linkCode() error {
	counts := reader{data: l.sections[sectionDataCount]}
	l.symbols.constants["$sdk"] = counts.uint()
	r := reader{data: l.sections[sectionCode]}
	count := r.uint()
	out := appendUint(nil, count+len(l.adapter.defined))
	for range count {
		body, err := renumber(r.bytes(r.uint()), l.indexes)
		if err != nil {
			return err
		}
		out = append(appendUint(out, len(body)), body...)
	}
	for _, f := range l.adapter.defined {
		body, err := l.symbols.assemble(f)
		if err != nil {
			return err
		}
		out = append(out, body...)
	}
	l.sections[sectionCode] = out
	if r.failed {
		return errModule
	}
	return nil
}

// linkData adds a segment that is copied when the adapter asks for it.
func (l *linker) linkData(data []byte) {
	r := reader{data: l.sections[sectionData]}
	count := r.uint() + 1
	out := append(appendUint(nil, count), r.rest()...)
	out = append(appendUint(append(out, 1), len(data)), data...)
	l.sections[sectionData] = out
	l.sections[sectionDataCount] = appendUint(nil, count)
}

func appendName(dst []byte, name string) []byte { return append(appendUint(dst, len(name)), name...) }
