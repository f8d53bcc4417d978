package inspect

// Fuel is counted in units of about a nanosecond of the slowest that an
// instruction takes on a machine of today, caches missed now and then. The
// figures are upper bounds in a mix, not averages: what matters is that the time
// between two ticks has a bound (G3). BenchmarkSlice in host/wasm measures them.
const (
	costLoop     = 2       // a pass of a loop's header, with its check
	costCall     = 8       // and the callee's own
	costHost     = 100     // a host function, without what it does
	costIndirect = 16      // a call by table, and what a small callee may not charge
	costBranches = 4       // br_table
	costGrow     = 5_000   // memory.grow asks the host for memory
	costTable    = 10_000  // an instruction on a whole table, which has 65 536 entries at most
	maxCost      = 1 << 24 // of a region: 128 KiB of code cost less
)

// bulkShift makes units of the bytes that memory.fill, copy and init touch.
const bulkShift = 3

// costs of the instructions of one byte.
var costs = func() (t [256]uint32) {
	for i := range t {
		t[i] = 1
	}
	for _, r := range []struct {
		from, to int
		cost     uint32
	}{
		{0x01, 0x03, 0},
		{0x05, 0x05, 0},
		{0x0b, 0x0b, 0},
		{0x0e, 0x0e, costBranches},
		{0x10, 0x10, costCall},
		{0x11, 0x11, costCall + costIndirect},
		{0x23, 0x24, 2},
		{0x25, 0x26, 4},
		{0x28, 0x3e, 4}, // a cache line may be far
		{0x6d, 0x70, 8},
		{0x7f, 0x82, 12}, // division
		{0x8d, 0x91, 4},
		{0x95, 0x98, 6}, // float: rounding, square root, division, min, max
		{0x9b, 0x9f, 4},
		{0xa3, 0xa6, 6},
		{0xa8, 0xab, 4},
		{0xae, 0xbb, 4}, // to and from floats
	} {
		for i := r.from; i <= r.to; i++ {
			t[i] = r.cost
		}
	}
	return t
}()

// costOf returns what one execution of an instruction costs, without what a
// callee costs and without the bytes that a bulk instruction touches.
func costOf(op opcode) uint32 {
	switch op & 0xff00 {
	case 0:
		return costs[op]
	case opMisc:
		if op < opMemoryInit {
			return 4
		}
		return costCall
	}
	switch sub := op & 0xff; {
	case sub <= 11, sub >= 84 && sub <= 93:
		return 4
	case sub == 0xe3, sub == 0xe7, sub == 0xef, sub == 0xf3: // square root, division
		return 16
	case sub == 0x12, sub == 0x62, sub == 0x6d, sub == 0x8d, sub == 0xcd, sub == 0xd5: // many machine instructions each
		return 8
	}
	return 3
}

// unary are the vector instructions that take one value and leave one.
var unary = func() (t [256]bool) {
	for _, r := range [][2]int{
		{0, 10},
		{15, 20},
		{77, 77},
		{83, 83},
		{92, 100},
		{103, 106},
		{0x74, 0x75},
		{0x7a, 0x7a},
		{0x7c, 0x81},
		{0x83, 0x84},
		{0x87, 0x8a},
		{0x94, 0x94},
		{0xa0, 0xa4},
		{0xa7, 0xaa},
		{0xc0, 0xc4},
		{0xc7, 0xca},
		{0xe0, 0xe3},
		{0xec, 0xef},
		{0xf8, 0xff},
		{21, 22},
		{24, 25},
		{27, 27},
		{29, 29},
		{31, 31},
		{33, 33},
	} {
		for i := r[0]; i <= r[1]; i++ {
			t[i] = true
		}
	}
	return t
}()

// effect returns by how much an instruction changes the height of the operand
// stack. Control instructions and calls are height's own.
func effect(op opcode) int {
	switch op & 0xff00 {
	case opMisc:
		switch op {
		case opMemoryInit, opMemoryCopy, opMemoryFill, opTableInit, opTableCopy, opTableFill:
			return -3
		case opTableGrow:
			return -1
		case opTableSize:
			return 1
		}
		return 0
	case opSIMD:
		switch sub := op & 0xff; {
		case sub == 12:
			return 1
		case sub == 11, sub == 82, sub >= 88 && sub <= 91:
			return -2
		case unary[sub]:
			return 0
		}
		return -1
	}
	switch {
	case op == opLocalGet, op == opGlobalGet, op == opMemorySize, op >= opI32Const && op <= opF64Const, op == opRefNull, op == opRefFunc:
		return 1
	case op == opDrop, op == opLocalSet, op == opGlobalSet:
		return -1
	case op == opSelect, op == opSelectTyped, op == opTableSet, op >= 0x36 && op <= 0x3e:
		return -2
	case op == 0x45, op == 0x50, op >= 0x67 && op <= 0x69, op >= 0x79 && op <= 0x7b, op >= 0x8b && op <= 0x91, op >= 0x99 && op <= 0x9f, op >= 0xa7:
		return 0
	case op >= 0x46 && op <= 0xa6:
		return -1
	}
	return 0
}

// height follows the height of the operand stack, to know its maximum. After an
// unconditional branch the truth is unknown and without meaning; it goes on from
// the height of the block.
type height struct {
	now, most int
	blocks    []heightBlock
}

type heightBlock struct{ base, params, results int }

func (h *height) add(n int) {
	h.now = max(0, h.now+n)
	h.most = max(h.most, h.now)
}

// see takes an instruction in.
func (h *height) see(s *Shape, in *instr) {
	switch in.op {
	case opBlock, opLoop, opIf:
		if in.op == opIf {
			h.add(-1)
		}
		params := len(in.block.params)
		h.blocks = append(h.blocks, heightBlock{max(0, h.now-params), params, len(in.block.results)})
	case opElse:
		h.now = h.base() + h.top().params
	case opEnd:
		if len(h.blocks) > 0 {
			b := h.top()
			h.blocks = h.blocks[:len(h.blocks)-1]
			h.now = b.base
			h.add(b.results)
		}
	case opBr, opBrTable, opReturn, opUnreachable:
		h.now = h.base()
	case opBrIf:
		h.add(-1)
	case opCall:
		t := s.typeOf(in.a)
		h.add(-len(t.params))
		h.add(len(t.results))
	case opCallIndirect:
		t := &s.types[in.a]
		h.add(-1 - len(t.params))
		h.add(len(t.results))
	default:
		h.add(effect(in.op))
	}
}

func (h *height) top() heightBlock {
	if len(h.blocks) == 0 {
		return heightBlock{}
	}
	return h.blocks[len(h.blocks)-1]
}

func (h *height) base() int { return h.top().base }
