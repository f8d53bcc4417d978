package db

import (
	"encoding/binary"

	"weir/abi"
)

// maxArrayDepth is PostgreSQL's own bound on dimensions.
const maxArrayDepth = 6

// arrayNode is a parsed array: a leaf, NULL, or a list.
type arrayNode struct {
	leaf []byte
	list []arrayNode
	kind byte // 'v' value, 'n' NULL, 'a' array
}

// parseArray reads an array in the layout's format. False means that it is not
// well-formed; the caller then shows the text.
func parseArray(l layout, raw []byte) (arrayNode, bool) {
	if l.binary {
		return parseBinaryArray(raw)
	}
	p := arrayParser{text: raw}
	p.skipBounds()
	node, ok := p.array(0)
	return node, ok && p.at == len(raw)
}

func (n arrayNode) appendJSON(dst []byte, f form) []byte {
	switch n.kind {
	case 'v':
		return appendScalarJSON(dst, f, n.leaf)
	case 'n':
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i := range n.list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = n.list[i].appendJSON(dst, f)
	}
	return append(dst, ']')
}

func (n arrayNode) appendCBOR(dst []byte, f form) []byte {
	switch n.kind {
	case 'v':
		return appendScalarCBOR(dst, f, n.leaf)
	case 'n':
		return abi.AppendNull(dst)
	}
	dst = abi.AppendArray(dst, len(n.list))
	for i := range n.list {
		dst = n.list[i].appendCBOR(dst, f)
	}
	return dst
}

// parseBinaryArray reads: dimensions, flags, element type, (length, lower bound)
// of each dimension, then the elements.
func parseBinaryArray(raw []byte) (arrayNode, bool) {
	if len(raw) < 12 {
		return arrayNode{}, false
	}
	dims := int(int32(binary.BigEndian.Uint32(raw)))
	rest := raw[12:]
	if dims < 0 || dims > maxArrayDepth || len(rest) < 8*dims {
		return arrayNode{}, false
	}
	lengths := make([]int, dims)
	for i := range lengths {
		lengths[i] = int(int32(binary.BigEndian.Uint32(rest[8*i:])))
	}
	rest = rest[8*dims:]
	if dims == 0 {
		return arrayNode{kind: 'a'}, len(rest) == 0
	}
	node, rest, ok := binaryLevel(lengths, rest)
	return node, ok && len(rest) == 0
}

func binaryLevel(lengths []int, rest []byte) (arrayNode, []byte, bool) {
	node := arrayNode{kind: 'a'}
	if lengths[0] < 0 || lengths[0] > len(rest) {
		return node, rest, false // each element takes four bytes or more
	}
	node.list = make([]arrayNode, lengths[0])
	for i := range node.list {
		if len(lengths) > 1 {
			kid, left, ok := binaryLevel(lengths[1:], rest)
			if !ok {
				return node, rest, false
			}
			node.list[i], rest = kid, left
			continue
		}
		if len(rest) < 4 {
			return node, rest, false
		}
		size := int(int32(binary.BigEndian.Uint32(rest)))
		rest = rest[4:]
		if size < 0 {
			node.list[i].kind = 'n'
			continue
		}
		if size > len(rest) {
			return node, rest, false
		}
		node.list[i] = arrayNode{kind: 'v', leaf: rest[:size]}
		rest = rest[size:]
	}
	return node, rest, true
}

// arrayParser reads the text form: {1,NULL,"a \"b\"",{2,3}}.
type arrayParser struct {
	text []byte
	at   int
}

// skipBounds passes the prefix of arrays whose lower bound is not 1: [0:2]=.
func (p *arrayParser) skipBounds() {
	if len(p.text) == 0 || p.text[0] != '[' {
		return
	}
	for i, b := range p.text {
		if b == '=' {
			p.at = i + 1
			return
		}
	}
}

func (p *arrayParser) peek() byte {
	if p.at >= len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *arrayParser) array(depth int) (arrayNode, bool) {
	node := arrayNode{kind: 'a'}
	if depth > maxArrayDepth || p.peek() != '{' {
		return node, false
	}
	p.at++
	if p.peek() == '}' {
		p.at++
		return node, true
	}
	for {
		var item arrayNode
		var ok bool
		switch p.peek() {
		case '{':
			item, ok = p.array(depth + 1)
		case '"':
			item, ok = p.quoted()
		default:
			item, ok = p.bare()
		}
		if !ok {
			return node, false
		}
		node.list = append(node.list, item)
		switch p.peek() {
		case ',':
			p.at++
		case '}':
			p.at++
			return node, true
		default:
			return node, false
		}
	}
}

func (p *arrayParser) quoted() (arrayNode, bool) {
	leaf := []byte{}
	for p.at++; p.at < len(p.text); p.at++ {
		switch b := p.text[p.at]; b {
		case '"':
			p.at++
			return arrayNode{kind: 'v', leaf: leaf}, true
		case '\\':
			p.at++
			if p.at < len(p.text) {
				leaf = append(leaf, p.text[p.at])
			}
		default:
			leaf = append(leaf, b)
		}
	}
	return arrayNode{}, false
}

func (p *arrayParser) bare() (arrayNode, bool) {
	start := p.at
	for p.at < len(p.text) {
		b := p.text[p.at]
		if b == ',' || b == '}' || b == '{' || b == '"' {
			break
		}
		p.at++
	}
	leaf := p.text[start:p.at]
	if len(leaf) == 0 {
		return arrayNode{}, false
	}
	if string(leaf) == "NULL" {
		return arrayNode{kind: 'n'}, true
	}
	return arrayNode{kind: 'v', leaf: leaf}, true
}
