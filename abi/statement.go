package abi

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParamNow is the reserved parameter $now: the time of the execution, filled in
// by the host. It is always present and never an argument.
const ParamNow = "now"

// Template is a Statement's text, parsed once: SQL with named parameters and
// optional fragments. It is immutable and safe for concurrent use.
type Template struct {
	parts []part
	names []string
	// frags[i] holds the indexes in names of what fragment i needs.
	frags [][]int
}

// part is a piece of text, or a parameter.
type part struct {
	text  string
	param int // index in names, or -1
	frag  int // fragment that the part belongs to, or -1
}

// StatementError says where a statement's text is wrong and what to write
// instead.
type StatementError struct {
	Offset int // in bytes
	Line   int // from 1
	What   string
}

// Error returns "line LINE: WHAT".
func (e *StatementError) Error() string {
	return "line " + strconv.Itoa(e.Line) + ": " + e.What
}

// ParseStatement parses a statement's text. It knows PostgreSQL's lexical rules
// with standard_conforming_strings on, so that what looks like a parameter or a
// brace inside a literal, a quoted name or a comment is left alone. It does not
// look at the grammar. Errors are *StatementError.
func ParseStatement(sql string) (*Template, error) {
	p := templateParser{sql: sql, frag: -1, t: &Template{}}
	switch {
	case len(sql) > MaxStatementText:
		return nil, p.fault(0, "the text is longer than "+strconv.Itoa(MaxStatementText)+" bytes: split the statement")
	case !utf8.ValidString(sql):
		return nil, p.fault(0, "the text is not valid UTF-8")
	case strings.IndexByte(sql, 0) >= 0:
		return nil, p.fault(strings.IndexByte(sql, 0), "the text contains a NUL byte")
	case strings.TrimSpace(sql) == "":
		return nil, p.fault(0, "the statement is empty")
	}
	if err := p.run(); err != nil {
		return nil, err
	}
	return p.t, nil
}

// Names returns the parameters, each once, in the order of their first use. The
// caller must not change it.
func (t *Template) Names() []string { return t.names }

// Variants returns how many texts the statement has: 1 << number of fragments.
func (t *Template) Variants() int { return 1 << len(t.frags) }

// Variant returns the variant to run: bit i is set when fragment i is kept,
// which needs that every name in it is present (not null).
func (t *Template) Variant(present func(name string) bool) int {
	variant := 0
	for i, needs := range t.frags {
		keep := true
		for _, n := range needs {
			if name := t.names[n]; name != ParamNow && !present(name) {
				keep = false
				break
			}
		}
		if keep {
			variant |= 1 << i
		}
	}
	return variant
}

// Text returns the SQL of a variant with $1..$n for its parameters, and their
// names in that order. Names that only dropped fragments use are not among them.
func (t *Template) Text(variant int) (sql string, params []string) {
	var b strings.Builder
	number := make([]int, len(t.names)) // 0 = not yet used
	inside := -1
	for _, p := range t.parts {
		if p.frag != inside {
			// A space keeps tokens on both sides of a brace apart, so that no
			// variant can glue "-" and "-1" to a comment.
			b.WriteByte(' ')
			inside = p.frag
		}
		switch {
		case p.frag >= 0 && variant&(1<<p.frag) == 0:
		case p.param < 0:
			b.WriteString(p.text)
		default:
			if number[p.param] == 0 {
				params = append(params, t.names[p.param])
				number[p.param] = len(params)
			}
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(number[p.param]))
		}
	}
	return b.String(), params
}

// Fragment returns the names that fragment i needs.
func (t *Template) Fragment(i int) []string {
	names := make([]string, 0, len(t.frags[i]))
	for _, n := range t.frags[i] {
		names = append(names, t.names[n])
	}
	return names
}

// templateParser walks the text by tokens; from is the start of the text that
// is not yet in a part.
type templateParser struct {
	sql  string
	at   int
	from int
	frag int // the open fragment, or -1
	open int // where it began
	t    *Template
}

func (p *templateParser) run() error {
	for p.at < len(p.sql) {
		if err := p.token(); err != nil {
			return err
		}
	}
	if p.frag >= 0 {
		return p.fault(p.open, "the fragment that begins here has no closing brace")
	}
	p.flush()
	return nil
}

// token passes one token, or one byte of what does not matter.
func (p *templateParser) token() error {
	c := p.sql[p.at]
	switch {
	case c == '\'':
		return p.quoted('\'', false)
	case c == '"':
		return p.quoted('"', false)
	case c == '$':
		return p.dollar()
	case c == '-' && p.has("--"):
		p.lineComment()
	case c == '/' && p.has("/*"):
		return p.blockComment()
	case c == '{':
		return p.openFragment()
	case c == '}':
		return p.closeFragment()
	case isNameStart(c):
		return p.word()
	case c >= '0' && c <= '9':
		// A number takes the letters after it along: in 1e'x' the e does not
		// begin an escape string.
		for p.at < len(p.sql) && (isNamePart(p.sql[p.at]) || p.sql[p.at] == '.') {
			p.at++
		}
	default:
		p.at++
	}
	return nil
}

// word passes an identifier or keyword. PostgreSQL allows a dollar inside, so
// that a$b is one name and no parameter. E before a quote is an escape string.
func (p *templateParser) word() error {
	start := p.at
	for p.at < len(p.sql) && (isNamePart(p.sql[p.at]) || p.sql[p.at] == '$') {
		p.at++
	}
	if w := p.sql[start:p.at]; (w == "e" || w == "E") && p.has("'") {
		return p.quoted('\'', true)
	}
	return nil
}

// quoted passes a literal or a quoted name. A doubled quote is one of its
// characters; in an escape string a backslash takes the next character along,
// and a literal after a line break continues it under the same rule.
func (p *templateParser) quoted(quote byte, escape bool) error {
	start := p.at
	for p.at++; p.at < len(p.sql); p.at++ {
		switch c := p.sql[p.at]; {
		case escape && c == '\\':
			p.at++
		case c != quote:
		case p.at+1 < len(p.sql) && p.sql[p.at+1] == quote:
			p.at++
		default:
			p.at++
			if escape && p.continued() {
				return p.quoted(quote, escape)
			}
			return nil
		}
	}
	if quote == '"' {
		return p.fault(start, "the quoted name that begins here has no closing quote")
	}
	return p.fault(start, "the string that begins here has no closing quote")
}

// continued reports whether after white space with a line break, and line
// comments, another quote follows, and goes there.
func (p *templateParser) continued() bool {
	back, lines := p.at, false
	for p.at < len(p.sql) {
		switch c := p.sql[p.at]; {
		case c == '\n' || c == '\r':
			lines = true
			p.at++
		case c == ' ' || c == '\t' || c == '\f' || c == '\v':
			p.at++
		case p.has("--"):
			p.lineComment()
		default:
			if c == '\'' && lines {
				return true
			}
			p.at = back
			return false
		}
	}
	return false
}

// dollar passes a parameter or a dollar-quoted string.
func (p *templateParser) dollar() error {
	start := p.at
	end := start + 1
	for end < len(p.sql) && isNamePart(p.sql[end]) {
		end++
	}
	name := p.sql[start+1 : end]
	switch {
	case end < len(p.sql) && p.sql[end] == '$' && (name == "" || isNameStart(name[0])):
		tag := p.sql[start : end+1]
		n := strings.Index(p.sql[end+1:], tag)
		if n < 0 {
			return p.fault(start, "the string that begins with "+tag+" does not end")
		}
		p.at = end + 1 + n + len(tag)
		return nil
	case name == "":
		return p.fault(start, "a dollar sign without a name: write $name for a parameter")
	case name[0] >= '0' && name[0] <= '9':
		return p.fault(start, "$"+name+" is numbered: parameters have names, write $room")
	case !isASCII(name):
		return p.fault(start, "the parameter $"+name+" must be of ASCII letters, digits and underscores")
	case len(name) > maxName:
		return p.fault(start, "the name of a parameter is longer than "+strconv.Itoa(maxName)+" bytes")
	}
	p.flush()
	p.at, p.from = end, end
	return p.param(name, start)
}

func (p *templateParser) param(name string, start int) error {
	i := slices.Index(p.t.names, name)
	if i < 0 {
		if i = len(p.t.names); i == MaxParameters {
			return p.fault(start, "more than "+strconv.Itoa(MaxParameters)+" parameters")
		}
		p.t.names = append(p.t.names, name)
	}
	p.t.parts = append(p.t.parts, part{param: i, frag: p.frag})
	if p.frag >= 0 && !slices.Contains(p.t.frags[p.frag], i) {
		p.t.frags[p.frag] = append(p.t.frags[p.frag], i)
	}
	return nil
}

func (p *templateParser) openFragment() error {
	if p.frag >= 0 {
		return p.fault(p.at, "a fragment inside a fragment: write them one after the other")
	}
	if len(p.t.frags) == MaxFragments {
		return p.fault(p.at, "more than "+strconv.Itoa(MaxFragments)+" optional fragments: each combination is checked when the plugin loads, split the statement")
	}
	p.flush()
	p.open, p.frag = p.at, len(p.t.frags)
	p.t.frags = append(p.t.frags, nil)
	p.at++
	p.from = p.at
	return nil
}

func (p *templateParser) closeFragment() error {
	if p.frag < 0 {
		return p.fault(p.at, "a closing brace without an opening one")
	}
	if len(p.t.frags[p.frag]) == 0 {
		return p.fault(p.open, "a fragment without a parameter would always be kept: remove the braces")
	}
	p.flush()
	p.frag = -1
	p.at++
	p.from = p.at
	// The end of a fragment is a part even if nothing follows, so that Text
	// separates two fragments that touch.
	p.t.parts = append(p.t.parts, part{param: -1, frag: -1})
	return nil
}

func (p *templateParser) lineComment() {
	for p.at < len(p.sql) && p.sql[p.at] != '\n' && p.sql[p.at] != '\r' {
		p.at++
	}
}

// blockComment passes a comment; PostgreSQL's nest.
func (p *templateParser) blockComment() error {
	start, depth := p.at, 0
	for p.at < len(p.sql) {
		switch {
		case p.has("/*"):
			depth++
			p.at += 2
		case p.has("*/"):
			depth--
			p.at += 2
			if depth == 0 {
				return nil
			}
		default:
			p.at++
		}
	}
	return p.fault(start, "the comment that begins here does not end")
}

// flush makes a part of the text passed since the last one.
func (p *templateParser) flush() {
	if p.from < p.at {
		p.t.parts = append(p.t.parts, part{text: p.sql[p.from:p.at], param: -1, frag: p.frag})
	}
	p.from = p.at
}

func (p *templateParser) has(s string) bool { return strings.HasPrefix(p.sql[p.at:], s) }

func (p *templateParser) fault(at int, what string) error {
	return &StatementError{Offset: at, Line: 1 + strings.Count(p.sql[:at], "\n"), What: what}
}

// isNameStart reports whether an SQL name may begin with c; all bytes of
// characters beyond ASCII may.
func isNameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// isNamePart reports whether c may follow in an SQL name, dollar aside.
func isNamePart(c byte) bool { return isNameStart(c) || c >= '0' && c <= '9' }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
