package wasm

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/inspect"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// call numbers of a Guest without imports, and locals of its functions.
const (
	numBuf  = 1
	numCall = 2

	localI32 = 2 // of four
	localI64 = 6 // of two
)

// runaways are guests that do not end by themselves, one for each way to spend
// time. Those with stack end by it.
func runaways() map[string]Guest {
	loop := func(body ...[]byte) Guest { return Guest{Call: Join(Forever(Join(body...)), Unreachable())} }
	op := func(b ...byte) []byte { return b }
	// f(n) = f(n-1) + f(n-1): no loop anywhere.
	once := Join(Get(0), I32(1), Sub(), I32(1), Invoke(numCall), Drop())
	tree := Join(Get(1), op(0x45), If(Join(I32(62), Put(0))),
		Get(0), I32(0), op(0x4a), If(Join(once, once)), Pack(abi.TagNone, 0, 0))
	// The next address lies far away and depends on the last load.
	chase := Join(Get(localI32), Load(), Get(localI32), I32(0x9e3779b1-1<<32), op(0x6c), op(0x6a), I32(0x2545f491), op(0x6a), I32(1<<25-8), op(0x71), Put(localI32))
	touched := Join(I32(0), I32(7), I32(512<<16), op(0xfc, 11, 0))
	wide := bytes.Repeat(Join(Get(localI64), I64(3), op(0x7e), I64(7), op(0x7c), Put(localI64)), 8000)
	return map[string]Guest{
		"tight":     loop(),
		"sum":       loop(Get(localI64), I64(1), op(0x7c), Put(localI64)),
		"wide":      loop(wide),
		"wide once": {Call: Join(Forever(seldom(wide)), Unreachable())},
		"division":  loop(Get(localI64), I64(0x7fffffffffff), op(0x84), I64(3), op(0x80), Put(localI64)),
		"root":      loop(Get(localI64), op(0xbf), op(0x9f), op(0xbd), Put(localI64)),
		"chase":     {Pages: 512, Call: Join(touched, Forever(chase), Unreachable())},
		"fill":      {Pages: 512, Call: Join(Forever(Join(I32(0), I32(7), I32(512<<16), op(0xfc, 11, 0))), Unreachable())},
		"fill some": {Pages: 512, Call: Join(Forever(Join(I32(0), I32(7), I32(4096), op(0xfc, 11, 0))), Unreachable())},
		"copy":      {Pages: 512, Call: Join(Forever(Join(I32(1<<20), I32(0), I32(256<<16), op(0xfc, 10, 0, 0))), Unreachable())},
		"grow":      loop(I32(1), Grow(), Drop()),
		"grow none": loop(I32(0), Grow(), Drop()),
		"vectors":   {Call: Join(Forever(bytes.Repeat(Join(Get(localI64), op(0xfd, 18), op(0xfd, 0xef, 1), op(0xfd, 29, 0), Put(localI64)), 50)), Unreachable())},
		"table":     loop(op(0x02, 0x40, 0x02, 0x40), Get(localI32), op(0x0e, 1, 0, 1), op(0x0b, 0x0b), Get(localI32), I32(1), op(0x73), Put(localI32)),
		"tree":      {Call: tree},
		"calls":     {Buf: I32(InputAt), Call: Join(Forever(Join(I32(1), Invoke(numBuf), Drop())), Unreachable())},
		"host":      {Imports: []Import{Host(abi.ImportNow, ":I")}, Call: Join(Forever(Join(Invoke(0), Drop())), Unreachable())},
		"clock":     {Imports: []Import{WASI("clock_time_get", "iIi:i")}, Call: Join(Forever(Join(I32(0), I64(0), I32(DataAt), Invoke(0), Drop())), Unreachable())},
		"random":    {Pages: 32, Imports: []Import{Host(abi.ImportRandom, "ii:i")}, Call: Join(Forever(Join(I32(0), I32(1<<20), Invoke(0), Drop())), Unreachable())},
	}
}

// paying is a body of Buf that does not leave its price to who calls it.
var paying = Join(bytes.Repeat([]byte{0x41, 0, 0x1a}, 100), I32(InputAt))

// seldom runs code once in a long while, so that its price is paid for nothing.
func seldom(code []byte) []byte {
	return Join(Get(localI32), I32(1), []byte{0x6a}, []byte{0x22, localI32}, I32(1023), []byte{0x71, 0x45}, If(code))
}

// W8, G3, G12: whatever a guest spends its time on, it ends at its budget, and
// the collector of the host runs meanwhile. Security 23, 25.
// Cases: 23, 25.
func TestRunawayGuestsEnd(t *testing.T) {
	t.Parallel()
	for name, g := range runaways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPool(t, g, PoolConfig{Limits: tenant.Limits{GuestTimeout: 20 * time.Millisecond, MaxHostCalls: 1 << 40, MaxMemoryBytes: 40 << 20}})
			var late *DeadlineError
			if err := fails(t, p, Call{}, abi.Deadline); !errors.As(err, &late) || !late.Guest {
				t.Errorf("got %v", err)
			}
		})
	}
}

// G4: recursion ends at the stack's bytes, whatever the frames are like, with and
// without loops, alone, in pairs and through a table. Security 24.
// Cases: 24.
func TestRecursionEndsAtTheStack(t *testing.T) {
	t.Parallel()
	self := Join(Get(0), Get(1), Invoke(numCall))
	for name, g := range map[string]Guest{
		"direct":  {Call: self},
		"frames":  {Call: self, Wide: 900},
		"loop":    {Call: Join([]byte{0x03, 0x7e}, self, []byte{0x0b})},
		"pairs":   {Buf: Join(Get(0), Get(0), Invoke(numCall), []byte{0xa7}), Call: Join(Get(0), Invoke(numBuf), []byte{0xad})},
		"returns": {Call: Join([]byte{0x02, 0x40}, self, Return(), []byte{0x0b}, I64(0))},
		"table": { // its only element is the function, of the third type
			Raw:  map[byte][]byte{4: {1, 0x70, 0, 1}, 9: {1, 0, 0x41, 0, 0x0b, 1, numCall}},
			Call: Join(Get(0), Get(1), I32(0), []byte{0x11, 2, 0}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "pairs" {
				g.Buf = Join(Get(0), I32(abi.InputBuffer), []byte{0x46}, []byte{0x04, 0x7f}, I32(InputAt), []byte{0x05}, g.Buf, []byte{0x0b})
				g.Call = Join(I32(1), Invoke(numBuf), []byte{0xad})
			}
			p := newPool(t, g, PoolConfig{})
			var trap *TrapError
			if err := fails(t, p, Call{}, abi.GuestStack); !errors.As(err, &trap) || trap.Kind != TrapStack || !strings.Contains(trap.Trace, "\n\t.$3(i32,i32) i64") || strings.Contains(trap.Trace, "tick") {
				t.Errorf("got %v, trace %q", err, trap.Trace)
			}
		})
	}
}

// G4: the stack is given back on every way out of a function, so that a call may
// go deep again and again; and what wazero made for a deep one is not kept.
// Cases: 24.
func TestStackIsGivenBack(t *testing.T) {
	t.Parallel()
	// Each level leaves its frame by another way: the end, a return, a branch out
	// of two blocks, and a branch table.
	down := Join(Get(0), I32(1), Sub(), Get(1), Invoke(numCall), Drop())
	ways := Join(
		Get(0), I32(3), []byte{0x71, 0x45}, If(Join(down, I64(0), Return())),
		[]byte{0x02, 0x40}, Get(0), I32(3), []byte{0x71}, I32(1), []byte{0x46}, []byte{0x04, 0x40}, down, I64(0), []byte{0x0c, 2, 0x0b, 0x0b},
		Get(0), I32(3), []byte{0x71}, I32(2), []byte{0x46}, If(Join(down, I64(0), I32(0), []byte{0x0e, 1, 1, 1})),
		down)
	// 2 MiB hold about 6 000 of these frames: 100 times 2 000 fit only if they are
	// given back.
	body := Join(Get(0), I32(0), []byte{0x4c}, If(Join(Repeat(100, localI32, Join(I32(2000), Get(1), Invoke(numCall), Drop())), Pack(abi.TagNone, 0, 0), Return())),
		Get(0), I32(1), []byte{0x46}, If(Join(Pack(abi.TagNone, 0, 0), Return())),
		ways, Pack(abi.TagNone, 0, 0))
	p := newPool(t, Guest{Call: body}, PoolConfig{})
	for range 3 {
		call(t, p, Call{})
	}
	if s := p.Stats(); s.Started != 1 {
		t.Errorf("stats %+v", s)
	}
}

// X8: a trace names functions as the module's own names say, although the meter
// gave them other numbers.
func TestTracesHaveTheNamesOfTheModule(t *testing.T) {
	t.Parallel()
	names := Join([]byte{4}, []byte("name"), Section(1, Join([]byte{2, 1, 3}, []byte("buf"), []byte{2, 8}, []byte("run.away"))))
	p := newPool(t, Guest{Call: Unreachable(), Extra: Section(0, names)}, PoolConfig{})
	var trap *TrapError
	if err := fails(t, p, Call{}, abi.GuestTrap); !errors.As(err, &trap) || !strings.Contains(trap.Trace, "\n\t.run.away(i32,i32) i64") {
		t.Errorf("trace %q", trap.Trace)
	}
}

// G3: what a host function does is taken from the guest's fuel, but for what is
// too little to be counted.
func TestHostFunctionsTakeFuel(t *testing.T) {
	t.Parallel()
	p := newPool(t, Guest{}, PoolConfig{})
	i, err := p.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.put(t.Context(), i)
	full := inspect.Meter(i.meter.Get())
	i.frame.charge(100)
	if got := inspect.Meter(i.meter.Get()); got != full {
		t.Errorf("a hundred units were counted: %x of %x", got, full)
	}
	i.frame.charge(1000)
	if got := inspect.Meter(i.meter.Get()); got != full.Less(1000) || got == full {
		t.Errorf("after a thousand units the meter is %x of %x", got, full)
	}
}

// G3: what host functions do for a guest is paid for, too: without a loop in its
// code, the guest ends at its budget all the same.
// Cases: 23.
func TestHostFunctionsArePaidFor(t *testing.T) {
	t.Parallel()
	imports := []Import{Host(abi.ImportRandom, "ii:i"), Host(abi.ImportLog, "iii:i")}
	const fills = 1000 // a second of random bytes
	fill := Join(I32(0), I32(1<<20), Invoke(0), Drop(), I32(abi.LogInfo), I32(0), I32(0), Invoke(1), Drop(), I32(1), Invoke(2+numBuf), Drop())
	body := Join(bytes.Repeat(fill, fills), Pack(abi.TagNone, 0, 0))
	p := newPool(t, Guest{Imports: imports, Pages: 32, Buf: paying, Call: body}, PoolConfig{Limits: tenant.Limits{
		GuestTimeout: 5 * time.Millisecond, MaxHostCalls: 1 << 40, MaxGuestLogLines: fills,
	}})
	var late *DeadlineError
	lines := 0
	if err := fails(t, p, Call{Log: func(int, string) { lines++ }}, abi.Deadline); !errors.As(err, &late) || !late.Guest {
		t.Errorf("got %v", err)
	}
	// Unpaid, several hundred fit between two ticks.
	if lines >= fills/4 {
		t.Errorf("it filled %d times", lines)
	}
}

// G3: between two payments a guest may call many host functions. They look at the
// clock themselves.
// Cases: 23.
func TestHostFunctionsLookAtTheClock(t *testing.T) {
	t.Parallel()
	const calls, budget = 5000, 10 * time.Millisecond
	say := Join(I32(abi.LogInfo), I32(0), I32(0), Invoke(0), Drop())
	p := newPool(t, Guest{Imports: []Import{Host(abi.ImportLog, "iii:i")}, Call: Join(bytes.Repeat(say, calls), Pack(abi.TagNone, 0, 0))}, PoolConfig{Limits: tenant.Limits{
		GuestTimeout: budget, MaxGuestLogLines: calls,
	}})
	lines := 0
	err := fails(t, p, Call{Log: func(int, string) {
		if lines++; lines == 1 {
			for began := time.Now(); time.Since(began) <= budget; { // now its time is over
				runtime.Gosched()
			}
		}
	}}, abi.Deadline)
	if late := new(DeadlineError); !errors.As(err, &late) || !late.Guest || lines > 64 {
		t.Errorf("got %v after %d calls", err, lines)
	}
}

// G4: the stack's bytes are the tenant's limit, less or more than what a call has
// before it counts as deep.
// Cases: 24.
func TestStackIsTheTenantsLimit(t *testing.T) {
	t.Parallel()
	// Goes down by as many frames as the input has bytes.
	down := Join(Get(1), If(Join(Get(0), Get(1), I32(1), Sub(), Invoke(numCall), Drop())), I64(int64(abi.Pack(abi.TagNone, 0, 0))))
	for _, size := range []int64{64 << 10, 256 << 10, 1 << 20, 8 << 20} {
		p := newPool(t, Guest{Call: down}, PoolConfig{Limits: tenant.Limits{MaxStackBytes: size}})
		frames := int(size) / (64 + 16*16) // a little more than a frame has
		call(t, p, Call{Input: make([]byte, frames/2)})
		fails(t, p, Call{Input: make([]byte, frames*2)}, abi.GuestStack)
	}
}
