package wasm

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"weir/abi"
	"weir/host/inspect"
	. "weir/host/wasm/wasmtest"
)

// G3: whatever a guest runs, it has paid for. Programs of all shapes count in
// memory what they do, and the meter must have taken at least that: loops in loops,
// loops that jump by table as Go's do, and such loops with other jumps into them.
func TestEverythingIsPaidFor(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ran, dispatched := 0, 0
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2))
	defer r.Close(ctx)
	tick := r.NewHostModuleBuilder(inspect.MeterModule)
	used := api.GoModuleFunc(func(context.Context, api.Module, []uint64) { panic("it used all of its fuel") })
	tick.NewFunctionBuilder().WithGoModuleFunction(used, []api.ValueType{i64}, []api.ValueType{i64}).Export(inspect.MeterTick)
	if _, err := tick.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(len(unpaid)) + 400/oneIn {
		g := spender{rand: rand.New(rand.NewPCG(seed, 3))}
		body := g.sequence(0, 3)
		if seed < uint64(len(unpaid)) {
			body = unpaid[seed]
		}
		code := Join(Get(1), Put(2), body, Pack(abi.TagNone, 0, 0))
		shape, err := inspect.Parse(Guest{Buf: paying, Call: code}.Bytes())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		m, err := shape.Meter()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		mod, err := r.InstantiateWithConfig(ctx, m.Code, wazero.NewModuleConfig().WithName(""))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for draw := range uint64(5) {
			const fuel, free = 1 << 20, 64 // who calls a small function pays for it, and this is the host
			mod.Memory().WriteUint32Le(DataAt, 0)
			meter := mod.ExportedGlobal(inspect.MeterGlobal).(api.MutableGlobal)
			meter.Set(uint64(inspect.NewMeter(fuel, 1<<20)))
			_, err := mod.ExportedFunction(abi.ExportCall).Call(ctx, 0, seed*5+draw)
			cost, _ := mod.Memory().ReadUint32Le(DataAt)
			ran += int(cost)
			paid := fuel - int(inspect.Meter(meter.Get()).Fuel())
			if paid+free < int(cost) {
				t.Errorf("seed %d: what costs %d was run for %d (%v)", seed, cost, paid, err)
			}
		}
		dispatched += g.dispatches
		if err := mod.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if ran < 1_000_000/oneIn || dispatched < 200/oneIn {
		t.Errorf("programs with %d dispatches ran what costs %d", dispatched, ran)
	}
}

// spender writes the body of a function at random. Local 2 decides where it goes,
// local 3 where a dispatch does.
type spender struct {
	rand       *rand.Rand
	dispatches int
}

// unpaid are programs that would run so if the meter were a little wrong.
var unpaid = [][]byte{
	// Past the payment of each group, by a branch, by a table, and back as Go does.
	Join(I32(1), Put(3), skipping(30, func(left int) []byte { return []byte{0x0c, byte(min(left, 2))} })),
	Join(I32(1), Put(3), skipping(30, func(left int) []byte { return Join(Get(3), []byte{0x0e, 0, byte(min(left, 2))}) })),
	skipping(30, func(left int) []byte { return Join(I32(int32(30-left)), Put(3), []byte{0x0c, byte(left)}) }),
	// What others pay in a loop, beside and inside another one.
	Forever(Join(bytes.Repeat(count(0), 3), Repeat(3, 4, Join(count(210), I32(0), Invoke(numBuf), Drop())))),
	Forever(Join(count(210), I32(0), Invoke(numBuf), Drop(), Repeat(50, 4, count(0)))),
	Forever(Join(count(1024), I32(InputAt), I32(InputAt+64), I32(8192), []byte{0xfc, 0x0a, 0, 0})),
}

// skipping is a dispatch of n stretches, each of which ends in what next returns.
func skipping(n int, next func(left int) []byte) []byte {
	code := Join([]byte{0x03, 0x40}, bytes.Repeat([]byte{0x02, 0x40}, n), Get(3), []byte{0x0e, byte(n - 1)})
	for i := range n {
		code = append(code, byte(i))
	}
	code = append(code, 0x0b)
	for left := n - 1; left > 0; left-- {
		code = Join(code, bytes.Repeat(count(0), 4), next(left), []byte{0x0b})
	}
	return Join(code, count(0), []byte{0x0c, 0, 0x0b})
}

// countCost is what counting costs by itself, and mostCost where a program ends.
const (
	countCost = 20
	mostCost  = 40_000
)

// count counts what it costs and the cost of what is beside it, and traps when it
// is too much.
func count(beside int32) []byte {
	return Join(I32(DataAt), I32(DataAt), Load(), I32(-countCost-beside), Sub(), Store(),
		I32(DataAt), Load(), I32(mostCost), []byte{0x4b}, If(Unreachable()))
}

// draw pushes a number below n, a power of two.
func draw(n int32) []byte {
	return Join(count(12), Get(2), I32(1664525), []byte{0x6c}, I32(1013904223), []byte{0x6a}, Put(2),
		Get(2), I32(24), []byte{0x76}, I32(n-1), []byte{0x71})
}

// sequence writes a few statements inside so many blocks.
func (p *spender) sequence(blocks, deep int) []byte {
	var code []byte
	for range 1 + p.rand.IntN(4) {
		code = Join(code, p.statement(blocks, deep))
	}
	return code
}

func (p *spender) statement(blocks, deep int) []byte {
	kind := p.rand.IntN(16)
	if deep == 0 {
		kind = min(kind, 8)
	}
	label := func() byte { return byte(p.rand.IntN(blocks)) }
	switch {
	case kind < 4:
		return bytes.Repeat(count(0), 1+p.rand.IntN(8))
	case kind < 5:
		return Join(count(210), I32(0), Invoke(numBuf), Drop())
	case kind < 6:
		return Join(I32(InputAt), I32(InputAt+64), draw(64), []byte{0xfc, 0x0a, 0, 0}) // memory.copy
	case kind < 9:
		switch {
		case blocks == 0:
			return count(0)
		case kind < 8:
			return Join(draw(2), []byte{0x0d, label()}) // br_if
		}
		return Join(draw(4), []byte{0x0e, 3, label(), label(), label(), label()}) // br_table
	case kind < 10:
		return Join([]byte{0x02, 0x40}, p.sequence(blocks+1, deep-1), []byte{0x0b})
	case kind < 12:
		return Join([]byte{0x03, 0x40}, p.sequence(blocks+1, deep-1), []byte{0x0b})
	case kind < 13:
		return Join(draw(2), []byte{0x04, 0x40}, p.sequence(blocks+1, deep-1), []byte{0x05}, p.sequence(blocks+1, deep-1), []byte{0x0b})
	}
	return p.dispatch(blocks, deep)
}

// dispatch writes a loop that jumps by table to one of its stretches. Some jump to
// each other past it.
func (p *spender) dispatch(blocks, deep int) []byte {
	p.dispatches++
	n := 2 + p.rand.IntN(5)
	code := Join([]byte{0x03, 0x40}, bytes.Repeat([]byte{0x02, 0x40}, n), Get(3), []byte{0x0e, byte(n - 1)})
	for i := range n {
		code = append(code, byte(i))
	}
	code = append(code, 0x0b)
	honest := p.rand.IntN(2) == 0
	for left := n - 1; left >= 0; left-- { // blocks of the dispatch still open, the loop not counted
		inside := blocks + left + 1
		if honest {
			code = Join(code, bytes.Repeat(count(0), p.rand.IntN(12)), draw(8), Put(3), draw(2), []byte{0x0d, byte(left)})
			code = Join(code, p.honest(deep))
		} else {
			code = Join(code, p.sequence(inside, deep-1))
		}
		if left > 0 {
			code = append(code, 0x0b)
		}
	}
	return append(code, 0x0b)
}

// honest is a sequence that jumps nowhere outside itself.
func (p *spender) honest(deep int) []byte { return p.sequence(0, deep-1) }
