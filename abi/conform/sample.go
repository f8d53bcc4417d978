package conform

import (
	"math"
	"strings"

	"weir/abi"
)

// sample is an input that a function must take.
type sample struct {
	index int // of the function
	fn    *abi.Function
	input abi.Input
}

// samples makes two inputs for each function that the guest runs: with all
// optional values, and without.
func samples(m *abi.Manifest) []sample {
	var all []sample
	for i := range m.Functions {
		f := &m.Functions[i]
		if f.Statement != nil {
			continue // the host runs it without the guest
		}
		last := ""
		for _, full := range []bool{true, false} {
			in, err := inputOf(f, full)
			// A schema may allow nothing at all; that is not the guest's fault.
			if err == nil && string(in.Bytes) != last {
				all = append(all, sample{i, f, in})
				last = string(in.Bytes)
			}
		}
	}
	return all
}

func inputOf(f *abi.Function, full bool) (abi.Input, error) {
	source := func(schema func(name string) *abi.Schema) func(string) (abi.Value, bool) {
		return func(name string) (abi.Value, bool) {
			s := schema(name)
			if !full && (s.Optional || s.Default != nil) {
				return abi.Null(), false
			}
			if s.Type == "" {
				return abi.Text("ann"), true
			}
			return valueOf(s, full, 0), true
		}
	}
	caller := abi.Caller{
		Claim: source(func(name string) *abi.Schema {
			for i := range f.Claims {
				if f.Claims[i].Claim == name {
					return &f.Claims[i].Schema
				}
			}
			return &abi.Schema{}
		}),
		Scope: source(func(name string) *abi.Schema {
			for i := range f.Scope {
				if f.Scope[i].Name == name {
					return &f.Scope[i].Schema
				}
			}
			return &abi.Schema{}
		}),
		Action: "read", Function: "messages.list",
	}
	return f.Input(members(f.Fields, full, 0), caller)
}

// members makes an object of fields.
func members(fields []abi.Field, full bool, depth int) abi.Value {
	var keys []string
	var values []abi.Value
	for i := range fields {
		if s := &fields[i].Schema; full || !s.Optional && s.Default == nil {
			keys = append(keys, fields[i].Name)
			values = append(values, valueOf(s, full, depth+1))
		}
	}
	return abi.Map(keys, values)
}

// valueOf makes a value as a client would send it.
func valueOf(s *abi.Schema, full bool, depth int) abi.Value {
	if depth > abi.MaxDepth {
		return abi.Null()
	}
	switch s.Type {
	case "integer":
		return abi.Int(int64(clamp(s, 1)))
	case "number":
		return abi.Float(clamp(s, 1.5))
	case "boolean":
		return abi.Bool(true)
	case "string":
		return abi.Text(textOf(s))
	case "array":
		n := 1
		if s.MinLen != nil {
			n = max(n, min(*s.MinLen, 1000))
		}
		if s.MaxLen != nil {
			n = min(n, *s.MaxLen)
		}
		items := make([]abi.Value, n)
		for i := range items {
			items[i] = abi.Int(int64(i))
			if s.Items != nil {
				items[i] = valueOf(s.Items, full, depth+1)
			}
		}
		return abi.Array(items...)
	case "object":
		return members(s.Fields, full, depth)
	}
	if len(s.Enum) > 0 {
		return abi.Text(s.Enum[0])
	}
	return abi.Int(1)
}

func clamp(s *abi.Schema, n float64) float64 {
	if s.Max != nil {
		n = min(n, math.Floor(*s.Max))
	}
	if s.Min != nil {
		n = max(n, math.Ceil(*s.Min))
	}
	return n
}

func textOf(s *abi.Schema) string {
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	switch s.Format {
	case "uuid":
		return "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
	case "date":
		return "2026-01-31"
	case "date-time":
		return "2026-01-31T09:30:00Z"
	case "bytes":
		return "AQID"
	case "decimal":
		return "1.5"
	case "json":
		return "[1]"
	}
	n := len("ann")
	if s.MinLen != nil {
		n = max(n, min(*s.MinLen, 10_000))
	}
	if s.MaxLen != nil {
		n = min(n, *s.MaxLen)
	}
	return strings.Repeat("ann", n/3+1)[:n]
}
