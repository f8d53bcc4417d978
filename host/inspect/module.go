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
