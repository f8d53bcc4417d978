package inspect

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What a metered module imports and exports beside its own. No guest can name
// them: the gate refuses such imports and exports.
const (
	// MeterModule and MeterTick name the host function that a metered module calls
	// when its fuel or its stack is used up. It takes the meter as it stands and
	// returns what it goes on with. It may end the guest instead.
	MeterModule = "weir meter"
	MeterTick   = "tick"
	// MeterGlobal is the exported mutable i64 that holds the meter.
	MeterGlobal = "$meter"
	// StateGlobal and a number export each mutable global of the module's own, so
	// that it can be put back.
	StateGlobal = "$g"
)

// Meter is fuel and room for the stack in one number, so that a function counts
// both with one subtraction: the low half is the fuel that is left, in units of
// costOf, the high half the room, in bytes. Either is used up when its sign bit
// is set.
type Meter int64

// NewMeter returns a meter with fuel and room left.
func NewMeter(fuel, room int32) Meter { return Meter(int64(room)<<32 + int64(fuel)) }

// Fuel returns the units that are left, less than 0 if more were used.
func (m Meter) Fuel() int32 { return int32(m) }

// Room returns the bytes of stack that are left. Fuel below 0 has borrowed one,
// which is given back here.
func (m Meter) Room() int32 { return int32((int64(m) - int64(m.Fuel())) >> 32) }

// Less returns the meter after units more were used. However many they are, the
// fuel does not run into the room.
func (m Meter) Less(units int) Meter {
	return NewMeter(int32(max(int64(m.Fuel())-int64(units), -1<<30)), m.Room())
}

// usedUp has the sign bits of both halves.
const usedUp = -1<<63 | 1<<31

// Segment is what a module wants in its memory before it starts.
type Segment struct {
	At    uint32
	Bytes []byte
}

// Metered is a module that counts what it does.
type Metered struct {
	// Code imports MeterTick beside what the module imports, and starts with an
	// empty memory.
	Code []byte
	// Segments are to be written to memory in this order before anything runs. One
	// that lies outside ends the start.
	Segments []Segment
	// Globals are the indices of the mutable globals, exported as StateGlobal.
	Globals []uint32
	// Fixed says what in the module changes state that is neither memory nor a
	// global, "" if nothing does: only a new instance is pristine (G5).
	Fixed string
}

// Meter rewrites the module: each function and each pass of a loop pays for what
// it will do until the next payment, and each call for the stack that it needs. It
// refuses what cannot be rewritten.
//
// A region is what one payment is for: a function without its loops, or a loop
// without those in it (regions.go has the exception). An instruction of a region
// runs at most once after its payment, because only a loop's header is ever jumped
// back to. So the price of a region is the sum of all that is in it, on whichever
// branch (G3).
func (s *Shape) Meter() (*Metered, error) {
	for _, i := range s.imports {
		if i.module == MeterModule {
			return nil, fmt.Errorf("it imports %s.%s, which is weir's own", i.module, i.name)
		}
	}
	for _, e := range s.exports {
		if strings.HasPrefix(e.name, "$") {
			return nil, fmt.Errorf("it exports %.100q: names with a $ are weir's own", e.name)
		}
	}
	m := &meter{
		Shape: s,
		tick:  uint32(len(s.imports)),
		types: slices.Clone(s.types),
		known: make(map[string]uint32),
		at:    uint32(len(s.globals)),
	}
	for i, t := range slices.Backward(s.types) { // of equal ones the first
		m.known[typeKey(t.params, t.results)] = uint32(i)
	}
	m.refuel = s.functions() + 1
	m.added = append(m.added, m.refuelCode())
	m.plans = make([]plan, len(s.bodies))
	for fn := range s.bodies {
		if err := m.plan(fn); err != nil {
			return nil, err
		}
	}
	m.cheap()
	out := &Metered{Fixed: s.fixed}
	for i, g := range s.globals {
		if g.mutable {
			out.Globals = append(out.Globals, uint32(i))
		}
	}
	var err error
	if out.Segments, err = s.segments(); err != nil {
		return nil, err
	}
	out.Code, err = m.encode(out.Globals)
	return out, err
}

// segments returns what the module's active data wants in memory.
func (s *Shape) segments() ([]Segment, error) {
	var all []Segment
	for i, d := range s.datas {
		if d.passive {
			continue
		}
		c := &cursor{data: d.at.code}
		if opcode(c.byte()) != opI32Const {
			return nil, fmt.Errorf("data segment %d is not at a constant place of 32 bits", i)
		}
		at := uint32(c.signed(32))
		if uint64(at)+uint64(len(d.bytes)) > uint64(s.memories[0].min)<<16 {
			return nil, fmt.Errorf("data segment %d lies outside the memory that the module starts with", i)
		}
		all = append(all, Segment{At: at, Bytes: d.bytes})
	}
	return all, nil
}

// meter is a module while it is rewritten.
type meter struct {
	*Shape
	tick   uint32 // the imported function: those of the module's own move up by one
	refuel uint32 // a function that calls it
	at     uint32 // the global
	types  []funcType
	known  map[string]uint32 // by typeKey
	added  []added
	plans  []plan
	fill   uint32 // functions for bulk instructions, 0 until needed
	copy   uint32
	inits  map[uint32]uint32 // by data segment
}

// added is a function that the module did not have.
type added struct {
	typ  uint32
	code []byte // with its locals
}

// plan is what is known of a function before it is rewritten.
type plan struct {
	cost       uint32 // of what is paid for at the start
	payments   []payment
	dispatches []dispatch
	loops      []loop
	frame      uint32 // bytes of stack
	calls      []site // of functions of the module's own, by name
	deep       bool   // it calls something at all
	moved      bool   // it has instructions that are written in another way
	moves      bool   // it fills or copies memory
	free       bool   // it does not pay: who calls it does
	noisy      bool   // it has something by which the meter may change
}

// site is where a function is called.
type site struct {
	region
	fn uint32
}

// plan prices a function.
func (m *meter) plan(fn int) error {
	p := &m.plans[fn]
	var h height
	r := p.regions()
	err := m.walk(fn, func(in *instr) error {
		h.see(m.Shape, in)
		at := r.see(in)
		switch in.op {
		case opCall, opCallIndirect:
			p.deep = true
		case opRefFunc, opMemoryFill, opMemoryCopy, opMemoryInit:
			p.moved = true
		}
		cost := costOf(in.op)
		switch {
		case m.dear(in) > 0:
			p.moved, cost = true, costCall // a payment of its own comes before it
		case in.op == opCall && in.a < m.tick:
			cost = costHost
			p.noise(at.loop)
		case in.op == opCall:
			p.calls = append(p.calls, site{*at, in.a - m.tick})
		case in.op == opCallIndirect:
			cost += freeCost
			p.noise(at.loop)
		case in.op == opMemoryFill, in.op == opMemoryCopy:
			cost += smallBulk >> bulkShift
			p.moves = true
		}
		p.pay(at.payment, cost)
		return nil
	})
	if err != nil {
		return err
	}
	typ := &m.types[m.funcs[fn]]
	p.frame = 64 + 16*(uint32(len(typ.params))+m.bodies[fn].count+uint32(h.most)+4) // G4
	return nil
}

// dear returns the price of an instruction that pays for itself, just before it
// runs, or 0: a region may have so many of these that one payment for all would be
// far too late.
func (m *meter) dear(in *instr) uint32 {
	switch in.op {
	case opMemoryGrow:
		return costGrow
	case opTableInit, opTableCopy, opTableGrow, opTableFill:
		return costTable
	case opMemoryInit:
		return uint32(min(len(m.datas[in.a].bytes), bulkChunk)) >> bulkShift
	}
	return 0
}

// freeCost is the most that a function may cost without paying itself.
const freeCost = 64

// cheap finds the functions that do not pay: small ones that call nothing and
// have no loop. Who calls them by name pays their price, and who calls by table
// the most that it can be. Then all prices are known.
func (m *meter) cheap() {
	for fn := range m.plans {
		p := &m.plans[fn]
		p.free = !p.deep && !p.moved && len(p.payments) == 0 && p.cost <= freeCost
	}
	for fn := range m.plans {
		p := &m.plans[fn]
		for _, s := range p.calls {
			if callee := &m.plans[s.fn]; callee.free {
				p.pay(s.payment, callee.cost)
			} else {
				p.noise(s.loop)
			}
		}
		p.calls = nil
		p.settle()
	}
}

// encode writes the module anew, without what the gate dropped.
func (m *meter) encode(globals []uint32) ([]byte, error) {
	bodies, err := m.encodeBodies() // first: it finds what has to be added
	if err != nil {
		return nil, err
	}
	out := make([]byte, 8, m.size+m.size/2)
	copy(out, "\x00asm\x01\x00\x00\x00")
	section := func(id byte, content []byte) {
		if len(content) > 0 {
			out = appendCounted(append(out, id), content)
		}
	}
	imports := m.encodeImports() // they may need a type
	functions := m.encodeFunctions()
	section(sectionType, m.encodeTypes())
	section(sectionImport, imports)
	section(sectionFunction, functions)
	section(sectionTable, m.sections[sectionTable])
	section(sectionMemory, m.sections[sectionMemory])
	section(sectionGlobal, m.encodeGlobals())
	section(sectionExport, m.encodeExports(globals))
	section(sectionElem, m.encodeElems())
	section(sectionDataCount, m.sections[sectionDataCount])
	section(sectionCode, bodies)
	section(sectionData, m.encodeDatas())
	section(sectionCustom, m.encodeNames())
	if uint64(len(out)) > maxMetered {
		return nil, errors.New("it has too much code to be metered")
	}
	return out, nil
}

// maxMetered bounds a rewritten module.
const maxMetered = 128 << 20

func (m *meter) encodeTypes() []byte {
	dst := appendU32(nil, uint32(len(m.types)))
	for _, t := range m.types {
		dst = appendCounted(append(dst, 0x60), t.params)
		dst = appendCounted(dst, t.results)
	}
	return dst
}

// typeFor returns the index of a type, adding it if there is none. The module's
// own come first and keep their numbers.
func (m *meter) typeFor(params, results string) uint32 {
	key := typeKey([]byte(params), []byte(results))
	if i, ok := m.known[key]; ok {
		return i
	}
	i := uint32(len(m.types))
	m.types = append(m.types, funcType{[]byte(params), []byte(results)})
	m.known[key] = i
	return i
}

// typeKey is the same for equal types only: no type of a value is 0.
func typeKey(params, results []byte) string { return string(params) + "\x00" + string(results) }

func (m *meter) encodeImports() []byte {
	dst := appendU32(nil, uint32(len(m.imports)+1))
	for _, i := range m.imports {
		dst = appendImport(dst, i.module, i.name, i.typ)
	}
	return appendImport(dst, MeterModule, MeterTick, m.typeFor("\x7e", "\x7e"))
}

func appendImport(dst []byte, module, name string, typ uint32) []byte {
	dst = appendCounted(dst, []byte(module))
	dst = appendCounted(dst, []byte(name))
	return appendU32(append(dst, kindFunc), typ)
}

func (m *meter) encodeFunctions() []byte {
	dst := appendU32(nil, uint32(len(m.funcs)+len(m.added)))
	for _, t := range m.funcs {
		dst = appendU32(dst, t)
	}
	for _, a := range m.added {
		dst = appendU32(dst, a.typ)
	}
	return dst
}

func (m *meter) encodeGlobals() []byte {
	dst := appendU32(nil, uint32(len(m.globals)+1))
	for _, g := range m.globals {
		mutable := byte(0)
		if g.mutable {
			mutable = 1
		}
		dst = m.appendConstant(append(dst, g.typ, mutable), g.init)
	}
	return append(dst, typeI64, 1, byte(opI64Const), 0, byte(opEnd))
}

func (m *meter) encodeExports(globals []uint32) []byte {
	dst := appendU32(nil, uint32(len(m.exports)+len(globals)+1))
	one := func(name string, kind byte, index uint32) {
		dst = appendCounted(dst, []byte(name))
		dst = appendU32(append(dst, kind), index)
	}
	for _, e := range m.exports {
		if e.kind == kindFunc {
			e.index = m.moved(e.index)
		}
		one(e.name, e.kind, e.index)
	}
	for _, g := range globals {
		one(fmt.Sprintf("%s%d", StateGlobal, g), kindGlobal, g)
	}
	one(MeterGlobal, kindGlobal, m.at)
	return dst
}

func (m *meter) encodeElems() []byte {
	if len(m.elems) == 0 {
		return nil
	}
	dst := appendU32(nil, uint32(len(m.elems)))
	for _, e := range m.elems {
		dst = append(dst, e.mode)
		if e.mode&elemPassive == 0 {
			if e.mode&elemExplicit != 0 {
				dst = appendU32(dst, e.table)
			}
			dst = m.appendConstant(dst, e.at)
		}
		if e.mode&(elemPassive|elemExplicit) != 0 {
			dst = append(dst, e.kind)
		}
		if e.mode&elemExprs != 0 {
			dst = appendU32(dst, uint32(len(e.inits)))
			for _, k := range e.inits {
				dst = m.appendConstant(dst, k)
			}
			continue
		}
		dst = appendU32(dst, uint32(len(e.funcs)))
		for _, fn := range e.funcs {
			dst = appendU32(dst, m.moved(fn))
		}
	}
	return dst
}

// encodeDatas keeps passive segments and empties the others, whose bytes the host
// writes: what is made from an image needs them no more. Without a count no code
// can name one, and none is kept: wazero keeps 24 bytes of each in each instance,
// and the Go linker makes tens of thousands.
func (m *meter) encodeDatas() []byte {
	if m.dataCount < 0 {
		return nil
	}
	dst := appendU32(nil, uint32(len(m.datas)))
	for _, d := range m.datas {
		dst = append(dst, 1)
		if d.passive {
			dst = appendCounted(dst, d.bytes)
		} else {
			dst = append(dst, 0)
		}
	}
	return dst
}

func (m *meter) appendConstant(dst []byte, k constant) []byte {
	if k.refs {
		dst = appendU32(append(dst, byte(opRefFunc)), m.moved(k.fn))
	} else {
		dst = append(dst, k.code...)
	}
	return append(dst, byte(opEnd))
}

// moved returns the new index of a function.
func (m *meter) moved(fn uint32) uint32 {
	if fn >= m.tick {
		fn++
	}
	return fn
}

// add appends a function and returns its index.
func (m *meter) add(a added) uint32 {
	m.added = append(m.added, a)
	return m.refuel + uint32(len(m.added)) - 1
}
