package inspect

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// hostile is a module that was made to harm who reads it. The names are those of
// the table in docs/security.md.
type hostile struct {
	name  string
	code  []byte
	limit string // that it is over
	says  string // in its refusal; "" if it is let through
}

// lie is a number that promises what is not there.
var lie = appendU32(nil, 1<<32-1)

// hostiles are all of them but those that are too large to be kept.
func hostiles() []hostile {
	return concat(damaged(), lies(), bombs(), busy(), foreign())
}

func concat(lists ...[]hostile) (all []hostile) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// damaged are no modules.
func damaged() []hostile {
	whole := full()
	not := "the module is not valid"
	name := func(b ...byte) []byte {
		return assemble(oneMemory, section(sectionExport, vector(join(text(string(b)), []byte{kindMemory, 0}))))
	}
	body := func(code ...byte) []byte {
		return assemble(oneType("", ""), oneFunction, section(sectionCode, vector(appendCounted(nil, code))))
	}
	return []hostile{
		{"M01 nothing", nil, "", not},
		{"M02 another magic", []byte("\x7fELF\x01\x00\x00\x00"), "", not},
		{"M03 a component", []byte("\x00asm\x0d\x00\x01\x00"), "", not},
		{"M04 cut", whole[:len(whole)-5], "", "data section: it ends in the middle"},
		{"M05 sections out of order", assemble(oneMemory, oneTable), "", "table section: it comes twice or too late"},
		{"M06 a section twice", assemble(oneMemory, oneMemory), "", "memory section: it comes twice or too late"},
		{"M07 an unknown section", assemble(section(14, []byte{0})), "", "it has a section 14"},
		{"M08 a section with more in it", assemble(section(sectionMemory, []byte{1, 0, 1, 0})), "", "1 bytes are left over"},
		{"M09 a number of six bytes", assemble([]byte{sectionType, 0x80, 0x80, 0x80, 0x80, 0x80, 0}), "", "does not fit 32 bits"},
		{"M10 a number of 33 bits", assemble([]byte{sectionType, 0x80, 0x80, 0x80, 0x80, 0x10}), "", "does not fit 32 bits"},
		{"M11 an export twice", assemble(oneMemory, section(sectionExport, vector(join(text("m"), []byte{kindMemory, 0}), join(text("m"), []byte{kindMemory, 0})))), "", `export "m" comes twice`},
		{"M12 a name that is no text", name(0xff, 0xfe), "", "not UTF-8"},
		{"M13 functions without bodies", assemble(oneType("", ""), oneFunction), "", "1 functions and has 0 bodies"},
		{"M14 bodies without functions", assemble(section(sectionCode, vector(bodyOf()))), "", "0 functions and has 1 bodies"},
		{"M15 a body without its end", body(0, byte(opNop)), "", "ends in the middle"},
		{"M16 a body that goes on", body(0, byte(opEnd), byte(opNop), byte(opEnd)), "", "goes on after its end"},
		{"M17 an else without an if", body(0, byte(opBlock), typeNone, byte(opElse), byte(opEnd), byte(opEnd)), "", "an else without an if"},
		{"M18 two elses", body(0, byte(opIf), typeNone, byte(opElse), byte(opElse), byte(opEnd), byte(opEnd)), "", "an else without an if"},
		{"M19 an i32 of 33 bits", body(0, byte(opI32Const), 0x80, 0x80, 0x80, 0x80, 0x40, byte(opEnd)), "", "does not fit 32 bits"},
		{"M20 an i64 of 65 bits", body(0, byte(opI64Const), 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, byte(opEnd)), "", "does not fit 64 bits"},
		{"M21 a block of an unknown type", body(0, byte(opBlock), 0x41, byte(opEnd), byte(opEnd)), "", "a block is of type"},
		{"M22 a block type in two bytes", body(0, byte(opBlock), 0xff, 0x7f, byte(opEnd), byte(opEnd)), "", "a block is of type"},
		{"M23 a custom section without a name", assemble([]byte{sectionCustom, 0}), "", "custom section"},
		{"M24 a local of no type", body(1, 1, 0x40, byte(opEnd)), "", "a value of type 0x40"},
		{"M25 a global that is neither", assemble(section(sectionGlobal, vector(join([]byte{typeI32, 2}, zero)))), "", "global 0 is neither"},
		{"M26 an initial value that computes", assemble(section(sectionGlobal, vector([]byte{typeI32, 0, byte(opI32Const), 0, byte(opI32Const), 0, 0x6a, byte(opEnd)}))), "", "more than one constant"},
		{"M27 an initial value that traps", assemble(section(sectionGlobal, vector([]byte{typeI32, 0, 0, byte(opEnd), 0}))), "", "an initial value has the instruction"},
		{"M28 a memory that shrinks", assemble(section(sectionMemory, []byte{1, 1, 2, 1})), "", "at least 2 and at most 1"},
		{"M29 a memory of 65537 pages", assemble(section(sectionMemory, []byte{1, 0, 0x81, 0x80, 0x04})), "", "65537"},
		{"M30 data that is not counted", assemble(oneMemory, section(sectionDataCount, []byte{2}), section(sectionData, vector(join([]byte{0}, zero, []byte{0})))), "", "counts 2 data segments and has 1"},
		{"M31 data without a memory", assemble(section(sectionData, vector(join([]byte{0}, zero, []byte{0})))), "", "there is none"},
		{"M32 a vector instruction in a longer form", one(0, []byte{0xfd, 0x8c, 0}, times(16, 0x0b)), "", "shortest form"},
		{"M33 in a still longer form", one(0, []byte{0xfd, 0x80, 0x81, 0}), "", "shortest form"},
		{"M34 a misc instruction that there is not", one(0, []byte{0xfc, 18}), "", "0xfc12"},
		{"M35 a vector instruction that there is not", one(0, []byte{0xfd, 0x9a, 1}), "", "0xfd9a"},
	}
}

// lies promise more than there is: whoever makes room for it first is dead (G1).
func lies() []hostile {
	of := func(id byte, content ...[]byte) []byte { return assemble(section(id, content...)) }
	promises := "promises 4294967295 items"
	middle := "ends in the middle"
	million := appendU32(nil, 100_000_000)
	body := func(content ...[]byte) []byte {
		return assemble(oneType("", ""), oneFunction, section(sectionCode, vector(appendCounted(nil, join(content...)))))
	}
	return []hostile{
		{"A01 types", of(sectionType, lie), "", promises},
		{"A02 imports", of(sectionImport, lie), "", promises},
		{"A03 functions", of(sectionFunction, lie), "", promises},
		{"A04 tables", of(sectionTable, lie), "", promises},
		{"A05 globals", of(sectionGlobal, lie), "", promises},
		{"A06 exports", of(sectionExport, lie), "", promises},
		{"A07 segments of elements", of(sectionElem, lie), "", promises},
		{"A08 bodies", of(sectionCode, lie), "", promises},
		{"A09 data", of(sectionData, lie), "", promises},
		{"A10 memories", of(sectionMemory, lie), "", promises},
		{"A11 names, for tools only", assemble(oneMemory, section(sectionCustom, text("name"), []byte{1, 6}, lie, []byte{0})), "", ""},
		{"A12 parameters", of(sectionType, []byte{1, 0x60}, lie), "", middle},
		{"A13 results", of(sectionType, []byte{1, 0x60, 0}, lie), "", middle},
		{"A14 targets of br_table", one(0, []byte{byte(opBrTable)}, lie), "", promises},
		{"A15 elements", assemble(oneTable, section(sectionElem, []byte{1, 0}, zero, lie)), "", promises},
		{"A16 the size of a section", assemble(join([]byte{sectionType}, lie)), "", middle},
		{"A17 2^32 locals", body([]byte{1}, lie, []byte{typeI32, byte(opEnd)}), "function_locals", "more than the 1000 locals"},
		{"A18 50 million locals", body([]byte{1}, appendU32(nil, 50_000_000), []byte{typeI32, byte(opEnd)}), "function_locals", "more than the 1000 locals"},
		{"A19 runs of locals", body(lie, []byte{byte(opEnd)}), "", promises},
		{"A20 a name", of(sectionImport, []byte{1}, lie), "", middle},
		{"A21 100 million types", of(sectionType, million), "", "promises 100000000 items"},
		{"A22 100 million functions", of(sectionFunction, million), "", "promises 100000000 items"},
		{"A23 the size of a body", assemble(oneType("", ""), oneFunction, section(sectionCode, []byte{1}, lie)), "", middle},
		{"A24 the size of data", assemble(oneMemory, section(sectionData, []byte{1, 1}, lie)), "", middle},
		{"A25 locals that add up to 2^32", body([]byte{2}, lie, []byte{typeI32}, lie, []byte{typeI32, byte(opEnd)}), "function_locals", "more than the 1000 locals"},
		{"A27 a few more than there are", of(sectionFunction, []byte{5, 0, 0, 0}), "", "promises 5 items where 3 bytes are left"},
		{"A26 data that is counted and not there", assemble(section(sectionDataCount, lie)), "", "counts 4294967295 data segments and has 0"},
	}
}

// bombs keep their promises, and are too much of something.
func bombs() []hostile {
	const k, m = 1_000, 1_000_000
	functions := func(n int) []byte {
		return assemble(oneType("", ""), section(sectionFunction, many(n, 0)), section(sectionCode, many(n, bodyOf()...)))
	}
	nest := func(n int, op opcode) []byte { return one(0, times(n, byte(op), typeNone), times(n, byte(opEnd))) }
	table := func(n int) []byte { return join([]byte{byte(opI32Const), 0, byte(opBrTable)}, many(n, 0), []byte{0}) }
	return []hostile{
		{"B02 a million custom sections", assemble(times(m, sectionCustom, 2, 1, 'x')), "", ""},
		{"B03 50 000 functions", functions(50 * k), "module_functions", "50000 functions, more than the 30000"},
		{"B04 500 000 functions", functions(500 * k), "module_functions", "500000 functions"},
		{"B05 10 MB of nop", one(0, times(10*m, byte(opNop))), "function_bytes", "has 10000001 bytes, more than the 131072"},
		{"B06 10 MB of constants", one(0, times(10*m/3, byte(opI32Const), 0, byte(opDrop))), "function_bytes", "more than the 131072"},
		{"B07 1 MB of constants", one(0, times(m/3, byte(opI32Const), 0, byte(opDrop))), "function_bytes", "more than the 131072"},
		{"B08 100 000 blocks in one another", nest(100*k, opBlock), "function_bytes", "more than the 131072"},
		{"B08 3 000 blocks in one another", nest(3*k, opBlock), "block_depth", "more than 2048 blocks in one another"},
		{"B09 10 000 loops in one another", nest(10*k, opLoop), "loop_depth", "more than 64 loops in one another"},
		{"B09 300 loops", one(0, times(300, byte(opLoop), typeNone, byte(opEnd))), "function_loops", "more than 256 loops"},
		{"B10 a br_table of a million", one(0, table(m)), "function_bytes", "more than the 131072"},
		{"B10 a br_table of 5 000", one(0, table(5*k)), "branch_targets", "br_table of 5000 targets, more than the 4096"},
		{"B11 1 000 br_tables of 1 000", one(0, times(k, join([]byte{byte(opBlock), typeNone}, table(k), []byte{byte(opEnd)})...)), "function_bytes", "more than the 131072"},
		{"B11 1 000 br_tables of 1 000 in functions", assemble(oneType("", ""), section(sectionFunction, many(k, 0)), section(sectionCode, many(k, bodyOf(table(k))...))), "module_branch_targets", "more than 524288 targets"},
		{"B13 20 000 locals", one(20 * k), "function_locals", "more than the 1000 locals"},
		{"B14 a million globals", assemble(section(sectionGlobal, many(m, join([]byte{typeI32, 0}, zero)...))), "module_globals", "1000000 globals, more than the 10000"},
		{"B15 a table of 2^27", assemble(section(sectionTable, vector(join([]byte{typeFuncRef, 0}, appendU32(nil, 1<<27))))), "table_entries", "more than the 65536 entries"},
		{"B16 a million tables", assemble(section(sectionTable, many(m, typeFuncRef, 0, 1))), "module_tables", "1000000 tables"},
		{"B16 tables that add up", assemble(section(sectionTable, many(16, join([]byte{typeFuncRef, 0}, appendU32(nil, 5_000))...))), "table_entries", "more than the 65536 entries"},
		{"B18 a memory that may have 4 GiB", assemble(section(sectionMemory, []byte{1, 1, 1, 0x80, 0x80, 0x04})), "", ""},
		{"B19 a million imports", assemble(oneType("", ""), section(sectionImport, many(m, 0, 0, kindFunc, 0))), "module_imports", "1000000 imports, more than the 64"},
		{"B20 a million exports", assemble(oneMemory, section(sectionExport, many(m, 0, kindMemory, 0))), "module_exports", "1000000 exports"},
		{"B21 100 000 parameters", assemble(oneType(strings.Repeat("\x7f", 100*k), "")), "function_params", "of 100000 parameters, more than the 64"},
		{"B22 1 000 results", assemble(oneType("", strings.Repeat("\x7f", k))), "function_results", "of 1000 results, more than the 64"},
		{"B23 a million data segments", assemble(section(sectionData, many(m, 1, 0))), "data_segments", "1000000 segments of data"},
		{"B24 a million types", assemble(section(sectionType, many(m, funcOf("", "")...))), "module_types", "1000000 types"},
		{"B25 a million segments of elements", assemble(section(sectionElem, many(m, 1, 0, 0))), "element_segments", "1000000 segments of elements"},
		{"B26 a million elements", assemble(oneType("", ""), oneFunction, section(sectionElem, vector(join([]byte{1, 0}, many(m, 0))))), "module_elements", "more than the 65536 elements"},
		{"B27 a million elements in expressions", assemble(section(sectionElem, vector(join([]byte{5, typeFuncRef}, many(m, byte(opRefNull), typeFuncRef, byte(opEnd)))))), "module_elements", "more than the 65536 elements"},
		{"R06 a table without an end that grows", one(0, with(opTableGrow, 0)), "table_entries", "declare a maximum"},
	}
}

// busy are within every count, and would keep the compiler busy for minutes.
func busy() []hostile {
	get, set := byte(opLocalGet), byte(opLocalSet)
	brIf, end, block, loop := byte(opBrIf), byte(opEnd), byte(opBlock), byte(opLoop)
	each := func(n int, code func(local uint32) []byte) (all []byte) {
		for i := range n {
			all = append(all, code(uint32(i+1))...)
		}
		return all
	}
	read := func(l uint32) []byte { return append(with(opLocalGet, l), byte(opDrop)) }
	step := func(l uint32) []byte {
		return join(with(opLocalGet, l), []byte{byte(opI32Const), 1, i32Add}, with(opLocalSet, l))
	}
	wide := strings.Repeat("\x7f", 64)
	wideBody := func(code ...[]byte) []byte {
		pushed := []byte{}
		for i := range 64 {
			pushed = append(pushed, with(opLocalGet, uint32(i))...)
		}
		return assemble(oneType(wide, wide), oneFunction, section(sectionCode, vector(bodyOf(append([][]byte{pushed}, code...)...))))
	}
	const limit, says = "function_work", "that the compiler would take too long"
	return []hostile{
		{"W01 branches in a row", one(0, []byte{block, typeNone}, times(30_000, get, 0, brIf, 0), []byte{end}), limit, says},
		{"W02 blocks in a row", one(0, times(18_000, block, typeNone, get, 0, brIf, 0, end)), limit, says},
		{"W03 ifs in a row", one(0, times(20_000, get, 0, byte(opIf), typeNone, byte(opElse), end)), limit, says},
		{"W04 nests in a row", one(0, times(9, join(times(2_000, block, typeNone), times(2_000, get, 0, brIf, 0, end))...)), limit, says},
		{"W05 ways out of a nest", one(0, times(2_000, block, typeNone), each(25_000, func(l uint32) []byte {
			return append([]byte{get, 0}, with(opBrIf, l*7%2_000)...)
		}), times(2_000, end)), limit, says},
		{"W06 ways back to loops", one(0, times(64, loop, typeNone), each(30_000, func(l uint32) []byte { return []byte{get, 0, brIf, byte(l % 64)} }), times(64, end)), limit, says},
		{"W07 loops that carry all locals", one(1_000, times(64, loop, typeNone), each(1_000, step), times(64, get, 0, brIf, 0, end)), limit, says},
		{"B12 joins that carry all locals", one(1_000, times(9_000, block, typeNone, get, 0, brIf, 0, end), each(1_000, read)), limit, says},
		{"W08 reads far from what is read", one(0, []byte{block, typeNone}, times(15_000, get, 0, brIf, 0), times(18_000, get, 0, byte(opDrop)), []byte{end}), limit, says},
		{"W09 one join of many ways, all locals read", one(1_000, []byte{block, typeNone}, times(15_000, get, 0, brIf, 0), []byte{end}, each(1_000, read)), limit, says},
		{"W10 locals set in arms", one(1_000, each(1_000, func(l uint32) []byte {
			return join([]byte{block, typeNone, get, 0, brIf, 0, byte(opI32Const), 7, set}, appendU32(nil, l), []byte{end})
		}), times(5_000, block, typeNone, get, 0, brIf, 0, end), each(1_000, read)), limit, says},
		{"W11 calls of 64 values", wideBody(times(40_000, byte(opCall), 0)), limit, says},
		{"W12 blocks of 64 values", wideBody(times(16_000, block, 0, get, 0, brIf, 0, end)), limit, says},
		{"W13 fills", one(0, times(13_000, get, 0, get, 0, get, 0, 0xfc, 11, 0)), limit, says},
		{"W15 ifs that return, in a row", one(0, times(18_000, get, 0, byte(opIf), typeNone, byte(opReturn), end)), limit, says},
		{"W16 ifs that leave, in a row", one(0, []byte{block, typeNone}, times(15_000, get, 0, byte(opIf), typeNone, byte(opBr), 1, end), []byte{end}), limit, says},
		{"W17 branches that carry 64 values", assemble(oneType(wide, wide), oneFunction, section(sectionCode, vector(bodyOf(each(63, func(l uint32) []byte { return with(opLocalGet, l) }), []byte{get, 0}, times(30_000, get, 0, brIf, 0))))), limit, says},
		{"W14 all that a module may have of it", assemble(
			oneType("\x7f", ""), section(sectionFunction, many(100, 0)), oneMemory,
			section(sectionCode, many(100, bodyOf([]byte{block, typeNone}, times(4_000, get, 0, brIf, 0), []byte{end})...)),
		), "module_work", "busy for longer than 60 s"},
	}
}

// foreign are what weir does not run, each with what to do instead.
func foreign() []hostile {
	export := func(name string) []byte {
		return assemble(oneMemory, section(sectionExport, vector(join(text(name), []byte{kindMemory, 0}))))
	}
	global := func(typ byte, init ...byte) []byte {
		return assemble(section(sectionGlobal, vector(join([]byte{typ, 1}, init, []byte{byte(opEnd)}))))
	}
	imported := func(kind byte, rest ...byte) []byte {
		return assemble(oneType("", ""), section(sectionImport, vector(join(text("env"), text("x"), []byte{kind}, rest))))
	}
	memory := func(content ...byte) []byte { return assemble(section(sectionMemory, content)) }
	null := []byte{byte(opRefNull), typeFuncRef}
	return []hostile{
		{"a start function", assemble(oneType("", ""), oneFunction, section(sectionStart, []byte{0}), section(sectionCode, vector(bodyOf()))), "", "(AssemblyScript: --exportStart _initialize)"},
		{"an imported memory", imported(kindMemory, 0, 1), "", "imports its memory: let it define and export its own"},
		{"an imported table", imported(kindTable, typeFuncRef, 0, 1), "", `imports a table ("env"."x"): let it define its own`},
		{"an imported global", imported(kindGlobal, typeI32, 0), "", `imports a global ("env"."x"): let it define its own`},
		{"an imported tag", imported(kindTag, 0, 0), "", "build it without exception handling"},
		{"a tag", assemble(oneType("", ""), section(sectionTag, []byte{1, 0, 0})), "", "build it without exception handling"},
		{"two memories", memory(2, 0, 1, 0, 1), "", "2 memories: build it with one"},
		{"a shared memory", memory(1, 3, 1, 1), "", "build it without threads"},
		{"a memory of 64 bits", memory(1, 4, 1), "", "build it for 32 bits"},
		{"an export of weir's", export("$meter"), "", `exports "$meter": names that begin with $ are weir's own`},
		{"a mutable vector", global(typeV128, append([]byte{0xfd, 12}, make([]byte, 16)...)...), "", "mutable global (0) of a vector or a reference"},
		{"a mutable reference", global(typeFuncRef, null...), "", "mutable global (0) of a vector or a reference"},
		{"a mutable foreign reference", global(typeExternRef, byte(opRefNull), typeExternRef), "", "mutable global (0) of a vector or a reference"},
		{"atomics", one(0, []byte{0xfe, 0x10, 2, 0}), "", "threads (atomics), which is not in WebAssembly 2.0: build it without threads"},
		{"a tail call", one(0, []byte{0x12, 0}), "", "for tail calls, which is not in WebAssembly 2.0"},
		{"a tail call by table", one(0, []byte{0x13, 0, 0}), "", "for tail calls"},
		{"garbage collection", one(0, []byte{0xfb, 0, 0}), "", "of garbage collection"},
		{"a type of garbage collection", assemble(section(sectionType, []byte{1, 0x5f, 0, 0})), "", "build it without garbage collection"},
		{"a try", one(0, []byte{0x06, typeNone, byte(opEnd)}), "", "for exceptions"},
		{"a try_table", one(0, []byte{0x1f, typeNone, 0, byte(opEnd)}), "", "for exceptions"},
		{"relaxed vectors", one(0, []byte{0xfd, 0x80, 2}), "", "build it without relaxed-simd"},
		{"a typed reference", assemble(oneType("\x63\x70", "")), "", "typed references"},
		{"a reference to an exception", assemble(oneType("\x69", "")), "", "build it without exception handling"},
		{"a call by reference", one(0, []byte{0x14, 0}), "", "0x14, which is not in WebAssembly 2.0"},
	}
}

// G1, W8, W10: each is refused in its own words, and none takes more memory than
// a small multiple of its size.
// Cases: 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 17.
func TestHostileModulesAreRefused(t *testing.T) {
	r := newCompiler(t)
	for _, h := range hostiles() {
		var s *Shape
		var err error
		spent := allocated(func() { s, err = Gate(h.code, GateLimits{}, anyImport) })
		if limit := 64<<10 + 48*uint64(min(len(h.code), 16<<10)) + 8*uint64(len(h.code)); spent > limit {
			t.Errorf("%s: %d bytes for a module of %d", h.name, spent, len(h.code))
		}
		if h.says == "" {
			if err != nil {
				t.Errorf("%s: %v", h.name, err)
			} else if !sameWhenMetered(t, r, s) {
				t.Errorf("%s: the compiler refuses it", h.name)
			}
			continue
		}
		var module *ModuleError
		if !errors.As(err, &module) {
			t.Errorf("%s: %v, want a ModuleError", h.name, err)
			continue
		}
		if !strings.HasPrefix(module.What, "the module") && !strings.HasPrefix(module.What, "function ") || !strings.Contains(module.What, h.says) || module.Limit != h.limit {
			t.Errorf("%s: %q (%s), want %q (%s)", h.name, module.What, module.Limit, h.says, h.limit)
		}
	}
}

// allocated returns the bytes that were allocated meanwhile.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// B01: what is in custom sections is never looked at: a module may be as large as
// its limit and costs nothing.
// Cases: 5.
func TestCustomSectionsCostNothing(t *testing.T) {
	code := assemble(oneMemory, section(sectionCustom, text("x"), make([]byte, 64<<20)))
	var s *Shape
	var err error
	if spent := allocated(func() { s, err = Gate(code, GateLimits{}, anyImport) }); err != nil || spent > 64<<10 {
		t.Fatalf("%d bytes, %v", spent, err)
	}
	if n := len(s.stripped()); n > 100 {
		t.Errorf("%d bytes are left of it", n)
	}
}

// Each of the gate's limits is exact, and its key is told.
// Cases: 7, 8, 9, 11, 12.
func TestLimitsOfTheGateAreExact(t *testing.T) {
	t.Parallel()
	f := func(limit string, set func(g *GateLimits, n int), module func(n int) []byte) {
		t.Helper()
		for n, over := range map[int]bool{2: false, 3: true} {
			var g GateLimits
			set(&g, 2)
			_, err := Gate(module(n), g, anyImport)
			var module *ModuleError
			if errors.As(err, &module) != over || over && module.Limit != limit {
				t.Errorf("%s 2, the module has %d: %v", limit, n, err)
			}
		}
	}
	code := func(code ...[]byte) []byte { return one(0, code...) }
	f("module_types", func(g *GateLimits, n int) { g.Types = n }, func(n int) []byte { return assemble(section(sectionType, many(n, funcOf("", "")...))) })
	f("module_imports", func(g *GateLimits, n int) { g.Imports = n }, func(n int) []byte {
		return assemble(oneType("", ""), section(sectionImport, many(n, 0, 0, kindFunc, 0)))
	})
	f("module_functions", func(g *GateLimits, n int) { g.Functions = n }, func(n int) []byte {
		return assemble(oneType("", ""), section(sectionFunction, many(n, 0)), section(sectionCode, many(n, bodyOf()...)))
	})
	f("module_tables", func(g *GateLimits, n int) { g.Tables = n }, func(n int) []byte { return assemble(section(sectionTable, many(n, typeFuncRef, 0, 1))) })
	f("table_entries", func(g *GateLimits, n int) { g.TableEntries = n }, func(n int) []byte {
		return assemble(section(sectionTable, vector([]byte{typeFuncRef, 0, byte(n)})))
	})
	f("table_entries", func(g *GateLimits, n int) { g.TableEntries = n }, func(n int) []byte {
		return assemble(oneType("", ""), oneFunction, section(sectionTable, vector([]byte{typeFuncRef, 1, 0, byte(n)})), section(sectionCode, vector(bodyOf(with(opTableGrow, 0)))))
	})
	f("memory_pages", func(g *GateLimits, n int) { g.MemoryPages = n }, func(n int) []byte { return assemble(section(sectionMemory, []byte{1, 0, byte(n)})) })
	f("module_globals", func(g *GateLimits, n int) { g.Globals = n }, func(n int) []byte {
		return assemble(section(sectionGlobal, many(n, join([]byte{typeI32, 0}, zero)...)))
	})
	f("module_exports", func(g *GateLimits, n int) { g.Exports = n }, func(n int) []byte {
		var list [][]byte
		for i := range n {
			list = append(list, join(text(fmt.Sprint(i)), []byte{kindMemory, 0}))
		}
		return assemble(oneMemory, section(sectionExport, vector(list...)))
	})
	f("element_segments", func(g *GateLimits, n int) { g.ElementSegments = n }, func(n int) []byte { return assemble(section(sectionElem, many(n, 1, 0, 0))) })
	f("module_elements", func(g *GateLimits, n int) { g.Elements = n }, func(n int) []byte {
		return assemble(section(sectionElem, many(n, 5, typeFuncRef, 1, byte(opRefNull), typeFuncRef, byte(opEnd))))
	})
	f("data_segments", func(g *GateLimits, n int) { g.DataSegments = n }, func(n int) []byte { return assemble(section(sectionData, many(n, 1, 0))) })
	f("function_params", func(g *GateLimits, n int) { g.Params = n }, func(n int) []byte { return assemble(oneType(strings.Repeat("\x7f", n), "")) })
	f("function_results", func(g *GateLimits, n int) { g.Results = n }, func(n int) []byte { return assemble(oneType("", strings.Repeat("\x7f", n))) })
	f("function_locals", func(g *GateLimits, n int) { g.Locals = n }, func(n int) []byte { return one(n) })
	f("function_bytes", func(g *GateLimits, n int) { g.BodyBytes = n }, func(n int) []byte { return code(times(n-1, byte(opNop))) })
	f("block_depth", func(g *GateLimits, n int) { g.Depth = n }, func(n int) []byte { return code(times(n, byte(opBlock), typeNone), times(n, byte(opEnd))) })
	f("function_loops", func(g *GateLimits, n int) { g.Loops = n }, func(n int) []byte { return code(times(n, byte(opLoop), typeNone, byte(opEnd))) })
	f("loop_depth", func(g *GateLimits, n int) { g.LoopDepth = n }, func(n int) []byte { return code(times(n, byte(opLoop), typeNone), times(n, byte(opEnd))) })
	f("branch_targets", func(g *GateLimits, n int) { g.Targets = n }, func(n int) []byte { return code([]byte{byte(opBrTable)}, many(n, 0), []byte{0}) })
	f("module_branch_targets", func(g *GateLimits, n int) { g.TotalTargets = 2 * (n + 1) }, func(n int) []byte {
		return code(times(2, join([]byte{byte(opBrTable)}, many(n, 0), []byte{0})...))
	})
}

// Loops beside each other are not in one another.
func TestLoopsBesideEachOtherAreNotNested(t *testing.T) {
	t.Parallel()
	beside := times(20, byte(opLoop), typeNone, byte(opBlock), typeNone, byte(opEnd), byte(opEnd))
	if _, err := Gate(one(0, beside), GateLimits{LoopDepth: 1}, anyImport); err != nil {
		t.Error(err)
	}
}
