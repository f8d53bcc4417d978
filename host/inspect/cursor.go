package inspect

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// errCut is the end of the bytes where more were promised.
var errCut = errors.New("it ends in the middle")

// cursor reads the binary format of WebAssembly. The first error stays, and
// everything read after it is zero; whoever loops over a count looks at it.
type cursor struct {
	data []byte
	at   int
	err  error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
		c.at = len(c.data)
	}
}

// left returns how many bytes there still are.
func (c *cursor) left() int { return len(c.data) - c.at }

func (c *cursor) byte() byte {
	if c.at >= len(c.data) {
		c.fail(errCut)
		return 0
	}
	b := c.data[c.at]
	c.at++
	return b
}

// bytes returns the next n bytes, which belong to the module.
func (c *cursor) bytes(n uint32) []byte {
	if uint64(n) > uint64(c.left()) {
		c.fail(errCut)
		return nil
	}
	b := c.data[c.at : c.at+int(n)]
	c.at += int(n)
	return b
}

// u32 reads an unsigned LEB128 of at most 32 bits.
func (c *cursor) u32() uint32 {
	var v uint32
	for shift := 0; ; shift += 7 {
		b := c.byte()
		if shift == 28 && b > 0x0f {
			c.fail(errors.New("a number does not fit 32 bits"))
			return 0
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			if c.err != nil {
				return 0
			}
			return v
		}
	}
}

// signed reads a signed LEB128 of at most size bits, which are 32, 33 or 64.
func (c *cursor) signed(size int) int64 {
	var v int64
	for shift := 0; ; {
		b := c.byte()
		if shift+7 > size { // the last byte: what is over the size repeats the sign
			over := int8(b<<1) >> (size - shift)
			if b >= 0x80 || over != 0 && over != -1 {
				c.fail(fmt.Errorf("a number does not fit %d bits", size))
				return 0
			}
		}
		v |= int64(b&0x7f) << shift
		shift += 7
		if b < 0x80 {
			if shift < 64 && b&0x40 != 0 {
				v |= -1 << shift
			}
			return v
		}
		if c.err != nil {
			return 0
		}
	}
}

// count reads how many things follow, of at least size bytes each: a count that
// the rest of the bytes cannot hold is a lie, and nothing is made for it (G1).
func (c *cursor) count(size int) int {
	n := c.u32()
	if uint64(n)*uint64(size) > uint64(c.left()) {
		c.fail(fmt.Errorf("it promises %d items where %d bytes are left", n, c.left()))
		return 0
	}
	return int(n)
}

// name reads a counted string of UTF-8.
func (c *cursor) name() string {
	b := c.bytes(c.u32())
	if !utf8.Valid(b) {
		c.fail(errors.New("a name is not UTF-8"))
		return ""
	}
	return string(b)
}

// appendU32 appends an unsigned LEB128.
func appendU32(dst []byte, v uint32) []byte {
	for ; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}

// appendS64 appends a signed LEB128.
func appendS64(dst []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(dst, b)
		}
		dst = append(dst, b|0x80)
	}
}

// appendCounted appends content with its length before it.
func appendCounted(dst, content []byte) []byte {
	return append(appendU32(dst, uint32(len(content))), content...)
}
