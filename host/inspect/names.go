package inspect

// sectionNames is the custom section that has the names of functions, which
// traces show.
const sectionNames = "name"

// Bounds of the names that are kept. They are for people.
const (
	maxName  = 200
	maxNames = 4 << 20
)

// namesOfFunctions is the part of the section that is kept.
const namesOfFunctions = 1

// encodeNames writes the names of functions anew, under their new numbers. What
// is no list of names in order is dropped with all after it: no module is refused
// for its names.
func (m *meter) encodeNames() []byte {
	c := &cursor{data: m.names}
	for c.left() > 0 {
		id := c.byte()
		part := c.bytes(c.u32())
		if id != namesOfFunctions {
			continue
		}
		var list []byte
		n, next := uint32(0), uint32(0)
		inner := &cursor{data: part}
		for range inner.count(2) {
			fn, name := inner.u32(), inner.name()
			if inner.err != nil || fn < next || fn >= m.functions() || len(list) > maxNames {
				break
			}
			next = fn + 1
			n++
			list = appendCounted(appendU32(list, m.moved(fn)), cut(name))
		}
		names := appendU32(nil, n)
		return appendCounted(append(appendCounted(nil, []byte(sectionNames)), namesOfFunctions), append(names, list...))
	}
	return nil
}

// cut returns a name of a bounded length that is still UTF-8.
func cut(name string) []byte {
	for i := range name {
		if i > maxName {
			return []byte(name[:i])
		}
	}
	return []byte(name)
}
