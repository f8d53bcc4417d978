package conform

import (
	"fmt"
	"slices"
	"strings"

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
	i := c.fresh()
	for _, s := range shapes() {
		if i = c.survives(i, s, RuleRows, "when a statement has "+s.what); i == nil {
			return
		}
		if i = c.twice(i, s); i == nil {
			return
		}
	}
	i.g.Close()
}

// twice runs all samples under a script two times: the second must not see what
// the first left.
func (c *check) twice(i *instance, s script) *instance {
	for _, at := range c.samples {
		first, broken := i.call(at.fn, at.index, at.input.Bytes, s)
		again, broken2 := i.call(at.fn, at.index, at.input.Bytes, s)
		if broken == RuleEnds || broken2 == RuleEnds {
			i.drop()
			if i = c.fresh(); i == nil {
				return nil
			}
			continue
		}
		if first != again {
			c.fail(RuleForgets, fmt.Sprintf("%s gives %.200s, and then %.200s, when a statement has %s", at.fn.Name, first, again, s.what))
		}
	}
	return i
}

// shapes makes rows: of one type in every width, and of integers and texts in
// every order, which fit many a statement, short and too long for one page.
func shapes() []script {
	items := [][]byte{
		abi.AppendInt(nil, 1), abi.AppendText(nil, "a"), abi.AppendNull(nil), abi.AppendBool(nil, true),
		abi.AppendFloat(nil, 1.5), abi.AppendBytes(nil, []byte{1}), abi.AppendArray(nil, 0),
		abi.AppendText(nil, strings.Repeat("x", 70<<10)),
	}
	of := func(what string, count int, columns ...[]byte) script {
		row := abi.AppendArray(nil, len(columns))
		for _, item := range columns {
			row = append(row, item...)
		}
		return script{wide: len(columns), rows: slices.Repeat([][]byte{row}, count), what: fmt.Sprintf("%d rows of %d columns, %s", count, len(columns), what)}
	}
	all := []script{of("empty", 1), of("empty", 3)}
	for width := 1; width <= 8; width++ {
		for _, item := range items {
			if len(item) > 100 && width > 2 {
				continue
			}
			columns := slices.Repeat([][]byte{item}, width)
			what := fmt.Sprintf("each %.12x…", item)
			all = append(all, of(what, 1, columns...), of(what, 3, columns...))
		}
	}
	for _, most := range [][2]int{{1, 5}, {40 << 10, 3}} {
		length, widest := most[0], most[1]
		text := abi.AppendText(nil, strings.Repeat("x", length))
		for width := 2; width <= widest; width++ {
			for mix := 1; mix < 1<<width-1; mix++ {
				columns := make([][]byte, width)
				for at := range columns {
					if columns[at] = items[0]; mix>>at&1 != 0 {
						columns[at] = text
					}
				}
				all = append(all, of(fmt.Sprintf("integers and texts of %d bytes by %0*b", length, width, mix), 3, columns...))
			}
		}
	}
	return all
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
