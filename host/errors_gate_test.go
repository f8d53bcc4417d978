package host_test

import (
	"bytes"

	"weir/host/wasm/wasmtest"
)

// gatedModules are modules that the gate refuses before they are compiled: one of
// each kind of sentence.
func gatedModules() []refusedPlugin {
	section := func(id byte, content ...[]byte) []byte { return wasmtest.Section(id, wasmtest.Join(content...)) }
	module := func(sections ...[]byte) []byte {
		return append([]byte("\x00asm\x01\x00\x00\x00"), wasmtest.Join(sections...)...)
	}
	types := section(1, []byte{1, 0x60, 1, 0x7f, 0})
	functions, table, memory := section(3, []byte{1, 0}), section(4, []byte{1, 0x70, 0, 1}), section(5, []byte{1, 0, 1})
	body := func(locals []byte, code ...[]byte) []byte {
		b := wasmtest.Join(locals, wasmtest.Join(code...), []byte{0x0b})
		return module(types, functions, table, memory, section(10, []byte{1}, length(len(b)), b))
	}
	code := func(code ...[]byte) []byte { return body([]byte{0}, code...) }
	imported := func(desc ...byte) []byte {
		return module(types, section(2, []byte{1, 3, 'e', 'n', 'v', 1, 'x'}, desc))
	}
	times := func(n int, code ...byte) []byte { return bytes.Repeat(code, n) }
	guest := wasmtest.Guest{}.Bytes()
	return []refusedPlugin{
		{"half a module", guest[:len(guest)/2]},
		{"a count that lies", module(section(3, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}))},
		{"an index of nothing", code([]byte{0x10, 1})},
		{"a start function", wasmtest.Guest{Start: []byte{}}.Bytes()},
		{"an imported memory", imported(2, 0, 1)},
		{"an imported table", imported(1, 0x70, 0, 1)},
		{"an imported global", imported(3, 0x7f, 0)},
		{"exceptions", module(types, section(13, []byte{1, 0, 0}))},
		{"two memories", module(section(5, []byte{2, 0, 1, 0, 1}))},
		{"a shared memory", module(section(5, []byte{1, 3, 1, 1}))},
		{"a memory of 64 bits", module(section(5, []byte{1, 4, 1}))},
		{"threads", code([]byte{0xfe, 0x10, 2, 0})},
		{"a tail call", code([]byte{0x12, 0})},
		{"garbage collection", code([]byte{0xfb, 0, 0})},
		{"typed references", module(section(1, []byte{1, 0x60, 1, 0x64, 0}))},
		{"relaxed vectors", code([]byte{0xfd, 0x80, 2})},
		{"an instruction of tomorrow", code([]byte{0x27})},
		{"an export of weir's", module(memory, section(7, []byte{1, 6, '$', 'm', 'e', 't', 'e', 'r', 2, 0}))},
		{"a mutable reference", module(section(6, []byte{1, 0x70, 1, 0xd0, 0x70, 0x0b}))},
		{"a table that grows for ever", code([]byte{0xfc, 15, 0})},
		{"too many functions", module(types, section(3, length(40_000), times(40_000, 0)))},
		{"too many imports", module(types, section(2, []byte{65}, times(65, 0, 0, 0, 0)))},
		{"too many globals", module(section(6, length(20_000), times(20_000, 0x7f, 0, 0x41, 0, 0x0b)))},
		{"too large a table", module(section(4, []byte{1, 0x70, 0, 0x80, 0x80, 0x40}))},
		{"too many parameters", module(section(1, []byte{1, 0x60, 65}, times(65, 0x7f), []byte{0}))},
		{"too many locals", body([]byte{1, 0xd0, 0x0f, 0x7f})},
		{"too much code in a function", code(times(140_000, 0x01))},
		{"too deep", code(times(2_100, 0x02, 0x40), times(2_100, 0x0b))},
		{"too many loops", code(times(300, 0x03, 0x40, 0x0b))},
		{"too many loops in one another", code(times(70, 0x03, 0x40), times(70, 0x0b))},
		{"too many targets", code([]byte{0x0e}, length(5_000), times(5_001, 0))},
		{"too many branches", code([]byte{0x02, 0x40}, times(30_000, 0x20, 0, 0x0d, 0), []byte{0x0b})},
	}
}

// length is a count of items or bytes.
func length(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
