package abi

// Packed is the result of weir_describe and weir_call: a tag in bits 63-60, an
// address or a handle in bits 59-30, a length in bits 29-0. Guest memory is
// capped below 1 GiB, so 30 bits are enough for both. Bits that a tag does not
// use must be zero.
//
// For example TagValue at address 16 of length 1 is 0<<60 | 16<<30 | 1.
type Packed uint64

// Tag says what a Packed holds.
type Tag uint8

// The tags. 4 to 15 are refused.
const (
	TagValue  Tag = 0 // CBOR at address, length bytes
	TagHandle Tag = 1 // a result handle; the rows never enter the guest
	TagError  Tag = 2 // an error value (Error) at address, length bytes
	TagNone   Tag = 3 // nothing
)

const packedMask = 1<<30 - 1

// Pack builds a Packed. at is an address or a handle; both at and n must be
// below 1 GiB, higher bits are cut.
func Pack(tag Tag, at, n uint32) Packed {
	return Packed(uint64(tag)<<60 | uint64(at&packedMask)<<30 | uint64(n&packedMask))
}

// Tag returns the tag. It may be one that this version refuses.
func (p Packed) Tag() Tag { return Tag(p >> 60) }

// At returns the address or handle.
func (p Packed) At() uint32 { return uint32(p>>30) & packedMask }

// Len returns the length.
func (p Packed) Len() uint32 { return uint32(p) & packedMask }

// Valid reports whether the tag is known and the bits that it does not use are
// zero.
func (p Packed) Valid() bool {
	switch p.Tag() {
	case TagValue, TagError:
		return true
	case TagHandle:
		return p.Len() == 0
	case TagNone:
		return p.At() == 0 && p.Len() == 0
	}
	return false
}
