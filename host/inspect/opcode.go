package inspect

// opcode is an instruction's number. Those behind a prefix have the prefix in the
// high byte.
type opcode uint16

// Prefixes.
const (
	opMisc opcode = 0xfc00
	opSIMD opcode = 0xfd00
)

// The instructions that somebody here knows by name.
const (
	opUnreachable  opcode = 0x00
	opNop          opcode = 0x01
	opBlock        opcode = 0x02
	opLoop         opcode = 0x03
	opIf           opcode = 0x04
	opElse         opcode = 0x05
	opEnd          opcode = 0x0b
	opBr           opcode = 0x0c
	opBrIf         opcode = 0x0d
	opBrTable      opcode = 0x0e
	opReturn       opcode = 0x0f
	opCall         opcode = 0x10
	opCallIndirect opcode = 0x11
	opDrop         opcode = 0x1a
	opSelect       opcode = 0x1b
	opSelectTyped  opcode = 0x1c
	opLocalGet     opcode = 0x20
	opLocalSet     opcode = 0x21
	opLocalTee     opcode = 0x22
	opGlobalGet    opcode = 0x23
	opGlobalSet    opcode = 0x24
	opTableGet     opcode = 0x25
	opTableSet     opcode = 0x26
	opMemorySize   opcode = 0x3f
	opMemoryGrow   opcode = 0x40
	opI32Const     opcode = 0x41
	opI64Const     opcode = 0x42
	opF32Const     opcode = 0x43
	opF64Const     opcode = 0x44
	opRefNull      opcode = 0xd0
	opRefIsNull    opcode = 0xd1
	opRefFunc      opcode = 0xd2
	// Of later versions, to be refused by name.
	opReturnCall         opcode = 0x12
	opReturnCallIndirect opcode = 0x13
	opTryTable           opcode = 0x1f
	opGC                 opcode = 0xfb
	opAtomic             opcode = 0xfe

	opMemoryInit = opMisc | 8
	opDataDrop   = opMisc | 9
	opMemoryCopy = opMisc | 10
	opMemoryFill = opMisc | 11
	opTableInit  = opMisc | 12
	opElemDrop   = opMisc | 13
	opTableCopy  = opMisc | 14
	opTableGrow  = opMisc | 15
	opTableSize  = opMisc | 16
	opTableFill  = opMisc | 17
	opV128Const  = opSIMD | 12
)

// immediate says what follows an instruction's number.
type immediate uint8

const (
	immUnknown immediate = iota // no such instruction
	immNone
	immBlock // a block type
	immIndex // one index: a, of the space that the instruction names
	immTwo   // two indices: a and b
	immTable // the labels of br_table
	immTypes // the types of a select
	immMemory
	immI32
	immI64
	imm4    // 4 bytes
	imm8    // 8 bytes
	imm16   // 16 bytes
	immLane // a lane
	immMemoryLane
	immZero // the byte 0: the only memory
	immHeapType
)

// immediates of the instructions of one byte.
var immediates = func() (t [256]immediate) {
	for _, r := range []struct {
		from, to int
		imm      immediate
	}{
		{0x00, 0x01, immNone},
		{0x02, 0x04, immBlock},
		{0x05, 0x05, immNone},
		{0x0b, 0x0b, immNone},
		{0x0c, 0x0d, immIndex},
		{0x0e, 0x0e, immTable},
		{0x0f, 0x0f, immNone},
		{0x10, 0x10, immIndex},
		{0x11, 0x11, immTwo},
		{0x1a, 0x1b, immNone},
		{0x1c, 0x1c, immTypes},
		{0x20, 0x26, immIndex},
		{0x28, 0x3e, immMemory},
		{0x3f, 0x40, immZero},
		{0x41, 0x41, immI32},
		{0x42, 0x42, immI64},
		{0x43, 0x43, imm4},
		{0x44, 0x44, imm8},
		{0x45, 0xc4, immNone},
		{0xd0, 0xd0, immHeapType},
		{0xd1, 0xd1, immNone},
		{0xd2, 0xd2, immIndex},
	} {
		for i := r.from; i <= r.to; i++ {
			t[i] = r.imm
		}
	}
	return t
}()

// immediateOf returns what follows an instruction.
func immediateOf(op opcode) immediate {
	switch op & 0xff00 {
	case 0:
		return immediates[op]
	case opMisc:
		switch sub := op & 0xff; {
		case sub <= 7:
			return immNone
		case sub == 8, sub == 12, sub == 14:
			return immTwo
		case sub == 9, sub == 13, sub >= 15 && sub <= 17:
			return immIndex
		case sub == 10:
			return immTwo // two memories, both 0
		case sub == 11:
			return immIndex
		}
	case opSIMD:
		switch sub := op & 0xff; {
		case sub <= 11, sub == 92, sub == 93:
			return immMemory
		case sub == 12, sub == 13:
			return imm16
		case sub >= 21 && sub <= 34:
			return immLane
		case sub >= 84 && sub <= 91:
			return immMemoryLane
		case simdHoles[sub]:
			return immUnknown
		default:
			return immNone
		}
	}
	return immUnknown
}

// simdHoles are the numbers that no vector instruction of WebAssembly 2.0 has.
var simdHoles = [256]bool{
	0x9a: true, 0xa2: true, 0xa5: true, 0xa6: true, 0xaf: true, 0xb0: true, 0xb2: true, 0xb3: true, 0xb4: true, 0xbb: true,
	0xc2: true, 0xc5: true, 0xc6: true, 0xcf: true, 0xd0: true, 0xd2: true, 0xd3: true, 0xd4: true, 0xe2: true, 0xee: true,
}
