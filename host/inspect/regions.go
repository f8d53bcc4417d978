package inspect

// payment is where a function pays again, after its start.
type payment struct {
	at    int    // the end of the instruction that it comes after, in the body's code
	price uint32 // 0: it was found not to be needed
	loop  int    // the loop that it is in, -1 for none
}

// loop is one of a function's loops, in order of appearance.
type loop struct {
	around int  // the loop around it, or -1
	noisy  bool // something in it may pay, or be charged, elsewhere
}

// noise says that something in a loop, or in none: -1, may change the meter: what
// the scratch local holds of it is old then.
func (p *plan) noise(loop int) {
	p.noisy = true
	for ; loop >= 0 && !p.loops[loop].noisy; loop = p.loops[loop].around {
		p.loops[loop].noisy = true
	}
}

// quiet reports whether nothing in a loop, or else in the whole function, changes
// the meter but the function's own payments. A payment there need not read it: a
// loop of few instructions would wait most of its time for what it wrote in the
// pass before.
func (p *plan) quiet(loop int) bool { return !p.noisy || loop >= 0 && !p.loops[loop].noisy }

// pay adds to a payment's price, or to that of the function's start: -1.
func (p *plan) pay(payment int, cost uint32) {
	price := &p.cost
	if payment >= 0 {
		price = &p.payments[payment].price
	}
	*price = min(*price+cost, maxCost)
}

// dispatch is a loop that does nothing but jump by table into one of the stretches
// of code behind it, as Go's compiler makes of every function that jumps or calls:
//
//	loop
//	  block … block
//	    local.get $pc
//	    br_table
//	  end
//	  a stretch
//	  end
//	  another
//	  …
//	end
//
// Every jump of the function passes the header. Were that to pay for all stretches,
// a slice of fuel would be gone in a microsecond. So stretches are put in groups of
// about groupCost, and each group but small first ones is paid for at its start. The
// header pays for the most that a pass can run into before it comes to a payment.
// Nothing but the table may jump to a stretch: it would run unpaid.
type dispatch struct {
	header    int   // its payment
	stretches []int // theirs, in the order of the code
	broken    bool  // something else jumps to one
}

// groupCost is about what a pass of a dispatch pays for beyond what it runs.
const groupCost = 256

// settle fixes the prices of dispatches, once those of their stretches are known.
func (p *plan) settle() {
	for _, d := range p.dispatches {
		group := -1 // the payment of the group's start
		sum, beyond, most := uint32(0), uint32(0), uint32(0)
		for _, i := range d.stretches {
			price := p.payments[i].price
			p.payments[i].price = 0
			switch {
			case d.broken:
				p.pay(d.header, price)
				continue
			case sum+price > groupCost:
				group, sum, beyond = i, 0, 0
			default:
				beyond += price
			}
			sum += price
			if group >= 0 {
				p.payments[group].price = sum
			}
			most = max(most, beyond)
		}
		p.pay(d.header, most)
	}
}

// regions finds what pays for each instruction of a function.
type regions struct {
	*plan
	open []region // the function, then the blocks around the instruction
	// chain counts the blocks since the header of a loop that may be a dispatch, -1
	// if it is none; asked says that the table's operand followed.
	chain int
	asked bool
}

// region is a block: its payment, or -1 for the function's start, the dispatch that
// jumps to its end and the loop that it is in, each -1 if there is none.
type region struct{ payment, dispatch, loop int }

func (p *plan) regions() regions {
	return regions{plan: p, open: []region{{-1, -1, -1}}, chain: -1}
}

func (r *regions) top() *region { return &r.open[len(r.open)-1] }

// begin begins a payment after the instruction.
func (r *regions) begin(in *instr, price uint32) int {
	r.payments = append(r.payments, payment{in.end, price, r.top().loop})
	return len(r.payments) - 1
}

// see takes an instruction in and returns the block that it is in.
func (r *regions) see(in *instr) *region {
	chain, asked := r.chain, r.asked
	r.chain, r.asked = -1, false // unless it goes on
	switch in.op {
	case opLoop:
		r.loops = append(r.loops, loop{around: r.top().loop})
		r.open = append(r.open, region{-1, -1, len(r.loops) - 1})
		r.top().payment = r.begin(in, costLoop)
		r.chain = 0
	case opBlock, opIf:
		r.open = append(r.open, region{r.top().payment, -1, r.top().loop})
		if in.op == opBlock && chain >= 0 && !asked {
			r.chain = chain + 1
		}
	case opLocalGet, opGlobalGet:
		if chain > 0 && !asked {
			r.chain, r.asked = chain, true
		}
	case opBrTable:
		if asked && r.isDispatch(in, chain) {
			break
		}
		for _, l := range in.labels {
			r.jump(l)
		}
	case opBr, opBrIf:
		r.jump(in.a)
	case opEnd:
		if in.unopened {
			break
		}
		closed := *r.top()
		r.open = r.open[:len(r.open)-1]
		if closed.dispatch >= 0 {
			i := r.begin(in, 0)
			r.top().payment = i
			d := &r.dispatches[closed.dispatch]
			d.stretches = append(d.stretches, i)
		}
	}
	return r.top()
}

// isDispatch makes a dispatch of the loop around the last blocks, if the table
// jumps nowhere but to their ends.
func (r *regions) isDispatch(table *instr, blocks int) bool {
	for _, l := range table.labels {
		if l >= uint32(blocks) {
			return false
		}
	}
	for i := range r.open[len(r.open)-blocks:] {
		r.open[len(r.open)-1-i].dispatch = len(r.dispatches)
	}
	r.dispatches = append(r.dispatches, dispatch{header: r.top().payment})
	return true
}

// jump looks at where a branch goes.
func (r *regions) jump(label uint32) {
	if d := r.open[len(r.open)-1-int(label)].dispatch; d >= 0 {
		r.dispatches[d].broken = true
	}
}
