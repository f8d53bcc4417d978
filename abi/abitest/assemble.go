package abitest

import (
	"maps"
	"slices"

	"weir/abi"
	"weir/abi/conform"
)

// The guests of the kit are assembled here, instruction by instruction, so that
// they need no toolchain and can be as wrong as they have to be. Nothing is
// checked.

// code is a sequence of instructions.
type code = []byte

// cat puts code in order.
func cat(parts ...code) code { return slices.Concat(parts...) }

func i32c(v int32) code { return append(code{0x41}, signed(int64(v))...) }

func i64c(v int64) code { return append(code{0x42}, signed(v)...) }

// ints pushes i32s.
func ints(ns ...int32) code {
	var all code
	for _, n := range ns {
		all = append(all, i32c(n)...)
	}
	return all
}

func get(local int) code { return append(code{0x20}, unsigned(uint64(local))...) }

func set(local int) code { return append(code{0x21}, unsigned(uint64(local))...) }

func when(body code) code { return cat(code{0x04, 0x40}, body, code{0x0b}) }

func forever(body code) code { return cat(code{0x03, 0x40}, body, code{0x0c, 0x00, 0x0b}) }

// repeat runs code n times, counting in an i32 local.
func repeat(n int32, local int, body code) code {
	return cat(i32c(n), set(local), code{0x03, 0x40}, body,
		get(local), i32c(1), sub, set(local), get(local), code{0x0d, 0x00, 0x0b})
}

// invoke calls a function by its index: imports first.
func invoke(index int) code { return append(code{0x10}, unsigned(uint64(index))...) }

var (
	drop    = code{0x1a}
	trap    = code{0x00}
	leave   = code{0x0f} // return
	add     = code{0x6a}
	sub     = code{0x6b}
	div     = code{0x6d}
	equal   = code{0x46}
	differ  = code{0x47}
	differ8 = code{0x52} // of i64s
	load    = code{0x28, 0x00, 0x00}
	store   = code{0x36, 0x00, 0x00}
	load8   = code{0x29, 0x00, 0x00} // i64
	store8  = code{0x37, 0x00, 0x00}
	byteAt  = code{0x2d, 0x00, 0x00} // an i32 of one byte
	putByte = code{0x3a, 0x00, 0x00}
	extend  = code{0xac} // i32 to i64, signed
	widen   = code{0xad} // i32 to i64, unsigned
	wrap    = code{0xa7} // i64 to i32
	shift   = code{0x86} // i64
	orBits  = code{0x84} // i64
	add8    = code{0x7c} // i64
	minus8  = code{0x7d} // i64
	grow    = code{0x40, 0x00}
	none    = i64c(int64(abi.Pack(abi.TagNone, 0, 0)))
)

// packed pushes a packed result.
func packed(tag abi.Tag, at, n uint32) code { return i64c(int64(abi.Pack(tag, at, n))) }

// value pushes a packed value.
func value(at, n uint32) code { return packed(abi.TagValue, at, n) }

// handleOf makes a packed result of the handle on top.
func handleOf(h code) code {
	return cat(h, widen, i64c(30), shift, i64c(int64(abi.TagHandle)<<60), orBits)
}

// valueOf makes a packed value at an address of the i32 length that code pushes.
func valueOf(at uint32, length code) code { return cat(length, widen, value(at, 0), orBits) }

// number returns the i64 that code pushes, as a byte string of eight.
func number(push code) code {
	return cat(push, set(local8), i32c(answerAt), i32c(0x48), putByte,
		i32c(answerAt+1), get(local8), store8, value(answerAt, 9))
}

// Locals of weir_call behind its parameters 0 (function) and 1 (length): i32s
// from localA, i64s from local8. Other functions have the same locals, from 0.
const (
	localA = 2
	localB = 3
	localC = 4
	local8 = 6
)

// Where a guest of the kit keeps what.
const (
	manifestAt = 1 << 10  // at most 31 KiB
	answerAt   = 32 << 10 // what number returns
	argsAt     = 33 << 10 // the arguments [1, "a"]
	roomAt     = 34 << 10 // 4 KiB that a case may fill
	dataAt     = 40 << 10 // data of a case, to 64 KiB
	inputAt    = 64 << 10 // the input buffer
	pages      = 4
	memorySize = pages << 16
)

// imported is an imported function of an assembled guest.
type imported struct{ module, name, sig string }

// exported is an exported function.
type exported struct {
	name, sig string
	body      code
}

// guest is a module to be assembled. The zero guest works: it describes itself,
// offers a buffer and returns nothing.
type guest struct {
	manifest []byte
	imports  []imported
	data     map[uint32][]byte
	// Bodies without their end; nil is a default. start is the start section,
	// source makes it an engine.
	call, describe, buf, init, start, source code
	without                                  string     // an export to leave out
	more                                     []exported // in place of those of the same name
	pages                                    uint32     // default pages
	memory                                   code       // an import of a memory, in place of the guest's own
	tail                                     []byte     // sections at the end
}

// weir1 are all host functions of the contract, as imports in a fixed order.
func weir1() []imported {
	var all []imported
	for _, f := range conform.HostFunctions() {
		all = append(all, imported{f.Module, f.Name, f.Type})
	}
	return all
}

// host calls a host function of a guest whose imports begin with weir1.
func host(name string, args ...code) code {
	for i, f := range conform.HostFunctions() {
		if f.Name == name {
			return cat(cat(args...), invoke(i))
		}
	}
	panic("BUG: no host function " + name)
}

// module assembles the guest.
func (g guest) module() []byte {
	defaults := func(body, otherwise code) code {
		if body == nil {
			return otherwise
		}
		return body
	}
	functions := []exported{
		{abi.ExportDescribe, ":I", defaults(g.describe, value(manifestAt, uint32(len(g.manifest))))},
		{abi.ExportBuf, "i:i", defaults(g.buf, i32c(inputAt))},
		{abi.ExportCall, "ii:I", defaults(g.call, none)},
	}
	if g.init != nil {
		functions = append(functions, exported{abi.ExportInitialize, ":", g.init})
	}
	if g.source != nil {
		functions = append(functions, exported{abi.ExportSource, "i:I", g.source})
	}
	for _, f := range g.more {
		if at := slices.IndexFunc(functions, func(e exported) bool { return e.name == f.name }); at >= 0 {
			functions[at] = f
		} else {
			functions = append(functions, f)
		}
	}
	var m sections
	for _, f := range g.imports {
		m.imports = append(m.imports, cat(name(f.module), name(f.name), code{0}, m.typeOf(f.sig)))
	}
	for _, f := range functions {
		if index := m.function(f.sig, f.body); f.name != g.without {
			m.exports = append(m.exports, cat(name(f.name), code{0}, unsigned(uint64(index))))
		}
	}
	var start code
	if g.start != nil {
		start = section(8, unsigned(uint64(m.function(":", g.start))))
	}
	own := section(5, cat(code{1, 0}, unsigned(uint64(max(g.pages, pages)))))
	if g.memory != nil {
		m.imports, own = append(m.imports, g.memory), nil
	}
	if g.without != abi.ExportMemory {
		m.exports = append(m.exports, cat(name(abi.ExportMemory), code{2, 0}))
	}
	args := abi.Array(abi.Int(1), abi.Text("a")).AppendCBOR(nil)
	all := map[uint32][]byte{manifestAt: g.manifest, argsAt: args}
	maps.Copy(all, g.data)
	var data [][]byte
	for _, at := range slices.Sorted(maps.Keys(all)) {
		data = append(data, cat(code{0}, i32c(int32(at)), code{0x0b}, counted(all[at])))
	}
	return cat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, list(m.types)), section(2, list(m.imports)), section(3, list(m.functions)), own,
		section(7, list(m.exports)), start, section(10, list(m.codes)), section(11, list(data)), g.tail)
}

// sections collects what a module consists of.
type sections struct {
	types, imports, functions, exports, codes [][]byte
	known                                     []string // signatures, by the index of their type
}

// typeOf returns the index of a signature's type: parameters, a colon, results;
// i is i32 and I is i64.
func (m *sections) typeOf(sig string) []byte {
	if at := slices.Index(m.known, sig); at >= 0 {
		return unsigned(uint64(at))
	}
	var lists [2][]byte
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
	m.known = append(m.known, sig)
	m.types = append(m.types, cat([]byte{0x60}, counted(lists[0]), counted(lists[1])))
	return unsigned(uint64(len(m.types) - 1))
}

func (m *sections) function(sig string, body code) int {
	m.functions = append(m.functions, m.typeOf(sig))
	locals := []byte{2, 4, 0x7f, 2, 0x7e}
	m.codes = append(m.codes, counted(cat(locals, body, code{0x0b})))
	return len(m.imports) + len(m.functions) - 1
}

func section(id byte, content []byte) []byte { return cat([]byte{id}, counted(content)) }

func counted(b []byte) []byte { return cat(unsigned(uint64(len(b))), b) }

func name(s string) []byte { return counted([]byte(s)) }

func list(items [][]byte) []byte { return cat(unsigned(uint64(len(items))), cat(items...)) }

func unsigned(v uint64) []byte {
	var b []byte
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func signed(v int64) []byte {
	var b []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
