package inspect

import (
	"errors"
	"fmt"
)

func (s *Shape) readTypes(c *cursor) error {
	n := c.count(3)
	s.types = make([]funcType, 0, n)
	for range n {
		if form := c.byte(); form != 0x60 && c.err == nil {
			return fmt.Errorf("type %d has the form %#x: only functions are known", len(s.types), form)
		}
		t := funcType{params: c.bytes(c.u32()), results: c.bytes(c.u32())}
		for _, v := range append(t.params[:len(t.params):len(t.params)], t.results...) {
			if !isValueType(v) {
				return fmt.Errorf("type %d has a value of type %#x", len(s.types), v)
			}
		}
		if c.err != nil {
			return c.err
		}
		s.types = append(s.types, t)
	}
	return nil
}

func (s *Shape) readImports(c *cursor) error {
	for range c.count(4) {
		i := imported{module: c.name(), name: c.name()}
		kind := c.byte()
		if c.err != nil {
			return c.err
		}
		switch kind {
		case kindFunc:
		case kindMemory:
			return fmt.Errorf("it imports its memory (%s.%s): let it define and export its own", i.module, i.name)
		default:
			return fmt.Errorf("it imports %s.%s, which is no function: a plugin imports functions only", i.module, i.name)
		}
		i.typ = c.u32()
		if err := below("an import is of type", i.typ, uint32(len(s.types))); err != nil {
			return err
		}
		s.imports = append(s.imports, i)
	}
	return nil
}

func (s *Shape) readFunctions(c *cursor) error {
	n := c.count(1)
	s.funcs = make([]uint32, 0, n)
	for range n {
		t := c.u32()
		if err := below("a function is of type", t, uint32(len(s.types))); err != nil {
			return err
		}
		s.funcs = append(s.funcs, t)
	}
	return nil
}

func readLimits(c *cursor) (limits, error) {
	flags := c.byte()
	if flags > 1 {
		return limits{}, fmt.Errorf("a table or memory has the flags %#x: sharing and 64-bit memories are not WebAssembly 2.0", flags)
	}
	l := limits{min: c.u32(), bounded: flags == 1}
	if l.bounded {
		if l.max = c.u32(); l.max < l.min {
			return limits{}, fmt.Errorf("a table or memory has at least %d and at most %d", l.min, l.max)
		}
	}
	return l, nil
}

func (s *Shape) readTables(c *cursor) error {
	for range c.count(3) {
		kind := c.byte()
		if !isReference(kind) {
			return fmt.Errorf("a table holds values of type %#x", kind)
		}
		l, err := readLimits(c)
		if err != nil {
			return err
		}
		l.kind = kind
		s.tables = append(s.tables, l)
	}
	return nil
}

func (s *Shape) readMemories(c *cursor) error {
	for range c.count(2) {
		l, err := readLimits(c)
		if err != nil {
			return err
		}
		s.memories = append(s.memories, l)
	}
	if len(s.memories) > 1 {
		return errors.New("it has several memories: weir takes one")
	}
	return nil
}

func (s *Shape) readGlobals(c *cursor) error {
	n := c.count(4)
	s.globals = make([]global, 0, n)
	for range n {
		g := global{typ: c.byte()}
		mutable := c.byte()
		if !isValueType(g.typ) || mutable > 1 {
			return fmt.Errorf("global %d has the type %#x %#x", len(s.globals), g.typ, mutable)
		}
		g.mutable = mutable == 1
		if g.mutable && (g.typ == typeV128 || isReference(g.typ)) {
			return fmt.Errorf("global %d is mutable and no number: weir could not put it back after a call, so keep it in memory", len(s.globals))
		}
		var err error
		if g.init, err = s.readConstant(c); err != nil {
			return fmt.Errorf("global %d: %w", len(s.globals), err)
		}
		s.globals = append(s.globals, g)
	}
	return nil
}

// readConstant reads an initial value.
func (s *Shape) readConstant(c *cursor) (constant, error) {
	start := c.at
	var k constant
	switch op := opcode(c.byte()); op {
	case opI32Const:
		c.signed(32)
	case opI64Const:
		c.signed(64)
	case opF32Const:
		c.bytes(4)
	case opF64Const:
		c.bytes(8)
	case opRefNull:
		if t := c.byte(); !isReference(t) {
			return k, fmt.Errorf("a reference of type %#x", t)
		}
	case opRefFunc:
		k.refs, k.fn = true, c.u32()
		if err := below("it refers to function", k.fn, s.functions()); err != nil {
			return k, err
		}
	case opSIMD >> 8:
		if c.u32() != uint32(opV128Const&0xff) {
			return k, errors.New("an initial value is no constant")
		}
		c.bytes(16)
	case opGlobalGet:
		// Only of an imported one, and there are none.
		return k, errors.New("an initial value is that of another global: only imported ones can be, and a plugin imports none")
	default:
		return k, fmt.Errorf("an initial value has the instruction %#x", op)
	}
	k.code = c.data[start:c.at]
	if c.byte() != byte(opEnd) && c.err == nil {
		return k, errors.New("an initial value is more than one constant")
	}
	return k, c.err
}

func (s *Shape) readExports(c *cursor) error {
	seen := make(map[string]bool)
	for range c.count(3) {
		e := export{name: c.name(), kind: c.byte(), index: c.u32()}
		if c.err != nil {
			return c.err
		}
		n := uint32(0)
		switch e.kind {
		case kindFunc:
			n = s.functions()
		case kindTable:
			n = uint32(len(s.tables))
		case kindMemory:
			n = uint32(len(s.memories))
		case kindGlobal:
			n = uint32(len(s.globals))
		}
		if e.index >= n {
			return fmt.Errorf("export %.100q names what there is not (kind %d, number %d)", e.name, e.kind, e.index)
		}
		if seen[e.name] {
			return fmt.Errorf("export %.100q comes twice", e.name)
		}
		seen[e.name] = true
		s.exports = append(s.exports, e)
	}
	return nil
}

// Flags of a segment of elements.
const (
	elemPassive  = 1 // or declarative, with elemExplicit
	elemExplicit = 2 // names its table, or is declarative
	elemExprs    = 4
)

func (s *Shape) readElems(c *cursor) error {
	for range c.count(2) {
		e := elem{kind: typeFuncRef}
		flags := c.u32()
		if flags > 7 {
			return fmt.Errorf("elements have the flags %#x", flags)
		}
		e.mode = byte(flags)
		if e.mode&elemPassive == 0 {
			if e.mode&elemExplicit != 0 {
				e.table = c.u32()
			}
			if err := below("elements are for table", e.table, uint32(len(s.tables))); err != nil {
				return err
			}
			var err error
			if e.at, err = s.readConstant(c); err != nil {
				return err
			}
		}
		if e.mode&(elemPassive|elemExplicit) != 0 {
			if e.kind = c.byte(); e.mode&elemExprs == 0 && e.kind != 0 || e.mode&elemExprs != 0 && !isReference(e.kind) {
				return fmt.Errorf("elements are of kind %#x", e.kind)
			}
		}
		if e.mode&elemExprs != 0 {
			for range c.count(2) {
				k, err := s.readConstant(c)
				if err != nil {
					return err
				}
				e.inits = append(e.inits, k)
			}
		} else {
			n := c.count(1)
			e.funcs = make([]uint32, 0, n)
			for range n {
				fn := c.u32()
				if err := below("elements refer to function", fn, s.functions()); err != nil {
					return err
				}
				e.funcs = append(e.funcs, fn)
			}
		}
		if c.err != nil {
			return c.err
		}
		s.elems = append(s.elems, e)
	}
	return nil
}

// maxLocals bounds the locals of a function where no limit of the gate has been
// looked at yet: a few bytes can ask for 2^32 of them.
const maxLocals = 50_000

func (s *Shape) readBodies(c *cursor) error {
	n := c.count(2)
	s.bodies = make([]body, 0, n)
	for range n {
		inner := &cursor{data: c.bytes(c.u32())}
		var b body
		for range inner.count(2) {
			run := localRun{n: inner.u32(), typ: inner.byte()}
			if !isValueType(run.typ) {
				return fmt.Errorf("body %d has a local of type %#x", len(s.bodies), run.typ)
			}
			if run.n > maxLocals-b.count {
				return fmt.Errorf("body %d has more than %d locals", len(s.bodies), maxLocals)
			}
			b.count += run.n
			b.locals = append(b.locals, run)
		}
		if inner.err == nil && inner.left() == 0 {
			inner.fail(errCut)
		}
		if err := errors.Join(c.err, inner.err); err != nil {
			return fmt.Errorf("body %d: %w", len(s.bodies), err)
		}
		b.code = inner.data[inner.at:]
		s.bodies = append(s.bodies, b)
	}
	return nil
}

func (s *Shape) readDatas(c *cursor) error {
	n := c.count(2)
	s.datas = make([]data, 0, n)
	for range n {
		var d data
		switch flags := c.u32(); flags {
		case 1:
			d.passive = true
		case 2:
			if c.u32() != 0 {
				return errors.New("data for a second memory")
			}
			fallthrough
		case 0:
			if len(s.memories) == 0 {
				return errors.New("data without a memory")
			}
			var err error
			if d.at, err = s.readConstant(c); err != nil {
				return err
			}
		default:
			return fmt.Errorf("data has the flags %#x", flags)
		}
		d.bytes = c.bytes(c.u32())
		if c.err != nil {
			return c.err
		}
		s.datas = append(s.datas, d)
	}
	return nil
}
