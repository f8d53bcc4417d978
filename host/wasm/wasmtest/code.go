package wasmtest

import (
	"slices"

	"weir/abi"
)

// Join puts code in order.
func Join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// I32 pushes an i32.
func I32(v int32) []byte { return append([]byte{0x41}, signed(int64(v))...) }

// I64 pushes an i64.
func I64(v int64) []byte { return append([]byte{0x42}, signed(v)...) }

// Invoke calls a function by its index: imports first, in their order.
func Invoke(index int) []byte { return append([]byte{0x10}, unsigned(uint64(index))...) }

// Get pushes a local; parameters come first.
func Get(local int) []byte { return append([]byte{0x20}, unsigned(uint64(local))...) }

// Put pops into a local.
func Put(local int) []byte { return append([]byte{0x21}, unsigned(uint64(local))...) }

// Forever is a loop that runs code again and again.
func Forever(code []byte) []byte {
	return Join([]byte{0x03, 0x40}, code, []byte{0x0c, 0x00, 0x0b})
}

// Repeat runs code n times, counting in an i32 local.
func Repeat(n int32, local int, code []byte) []byte {
	return Join(I32(n), Put(local), []byte{0x03, 0x40}, code,
		Get(local), I32(1), Sub(), Put(local), Get(local), []byte{0x0d, 0x00, 0x0b})
}

// If runs code when the i32 on top is not zero.
func If(code []byte) []byte { return Join([]byte{0x04, 0x40}, code, []byte{0x0b}) }

// Drop pops a value.
func Drop() []byte { return []byte{0x1a} }

// Unreachable traps.
func Unreachable() []byte { return []byte{0x00} }

// Return leaves the function.
func Return() []byte { return []byte{0x0f} }

// Grow grows the memory by the pages on top and pushes the old size or -1.
func Grow() []byte { return []byte{0x40, 0x00} }

// Sub subtracts i32s.
func Sub() []byte { return []byte{0x6b} }

// Div divides i32s.
func Div() []byte { return []byte{0x6d} }

// Load pushes the i32 at the address on top.
func Load() []byte { return []byte{0x28, 0x02, 0x00} }

// Store pops an i32 and the address below it.
func Store() []byte { return []byte{0x36, 0x02, 0x00} }

// Store64 pops an i64 and the address below it.
func Store64() []byte { return []byte{0x37, 0x03, 0x00} }

// Widen makes an i64 of an i32, as unsigned.
func Widen() []byte { return []byte{0xad} }

// Shift shifts the i64 below to the left by the i64 on top.
func Shift() []byte { return []byte{0x86} }

// Or joins the bits of two i64s.
func Or() []byte { return []byte{0x84} }

// Pack pushes a packed result.
func Pack(tag abi.Tag, at, n uint32) []byte { return I64(int64(abi.Pack(tag, at, n))) }

// PackHandle makes a packed result of the handle on top.
func PackHandle() []byte {
	return Join(Widen(), I64(30), Shift(), I64(int64(abi.TagHandle)<<60), Or())
}

// PackValueAt makes a packed value at an address of the i32 length on top.
func PackValueAt(at uint32) []byte {
	return Join(Widen(), Pack(abi.TagValue, at, 0), Or())
}

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
