package conform

import (
	"bytes"
	"fmt"
	"slices"

	"weir/abi"
)

// buffers asks for input buffers of all sizes.
func (c *check) buffers(i *instance) {
	if i == nil {
		return
	}
	defer i.g.Close()
	for _, size := range []uint32{abi.InputBuffer, abi.InputBuffer, 128 << 10, 1 << 20, 1 << 20, 1 << 21, abi.InputBuffer} {
		at, err := i.enter(abi.ExportBuf, uint64(size))
		if err != nil {
			c.fail(RuleBuffer, fmt.Sprintf("weir_buf(%d): %v", size, err))
			return
		}
		if !i.offered(uint32(at), size) {
			return
		}
	}
	if len(c.samples) == 0 {
		return
	}
	// The last address counts, and a call works there.
	s := c.samples[0]
	if words, rule := i.call(s.fn, s.index, s.input.Bytes, script{}); rule != "" {
		c.fail(rule, words)
	}
}

// fresh starts an instance for tries that may break it.
func (c *check) fresh() *instance {
	return c.start(usual)
}

// refer runs every sample on a fresh instance.
func (c *check) refer() {
	i := c.fresh()
	for _, s := range c.samples {
		if i == nil {
			return
		}
		words, rule := i.call(s.fn, s.index, s.input.Bytes, script{})
		if rule != "" {
			c.fail(rule, words)
			i.drop()
			i = c.fresh()
		}
		c.reference = append(c.reference, words)
	}
	if i != nil {
		i.g.Close()
	}
}

// same runs a sample again and compares.
func (c *check) same(i *instance, n int, rule, when string) bool {
	s := c.samples[n]
	words, broken := i.call(s.fn, s.index, s.input.Bytes, script{})
	if broken == "" && words == c.reference[n] {
		return true
	}
	c.fail(rule, fmt.Sprintf("%s %s gives %.200s, and %.200s in a fresh instance", s.fn.Name, when, words, c.reference[n]))
	return broken != RuleEnds
}

// repeats compares with an instance of another birth, then calls it again.
func (c *check) repeats(i *instance) {
	if i == nil {
		return
	}
	defer i.g.Close()
	for n := range c.samples {
		if !c.same(i, n, RuleRepeats, "in an instance of another birth, with the same input, time and seed,") {
			return
		}
	}
	if c.failed[RuleRepeats] != "" {
		return
	}
	for n := range slices.Backward(c.samples) {
		if !c.same(i, n, RuleForgets, "after other calls") {
			return
		}
	}
}

// owned fills the whole buffer before each call: nothing of the guest may lie
// there, and what is behind the input means nothing.
func (c *check) owned() {
	i := c.fresh()
	if i == nil {
		return
	}
	defer i.g.Close()
	if c.failed[RuleForgets] != "" {
		return // it differs anyway
	}
	for _, fill := range []byte{0xff, 0x00} {
		for n := range c.samples {
			i.g.Write(i.buf, bytes.Repeat([]byte{fill}, int(i.size)))
			if !c.same(i, n, RuleOwned, fmt.Sprintf("with %#x in all of the buffer behind its input", fill)) {
				return
			}
		}
	}
}

// wrongInputs are inputs of another shape than the manifest says.
func (c *check) wrongInputs() {
	i := c.fresh()
	for _, s := range c.samples {
		for _, w := range wrongsOf(s) {
			if i == nil {
				return
			}
			words, rule := i.call(s.fn, s.index, w.input, script{sloppy: true})
			switch {
			case rule == RuleEnds:
				c.fail(RuleInput, words+", when its input is "+w.what)
				i.drop()
				i = c.fresh()
			case rule != "":
				c.fail(rule, words)
			case w.must && !isError(words):
				c.fail(RuleInput, fmt.Sprintf("%s gives %.100s and no error, when its input is %s", s.fn.Name, words, w.what))
			}
		}
	}
	if i != nil {
		i.g.Close()
	}
}

type wrongInput struct {
	what  string
	input []byte
	must  bool // there must be an error
}

// wrongsOf makes inputs of another shape from a right one. A function without
// input need not look at it.
func wrongsOf(s sample) []wrongInput {
	right, has := s.input.Bytes, len(s.input.Values) > 0
	all := []wrongInput{
		{"empty", nil, has},
		{"a map", []byte{0xa0}, has},
		{"an array without end", []byte{0x9f, 0xff}, has},
		{"not CBOR", []byte{0xff, 0xff}, has},
		{"a lying count", []byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, false},
		{"null", []byte{0xf6}, has},
	}
	if has {
		all = append(all,
			wrongInput{"an array without items", []byte{0x80}, true},
			wrongInput{"cut off", right[:len(right)-1], true})
	}
	for at := range s.input.Values {
		for _, v := range []abi.Value{abi.Map([]string{"x"}, []abi.Value{abi.Int(1)}), abi.Array(abi.Array()), abi.Bytes([]byte{0xff}), abi.Float(1.5)} {
			values := slices.Clone(s.input.Values)
			values[at] = v
			all = append(all, wrongInput{fmt.Sprintf("one with %v as item %d", v, at), abi.Array(values...).AppendCBOR(nil), false})
		}
	}
	return all
}
