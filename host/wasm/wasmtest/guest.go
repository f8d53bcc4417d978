package wasmtest

import (
	"maps"
	"slices"

	"weir/abi"
)

// Addresses in a Guest's memory.
const (
	// ManifestAt is where the manifest lies, at most 31 KiB of it.
	ManifestAt = 1 << 10
	// DataAt begins 32 KiB that a test may use.
	DataAt = 32 << 10
	// InputAt is where the input buffer lies.
	InputAt = 64 << 10
)

// Import is a function that a Guest imports. Sig has i for i32 and I for i64:
// parameters, a colon, results.
type Import struct{ Module, Name, Sig string }

// Host returns an import of the contract.
func Host(name, sig string) Import { return Import{abi.Module, name, sig} }

// WASI returns an import of WASI.
func WASI(name, sig string) Import { return Import{abi.WASIModule, name, sig} }

// Guest is a module with the exports of a guest. The zero Guest works.
type Guest struct {
	Manifest []byte
	Imports  []Import
	// Data is put into memory.
	Data map[uint32][]byte
	// The bodies of functions, without their end; nil is a default. Call has the
	// parameters 0 (function) and 1 (length), both i32, then four i32 locals and
	// two i64 locals; Describe has the same locals from 0.
	Call, Describe, Buf, Init, Start []byte
	// Source is the body of weir_source, with the same locals as Call; nil: it is
	// not exported.
	Source []byte
	// Wide is how many more i64 locals each function has.
	Wide uint32
	// Pages and MaxPages size the memory. Default 4 and none.
	Pages, MaxPages uint32
	// Passive are data segments for memory.init, numbered after those of Data and
	// the manifest's.
	Passive [][]byte
	// Raw is the content of sections that a Guest does not have by itself: of tables
	// (4), globals (6) and elements (9).
	Raw map[byte][]byte
	// Without names an export to leave out, Extra sections to put at the end.
	Without string
	Extra   []byte
}

// Bytes assembles the module.
func (g Guest) Bytes() []byte {
	m := module{}
	for _, i := range g.Imports {
		m.importFunc(i)
	}
	if g.Describe == nil {
		g.Describe = Pack(abi.TagValue, ManifestAt, uint32(len(g.Manifest)))
	}
	if g.Buf == nil {
		g.Buf = I32(InputAt)
	}
	if g.Call == nil {
		g.Call = Pack(abi.TagNone, 0, 0)
	}
	m.wide = g.Wide
	m.function(abi.ExportDescribe, ":I", g.Describe)
	m.function(abi.ExportBuf, "i:i", g.Buf)
	m.function(abi.ExportCall, "ii:I", g.Call)
	if g.Source != nil {
		m.function(abi.ExportSource, "i:I", g.Source)
	}
	if g.Init != nil {
		m.function(abi.ExportInitialize, ":", g.Init)
	}
	if g.Start != nil {
		m.start = unsigned(uint64(m.function("", ":", g.Start)))
	}
	if g.Pages == 0 {
		g.Pages = 4
	}
	m.data = map[uint32][]byte{ManifestAt: g.Manifest}
	for at, b := range g.Data {
		m.data[at] = b
	}
	return append(m.bytes(g), g.Extra...)
}

// module collects sections.
type module struct {
	types, imports, functions, exports, codes [][]byte
	known                                     map[string]int
	start                                     []byte
	wide                                      uint32
	data                                      map[uint32][]byte
}

// typeOf returns the index of a signature's type.
func (m *module) typeOf(sig string) []byte {
	if i, ok := m.known[sig]; ok {
		return unsigned(uint64(i))
	}
	if m.known == nil {
		m.known = make(map[string]int)
	}
	lists := [2][]byte{}
	which := 0
	for _, c := range sig {
		switch c {
		case ':':
			which = 1
		case 'i':
			lists[which] = append(lists[which], 0x7f)
		case 'I':
			lists[which] = append(lists[which], 0x7e)
		}
	}
	m.known[sig] = len(m.types)
	m.types = append(m.types, Join([]byte{0x60}, counted(lists[0]), counted(lists[1])))
	return unsigned(uint64(len(m.types) - 1))
}

func (m *module) importFunc(i Import) {
	m.imports = append(m.imports, Join(name(i.Module), name(i.Name), []byte{0}, m.typeOf(i.Sig)))
}

// function adds a function, exported unless its name is empty, and returns its
// index.
func (m *module) function(export, sig string, body []byte) int {
	index := len(m.imports) + len(m.functions)
	m.functions = append(m.functions, m.typeOf(sig))
	locals := Join([]byte{2, 4, 0x7f}, unsigned(uint64(2+m.wide)), []byte{0x7e})
	m.codes = append(m.codes, counted(Join(locals, body, []byte{0x0b})))
	if export != "" {
		m.exports = append(m.exports, Join(name(export), []byte{0}, unsigned(uint64(index))))
	}
	return index
}

func (m *module) bytes(g Guest) []byte {
	limits := Join([]byte{0}, unsigned(uint64(g.Pages)))
	if g.MaxPages > 0 {
		limits = Join([]byte{1}, unsigned(uint64(g.Pages)), unsigned(uint64(g.MaxPages)))
	}
	exports := append([][]byte{Join(name(abi.ExportMemory), []byte{2, 0})}, m.exports...)
	if g.Without != "" {
		var kept [][]byte
		for _, e := range exports {
			if string(e[1:1+e[0]]) != g.Without { // names are shorter than 128 bytes
				kept = append(kept, e)
			}
		}
		exports = kept
	}
	var data [][]byte
	for _, at := range slices.Sorted(maps.Keys(m.data)) { // equal guests are equal bytes
		b := m.data[at]
		data = append(data, Join([]byte{0}, I32(int32(at)), []byte{0x0b}, counted(b)))
	}
	for _, b := range g.Passive {
		data = append(data, Join([]byte{1}, counted(b)))
	}
	raw := func(id byte) []byte {
		if g.Raw[id] == nil {
			return nil
		}
		return Section(id, g.Raw[id])
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, Section(1, list(m.types))...)
	out = append(out, Section(2, list(m.imports))...)
	out = append(out, Section(3, list(m.functions))...)
	out = append(out, raw(4)...)
	out = append(out, Section(5, Join([]byte{1}, limits))...)
	out = append(out, raw(6)...)
	out = append(out, Section(7, list(exports))...)
	if m.start != nil {
		out = append(out, Section(8, m.start)...)
	}
	out = append(out, raw(9)...)
	if g.Passive != nil {
		out = append(out, Section(12, unsigned(uint64(len(data))))...)
	}
	out = append(out, Section(10, list(m.codes))...)
	return append(out, Section(11, list(data))...)
}

// Section returns a section with its content.
func Section(id byte, content []byte) []byte { return Join([]byte{id}, counted(content)) }

func counted(b []byte) []byte { return Join(unsigned(uint64(len(b))), b) }

func name(s string) []byte { return counted([]byte(s)) }

func list(items [][]byte) []byte {
	return Join(unsigned(uint64(len(items))), Join(items...))
}
