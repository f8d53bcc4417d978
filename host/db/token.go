package db

import "strings"

// tokenKind is what a token of PostgreSQL's printed expressions is.
type tokenKind uint8

const (
	tokenWord   tokenKind = iota + 1 // a name, or a keyword (upper case, not quoted)
	tokenText                        // a string literal
	tokenNumber                      //
	tokenParam                       // $n
	tokenOp                          // an operator
	tokenMark                        // one of ( ) [ ] , . and ::
)

// token is one token. text is the content: without quotes, with doubled quotes
// and escapes undone.
type token struct {
	kind   tokenKind
	quoted bool
	text   string
}

func (t token) is(mark string) bool { return t.kind == tokenMark && t.text == mark }

func (t token) keyword(word string) bool {
	return t.kind == tokenWord && !t.quoted && t.text == word
}

func (t token) op(text string) bool { return t.kind == tokenOp && t.text == text }

const opRunes = "+-*/<>=~!@#%^&|`?"

// tokenize splits an expression as EXPLAIN prints it. It reads SQL that a person
// wrote too, comments and dollar quotes included. What it does not understand
// becomes an operator token, which no condition matches: it widens.
func tokenize(s string) []token {
	var out []token
	for i := 0; i < len(s); {
		b := s[i]
		switch {
		case b == ' ' || b == '\n' || b == '\t' || b == '\r' || b == '\f' || b == '\v':
			i++
		case b == '-' && strings.HasPrefix(s[i:], "--"):
			if end := strings.IndexByte(s[i:], '\n'); end >= 0 {
				i += end
			} else {
				i = len(s)
			}
		case b == '/' && strings.HasPrefix(s[i:], "/*"):
			i = skipComment(s, i)
		case b == '\'':
			var text string
			text, i = quotedText(s, i, '\'', false)
			out = append(out, token{kind: tokenText, text: text})
		case (b == 'E' || b == 'e') && i+1 < len(s) && s[i+1] == '\'':
			var text string
			text, i = quotedText(s, i+1, '\'', true)
			out = append(out, token{kind: tokenText, text: text})
		case b == '"':
			var text string
			text, i = quotedText(s, i, '"', false)
			out = append(out, token{kind: tokenWord, quoted: true, text: text})
		case b == '$':
			var t token
			t, i = dollar(s, i)
			out = append(out, t)
		case isDigit(b) || b == '.' && i+1 < len(s) && isDigit(s[i+1]):
			end := i
			for end < len(s) && (isDigit(s[end]) || isWordByte(s[end]) || s[end] == '.') {
				end++
			}
			out = append(out, token{kind: tokenNumber, text: s[i:end]})
			i = end
		case isWordByte(b):
			end := i
			for end < len(s) && (isWordByte(s[end]) || isDigit(s[end]) || s[end] == '$') {
				end++
			}
			out = append(out, token{kind: tokenWord, text: s[i:end]})
			i = end
		case b == ':' && strings.HasPrefix(s[i:], "::"):
			out = append(out, token{kind: tokenMark, text: "::"})
			i += 2
		case strings.IndexByte("()[],.", b) >= 0:
			out = append(out, token{kind: tokenMark, text: s[i : i+1]})
			i++
		case strings.IndexByte(opRunes, b) >= 0:
			end := i
			for end < len(s) && strings.IndexByte(opRunes, s[end]) >= 0 &&
				(end == i || !strings.HasPrefix(s[end:], "--") && !strings.HasPrefix(s[end:], "/*")) {
				end++
			}
			out = append(out, token{kind: tokenOp, text: s[i:end]})
			i = end
		default:
			out = append(out, token{kind: tokenOp, text: s[i : i+1]})
			i++
		}
	}
	return out
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isWordByte(b byte) bool {
	return b == '_' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
}

func skipComment(s string, i int) int {
	depth := 0
	for i < len(s) {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return i
}

// quotedText reads from the quote at i and returns the content and where it ends.
func quotedText(s string, i int, quote byte, escapes bool) (string, int) {
	var b strings.Builder
	for i++; i < len(s); i++ {
		switch {
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			b.WriteByte(quote)
			i++
		case s[i] == quote:
			return b.String(), i + 1
		case escapes && s[i] == '\\' && i+1 < len(s):
			// PostgreSQL prints only the doubled backslash; what a person writes
			// beyond that makes a literal that equals nothing here.
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), i
}

// dollar reads a parameter or a dollar-quoted string.
func dollar(s string, i int) (token, int) {
	end := i + 1
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	if end > i+1 {
		return token{kind: tokenParam, text: s[i+1 : end]}, end
	}
	for end < len(s) && (isWordByte(s[end]) || isDigit(s[end])) {
		end++
	}
	if end < len(s) && s[end] == '$' {
		tag := s[i : end+1]
		if n := strings.Index(s[end+1:], tag); n >= 0 {
			return token{kind: tokenText, text: s[end+1 : end+1+n]}, end + 1 + n + len(tag)
		}
	}
	return token{kind: tokenOp, text: s[i:end]}, end
}

// closing returns the index of the mark that closes the one at i, or -1.
func closing(ts []token, i int) int {
	depth := 0
	for ; i < len(ts); i++ {
		switch {
		case ts[i].is("(") || ts[i].is("["):
			depth++
		case ts[i].is(")") || ts[i].is("]"):
			depth--
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

// unwrap removes parentheses around the whole.
func unwrap(ts []token) []token {
	for len(ts) >= 2 && ts[0].is("(") && closing(ts, 0) == len(ts)-1 {
		ts = ts[1 : len(ts)-1]
	}
	return ts
}

// outside calls f for each token that is in no parentheses.
func outside(ts []token, f func(i int)) {
	for i := 0; i < len(ts); i++ {
		f(i)
		if ts[i].is("(") || ts[i].is("[") {
			end := closing(ts, i)
			if end < 0 {
				return
			}
			i = end
		}
	}
}

// conjuncts splits a condition at the ANDs of its top level. A condition of
// another shape comes back whole.
func conjuncts(ts []token) [][]token {
	ts = unwrap(ts)
	var cuts []int
	whole := false
	outside(ts, func(i int) {
		switch {
		case ts[i].keyword("AND"):
			cuts = append(cuts, i)
		case ts[i].keyword("OR"), ts[i].keyword("CASE"), ts[i].keyword("BETWEEN"):
			whole = true
		}
	})
	if whole || len(cuts) == 0 {
		return [][]token{ts}
	}
	var out [][]token
	start := 0
	for _, cut := range append(cuts, len(ts)) {
		out = append(out, conjuncts(ts[start:cut])...)
		start = cut + 1
	}
	return out
}

// render prints tokens for people.
func render(ts []token) string {
	var b strings.Builder
	for i, t := range ts {
		tight := i == 0 || t.is(")") || t.is("]") || t.is(",") || t.is(".") || t.is("::") || t.is("[") ||
			ts[i-1].is("(") || ts[i-1].is("[") || ts[i-1].is(".") || ts[i-1].is("::") ||
			t.is("(") && ts[i-1].kind == tokenWord && strings.ToUpper(ts[i-1].text) != ts[i-1].text
		if !tight {
			b.WriteByte(' ')
		}
		switch t.kind {
		case tokenText:
			b.WriteString("'" + strings.ReplaceAll(t.text, "'", "''") + "'")
		case tokenParam:
			b.WriteString("$" + t.text)
		default:
			b.WriteString(t.text)
		}
	}
	return b.String()
}
