package conform

import (
	"fmt"

	"weir/abi"
)

// script is what a call meets.
type script struct {
	fails  map[string]abi.Errno
	rows   [][]byte
	wide   int
	sloppy bool
	what   string // the rows, for people
}

// call runs a function on an input and returns its outcome in words that are
// equal for equal outcomes. The rule is that of a failure, whose words it then
// returns; after RuleEnds the instance is gone.
func (i *instance) call(fn *abi.Function, index int, input []byte, s script) (outcome, rule string) {
	h := i.h
	h.begin(fn)
	h.params, h.now, h.seed = i.c.params, usual.now, usual.seed
	h.fails, h.rows, h.wide, h.sloppy = s.fails, s.rows, s.wide, s.sloppy
	defer h.begin(nil)
	if len(input) > int(i.size) {
		return fmt.Sprintf("an input of %d bytes", len(input)), RuleBuffer
	}
	i.g.Write(i.buf, input)
	result, err := i.enter(abi.ExportCall, uint64(uint32(index)), uint64(len(input)))
	if err != nil {
		return fn.Name + ": " + err.Error(), RuleEnds
	}
	outcome, rule = i.outcome(fn, abi.Packed(result))
	if rule != "" {
		outcome = fn.Name + ": " + outcome
	}
	return outcome, rule
}

// outcome reads a result.
func (i *instance) outcome(fn *abi.Function, p abi.Packed) (words, rule string) {
	if !p.Valid() {
		return fmt.Sprintf("it returned the packed value %#x, of tag %d", uint64(p), p.Tag()), RuleResult
	}
	if fn.Kind == abi.Policy && p.Tag() != abi.TagValue && p.Tag() != abi.TagError {
		return fmt.Sprintf("a policy returned tag %d", p.Tag()), RuleResult
	}
	switch p.Tag() {
	case abi.TagNone:
		return "nothing", ""
	case abi.TagHandle:
		if at := p.At(); at == 0 || int(at) > len(i.h.handles) || i.h.handles[at-1].closed {
			return fmt.Sprintf("it returned handle %d, which it does not hold", at), RuleResult
		}
		return "rows of " + i.h.handles[p.At()-1].what, ""
	}
	data, ok := i.g.Read(p.At(), p.Len())
	if !ok {
		return fmt.Sprintf("%d bytes at %d are outside the memory of %d", p.Len(), p.At(), i.g.Size()), RuleResult
	}
	if p.Tag() == abi.TagError {
		if len(data) > abi.MaxError {
			return fmt.Sprintf("an error of %d bytes", len(data)), RuleError
		}
		e, err := abi.DecodeError(data)
		if err != nil {
			return "an error that is none: " + err.Error(), RuleError
		}
		return "error " + string(e.Code) + ": " + e.Message, ""
	}
	err := error(nil)
	if fn.Kind == abi.Policy {
		_, err = abi.DecodeDecision(data)
	} else {
		_, err = abi.DecodeCBOR(data)
	}
	if err != nil {
		return "its result: " + err.Error(), RuleResult
	}
	return fmt.Sprintf("value %x", data), ""
}

// isError reports whether an outcome is an error of the guest's.
func isError(outcome string) bool { return len(outcome) > 6 && outcome[:6] == "error " }
