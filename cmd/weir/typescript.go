package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"weir/abi"
)

// typedFunction is a function as GET /v1/schema shows it, with all of its types.
type typedFunction struct {
	Name   string      `json:"name"`
	Kind   string      `json:"kind"`
	Doc    string      `json:"doc"`
	Args   jsonSchema  `json:"args"`
	Result *jsonSchema `json:"result"`
}

// jsonSchema is what JSON Schema says of a value, as far as weir writes it.
type jsonSchema struct {
	Type       typeNames       `json:"type"`
	Format     string          `json:"format"`
	Encoding   string          `json:"contentEncoding"`
	Doc        string          `json:"description"`
	Enum       []string        `json:"enum"`
	Default    json.RawMessage `json:"default"`
	Min        json.Number     `json:"minimum"`
	Max        json.Number     `json:"maximum"`
	MaxLen     json.Number     `json:"maxLength"`
	MaxItems   json.Number     `json:"maxItems"`
	Items      *jsonSchema     `json:"items"`
	Properties properties      `json:"properties"`
	Required   []string        `json:"required"`
}

// typeNames is one name, or a list of them.
type typeNames []string

// UnmarshalJSON reads either.
func (t *typeNames) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*t = make([]string, 1)
		return json.Unmarshal(text, &(*t)[0])
	}
	return json.Unmarshal(text, (*[]string)(t))
}

// properties are the members of an object in the order of the plugin.
type properties []property

type property struct {
	name   string
	schema jsonSchema
}

// UnmarshalJSON keeps the order, which a map would not.
func (p *properties) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		var one property
		one.name, _ = token.(string)
		if err := dec.Decode(&one.schema); err != nil {
			return err
		}
		*p = append(*p, one)
	}
	return nil
}

// appendTypes appends the declaration file: an augmentation of the module, which
// is what weir.d.ts leaves open.
func appendTypes(dst []byte, module string, list []typedFunction) []byte {
	dst = append(dst, "// Written by weir types: do not edit, write it again.\n\nexport {}\n\ndeclare module "...)
	dst = append(abi.AppendJSONText(dst, module), " {\n  interface Functions {\n"...)
	for i := range list {
		f := &list[i]
		if f.Kind == string(abi.Policy) {
			continue
		}
		w := typeWriter{indent: "    "}
		w.doc(f.Doc)
		w.text(w.indent + quoted(f.Name) + ": {\n")
		w.indent += "  "
		w.text(w.indent + "kind: " + quoted(f.Kind) + "\n" + w.indent + "args: ")
		w.schema(&f.Args, true)
		w.text("\n" + w.indent + "result: ")
		if f.Result == nil {
			w.text("unknown")
		} else {
			w.schema(f.Result, false)
		}
		w.text("\n    }\n")
		dst = append(dst, w.out.String()...)
	}
	return append(dst, "  }\n}\n"...)
}

func quoted(s string) string { return string(abi.AppendJSONText(nil, s)) }

// typeWriter writes TypeScript types.
type typeWriter struct {
	out    strings.Builder
	indent string
}

func (w *typeWriter) text(s string) { w.out.WriteString(s) }

// doc writes a comment that no text can end early.
func (w *typeWriter) doc(text string) {
	text = strings.TrimSpace(strings.ReplaceAll(text, "*/", "*\\/"))
	if text == "" {
		return
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' })
	w.text(w.indent + "/** " + strings.Join(lines, "\n"+w.indent+" * ") + " */\n")
}

// schema writes a type. Of arguments, what may be left out may be; results have
// every member.
func (w *typeWriter) schema(s *jsonSchema, args bool) {
	kinds := slices.DeleteFunc(slices.Clone(s.Type), func(name string) bool { return name == "null" })
	null := len(kinds) < len(s.Type)
	switch {
	case len(s.Enum) > 0:
		texts := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			texts[i] = quoted(e)
		}
		w.text(strings.Join(texts, " | "))
	case len(kinds) == 0:
		w.text("unknown") // and null is one
		return
	case kinds[0] == "array":
		w.array(s.Items, args)
	case kinds[0] == "object":
		w.object(s, args)
	case kinds[0] == "integer":
		w.text("number")
	default:
		w.text(kinds[0])
	}
	if null {
		w.text(" | null")
	}
}

func (w *typeWriter) array(items *jsonSchema, args bool) {
	if items == nil {
		w.text("unknown[]")
		return
	}
	w.text("Array<")
	w.schema(items, args)
	w.text(">")
}

// bareName is a member's name that needs no quotes.
var bareName = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

func (w *typeWriter) object(s *jsonSchema, args bool) {
	if len(s.Properties) == 0 {
		w.text("{ [name: string]: never }")
		return
	}
	outer := w.indent
	w.text("{\n")
	w.indent += "  "
	for i := range s.Properties {
		p := &s.Properties[i]
		w.doc(p.schema.about())
		name := p.name
		if !bareName.MatchString(name) {
			name = quoted(name)
		}
		if args && !slices.Contains(s.Required, p.name) {
			name += "?"
		}
		w.text(w.indent + name + ": ")
		w.schema(&p.schema, args)
		w.text("\n")
	}
	w.indent = outer
	w.text(outer + "}")
}

// about is what a person should know beside the type.
func (s *jsonSchema) about() string {
	var parts []string
	add := func(text string) { parts = append(parts, text) }
	if s.Doc != "" {
		add(s.Doc)
	}
	switch {
	case s.Encoding != "":
		add(s.Encoding)
	case s.Format != "":
		add(s.Format)
	}
	switch {
	case s.Min != "" && s.Max != "":
		add(s.Min.String() + " to " + s.Max.String())
	case s.Min != "":
		add("at least " + s.Min.String())
	case s.Max != "":
		add("at most " + s.Max.String())
	}
	if s.MaxLen != "" {
		add("at most " + s.MaxLen.String() + " characters")
	}
	if s.MaxItems != "" {
		add("at most " + s.MaxItems.String() + " items")
	}
	if len(s.Default) > 0 {
		if text, err := strconv.Unquote(string(s.Default)); err == nil {
			add("default " + strconv.Quote(text))
		} else {
			add("default " + string(s.Default))
		}
	}
	return strings.Join(parts, "; ")
}
