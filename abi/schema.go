package abi

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ArgumentError says which argument is wrong and why, in a sentence for the
// caller.
type ArgumentError struct {
	Path    string // "limit", "filter.author", "ids[3]"; "" for the arguments as a whole
	What    string
	Unknown bool // there is no such argument; What is what to write instead
}

// Error returns `argument "limit": 0 is less than 1`, or
// `unknown argument "rom": did you mean "room"?`.
func (e *ArgumentError) Error() string {
	switch {
	case e.Unknown:
		return "unknown argument " + strconv.Quote(e.Path) + ": " + e.What
	case e.Path == "":
		return "arguments: " + e.What
	}
	return "argument " + strconv.Quote(e.Path) + ": " + e.What
}

// Code returns BadRequest.
func (e *ArgumentError) Code() Code { return BadRequest }

// Check returns v as functions see it, or why it does not fit: defaults are
// filled in, absent members are null, an object with fields is an array in
// their order, an integer in a number field is a float, byte strings are
// decoded, uuids, dates, times and decimals have one spelling, and JSON is its
// compact text with keys in deterministic order. Without a type a number keeps its
// value and not its spelling. Equal results mean arguments that no function can tell
// apart. Errors are *ArgumentError.
func (s *Schema) Check(v Value) (Value, error) { return s.check("", v) }

func (s *Schema) check(path string, v Value) (Value, error) {
	if v.IsNull() {
		switch {
		case s.Default != nil && !s.Default.IsNull():
			return s.check(path, *s.Default)
		case s.Optional || s.Default != nil || s.Type == "" && s.Format != "json":
			return v, nil
		case s.Format != "json":
			return v, wrong(path, "must not be null")
		}
	}
	if s.Format == "json" {
		return Text(string(v.AppendJSON(nil))), nil
	}
	switch s.Type {
	case "integer":
		return s.integer(path, v)
	case "number":
		return s.number(path, v)
	case "string":
		return s.string(path, v)
	case "boolean":
		if v.Type() != TypeBool {
			return v, wrong(path, "want true or false, found "+brief(v))
		}
		return v, nil
	case "array":
		return s.array(path, v)
	case "object":
		return s.object(path, v)
	case "":
		return v.unspelt(), s.enum(path, v)
	}
	return v, wrong(path, "the schema has the unknown type "+strconv.Quote(s.Type))
}

func (s *Schema) integer(path string, v Value) (Value, error) {
	if v.Type() != TypeInt {
		return v, wrong(path, "want an integer, found "+brief(v))
	}
	if s.Min != nil && compareIntFloat(v, *s.Min) < 0 {
		return v, wrong(path, v.intText()+" is less than "+bound(*s.Min))
	}
	if s.Max != nil && compareIntFloat(v, *s.Max) > 0 {
		return v, wrong(path, v.intText()+" is more than "+bound(*s.Max))
	}
	return v, nil
}

func (s *Schema) number(path string, v Value) (Value, error) {
	f, ok := v.AsFloat()
	if v.Type() == TypeInt {
		f, ok = v.intFloat(), true
	}
	switch {
	case !ok:
		return v, wrong(path, "want a number, found "+brief(v))
	case s.Min != nil && f < *s.Min:
		return v, wrong(path, brief(v)+" is less than "+bound(*s.Min))
	case s.Max != nil && f > *s.Max:
		return v, wrong(path, brief(v)+" is more than "+bound(*s.Max))
	}
	return Float(f), nil
}

func (s *Schema) string(path string, v Value) (Value, error) {
	if s.Format == "bytes" && v.Type() == TypeBytes { // a manifest's default
		return v, s.length(path, v.Len(), "bytes")
	}
	text, ok := v.AsText()
	if !ok {
		return v, wrong(path, "want a string, found "+brief(v))
	}
	if strings.IndexByte(text, 0) >= 0 {
		return v, wrong(path, "contains the character U+0000, which no text in PostgreSQL can hold")
	}
	var want string
	switch s.Format {
	case "bytes":
		b, ok := parseBase64(text)
		if !ok {
			return v, wrong(path, "want bytes in base64 with padding")
		}
		return Bytes(b), s.length(path, len(b), "bytes")
	case "uuid":
		text, ok = parseUUID(text)
		want = "want a uuid like 0190d0c4-7f5a-7b2e-9c1d-2f6b8a4e1c3d, found "
	case "date":
		ok = isDate(text)
		want = "want a date like 2026-01-31, found "
	case "date-time":
		text, ok = parseTime(text)
		want = "want a time with a zone like 2026-01-31T09:30:00Z, found "
	case "decimal":
		text, ok = parseDecimal(text)
		want = "want a decimal number like 12.50, found "
	}
	if !ok {
		return v, wrong(path, want+brief(v))
	}
	if err := s.length(path, utf8.RuneCountInString(text), "characters"); err != nil {
		return v, err
	}
	return Text(text), s.enum(path, Text(text))
}

func (s *Schema) array(path string, v Value) (Value, error) {
	if v.Type() != TypeArray {
		return v, wrong(path, "want an array, found "+brief(v))
	}
	if err := s.length(path, v.Len(), "items"); err != nil || s.Items == nil {
		return v.unspelt(), err
	}
	items := make([]Value, v.Len())
	for i := range items {
		var err error
		if items[i], err = s.Items.check(path+"["+strconv.Itoa(i)+"]", v.At(i)); err != nil {
			return v, err
		}
	}
	return Array(items...), nil
}

func (s *Schema) object(path string, v Value) (Value, error) {
	values, err := checkFields(path, s.Fields, v, make([]Value, 0, len(s.Fields)))
	return Array(values...), err
}

// enum checks a text against the listed ones.
func (s *Schema) enum(path string, v Value) error {
	if len(s.Enum) == 0 {
		return nil
	}
	text, ok := v.AsText()
	if ok && slices.Contains(s.Enum, text) {
		return nil
	}
	what := brief(v) + " is not one of " + listed(s.Enum)
	if ok {
		what += meant(text, s.Enum)
	}
	return wrong(path, what)
}

// length checks a number of characters, bytes or items.
func (s *Schema) length(path string, n int, unit string) error {
	switch {
	case s.MinLen != nil && n < *s.MinLen:
		return wrong(path, strconv.Itoa(n)+" "+unit+" are fewer than "+strconv.Itoa(*s.MinLen))
	case s.MaxLen != nil && n > *s.MaxLen:
		return wrong(path, strconv.Itoa(n)+" "+unit+" are more than "+strconv.Itoa(*s.MaxLen))
	}
	return nil
}

// checkFields appends the values of the fields in their order, taken from the
// members of v. Unknown members are looked for first: a misspelt name explains
// a missing one.
func checkFields(path string, fields []Field, v Value, dst []Value) ([]Value, error) {
	if v.Type() != TypeMap {
		return dst, wrong(path, "want an object, found "+brief(v))
	}
	found := 0
	for i := range fields {
		if _, ok := v.Get(fields[i].Name); ok {
			found++
		}
	}
	if found < v.Len() {
		return dst, unknownMember(path, fields, v)
	}
	for i := range fields {
		f := &fields[i]
		member, ok := v.Get(f.Name)
		if !ok && !f.Schema.Optional && f.Schema.Default == nil {
			return dst, wrong(join(path, f.Name), "missing")
		}
		member, err := f.Schema.check(join(path, f.Name), member)
		if err != nil {
			return dst, err
		}
		dst = append(dst, member)
	}
	return dst, nil
}

func unknownMember(path string, fields []Field, v Value) error {
	names := make([]string, 0, len(fields))
	for i := range fields {
		names = append(names, fields[i].Name)
	}
	for i := range v.Len() {
		if slices.Contains(names, v.Key(i)) {
			continue
		}
		key := cut(v.Key(i), maxName)
		what := "there are none"
		if n := Nearest(key, names); n != "" {
			what = "did you mean " + strconv.Quote(n) + "?"
		} else if len(names) > 0 {
			what = thereAre(names)
		}
		return &ArgumentError{Path: join(path, key), What: what, Unknown: true}
	}
	return nil
}

func wrong(path, what string) error { return &ArgumentError{Path: path, What: what} }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// listed is a short list for a message.
func listed(names []string) string {
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// thereAre names what there is, which is not nothing.
func thereAre(names []string) string {
	if len(names) == 1 {
		return "there is only " + names[0]
	}
	return "there are " + listed(names)
}

// bound is a limit for a message.
func bound(f float64) string { return string(appendJSONFloat(nil, f)) }

// intFloat returns the float nearest to an integer. It rounds once: 1 is added
// before, where it is exact.
func (v Value) intFloat() float64 {
	switch {
	case !v.neg:
		return float64(v.num)
	case v.num == math.MaxUint64:
		return -(1 << 64)
	}
	return -float64(v.num + 1)
}

// compareIntFloat compares an integer with a float exactly; converting either
// would round past 2^53.
func compareIntFloat(v Value, f float64) int {
	sign, size := 1, v.num
	if v.neg {
		// -1-n compared with f is -f-1 compared with n, turned around.
		if f >= 0 {
			return -1
		}
		if f > -1 { // -1-n < f for every n
			return -1
		}
		sign, f = -1, -f
		// Here the magnitude is n+1; compare it with f as n with f-1, taking
		// the one from the whole part below, where it is exact.
	} else if f < 0 {
		return 1
	}
	whole, part := math.Modf(f)
	if whole >= 1<<64 {
		if v.neg && whole == 1<<64 && part == 0 && size == math.MaxUint64 {
			return 0
		}
		return -sign
	}
	w := uint64(whole)
	if v.neg {
		w--
	}
	switch {
	case size > w:
		return sign
	case size < w || part > 0:
		return -sign
	}
	return 0
}
