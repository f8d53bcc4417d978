package abitest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/abi"
)

// Host is a host under test. host/wasm has one in its tests; another host needs
// only these methods.
type Host interface {
	// Load does what the host does with a plugin: check, compile, start, describe.
	// What is no plugin is an error that wraps ErrRefused, and what went wrong while
	// it ran an error with a Code. The host frees it when the test ends.
	Load(t testing.TB, module []byte, s Setup) (Loaded, error)
}

// ErrRefused is wrapped by errors about modules that are no plugins.
var ErrRefused = errors.New("refused")

// Loaded is a plugin that is ready.
type Loaded interface {
	Manifest() []byte
	// Call runs one call. An error has a Code and means that the call has no
	// outcome. It may be used from inside a call, which must be refused.
	Call(ctx context.Context, c Call) (*Outcome, error)
}

// Setup is how a plugin is loaded. Zero fields mean the host's defaults, but that
// a guest may compute for long enough on a busy machine.
type Setup struct {
	// Name and Text are of the source file that the module, an engine, runs.
	Name, Text string
	Dynamic    bool // the capability sql.dynamic is granted
	// The bounds that an operator may change.
	GuestTimeout, StartTimeout                       time.Duration
	MemoryBytes, ResultBytes                         int64
	HostCalls, Statements, Handles, ResultRows, Logs int
	LogBytes                                         int
	// Log takes what is logged before the first call.
	Log func(level int, line string)
}

// Call is one call of a guest.
type Call struct {
	Function int
	Kind     abi.Kind // default a query
	Input    []byte   // default an empty array
	// Params are the statements of the function's uses with the number of their
	// parameters. Default {0: 2, 3: 2, 5: 0}.
	Params map[int]int
	Now    int64 // µs since 1970
	Seed   byte  // of a query's or policy's randomness
	Config map[string]string
	// Answer is the database. Default three rows of id and name.
	Answer func(ctx context.Context, a Asked) Answer
}

// Asked is a statement that a guest asked for.
type Asked struct {
	Statement int // -1 for SQL
	SQL       string
	Args      abi.Value // an array
	Exec      bool
}

// Answer is the outcome of a statement.
type Answer struct {
	Columns  []string
	Rows     [][]abi.Value
	Affected int64
	// Err is the statement's own error: an abi.Errno, or an *abi.Error whose code
	// says what is wrong.
	Err error
	// Fault is the host's: the call has no outcome.
	Fault error
}

// Outcome is what came of a call.
type Outcome struct {
	Tag   abi.Tag
	Value []byte     // of a value
	Rows  string     // of a handle: its rows as the client gets them, in JSON
	Err   *abi.Error // of an error
	// Ran are the statements that ran before the function had returned, in the
	// groups in which the database saw them; Left is how many it asked for that did
	// not.
	Ran  [][]Asked
	Left int
	Log  []string // level, a space, the line
	// WakeAt is in µs since 1970, 0 for none.
	WakeAt int64
	Looked bool // the call is no plan
}

// HostRule is one rule for hosts, with all its cases.
type HostRule struct {
	Name  string
	Says  string // the words of docs/abi.md that it stands on
	Traps string // what went wrong for others: numbers of the list of traps, or ""
	loads []loadCase
	books []*book
}

// Cases returns how many cases a rule has.
func (r *HostRule) Cases() int {
	n := len(r.loads)
	for _, b := range r.books {
		n += len(b.cases)
	}
	return n
}

// loadCase is a module and what loading it says: nothing, "refused" or a code.
type loadCase struct {
	name   string
	module []byte
	setup  Setup
	want   string
	words  []string // parts of the sentence
}

// book is one guest with a function for each case.
type book struct {
	guest guest
	setup Setup
	cases []bookCase
	// again makes the database of each case call the guest once more, which must be
	// refused, while the call goes on.
	again bool
}

// bookCase is a function of a book, the call of it, and what is wrong with what
// came of it; "" for nothing.
type bookCase struct {
	name  string
	body  code
	call  Call
	check func(o *Outcome, err error) string
	fault bool // it must end with an error, and the guest must live on
}

// Hosts runs all rules for hosts against one. A failure names its rule and case.
func Hosts(t *testing.T, h Host) {
	t.Helper()
	for _, r := range HostRules() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			for _, c := range r.loads {
				if why := c.run(t, h); why != "" {
					t.Errorf("%s: %s\n%s %s", c.name, why, r.Says, r.Traps)
				}
			}
			for _, b := range r.books {
				for _, why := range b.run(t, h) {
					t.Errorf("%s\n%s %s", why, r.Says, r.Traps)
				}
			}
		})
	}
}

func (c *loadCase) run(t testing.TB, h Host) string {
	_, err := h.Load(t, c.module, c.setup)
	got := ""
	switch {
	case errors.Is(err, ErrRefused):
		got = "refused"
	case err != nil:
		got = string(codeOf(err))
	}
	if got != c.want {
		return fmt.Sprintf("loading it gives %q (%v), want %q", got, err, c.want)
	}
	for _, w := range c.words {
		if !strings.Contains(err.Error(), w) {
			return fmt.Sprintf("the sentence %q does not say %q", err, w)
		}
	}
	return ""
}

// codeOf returns the code of an error, or what it is.
func codeOf(err error) abi.Code {
	var coded interface{ Code() abi.Code }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return abi.Code("an error without a code: " + err.Error())
}

// run loads the guest of the book and calls each of its functions.
func (b *book) run(t testing.TB, h Host) []string {
	loaded, err := h.Load(t, b.module(), b.setup)
	if err != nil {
		return []string{fmt.Sprintf("the guest does not load: %v", err)}
	}
	var all []string
	for i, c := range b.cases {
		call := c.call.withDefaults()
		call.Function = i
		if b.again {
			c.check = b.reenter(loaded, &call)
		}
		o, err := loaded.Call(t.Context(), call)
		if err == nil && o == nil {
			err = errors.New("no outcome and no error")
		}
		if why := c.check(o, err); why != "" {
			all = append(all, c.name+": "+why)
		}
		if !c.fault {
			continue
		}
		// A fault ends a call and nothing else.
		probe := Call{Function: len(b.cases)}.withDefaults()
		if o, err := loaded.Call(t.Context(), probe); err != nil || o.Tag != abi.TagNone {
			all = append(all, fmt.Sprintf("%s: the next call gives %+v, %v", c.name, o, err))
		}
	}
	return all
}

// reenter lets the database of a call call the guest.
func (b *book) reenter(loaded Loaded, call *Call) (check func(*Outcome, error) string) {
	tried, inner := false, error(nil)
	call.Answer = func(ctx context.Context, _ Asked) Answer {
		tried = true
		_, inner = loaded.Call(ctx, Call{Function: len(b.cases)}.withDefaults())
		return people(1)
	}
	return nothing(func(*Outcome) string {
		if !tried || inner == nil {
			return fmt.Sprintf("the call inside was tried: %v, and gave no error", tried)
		}
		return ""
	})
}

// module assembles the guest of a book. The last function, the probe, returns
// nothing, and traps if an instance remembers a case that failed: it must be
// gone.
func (b *book) module() []byte {
	g := b.guest
	var call code
	m := &abi.Manifest{ABI: abi.Version, Name: "kit"}
	for i := range 6 {
		sql := "select id from t"
		if usual()[i] == 2 {
			sql = "select id, name from t where a = $a and b = $b"
		}
		m.Statements = append(m.Statements, abi.Statement{SQL: sql})
	}
	for i, c := range b.cases {
		body := c.body
		if c.fault {
			body = cat(i32c(faultCell), i32c(1), store, body)
		}
		call = cat(call, get(0), i32c(int32(i)), equal, when(cat(body, leave)))
		m.Functions = append(m.Functions, abi.Function{Name: fmt.Sprintf("case.n%d", i), Kind: abi.Mutation, Uses: []int{0, 3, 5}, Access: abi.Access{Public: true}})
		if k := c.call.Kind; k != "" {
			m.Functions[i].Kind = k
		}
		if m.Functions[i].Kind == abi.Policy {
			m.Functions[i].Access = abi.Access{}
		}
	}
	m.Functions = append(m.Functions, abi.Function{Name: "probe", Kind: abi.Query, Access: abi.Access{Public: true}})
	if b.setup.Dynamic {
		m.Capabilities = []string{abi.CapabilityDynamicSQL}
	}
	if g.manifest == nil {
		g.manifest = abi.AppendManifest(nil, m)
	}
	if g.imports == nil {
		g.imports = weir1()
	}
	g.call = cat(call, i32c(faultCell), load, when(trap), none)
	return g.module()
}

// faultCell remembers that a case began that must fail.
const faultCell = roomAt + 4088

func usual() map[int]int { return map[int]int{0: 2, 3: 2, 5: 0} }

func (c Call) withDefaults() Call {
	if c.Kind == "" {
		c.Kind = abi.Query
	}
	if c.Input == nil {
		c.Input = abi.AppendArray(nil, 0)
	}
	if c.Params == nil {
		c.Params = usual()
	}
	if c.Now == 0 {
		c.Now = usualNow
	}
	if c.Answer == nil {
		c.Answer = func(context.Context, Asked) Answer { return people(3) }
	}
	return c
}

const usualNow = 1_700_000_000_000_000

// people is an answer of n rows.
func people(n int) Answer {
	a := Answer{Columns: []string{"id", "name"}, Affected: int64(n)}
	for i := range n {
		a.Rows = append(a.Rows, []abi.Value{abi.Int(int64(i)), abi.Text(fmt.Sprintf("p%d", i))})
	}
	return a
}

// numberIn reads what a function that ends in number returned.
func numberIn(o *Outcome, err error) (int64, string) {
	if err != nil {
		return 0, "it ended: " + err.Error()
	}
	if o.Tag != abi.TagValue || len(o.Value) != 9 || o.Value[0] != 0x48 {
		return 0, fmt.Sprintf("it returned %+v", o)
	}
	return int64(binary.LittleEndian.Uint64(o.Value[1:])), ""
}

// The kinds of checks.

func is(want int64) func(*Outcome, error) string {
	return func(o *Outcome, err error) string {
		got, why := numberIn(o, err)
		if why == "" && got != want {
			why = fmt.Sprintf("got %d, want %d", got, want)
		}
		return why
	}
}

func ends(want abi.Code) func(*Outcome, error) string {
	return func(o *Outcome, err error) string {
		switch {
		case err == nil:
			return fmt.Sprintf("got %+v, want it to end with %s", o, want)
		case codeOf(err) != want:
			return fmt.Sprintf("it ended with %s (%v), want %s", codeOf(err), err, want)
		case strings.Contains(err.Error(), "goroutine ") || strings.Contains(err.Error(), "wasm stack trace"):
			return fmt.Sprintf("the error carries a stack: %v", err)
		}
		return ""
	}
}

func gives(want []byte) func(*Outcome, error) string {
	return func(o *Outcome, err error) string {
		if err != nil || o.Tag != abi.TagValue || string(o.Value) != string(want) {
			return fmt.Sprintf("got %+v, %v, want the value %x", o, err, want)
		}
		return ""
	}
}

// rowsAre wants a handle whose rows are that JSON.
func rowsAre(want string) func(*Outcome, error) string {
	return func(o *Outcome, err error) string {
		if err != nil || o.Tag != abi.TagHandle || o.Rows != want {
			return fmt.Sprintf("got %+v, %v, want the rows %s", o, err, want)
		}
		return ""
	}
}

// nothing wants an outcome of nothing, about which more may be asked.
func nothing(more func(o *Outcome) string) func(*Outcome, error) string {
	return func(o *Outcome, err error) string {
		if err != nil || o.Tag != abi.TagNone {
			return fmt.Sprintf("got %+v, %v, want nothing", o, err)
		}
		if more == nil {
			return ""
		}
		return more(o)
	}
}

// add adds a case.
func (b *book) add(name string, body code, c Call, check func(*Outcome, error) string) {
	b.cases = append(b.cases, bookCase{name: name, body: body, call: c, check: check})
}

// fails adds a case that must end with a code, and after which the guest is
// called again.
func (b *book) fails(name string, body code, c Call, want abi.Code) {
	b.cases = append(b.cases, bookCase{name, body, c, ends(want), true})
}

// number adds a case of which the i32 that code leaves is known.
func (b *book) number(name string, push code, want int64) {
	b.add(name, number(cat(push, extend)), Call{}, is(want))
}

// errno adds a case of a host function that refuses.
func (b *book) errno(name string, push code, want abi.Errno) { b.number(name, push, -int64(want)) }

// book adds a guest to a rule.
func (r *HostRule) book(g guest, s Setup) *book {
	b := &book{guest: g, setup: s}
	r.books = append(r.books, b)
	return b
}

// load adds a module to a rule.
func (r *HostRule) load(name, want string, module []byte, words ...string) {
	r.loads = append(r.loads, loadCase{name: name, module: module, want: want, words: words})
}

const refused = "refused"
