package inspect

// Function returns the type of an exported function, in the bytes of the binary
// format.
func (s *Shape) Function(name string) (params, results []byte, ok bool) {
	for _, e := range s.exports {
		if e.name == name && e.kind == kindFunc {
			t := s.typeOf(e.index)
			return t.params, t.results, true
		}
	}
	return nil, nil, false
}

// HasMemory reports whether the module exports its memory under a name.
func (s *Shape) HasMemory(name string) bool {
	for _, e := range s.exports {
		if e.name == name && e.kind == kindMemory {
			return true
		}
	}
	return false
}

// Fixed names an instruction by which the module changes what a copy of its
// memory and globals does not hold, so that no instance can be used twice; "" if
// there is none (G5).
func (s *Shape) Fixed() string { return s.fixed }

// Stripped returns the module without its custom sections, which no compiler need
// read.
func (s *Shape) Stripped() []byte {
	out := make([]byte, 8, s.size)
	copy(out, "\x00asm\x01\x00\x00\x00")
	for _, id := range []byte{sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal, sectionExport, sectionElem, sectionDataCount, sectionCode, sectionData} {
		if content := s.sections[id]; content != nil {
			out = appendCounted(append(out, id), content)
		}
	}
	return out
}
