package conform

// Rule is one rule for guests.
type Rule struct {
	Name  string
	Title string // a sentence
	Says  string // the words of docs/abi.md that it stands on
	Traps string // what went wrong for others: numbers of the list of traps, or ""
	Do    string // what the author of a guest does about it
}

// Result is the outcome of one rule.
type Result struct {
	Rule
	// Failed says what was seen. It is empty if the rule is kept.
	Failed string
	// Unchecked says that an earlier failure hides this rule.
	Unchecked bool
}

// The names of the rules, for who looks for one.
const (
	RuleImports   = "guest.imports"
	RuleExports   = "guest.exports"
	RuleStart     = "guest.start"
	RuleEarly     = "guest.early"
	RuleManifest  = "guest.manifest"
	RuleSame      = "guest.same"
	RuleBuffer    = "guest.buffer"
	RuleOwned     = "guest.owned"
	RuleEnds      = "guest.ends"
	RuleResult    = "guest.result"
	RuleError     = "guest.error"
	RuleInput     = "guest.input"
	RuleUses      = "guest.uses"
	RuleArguments = "guest.arguments"
	RuleAddresses = "guest.addresses"
	RuleRepeats   = "guest.repeats"
	RuleForgets   = "guest.forgets"
	RuleErrnos    = "guest.errnos"
	RuleRows      = "guest.rows"
	RuleBounded   = "guest.bounded"
)

// Rules returns all rules, in the order in which they are checked.
func Rules() []Rule { return append([]Rule(nil), rules...) }

var rules = []Rule{
	{RuleImports, "It imports nothing that a host does not have.", "Anything else than the host functions and the part of WASI below, with exactly these types, is refused", "", "remove what needs the import, or give it the type of the table of host functions"},
	{RuleExports, "It exports what a host calls.", "defined by the module itself, not imported", "", "export memory, weir_describe, weir_buf and weir_call with the types of the table of exports, and build a reactor (no _start)"},
	{RuleStart, "It starts.", "Each instance starts with `_initialize`, `weir_describe`, and `weir_buf(65536)`", "G10", "look at what runs before the first call: init functions, constructors, package-level variables"},
	{RuleEarly, "Before the first call it asks the host for nothing.", "Until then only `log` works; the others return −4", "G11", "call host functions only while weir_call runs"},
	{RuleManifest, "It describes itself with a valid manifest.", "`weir_describe` 0 or 2", "", "return a packed value whose bytes are a valid manifest in CBOR; the vectors in abi/abitest/testdata/manifests.txt are examples"},
	{RuleSame, "Every instance describes itself in the same bytes.", "All instances must describe themselves in the same bytes, at any time and with any randomness", "G11", "sort what comes out of hash maps, and keep time and randomness out of the manifest"},
	{RuleBuffer, "Its input buffer is as large as it was asked for, again and again.", "the address of an input buffer of at least `min` bytes", "G6", "when min is larger than the buffer, make a larger one and return its address; trap only if there is no memory left"},
	{RuleOwned, "Nothing else lies in its input buffer.", "The host writes only into the input buffer", "G6", "give the buffer memory that nothing else uses, keep it alive between calls, and read only the first len bytes"},
	{RuleEnds, "A call with a right input returns.", "Passing a deadline, and calling too often, end the guest at once", "G10", "return an error instead of trapping or exiting, and do not wait"},
	{RuleResult, "Its results are valid.", "A query or mutation may return any of them, `weir_describe` 0 or 2, a policy 0 (a decision) or 2", "", "check the tag in bits 63-60, that unused bits are 0, the address and length, and the CBOR behind them"},
	{RuleError, "Its errors are valid and at most 8 KiB.", "an error at address, at most 8 KiB", "", "cut the message before encoding it, and keep to the keys code, message, retryable and public"},
	{RuleInput, "An input of the wrong shape does not make it trap.", "an input of another shape gets an error and not a trap", "", "check each item while decoding and return an error"},
	{RuleUses, "It asks only for what its manifest declares.", "asks for statement number `stmt`, which must be in `uses`", "", "declare the statement in uses, use exec in mutations only, and query_sql only with the capability sql.dynamic"},
	{RuleArguments, "Its arguments fit the statement.", "an array with one item for each parameter of the statement, in the order of first use, `$now` left out", "G14", "encode one array with an item for each parameter"},
	{RuleAddresses, "It gives the host no address outside its memory.", "address outside memory", "security 26", "check how the pointer and the length of that host function are made"},
	{RuleRepeats, "The same input, time and seed give the same result in every instance.", "two callers with equal bytes share one result", "G11, security 38", "draw randomness and time from the host only, and sort what comes out of hash maps"},
	{RuleForgets, "A call does not depend on the calls before it.", "one may or may not keep what the last call left in memory: rely on neither", "security 36", "keep nothing in globals that a result depends on"},
	{RuleErrnos, "It works on after any error of any host function.", "Every function returns its result (≥ 0) or a negated errno", "", "look at the sign of what each host function returns, and return an error"},
	{RuleRows, "It works on after rows of any shape and size.", "take −64 and below for a size", "", "check each row while decoding it, and make the buffer larger when rows_read says so"},
	{RuleBounded, "Its memory does not grow without a bound.", "memory of an instance", "G7", "free what a call allocated when it has ended"},
}
