package inspect

import (
	"bytes"
	"slices"
)

// A module of tests is put together byte by byte, so that it can be wrong in any
// way.

// assemble joins sections behind the preamble.
func assemble(sections ...[]byte) []byte {
	return slices.Concat(append([][]byte{[]byte("\x00asm\x01\x00\x00\x00")}, sections...)...)
}

// section has its content and its true length.
func section(id byte, content ...[]byte) []byte {
	return appendCounted([]byte{id}, slices.Concat(content...))
}

// vector has its items and their true number.
func vector(items ...[]byte) []byte {
	return append(appendU32(nil, uint32(len(items))), slices.Concat(items...)...)
}

// many is a vector of n equal items.
func many(n int, item ...byte) []byte {
	return append(appendU32(nil, uint32(n)), bytes.Repeat(item, n)...)
}

// times is code n times.
func times(n int, code ...byte) []byte { return bytes.Repeat(code, n) }

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func text(s string) []byte { return appendCounted(nil, []byte(s)) }

// funcOf is a type.
func funcOf(params, results string) []byte {
	return join([]byte{0x60}, text(params), text(results))
}

// bodyOf is a function without locals; the end is added.
func bodyOf(code ...[]byte) []byte { return bodyWith(0, code...) }

// bodyWith is a function with i32 locals.
func bodyWith(locals int, code ...[]byte) []byte {
	declared := []byte{0}
	if locals > 0 {
		declared = append(appendU32([]byte{1}, uint32(locals)), typeI32)
	}
	return appendCounted(nil, join(declared, slices.Concat(code...), []byte{byte(opEnd)}))
}

// with is an instruction with indices behind it.
func with(op opcode, indices ...uint32) []byte {
	var dst []byte
	if op > 0xff {
		dst = appendU32([]byte{byte(op >> 8)}, uint32(op&0xff))
	} else {
		dst = []byte{byte(op)}
	}
	for _, i := range indices {
		dst = appendU32(dst, i)
	}
	return dst
}

func oneType(params, results string) []byte {
	return section(sectionType, vector(funcOf(params, results)))
}

var (
	oneFunction = section(sectionFunction, []byte{1, 0})
	oneMemory   = section(sectionMemory, []byte{1, 0, 1})
	oneTable    = section(sectionTable, []byte{1, typeFuncRef, 0, 1})
	zero        = []byte{byte(opI32Const), 0, byte(opEnd)} // a constant
)

// one is a module of one function that takes an i32, beside a memory and a table.
func one(locals int, code ...[]byte) []byte {
	return assemble(oneType("\x7f", ""), oneFunction, oneTable, oneMemory, section(sectionCode, vector(bodyWith(locals, code...))))
}

// stripped is the module as its sections were read.
func (s *Shape) stripped() []byte {
	out := assemble()
	for _, id := range []byte{
		sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport,
		sectionElem, sectionDataCount, sectionCode, sectionData,
	} {
		if content := s.sections[id]; content != nil {
			out = append(out, section(id, content)...)
		}
	}
	return out
}

// anyImport lets every import through.
func anyImport(string, string, []byte, []byte) error { return nil }
