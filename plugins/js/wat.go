package js

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// This file assembles the part of the WebAssembly text format that adapter.wat
// needs: folded instructions, functions, imports, globals and one list of
// functions for the table.

// node is an expression in parentheses, or a word.
type node struct {
	word string
	list []node // nil for a word
	line int
}

func (n *node) head() string {
	if len(n.list) == 0 {
		return ""
	}
	return n.list[0].word
}

// parse reads all expressions of a text.
func parse(text string) ([]node, error) {
	stack := []node{{list: []node{}}}
	line := 1
	for i := 0; i < len(text); i++ {
		top := &stack[len(stack)-1]
		switch c := text[i]; {
		case c == '\n':
			line++
		case c == ' ' || c == '\t':
		case strings.HasPrefix(text[i:], ";;"):
			i += strings.IndexByte(text[i:]+"\n", '\n') - 1
		case c == '(':
			stack = append(stack, node{list: []node{}, line: line})
		case c == ')':
			if len(stack) == 1 {
				return nil, fmt.Errorf("line %d: a bracket too many", line)
			}
			up := &stack[len(stack)-2]
			up.list = append(up.list, *top)
			stack = stack[:len(stack)-1]
		default:
			n := strings.IndexAny(text[i:]+" ", " \t\n()")
			top.list = append(top.list, node{word: text[i : i+n], line: line})
			i += n - 1
		}
	}
	if len(stack) != 1 {
		return nil, fmt.Errorf("line %d: a bracket is open", stack[len(stack)-1].line)
	}
	return stack[0].list, nil
}

// signature is a function's type, as bytes of value types.
type signature struct{ params, results string }

// function is one of the adapter's, or an import.
type function struct {
	name      string
	module    string // of an import
	export    string
	signature signature
	names     map[string]int // of parameters and locals
	locals    string
	body      []node
}

// adapter is a parsed adapter.wat.
type adapter struct {
	imports []*function
	defined []*function
	globals []global
	table   []string // functions for the table, in order
}

type global struct {
	name string
	typ  byte
}

var valueTypes = map[string]byte{"i32": 0x7f, "i64": 0x7e, "f64": 0x7c}

func parseAdapter(text string) (*adapter, error) {
	nodes, err := parse(text)
	if err != nil {
		return nil, err
	}
	a := &adapter{}
	for i := range nodes {
		if err := a.field(&nodes[i]); err != nil {
			return nil, fmt.Errorf("line %d: %w", nodes[i].line, err)
		}
	}
	return a, nil
}

func (a *adapter) field(n *node) error {
	switch n.head() {
	case "import": // (import "module" "name" (func $name …))
		f, err := parseFunction(&n.list[3])
		if err != nil {
			return err
		}
		f.module, f.export = unquote(n.list[1].word), unquote(n.list[2].word)
		a.imports = append(a.imports, f)
	case "func":
		f, err := parseFunction(n)
		if err != nil {
			return err
		}
		a.defined = append(a.defined, f)
	case "global": // (global $name i32): mutable, begins with zero
		typ, ok := valueTypes[n.list[2].word]
		if !ok {
			return fmt.Errorf("unknown type %s", n.list[2].word)
		}
		a.globals = append(a.globals, global{n.list[1].word, typ})
	case "elem":
		for _, f := range n.list[1:] {
			a.table = append(a.table, f.word)
		}
	default:
		return fmt.Errorf("unknown field %q", n.head())
	}
	return nil
}

func parseFunction(n *node) (*function, error) {
	f := &function{name: n.list[1].word, names: map[string]int{}}
	for i := 2; i < len(n.list); i++ {
		part := &n.list[i]
		head := part.head()
		if head == "export" {
			f.export = unquote(part.list[1].word)
			continue
		}
		if head != "param" && head != "result" && head != "local" {
			f.body = n.list[i:]
			return f, nil
		}
		typ, ok := valueTypes[part.list[len(part.list)-1].word]
		if !ok {
			return nil, fmt.Errorf("%s: unknown type", f.name)
		}
		if len(part.list) == 3 {
			f.names[part.list[1].word] = len(f.signature.params) + len(f.locals)
		}
		switch head {
		case "param":
			f.signature.params += string([]byte{typ})
		case "result":
			f.signature.results += string([]byte{typ})
		default:
			f.locals += string([]byte{typ})
		}
	}
	return f, nil
}

func unquote(word string) string { return strings.Trim(word, `"`) }

// symbols are the numbers behind names.
type symbols struct {
	functions map[string]int
	globals   map[string]int
	constants map[string]int // i32.const of a name
}

// plain are the instructions without an immediate.
var plain = map[string][]byte{
	"unreachable": {0x00}, "return": {0x0f}, "drop": {0x1a},
	"i32.eqz": {0x45}, "i32.eq": {0x46}, "i32.ne": {0x47}, "i32.lt_u": {0x49}, "i32.gt_s": {0x4a}, "i32.gt_u": {0x4b}, "i32.le_u": {0x4d},
	"i64.eq": {0x51}, "i32.add": {0x6a}, "i32.sub": {0x6b}, "i32.mul": {0x6c}, "i32.and": {0x71}, "i32.shl": {0x74},
	"i64.and": {0x83}, "i64.or": {0x84}, "i64.shl": {0x86}, "i64.shr_u": {0x88},
	"i32.wrap_i64": {0xa7}, "i64.extend_i32_u": {0xad}, "f64.convert_i32_s": {0xb7}, "f64.convert_i32_u": {0xb8}, "f64.convert_i64_s": {0xb9},
	"memory.copy": {0xfc, 0x0a, 0x00, 0x00},
}

// memory are the instructions with an alignment and an offset.
var memory = map[string][2]byte{
	"i32.load": {0x28, 2}, "i64.load": {0x29, 3}, "i32.store": {0x36, 2}, "i64.store": {0x37, 3}, "i32.store8": {0x3a, 0},
}

// assembler writes one function's body.
type assembler struct {
	*symbols
	f      *function
	labels []string // of the blocks around, the innermost last
	code   []byte
}

// assemble returns a function's body, as the code section has it.
func (s *symbols) assemble(f *function) ([]byte, error) {
	a := &assembler{symbols: s, f: f}
	a.code = appendUint(a.code, len(f.locals))
	for i := range len(f.locals) {
		a.code = append(a.code, 1, f.locals[i])
	}
	if err := a.all(f.body); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	a.code = append(a.code, 0x0b)
	return append(appendUint(nil, len(a.code)), a.code...), nil
}

func (a *assembler) all(nodes []node) error {
	for i := range nodes {
		if err := a.one(&nodes[i]); err != nil {
			return fmt.Errorf("line %d: %w", nodes[i].line, err)
		}
	}
	return nil
}

// one writes a folded instruction: its operands, then itself.
func (a *assembler) one(n *node) error {
	op := n.head()
	switch op {
	case "block", "loop":
		a.labels = append(a.labels, n.list[1].word)
		a.code = append(a.code, map[string]byte{"block": 0x02, "loop": 0x03}[op], 0x40)
		if err := a.all(n.list[2:]); err != nil {
			return err
		}
		a.code = append(a.code, 0x0b)
		a.labels = a.labels[:len(a.labels)-1]
		return nil
	case "if":
		return a.branch(n)
	}
	words := n.list[1:]
	var immediates []node
	for len(words) > 0 && words[0].list == nil {
		immediates, words = append(immediates, words[0]), words[1:]
	}
	if err := a.all(words); err != nil {
		return err
	}
	return a.instruction(op, immediates)
}

// branch writes (if (result i32)? condition (then …) (else …)?).
func (a *assembler) branch(n *node) error {
	parts, typ := n.list[1:], byte(0x40)
	if parts[0].head() == "result" {
		typ, parts = valueTypes[parts[0].list[1].word], parts[1:]
	}
	if err := a.one(&parts[0]); err != nil {
		return err
	}
	a.labels = append(a.labels, "")
	a.code = append(a.code, 0x04, typ)
	if err := a.all(parts[1].list[1:]); err != nil {
		return err
	}
	if len(parts) > 2 {
		a.code = append(a.code, 0x05)
		if err := a.all(parts[2].list[1:]); err != nil {
			return err
		}
	}
	a.code = append(a.code, 0x0b)
	a.labels = a.labels[:len(a.labels)-1]
	return nil
}

func (a *assembler) instruction(op string, immediates []node) error {
	word := ""
	if len(immediates) > 0 {
		word = immediates[0].word
	}
	if code, ok := plain[op]; ok && word == "" {
		a.code = append(a.code, code...)
		return nil
	}
	if code, ok := memory[op]; ok {
		offset, err := strconv.Atoi(strings.TrimPrefix("0"+word, "0offset="))
		a.code = appendUint(append(a.code, code[0], code[1]), offset)
		return err
	}
	var index int
	var ok bool
	switch op {
	case "local.get", "local.set", "local.tee":
		index, ok = a.f.names[word]
		a.code = append(a.code, map[string]byte{"local.get": 0x20, "local.set": 0x21, "local.tee": 0x22}[op])
	case "global.get", "global.set":
		index, ok = a.globals[word]
		a.code = append(a.code, map[string]byte{"global.get": 0x23, "global.set": 0x24}[op])
	case "call":
		index, ok = a.functions[word]
		a.code = append(a.code, 0x10)
	case "br", "br_if":
		index, ok = a.label(word)
		a.code = append(a.code, map[string]byte{"br": 0x0c, "br_if": 0x0d}[op])
	case "memory.init":
		index, ok = a.constants[word]
		a.code = append(appendUint(append(a.code, 0xfc, 0x08), index), 0x00)
		index = -1
	case "i32.const", "i64.const", "f64.const":
		return a.constant(op, word)
	default:
		return fmt.Errorf("unknown instruction %s", op)
	}
	if !ok {
		return fmt.Errorf("%s of the unknown %s", op, word)
	}
	if index >= 0 {
		a.code = appendUint(a.code, index)
	}
	return nil
}

func (a *assembler) label(name string) (int, bool) {
	for i := range a.labels {
		if a.labels[len(a.labels)-1-i] == name {
			return i, true
		}
	}
	return 0, false
}

func (a *assembler) constant(op, word string) error {
	if v, ok := a.constants[word]; ok {
		a.code = appendInt(append(a.code, 0x41), int64(v))
		return nil
	}
	if op == "f64.const" {
		v, err := strconv.ParseFloat(word, 64)
		a.code = binary.LittleEndian.AppendUint64(append(a.code, 0x44), math.Float64bits(v))
		return err
	}
	v, err := strconv.ParseInt(word, 0, 64)
	a.code = appendInt(append(a.code, map[string]byte{"i32.const": 0x41, "i64.const": 0x42}[op]), v)
	return err
}

// appendUint appends an unsigned number in LEB128.
func appendUint(dst []byte, v int) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// appendInt appends a signed number in LEB128.
func appendInt(dst []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(dst, b)
		}
		dst = append(dst, b|0x80)
	}
}
