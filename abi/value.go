package abi

import (
	"math"
	"slices"
	"strconv"
)

// Type is the kind of a Value.
type Type uint8

// The types of values that cross the boundary.
const (
	TypeNull Type = iota
	TypeBool
	TypeInt // 64 bits; AsUint reads what does not fit int64
	TypeFloat
	TypeText
	TypeBytes
	TypeArray
	TypeMap

	// TypeNone is what Peek reports at the end of the data, or before an item
	// that the contract refuses. No Value has it.
	TypeNone Type = 255
)

// typeName is what error messages call a type.
var typeName = [...]string{"null", "a boolean", "an integer", "a number with a fraction", "a string", "a byte string", "an array", "an object"}

// String returns the type as a noun with its article: "an integer".
func (t Type) String() string {
	if int(t) < len(typeName) {
		return typeName[t]
	}
	return "nothing"
}

// Value is one decoded CBOR or JSON value. The zero Value is null. Values are
// immutable once built and safe to share.
type Value struct {
	typ  Type
	neg  bool   // TypeInt: the value is -1-num
	num  uint64 // TypeBool 0/1, TypeInt magnitude as in CBOR, TypeFloat bits
	str  string // TypeText, TypeBytes; TypeFloat: the JSON spelling if AppendJSON would write another
	list []Value
	keys []string // TypeMap: keys[i] names list[i], in deterministic order
}

// Null returns null, the zero Value.
func Null() Value { return Value{} }

// Bool returns a boolean.
func Bool(b bool) Value {
	v := Value{typ: TypeBool}
	if b {
		v.num = 1
	}
	return v
}

// Int returns an integer.
func Int(i int64) Value {
	if i < 0 {
		return Value{typ: TypeInt, neg: true, num: ^uint64(i)}
	}
	return Value{typ: TypeInt, num: uint64(i)}
}

// Uint returns an integer. Uint(1) and Int(1) are the same value.
func Uint(u uint64) Value { return Value{typ: TypeInt, num: u} }

// Float returns a floating-point number. Float(1) and Int(1) differ. What is
// not finite becomes the text that the wire uses for it ("NaN", "Infinity",
// "-Infinity"), because the contract has no such numbers.
func Float(f float64) Value {
	if s := notFinite(f); s != "" {
		return Text(s)
	}
	return Value{typ: TypeFloat, num: math.Float64bits(f)}
}

// Text returns a string. It must be valid UTF-8.
func Text(s string) Value { return Value{typ: TypeText, str: s} }

// Bytes returns a byte string; b is copied.
func Bytes(b []byte) Value { return Value{typ: TypeBytes, str: string(b)} }

// Array returns an array. It keeps items: the caller must not change it again.
func Array(items ...Value) Value { return Value{typ: TypeArray, list: items} }

// Map returns a map of keys[i] to values[i], in deterministic order. Of equal
// keys the last counts. Both slices are copied; values that have no key, and
// keys that have no value, are left out.
func Map(keys []string, values []Value) Value {
	n := min(len(keys), len(values))
	if n > 0 && ascend(keys[:n]) { // as most are: those of one key are
		return Value{typ: TypeMap, list: slices.Clone(values[:n]), keys: slices.Clone(keys[:n])}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareKeys(keys[a], keys[b]) })
	v := Value{typ: TypeMap, list: make([]Value, 0, n), keys: make([]string, 0, n)}
	for _, i := range order {
		if last := len(v.keys) - 1; last >= 0 && v.keys[last] == keys[i] {
			v.list[last] = values[i]
			continue
		}
		v.keys, v.list = append(v.keys, keys[i]), append(v.list, values[i])
	}
	return v
}

// ascend reports whether each key comes after the one before it.
func ascend(keys []string) bool {
	for i := range len(keys) - 1 {
		if compareKeys(keys[i], keys[i+1]) >= 0 {
			return false
		}
	}
	return true
}

// Type returns the kind of the value.
func (v Value) Type() Type { return v.typ }

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return v.typ == TypeNull }

// AsBool returns a boolean and whether v is one.
func (v Value) AsBool() (b, ok bool) { return v.num == 1, v.typ == TypeBool }

// AsInt returns an integer and whether v is one that fits int64.
func (v Value) AsInt() (int64, bool) {
	if v.typ != TypeInt || v.num > math.MaxInt64 {
		return 0, false
	}
	if v.neg {
		return ^int64(v.num), true
	}
	return int64(v.num), true
}

// AsUint returns an integer and whether v is one that fits uint64.
func (v Value) AsUint() (uint64, bool) {
	if v.typ != TypeInt || v.neg {
		return 0, false
	}
	return v.num, true
}

// AsFloat returns a float and whether v is one. An integer is not.
func (v Value) AsFloat() (float64, bool) {
	if v.typ != TypeFloat {
		return 0, false
	}
	return math.Float64frombits(v.num), true
}

// AsText returns a string and whether v is one.
func (v Value) AsText() (string, bool) {
	if v.typ != TypeText {
		return "", false
	}
	return v.str, true
}

// AsBytes returns a copy of a byte string and whether v is one.
func (v Value) AsBytes() ([]byte, bool) {
	if v.typ != TypeBytes {
		return nil, false
	}
	return []byte(v.str), true
}

// Len returns the number of items of an array, of entries of a map, or of bytes
// of a text or byte string; else 0.
func (v Value) Len() int {
	switch v.typ {
	case TypeArray, TypeMap:
		return len(v.list)
	case TypeText, TypeBytes:
		return len(v.str)
	}
	return 0
}

// At returns item i of an array, or the value of entry i of a map, and null
// when there is none.
func (v Value) At(i int) Value {
	if i < 0 || i >= len(v.list) {
		return Value{}
	}
	return v.list[i]
}

// Key returns the key of entry i of a map, or "".
func (v Value) Key(i int) string {
	if i < 0 || i >= len(v.keys) {
		return ""
	}
	return v.keys[i]
}

// Get returns a map's value for key and whether it has one.
func (v Value) Get(key string) (Value, bool) {
	i, ok := slices.BinarySearchFunc(v.keys, key, compareKeys)
	if !ok {
		return Value{}, false
	}
	return v.list[i], true
}

// Equal reports whether both are the same value: what encodes equal, and
// nothing else. Int(1) and Float(1) differ, and so do Float(0) and Float(-0).
func (v Value) Equal(w Value) bool {
	if v.typ != w.typ || v.neg != w.neg || v.num != w.num {
		return false
	}
	// The spelling of a float is not part of its value.
	if v.typ != TypeFloat && v.str != w.str {
		return false
	}
	return slices.Equal(v.keys, w.keys) && slices.EqualFunc(v.list, w.list, Value.Equal)
}

// unspelt is the value without the spelling of its numbers: what comes back from its
// encoding, so that whoever shares a key is given the same (W4).
func (v Value) unspelt() Value {
	switch {
	case v.typ == TypeFloat:
		v.str = ""
	case slices.ContainsFunc(v.list, Value.isSpelt):
		v.list = slices.Clone(v.list)
		for i := range v.list {
			v.list[i] = v.list[i].unspelt()
		}
	}
	return v
}

// isSpelt reports whether a number in the value keeps its spelling.
func (v Value) isSpelt() bool {
	return v.typ == TypeFloat && v.str != "" || slices.ContainsFunc(v.list, Value.isSpelt)
}

// String returns the value as JSON, with byte strings as base64. It is for logs
// and messages; use AppendJSON for the wire.
func (v Value) String() string { return string(v.AppendJSON(nil)) }

// compareKeys is the order of map keys in deterministic CBOR: bytewise by their
// encodings, which for texts means shorter ones first.
func compareKeys(a, b string) int {
	switch {
	case len(a) != len(b):
		return len(a) - len(b)
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// notFinite returns the wire's text for a float that no number can carry, or "".
func notFinite(f float64) string {
	switch {
	case f != f:
		return "NaN"
	case f > math.MaxFloat64:
		return "Infinity"
	case f < -math.MaxFloat64:
		return "-Infinity"
	}
	return ""
}

// intText returns the digits of an integer value.
func (v Value) intText() string {
	if !v.neg {
		return strconv.FormatUint(v.num, 10)
	}
	if v.num == math.MaxUint64 {
		return "-18446744073709551616"
	}
	return "-" + strconv.FormatUint(v.num+1, 10)
}
