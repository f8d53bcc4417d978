package inspect

import (
	"errors"
	"fmt"
)

// Section numbers.
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElem      = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
	sectionTag       = 13
)

// Kinds of imports and exports.
const (
	kindFunc   = 0
	kindTable  = 1
	kindMemory = 2
	kindGlobal = 3
	kindTag    = 4
)

// Types of values.
const (
	typeI32       = 0x7f
	typeI64       = 0x7e
	typeF32       = 0x7d
	typeF64       = 0x7c
	typeV128      = 0x7b
	typeFuncRef   = 0x70
	typeExternRef = 0x6f
)

// Shape is a module taken apart, with every index checked against the module's
// own index spaces, so that nothing which is added to it later can be named by
// its code (G2). It does not check types of operands: the compiler does. It holds
// the module's bytes and must not be changed.
type Shape struct {
	types     []funcType
	imports   []imported // functions only: nothing else may be imported
	funcs     []uint32   // types of the functions of the module's own
	tables    []limits
	memories  []limits
	globals   []global
	exports   []export
	elems     []elem
	bodies    []body
	datas     []data
	dataCount int // -1 without the section
	// sections holds the content of each, nil for what there is not.
	sections [sectionTag + 1][]byte
	size     int
	names    []byte // what a custom section says of the names of functions, unread
	// fixed says that the module can change what a copy of its memory and globals
	// does not hold, or "" (G5).
	fixed string
	// limits bound what is read.
	limits GateLimits
}

type funcType struct{ params, results []byte }

type imported struct {
	module, name string
	typ          uint32
}

// limits of a table or a memory, in entries or pages.
type limits struct {
	kind     byte // of a table's entries
	min, max uint32
	bounded  bool
}

type global struct {
	typ     byte
	mutable bool
	init    constant
}

// constant is an initial value: its instructions without the end, and the index
// of the function that it refers to, if it does.
type constant struct {
	code []byte
	refs bool
	fn   uint32
}

type export struct {
	name  string
	kind  byte
	index uint32
}

type elem struct {
	mode  byte // the flags of the segment
	table uint32
	at    constant
	kind  byte // of the references, for those of expressions
	funcs []uint32
	inits []constant // instead of funcs
}

type data struct {
	passive bool
	at      constant
	bytes   []byte
}

type body struct {
	locals []localRun
	count  uint32 // of locals, without parameters
	code   []byte // with its end
}

type localRun struct {
	n   uint32
	typ byte
}

// Parse takes a module apart, whatever its size, and refuses what is none.
func Parse(code []byte) (*Shape, error) { return parseWithin(code, boundless()) }

// parseWithin takes a module apart and refuses what is over a limit before it is
// read.
func parseWithin(code []byte, limits GateLimits) (*Shape, error) {
	s := &Shape{dataCount: -1, size: len(code), limits: limits}
	if len(code) < 8 || string(code[:8]) != "\x00asm\x01\x00\x00\x00" {
		return nil, errors.New("it is no core module of version 1")
	}
	c := &cursor{data: code, at: 8}
	order := 0
	for c.left() > 0 && c.err == nil {
		id := c.byte()
		content := c.bytes(c.u32())
		if c.err != nil {
			return nil, fmt.Errorf("%s: %w", sectionName(id), c.err)
		}
		if id == sectionCustom {
			inner := &cursor{data: content}
			name := inner.name()
			if inner.err != nil {
				return nil, fmt.Errorf("a custom section's name: %w", inner.err)
			}
			if name == sectionNames {
				s.names = content[inner.at:]
			}
			continue
		}
		place := sectionPlace(id)
		switch {
		case id == sectionTag:
			return nil, errExceptions
		case place == 0:
			return nil, fmt.Errorf("it has a section %d, which WebAssembly 2.0 does not know", id)
		case place <= order:
			return nil, fmt.Errorf("%s: it comes twice or too late", sectionName(id))
		}
		order = place
		s.sections[id] = content
		inner := &cursor{data: content}
		if err := s.section(id, inner); err != nil {
			return nil, fmt.Errorf("%s: %w", sectionName(id), err)
		}
		if inner.err != nil {
			return nil, fmt.Errorf("%s: %w", sectionName(id), inner.err)
		}
		if inner.left() > 0 {
			return nil, fmt.Errorf("%s: %d bytes are left over", sectionName(id), inner.left())
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	switch {
	case len(s.funcs) != len(s.bodies):
		return nil, fmt.Errorf("it declares %d functions and has %d bodies", len(s.funcs), len(s.bodies))
	case s.dataCount >= 0 && s.dataCount != len(s.datas):
		return nil, fmt.Errorf("it counts %d data segments and has %d", s.dataCount, len(s.datas))
	}
	return s, nil
}

// errExceptions refuses tags: by exceptions a guest could write into the host's heap.
var errExceptions = refuseModule("the module has exceptions (a tag): build it without exception handling")

var errReferences = refuseModule("the module has types of references that are not in WebAssembly 2.0: build it without garbage collection and typed references")

// sectionName returns what a section is called in errors.
func sectionName(id byte) string {
	if int(id) < len(sectionTitles) {
		return sectionTitles[id] + " section"
	}
	return fmt.Sprintf("section %d", id)
}

var sectionTitles = [...]string{
	sectionCustom: "custom", sectionType: "type", sectionImport: "import", sectionFunction: "function",
	sectionTable: "table", sectionMemory: "memory", sectionGlobal: "global", sectionExport: "export",
	sectionStart: "start", sectionElem: "element", sectionCode: "code", sectionData: "data", sectionDataCount: "data count",
	sectionTag: "tag",
}

// sectionPlace returns where a section comes, from 1, or 0.
func sectionPlace(id byte) int {
	switch {
	case id == sectionDataCount:
		return 10
	case id >= sectionCode && id <= sectionData:
		return int(id) + 1
	case id >= sectionType && id <= sectionElem:
		return int(id)
	}
	return 0
}

func (s *Shape) section(id byte, c *cursor) error {
	switch id {
	case sectionType:
		return s.readTypes(c)
	case sectionImport:
		return s.readImports(c)
	case sectionFunction:
		return s.readFunctions(c)
	case sectionTable:
		return s.readTables(c)
	case sectionMemory:
		return s.readMemories(c)
	case sectionGlobal:
		return s.readGlobals(c)
	case sectionExport:
		return s.readExports(c)
	case sectionStart:
		return refuseModule("the module has a start function, which would run before weir is ready: export it as _initialize (AssemblyScript: --exportStart _initialize)")
	case sectionElem:
		return s.readElems(c)
	case sectionDataCount:
		s.dataCount = int(c.u32())
		return nil
	case sectionCode:
		return s.readBodies(c)
	}
	return s.readDatas(c)
}

// functions returns how many functions there are, imported ones included.
func (s *Shape) functions() uint32 { return uint32(len(s.imports) + len(s.funcs)) }

// typeOf returns the type of a function, imported or not.
func (s *Shape) typeOf(fn uint32) *funcType {
	if int(fn) < len(s.imports) {
		return &s.types[s.imports[fn].typ]
	}
	return &s.types[s.funcs[int(fn)-len(s.imports)]]
}

func isValueType(t byte) bool {
	return t >= typeV128 && t <= typeI32 || isReference(t)
}

// unknownValue refuses a type that is none of WebAssembly 2.0.
func unknownValue(typ byte) error {
	switch {
	case typ == 0x69: // a reference to an exception
		return errExceptions
	case typ >= 0x63 && typ <= 0x73:
		return errReferences
	}
	return fmt.Errorf("a value of type %#x", typ)
}

func isReference(t byte) bool { return t == typeFuncRef || t == typeExternRef }

func below(what string, i, n uint32) error {
	if i >= n {
		return fmt.Errorf("%s %d of %d", what, i, n)
	}
	return nil
}
