package abitest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"weir/abi"
)

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
		if why := b.probe(t.Context(), loaded); why != "" {
			all = append(all, c.name+": "+why)
		}
	}
	return all
}

// probe calls the guest once more. Under a short budget a busy machine may need
// some tries.
func (b *book) probe(ctx context.Context, loaded Loaded) string {
	why := ""
	for range 10 {
		o, err := loaded.Call(ctx, Call{Function: len(b.cases)}.withDefaults())
		switch {
		case err == nil && o.Tag == abi.TagNone:
			return ""
		case b.setup.GuestTimeout == 0 || err == nil || codeOf(err) != abi.Deadline:
			return fmt.Sprintf("the next call gives %+v, %v", o, err)
		}
		why = "the next calls end too: " + err.Error()
	}
	return why
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
