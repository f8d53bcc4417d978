package wasm

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"

	"weir/host/inspect"
)

// A form is a module as the gate let it through and the meter wrote it. The store
// keeps it beside the native code, so that a start with the same plugins and the
// same program reads no module a second time. It is trusted like native code: what
// runs is this, and not the file of the plugin.

// programSum is the digest of the program that runs: another one may have another
// gate, whose verdict is another one. A version that people raise by hand would be
// forgotten once.
var programSum = sync.OnceValues(func() (sum [32]byte, err error) {
	path, err := os.Executable()
	if err != nil {
		return sum, err
	}
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [32]byte(h.Sum(nil)), nil
})

// formKey names the form of a module. Without a name nothing is kept.
func formKey(module [32]byte, source bool) (key [32]byte, ok bool) {
	sum, err := programSum()
	kind := "weir form of a plugin"
	if source {
		kind = "weir form of an engine"
	}
	return identityOf(kind, string(sum[:]), string(module[:])), err == nil
}

// form returns what was kept of a module.
func (s *store) form(module [32]byte, source bool) (*inspect.Metered, bool) {
	key, ok := [32]byte{}, false
	if s != nil {
		key, ok = formKey(module, source)
	}
	if !ok {
		return nil, false
	}
	content, ok := s.read(key, 0)
	if !ok {
		return nil, false
	}
	m, err := decodeForm(content)
	if err != nil {
		s.remove(s.path(key), err)
		return nil, false
	}
	return m, true
}

// putForm keeps a form.
func (s *store) putForm(module [32]byte, source bool, m *inspect.Metered) {
	if s == nil {
		return
	}
	if key, ok := formKey(module, source); ok {
		if err := s.keep(key, appendForm(make([]byte, sha256.Size, sha256.Size+len(m.Code)), m)); err != nil {
			s.logger.Warn("a module's form is not kept", "err", err)
		}
	}
}

// appendForm appends, all with their lengths before them: the code, what fixes the
// module, the globals and the segments.
func appendForm(dst []byte, m *inspect.Metered) []byte {
	number := func(n uint32) { dst = binary.LittleEndian.AppendUint32(dst, n) }
	text := func(b []byte) {
		number(uint32(len(b)))
		dst = append(dst, b...)
	}
	text(m.Code)
	text([]byte(m.Fixed))
	number(uint32(len(m.Globals)))
	for _, g := range m.Globals {
		number(g)
	}
	number(uint32(len(m.Segments)))
	for _, s := range m.Segments {
		number(s.At)
		text(s.Bytes)
	}
	return dst
}

var errForm = errors.New("it is no form of a module")

// decodeForm is the reverse. It was checked that this program wrote it: what is
// checked here is that it is whole.
func decodeForm(b []byte) (*inspect.Metered, error) {
	var err error
	number := func() uint32 {
		if len(b) < 4 {
			b, err = nil, errForm
			return 0
		}
		n := binary.LittleEndian.Uint32(b)
		b = b[4:]
		return n
	}
	text := func() []byte {
		n := number()
		if uint64(n) > uint64(len(b)) {
			b, err = nil, errForm
			return nil
		}
		t := b[:n:n]
		b = b[n:]
		return t
	}
	m := &inspect.Metered{Code: text(), Fixed: string(text())}
	for range number() {
		if m.Globals = append(m.Globals, number()); err != nil {
			return nil, err
		}
	}
	for range number() {
		if m.Segments = append(m.Segments, inspect.Segment{At: number(), Bytes: text()}); err != nil {
			return nil, err
		}
	}
	if err == nil && len(b) > 0 {
		err = errForm
	}
	return m, err
}
