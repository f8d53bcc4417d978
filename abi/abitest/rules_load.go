package abitest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/abi"
	"weir/abi/conform"
)

// HostRules returns all rules for hosts.
func HostRules() []*HostRule {
	return slices.Concat(loadRules(), returnRules(), queryRules(), addressRules(), rowRules(), worldRules(), faultRules())
}

func loadRules() []*HostRule {
	return []*HostRule{ruleExports(), ruleImports(), ruleStart(), ruleEarly(), ruleManifest(), ruleSame(), ruleBuffer(), ruleInput(), ruleSource()}
}

// plain is the smallest guest.
var plain = guest{manifest: honestManifest()}

// with is the smallest guest with a change.
func with(change func(g *guest)) []byte {
	g := plain
	change(&g)
	return g.module()
}

func ruleExports() *HostRule {
	r := &HostRule{Name: "host.exports", Says: "The host checks imports and exports", Traps: "G1, security 1, 15, 17"}
	r.load("a plugin", "", plain.module())
	for _, name := range []string{abi.ExportDescribe, abi.ExportBuf, abi.ExportCall, abi.ExportMemory} {
		r.load("no "+name, refused, with(func(g *guest) { g.without = name }), name)
	}
	for _, f := range []exported{
		{abi.ExportDescribe, ":i", i32c(0)},
		{abi.ExportDescribe, "i:I", i64c(0)},
		{abi.ExportBuf, ":i", i32c(0)},
		{abi.ExportBuf, "I:i", i32c(0)},
		{abi.ExportCall, "ii:i", i32c(0)},
		{abi.ExportCall, "i:I", i64c(0)},
		{abi.ExportInitialize, "i:", nil},
		{abi.ExportInitialize, ":i", i32c(0)},
	} {
		r.load(f.name+" of type "+f.sig, refused, with(func(g *guest) { g.more = []exported{f} }), f.name)
	}
	r.load("a command", refused, with(func(g *guest) {
		g.without, g.more = abi.ExportDescribe, []exported{{"_start", ":", nil}}
	}), "_start")
	r.load("an imported memory", refused, with(func(g *guest) { g.memory = cat(name("env"), name("memory"), code{2, 0, pages}) }), "memory")
	r.load("a start section", refused, with(func(g *guest) { g.start = code{0x01} }), "_initialize")
	module := plain.module()
	r.load("nothing", refused, nil)
	r.load("text", refused, []byte("#!/bin/sh\n"))
	r.load("another magic", refused, append([]byte("\x00asn"), module[4:]...))
	r.load("a component", refused, []byte("\x00asm\x0d\x00\x01\x00"), "component")
	r.load("version 2", refused, []byte("\x00asm\x02\x00\x00\x00"))
	r.load("half a module", refused, module[:len(module)/2])
	r.load("no section", refused, module[:8])
	r.load("a tag section", refused, append(slices.Clip(module), section(13, []byte{1, 0, 0})...))
	r.load("trailing bytes", refused, append(slices.Clip(module), 0xff))
	return r
}

func ruleImports() *HostRule {
	r := &HostRule{Name: "host.imports", Says: "Anything else than the host functions and the part of WASI below, with exactly these types, is refused", Traps: "security 16"}
	known := append(conform.HostFunctions(), conform.WASIFunctions()...)
	all := make([]imported, len(known))
	for i, f := range known {
		all[i] = imported{f.Module, f.Name, f.Type}
		wrong := imported{f.Module, f.Name, "iiiiiiiiii:I"}
		r.load(f.Name+" of another type", refused, with(func(g *guest) { g.imports = []imported{wrong} }), f.Name)
	}
	r.load("all that there is", "", with(func(g *guest) { g.imports = all }))
	for _, f := range []imported{
		{"env", "open", "ii:i"},
		{abi.Module, "http_get", "ii:i"},
		{"weir_2", "query", "iii:i"},
		{"weir_1x", "query", "iii:i"},
		{"", "", ":"},
		{abi.WASIModule, "fd_teleport", "i:i"},
		{"wasi_snapshot_preview2", "fd_write", "iiii:i"},
	} {
		r.load(fmt.Sprintf("%q.%q", f.module, f.name), refused, with(func(g *guest) { g.imports = []imported{f} }), f.module)
	}
	return r
}

// traced is code that writes a step into the guest's list of steps.
func traced(step int32) code {
	at := cat(i32c(roomAt), load)
	return cat(i32c(roomAt+4), at, add, i32c(step), putByte, i32c(roomAt), at, i32c(1), add, store)
}

func ruleStart() *HostRule {
	r := &HostRule{Name: "host.start", Says: "Each instance starts with `_initialize`, `weir_describe`, and `weir_buf(65536)`", Traps: "G6, security 14, 23"}
	m := honestManifest()
	b := r.book(guest{
		init: traced(2), describe: cat(traced(3), value(manifestAt, uint32(len(m)))), manifest: m,
		buf: cat(get(0), i32c(abi.InputBuffer), differ, when(trap), traced(4), i32c(inputAt)),
	}, Setup{})
	b.add("each once, in that order", number(cat(i32c(roomAt), load8)), Call{}, func(o *Outcome, err error) string {
		n, why := numberIn(o, err)
		if steps := n >> 32 & 0xffffff; why == "" && (steps != 2|3<<8|4<<16 || n&0xff < 3) {
			why = fmt.Sprintf("the steps are %#x", n)
		}
		return why
	})
	loop := cat(forever(nil), trap)
	exit := []imported{{abi.WASIModule, "proc_exit", "i:"}}
	for _, c := range []struct {
		name string
		body code
		want abi.Code
	}{
		{"a trap", trap, abi.GuestTrap}, {"a loop", loop, abi.Deadline}, {"an exit", cat(i32c(0), invoke(0), trap), abi.GuestExit},
	} {
		r.load(c.name+" in _initialize", string(c.want), with(func(g *guest) { g.imports, g.init = exit, c.body }))
		r.load(c.name+" in weir_describe", string(c.want), with(func(g *guest) { g.imports, g.describe = exit, c.body }))
		r.load(c.name+" in weir_buf", string(c.want), with(func(g *guest) { g.imports, g.buf = exit, c.body }))
	}
	for i := range r.loads {
		if r.loads[i].want == string(abi.Deadline) {
			r.loads[i].setup.StartTimeout = short
		}
	}
	return r
}

func ruleEarly() *HostRule {
	r := &HostRule{Name: "host.early", Says: "Until then only `log` works; the others return −4", Traps: "G11, security 14"}
	// Each adds to a count of functions that did not answer so.
	var ask code
	for _, f := range conform.HostFunctions() {
		if f.Name == abi.ImportLog {
			continue
		}
		call := host(f.Name, argsOf(f))
		if f.Type[len(f.Type)-1] == 'I' {
			call = cat(call, wrap)
		}
		ask = cat(ask, call, i32c(-int32(abi.ErrnoState)), differ, when(cat(i32c(roomAt), i32c(roomAt), load, i32c(1), add, store)))
	}
	logs := cat(host(abi.ImportLog, ints(abi.LogInfo, manifestAt, 3)), when(cat(i32c(roomAt), i32c(100), store)))
	count := number(cat(i32c(roomAt), load, extend))
	m := honestManifest()
	for _, c := range []struct {
		when string
		g    guest
	}{
		{"in _initialize", guest{init: cat(ask, logs)}},
		{"in weir_describe", guest{describe: cat(ask, logs, value(manifestAt, uint32(len(m))))}},
		{"in weir_buf", guest{buf: cat(ask, logs, i32c(inputAt))}},
	} {
		c.g.manifest = m
		r.book(c.g, Setup{}).add(c.when, count, Call{}, is(0))
	}
	return r
}

// argsOf pushes a zero for each parameter.
func argsOf(f conform.Function) code {
	var args code
	for _, p := range f.Type {
		switch p {
		case 'i':
			args = append(args, i32c(0)...)
		case 'I':
			args = append(args, i64c(0)...)
		default:
			return args
		}
	}
	return args
}

func ruleManifest() *HostRule {
	r := &HostRule{Name: "host.manifest", Says: "`weir_describe` 0 or 2", Traps: "security 26"}
	contract := string(abi.GuestContract)
	describes := func(body code) []byte { return with(func(g *guest) { g.describe = body }) }
	for tag := abi.Tag(4); tag < 16; tag++ {
		r.load(fmt.Sprintf("tag %d", tag), contract, describes(packed(tag, manifestAt, 1)))
	}
	r.load("a handle", contract, describes(packed(abi.TagHandle, 1, 0)))
	r.load("nothing", contract, describes(none))
	r.load("all bits", contract, describes(i64c(-1)))
	r.load("behind the memory", contract, describes(value(memorySize, 1)))
	r.load("over the end", contract, describes(value(memorySize-1, 2)))
	r.load("far away", contract, describes(value(1<<30-1, 1<<20)))
	most := largestManifest()
	r.load("exactly 1 MiB", "", with(func(g *guest) {
		const at = memorySize
		g.pages, g.data, g.describe = 24, map[uint32][]byte{at: most}, value(at, uint32(len(most)))
	}))
	r.load("more than 1 MiB", contract, with(func(g *guest) { g.pages, g.describe = 20, value(0, abi.MaxManifest+1) }))
	e := abi.AppendError(nil, &abi.Error{Code: "broken", Message: "two functions have one name"})
	r.load("an error", refused, with(func(g *guest) {
		g.data, g.describe = map[uint32][]byte{dataAt: e}, packed(abi.TagError, dataAt, uint32(len(e)))
	}), "two functions have one name")
	r.load("an error that is none", contract, describes(packed(abi.TagError, manifestAt, 3)))
	r.load("an error behind the memory", contract, describes(packed(abi.TagError, memorySize, 1)))
	return r
}

// largestManifest has exactly as many bytes as a manifest may have.
func largestManifest() []byte {
	m, err := abi.DecodeManifest(honestManifest())
	if err != nil {
		panic("BUG: " + err.Error())
	}
	for data := honestManifest(); ; data = abi.AppendManifest(nil, m) {
		if len(data) == abi.MaxManifest {
			return data
		}
		m.Functions[0].Doc = strings.Repeat("x", len(m.Functions[0].Doc)+abi.MaxManifest-len(data))
	}
}

func ruleSame() *HostRule {
	r := &HostRule{Name: "host.same", Says: "All instances must describe themselves in the same bytes, at any time and with any randomness", Traps: "G11"}
	m := honestManifest()
	version := int32(manifestAt + bytes.Index(m, []byte(versionText)))
	patched := func(f imported, call code) []byte {
		return with(func(g *guest) {
			g.manifest, g.imports = m, []imported{f}
			// Four characters of the version come from 32 bits of what is random.
			for i := range int32(8) {
				call = cat(call, i32c(version+i), i32c(roomAt), load, i32c(4*i), code{0x76}, i32c(15), code{0x71}, i32c('a'), add, putByte)
			}
			g.init = call
		})
	}
	r.load("randomness", refused, patched(imported{abi.WASIModule, "random_get", "ii:i"}, cat(ints(roomAt, 4), invoke(0), drop)))
	r.load("the time", refused, patched(imported{abi.WASIModule, "clock_time_get", "iIi:i"}, cat(i32c(0), i64c(0), i32c(roomAt), invoke(0), drop)))
	return r
}

func ruleBuffer() *HostRule {
	r := &HostRule{Name: "host.buffer", Says: "`weir_buf` is asked again only when an input is larger than the buffer was, with the next power of two; the last address counts", Traps: "G6, security 26"}
	contract := string(abi.GuestContract)
	for _, c := range []struct {
		name string
		at   int32
		want string
	}{
		{"end == size", memorySize - abi.InputBuffer, ""},
		{"end == size+1", memorySize - abi.InputBuffer + 1, contract},
		{"at the end", memorySize, contract},
		{"ptr 2^32-1", -1, contract},
		{"ptr+len overflows", -abi.InputBuffer, contract},
		{"ptr 2^31", -1 << 31, contract},
	} {
		r.load(c.name, c.want, with(func(g *guest) { g.buf = i32c(c.at) }))
	}
	// Larger buffers lie elsewhere; what was asked is kept as a list of sizes.
	first := cat(get(0), i32c(abi.InputBuffer), code{0x4b})
	b := r.book(guest{
		pages: 20,
		buf: cat(i32c(roomAt+4), i32c(roomAt), load, i32c(4), code{0x6c}, add, get(0), store,
			i32c(roomAt), i32c(roomAt), load, i32c(1), add, store,
			first, when(cat(i32c(8<<16), leave)), i32c(inputAt)),
	}, Setup{})
	input := func(n int) []byte { return abi.Bytes(make([]byte, n)).AppendCBOR(nil) }
	asked := number(cat(i32c(roomAt), i32c(roomAt), load, i32c(4), code{0x6c}, add, load, extend)) // the last time
	most := input(abi.InputBuffer - 5)
	b.add("an input that just fits", cat(valueOf(inputAt, get(1))), Call{Input: most}, gives(most))
	b.add("it is not asked for a larger buffer for that", asked, Call{}, is(abi.InputBuffer))
	big := input(70_000)
	b.add("a larger one", valueOf(8<<16, get(1)), Call{Input: big}, gives(big))
	r.book(guest{buf: cat(get(0), i32c(abi.InputBuffer), code{0x4b}, when(cat(i32c(memorySize-1), leave)), i32c(inputAt))}, Setup{}).
		fails("a larger one outside memory", none, Call{Input: big}, abi.GuestContract)
	r.book(guest{buf: cat(get(0), i32c(abi.InputBuffer), code{0x4b}, when(cat(
		get(0), i32c(128<<10), differ, when(trap), i32c(inputAt), leave)), i32c(inputAt))}, Setup{}).
		add("the next power of two", none, Call{Input: input(65_600)}, nothing(nil))
	return r
}

func ruleInput() *HostRule {
	r := &HostRule{Name: "host.input", Says: "its input is the first `len` bytes of the buffer"}
	b := r.book(guest{}, Setup{})
	in := abi.Array(abi.Int(7), abi.Text("ann")).AppendCBOR(nil)
	b.add("the bytes", valueOf(inputAt, get(1)), Call{Input: in}, gives(in))
	b.add("the number of the function", number(cat(get(0), extend)), Call{}, is(1))
	b.add("the length", number(cat(get(1), extend)), Call{Input: in}, is(int64(len(in))))
	return r
}

func ruleSource() *HostRule {
	r := &HostRule{Name: "host.source", Says: "writes a CBOR array of two texts into\nit, the file's name and its text, and calls `weir_source` with their length"}
	m := honestManifest()
	taken := guest{manifest: m, source: cat(i32c(roomAt), get(0), store, none)}
	source := abi.Array(abi.Text("a.js"), abi.Text("query()")).AppendCBOR(nil)
	// What the engine was fed is gone after the next input, so it copies it.
	copied := taken
	copied.source = cat(i32c(dataAt), i32c(inputAt), get(0), code{0xfc, 0x0a, 0, 0}, i32c(roomAt), get(0), store, none)
	r.book(copied, Setup{Name: "a.js", Text: "query()"}).add("it is fed before the first call", valueOf(dataAt, cat(i32c(roomAt), load)), Call{}, gives(source))
	e := abi.AppendError(nil, &abi.Error{Code: "syntax", Message: "a.js:2: no"})
	engine := func(body code) []byte {
		g := taken
		g.source, g.data = body, map[uint32][]byte{dataAt: e}
		return g.module()
	}
	fed := func(name, want string, module []byte, words ...string) {
		r.load(name, want, module, words...)
		r.loads[len(r.loads)-1].setup = Setup{Name: "a.js", Text: "text"}
	}
	fed("an engine", "", engine(none))
	fed("an error is the refusal", refused, engine(packed(abi.TagError, dataAt, uint32(len(e)))), "a.js:2: no")
	fed("a value", string(abi.GuestContract), engine(value(dataAt, 1)))
	fed("a handle", string(abi.GuestContract), engine(packed(abi.TagHandle, 1, 0)))
	fed("an error behind the memory", string(abi.GuestContract), engine(packed(abi.TagError, memorySize, 1)))
	fed("a trap", string(abi.GuestTrap), engine(trap))
	fed("a plugin as the engine", refused, plain.module())
	r.load("the engine as a plugin", refused, engine(none))
	large := Setup{Name: "a.js", Text: string(bytes.Repeat([]byte("x"), 100_000))}
	r.loads = append(r.loads, loadCase{name: "a source that needs a larger buffer", setup: large, module: with(func(g *guest) {
		g.source, g.pages = cat(get(0), i32c(100_000), code{0x49}, when(trap), none), 8
		g.buf = cat(get(0), i32c(abi.InputBuffer), code{0x49}, when(trap), i32c(inputAt))
	})})
	return r
}

// short is a budget for guests that never end.
const short = 30 * time.Millisecond
