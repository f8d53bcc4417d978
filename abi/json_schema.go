package abi

import "strconv"

// AppendJSONSchema appends s as JSON Schema (2020-12), as /v1/schema shows it.
func AppendJSONSchema(dst []byte, s *Schema) []byte {
	w := memberWriter{dst: append(dst, '{')}
	w.types(s)
	switch s.Format {
	case "", "json":
	case "bytes":
		w.text("contentEncoding", "base64")
	default:
		w.text("format", s.Format)
	}
	w.bounds(s)
	if len(s.Enum) > 0 {
		w.list("enum", s.Enum)
	}
	if s.Default != nil && !s.Default.IsNull() {
		w.key("default")
		w.dst = s.Default.AppendJSON(w.dst)
	}
	if s.Items != nil {
		w.key("items")
		w.dst = AppendJSONSchema(w.dst, s.Items)
	}
	if s.Type == "object" {
		w.fields(s.Fields)
	}
	if s.Doc != "" {
		w.text("description", s.Doc)
	}
	return append(w.dst, '}')
}

// memberWriter appends the members of one JSON object.
type memberWriter struct {
	dst  []byte
	more bool
}

func (w *memberWriter) key(name string) {
	if w.more {
		w.dst = append(w.dst, ',')
	}
	w.more = true
	w.dst = append(AppendJSONText(w.dst, name), ':')
}

func (w *memberWriter) text(name, s string) {
	w.key(name)
	w.dst = AppendJSONText(w.dst, s)
}

func (w *memberWriter) list(name string, texts []string) {
	w.key(name)
	w.dst = each(texts, Text).AppendJSON(w.dst)
}

// types writes the type. What may be absent may also be null; JSON fields have
// any type.
func (w *memberWriter) types(s *Schema) {
	switch {
	case s.Type == "" || s.Format == "json":
	case s.Optional || s.Default != nil:
		w.list("type", []string{s.Type, "null"})
	default:
		w.text("type", s.Type)
	}
}

func (w *memberWriter) bounds(s *Schema) {
	if s.Min != nil {
		w.key("minimum")
		w.dst = appendJSONFloat(w.dst, *s.Min)
	}
	if s.Max != nil {
		w.key("maximum")
		w.dst = appendJSONFloat(w.dst, *s.Max)
	}
	low, high := "minLength", "maxLength"
	if s.Type == "array" {
		low, high = "minItems", "maxItems"
	}
	// Bytes are counted decoded, which JSON Schema has no word for.
	if s.MinLen != nil && s.Format != "bytes" {
		w.key(low)
		w.dst = strconv.AppendInt(w.dst, int64(*s.MinLen), 10)
	}
	if s.MaxLen != nil && s.Format != "bytes" {
		w.key(high)
		w.dst = strconv.AppendInt(w.dst, int64(*s.MaxLen), 10)
	}
}

func (w *memberWriter) fields(fields []Field) {
	w.key("properties")
	p := memberWriter{dst: append(w.dst, '{')}
	var required []string
	for i := range fields {
		f := &fields[i]
		p.key(f.Name)
		p.dst = AppendJSONSchema(p.dst, &f.Schema)
		if !f.Schema.Optional && f.Schema.Default == nil {
			required = append(required, f.Name)
		}
	}
	w.dst = append(p.dst, '}')
	if len(required) > 0 {
		w.list("required", required)
	}
	w.key("additionalProperties")
	w.dst = append(w.dst, "false"...)
}
