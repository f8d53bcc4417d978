package inspect

import (
	"math"
	"testing"
)

// G1: numbers may be written longer than they need be, up to the bytes that their
// size takes, and no bit beyond it may be set but the sign.
// Cases: 1.
func TestNumbersAreReadAsTheyAreBounded(t *testing.T) {
	t.Parallel()
	read := func(size int, b []byte) (int64, bool) {
		c := &cursor{data: b}
		v := int64(0)
		if size == 0 {
			v = int64(c.u32())
		} else {
			v = c.signed(size)
		}
		return v, c.err == nil && c.left() == 0
	}
	f := func(size int, want int64, ok bool, b ...byte) {
		t.Helper()
		if got, taken := read(size, b); taken != ok || ok && got != want || !ok && size == 0 && got != 0 {
			t.Errorf("% x in %d bits: %d %v, want %d %v", b, size, got, taken, want, ok)
		}
	}
	f(0, 0, true, 0x00)
	f(0, 3, true, 0x83, 0x80, 0x80, 0x80, 0x00)
	f(0, math.MaxUint32, true, 0xff, 0xff, 0xff, 0xff, 0x0f)
	f(0, 0, false, 0xff, 0xff, 0xff, 0xff, 0x1f)
	f(0, 0, false, 0x83, 0x80, 0x80, 0x80, 0x80, 0x00)
	f(0, 0, false, 0x83)
	f(0, 0, false)
	f(32, -1, true, 0x7f)
	f(32, -1, true, 0xff, 0xff, 0xff, 0xff, 0x7f)
	f(32, math.MinInt32, true, 0x80, 0x80, 0x80, 0x80, 0x78)
	f(32, math.MaxInt32, true, 0xff, 0xff, 0xff, 0xff, 0x07)
	f(32, 0, false, 0xff, 0xff, 0xff, 0xff, 0x0f)
	f(32, 0, false, 0x80, 0x80, 0x80, 0x80, 0x70)
	f(32, 0, false, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f)
	f(33, math.MaxUint32, true, 0xff, 0xff, 0xff, 0xff, 0x0f)
	f(33, -1<<32, true, 0x80, 0x80, 0x80, 0x80, 0x70)
	f(33, 0, false, 0xff, 0xff, 0xff, 0xff, 0x1f)
	f(64, math.MinInt64, true, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f)
	f(64, math.MaxInt64, true, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00)
	f(64, 0, false, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)
	f(64, 0, false, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00)
	f(64, 0, false, 0xff, 0xff)
	for _, v := range []int64{0, 1, -1, 63, 64, -64, -65, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		f(64, v, true, appendS64(nil, v)...)
	}
}

// G2: the reader and the compiler read the same instructions. wazero takes the
// second byte of a vector instruction's number for one of its own: a longer form
// would hide code in what the reader takes for a constant.
func TestNobodyHidesCodeInALongNumber(t *testing.T) {
	t.Parallel()
	r := newCompiler(t)
	// A constant to the reader. To wazero: a shift, then a trap, the end of the
	// block, and a loop without an end that nobody has metered.
	hidden := join(
		[]byte{byte(opBlock), typeNone, byte(opLocalGet), 0, byte(opBrIf), 0},
		[]byte{0xfd, 12}, make([]byte, 16), []byte{byte(opI32Const), 1},
		[]byte{0xfd, 0x8c, 0x00}, []byte{byte(opEnd), byte(opLoop), typeNone, byte(opBr), 0, byte(opEnd)}, times(8, byte(opNop)), []byte{byte(opBlock), typeNone},
		[]byte{byte(opEnd)},
	)
	code := one(0, hidden)
	if err := compiles(r, code); err != nil {
		t.Fatalf("the compiler does not take it for what it is said to be: %v", err)
	}
	if _, err := Gate(code, GateLimits{}, anyImport); err == nil {
		t.Error("the gate lets it through")
	}
	for _, code := range [][]byte{
		one(0, []byte{0xfd, 12}, make([]byte, 16), []byte{0xfd, 0x80, 1, byte(opDrop)}), // 128 in two bytes is its shortest form
		one(0, []byte{byte(opF32Const), 0, 0, 0, 0, 0xfc, 0x80, 0, byte(opDrop)}),       // other numbers may be longer
	} {
		if _, err := Gate(code, GateLimits{}, anyImport); err != nil {
			t.Error(err)
		}
		if err := compiles(r, code); err != nil {
			t.Error(err)
		}
	}
}

// G5: what changes more than memory and globals is told, and nothing else is.
// Cases: 12.
func TestWhatCannotBePutBackIsTold(t *testing.T) {
	t.Parallel()
	f := func(want string, code ...[]byte) {
		t.Helper()
		s, err := Gate(full(code...), GateLimits{}, anyImport)
		if err != nil {
			t.Error(err)
			return
		}
		if s.Fixed() != want {
			t.Errorf("% x: %q, want %q", code, s.Fixed(), want)
		}
	}
	f("table.set", with(opTableSet, 0))
	f("table.fill", with(opTableFill, 0))
	f("table.copy", with(opTableCopy, 0, 0))
	f("table.init", with(opTableInit, 0, 0))
	f("table.grow", with(opTableGrow, 0))
	f("elem.drop", with(opElemDrop, 0))
	f("data.drop", with(opDataDrop, 0))
	f("", with(opTableGet, 0), with(opTableSize, 0), with(opMemoryGrow, 0), with(opMemoryInit, 0, 0), with(opGlobalSet, 1), with(opCallIndirect, 0, 0))
	f("elem.drop", with(opBlock), []byte{typeNone}, with(opElemDrop, 1), []byte{byte(opEnd)}, with(opTableSet, 0))
}
