package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"weir/abi"
)

// published is what a function promises to clients: GET /v1/schema shows it.
type published struct {
	Name, Kind, Plugin string
	Args               shape
	Result             *shape

	source *abi.Function // nil for that of a running weir
}

// shape is a JSON Schema as weir writes it.
type shape struct {
	Type       types            `json:"type"`
	Format     string           `json:"format"`
	Encoding   string           `json:"contentEncoding"`
	Min        *float64         `json:"minimum"`
	Max        *float64         `json:"maximum"`
	MinLength  *int             `json:"minLength"`
	MaxLength  *int             `json:"maxLength"`
	MinItems   *int             `json:"minItems"`
	MaxItems   *int             `json:"maxItems"`
	Enum       []string         `json:"enum"`
	Items      *shape           `json:"items"`
	Properties map[string]shape `json:"properties"`
	Required   []string         `json:"required"`
	Closed     *bool            `json:"additionalProperties"`
	Default    json.RawMessage  `json:"default"`
}

// types are the names that a value's type may have; none is any.
type types []string

// UnmarshalJSON reads one name or a list.
func (t *types) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*t = types{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(t))
}

// shapeOf is a schema as clients see it.
func shapeOf(s *abi.Schema) *shape {
	var out shape
	if err := json.Unmarshal(abi.AppendJSONSchema(nil, s), &out); err != nil {
		panic("BUG: a JSON Schema of weir cannot be read: " + err.Error())
	}
	return &out
}

// name is the type in words.
func (s *shape) name() string {
	kinds := slices.DeleteFunc(slices.Clone(s.Type), func(t string) bool { return t == "null" })
	text := strings.Join(kinds, " or ")
	switch {
	case text == "":
		return "any value"
	case text == "array" && s.Items != nil:
		return "array of " + s.Items.name()
	case s.Format != "":
		return text + " (" + s.Format + ")"
	case s.Encoding != "":
		return text + " (" + s.Encoding + ")"
	}
	return text
}

func (s *shape) nullable() bool { return len(s.Type) == 0 || slices.Contains(s.Type, "null") }

// compatibility collects what a plugin breaks.
type compatibility struct {
	plugin *abi.Manifest
	breaks []string
	notes  []string
}

func (c *compatibility) broken(where, format string, args ...any) {
	c.breaks = append(c.breaks, oneLine(where+": "+fmt.Sprintf(format, args...)))
}

func (c *compatibility) note(where, format string, args ...any) {
	c.notes = append(c.notes, oneLine(where+": "+fmt.Sprintf(format, args...)))
}

// tell prints what was found.
func (c *compatibility) tell(m *Main, name string) error {
	for _, text := range c.breaks {
		fmt.Fprintf(m.Stdout, "broken: %s\n", text)
	}
	for _, text := range c.notes {
		fmt.Fprintf(m.Stdout, "note: %s\n", text)
	}
	if len(c.breaks) > 0 {
		return &quietError{}
	}
	fmt.Fprintf(m.Stdout, "ok %s: %s\n", name, counted(len(c.plugin.Functions), "function"))
	return nil
}

// compare compares what is served with what would be.
func (c *compatibility) compare(past, next []published) {
	byName := map[string]*published{}
	var names []string
	for i := range next {
		byName[next[i].Name] = &next[i]
		names = append(names, next[i].Name)
	}
	known := false
	for i := range past {
		old := &past[i]
		if old.Plugin != c.plugin.Name {
			continue // another plugin's
		}
		known = true
		now := byName[old.Name]
		switch {
		case now == nil:
			hint := ""
			if near := abi.Nearest(old.Name, names); near != "" {
				hint = fmt.Sprintf("; if it is %s now, keep the old name beside the new one for a while", near)
			}
			c.broken(old.Name, "it is removed, and clients may call it: keep it until none does%s", hint)
		case now.Kind != old.Kind:
			c.broken(old.Name, "it is a %s, was a %s: give it another name and keep the old one until no client calls it", now.Kind, old.Kind)
		default:
			c.arguments(old.Name, "", &old.Args, &now.Args)
			c.results(old, now)
		}
	}
	if !known {
		c.note(c.plugin.Name, "no plugin of that name is there to compare with: compare with the one that it replaces, whose name weir inspect prints")
	}
}

// arguments finds what was accepted and would be refused. at is the path to the
// object, "" for the arguments themselves.
func (c *compatibility) arguments(where, at string, old, now *shape) {
	for _, name := range sortedKeys(old.Properties) {
		was, path := old.Properties[name], at+name
		is, ok := now.Properties[name]
		required := slices.Contains(now.Required, name)
		switch {
		case !ok:
			c.broken(where, "argument %s is removed, and calls that give it would be refused: keep it as an optional one", path)
			continue
		case required && !slices.Contains(old.Required, name):
			c.broken(where, "argument %s is required, was optional, and calls without it would be refused: keep it optional, or give it a default", path)
		case !required && string(is.Default) != string(was.Default):
			c.note(where, "the default of argument %s is %s, was %s: calls without it mean something else now", path, orNone(is.Default), orNone(was.Default))
		}
		c.accepts(where, path, &was, &is)
	}
	for _, name := range sortedKeys(now.Properties) {
		if _, ok := old.Properties[name]; !ok && slices.Contains(now.Required, name) {
			c.broken(where, "argument %s is new and required, and calls without it would be refused: make it optional, or give it a default", at+name)
		}
	}
}

func orNone(text json.RawMessage) string {
	if len(text) == 0 {
		return "none"
	}
	return string(text)
}

// accepts finds values that one argument took and would not take any more.
func (c *compatibility) accepts(where, path string, old, now *shape) {
	if wide := len(now.Type) == 0 || slices.Equal(old.Type, types{"integer"}) && slices.Contains(now.Type, "number"); wide {
		return
	}
	if old.name() != now.name() && !(now.Format == "" && now.Encoding == "" && old.kind() == now.kind() && now.Items == nil) {
		c.broken(where, "argument %s is %s, was %s, and clients send the latter: add another argument and keep this one", path, now.name(), old.name())
		return
	}
	narrower := func(what string, was, is *float64, low bool) {
		if is != nil && (was == nil || low && *is > *was || !low && *is < *was) {
			c.broken(where, "the %s of argument %s is %v, was %s: values that clients send would be refused; keep the old bound", what, path, *is, bound(was))
		}
	}
	narrower("minimum", old.Min, now.Min, true)
	narrower("maximum", old.Max, now.Max, false)
	narrower("least length", number(old.MinLength), number(now.MinLength), true)
	narrower("greatest length", number(old.MaxLength), number(now.MaxLength), false)
	narrower("least number of items", number(old.MinItems), number(now.MinItems), true)
	narrower("greatest number of items", number(old.MaxItems), number(now.MaxItems), false)
	if len(now.Enum) > 0 {
		if len(old.Enum) == 0 {
			c.broken(where, "argument %s must be one of %s, could be anything: keep taking other values", path, strings.Join(now.Enum, ", "))
		}
		for _, value := range old.Enum {
			if !slices.Contains(now.Enum, value) {
				c.broken(where, "argument %s may not be %q any more, and clients may send it: keep taking it", path, value)
			}
		}
	}
	if old.Items != nil && now.Items != nil {
		c.accepts(where, path+"[]", old.Items, now.Items)
	}
	if old.Properties != nil && now.Properties != nil {
		c.arguments(where, path+".", old, now)
	}
}

func (s *shape) kind() string {
	for _, t := range s.Type {
		if t != "null" {
			return t
		}
	}
	return ""
}

func bound(f *float64) string {
	if f == nil {
		return "none"
	}
	return fmt.Sprint(*f)
}

func number(n *int) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

// results finds what clients read and would not find any more.
func (c *compatibility) results(old, now *published) {
	switch {
	case old.Result == nil:
		return
	case now.Result == nil && now.source != nil && now.source.Statement != nil:
		c.note(old.Name, "the result was not compared, because only a database knows its columns: add --against postgres://…")
	case now.Result == nil:
		c.note(old.Name, "the result was not compared, because the plugin does not describe it any more")
	default:
		c.keeps(old.Name, "the result", old.Result, now.Result)
	}
}

func (c *compatibility) keeps(where, path string, old, now *shape) {
	if len(old.Type) == 0 {
		return // clients could rely on nothing
	}
	if old.Items != nil && now.Items != nil {
		c.keeps(where, path, old.Items, now.Items)
		return
	}
	if old.name() != now.name() {
		c.broken(where, "%s is %s, was %s, and clients read the latter: keep it, and add another column", path, now.name(), old.name())
		return
	}
	if now.nullable() && !old.nullable() {
		c.note(where, "%s may be null, could not be: see that clients take it", path)
	}
	for _, name := range sortedKeys(old.Properties) {
		was := old.Properties[name]
		is, ok := now.Properties[name]
		column := "column " + name
		if strings.HasPrefix(path, "column ") {
			column = path + "." + name
		}
		if !ok {
			c.broken(where, "%s is removed, and clients may read it: keep it until none does", column)
			continue
		}
		c.keeps(where, column, &was, &is)
	}
}

func sortedKeys(m map[string]shape) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
