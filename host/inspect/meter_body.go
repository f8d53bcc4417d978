package inspect

// block types of one byte
const typeNone = 0x40

// bulkChunk is how much a bulk instruction touches between two payments.
const bulkChunk = 1 << 20

func (m *meter) encodeBodies() ([]byte, error) {
	bodies := make([][]byte, len(m.bodies))
	total := 0
	for fn := range m.bodies {
		var err error
		if bodies[fn], err = m.encodeBody(fn); err != nil {
			return nil, err
		}
		total += len(bodies[fn]) + 4
	}
	dst := appendU32(make([]byte, 0, total+1024), uint32(len(bodies)+len(m.added)))
	for _, b := range bodies {
		dst = appendCounted(dst, b)
	}
	for _, a := range m.added {
		dst = appendCounted(dst, a.code)
	}
	return dst, nil
}

// encodeBody rewrites a function. One that calls others gets a block around all
// that it does, so that it gives its stack back wherever it returns:
//
//	pay                                 what the function costs, and its frame
//	block (result …)                    takes the place of the function's label
//	  …                                 return becomes a branch out of it
//	  loop
//	    pay                             what a pass costs
//	    …
//	end
//	give back the frame
func (m *meter) encodeBody(fn int) ([]byte, error) {
	b, p := &m.bodies[fn], &m.plans[fn]
	typ := m.Shape.types[m.funcs[fn]]
	scratch := uint32(len(typ.params)) + b.count // a local that only payments name
	dst := make([]byte, 0, len(b.code)+len(b.code)/2+64)
	if p.free {
		dst = appendLocals(dst, b.locals)
		return append(dst, b.code...), nil
	}
	if p.moves {
		dst = appendLocals(dst, b.locals, typeI64, typeI32)
	} else {
		dst = appendLocals(dst, b.locals, typeI64)
	}
	frame := int64(0)
	if p.deep {
		frame = int64(p.frame) << 32
	}
	dst = m.appendPayment(dst, frame+int64(p.cost), scratch, false)
	if p.deep {
		dst = append(dst, byte(opBlock))
		switch len(typ.results) {
		case 0:
			dst = append(dst, typeNone)
		case 1:
			dst = append(dst, typ.results[0])
		default:
			dst = appendS64(dst, int64(m.typeFor("", string(typ.results))))
		}
	}
	payments, loops, kept := p.payments, p.loops, 0 // kept is where the code begins that is not copied yet
	err := m.walk(fn, func(in *instr) error {
		instead := func(code ...byte) {
			dst = append(append(dst, b.code[kept:in.at]...), code...)
			kept = in.end
		}
		if price := m.dear(in); price > 0 {
			dst = append(dst, b.code[kept:in.at]...)
			kept = in.at
			dst = m.appendPayment(dst, int64(price), scratch, false)
		}
		switch in.op {
		case opLoop:
			if l := loops[0]; p.noisy && !l.noisy && (l.around < 0 || p.loops[l.around].noisy) {
				dst = m.appendGlobal(append(dst, b.code[kept:in.at]...), opGlobalGet)
				dst = appendU32(append(dst, byte(opLocalSet)), scratch)
				kept = in.at
			}
			loops = loops[1:]
		case opReturn:
			if p.deep {
				instead(appendU32([]byte{byte(opBr)}, uint32(in.depth))...)
			}
		case opCall, opRefFunc:
			if in.a >= m.tick {
				instead(appendU32([]byte{byte(in.op)}, in.a+1)...)
			}
		case opMemoryFill:
			instead(m.appendBulk(nil, b.code[in.at:in.end], m.fillFunc(), scratch)...)
		case opMemoryCopy:
			instead(m.appendBulk(nil, b.code[in.at:in.end], m.copyFunc(), scratch)...)
		case opMemoryInit:
			if len(m.datas[in.a].bytes) > bulkChunk {
				instead(m.appendCall(nil, m.initFunc(in.a), scratch)...)
			}
		}
		if len(payments) > 0 && payments[0].at == in.end {
			if pay := payments[0]; pay.price > 0 {
				dst = append(dst, b.code[kept:in.end]...)
				kept = in.end
				dst = m.appendPayment(dst, int64(pay.price), scratch, p.quiet(pay.loop))
			}
			payments = payments[1:]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	dst = append(dst, b.code[kept:]...)
	if p.deep {
		dst = m.appendGlobal(dst, opGlobalGet)
		dst = appendS64(append(dst, byte(opI64Const)), frame)
		dst = append(dst, i64Add)
		dst = m.appendGlobal(dst, opGlobalSet)
		dst = append(dst, byte(opEnd))
	}
	return dst, nil
}

// appendLocals appends the locals and more.
func appendLocals(dst []byte, runs []localRun, more ...byte) []byte {
	dst = appendU32(dst, uint32(len(runs)+len(more)))
	for _, r := range runs {
		dst = append(appendU32(dst, r.n), r.typ)
	}
	for _, typ := range more {
		dst = append(dst, 1, typ)
	}
	return dst
}

// Instructions that only added code uses.
const (
	i32Eqz     = 0x45
	i32LtS     = 0x48
	i32LtU     = 0x49
	i32LeU     = 0x4d
	i64Ne      = 0x52
	i64GtU     = 0x56
	i32Add     = 0x6a
	i32Sub     = 0x6b
	i32ShrU    = 0x76
	i64Add     = 0x7c
	i64Sub     = 0x7d
	i64And     = 0x83
	i64Shl     = 0x86
	i32Wrap    = 0xa7
	i64ExtendU = 0xad
)

func (m *meter) appendGlobal(dst []byte, op opcode) []byte {
	return appendU32(append(dst, byte(op)), m.at)
}

func (m *meter) callTo(fn uint32) []byte { return appendU32([]byte{byte(opCall)}, fn) }

// appendPayment takes a price off the meter and calls for more when it is used
// up. Only a price with stack in it can use up the room. With known, scratch holds
// the meter as it is; it always does afterwards.
func (m *meter) appendPayment(dst []byte, price int64, scratch uint32, known bool) []byte {
	if known {
		dst = appendU32(append(dst, byte(opLocalGet)), scratch)
	} else {
		dst = m.appendGlobal(dst, opGlobalGet)
	}
	dst = appendS64(append(dst, byte(opI64Const)), price)
	return m.appendTaken(dst, scratch, price>>32 != 0)
}

// appendTaken goes on with the meter and what to take off it on the stack.
func (m *meter) appendTaken(dst []byte, scratch uint32, room bool) []byte {
	dst = append(dst, i64Sub, byte(opLocalTee))
	dst = appendU32(dst, scratch)
	dst = m.appendGlobal(dst, opGlobalSet)
	dst = appendU32(append(dst, byte(opLocalGet)), scratch)
	if room {
		dst = appendS64(append(dst, byte(opI64Const)), usedUp)
		dst = append(dst, i64And, byte(opI64Const), 0, i64Ne)
	} else {
		dst = append(dst, i32Wrap, byte(opI32Const), 0, i32LtS)
	}
	dst = append(dst, byte(opIf), typeNone)
	dst = append(dst, m.callTo(m.refuel)...)
	dst = appendU32(append(dst, byte(opLocalSet)), scratch)
	return append(dst, byte(opEnd))
}

// refuelCode asks the host and returns the meter. It is a function, so that the many
// places that call it are small.
func (m *meter) refuelCode() added {
	code := appendLocals(nil, nil)
	code = m.appendGlobal(code, opGlobalGet)
	code = append(code, m.callTo(m.tick)...)
	code = m.appendGlobal(code, opGlobalSet)
	code = m.appendGlobal(code, opGlobalGet)
	return added{m.typeFor("", "\x7e"), append(code, byte(opEnd))}
}

// smallBulk is how many bytes a fill or a copy has paid for in advance.
const smallBulk = 128

// appendBulk does a fill or a copy on the spot when it is small, as most are, and
// else calls the function for it.
func (m *meter) appendBulk(dst, op []byte, fn, scratch uint32) []byte {
	count := scratch + 1
	dst = appendU32(append(dst, byte(opLocalTee)), count)
	dst = appendU32(append(dst, byte(opLocalGet)), count)
	dst = appendS64(append(dst, byte(opI32Const)), smallBulk)
	dst = append(dst, i32LeU, byte(opIf))
	dst = appendS64(dst, int64(m.typeFor("\x7f\x7f\x7f", "")))
	dst = append(append(dst, op...), byte(opElse))
	dst = m.appendCall(dst, fn, scratch)
	return append(dst, byte(opEnd))
}

// appendCall calls a function of ours that pays. Scratch holds the meter again
// afterwards.
func (m *meter) appendCall(dst []byte, fn, scratch uint32) []byte {
	dst = append(dst, m.callTo(fn)...)
	dst = m.appendGlobal(dst, opGlobalGet)
	return appendU32(append(dst, byte(opLocalSet)), scratch)
}

// The parameters of a bulk instruction, its last as a count of bytes, and the
// locals of the functions below.
const (
	bulkTo = iota
	bulkFrom
	bulkCount
	bulkScratch
)

// bulk builds the functions that stand for memory.fill, copy and init. The
// instruction checks its bounds before it touches anything, so they are checked
// for the whole before the first piece: what is outside is left to the
// instruction itself, to trap.
type bulk struct {
	*meter
	op   []byte // the instruction with its immediates
	code []byte
}

func (b *bulk) get(local byte)  { b.code = append(b.code, byte(opLocalGet), local) }
func (b *bulk) set(local byte)  { b.code = append(b.code, byte(opLocalSet), local) }
func (b *bulk) do(code ...byte) { b.code = append(b.code, code...) }
func (b *bulk) i32(v int32)     { b.code = appendS64(append(b.code, byte(opI32Const)), int64(v)) }

func (b *bulk) all()                     { b.get(bulkTo); b.get(bulkFrom); b.get(bulkCount); b.do(b.op...) }
func (b *bulk) wide(local byte)          { b.get(local); b.do(i64ExtendU) }
func (b *bulk) finish() added            { b.do(byte(opEnd)); return added{b.typeFor("\x7f\x7f\x7f", ""), b.code} }
func (b *bulk) step(local byte, n int32) { b.get(local); b.i32(n); b.do(i32Add); b.set(local) }

// start begins a function whose instruction moves up to bulkChunk at once: what
// is no more than that is done there and then.
func (m *meter) bulk(op ...byte) *bulk {
	b := &bulk{meter: m, op: op}
	b.code = appendLocals(nil, nil, typeI64)
	b.get(bulkCount)
	b.i32(bulkChunk)
	b.do(i32LeU, byte(opIf), typeNone)
	b.payCount()
	b.all()
	b.do(byte(opReturn), byte(opEnd))
	return b
}

// payCount pays for bulkCount bytes.
func (b *bulk) payCount() {
	b.code = b.appendGlobal(b.code, opGlobalGet)
	b.get(bulkCount)
	b.i32(bulkShift)
	b.do(i32ShrU, i64ExtendU)
	b.code = b.appendTaken(b.code, bulkScratch, false)
}

// payChunk pays for a piece.
func (b *bulk) payChunk() { b.code = b.appendPayment(b.code, bulkChunk>>bulkShift, bulkScratch, false) }

// trapBeyond lets the instruction trap if local and the count reach beyond
// memory.
func (b *bulk) trapBeyond(local byte) {
	b.wide(local)
	b.wide(bulkCount)
	b.do(i64Add, byte(opMemorySize), 0, i64ExtendU, byte(opI64Const), 16, i64Shl, i64GtU, byte(opIf), typeNone)
	b.all()
	b.do(byte(opEnd))
}

// pieces does piece by piece from the front, and the rest.
func (b *bulk) pieces(moves bool) {
	b.do(byte(opLoop), typeNone)
	b.payChunk()
	b.get(bulkTo)
	b.get(bulkFrom)
	b.i32(bulkChunk)
	b.do(b.op...)
	b.step(bulkTo, bulkChunk)
	if moves {
		b.step(bulkFrom, bulkChunk)
	}
	b.step(bulkCount, -bulkChunk)
	b.i32(bulkChunk)
	b.get(bulkCount)
	b.do(i32LtU, byte(opBrIf), 0, byte(opEnd))
	b.payCount()
	b.all()
}

func (m *meter) fillFunc() uint32 {
	if m.fill == 0 {
		b := m.bulk(0xfc, 11, 0)
		b.trapBeyond(bulkTo)
		b.pieces(false)
		m.fill = m.add(b.finish())
	}
	return m.fill
}

func (m *meter) copyFunc() uint32 {
	if m.copy == 0 {
		b := m.bulk(0xfc, 10, 0, 0)
		b.trapBeyond(bulkTo)
		b.trapBeyond(bulkFrom)
		// To a higher address the last piece goes first: it may be what lies where
		// the others come from.
		b.get(bulkFrom)
		b.get(bulkTo)
		b.do(i32LtU, byte(opIf), typeNone, byte(opLoop), typeNone)
		b.payChunk()
		b.step(bulkCount, -bulkChunk)
		for _, local := range []byte{bulkTo, bulkFrom} {
			b.get(local)
			b.get(bulkCount)
			b.do(i32Add)
		}
		b.i32(bulkChunk)
		b.do(b.op...)
		b.i32(bulkChunk)
		b.get(bulkCount)
		b.do(i32LtU, byte(opBrIf), 0, byte(opEnd))
		b.payCount()
		b.all()
		b.do(byte(opReturn), byte(opEnd))
		b.pieces(true)
		m.copy = m.add(b.finish())
	}
	return m.copy
}

// initFunc is for data segments of more than a piece: smaller ones have a fixed
// price.
func (m *meter) initFunc(segment uint32) uint32 {
	if fn, ok := m.inits[segment]; ok {
		return fn
	}
	b := m.bulk(append(appendU32([]byte{0xfc, 8}, segment), 0)...)
	b.trapBeyond(bulkTo)
	b.wide(bulkFrom)
	b.wide(bulkCount)
	b.do(i64Add)
	b.code = appendS64(append(b.code, byte(opI64Const)), int64(len(m.datas[segment].bytes)))
	b.do(i64GtU, byte(opIf), typeNone)
	b.all()
	b.do(byte(opEnd))
	b.pieces(true)
	if m.inits == nil {
		m.inits = make(map[uint32]uint32)
	}
	m.inits[segment] = m.add(b.finish())
	return m.inits[segment]
}
