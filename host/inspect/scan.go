package inspect

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/wasilibs/go-pgquery/parser"
)

// token is one token as PostgreSQL's own lexer reads it.
type token struct {
	text    string
	keyword bool
}

var errScan = errors.New("BUG: the lexer's answer is no list of tokens")

// tokens runs the lexer. It is not recursive, so that any text is safe with it,
// but for comments: they nest, and each level costs it the whole text.
func tokens(text string) ([]token, error) {
	if strings.Count(text, "/*") > maxComments {
		return nil, refuse("has more than %d comments: leave some out", maxComments)
	}
	wire, err := parser.ScanToProtobuf(text)
	if err != nil {
		return nil, refuse("is no SQL: %s: correct it", sentence(err))
	}
	var out []token
	for len(wire) > 0 {
		number, _, body, rest, ok := protoField(wire)
		if !ok {
			return nil, errScan
		}
		wire = rest
		if number != 2 { // ScanResult.tokens
			continue
		}
		t, ok := scanToken(body, text)
		if !ok {
			return nil, errScan
		}
		if !strings.HasPrefix(t.text, "--") && !strings.HasPrefix(t.text, "/*") {
			out = append(out, t)
		}
	}
	return out, nil
}

// maxComments bounds the comments of a text.
const maxComments = 100

// scanToken decodes a ScanToken: start = 1, end = 2, keyword_kind = 5.
func scanToken(wire []byte, text string) (token, bool) {
	var start, end, kind uint64
	for len(wire) > 0 {
		number, value, _, rest, ok := protoField(wire)
		if !ok {
			return token{}, false
		}
		wire = rest
		switch number {
		case 1:
			start = value
		case 2:
			end = value
		case 5:
			kind = value
		}
	}
	if start >= end || end > uint64(len(text)) {
		return token{}, false
	}
	return token{text: text[start:end], keyword: kind != 0}, true
}

// protoField reads one field of a protobuf message: a number, or bytes.
func protoField(wire []byte) (number, value uint64, body, rest []byte, ok bool) {
	tag, n := binary.Uvarint(wire)
	if n <= 0 {
		return 0, 0, nil, nil, false
	}
	wire = wire[n:]
	value, n = binary.Uvarint(wire)
	if n <= 0 {
		return 0, 0, nil, nil, false
	}
	wire = wire[n:]
	switch tag & 7 {
	case 0:
		return tag >> 3, value, nil, wire, true
	case 2:
		if value > uint64(len(wire)) {
			return 0, 0, nil, nil, false
		}
		return tag >> 3, 0, wire[:value], wire[value:], true
	}
	return 0, 0, nil, nil, false
}

// operand reports whether the token is a name, a number, a literal or a
// parameter: what makes no tree deeper.
func (t *token) operand() bool {
	c := t.text[0]
	return !t.keyword && (c == '"' || c == '\'' || c == '$' || c == '_' || c == '.' || c >= 0x80 ||
		'0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z')
}

// maxNesting bounds what nesting returns. The parser's stack is 64 KiB without a
// guard: what overflows it overwrites the parser's own tables, and from then on
// it may read anything out of anybody's statement. Measured over nested forms of
// all kinds, a statement takes at most 112 bytes for each unit, or 10.6 KiB if that is more.
const maxNesting = 350

// nesting is an upper bound of how deep the tree of a statement is, in units that
// all cost the parser's stack about the same. What is inside brackets is as deep
// as the brackets and the deepest thing between two of its commas; what stands
// between two commas may be one chain of operators around the deepest of its
// brackets. Keywords that begin a clause hold everything up to the closing
// bracket, commas or not.
func nesting(list []token) int {
	type level struct {
		held  int // until the closing bracket
		chain int // since the last comma
		inner int // deepest bracket since the last comma
		most  int // deepest so far
	}
	stack := []level{{}}
	comma := func() {
		top := &stack[len(stack)-1]
		top.most = max(top.most, top.chain+top.inner)
		top.chain, top.inner = 0, 0
	}
	closing := func() {
		comma()
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		up := &stack[len(stack)-1]
		up.inner = max(up.inner, top.most+top.held)
	}
	for i := range list {
		top := &stack[len(stack)-1]
		switch word := strings.ToLower(list[i].text); word {
		case "(", "[":
			stack = append(stack, level{held: 2})
		case ")", "]":
			if len(stack) > 1 {
				closing()
			}
		case ",":
			comma()
		case "select":
			top.held += 3
		case "order", "partition", "group":
			top.held += 2
		case "union", "intersect", "except", "with", "values", "insert", "update", "delete", "merge", "from", "table":
			top.held++
		case "as":
		default:
			if !list[i].operand() {
				top.chain++
			}
		}
	}
	for len(stack) > 1 {
		closing()
	}
	comma()
	return stack[0].most + stack[0].held
}
