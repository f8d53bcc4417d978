package js

import (
	"encoding/binary"
	"fmt"
)

// reader reads a section. After a fault it gives zeros, and failed says so.
type reader struct {
	data   []byte
	at     int
	failed bool
}

func (r *reader) done() bool { return r.failed || r.at >= len(r.data) }

func (r *reader) byte() byte {
	b := r.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (r *reader) bytes(n int) []byte {
	if r.failed || n < 0 || n > len(r.data)-r.at {
		r.failed = true
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *reader) uint() int {
	v, n := binary.Uvarint(r.data[r.at:])
	if r.failed || n <= 0 || v > 1<<31 {
		r.failed = true
		return 0
	}
	r.at += n
	return int(v)
}

func (r *reader) name() string { return string(r.bytes(r.uint())) }

func (r *reader) rest() []byte { return r.data[r.at:] }

// skip passes over numbers in LEB128, signed or not.
func (r *reader) skip(numbers int) {
	for range numbers {
		for r.byte()&0x80 != 0 { //nolint:revive // the condition reads
		}
	}
}

// Instructions that renumber treats one by one.
const (
	opCall    = 0x10
	opRefFunc = 0xd2
	opBrTable = 0x0e
	opSelectT = 0x1c
	opF32     = 0x43
	opF64     = 0x44
	opMore    = 0xfc
)

// renumber returns a function's body in which function i is number indexes[i].
func renumber(body []byte, indexes []int) ([]byte, error) {
	r := reader{data: body}
	for range r.uint() { // locals
		r.uint()
		r.byte()
	}
	out := append(make([]byte, 0, len(body)+len(body)/16), body[:r.at]...)
	for !r.done() {
		from := r.at
		op := r.byte()
		if op == opCall || op == opRefFunc {
			index := r.uint()
			if r.failed || index >= len(indexes) {
				return nil, errModule
			}
			out = appendUint(append(out, op), indexes[index])
			continue
		}
		if err := r.immediates(op); err != nil {
			return nil, err
		}
		out = append(out, body[from:r.at]...)
	}
	if r.failed {
		return nil, errModule
	}
	return out, nil
}

// immediates passes over those of an instruction of WebAssembly 2.0 without its
// vectors, which no C compiler uses unless it is told to.
func (r *reader) immediates(op byte) error {
	switch {
	case op == opBrTable:
		r.skip(r.uint() + 1)
	case op == opSelectT:
		r.bytes(r.uint())
	case op == opF32:
		r.bytes(4)
	case op == opF64:
		r.bytes(8)
	case op == opMore:
		sub := r.uint()
		counts := [...]int{8: 2, 9: 1, 10: 2, 11: 1, 12: 2, 13: 1, 14: 2, 15: 1, 16: 1, 17: 1}
		if sub >= len(counts) {
			return fmt.Errorf("unknown instruction %#x %d", op, sub)
		}
		r.skip(counts[sub])
	case op == 0x02, op == 0x03, op == 0x04, op == 0x0c, op == 0x0d, op == 0xd0, 0x20 <= op && op <= 0x26, 0x3f <= op && op <= 0x42:
		r.skip(1)
	case op == 0x11, 0x28 <= op && op <= 0x3e:
		r.skip(2)
	case op <= 0x01, op == 0x05, op == 0x0b, op == 0x0f, op == 0x1a, op == 0x1b, 0x45 <= op && op <= 0xc4, op == 0xd1:
	default:
		return fmt.Errorf("unknown instruction %#x", op)
	}
	return nil
}
