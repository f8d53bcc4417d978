package abi

// Type is the kind of a Value.
type Type uint8

// The types of values that cross the boundary.
const (
	TypeNull Type = iota
	TypeBool
	TypeInt // 64 bits; Unsigned holds what does not fit int64
	TypeFloat
	TypeText
	TypeBytes
	TypeArray
	TypeMap
)

// Value is one decoded CBOR or JSON value. The zero Value is null. Values are
// immutable once built and safe to share.
type Value struct {
	typ  Type
	neg  bool   // TypeInt: the value is -1-num
	num  uint64 // TypeBool 0/1, TypeInt magnitude as in CBOR, TypeFloat bits
	str  string // TypeText, TypeBytes
	list []Value
	keys []string // TypeMap: keys[i] names list[i], in deterministic order
}
