package inspect

import (
	"errors"
	"fmt"
)

// instr is one instruction of a body.
type instr struct {
	op       opcode
	at, end  int    // in the body's code
	a, b     uint32 // indices, labels; for memory, alignment
	block    blockType
	labels   []uint32 // of br_table, the default last; for the time of the visit
	depth    int      // blocks around it, the function's own not counted
	offset   int      // where the immediates begin
	unopened bool     // an end that closes the function
}

// blockType is what a block takes and leaves.
type blockType struct {
	params, results []byte
}

// walk reads a body instruction by instruction, and refuses what names anything
// that the module itself does not have (G2). visit may keep nothing of the instr.
func (s *Shape) walk(fn int, visit func(*instr) error) error {
	b := &s.bodies[fn]
	typ := s.types[s.funcs[fn]]
	locals := uint32(len(typ.params)) + b.count
	c := &cursor{data: b.code}
	var in instr
	labels := make([]uint32, 0, 16)
	// opened holds, for each block, whether it is an if without else so far.
	opened := make([]bool, 0, 16)
	for {
		in = instr{at: c.at, depth: len(opened)}
		op, err := readOpcode(c)
		if err == nil {
			in.op, in.offset = op, c.at
			err = s.immediates(c, &in, &labels)
		}
		if err == nil {
			err = c.err
		}
		if err != nil {
			return s.inFunction(fn, err)
		}
		in.end = c.at
		switch op {
		case opBlock, opLoop:
			opened = append(opened, false)
		case opIf:
			opened = append(opened, true)
		case opElse:
			if len(opened) == 0 || !opened[len(opened)-1] {
				return s.inFunction(fn, errors.New("an else without an if"))
			}
			opened[len(opened)-1] = false
			in.depth--
		case opEnd:
			if len(opened) > 0 {
				opened = opened[:len(opened)-1]
				in.depth--
				break
			}
			in.unopened = true
			if err := visit(&in); err != nil {
				return err
			}
			if c.left() > 0 {
				return s.inFunction(fn, errors.New("it goes on after its end"))
			}
			return nil
		}
		if err := s.checkIndices(&in, locals); err != nil {
			return s.inFunction(fn, err)
		}
		if err := visit(&in); err != nil {
			return err
		}
	}
}

// inFunction says where an error is: by the number that tools show, which counts
// imports.
func (s *Shape) inFunction(fn int, err error) error {
	fn += len(s.imports)
	var module *ModuleError
	if errors.As(err, &module) {
		return &ModuleError{What: fmt.Sprintf("function %d of %s", fn, module.What), Limit: module.Limit}
	}
	return fmt.Errorf("function %d: %w", fn, err)
}

// readOpcode reads an instruction's number.
func readOpcode(c *cursor) (opcode, error) {
	op := opcode(c.byte())
	switch op {
	case opMisc >> 8:
		sub := c.u32()
		if sub > 0xff {
			return 0, unknownInstruction(op, sub)
		}
		return op<<8 | opcode(sub), nil
	case opSIMD >> 8:
		// wazero looks at the first byte only, and takes the second of a number over
		// 127, which is 1, for a nop. In any longer form it would read other
		// instructions than we do, which nobody has metered (G2).
		before := c.at
		sub := c.u32()
		if sub > 0xff {
			return 0, unknownInstruction(op, sub)
		}
		if n := c.at - before; c.err == nil && (n > 2 || n == 2 && sub < 0x80) {
			return 0, errors.New("a vector instruction's number is not in its shortest form")
		}
		return op<<8 | opcode(sub), nil
	case opAtomic, opGC, opReturnCall, opReturnCallIndirect, opTryTable:
		return 0, unknownInstruction(op, 0)
	}
	return op, nil
}

// unknownInstruction refuses what is in no WebAssembly 2.0, and says how to build
// without it.
func unknownInstruction(op opcode, sub uint32) error {
	what, instead := fmt.Sprintf("%#x", uint16(op)), "build it without newer features"
	switch {
	case op == opAtomic:
		what, instead = "of threads (atomics)", "build it without threads"
	case op == opGC:
		what, instead = "of garbage collection", "build it with a compiler that brings its own collector"
	case op == opReturnCall || op == opReturnCallIndirect:
		what, instead = "for tail calls", "build it without them"
	case op == opTryTable || op >= 0x06 && op <= 0x0a:
		what, instead = "for exceptions", "build it without exception handling"
	case sub > 0xff && op == opSIMD>>8:
		what, instead = "of relaxed vectors", "build it without relaxed-simd"
	}
	return refuseModule("the module uses an instruction %s, which is not in WebAssembly 2.0: %s", what, instead)
}

// immediates reads what follows the instruction's number.
func (s *Shape) immediates(c *cursor, in *instr, labels *[]uint32) error {
	switch immediateOf(in.op) {
	case immUnknown:
		if c.err != nil {
			return c.err
		}
		return unknownInstruction(in.op, 0)
	case immNone:
	case immBlock:
		var err error
		if in.block, err = s.readBlockType(c); err != nil {
			return err
		}
	case immIndex:
		in.a = c.u32()
	case immTwo:
		in.a, in.b = c.u32(), c.u32()
	case immTable:
		n := c.count(1)
		*labels = (*labels)[:0]
		for range n {
			*labels = append(*labels, c.u32())
		}
		*labels = append(*labels, c.u32())
		in.labels = *labels
	case immTypes:
		if n := c.count(1); n != 1 {
			return fmt.Errorf("a select of %d types", n)
		}
		if t := c.byte(); !isValueType(t) {
			return fmt.Errorf("a select of type %#x", t)
		}
	case immMemory:
		in.a = c.u32()
		c.u32()
	case immMemoryLane:
		in.a = c.u32()
		c.u32()
		c.byte()
	case immI32:
		c.signed(32)
	case immI64:
		c.signed(64)
	case imm4:
		c.bytes(4)
	case imm8:
		c.bytes(8)
	case imm16:
		c.bytes(16)
	case immLane:
		c.byte()
	case immZero:
		if c.byte() != 0 {
			return errors.New("it names a second memory")
		}
	case immHeapType:
		if t := c.byte(); !isReference(t) {
			return fmt.Errorf("a reference of type %#x", t)
		}
	}
	return nil
}

// readBlockType reads the type of a block: none, a value or a function's.
func (s *Shape) readBlockType(c *cursor) (blockType, error) {
	start := c.at
	v := c.signed(33)
	switch {
	case c.err != nil:
		return blockType{}, c.err
	case v >= 0:
		if err := below("a block is of type", uint32(v), uint32(len(s.types))); err != nil {
			return blockType{}, err
		}
		return blockType(s.types[v]), nil
	case c.at == start+1 && c.data[start] == 0x40:
		return blockType{}, nil
	case c.at == start+1 && isValueType(c.data[start]):
		return blockType{results: c.data[start:c.at]}, nil
	}
	return blockType{}, fmt.Errorf("a block is of type %d", v)
}

// checkIndices refuses what names something that there is not.
func (s *Shape) checkIndices(in *instr, locals uint32) error {
	switch in.op {
	case opBr, opBrIf:
		return below("a branch leaves block", in.a, uint32(in.depth)+1)
	case opBrTable:
		for _, l := range in.labels {
			if err := below("a branch leaves block", l, uint32(in.depth)+1); err != nil {
				return err
			}
		}
	case opCall, opRefFunc:
		return below("it names function", in.a, s.functions())
	case opCallIndirect:
		return errors.Join(
			below("it calls a function of type", in.a, uint32(len(s.types))),
			below("it calls by table", in.b, uint32(len(s.tables))))
	case opLocalGet, opLocalSet, opLocalTee:
		return below("it names local", in.a, locals)
	case opGlobalGet, opGlobalSet:
		return below("it names global", in.a, uint32(len(s.globals)))
	case opTableGet, opTableSet, opTableGrow, opTableSize, opTableFill:
		s.noteState(in.op)
		return below("it names table", in.a, uint32(len(s.tables)))
	case opTableInit:
		s.noteState(in.op)
		return errors.Join(
			below("it names elements", in.a, uint32(len(s.elems))),
			below("it names table", in.b, uint32(len(s.tables))))
	case opTableCopy:
		s.noteState(in.op)
		return errors.Join(
			below("it names table", in.a, uint32(len(s.tables))),
			below("it names table", in.b, uint32(len(s.tables))))
	case opElemDrop:
		s.noteState(in.op)
		return below("it names elements", in.a, uint32(len(s.elems)))
	case opMemoryInit:
		return errors.Join(
			below("it names data", in.a, uint32(max(0, s.dataCount))),
			below("it names memory", in.b, uint32(len(s.memories))))
	case opDataDrop:
		s.noteState(in.op)
		return below("it names data", in.a, uint32(max(0, s.dataCount)))
	case opMemoryCopy:
		return errors.Join(
			below("it names memory", in.a, uint32(len(s.memories))),
			below("it names memory", in.b, uint32(len(s.memories))))
	case opMemoryFill:
		return below("it names memory", in.a, uint32(len(s.memories)))
	case opMemorySize, opMemoryGrow:
		return below("it names memory", 0, uint32(len(s.memories)))
	}
	switch immediateOf(in.op) {
	case immMemory, immMemoryLane:
		return below("it names memory", 0, uint32(len(s.memories)))
	}
	return nil
}

// noteState remembers what changes state outside memory and globals (G5).
func (s *Shape) noteState(op opcode) {
	if s.fixed != "" {
		return
	}
	switch op {
	case opTableSet:
		s.fixed = "table.set"
	case opTableGrow:
		s.fixed = "table.grow"
	case opTableFill:
		s.fixed = "table.fill"
	case opTableInit:
		s.fixed = "table.init"
	case opTableCopy:
		s.fixed = "table.copy"
	case opElemDrop:
		s.fixed = "elem.drop"
	case opDataDrop:
		s.fixed = "data.drop"
	}
}
