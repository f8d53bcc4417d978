package abitest

import (
	"fmt"
	"strings"

	"weir/abi"
	"weir/abi/conform"
)

func worldRules() []*HostRule {
	return []*HostRule{ruleNow(), ruleRandom(), ruleConfig(), ruleLog(), ruleClocks(), rulePoll(), ruleWASI()}
}

func ruleNow() *HostRule {
	r := &HostRule{Name: "host.now", Says: "µs since 1970, the same during a call", Traps: "D9, security 38"}
	b := r.book(guest{}, Setup{})
	b.add("now", number(host(abi.ImportNow)), Call{Now: 1_234_567_890_123_456}, is(1_234_567_890_123_456))
	b.add("after statements it is the same", number(cat(rowsLen(askUsual), drop, host(abi.ImportNow))), Call{Now: 77}, is(77))
	const second = 1_000_000
	for _, c := range []struct {
		asked []int64
		want  int64
	}{
		{nil, 0},
		{[]int64{usualNow + 5*second}, usualNow + 5*second},
		{[]int64{usualNow + 9*second, usualNow + 3*second, usualNow + 7*second}, usualNow + 3*second},
		{[]int64{usualNow + 1}, usualNow + second},
		{[]int64{usualNow}, usualNow + second},
		{[]int64{0}, usualNow + second},
		{[]int64{-1 << 63}, usualNow + second},
	} {
		var body code
		for _, us := range c.asked {
			body = cat(body, host(abi.ImportWakeAt, i64c(us)), drop)
		}
		b.add(fmt.Sprintf("wake_at of %d", c.asked), cat(body, none), Call{}, nothing(func(o *Outcome) string {
			if o.WakeAt != c.want {
				return fmt.Sprintf("it wakes at %d, want %d", o.WakeAt, c.want)
			}
			return ""
		}))
	}
	return r
}

func ruleRandom() *HostRule {
	r := &HostRule{Name: "host.random", Says: "fills memory, at most 1 MiB at once: the same for each run of a group, unpredictable in mutations", Traps: "G11"}
	n := len(weir1())
	b := r.book(guest{imports: append(weir1(), imported{abi.WASIModule, "random_get", "ii:i"}), pages: 20}, Setup{})
	draw := number(cat(host(abi.ImportRandom, ints(dataAt, 8)), drop, i32c(dataAt), load8))
	wasi := number(cat(ints(dataAt, 8), invoke(n), drop, i32c(dataAt), load8))
	drawn := map[string]int64{}
	f := func(name string, body code, kind abi.Kind, seed byte, same, other string) {
		b.add(name, body, Call{Kind: kind, Seed: seed}, func(o *Outcome, err error) string {
			got, why := numberIn(o, err)
			if why != "" {
				return why
			}
			drawn[name] = got
			if first, ok := drawn[same]; ok && got != first {
				return fmt.Sprintf("it drew %x, and %x before", got, first)
			}
			if first, ok := drawn[other]; ok && got == first {
				return fmt.Sprintf("it drew %x, as before", got)
			}
			return ""
		})
	}
	for _, kind := range []abi.Kind{abi.Query, abi.Policy} {
		k := string(kind)
		f("a "+k, draw, kind, 1, "", "")
		f("a "+k+" again", draw, kind, 1, "a "+k, "")
		f("a "+k+" of another seed", draw, kind, 2, "", "a "+k)
		f("a "+k+" by WASI", wasi, kind, 1, "a "+k, "")
	}
	f("a mutation", draw, abi.Mutation, 1, "", "a query")
	f("a mutation again", draw, abi.Mutation, 1, "", "a mutation")
	b.add("two draws differ", number(cat(
		ints(dataAt, 8), host(abi.ImportRandom), drop, ints(dataAt+8, 8), host(abi.ImportRandom), drop,
		i32c(dataAt), load8, i32c(dataAt+8), load8, differ8, extend)), Call{}, is(1))
	b.number("1 MiB", host(abi.ImportRandom, ints(0, 1<<20)), 0)
	b.errno("1 MiB and one", host(abi.ImportRandom, ints(0, 1<<20+1)), abi.ErrnoLimit)
	b.number("1 MiB and one by WASI", cat(ints(0, 1<<20+1), invoke(n)), 28)
	return r
}

func ruleConfig() *HostRule {
	r := &HostRule{Name: "host.config", Says: "text of a key in `[plugin.NAME.config]`"}
	b := r.book(guest{data: map[uint32][]byte{dataAt: []byte("greeting"), dataAt + 100: {0xff}, dataAt + 200: []byte(strings.Repeat("k", 300))}}, Setup{})
	call := Call{Config: map[string]string{"greeting": "hello", "greetin": "", strings.Repeat("k", 255): "long"}}
	ask := func(key, n int32) code { return host(abi.ImportConfig, ints(key, n, dataAt+1000, 100)) }
	b.add("a key", number(cat(ask(dataAt, 8), extend)), call, is(5))
	b.add("an empty value", number(cat(ask(dataAt, 7), extend)), call, is(0))
	b.add("no such key", number(cat(ask(dataAt, 6), extend)), call, is(-int64(abi.ErrnoMissing)))
	b.add("an empty key", number(cat(ask(dataAt, 0), extend)), call, is(-int64(abi.ErrnoMissing)))
	b.add("a key that is no text", number(cat(ask(dataAt+100, 1), extend)), call, is(-int64(abi.ErrnoMissing)))
	b.add("a key of 255 bytes", number(cat(ask(dataAt+200, 255), extend)), call, is(4))
	b.add("a key of 256 bytes", number(cat(ask(dataAt+200, 256), extend)), call, is(-int64(abi.ErrnoLimit)))
	b.errno("without configuration", ask(dataAt, 8), abi.ErrnoMissing)
	return r
}

// logged wants exactly these lines.
func logged(lines ...string) func(*Outcome, error) string {
	return nothing(func(o *Outcome) string {
		if strings.Join(o.Log, "|") != strings.Join(lines, "|") || len(o.Log) != len(lines) {
			return fmt.Sprintf("logged %q, want %q", o.Log, lines)
		}
		return ""
	})
}

func ruleLog() *HostRule {
	r := &HostRule{Name: "host.log", Says: "0 debug, 1 info, 2 warning, 3 error; one entry for each line", Traps: "G10, security 32, 74"}
	n := len(weir1())
	text := "one\ntwo\x1b[31m\r\xff\nthree\n"
	vectors := cat(u32s(dataAt+100, 3), u32s(dataAt+103, 6))
	g := guest{
		imports: append(weir1(), imported{abi.WASIModule, "fd_write", "iiii:i"}),
		data: map[uint32][]byte{
			dataAt: []byte(text), dataAt + 100: []byte("hi there\n"), dataAt + 200: vectors, dataAt + 300: []byte(strings.Repeat("x", 5000)),
			dataAt + 6000: u32s(dataAt+100, 2), dataAt + 6100: u32s(0xffffffff, 2),
		},
	}
	b := r.book(g, Setup{})
	line := func(level int32) code { return cat(host(abi.ImportLog, ints(level, dataAt+100, 2)), drop) }
	b.add("levels", cat(line(0), line(1), line(2), line(3), none), Call{}, logged("0 hi", "1 hi", "2 hi", "3 hi"))
	for _, level := range []int32{-1, 4, 1 << 30} {
		b.errno(fmt.Sprintf("level %d", level), host(abi.ImportLog, ints(level, dataAt+100, 2)), abi.ErrnoInvalid)
	}
	b.add("lines, without control characters", cat(host(abi.ImportLog, ints(2, dataAt, int32(len(text)))), drop, none), Call{},
		logged("2 one", "2 two\uFFFD[31m\uFFFD\uFFFD", "2 three"))
	b.add("a line is cut at 4 KiB", cat(host(abi.ImportLog, ints(1, dataAt+300, 5000)), drop, none), Call{}, logged("1 "+strings.Repeat("x", 4096)))
	write := func(fd, at, count int32) code { return cat(ints(fd, at, count, dataAt+7000), invoke(n)) }
	b.add("fd_write to 1", cat(write(1, dataAt+200, 2), drop, none), Call{}, logged("1 hi there"))
	b.add("fd_write to 2", cat(write(2, dataAt+200, 2), drop, none), Call{}, logged("2 hi there"))
	b.add("fragments become lines", cat(write(2, dataAt+6000, 1), drop, write(2, dataAt+6000, 1), drop, none), Call{}, logged("2 hihi"))
	b.number("fd_write says how much", cat(write(1, dataAt+200, 2), drop, i32c(dataAt+7000), load), 9)
	b.number("fd_write to 0", write(0, dataAt+200, 2), 8)
	b.number("fd_write to 3", write(3, dataAt+200, 2), 8)
	b.number("fd_write of a piece outside memory", write(1, dataAt+6100, 1), 21)
	b.number("fd_write of pieces outside memory", write(1, memorySize-8, 2), 21)
	b.number("fd_write of too many pieces", write(1, 0, 1<<30), 28)
	flood := r.book(g, Setup{Logs: 10, LogBytes: 100})
	many := func(o *Outcome, err error) string {
		bytes := 0
		if err == nil {
			for _, l := range o.Log {
				bytes += len(l) - 2
			}
		}
		return nothing(func(o *Outcome) string {
			if len(o.Log) == 0 || len(o.Log) > 10 || bytes > 100 {
				return fmt.Sprintf("%d lines of %d bytes are logged", len(o.Log), bytes)
			}
			return ""
		})(o, err)
	}
	flood.add("a flood of lines", cat(repeat(1000, localA, line(1)), none), Call{}, many)
	flood.add("a flood of bytes", cat(repeat(1000, localA, cat(host(abi.ImportLog, ints(1, dataAt+300, 60)), drop)), none), Call{}, many)
	flood.add("a flood by fd_write", cat(repeat(1000, localA, cat(write(1, dataAt+200, 2), drop)), none), Call{}, many)
	flood.add("the next call may log again", cat(line(1), none), Call{}, logged("1 hi"))
	return r
}

func ruleClocks() *HostRule {
	r := &HostRule{Name: "host.clocks", Says: "(realtime is `now`; monotonic starts at 1 s and moves only by `poll_oneoff`)", Traps: "G10, security 39"}
	b := r.book(guest{imports: []imported{{abi.WASIModule, "clock_time_get", "iIi:i"}, {abi.WASIModule, "clock_res_get", "ii:i"}}}, Setup{})
	clock := func(id, at int32) code { return cat(i32c(id), i64c(0), i32c(at), invoke(0)) }
	read := func(id int32) code { return number(cat(clock(id, dataAt), drop, i32c(dataAt), load8)) }
	b.add("realtime", read(0), Call{Now: 5}, is(5000))
	b.add("monotonic", read(1), Call{}, is(1_000_000_000))
	b.add("monotonic does not move", number(cat(repeat(100, localA, cat(clock(1, dataAt), drop)), i32c(dataAt), load8)), Call{}, is(1_000_000_000))
	b.number("another clock", clock(2, dataAt), 28)
	b.number("an address outside memory", clock(0, -1), 21)
	b.number("an address over the end", clock(1, memorySize-7), 21)
	b.number("resolution", cat(ints(0, dataAt), invoke(1)), 0)
	return r
}

func rulePoll() *HostRule {
	r := &HostRule{Name: "host.poll", Says: "`poll_oneoff` (returns at once, having slept)", Traps: "G10"}
	b := r.book(guest{imports: []imported{{abi.WASIModule, "clock_time_get", "iIi:i"}, {abi.WASIModule, "poll_oneoff", "iiii:i"}}}, Setup{})
	subscribe := func(i int32, kind byte, timeout int64, flags int32) code {
		at := dataAt + 48*i
		return cat(i32c(at), i64c(77+int64(i)), store8, i32c(at+8), i32c(int32(kind)), store,
			i32c(at+16), i32c(1), store, i32c(at+24), i64c(timeout), store8, i32c(at+40), i32c(flags), store)
	}
	poll := func(n int32) code { return cat(ints(dataAt, dataAt+8192, n, dataAt+8000), invoke(1)) }
	events := func(n int32) code { return cat(poll(n), drop, i32c(dataAt+8000), load) }
	const local9 = local8 + 1
	clock := cat(i32c(1), i64c(0), i32c(dataAt+9000), invoke(0), drop, i32c(dataAt+9000), load8)
	// What came before may have slept, so the clock is read twice.
	slept := func(n int32) code {
		return number(cat(clock, set(local9), poll(n), drop, clock, get(local9), minus8))
	}
	in := func(ns int64) code { // the timeout of the first subscription, from now
		return cat(i32c(dataAt+24), clock, i64c(ns), add8, store8)
	}
	// A case must not see what another slept: each is a guest of its own.
	one := func(name string, body code, want int64) {
		c := &book{guest: b.guest}
		c.add(name, body, Call{}, is(want))
		r.books = append(r.books, c)
	}
	one("a timeout has passed", cat(subscribe(0, 0, 3_600_000_000_000, 0), slept(1)), 3_600_000_000_000)
	one("the earliest of two", cat(subscribe(0, 0, 7e12, 0), subscribe(1, 0, 3e12, 0), slept(2)), 3e12)
	one("one event", cat(subscribe(0, 0, 7e12, 0), subscribe(1, 0, 3e12, 0), number(cat(events(2), extend))), 1)
	one("its user data", cat(subscribe(0, 0, 7e12, 0), subscribe(1, 0, 3e12, 0), events(2), drop, number(cat(i32c(dataAt+8192), load8))), 78)
	one("two that end together", cat(subscribe(0, 0, 5, 0), subscribe(1, 0, 5, 0), number(cat(events(2), extend))), 2)
	one("an absolute time", cat(subscribe(0, 0, 0, 1), in(4e9), slept(1)), 4e9)
	one("an absolute time that is over", cat(subscribe(0, 0, 3, 1), slept(1)), 0)
	one("a file is never ready", cat(subscribe(0, 0, 5e9, 0), subscribe(1, 1, 0, 0), slept(2)), 0)
	b.number("no subscriptions", poll(0), 28)
	b.number("too many", poll(1<<30), 28)
	b.number("outside memory", cat(ints(memorySize-47, dataAt, 1, dataAt), invoke(1)), 21)
	b.number("events outside memory", cat(ints(dataAt, memorySize-31, 1, dataAt), invoke(1)), 21)
	return r
}

func ruleWASI() *HostRule {
	r := &HostRule{Name: "host.wasi", Says: "The rest of preview 1 may be imported and fails with ENOSYS", Traps: "security 16"}
	answered := map[string]int64{
		"args_get": 0, "args_sizes_get": 0, "environ_get": 0, "environ_sizes_get": 0, "clock_res_get": 0, "clock_time_get": 0,
		"random_get": 0, "sched_yield": 0, "poll_oneoff": 28, "fd_write": 8, "fd_prestat_get": 8, "fd_prestat_dir_name": 8,
	}
	var imports []imported
	for _, f := range conform.WASIFunctions() {
		imports = append(imports, imported{f.Module, f.Name, f.Type})
	}
	b := r.book(guest{imports: imports, data: map[uint32][]byte{dataAt: []byte(strings.Repeat("\xff", 16))}}, Setup{})
	for i, f := range conform.WASIFunctions() {
		want, ok := answered[f.Name]
		if !ok {
			want = 52
		}
		if f.Name != "proc_exit" { // host.faults has it
			b.number(f.Name, cat(argsOf(f), invoke(i)), want)
		}
	}
	at := func(name string) int {
		for i, f := range imports {
			if f.name == name {
				return i
			}
		}
		panic("BUG: no " + name)
	}
	for _, name := range []string{"args_sizes_get", "environ_sizes_get"} {
		b.add(name+" has none", number(cat(ints(dataAt, dataAt+4), invoke(at(name)), drop, i32c(dataAt), load8)), Call{}, is(0))
		b.number(name+" outside memory", cat(ints(-1, dataAt), invoke(at(name))), 21)
	}
	return r
}
