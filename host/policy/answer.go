package policy

import (
	"fmt"
	"strings"

	"weir/abi"
	"weir/reactor"
)

// Read turns what a policy returned into an answer. An error means that it decided
// nothing.
func Read(out Outcome) (reactor.Decision, error) {
	if out.Rows != nil {
		return readRows(out.Rows)
	}
	d, err := abi.DecodeDecision(out.Value)
	if err != nil {
		return reactor.Decision{}, fmt.Errorf("its answer: %w", err)
	}
	answer := reactor.Decision{Answer: reactor.Deny, Reason: d.Reason}
	if d.Allow {
		answer.Answer = reactor.Allow
	}
	answer.Scope, err = scope(d.Scope)
	return answer, err
}

// readRows reads the answer of a statement: a row allows. Columns with meaning:
// allow (so that a row can deny), reason, scope; wake_at is the reactor's. Rows
// have no order, so with allow or scope each of them is an answer of its own and
// all must allow: which row comes first decides nothing.
func readRows(rows Rows) (reactor.Decision, error) {
	if rows.Len() == 0 {
		return reactor.Decision{Answer: reactor.Deny}, nil
	}
	n := 1
	if rows.Column("allow") >= 0 || rows.Column("scope") >= 0 {
		n = rows.Len()
	}
	answers := make([]reactor.Decision, n)
	for i := range answers {
		var err error
		if answers[i], err = readRow(rows, i); err != nil {
			return reactor.Decision{}, err
		}
	}
	return reactor.MergeDecisions(answers...), nil
}

// readRow reads one row's answer.
func readRow(rows Rows, row int) (reactor.Decision, error) {
	d := reactor.Decision{Answer: reactor.Allow}
	if c := rows.Column("allow"); c >= 0 {
		allow, ok := rows.Value(row, c).AsBool()
		if !ok {
			return reactor.Decision{}, fmt.Errorf("its column allow is not a boolean")
		}
		if !allow {
			d.Answer = reactor.Deny
		}
	}
	if c := rows.Column("reason"); c >= 0 {
		d.Reason, _ = rows.Value(row, c).AsText()
		if len(d.Reason) > abi.MaxError { // as long as a guest's may be
			d.Reason = strings.ToValidUTF8(d.Reason[:abi.MaxError], "")
		}
	}
	c := rows.Column("scope")
	if c < 0 {
		return d, nil
	}
	value := rows.Value(row, c)
	if text, ok := value.AsText(); ok { // jsonb comes as its text
		parsed, err := abi.ParseJSON([]byte(text), abi.MaxDepth)
		if err != nil {
			return reactor.Decision{}, fmt.Errorf("its column scope: %w", err)
		}
		value = parsed
	}
	var err error
	d.Scope, err = scope(value)
	return d, err
}

// scope checks and encodes scope values: a map of scalars.
func scope(v abi.Value) (reactor.Scope, error) {
	if v.IsNull() {
		return nil, nil
	}
	if v.Type() != abi.TypeMap {
		return nil, fmt.Errorf("its scope is %s, not a map", v.Type())
	}
	s := make(reactor.Scope, v.Len())
	for i := range v.Len() {
		if t := v.At(i).Type(); t == abi.TypeArray || t == abi.TypeMap {
			return nil, fmt.Errorf("its scope value %q is %s, not a scalar", v.Key(i), t)
		}
		s[v.Key(i)] = string(v.At(i).AppendCBOR(nil))
	}
	return s, nil
}
