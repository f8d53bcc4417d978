package conform

import "context"

// Machine runs modules for Check. host/wasm has one; another engine needs only
// these methods.
type Machine interface {
	// Compile makes a program of a module. An error says why it is none.
	Compile(ctx context.Context, module []byte) (Program, error)
}

// Program is a compiled module.
type Program interface {
	// Imports and Exports list the functions.
	Imports() []Function
	Exports() []Function
	// Memory says whether the module exports a memory of that name, and whether it
	// imports one.
	Memory(export string) (exported, imports bool)
	// Start makes an instance whose imports host answers, and runs its start
	// section, no export. A trap is an error.
	Start(ctx context.Context, host Host) (Guest, error)
	Close()
}

// Guest is an instance. It is used on one goroutine.
type Guest interface {
	Memory
	// Call runs an exported function and returns its result, 0 without one. An
	// error says that it trapped, that the host ended it, or that ctx did; then
	// only Close may follow.
	Call(ctx context.Context, export string, params ...uint64) (uint64, error)
	Close()
}

// Memory is an instance's memory.
type Memory interface {
	Size() uint64
	// Read returns a copy, and false outside the memory.
	Read(at, n uint32) ([]byte, bool)
	Write(at uint32, b []byte) bool
}

// Host answers the imports of an instance. An error ends the guest.
type Host interface {
	Answer(f Function, m Memory, params []uint64) (result uint64, err error)
}

// Function is an imported or exported function. Type has i for i32, I for i64
// and ? for anything else: parameters, a colon, results. Module is empty for an
// export.
type Function struct{ Module, Name, Type string }

// String returns "weir_1.query(i32, i32, i32) → i32".
func (f Function) String() string {
	s := f.Name + "("
	if f.Module != "" {
		s = f.Module + "." + s
	}
	inside, first := true, true
	for _, c := range f.Type {
		word := map[rune]string{'i': "i32", 'I': "i64"}[c]
		switch {
		case c == ':':
			s, inside, first = s+")", false, true
			continue
		case word == "":
			word = "?"
		}
		switch {
		case !first:
			s += ", "
		case !inside:
			s += " → "
		}
		s, first = s+word, false
	}
	return s
}
