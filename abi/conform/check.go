package conform

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/abi"
)

// Budget is how long a guest may take for one entry. It is longer than that of
// any host, so that a slow machine breaks no rule.
const Budget = 10 * time.Second

// whole is how long all entries may take together.
const whole = 10 * time.Minute

// Plugin is what is checked: a module, or the text of a source file with the
// engine that runs it.
type Plugin struct {
	Module []byte
	// Name and Text are of the source file; Name is empty without one.
	Name, Text string
}

// Check tries all rules on a plugin. The error is of the machine or of ctx, and
// leaves the results without meaning.
func Check(ctx context.Context, m Machine, p Plugin) ([]Result, error) {
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, whole)
	defer cancel()
	c := &check{ctx: ctx, plugin: p, failed: map[string]string{}, tried: map[string]bool{}}
	program, err := m.Compile(ctx, p.Module)
	if err != nil {
		c.fail(RuleImports, "the module does not compile: "+err.Error())
	} else {
		defer program.Close()
		c.program = program
		c.run()
	}
	results := make([]Result, len(rules))
	for i, r := range rules {
		results[i] = Result{Rule: r, Failed: c.failed[r.Name], Unchecked: c.failed[r.Name] == "" && !c.tried[r.Name]}
	}
	return results, parent.Err()
}

// check is the state of one Check.
type check struct {
	ctx     context.Context //nolint:containedctx // lives as long as Check
	program Program
	plugin  Plugin
	failed  map[string]string
	tried   map[string]bool

	described []byte
	manifest  *abi.Manifest
	params    []int // of each statement
	samples   []sample
	reference []string // what each sample gave on a fresh instance
}

// fail keeps the first line of the first failure of each rule.
func (c *check) fail(rule, what string) {
	if first, _, _ := strings.Cut(what, "\n"); c.failed[rule] == "" {
		c.failed[rule] = first
	}
}

// ok says that the rules so far were tried, and whether none failed.
func (c *check) ok(rules ...string) bool {
	kept := true
	for _, r := range rules {
		c.tried[r] = true
		kept = kept && c.failed[r] == ""
	}
	return kept
}

func (c *check) run() {
	c.imports()
	c.exports()
	if !c.ok(RuleImports, RuleExports) {
		return
	}
	first := c.start(birth{now: 1_700_000_000_000_000, seed: 1})
	if !c.ok(RuleStart, RuleEarly, RuleManifest) {
		return
	}
	c.samples = samples(c.manifest)
	c.buffers(first)
	if !c.ok(RuleBuffer) {
		return
	}
	c.refer()
	if !c.ok(RuleEnds, RuleResult, RuleError, RuleUses, RuleArguments, RuleAddresses) {
		return
	}
	second := c.start(birth{now: 1_800_000_000_000_000, seed: 2})
	c.ok(RuleSame)
	c.repeats(second)
	c.ok(RuleRepeats, RuleForgets)
	c.owned()
	c.ok(RuleOwned)
	c.wrongInputs()
	c.ok(RuleInput)
	c.errnos()
	c.ok(RuleErrnos)
	c.shapes()
	c.ok(RuleRows, RuleError)
	c.bounded()
	c.ok(RuleBounded)
}

func (c *check) imports() {
	known := append(HostFunctions(), WASIFunctions()...)
	for _, f := range c.program.Imports() {
		want, ok := find(known, f.Module, f.Name)
		switch {
		case !ok:
			c.fail(RuleImports, "it imports "+f.String()+", which no host has")
		case want.Type != f.Type:
			c.fail(RuleImports, "it imports "+f.String()+", but the type is "+want.String())
		}
	}
}

func (c *check) exports() {
	exports := c.program.Exports()
	required, optional := GuestExports()
	for _, want := range append(required, optional...) {
		got, ok := find(exports, "", want.Name)
		_, must := find(required, "", want.Name)
		switch {
		case !ok && must:
			c.fail(RuleExports, "it does not export "+want.String())
		case ok && got.Type != want.Type:
			c.fail(RuleExports, "it exports "+got.String()+", but the type is "+want.String())
		}
	}
	if _, command := find(exports, "", "_start"); command {
		c.fail(RuleExports, "it exports _start: it is a command")
	}
	switch _, engine := find(exports, "", abi.ExportSource); {
	case engine && c.plugin.Name == "":
		c.fail(RuleExports, "it is an engine, which exports weir_source: check it with a source file")
	case !engine && c.plugin.Name != "":
		c.fail(RuleExports, "it does not export weir_source, which an engine needs")
	}
	switch exported, imported := c.program.Memory(abi.ExportMemory); {
	case imported:
		c.fail(RuleExports, "it imports its memory")
	case !exported:
		c.fail(RuleExports, "it does not export its memory as memory")
	}
}

// birth is what an instance sees before its first call.
type birth struct {
	now  int64
	seed uint64
}

// usual is what every call sees.
var usual = birth{now: 1_750_000_000_123_456, seed: 7}

// instance is a running guest with its host.
type instance struct {
	c    *check
	g    Guest
	h    *nullHost
	buf  uint32
	size uint32
}

// start makes an instance and asks it to describe itself; nil after a failure.
// The first one's manifest is kept, others are compared with it.
func (c *check) start(b birth) *instance {
	h := &nullHost{note: c.fail, now: b.now, seed: b.seed, ticks: uint64(time.Second)}
	ctx, cancel := context.WithTimeout(c.ctx, Budget)
	defer cancel()
	g, err := c.program.Start(ctx, h)
	if err != nil {
		c.fail(RuleStart, "the start section: "+h.why(ctx, err))
		return nil
	}
	i := &instance{c: c, g: g, h: h}
	if _, ok := find(c.program.Exports(), "", abi.ExportInitialize); ok {
		if _, err := i.enter(abi.ExportInitialize); err != nil {
			c.fail(RuleStart, err.Error())
			return i.drop()
		}
	}
	if c.plugin.Name != "" && !i.feed() {
		return i.drop()
	}
	result, err := i.enter(abi.ExportDescribe)
	if err != nil {
		c.fail(RuleStart, err.Error())
		return i.drop()
	}
	data, why := i.described(abi.Packed(result))
	if why == "" {
		why = c.describe(data)
	}
	if why != "" {
		c.fail(RuleManifest, why)
		return i.drop()
	}
	if at, err := i.enter(abi.ExportBuf, abi.InputBuffer); err != nil {
		c.fail(RuleStart, err.Error())
		return i.drop()
	} else if !i.offered(uint32(at), abi.InputBuffer) {
		return i.drop()
	}
	return i
}

// feed hands an engine its source.
func (i *instance) feed() bool {
	source := abi.AppendText(abi.AppendText(abi.AppendArray(nil, 2), i.c.plugin.Name), i.c.plugin.Text)
	n := uint32(max(len(source), abi.InputBuffer))
	at, err := i.enter(abi.ExportBuf, uint64(n))
	if err != nil {
		i.c.fail(RuleStart, err.Error())
		return false
	}
	if !i.offered(uint32(at), n) {
		return false
	}
	i.g.Write(i.buf, source)
	result, err := i.enter(abi.ExportSource, uint64(len(source)))
	if err != nil {
		i.c.fail(RuleStart, err.Error())
		return false
	}
	if p := abi.Packed(result); !p.Valid() || p.Tag() != abi.TagNone {
		_, said := i.described(p)
		i.c.fail(RuleStart, "weir_source refuses the source: "+said)
		return false
	}
	return true
}

// described copies a manifest out, or says why it is none.
func (i *instance) described(p abi.Packed) (data []byte, why string) {
	if !p.Valid() || p.Tag() != abi.TagValue && p.Tag() != abi.TagError {
		return nil, fmt.Sprintf("the packed value is %#x, of tag %d", uint64(p), p.Tag())
	}
	data, ok := i.g.Read(p.At(), p.Len())
	switch {
	case !ok:
		return nil, fmt.Sprintf("%d bytes at %d are outside the memory of %d", p.Len(), p.At(), i.g.Size())
	case p.Tag() == abi.TagError:
		e, err := abi.DecodeError(data)
		if err != nil {
			return nil, "an error that is none: " + err.Error()
		}
		return nil, "it says: " + e.Message
	case len(data) > abi.MaxManifest:
		return nil, fmt.Sprintf("the manifest has %d bytes, more than %d", len(data), abi.MaxManifest)
	}
	return data, ""
}

// describe takes a manifest.
func (c *check) describe(data []byte) (why string) {
	if c.described != nil {
		if string(data) != string(c.described) {
			c.fail(RuleSame, "two instances, born at another time with other randomness, describe themselves in other bytes")
		}
		return ""
	}
	m, err := abi.DecodeManifest(data)
	if err == nil {
		err = m.Validate()
	}
	if err != nil {
		return err.Error()
	}
	c.described, c.manifest = data, m
	for i := range m.Statements {
		t, _ := abi.ParseStatement(m.Statements[i].SQL) // Validate has parsed it
		n := 0
		for _, name := range t.Names() {
			if name != abi.ParamNow {
				n++
			}
		}
		c.params = append(c.params, n)
	}
	return ""
}

func (i *instance) drop() *instance {
	i.g.Close()
	return nil
}

// enter runs an export within the budget.
func (i *instance) enter(export string, params ...uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(i.c.ctx, Budget)
	defer cancel()
	i.h.ended, i.h.said = "", ""
	result, err := i.g.Call(ctx, export, params...)
	if err != nil {
		return 0, errors.New(export + ": " + i.h.why(ctx, err))
	}
	return result, nil
}

// why says why a guest ended.
func (h *nullHost) why(ctx context.Context, err error) string {
	said, _, _ := strings.Cut(h.said, "\n")
	if said != "" {
		said = " (it wrote: " + said + ")"
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	switch {
	case ctx.Err() != nil:
		return fmt.Sprintf("it did not end within %v, or all calls together not within %v", Budget, whole)
	case h.ended != "":
		return h.ended + said
	}
	return "it trapped: " + first + said
}

// offered takes an address of the input buffer.
func (i *instance) offered(at, size uint32) bool {
	if _, ok := i.g.Read(at, size); !ok {
		i.c.fail(RuleBuffer, fmt.Sprintf("weir_buf(%d) returned %d, which is not that many bytes of a memory of %d", size, at, i.g.Size()))
		return false
	}
	i.buf, i.size = at, size
	return true
}
