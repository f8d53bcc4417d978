package conform

import (
	"bytes"
	"fmt"

	"weir/abi"
)

// lastErrno is the highest errno of the contract.
const lastErrno = abi.ErrnoType

// errnos lets each host function that the guest imports fail with each errno.
func (c *check) errnos() {
	i := c.fresh()
	for _, f := range c.program.Imports() {
		if f.Module != abi.Module {
			continue
		}
		for e := abi.ErrnoInvalid; e <= lastErrno; e++ {
			s := script{fails: map[string]abi.Errno{f.Name: e}}
			if i = c.survives(i, s, RuleErrnos, fmt.Sprintf("when %s returns −%d", f.Name, e)); i == nil {
				return
			}
		}
	}
	i.g.Close()
}

// survives runs all samples under a script and then as usual: no trap, valid
// results, and the next call as if nothing had been.
func (c *check) survives(i *instance, s script, rule, when string) *instance {
	for n := range c.samples {
		if i == nil {
			return nil
		}
		at := c.samples[n]
		words, broken := i.call(at.fn, at.index, at.input.Bytes, s)
		switch broken {
		case "":
		case RuleError:
			c.fail(RuleError, words)
		default:
			c.fail(rule, words+", "+when)
		}
		if broken == RuleEnds {
			i.drop()
			i = c.fresh()
			continue
		}
		if c.failed[RuleForgets] == "" && !c.same(i, n, rule, "after a call "+when+",") {
			i.drop()
			i = c.fresh()
		}
	}
	return i
}

// shapes answers statements with rows of many shapes, also wrong ones.
func (c *check) shapes() {
	items := [][]byte{
		abi.AppendInt(nil, 1), abi.AppendText(nil, "a"), abi.AppendNull(nil), abi.AppendBool(nil, true),
		abi.AppendFloat(nil, 1.5), abi.AppendBytes(nil, []byte{1}), abi.AppendArray(nil, 0),
		abi.AppendText(nil, string(bytes.Repeat([]byte("x"), 70<<10))),
	}
	i := c.fresh()
	for width := range 9 {
		for _, item := range items {
			row := abi.AppendArray(nil, width)
			for range width {
				row = append(row, item...)
			}
			for _, count := range []int{1, 3} {
				s := script{wide: width}
				for range count {
					s.rows = append(s.rows, row)
				}
				when := fmt.Sprintf("when a statement has %d rows of %d columns, each %.12x…", count, width, item)
				if i = c.survives(i, s, RuleRows, when); i == nil {
					return
				}
			}
			if width == 0 {
				break // without columns all are the same
			}
		}
	}
	i.g.Close()
}

// How much memory may grow: without a bound is more than slack in the last half
// of many calls. A runtime with a collector grows to a steady state first.
const (
	someCalls  = 1_000
	manyCalls  = 8_000
	slackBytes = 4 << 20
	mostMemory = 64 << 20
)

// bounded calls until the memory has stopped growing.
func (c *check) bounded() {
	i := c.fresh()
	if i == nil || len(c.samples) == 0 {
		return
	}
	defer i.g.Close()
	size, half := uint64(0), i.g.Size()
	for n, until := 0, someCalls; ; until *= 2 {
		for ; n < until; n++ {
			s := c.samples[n%len(c.samples)]
			if words, rule := i.call(s.fn, s.index, s.input.Bytes, script{}); rule != "" {
				c.fail(RuleBounded, fmt.Sprintf("after %d calls %s", n, words))
				return
			}
			if i.g.Size() > mostMemory {
				c.fail(RuleBounded, fmt.Sprintf("after %d calls it has %d MiB, more than a host gives by default", n+1, i.g.Size()>>20))
				return
			}
		}
		if size = i.g.Size(); size-half <= slackBytes/4 {
			return
		}
		if until >= manyCalls {
			break
		}
		half = size
	}
	if size-half > slackBytes {
		c.fail(RuleBounded, fmt.Sprintf("it grew by %d KiB in calls %d to %d, and has %d MiB", (size-half)>>10, manyCalls/2, manyCalls, size>>20))
	}
}
