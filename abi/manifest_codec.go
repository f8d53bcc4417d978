package abi

import (
	"errors"
	"math"
	"slices"
	"strconv"
)

// ManifestError says what is wrong in a manifest, or in another value that a
// guest encodes as a map, and what to do.
type ManifestError struct {
	Path string // "functions[2].access"; may be empty
	What string
}

// Error returns "PATH: WHAT".
func (e *ManifestError) Error() string {
	if e.Path == "" {
		return e.What
	}
	return e.Path + ": " + e.What
}

// Code makes it a guest's fault for problem documents.
func (e *ManifestError) Code() Code { return GuestContract }

// AppendManifest appends m as a deterministic CBOR map.
func AppendManifest(dst []byte, m *Manifest) []byte {
	var b mapBuilder
	b.put("abi", Int(int64(m.ABI)))
	b.put("name", Text(m.Name))
	b.put("version", Text(m.Version))
	b.put("statements", each(m.Statements, statementValue))
	b.put("functions", each(m.Functions, functionValue))
	b.put("capabilities", each(m.Capabilities, Text))
	return b.value().AppendCBOR(dst)
}

// DecodeManifest decodes a manifest strictly: unknown keys and wrong types are
// refused, each with its place. It does not Validate. Errors are *CodecError,
// or *ManifestError joined.
func DecodeManifest(data []byte) (*Manifest, error) {
	if len(data) > MaxManifest {
		return nil, &CodecError{Offset: MaxManifest, What: "the manifest is longer than " + strconv.Itoa(MaxManifest) + " bytes"}
	}
	v, err := DecodeCBOR(data)
	if err != nil {
		return nil, err
	}
	var r reader
	o := r.object("", v, "abi", "name", "version", "statements", "functions", "capabilities")
	m := &Manifest{
		ABI:          r.small(o, "abi", true),
		Name:         r.text(o, "name", true),
		Version:      r.text(o, "version", false),
		Statements:   list(&r, o, "statements", r.statement),
		Functions:    list(&r, o, "functions", r.function),
		Capabilities: list(&r, o, "capabilities", r.string),
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return m, nil
}

func statementValue(s Statement) Value {
	var b mapBuilder
	b.put("sql", Text(s.SQL))
	if len(s.Key) > 0 {
		b.put("key", each(s.Key, Text))
	}
	if len(s.Nest) > 0 {
		b.put("nest", each(s.Nest, func(n Nest) Value {
			var b mapBuilder
			b.put("name", Text(n.Name))
			b.put("on", Text(n.On))
			b.put("statement", Int(int64(n.Statement)))
			b.put("column", Text(n.Column))
			return b.value()
		}))
	}
	return b.value()
}

func functionValue(f Function) Value {
	var b mapBuilder
	b.put("name", Text(f.Name))
	b.put("kind", Text(string(f.Kind)))
	b.put("fields", each(f.Fields, fieldValue))
	if len(f.Claims) > 0 {
		b.put("claims", each(f.Claims, claimValue))
	}
	if len(f.Scope) > 0 {
		b.put("scope", each(f.Scope, fieldValue))
	}
	if f.Statement != nil {
		b.put("statement", Int(int64(*f.Statement)))
	}
	if len(f.Uses) > 0 {
		b.put("uses", each(f.Uses, func(i int) Value { return Int(int64(i)) }))
	}
	if f.Access.Stated() {
		b.put("access", accessValue(f.Access))
	}
	if f.Result != nil {
		b.put("result", schemaValue(f.Result))
	}
	b.flag("action", f.Action)
	b.flag("function", f.Call)
	b.words("doc", f.Doc)
	return b.value()
}

func fieldValue(f Field) Value {
	return Map([]string{"name", "schema"}, []Value{Text(f.Name), schemaValue(&f.Schema)})
}

func claimValue(c Claim) Value {
	var b mapBuilder
	b.put("name", Text(c.Name))
	b.put("claim", Text(c.Claim))
	if s := schemaValue(&c.Schema); s.Len() > 0 {
		b.put("schema", s)
	}
	return b.value()
}

func accessValue(a Access) Value {
	switch {
	case a.SignedIn:
		return Text("signed_in")
	case a.Public:
		return Text("public")
	}
	return Map([]string{"policies"}, []Value{each(a.Policies, Text)})
}

func schemaValue(s *Schema) Value {
	var b mapBuilder
	b.words("type", s.Type)
	b.words("format", s.Format)
	b.flag("optional", s.Optional)
	if s.Default != nil {
		b.put("default", *s.Default)
	}
	if s.Min != nil {
		b.put("minimum", Float(*s.Min))
	}
	if s.Max != nil {
		b.put("maximum", Float(*s.Max))
	}
	if s.MinLen != nil {
		b.put("minLength", Int(int64(*s.MinLen)))
	}
	if s.MaxLen != nil {
		b.put("maxLength", Int(int64(*s.MaxLen)))
	}
	if len(s.Enum) > 0 {
		b.put("enum", each(s.Enum, Text))
	}
	if s.Items != nil {
		b.put("items", schemaValue(s.Items))
	}
	if len(s.Fields) > 0 {
		b.put("fields", each(s.Fields, fieldValue))
	}
	b.words("description", s.Doc)
	return b.value()
}

func (r *reader) statement(path string, v Value) Statement {
	o := r.object(path, v, "sql", "key", "nest")
	return Statement{
		SQL: r.text(o, "sql", true),
		Key: list(r, o, "key", r.string),
		Nest: list(r, o, "nest", func(path string, v Value) Nest {
			o := r.object(path, v, "name", "on", "statement", "column")
			return Nest{
				Name:      r.text(o, "name", true),
				On:        r.text(o, "on", true),
				Statement: r.small(o, "statement", true),
				Column:    r.text(o, "column", true),
			}
		}),
	}
}

func (r *reader) function(path string, v Value) Function {
	o := r.object(path, v, "name", "kind", "fields", "claims", "scope", "statement",
		"uses", "access", "result", "action", "function", "doc")
	f := Function{
		Name:   r.text(o, "name", true),
		Kind:   Kind(r.text(o, "kind", true)),
		Fields: list(r, o, "fields", r.field),
		Claims: list(r, o, "claims", r.claim),
		Scope:  list(r, o, "scope", r.field),
		Uses:   list(r, o, "uses", r.index),
		Access: r.access(o),
		Action: r.boolean(o, "action"),
		Call:   r.boolean(o, "function"),
		Doc:    r.text(o, "doc", false),
	}
	if _, ok := o.get("statement"); ok {
		i := r.small(o, "statement", true)
		f.Statement = &i
	}
	if v, ok := o.get("result"); ok {
		s := r.schema(o.at("result"), v)
		f.Result = &s
	}
	return f
}

func (r *reader) field(path string, v Value) Field {
	o := r.object(path, v, "name", "schema")
	return Field{Name: r.text(o, "name", true), Schema: r.schemaOf(o)}
}

func (r *reader) claim(path string, v Value) Claim {
	o := r.object(path, v, "name", "claim", "schema")
	return Claim{Name: r.text(o, "name", true), Claim: r.text(o, "claim", true), Schema: r.schemaOf(o)}
}

func (r *reader) access(o object) Access {
	v, ok := o.get("access")
	if !ok {
		return Access{}
	}
	if v.Type() == TypeMap {
		p := r.object(o.at("access"), v, "policies")
		return Access{Policies: list(r, p, "policies", r.string)}
	}
	switch s, _ := v.AsText(); s {
	case "signed_in":
		return Access{SignedIn: true}
	case "public":
		return Access{Public: true}
	}
	r.fault(o.at("access"), `want "signed_in", "public" or {"policies": [names]}, found `+brief(v))
	return Access{}
}

func (r *reader) schemaOf(o object) Schema {
	if v, ok := o.get("schema"); ok {
		return r.schema(o.at("schema"), v)
	}
	return Schema{}
}

func (r *reader) schema(path string, v Value) Schema {
	o := r.object(path, v, "type", "format", "optional", "default", "minimum", "maximum",
		"minLength", "maxLength", "enum", "items", "fields", "description")
	s := Schema{
		Type:     r.text(o, "type", false),
		Format:   r.text(o, "format", false),
		Optional: r.boolean(o, "optional"),
		Min:      r.number(o, "minimum"),
		Max:      r.number(o, "maximum"),
		Enum:     list(r, o, "enum", r.string),
		Fields:   list(r, o, "fields", r.field),
		Doc:      r.text(o, "description", false),
	}
	if v, ok := o.v.Get("default"); ok {
		s.Default = &v
	}
	if _, ok := o.get("minLength"); ok {
		n := r.small(o, "minLength", true)
		s.MinLen = &n
	}
	if _, ok := o.get("maxLength"); ok {
		n := r.small(o, "maxLength", true)
		s.MaxLen = &n
	}
	if v, ok := o.get("items"); ok {
		items := r.schema(o.at("items"), v)
		s.Items = &items
	}
	return s
}

// reader takes structures out of decoded values and collects what is wrong.
type reader struct{ errs []error }

// maxFaults bounds how many errors are collected: a module can be wrong more
// often than anybody reads.
const maxFaults = 32

// object is a map and its place.
type object struct {
	v    Value
	path string
}

func (o object) at(key string) string {
	if o.path == "" {
		return key
	}
	return o.path + "." + key
}

// get returns the value of key; null counts as absent.
func (o object) get(key string) (Value, bool) {
	v, ok := o.v.Get(key)
	return v, ok && !v.IsNull()
}

func (r *reader) fault(path, what string) {
	if len(r.errs) < maxFaults {
		r.errs = append(r.errs, &ManifestError{Path: path, What: what})
	}
}

func (r *reader) err() error { return errors.Join(r.errs...) }

// object checks that v is a map without other keys than these.
func (r *reader) object(path string, v Value, known ...string) object {
	o := object{v: v, path: path}
	if v.Type() != TypeMap {
		r.fault(path, "want a map, found "+v.Type().String())
		return object{path: path}
	}
	for i := range v.Len() {
		key := v.Key(i)
		if slices.Contains(known, key) {
			continue
		}
		what := "unknown key"
		if n := Nearest(key, known); n != "" {
			what += ", did you mean " + n + "?"
		}
		r.fault(o.at(cut(key, maxName)), what)
	}
	return o
}

func (r *reader) text(o object, key string, required bool) string {
	v, ok := o.get(key)
	if !ok {
		r.missing(o, key, required)
		return ""
	}
	return r.string(o.at(key), v)
}

func (r *reader) string(path string, v Value) string {
	s, ok := v.AsText()
	if !ok {
		r.fault(path, "want a string, found "+v.Type().String())
	}
	return s
}

func (r *reader) boolean(o object, key string) bool {
	v, ok := o.get(key)
	if !ok {
		return false
	}
	b, ok := v.AsBool()
	if !ok {
		r.fault(o.at(key), "want a boolean, found "+v.Type().String())
	}
	return b
}

func (r *reader) integer(o object, key string) int64 {
	v, ok := o.get(key)
	if !ok {
		return 0
	}
	i, ok := v.AsInt()
	if !ok {
		r.fault(o.at(key), "want an integer, found "+brief(v))
	}
	return i
}

// small reads an index or a length.
func (r *reader) small(o object, key string, required bool) int {
	v, ok := o.get(key)
	if !ok {
		r.missing(o, key, required)
		return 0
	}
	return r.index(o.at(key), v)
}

func (r *reader) index(path string, v Value) int {
	i, ok := v.AsInt()
	if !ok || i < 0 || i > math.MaxInt32 {
		r.fault(path, "want an integer from 0, found "+brief(v))
		return 0
	}
	return int(i)
}

func (r *reader) number(o object, key string) *float64 {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	f, ok := v.AsFloat()
	if !ok {
		i, isInt := v.AsInt()
		if f = float64(i); !isInt {
			r.fault(o.at(key), "want a number, found "+v.Type().String())
		}
	}
	return &f
}

func (r *reader) missing(o object, key string, required bool) {
	if required && o.v.Type() == TypeMap {
		r.fault(o.at(key), "missing")
	}
}

// list reads an array of items; absent means none.
func list[T any](r *reader, o object, key string, item func(path string, v Value) T) []T {
	v, ok := o.get(key)
	if !ok {
		return nil
	}
	if v.Type() != TypeArray {
		r.fault(o.at(key), "want an array, found "+v.Type().String())
		return nil
	}
	items := make([]T, 0, v.Len())
	for i := range v.Len() {
		items = append(items, item(o.at(key)+"["+strconv.Itoa(i)+"]", v.At(i)))
	}
	return items
}

// each encodes the items of a list.
func each[T any](items []T, value func(T) Value) Value {
	values := make([]Value, 0, len(items))
	for _, item := range items {
		values = append(values, value(item))
	}
	return Array(values...)
}

// brief is a value for a message.
func brief(v Value) string {
	switch v.Type() {
	case TypeArray, TypeMap, TypeBytes:
		return v.Type().String()
	}
	if s := v.String(); len(s) > 64 {
		return cut(s, 60) + "…"
	}
	return v.String()
}

// mapBuilder collects the pairs of a map.
type mapBuilder struct {
	keys   []string
	values []Value
}

func (b *mapBuilder) put(key string, v Value) {
	b.keys, b.values = append(b.keys, key), append(b.values, v)
}

// words puts a text unless it is empty.
func (b *mapBuilder) words(key, s string) {
	if s != "" {
		b.put(key, Text(s))
	}
}

// flag puts true, or nothing.
func (b *mapBuilder) flag(key string, on bool) {
	if on {
		b.put(key, Bool(true))
	}
}

func (b *mapBuilder) value() Value { return Map(b.keys, b.values) }
