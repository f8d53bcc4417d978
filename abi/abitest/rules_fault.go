package abitest

import (
	"fmt"

	"weir/abi"
)

func faultRules() []*HostRule {
	return []*HostRule{ruleFaults(), ruleDeadlines(), ruleMemory(), ruleFloods()}
}

// called is weir_call's index in a guest that imports weir1 and more functions.
func called(imports []imported) int { return len(imports) + 2 }

func ruleFaults() *HostRule {
	r := &HostRule{Name: "host.faults", Says: "After a trap, an exit, a deadline or a broken contract it is dropped", Traps: "security 24, 34, 37"}
	imports := append(weir1(), imported{abi.WASIModule, "proc_exit", "i:"})
	exit := len(imports) - 1
	b := r.book(guest{imports: imports}, Setup{HostCalls: 1 << 30})
	for _, kind := range []abi.Kind{abi.Query, abi.Mutation, abi.Policy} {
		b.fails("unreachable in a "+string(kind), trap, Call{Kind: kind}, abi.GuestTrap)
	}
	b.fails("division by zero", cat(ints(1, 0), div, drop, none), Call{}, abi.GuestTrap)
	b.fails("overflow of a division", cat(ints(-1<<31, -1), div, drop, none), Call{}, abi.GuestTrap)
	b.fails("a read behind the memory", cat(i32c(memorySize), load, drop, none), Call{}, abi.GuestTrap)
	b.fails("a read over the end", cat(i32c(memorySize-3), load, drop, none), Call{}, abi.GuestTrap)
	b.fails("a read at 2^32-1", cat(i32c(-1), load, drop, none), Call{}, abi.GuestTrap)
	b.fails("a write behind the memory", cat(ints(memorySize, 1), store, none), Call{}, abi.GuestTrap)
	for _, status := range []int32{0, 1, 7, -1, -1 << 31} {
		b.fails(fmt.Sprintf("exit with %d", status), cat(i32c(status), invoke(exit), none), Call{}, abi.GuestExit)
	}
	again := cat(get(0), get(1), invoke(called(imports)))
	b.fails("recursion", again, Call{}, abi.GuestStack)
	b.fails("recursion between statements", cat(askUsual, drop, again), Call{}, abi.GuestStack)
	b.fails("recursion of weir_buf and weir_call", cat(i32c(1), invoke(called(imports)-1), drop, again), Call{}, abi.GuestStack)
	return r
}

func ruleDeadlines() *HostRule {
	r := &HostRule{Name: "host.deadlines", Says: "Passing a deadline, and calling too often, end the guest at once", Traps: "G3, G10, G12, security 23, 33"}
	n := len(weir1())
	b := r.book(guest{imports: append(weir1(), imported{abi.WASIModule, "clock_time_get", "iIi:i"}, imported{abi.WASIModule, "fd_write", "iiii:i"})},
		Setup{GuestTimeout: short, HostCalls: 1 << 30})
	loop := func(name string, body code) {
		b.fails(name, cat(forever(body), trap), Call{}, abi.Deadline)
	}
	loop("a loop", nil)
	loop("a loop with host calls", cat(host(abi.ImportNow), drop))
	loop("a loop with WASI's clock", cat(i32c(1), i64c(0), i32c(dataAt), invoke(n), drop))
	loop("a loop that writes", cat(ints(1, dataAt, 0, dataAt), invoke(n+1), drop))
	loop("a loop of copies", cat(ints(0, 4096, memorySize-4096), code{0xfc, 0x0a, 0, 0}))
	loop("a loop of fills", cat(ints(0, 0, memorySize), code{0xfc, 0x0b, 0}))
	loop("a loop that draws", cat(host(abi.ImportRandom, ints(0, memorySize)), drop))
	b.fails("a loop after a statement", cat(rowsLen(askUsual), drop, forever(nil), trap), Call{}, abi.Deadline)
	b.fails("a loop in a policy", cat(forever(nil), trap), Call{Kind: abi.Policy}, abi.Deadline)
	return r
}

func ruleMemory() *HostRule {
	r := &HostRule{Name: "host.memory", Says: "`module_bytes`; `memory_bytes`", Traps: "G7, security 25"}
	b := r.book(guest{}, Setup{MemoryBytes: 1 << 20})
	b.fails("growth until it traps", cat(forever(cat(i32c(1), grow, i32c(-1), equal, when(trap))), trap), Call{}, abi.GuestMemory)
	b.number("a guest that takes no for an answer", cat(i32c(1000), grow), -1)
	b.number("65536 pages", cat(i32c(65536), grow), -1)
	b.number("2^32-1 pages", cat(i32c(-1), grow), -1)
	b.number("growth up to the limit, touched", cat(i32c(16-pages), grow, drop, i32c(1<<20-4), i32c(7), store, i32c(1<<20-4), load), 7)
	b.number("growth is no failure", i32c(1), 1)
	r.loads = append(r.loads, loadCase{
		name: "more memory at the start than the limit", module: with(func(g *guest) { g.pages = 17 }), setup: Setup{MemoryBytes: 1 << 20}, want: refused,
	})
	return r
}

func ruleFloods() *HostRule {
	r := &HostRule{Name: "host.floods", Says: "host functions called (WASI's are not counted); statements; open handles", Traps: "security 32"}
	n := len(weir1())
	b := r.book(guest{imports: append(weir1(), imported{abi.WASIModule, "clock_time_get", "iIi:i"})}, Setup{HostCalls: 100})
	calls := func(n int32) code { return cat(repeat(n, localA, cat(host(abi.ImportNow), drop)), none) }
	b.add("host calls up to the bound", calls(100), Call{}, nothing(nil))
	b.fails("one more", calls(101), Call{}, abi.HostCalls)
	b.fails("a million", calls(1_000_000), Call{}, abi.HostCalls)
	b.fails("a million logs", cat(repeat(1_000_000, localA, cat(host(abi.ImportLog, ints(1, dataAt, 1)), drop)), none), Call{}, abi.HostCalls)
	b.add("WASI's are not counted", cat(repeat(1000, localA, cat(i32c(1), i64c(0), i32c(dataAt), invoke(n), drop)), none), Call{}, nothing(nil))
	s := r.book(guest{}, Setup{Statements: 5, Handles: 1000, HostCalls: 1 << 30})
	ask := cat(askUsual, set(localB))
	s.number("statements up to the bound", cat(repeat(5, localA, ask), get(localB)), 5)
	s.errno("one more", cat(repeat(6, localA, ask), get(localB)), abi.ErrnoLimit)
	s.errno("a hundred thousand", cat(repeat(100_000, localA, ask), get(localB)), abi.ErrnoLimit)
	s.errno("closing them helps nothing", cat(repeat(6, localA, cat(ask, host(abi.ImportClose, get(localB)), drop)), get(localB)), abi.ErrnoLimit)
	h := r.book(guest{}, Setup{Handles: 5, Statements: 1000})
	pick := cat(host(abi.ImportRowsPick, i32c(1), ints(dataAt, 0)), set(localB))
	h.number("handles up to the bound", cat(ask, repeat(4, localA, pick), get(localB)), 5)
	h.errno("one more", cat(ask, repeat(5, localA, pick), get(localB)), abi.ErrnoLimit)
	h.number("closing helps", cat(ask, repeat(100, localA, cat(pick, host(abi.ImportClose, get(localB)), drop)), get(localB)), 101)
	return r
}
