package abitest

import (
	"maps"

	"weir/abi"
	"weir/abi/conform"
)

// Wrong is a guest that breaks exactly one rule for guests, on purpose.
type Wrong struct {
	Rule   string // its name in conform
	How    string
	Module []byte
}

// Where the guests of this file keep what, in their 4 KiB of room and behind
// their data.
const (
	bufferCell  = roomAt        // the address of the input buffer, 0 for the first
	stateCell   = roomAt + 8    // what a wrong guest remembers
	pageAt      = roomAt + 1024 // 3 KiB for rows
	pageSize    = 3 << 10
	failedAt    = dataAt       // an error
	allowAt     = dataAt + 100 // a decision
	tooLongAt   = dataAt + 200 // an error over 8 KiB
	otherAt     = dataAt + 10<<10
	rowsPass    = 0
	rowsRead    = 1
	rowsWrite   = 2
	gate        = 3
	versionText = "version 1"
)

var (
	failed  = abi.AppendError(nil, &abi.Error{Code: "failed", Message: "the host refused"})
	allow   = abi.AppendDecision(nil, &abi.Decision{Allow: true})
	tooLong = abi.Map([]string{"code", "message"}, []abi.Value{abi.Text("failed"), abi.Text(string(make([]byte, abi.MaxError)))}).AppendCBOR(nil)
)

// honestManifest is that of all guests of this file.
func honestManifest() []byte {
	fields := []abi.Field{{Name: "a", Schema: abi.Schema{Type: "integer"}}}
	public := abi.Access{Public: true}
	return abi.AppendManifest(nil, &abi.Manifest{
		ABI: abi.Version, Name: "kit", Version: versionText,
		Statements: []abi.Statement{{SQL: "select id from t where a = $a"}, {SQL: "select id from t"}},
		Functions: []abi.Function{
			{Name: "rows.pass", Kind: abi.Query, Fields: fields, Uses: []int{0}, Access: public},
			{Name: "rows.read", Kind: abi.Query, Fields: fields, Uses: []int{0}, Access: public},
			{Name: "rows.write", Kind: abi.Mutation, Fields: fields, Uses: []int{0}, Access: public},
			{Name: "gate", Kind: abi.Policy},
		},
	})
}

// honest is a guest that keeps the contract. before runs at the begin of every
// call, and with is put in place of a function.
func honest(before code, with map[int]code) guest {
	fail := packed(abi.TagError, failedAt, uint32(len(failed)))
	orFail := func(h code) code { // leaves a handle in localA
		return cat(h, set(localA), get(localA), i32c(0), code{0x48}, when(cat(fail, leave)))
	}
	input := cat(i32c(bufferCell), load) // address of the input buffer
	ask := func(name string) code { return orFail(host(name, i32c(0), input, get(1))) }
	bodies := map[int]code{
		rowsPass: cat(ask(abi.ImportQuery), handleOf(get(localA))),
		rowsRead: cat(ask(abi.ImportQuery), orFail(host(abi.ImportRowsRead, get(localA), ints(0, pageAt, pageSize))),
			number(cat(get(localA), extend))),
		rowsWrite: cat(ask(abi.ImportExec), none),
		gate:      value(allowAt, uint32(len(allow))),
	}
	maps.Copy(bodies, with)
	var call code
	for fn := rowsPass; fn <= gate; fn++ {
		call = cat(call, get(0), i32c(int32(fn)), equal, when(cat(bodies[fn], leave)))
	}
	larger := cat(get(0), i32c(abi.InputBuffer), code{0x4b}, when(cat(
		i32c(bufferCell),
		get(0), i32c(16), code{0x76}, grow, i32c(16), code{0x74}, // the old end, where the new pages begin
		store, i32c(bufferCell), load, leave)))
	return guest{
		manifest: honestManifest(), imports: weir1(),
		data: map[uint32][]byte{bufferCell: {0, 0, 1, 0}, failedAt: failed, allowAt: allow, tooLongAt: tooLong},
		buf:  cat(larger, i32c(bufferCell), i32c(inputAt), store, i32c(inputAt)),
		call: cat(before, call, packed(abi.TagError, failedAt, uint32(len(failed)))),
	}
}

// Honest returns a guest that keeps all rules.
func Honest() []byte { return honest(nil, nil).module() }

// Wrongs returns guests that break one rule each: at least one for each rule.
func Wrongs() []Wrong {
	all := append(wrongStarts(), wrongCalls()...)
	return append(all, wrongHabits()...)
}

// changed is the honest guest with a change.
func changed(change func(g *guest)) []byte {
	g := honest(nil, nil)
	change(&g)
	return g.module()
}

func wrongStarts() []Wrong {
	random := imported{abi.WASIModule, "random_get", "ii:i"}
	randomIndex := len(weir1())
	version := -1
	for i := range honestManifest() {
		if string(honestManifest()[i:min(len(honestManifest()), i+len(versionText))]) == versionText {
			version = manifestAt + i + len(versionText) - 1
		}
	}
	return []Wrong{
		{conform.RuleImports, "imports env.open", changed(func(g *guest) { g.imports = append(g.imports, imported{"env", "open", "ii:i"}) })},
		{conform.RuleImports, "imports now with a wrong type", changed(func(g *guest) { g.imports = append(g.imports, imported{abi.Module, abi.ImportNow, ":i"}) })},
		{conform.RuleImports, "is no module", []byte("\x00asm\x01\x00\x00\x00\x0d")},
		{conform.RuleExports, "has no weir_call", changed(func(g *guest) { g.without = abi.ExportCall })},
		{conform.RuleExports, "has no memory", changed(func(g *guest) { g.without = abi.ExportMemory })},
		{conform.RuleExports, "has a weir_buf without a parameter", changed(func(g *guest) { g.more = []exported{{abi.ExportBuf, ":i", i32c(inputAt)}} })},
		{conform.RuleExports, "is a command", changed(func(g *guest) { g.more = []exported{{"_start", ":", nil}} })},
		{conform.RuleStart, "traps in _initialize", changed(func(g *guest) { g.init = trap })},
		{conform.RuleStart, "traps in weir_describe", changed(func(g *guest) { g.describe = trap })},
		{conform.RuleEarly, "reads the time in weir_describe", changed(func(g *guest) {
			g.describe = cat(host(abi.ImportNow), code{0x1a}, value(manifestAt, uint32(len(g.manifest))))
		})},
		{conform.RuleManifest, "describes itself with an empty map", changed(func(g *guest) { g.manifest = []byte{0xa0} })},
		{conform.RuleManifest, "describes itself with nothing", changed(func(g *guest) { g.describe = none })},
		{conform.RuleManifest, "describes itself outside its memory", changed(func(g *guest) { g.describe = value(memorySize-1, 2) })},
		{conform.RuleSame, "has randomness in its manifest", changed(func(g *guest) {
			g.imports = append(g.imports, random)
			g.init = cat(ints(stateCell, 1), invoke(randomIndex), drop,
				i32c(int32(version)), i32c(stateCell), byteAt, i32c(63), code{0x71}, i32c('0'), add, putByte)
		})},
		{conform.RuleBuffer, "offers the same buffer for any size", changed(func(g *guest) {
			g.buf = cat(i32c(bufferCell), i32c(inputAt), store, i32c(inputAt))
		})},
		{conform.RuleBuffer, "traps when a larger buffer is wanted", changed(func(g *guest) {
			g.buf = cat(get(0), i32c(abi.InputBuffer), code{0x4b}, when(trap), i32c(inputAt))
		})},
		{conform.RuleOwned, "keeps a decision in its input buffer", changed(func(g *guest) {
			*g = honest(nil, map[int]code{gate: value(inputAt+1000, uint32(len(allow)))})
			g.data[inputAt+1000] = allow
		})},
	}
}

func wrongCalls() []Wrong {
	instead := func(fn int, body code) []byte { return honest(nil, map[int]code{fn: body}).module() }
	before := func(body code) []byte { return honest(body, nil).module() }
	fail := packed(abi.TagError, failedAt, uint32(len(failed)))
	query := cat(host(abi.ImportQuery, i32c(0), i32c(bufferCell), load, get(1)), set(localA),
		get(localA), i32c(0), code{0x48}, when(cat(fail, leave)))
	return []Wrong{
		{conform.RuleEnds, "traps", instead(gate, trap)},
		{conform.RuleEnds, "calls the host without an end", instead(gate, cat(forever(cat(host(abi.ImportNow), drop)), trap))},
		{conform.RuleResult, "returns tag 4", instead(gate, i64c(4<<60))},
		{conform.RuleResult, "returns nothing with a length", instead(rowsWrite, packed(abi.TagNone, 0, 1))},
		{conform.RuleResult, "returns a handle that it does not hold", instead(rowsPass, packed(abi.TagHandle, 9, 0))},
		{conform.RuleResult, "returns bytes behind its memory", instead(gate, value(memorySize, 1))},
		{conform.RuleResult, "returns a policy's rows", instead(gate, none)},
		{conform.RuleResult, "returns what is no decision", instead(gate, value(failedAt, uint32(len(failed))))},
		{conform.RuleError, "returns an error of more than 8 KiB", instead(rowsPass, packed(abi.TagError, tooLongAt, uint32(len(tooLong))))},
		{conform.RuleError, "returns an error that is a decision", instead(rowsPass, packed(abi.TagError, allowAt, uint32(len(allow))))},
		{conform.RuleInput, "traps when its input is no array of one", before(cat(
			get(0), i32c(gate), differ, when(cat(i32c(bufferCell), load, byteAt, i32c(0x81), differ, when(trap)))))},
		{conform.RuleUses, "asks for a statement that is not in uses", instead(rowsPass, cat(host(abi.ImportQuery, ints(1, 0, 0)), drop, fail))},
		{conform.RuleUses, "calls exec in a query", instead(rowsPass, cat(host(abi.ImportExec, i32c(0), i32c(bufferCell), load, get(1)), drop, fail))},
		{conform.RuleArguments, "gives no arguments to a statement with one", instead(rowsPass, cat(host(abi.ImportQuery, ints(0, 0, 0)), drop, fail))},
		{conform.RuleAddresses, "logs two bytes at the end of its memory", before(cat(host(abi.ImportLog, ints(1, memorySize+4<<20-1, 8<<20)), drop))},
		{conform.RuleErrnos, "traps when rows_len fails", instead(rowsPass, cat(query,
			host(abi.ImportRowsLen, get(localA)), i32c(0), code{0x48}, when(trap), handleOf(get(localA))))},
		{conform.RuleErrnos, "takes an errno for a handle", instead(rowsRead, cat(
			query, host(abi.ImportRowsPick, get(localA), ints(0, 0)), set(localA), host(abi.ImportRowsLen, get(localA)), drop, none))},
		{conform.RuleRows, "traps when a row does not fit", instead(rowsRead, cat(query,
			host(abi.ImportRowsRead, get(localA), ints(0, pageAt, pageSize)), i32c(-64), code{0x4c}, when(trap), none))},
	}
}

func wrongHabits() []Wrong {
	random := imported{abi.WASIModule, "random_get", "ii:i"}
	count := cat(i32c(stateCell), i32c(stateCell), load, i32c(1), add, store)
	state := cat( // of a call whose input is right
		host(abi.ImportExec, i32c(0), i32c(bufferCell), load, get(1)), i32c(0), code{0x48},
		when(cat(packed(abi.TagError, failedAt, uint32(len(failed))), leave)),
		number(cat(i32c(stateCell), load, extend)))
	lucky := honest(nil, map[int]code{rowsWrite: state})
	lucky.imports = append(lucky.imports, random)
	lucky.init = cat(ints(stateCell, 4), invoke(len(weir1())), drop)
	return []Wrong{
		{conform.RuleRepeats, "returns randomness of its start", lucky.module()},
		{conform.RuleForgets, "counts its calls", honest(count, map[int]code{rowsWrite: state}).module()},
		{conform.RuleForgets, "keeps a handle for the next call", honest(nil, map[int]code{rowsPass: cat(
			i32c(stateCell), load, set(localB),
			get(localB), when(cat(host(abi.ImportRowsLen, i32c(40)), drop)),
			i32c(stateCell), i32c(1), store,
			packed(abi.TagError, failedAt, uint32(len(failed))))}).module()},
		{conform.RuleBounded, "grows with every call", honest(cat(i32c(1), grow, drop), nil).module()},
	}
}
