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
	allow  bool
	reason string
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
	for _, known := range d.names {
		if known == name {
			d.err = errors.New("scope value " + name + " is set twice")
			return d
		}
	}
	v, ok := scalarValue(value)
	if !ok {
		d.err = errors.New("scope value " + name + " is not a string, a bool, an integer or a float")
	}
	// The copies keep decisions that were made from one another apart.
	d.names = append(d.names[:len(d.names):len(d.names)], name)
	d.values = append(d.values[:len(d.values):len(d.values)], v)
	return d
}

// Until asks for the decision to be made again at t, whether or not a table
// that it read has changed. The zero time asks for nothing.
func (d Decision) Until(t time.Time) Decision {
	d.until = t
	return d
}

// Allowed reports whether the decision lets the caller in.
func (d Decision) Allowed() bool { return d.allow && d.err == nil }

// Reason returns the text given to Deny.
func (d Decision) Reason() string { return d.reason }

// contract returns d as the contract has it.
func (d Decision) contract() (*abi.Decision, error) {
	out := &abi.Decision{Allow: d.allow, Reason: d.reason}
	if len(d.names) > 0 {
		out.Scope = abi.Map(d.names, d.values)
	}
	if !d.until.IsZero() {
		out.WakeAt = d.until.UnixMicro()
	}
	return out, d.err
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
