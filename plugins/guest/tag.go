package weir

import (
	"errors"
	"strconv"
	"strings"

	"weir/abi"
)

// fieldTag is a parsed weir tag: `weir:"min=1,max=200,default=50"`.
type fieldTag struct {
	min, max       *float64
	minLen, maxLen *int
	enum           []string
	format         string
	def            *string
	source         source
}

// parseTag reads a tag. Items are separated by commas, so that a default or an
// enum value cannot contain one.
func parseTag(tag string) (fieldTag, error) {
	var t fieldTag
	if tag == "" {
		return t, nil
	}
	for item := range strings.SplitSeq(tag, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		if err := t.set(name, value); err != nil {
			return t, errors.New("weir tag " + strconv.Quote(item) + ": " + err.Error())
		}
	}
	return t, nil
}

func (t *fieldTag) set(name, value string) (err error) {
	switch name {
	case "min":
		t.min, err = parseNumber(value)
	case "max":
		t.max, err = parseNumber(value)
	case "minlen":
		t.minLen, err = parseLength(value)
	case "maxlen":
		t.maxLen, err = parseLength(value)
	case "enum":
		t.enum = strings.Split(value, "|")
	case "format":
		t.format = value
	case "default":
		t.def = &value
	case "action":
		t.source = fromAction
	case "function":
		t.source = fromFunction
	default:
		return errors.New("write min, max, minlen, maxlen, default, enum, format, action or function")
	}
	return err
}

func parseNumber(s string) (*float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, errors.New("not a number")
	}
	return &f, nil
}

func parseLength(s string) (*int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return nil, errors.New("not a length")
	}
	return &n, nil
}

// refine puts the tag's bounds into the schema of the field's type, and refuses
// bounds that mean nothing for it.
func (t fieldTag) refine(s *abi.Schema) error {
	number := s.Type == "integer" || s.Type == "number"
	if (t.min != nil || t.max != nil) && !number {
		return errors.New("min and max are for numbers")
	}
	if (t.minLen != nil || t.maxLen != nil) && s.Type != "string" && s.Type != "array" {
		return errors.New("minlen and maxlen are for strings and slices")
	}
	if (t.enum != nil || t.format != "") && s.Type != "string" {
		return errors.New("enum and format are for strings")
	}
	if t.source != fromCaller && (s.Type != "string" || s.Optional) {
		return errors.New("action and function are for strings")
	}
	if t.min != nil {
		s.Min = t.min
	}
	if t.max != nil {
		s.Max = t.max
	}
	s.MinLen, s.MaxLen, s.Enum = t.minLen, t.maxLen, t.enum
	if t.def == nil {
		return nil
	}
	value, err := parseDefault(*t.def, *s)
	if err != nil {
		return err
	}
	s.Default, s.Optional = &value, true
	return nil
}

// parseDefault reads a default as its type is written in JSON, a string without
// its quotes.
func parseDefault(text string, s abi.Schema) (abi.Value, error) {
	switch s.Type {
	case "integer":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return abi.Int(n), nil
		}
	case "number":
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return abi.Float(f), nil
		}
	case "boolean":
		if text == "true" || text == "false" {
			return abi.Bool(text == "true"), nil
		}
	case "string":
		if s.Format != "bytes" {
			return abi.Text(text), nil
		}
		if b, err := decodeBase64(text); err == nil {
			return abi.Bytes(b), nil
		}
	}
	return abi.Value{}, errors.New("default=" + text + " does not fit the field's type")
}
