package inspect

import (
	"strings"
	"testing"
)

// full has two of everything, so that in each space 1 names something and 2 does
// not: an import and a function of its own of the types i32 → none and none → none.
func full(code ...[]byte) []byte {
	return fullWith(section(sectionExport, []byte{0}), code...)
}

func fullWith(exports []byte, code ...[]byte) []byte {
	return assemble(
		section(sectionType, vector(funcOf("\x7f", ""), funcOf("", ""))),
		section(sectionImport, vector(join(text("m"), text("f"), []byte{kindFunc, 1}))),
		oneFunction,
		section(sectionTable, vector([]byte{typeFuncRef, 1, 1, 9}, []byte{typeFuncRef, 1, 1, 9})),
		oneMemory,
		section(sectionGlobal, vector(join([]byte{typeI32, 1}, zero), join([]byte{typeI32, 1}, zero))),
		exports,
		section(sectionElem, vector([]byte{1, 0, 1, 0}, []byte{1, 0, 1, 1})),
		section(sectionDataCount, []byte{2}),
		section(sectionCode, vector(bodyWith(1, code...))),
		section(sectionData, vector([]byte{1, 1, 'a'}, []byte{1, 1, 'b'})),
	)
}

// G2: every index is checked against the module's own spaces, wherever it is
// written. The last that names something passes, the next does not.
// Cases: 1.
func TestEveryIndexIsInItsSpace(t *testing.T) {
	t.Parallel()
	f := func(what string, module func(index uint32) []byte, names uint32) {
		t.Helper()
		if _, err := Gate(module(names-1), GateLimits{}, anyImport); err != nil {
			t.Errorf("%s: the last is refused: %v", what, err)
		}
		for _, index := range []uint32{names, names + 1, 1 << 20, 1<<32 - 1} {
			if _, err := Gate(module(index), GateLimits{}, anyImport); err == nil || !strings.Contains(err.Error(), "not valid") {
				t.Errorf("%s %d of %d: %v", what, index, names, err)
			}
		}
	}
	// in puts the index behind an instruction, between other immediates.
	in := func(op opcode, before []uint32, after ...uint32) func(uint32) []byte {
		return func(i uint32) []byte {
			return full(with(op, append(append(before[:len(before):len(before)], i), after...)...))
		}
	}
	f("type: call_indirect", in(opCallIndirect, nil, 0), 2)
	f("type: block", func(i uint32) []byte {
		return full(appendS64([]byte{byte(opBlock)}, int64(i)), []byte{byte(opEnd)})
	}, 2)
	f("type: function", func(i uint32) []byte {
		return assemble(oneType("", ""), section(sectionFunction, with(1, i)), section(sectionCode, vector(bodyOf())))
	}, 1)
	f("type: import", func(i uint32) []byte {
		return assemble(oneType("", ""), section(sectionImport, vector(join(text("m"), text("f"), with(kindFunc, i)))))
	}, 1)
	f("function: call", in(opCall, nil), 2)
	f("function: ref.func", in(opRefFunc, nil), 2)
	f("function: export", func(i uint32) []byte {
		return fullWith(section(sectionExport, vector(join(text("e"), with(kindFunc, i)))))
	}, 2)
	f("function: element", func(i uint32) []byte {
		return assemble(oneType("", ""), oneFunction, section(sectionElem, vector(join([]byte{1, 0, 1}, appendU32(nil, i)))), section(sectionCode, vector(bodyOf())))
	}, 1)
	f("function: element expression", func(i uint32) []byte {
		return assemble(oneType("", ""), oneFunction,
			section(sectionElem, vector(join([]byte{5, typeFuncRef, 1}, with(opRefFunc, i), []byte{byte(opEnd)}))), section(sectionCode, vector(bodyOf())))
	}, 1)
	f("function: global", func(i uint32) []byte {
		return assemble(oneType("", ""), oneFunction,
			section(sectionGlobal, vector(join([]byte{typeFuncRef, 0}, with(opRefFunc, i), []byte{byte(opEnd)}))), section(sectionCode, vector(bodyOf())))
	}, 1)
	f("table: call_indirect", in(opCallIndirect, []uint32{0}), 2)
	for name, op := range map[string]opcode{"get": opTableGet, "set": opTableSet, "size": opTableSize, "fill": opTableFill, "grow": opTableGrow} {
		f("table: table."+name, in(op, nil), 2)
	}
	f("table: table.init", in(opTableInit, []uint32{0}), 2)
	f("table: table.copy, to", in(opTableCopy, nil, 0), 2)
	f("table: table.copy, from", in(opTableCopy, []uint32{0}), 2)
	f("table: export", func(i uint32) []byte {
		return fullWith(section(sectionExport, vector(join(text("e"), with(kindTable, i)))))
	}, 2)
	f("table: elements", func(i uint32) []byte {
		return assemble(oneTable, section(sectionElem, vector(join(with(2, i), zero, []byte{0, 0}))))
	}, 1)
	f("memory: memory.init", in(opMemoryInit, []uint32{0}), 1)
	f("memory: memory.copy, to", in(opMemoryCopy, nil, 0), 1)
	f("memory: memory.copy, from", in(opMemoryCopy, []uint32{0}), 1)
	f("memory: memory.fill", in(opMemoryFill, nil), 1)
	f("memory: export", func(i uint32) []byte {
		return fullWith(section(sectionExport, vector(join(text("e"), with(kindMemory, i)))))
	}, 1)
	f("memory: data", func(i uint32) []byte {
		return assemble(oneMemory, section(sectionData, vector(join(with(2, i), zero, []byte{0}))))
	}, 1)
	f("global: global.get", in(opGlobalGet, nil), 2)
	f("global: global.set", in(opGlobalSet, nil), 2)
	f("global: export", func(i uint32) []byte {
		return fullWith(section(sectionExport, vector(join(text("e"), with(kindGlobal, i)))))
	}, 2)
	f("local: local.get", in(opLocalGet, nil), 2) // a parameter and a local
	f("local: local.set", in(opLocalSet, nil), 2)
	f("local: local.tee", in(opLocalTee, nil), 2)
	f("label: br", in(opBr, nil), 1)
	f("label: br_if in a block", func(i uint32) []byte {
		return full([]byte{byte(opBlock), typeNone}, with(opBrIf, i), []byte{byte(opEnd)})
	}, 2)
	f("label: br_table", in(opBrTable, []uint32{1}, 0), 1)
	f("label: br_table, default", in(opBrTable, []uint32{1, 0}), 1)
	f("label: after a block", func(i uint32) []byte { return full([]byte{byte(opLoop), typeNone, byte(opEnd)}, with(opBr, i)) }, 1)
	f("label: in an else", func(i uint32) []byte {
		return full([]byte{byte(opIf), typeNone, byte(opElse)}, with(opBr, i), []byte{byte(opEnd)})
	}, 2)
	f("data: memory.init", in(opMemoryInit, nil, 0), 2)
	f("data: data.drop", in(opDataDrop, nil), 2)
	f("elem: table.init", in(opTableInit, nil, 0), 2)
	f("elem: elem.drop", in(opElemDrop, nil), 2)
}

// G2: what names a memory needs one, also where the instruction has no index.
func TestInstructionsOfMemoryNeedOne(t *testing.T) {
	t.Parallel()
	for _, code := range [][]byte{
		with(0x28, 2, 0), with(0x3e, 2, 0), with(opMemorySize, 0), with(opMemoryGrow, 0), with(opMemoryFill, 0), with(opMemoryCopy, 0, 0),
		with(opSIMD, 4, 0), with(opSIMD|92, 2, 0), with(opSIMD|84, 0, 0, 0),
	} {
		bare := assemble(oneType("", ""), oneFunction, section(sectionCode, vector(bodyOf(code))))
		if _, err := Gate(bare, GateLimits{}, anyImport); err == nil || !strings.Contains(err.Error(), "memory 0 of 0") {
			t.Errorf("% x without a memory: %v", code, err)
		}
		if _, err := Gate(one(0, code), GateLimits{}, anyImport); err != nil {
			t.Errorf("% x with one: %v", code, err)
		}
	}
	// Without the count of its segments nothing may name one.
	if _, err := Gate(one(0, with(opDataDrop, 0)), GateLimits{}, anyImport); err == nil {
		t.Error("data.drop without data")
	}
}
