package inspect

import (
	"errors"
	"fmt"
)

func (s *Shape) readTypes(c *cursor) error {
	n := c.count(3)
	if err := most(n, s.limits.Types, "module_types", "types of functions", "build with less code, or split the plugin"); err != nil {
		return err
	}
	s.types = make([]funcType, 0, n)
	for range n {
		if form := c.byte(); form != 0x60 && c.err == nil {
			if form == 0x4e || form == 0x4f || form == 0x50 || form == 0x5e || form == 0x5f {
				return errReferences
			}
			return fmt.Errorf("type %d has the form %#x", len(s.types), form)
		}
		t := funcType{params: c.bytes(c.u32()), results: c.bytes(c.u32())}
		if c.err != nil {
			return c.err
		}
		for _, values := range [][]byte{t.params, t.results} {
			for _, v := range values {
				if !isValueType(v) {
					return unknownValue(v)
				}
			}
		}
		if n, limit := len(t.params), s.limits.Params; n > limit {
			return over("function_params", "the module has a function or block of %d parameters, more than the %d allowed: pass them in memory", n, limit)
		}
		if n, limit := len(t.results), s.limits.Results; n > limit {
			return over("function_results", "the module has a function or block of %d results, more than the %d allowed: return them in memory", n, limit)
		}
		s.types = append(s.types, t)
	}
	return nil
}

func (s *Shape) readImports(c *cursor) error {
	n := c.count(4)
	if err := most(n, s.limits.Imports, "module_imports", "imports", "remove those that it does not need"); err != nil {
		return err
	}
	s.imports = make([]imported, 0, n)
	for range n {
		i := imported{module: c.name(), name: c.name()}
		kind := c.byte()
		if c.err != nil {
			return c.err
		}
		switch kind {
		case kindFunc:
		case kindMemory:
			return refuseModule("the module imports its memory: let it define and export its own")
		case kindTable:
			return refuseModule("the module imports a table (%.100q.%.100q): let it define its own", i.module, i.name)
		case kindGlobal:
			return refuseModule("the module imports a global (%.100q.%.100q): let it define its own", i.module, i.name)
		case kindTag:
			return errExceptions
		default:
			return fmt.Errorf("import %d is of kind %d", len(s.imports), kind)
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
	if err := most(n, s.limits.Functions, "module_functions", "functions", "build with less code, or split the plugin"); err != nil {
		return err
	}
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
	switch {
	case c.err != nil:
		return limits{}, c.err
	case flags == 2 || flags == 3 || flags == 6 || flags == 7:
		return limits{}, refuseModule("the module has a shared memory or table: build it without threads")
	case flags == 4 || flags == 5:
		return limits{}, refuseModule("the module has a memory or table of 64-bit addresses: build it for 32 bits (wasm32)")
	case flags > 7:
		return limits{}, fmt.Errorf("the flags are %#x", flags)
	}
	l := limits{min: c.u32(), bounded: flags == 1}
	if l.bounded {
		if l.max = c.u32(); l.max < l.min {
			return limits{}, fmt.Errorf("it has at least %d and at most %d", l.min, l.max)
		}
	}
	return l, nil
}

func (s *Shape) readTables(c *cursor) error {
	n := c.count(3)
	if err := most(n, s.limits.Tables, "module_tables", "tables", "use one"); err != nil {
		return err
	}
	entries := uint64(0)
	for range n {
		kind := c.byte()
		if !isReference(kind) && c.err == nil {
			return unknownValue(kind)
		}
		l, err := readLimits(c)
		if err != nil {
			return err
		}
		if entries += uint64(l.min); entries > uint64(s.limits.TableEntries) {
			return over("table_entries", "the module has tables of more than the %d entries allowed: build it with fewer functions", s.limits.TableEntries)
		}
		l.kind = kind
		s.tables = append(s.tables, l)
	}
	return nil
}

// maxPages are all that an address of 32 bits reaches.
const maxPages = 1 << 16

func (s *Shape) readMemories(c *cursor) error {
	n := c.count(2)
	if n > 1 {
		return refuseModule("the module has %d memories: build it with one", n)
	}
	for range n {
		l, err := readLimits(c)
		if err != nil {
			return err
		}
		if l.min > maxPages || l.max > maxPages {
			return fmt.Errorf("memory of %d to %d pages, where there can be %d", l.min, l.max, maxPages)
		}
		if err := most(int(l.min), s.limits.MemoryPages, "memory_pages", "pages of memory to begin with", "begin with less, or raise memory_bytes"); err != nil {
			return err
		}
		s.memories = append(s.memories, l)
	}
	return nil
}

func (s *Shape) readGlobals(c *cursor) error {
	n := c.count(4)
	if err := most(n, s.limits.Globals, "module_globals", "globals", "keep them in memory"); err != nil {
		return err
	}
	s.globals = make([]global, 0, n)
	for range n {
		g := global{typ: c.byte()}
		mutable := c.byte()
		if c.err != nil {
			return c.err
		}
		if !isValueType(g.typ) {
			return unknownValue(g.typ)
		}
		if mutable > 1 {
			return fmt.Errorf("global %d is neither constant nor mutable (%#x)", len(s.globals), mutable)
		}
		g.mutable = mutable == 1
		if g.mutable && (g.typ == typeV128 || isReference(g.typ)) {
			return refuseModule("the module has a mutable global (%d) of a vector or a reference, which could not be put back after a call: keep it in memory or in locals", len(s.globals))
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
		if c.byte() != byte(opV128Const&0xff) && c.err == nil {
			return k, errors.New("an initial value is no constant")
		}
		c.bytes(16)
	case opGlobalGet:
		// Only of an imported one, and there are none.
		return k, errors.New("an initial value is that of another global, which only an imported one can be")
	default:
		if c.err != nil {
			return k, c.err
		}
		return k, fmt.Errorf("an initial value has the instruction %#x", op)
	}
	k.code = c.data[start:c.at]
	if c.byte() != byte(opEnd) && c.err == nil {
		return k, errors.New("an initial value is more than one constant")
	}
	return k, c.err
}

func (s *Shape) readExports(c *cursor) error {
	n := c.count(3)
	if err := most(n, s.limits.Exports, "module_exports", "exports", "export only what weir calls"); err != nil {
		return err
	}
	seen := make(map[string]bool, n)
	for range n {
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
	segments, entries := c.count(2), 0
	if err := most(segments, s.limits.ElementSegments, "element_segments", "segments of elements", "build with fewer"); err != nil {
		return err
	}
	for range segments {
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
			if c.err != nil {
				return c.err
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
			if e.kind = c.byte(); c.err != nil {
				return c.err
			} else if e.mode&elemExprs == 0 && e.kind != 0 || e.mode&elemExprs != 0 && !isReference(e.kind) {
				return fmt.Errorf("elements are of kind %#x", e.kind)
			}
		}
		size := 1
		if e.mode&elemExprs != 0 {
			size = 3
		}
		n := c.count(size)
		if entries += n; entries > s.limits.Elements {
			return over("module_elements", "the module has more than the %d elements of tables allowed: build it with fewer functions", s.limits.Elements)
		}
		if e.mode&elemExprs != 0 {
			e.inits = make([]constant, 0, n)
			for range n {
				k, err := s.readConstant(c)
				if err != nil {
					return err
				}
				e.inits = append(e.inits, k)
			}
		} else {
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

func (s *Shape) readBodies(c *cursor) error {
	n := c.count(2)
	if n != len(s.funcs) { // before anything is made for them
		return fmt.Errorf("it declares %d functions and has %d bodies", len(s.funcs), n)
	}
	s.bodies = make([]body, 0, n)
	for range n {
		inner := &cursor{data: c.bytes(c.u32())}
		var b body
		for range inner.count(2) {
			run := localRun{n: inner.u32(), typ: inner.byte()}
			if inner.err != nil {
				break
			}
			if !isValueType(run.typ) {
				return unknownValue(run.typ)
			}
			if run.n > uint32(s.limits.Locals)-b.count {
				return over("function_locals", "function %d of the module has more than the %d locals allowed: split it, or build it optimized", len(s.imports)+len(s.bodies), s.limits.Locals)
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
	if err := most(n, s.limits.DataSegments, "data_segments", "segments of data", "join them when linking"); err != nil {
		return err
	}
	s.datas = make([]data, 0, n)
	for range n {
		var d data
		switch flags := c.u32(); flags {
		case 1:
			d.passive = true
		case 2:
			if c.u32() != 0 {
				return errors.New("data is for a second memory")
			}
			fallthrough
		case 0:
			if len(s.memories) == 0 {
				return errors.New("data is for a memory, and there is none")
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

// most refuses what there is too much of, before it is read.
func most(n, limit int, name, what, instead string) error {
	if n > limit {
		return over(name, "the module has %d %s, more than the %d allowed: %s", n, what, limit, instead)
	}
	return nil
}
