package abi

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// JSONError says where a JSON text is wrong and why.
type JSONError struct {
	Offset int // in bytes
	What   string
}

// Error returns "json at byte OFFSET: WHAT".
func (e *JSONError) Error() string {
	return "json at byte " + strconv.Itoa(e.Offset) + ": " + e.What
}

// Code returns BadRequest.
func (e *JSONError) Code() Code { return BadRequest }

// ParseJSON parses exactly one JSON text (RFC 8259), strictly: duplicate keys,
// invalid UTF-8, lone surrogates, nesting over maxDepth (0 means MaxDepth) and
// anything after the end are refused. An integer that fits 64 bits is a
// TypeInt, another number a TypeFloat or, if it is not finite, refused; 1.0 is
// a float and differs from 1. Errors are *JSONError.
func ParseJSON(data []byte, maxDepth int) (Value, error) {
	if maxDepth <= 0 {
		maxDepth = MaxDepth
	}
	p := jsonParser{data: data, depth: maxDepth}
	v, err := p.value()
	if err != nil {
		return Value{}, err
	}
	if p.space(); p.at < len(p.data) {
		return Value{}, p.fault("more text after the end of the value")
	}
	return v, nil
}

type jsonParser struct {
	data  []byte
	at    int
	depth int // how much deeper it may still go
}

func (p *jsonParser) value() (Value, error) {
	p.space()
	switch c := p.peek(); {
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '"':
		s, err := p.text()
		return Text(s), err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.word("null"):
		return Value{}, nil
	case p.word("true"):
		return Bool(true), nil
	case p.word("false"):
		return Bool(false), nil
	case p.at >= len(p.data):
		return Value{}, p.fault("the text ends where a value is wanted")
	}
	return Value{}, p.fault("want a value")
}

func (p *jsonParser) array() (Value, error) {
	if err := p.enter(); err != nil {
		return Value{}, err
	}
	items := []Value{}
	for p.space(); p.peek() != ']'; p.space() {
		if len(items) > 0 {
			if p.peek() != ',' {
				return Value{}, p.fault("want a comma or the end of the array")
			}
			p.at++
		}
		v, err := p.value()
		if err != nil {
			return Value{}, err
		}
		items = append(items, v)
	}
	p.leave()
	return Array(items...), nil
}

func (p *jsonParser) object() (Value, error) {
	start := p.at
	if err := p.enter(); err != nil {
		return Value{}, err
	}
	var keys []string
	var items []Value
	for p.space(); p.peek() != '}'; p.space() {
		if len(keys) > 0 {
			if p.peek() != ',' {
				return Value{}, p.fault("want a comma or the end of the object")
			}
			p.at++
			p.space()
		}
		if p.peek() != '"' {
			return Value{}, p.fault("want a key in quotes")
		}
		key, err := p.text()
		if err != nil {
			return Value{}, err
		}
		if p.space(); p.peek() != ':' {
			return Value{}, p.fault("want a colon after the key")
		}
		p.at++
		v, err := p.value()
		if err != nil {
			return Value{}, err
		}
		keys, items = append(keys, key), append(items, v)
	}
	p.leave()
	v := Map(keys, items)
	if len(v.keys) < len(keys) {
		return Value{}, &JSONError{Offset: start, What: "the object has the key " + strconv.Quote(duplicate(keys)) + " twice"}
	}
	return v, nil
}

// number reads a number. Integers keep all their digits; a float whose own
// spelling AppendJSON would not give back keeps that too, for fields that are
// handed on as JSON.
func (p *jsonParser) number() (Value, error) {
	start := p.at
	neg := p.peek() == '-'
	if neg {
		p.at++
	}
	whole := true
	switch n := p.digits(); {
	case n == 0:
		return Value{}, p.fault("want a digit")
	case n > 1 && p.data[p.at-n] == '0':
		p.at -= n
		return Value{}, p.fault("a number must not begin with 0")
	}
	if p.peek() == '.' {
		whole = false
		if p.at++; p.digits() == 0 {
			return Value{}, p.fault("want a digit after the point")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		whole = false
		if p.at++; p.peek() == '+' || p.peek() == '-' {
			p.at++
		}
		if p.digits() == 0 {
			return Value{}, p.fault("want a digit in the exponent")
		}
	}
	text := string(p.data[start:p.at])
	if whole {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return Int(i), nil
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return Uint(u), nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || notFinite(f) != "" {
		p.at = start
		return Value{}, p.fault("the number is too large")
	}
	v := Float(f)
	if string(v.AppendJSON(nil)) != text {
		v.str = text
	}
	return v, nil
}

// text reads a string, at its opening quote.
func (p *jsonParser) text() (string, error) {
	p.at++
	start := p.at
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case c == '"':
			if s := p.data[start:p.at]; utf8.Valid(s) {
				p.at++
				return string(s), nil
			}
			p.at = start
			return "", p.fault("the string is not valid UTF-8")
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.fault("a control character in a string: write it as \\u00xx")
		}
		p.at++
	}
	return "", p.fault("the string has no closing quote")
}

// escaped reads the rest of a string whose first backslash was found.
func (p *jsonParser) escaped(start int) (string, error) {
	out := slices.Clone(p.data[start:p.at])
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case c == '"':
			if !utf8.Valid(out) {
				p.at = start
				return "", p.fault("the string is not valid UTF-8")
			}
			p.at++
			return string(out), nil
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < ' ':
			return "", p.fault("a control character in a string: write it as \\u00xx")
		default:
			out = append(out, c)
			p.at++
		}
	}
	return "", p.fault("the string has no closing quote")
}

// escape reads one escape sequence, at its backslash.
func (p *jsonParser) escape() (rune, error) {
	p.at++
	c := p.peek()
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode()
	}
	p.at -= 2
	return 0, p.fault("an unknown escape in a string")
}

// unicode reads the digits after \u, and the second half of a surrogate pair.
func (p *jsonParser) unicode() (rune, error) {
	at := p.at - 2
	r, ok := p.hex()
	if !ok {
		p.at = at
		return 0, p.fault("want four hexadecimal digits after \\u")
	}
	if r < 0xd800 || r > 0xdfff {
		return r, nil
	}
	if r <= 0xdbff && p.word(`\u`) {
		if low, ok := p.hex(); ok && low >= 0xdc00 && low <= 0xdfff {
			return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, nil
		}
	}
	p.at = at
	return 0, p.fault("half of a surrogate pair, which is no character")
}

func (p *jsonParser) hex() (r rune, ok bool) {
	if len(p.data)-p.at < 4 {
		return 0, false
	}
	for range 4 {
		c := p.data[p.at]
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
		p.at++
	}
	return r, true
}

func (p *jsonParser) enter() error {
	if p.depth == 0 {
		return p.fault("nested too deeply")
	}
	p.depth--
	p.at++
	return nil
}

func (p *jsonParser) leave() {
	p.depth++
	p.at++
}

// digits passes digits and returns their number.
func (p *jsonParser) digits() (n int) {
	for ; p.peek() >= '0' && p.peek() <= '9'; n++ {
		p.at++
	}
	return n
}

func (p *jsonParser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek returns the next byte, and 0, which no token begins with, at the end.
func (p *jsonParser) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

// word passes w if it is next.
func (p *jsonParser) word(w string) bool {
	if len(p.data)-p.at < len(w) || string(p.data[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}

func (p *jsonParser) fault(what string) error { return &JSONError{Offset: p.at, What: what} }

// duplicate returns the first key that is there twice.
func duplicate(keys []string) string {
	seen := make(map[string]struct{}, len(keys))
	for _, k := range keys {
		if _, ok := seen[k]; ok {
			return k
		}
		seen[k] = struct{}{}
	}
	return ""
}

// AppendJSON appends the value as compact JSON, as the wire carries it: exact
// digits of integers, byte strings as base64, keys in the value's order. A
// number that ParseJSON read is written as it was.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.typ {
	case TypeBool:
		return strconv.AppendBool(dst, v.num == 1)
	case TypeInt:
		return append(dst, v.intText()...)
	case TypeFloat:
		if v.str != "" {
			return append(dst, v.str...)
		}
		return appendJSONFloat(dst, math.Float64frombits(v.num))
	case TypeText:
		return AppendJSONText(dst, v.str)
	case TypeBytes:
		dst = append(dst, '"')
		return append(appendBase64(dst, v.str), '"')
	case TypeArray:
		dst = append(dst, '[')
		for i, item := range v.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.AppendJSON(dst)
		}
		return append(dst, ']')
	case TypeMap:
		dst = append(dst, '{')
		for i, item := range v.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendJSONText(dst, v.keys[i]), ':')
			dst = item.AppendJSON(dst)
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// appendJSONFloat writes the shortest digits that read back as f, with an
// exponent only where a decimal would be long, as JavaScript does.
func appendJSONFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// AppendJSONText appends s as a JSON string. Control characters are escaped, so
// that it never contains a line break; invalid UTF-8 becomes U+FFFD.
func AppendJSONText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
