package abi

import (
	"math"
	"strconv"
)

// The CBOR major types (RFC 8949, 3.1), shifted to their place in a head.
const (
	majorUint   = 0 << 5
	majorNegint = 1 << 5
	majorBytes  = 2 << 5
	majorText   = 3 << 5
	majorArray  = 4 << 5
	majorMap    = 5 << 5
	majorTag    = 6 << 5
	majorSimple = 7 << 5
)

// The items of the major type simple that the contract knows.
const (
	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
	cborF16   = 0xf9
	cborF32   = 0xfa
	cborF64   = 0xfb
)

// CodecError says why data is not what the contract allows, and where.
type CodecError struct {
	Offset int // bytes from the start of the data
	What   string
}

// Error returns "cbor at byte OFFSET: WHAT".
func (e *CodecError) Error() string {
	return "cbor at byte " + strconv.Itoa(e.Offset) + ": " + e.What
}

// Code makes it a guest's fault for problem documents.
func (e *CodecError) Code() Code { return GuestContract }

// AppendNull appends null.
func AppendNull(dst []byte) []byte { return append(dst, cborNull) }

// AppendBool appends a boolean.
func AppendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, cborTrue)
	}
	return append(dst, cborFalse)
}

// AppendInt appends an integer.
func AppendInt(dst []byte, i int64) []byte {
	if i < 0 {
		return appendHead(dst, majorNegint, ^uint64(i))
	}
	return appendHead(dst, majorUint, uint64(i))
}

// AppendUint appends an integer.
func AppendUint(dst []byte, u uint64) []byte { return appendHead(dst, majorUint, u) }

// AppendFloat appends a float in the shortest form that keeps it exactly. What
// is not finite is appended as its text, as Float does.
func AppendFloat(dst []byte, f float64) []byte {
	if s := notFinite(f); s != "" {
		return AppendText(dst, s)
	}
	f32 := float32(f)
	if float64(f32) != f {
		dst = append(dst, cborF64)
		return appendUint(dst, math.Float64bits(f), 8)
	}
	if h, ok := toHalf(f32); ok {
		return append(dst, cborF16, byte(h>>8), byte(h))
	}
	dst = append(dst, cborF32)
	return appendUint(dst, uint64(math.Float32bits(f32)), 4)
}

// AppendText appends a string, which must be valid UTF-8.
func AppendText(dst []byte, s string) []byte {
	return append(appendHead(dst, majorText, uint64(len(s))), s...)
}

// AppendBytes appends a byte string.
func AppendBytes(dst, b []byte) []byte {
	return append(appendHead(dst, majorBytes, uint64(len(b))), b...)
}

// AppendArray appends the head of an array; n items must follow.
func AppendArray(dst []byte, n int) []byte { return appendHead(dst, majorArray, uint64(n)) }

// AppendMap appends the head of a map; n pairs of a text key and a value must
// follow, keys in the order of their length, then bytewise.
func AppendMap(dst []byte, n int) []byte { return appendHead(dst, majorMap, uint64(n)) }

// AppendCBOR appends the value in core deterministic encoding: equal values
// give equal bytes, others never do.
func (v Value) AppendCBOR(dst []byte) []byte {
	switch v.typ {
	case TypeBool:
		return AppendBool(dst, v.num == 1)
	case TypeInt:
		if v.neg {
			return appendHead(dst, majorNegint, v.num)
		}
		return appendHead(dst, majorUint, v.num)
	case TypeFloat:
		return AppendFloat(dst, math.Float64frombits(v.num))
	case TypeText:
		return AppendText(dst, v.str)
	case TypeBytes:
		return append(appendHead(dst, majorBytes, uint64(len(v.str))), v.str...)
	case TypeArray:
		dst = AppendArray(dst, len(v.list))
		for _, item := range v.list {
			dst = item.AppendCBOR(dst)
		}
		return dst
	case TypeMap:
		dst = AppendMap(dst, len(v.list))
		for i, item := range v.list {
			dst = item.AppendCBOR(AppendText(dst, v.keys[i]))
		}
		return dst
	}
	return AppendNull(dst)
}

// DecodeCBOR returns the value of data, which must be exactly one item that the
// contract allows (A3). What it allocates is bounded by len(data), whatever the
// counts in it claim. Errors are *CodecError.
func DecodeCBOR(data []byte) (Value, error) {
	d := NewDecoder(data)
	v, err := d.Value()
	if err != nil {
		return Value{}, err
	}
	return v, d.Done()
}

// IsDeterministic reports whether data is exactly one item that the contract
// allows, in core deterministic encoding.
func IsDeterministic(data []byte) bool {
	d := NewDecoder(data)
	c := checker{d: &d, strict: true}
	return c.item(0) == nil && d.Done() == nil
}

// appendHead appends a head with the shortest form of its argument.
func appendHead(dst []byte, major byte, arg uint64) []byte {
	switch {
	case arg < 24:
		return append(dst, major|byte(arg))
	case arg <= math.MaxUint8:
		return append(dst, major|24, byte(arg))
	case arg <= math.MaxUint16:
		return append(dst, major|25, byte(arg>>8), byte(arg))
	case arg <= math.MaxUint32:
		return appendUint(append(dst, major|26), arg, 4)
	}
	return appendUint(append(dst, major|27), arg, 8)
}

// appendUint appends the last size bytes of u, most significant first. The
// standard library's encoding/binary would bring reflect into every guest.
func appendUint(dst []byte, u uint64, size int) []byte {
	for shift := 8 * (size - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(u>>shift))
	}
	return dst
}

// toHalf returns the half-precision bits of f and whether they are exact.
func toHalf(f float32) (uint16, bool) {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	exp := int(bits>>23&0xff) - 127
	frac := bits & (1<<23 - 1)
	switch {
	case bits&^(1<<31) == 0:
		return sign, true
	case exp >= -14 && exp <= 15: // normal in both
		return sign | uint16(exp+15)<<10 | uint16(frac>>13), frac&(1<<13-1) == 0
	case exp >= -24 && exp < -14: // subnormal as a half
		shift := uint(-exp - 1) // 14 at 2^-15 up to 23 at 2^-24
		frac |= 1 << 23
		return sign | uint16(frac>>shift), frac&(1<<shift-1) == 0
	}
	return 0, false
}

// fromHalf returns the value of half-precision bits.
func fromHalf(h uint16) float64 {
	exp, frac := int(h>>10&0x1f), float64(h&0x3ff)
	var f float64
	switch exp {
	case 0:
		f = math.Ldexp(frac, -24)
	case 31:
		f = math.Inf(1)
		if frac != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(1024+frac, exp-25)
	}
	if h&0x8000 != 0 {
		return math.Copysign(f, -1)
	}
	return f
}
