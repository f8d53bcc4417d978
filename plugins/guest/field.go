package weir

import (
	"errors"
	"reflect"

	"weir/abi"
)

// source is where an input field's value comes from. The order is the order of
// the input array.
type source uint8

const (
	fromCaller   source = iota // an argument that the client gives
	fromClaim                  // the caller's token
	fromScope                  // the policies' scope
	fromAction                 // "read" or "write", for policies
	fromFunction               // the guarded function's name, for policies
)

// field is one field of a struct in a plan.
type field struct {
	name   string
	offset uintptr
	codec  codec
	source source
	claim  string // fromClaim: the claim's name
	// fill is the encoded default, for a zero that the tag does not allow. It
	// serves statements that Go code runs; the host fills in clients' arguments.
	fill []byte
}

// fieldsOf plans the fields of a struct in declaration order. Fields of an
// embedded struct count as the struct's own.
func fieldsOf(t reflect.Type, s shape, depth int) ([]field, error) {
	if t.Kind() != reflect.Struct {
		return nil, errors.New(t.String() + " is not a struct")
	}
	if depth > maxNesting {
		return nil, errors.New("is nested too deeply or contains itself")
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct && f.Type != timeType && f.Tag == "" {
			inner, err := fieldsOf(f.Type, s, depth+1)
			if err != nil {
				return nil, err
			}
			for _, in := range inner {
				in.offset += f.Offset
				fields = append(fields, in)
			}
			continue
		}
		if !f.IsExported() || f.Tag.Get("json") == "-" {
			continue
		}
		planned, err := planField(f, s, depth)
		if err != nil {
			return nil, errors.New("field " + f.Name + " of " + t.String() + ": " + err.Error())
		}
		fields = append(fields, planned)
	}
	for i := range fields {
		for j := range i {
			if fields[i].name == fields[j].name {
				return nil, errors.New(t.String() + " has two fields named " + fields[i].name)
			}
		}
	}
	return fields, nil
}

func planField(f reflect.StructField, s shape, depth int) (field, error) {
	tag, err := parseTag(f.Tag.Get("weir"))
	if err != nil {
		return field{}, err
	}
	c, err := newCodec(f.Type, s, tag.format, depth)
	if err != nil {
		return field{}, err
	}
	if err := tag.refine(&c.schema); err != nil {
		return field{}, err
	}
	c.schema.Doc = f.Tag.Get("doc")
	planned := field{name: fieldName(f), offset: f.Offset, codec: c, source: tag.source}
	if claim, ok := f.Tag.Lookup("claim"); ok {
		if planned.source != fromCaller || claim == "" {
			return field{}, errors.New(`a claim is tagged claim:"name" and nothing else`)
		}
		planned.source, planned.claim = fromClaim, claim
	}
	if scope, ok := f.Tag.Lookup("scope"); ok {
		if planned.source != fromCaller {
			return field{}, errors.New(`a scope value is tagged scope:"name" and nothing else`)
		}
		planned.source = fromScope
		if scope != "" {
			planned.name = scope
		}
	}
	if def := c.schema.Default; def != nil {
		if planned.source != fromCaller {
			return field{}, errors.New("only an argument may have a default")
		}
		if zeroRefused(c.schema) {
			planned.fill = def.AppendCBOR(nil)
		}
	}
	return planned, nil
}

// zeroRefused reports whether the schema does not allow Go's zero value, so
// that a zero can only mean "not given".
func zeroRefused(s abi.Schema) bool {
	switch s.Type {
	case "integer", "number":
		return s.Min != nil && *s.Min > 0 || s.Max != nil && *s.Max < 0
	case "string":
		if s.MinLen != nil && *s.MinLen > 0 {
			return true
		}
		for _, e := range s.Enum {
			if e == "" {
				return false
			}
		}
		return len(s.Enum) > 0
	}
	return false
}
