package inspect

import "fmt"

// work estimates how long the compiler takes for a function, in nanoseconds on
// the slow side. It is not linear in the size: each block's dominators are looked
// for by walking up from block to block, a local's value by walking up the blocks
// that have one predecessor, and where ways meet each local that was read since
// is compared with all others. Without this bound a function of 9 KB with 64
// loops and 1 000 locals takes ten seconds, one of 60 KB with nothing but br_if as
// long (G1).
type work struct {
	linear  int // by instruction
	splits  int // conditional branches: how deep dominators can be
	edges   int // ways from block to block
	joins   int // blocks that several ways lead to
	loops   int
	nested  int // most loops in one another
	chain   int // most blocks in a row with one predecessor each
	reads   int // of a local in another block than the one that sets it
	carried int // locals that have such reads
	targets int // of br_table
}

// Nanoseconds, measured on one function of each kind at the limit of its size.
const (
	nsInstr   = 1_000
	nsSlow    = 10_000  // memory, division, conversions, minimum and maximum, vectors
	nsBulk    = 150_000 // a loop of its own
	nsValue   = 1_200   // of a call or a block, if there are few
	nsTarget  = 30_000
	nsDominer = 16
	nsRead    = 10
	nsJoin    = 10
	nsLoop    = 60
	nsNested  = 2
)

// total is in floating point on its way: with limits that somebody raised it may
// be more than an int.
func (w *work) total() int {
	f := func(n int) float64 { return float64(n) }
	ns := f(w.linear) +
		nsDominer*f(w.splits)*f(w.edges) +
		nsRead*f(w.chain)*(f(w.reads)+f(w.carried)*f(w.edges)) +
		f(w.carried)*f(w.carried)*f(nsJoin*w.joins+w.loops*(nsLoop+nsNested*w.nested))
	return int(min(ns, 1<<61))
}

// nsOf returns the linear part of an instruction.
func nsOf(op opcode) int {
	switch {
	case op >= 0x28 && op <= 0x3e, // loads and stores
		op >= 0x6d && op <= 0x70, op >= 0x7f && op <= 0x82, // division
		op >= 0x96 && op <= 0x98, op >= 0xa4 && op <= 0xa6, // min, max, copysign
		op >= 0xa8 && op <= 0xb1, op >= opMisc && op <= opMisc|7, // to integers
		op == opCallIndirect, op == opRefFunc, op == opTableGet, op == opTableSet, op == opMemoryGrow, op == opTableGrow, op&0xff00 == opSIMD:
		return nsSlow
	case isBulk(op):
		return nsBulk
	}
	return nsInstr
}

func isBulk(op opcode) bool {
	switch op {
	case opMemoryInit, opMemoryCopy, opMemoryFill, opTableInit, opTableCopy, opTableFill:
		return true
	}
	return false
}

// scan is a body that is being judged.
type scan struct {
	*Shape
	limits *GateLimits
	fn     int
	work
	open   []scanned
	block  int   // number of the basic block
	run    int   // blocks with one predecessor before it
	dead   bool  // nothing leads to it: the compiler leaves it out
	within int   // loops
	set    []int // for each local, the last block that has its value
	known  []bool
}

// scanned is an open block.
type scanned struct {
	op    opcode
	ways  int // that lead to its end by a branch
	from  int // the longest chain of these
	chain int // where it began
	arity int // values that a branch to it carries
	dead  bool
}

// judgeBody refuses a function that is over a limit, and returns what it costs.
func (s *scan) judgeBody(fn int) error {
	b := &s.bodies[fn]
	s.fn, s.work, s.block, s.run, s.dead, s.within = fn, work{}, 0, 0, false, 0
	g := s.limits
	if len(b.code) > g.BodyBytes {
		return s.over("function_bytes", "has %d bytes, more than the %d allowed", len(b.code), g.BodyBytes)
	}
	locals := len(s.types[s.funcs[fn]].params) + int(b.count)
	s.set = append(s.set[:0], make([]int, locals)...)
	s.known = append(s.known[:0], make([]bool, locals)...)
	s.open = append(s.open[:0], scanned{op: opBlock, arity: len(s.types[s.funcs[fn]].results)})
	if err := s.walk(fn, s.see); err != nil {
		return err
	}
	if s.total() > g.FunctionWork {
		return s.over("function_work", "branches so much, or hands over so many values, that the compiler would take too long")
	}
	return nil
}

func (s *scan) over(limit, format string, args ...any) error {
	return over(limit, "function %d of the module %s: split it, or build with less inlining", s.fn+len(s.imports), fmt.Sprintf(format, args...))
}

// see counts an instruction.
func (s *scan) see(in *instr) error {
	s.linear += nsOf(in.op)
	switch in.op {
	case opBlock, opLoop, opIf:
		return s.enter(in)
	case opElse:
		s.otherwise()
	case opEnd:
		s.leave()
	case opBr:
		s.branch(in.a)
		s.dead = true
	case opBrIf:
		s.branch(in.a)
		s.split()
	case opBrTable:
		if len(in.labels)-1 > s.limits.Targets {
			return s.over("branch_targets", "has a br_table of %d targets, more than the %d allowed", len(in.labels)-1, s.limits.Targets)
		}
		s.targets += len(in.labels)
		s.linear += nsTarget * len(in.labels)
		for _, l := range in.labels {
			s.branch(l)
		}
		s.splits++
		s.dead = true
	case opReturn, opUnreachable:
		s.edges++
		s.dead = true
	case opCall:
		s.called(s.typeOf(in.a))
	case opCallIndirect:
		s.linear += nsSlow
		s.called(&s.types[in.a])
	case opLocalGet:
		s.read(in.a)
	case opLocalSet, opLocalTee:
		s.set[in.a] = s.block
	case opTableGrow:
		t := s.tables[in.a]
		if !t.bounded || int64(t.max) > int64(s.limits.TableEntries) {
			return over("table_entries", "function %d of the module grows a table that may have more than the %d entries allowed: declare a maximum of the table", s.fn+len(s.imports), s.limits.TableEntries)
		}
	default:
		if isBulk(in.op) {
			s.split()
			s.split()
		}
	}
	return nil
}

func (s *scan) enter(in *instr) error {
	g := s.limits
	s.linear += nsOfValues(len(in.block.params) + len(in.block.results))
	if len(s.open) > g.Depth {
		return s.over("block_depth", "has more than %d blocks in one another", g.Depth)
	}
	arity := len(in.block.results)
	if in.op == opLoop {
		arity = len(in.block.params)
	}
	s.open = append(s.open, scanned{op: in.op, chain: s.run, arity: arity, dead: s.dead})
	switch in.op {
	case opIf:
		s.edges++
		s.split()
	case opLoop:
		if s.work.loops++; s.work.loops > g.Loops {
			return s.over("function_loops", "has more than %d loops", g.Loops)
		}
		if s.within++; s.within > g.LoopDepth {
			return s.over("loop_depth", "has more than %d loops in one another", g.LoopDepth)
		}
		s.nested = max(s.nested, s.within)
		s.splits++
		s.edges++
		s.next(0)
	}
	return nil
}

// otherwise ends the first arm of an if.
func (s *scan) otherwise() {
	top := &s.open[len(s.open)-1]
	top.op = opElse
	if top.dead {
		return
	}
	s.edges++
	if !s.dead {
		top.ways, top.from = top.ways+1, max(top.from, s.run)
	}
	s.dead = false
	s.next(top.chain + 1)
}

func (s *scan) leave() {
	last := len(s.open) - 1
	top := s.open[last]
	s.open = s.open[:last]
	if top.op == opLoop {
		s.within--
		return // ways to a loop lead to its begin
	}
	if top.dead {
		return
	}
	if top.op == opIf { // past it
		top.ways, top.from = top.ways+1, max(top.from, top.chain)
	}
	if !s.dead {
		top.ways, top.from = top.ways+1, max(top.from, s.run)
	}
	s.edges++
	switch s.dead = top.ways == 0; {
	case top.ways > 1:
		s.joins++
		s.next(0)
	case top.ways == 1:
		s.next(top.from + 1)
	}
}

// branch counts a way to a label.
func (s *scan) branch(label uint32) {
	if s.dead {
		return
	}
	s.edges++
	to := &s.open[len(s.open)-1-int(label)]
	to.ways, to.from = to.ways+1, max(to.from, s.run)
	s.linear += nsOfValues(to.arity)
}

// split ends a basic block by a condition.
func (s *scan) split() {
	s.splits++
	s.edges++
	s.next(s.run + 1)
}

// next begins a basic block.
func (s *scan) next(chain int) {
	s.block++
	s.run = chain
	s.work.chain = max(s.work.chain, chain)
}

func (s *scan) called(t *funcType) { s.linear += nsOfValues(len(t.params) + len(t.results)) }

// nsOfValues is what values cost that are handed over at once. Beyond what fits
// into registers each takes several times as long, and memory.
func nsOfValues(n int) int { return nsValue * n * (1 + n/32) }

func (s *scan) read(local uint32) {
	if s.dead || s.set[local] == s.block {
		return
	}
	s.reads++
	if !s.known[local] {
		s.known[local] = true
		s.carried++
	}
}
