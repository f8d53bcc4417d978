package weir

import (
	"errors"
	"time"

	"weir/abi"
)

// Decision is the answer of a policy written in Go: Allow or Deny, with what it
// adds. It is a value: each method returns a changed copy. The zero Decision
// denies.
//
//	return weir.Allow().Scope("org", org).Until(badge.Expires), nil
type Decision struct {
	reason string
	// more is for what few decisions have. A Decision is of four words, because
	// what is larger is returned by way of calls to fill and copy memory.
	more  *additions
	allow bool
}

// additions are immutable: decisions that are made from one another share them.
type additions struct {
	names  []string
	values []abi.Value
	until  time.Time
	err    error // of Scope; the policy then fails, and lets nobody in
}

// Allow lets the caller in.
func Allow() Decision { return Decision{allow: true} }

// Deny keeps the caller out. The reason is public: the client may show it.
func Deny(reason string) Decision { return Decision{reason: reason} }

// Scope adds a value that guarded functions read in a field tagged
// `scope:"name"`. value is a string, a bool, an integer or a float.
func (d Decision) Scope(name string, value any) Decision {
	more := d.added()
	d.more = &more
	for _, known := range more.names {
		if known == name {
			more.err = errors.New("scope value " + name + " is set twice")
			return d
		}
	}
	v, ok := scalarValue(value)
	if !ok {
		more.err = errors.New("scope value " + name + " is not a string, a bool, an integer or a float")
	}
	// The copies keep decisions that were made from one another apart.
	more.names = append(more.names[:len(more.names):len(more.names)], name)
	more.values = append(more.values[:len(more.values):len(more.values)], v)
	return d
}

// Until asks for the decision to be made again at t, whether or not a table
// that it read has changed. The zero time asks for nothing.
func (d Decision) Until(t time.Time) Decision {
	more := d.added()
	more.until = t
	d.more = &more
	return d
}

// Allowed reports whether the decision lets the caller in.
func (d Decision) Allowed() bool { return d.allow && d.problem() == nil }

// Reason returns the text given to Deny.
func (d Decision) Reason() string { return d.reason }

// added returns a copy of the additions.
func (d Decision) added() additions {
	if d.more == nil {
		return additions{}
	}
	return *d.more
}

// problem returns what Scope found wrong.
func (d Decision) problem() error {
	if d.more == nil {
		return nil
	}
	return d.more.err
}

// append encodes d as the contract has it.
func (d Decision) append(dst []byte) []byte {
	out := abi.Decision{Allow: d.allow, Reason: d.reason}
	if m := d.more; m != nil {
		if len(m.names) > 0 {
			out.Scope = abi.Map(m.names, m.values)
		}
		if !m.until.IsZero() {
			out.WakeAt = m.until.UnixMicro()
		}
	}
	return abi.AppendDecision(dst, &out)
}

func scalarValue(value any) (abi.Value, bool) {
	switch x := value.(type) {
	case string:
		return abi.Text(x), true
	case bool:
		return abi.Bool(x), true
	case int:
		return abi.Int(int64(x)), true
	case int32:
		return abi.Int(int64(x)), true
	case int64:
		return abi.Int(x), true
	case float64:
		return abi.Float(x), true
	}
	return abi.Value{}, false
}
