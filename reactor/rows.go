package reactor

import (
	"bytes"
	"hash/maphash"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// rows is what a delta needs to know of one version of a result: of each row its
// key and a digest, a few bytes. It is immutable.
type rows struct {
	version Version
	columns string   // those of the key, as they stand in the content
	text    string   // the keys, one after the other
	ends    []uint32 // where each key ends in text
	sums    []uint64 // of each row's bytes
}

// rowSeed makes digests of rows that nobody outside can make equal.
var rowSeed = maphash.MakeSeed()

func (r *rows) len() int { return len(r.ends) }

// key returns the key of a row, see appendKey.
func (r *rows) key(row int) string {
	from := uint32(0)
	if row > 0 {
		from = r.ends[row-1]
	}
	return r.text[from:r.ends[row]]
}

// size is what it holds, in bytes.
func (r *rows) size() int { return 128 + len(r.columns) + len(r.text) + 12*len(r.ends) }

// extent is where a row stands in the content.
type extent struct{ from, to uint32 }

// readRows finds the rows of a result and their keys. Nil if there can be no
// delta: it has no rows or no key, a key that is not unique, or one that has no
// text (null, documents, and numbers and strings that JavaScript would write in
// another way).
func readRows(content []byte, version Version) (*rows, []extent) {
	if len(content) > math.MaxInt32 {
		return nil, nil
	}
	names, begin := keyColumns(content)
	if len(names) == 0 {
		return nil, nil
	}
	r := &rows{version: version, columns: string(content[:begin])}
	var extents []extent
	var text []byte
	values := make([][]byte, len(names))
	s := scanner{content, begin}
	for !s.take(']') {
		if len(extents) > 0 && !s.take(',') {
			return nil, nil
		}
		from := s.at
		if !s.row(names, values) {
			return nil, nil
		}
		ok := false
		if text, ok = appendKey(text, values); !ok || len(text) > math.MaxInt32 {
			return nil, nil
		}
		r.ends = append(r.ends, uint32(len(text)))
		r.sums = append(r.sums, maphash.Bytes(rowSeed, content[from:s.at]))
		extents = append(extents, extent{uint32(from), uint32(s.at)})
	}
	r.text = string(text)
	if s.at != len(content) || !r.unique() {
		return nil, nil
	}
	return r, extents
}

// unique reports whether no two rows have the same key.
func (r *rows) unique() bool {
	// A table of half as many rows as places; a map would take most of the time
	// that a delta takes.
	table := make([]int32, 1<<bits.Len(uint(2*r.len())))
	mask := uint64(len(table) - 1)
	for i := range r.len() {
		key := r.key(i)
		at := maphash.String(rowSeed, key) & mask
		for ; table[at] != 0; at = (at + 1) & mask {
			if r.key(int(table[at]-1)) == key {
				return false
			}
		}
		table[at] = int32(i + 1)
	}
	return true
}

// keyColumns reads `"key":["id"],"rows":[` and returns the names with their
// quotes, and where the rows begin.
func keyColumns(content []byte) (names [][]byte, rows int) {
	s := scanner{content, 0}
	if !s.word(`"key":[`) {
		return nil, 0
	}
	for !s.take(']') {
		if len(names) > 0 && !s.take(',') {
			return nil, 0
		}
		name := s.value()
		if len(name) == 0 {
			return nil, 0
		}
		names = append(names, name)
	}
	if !s.word(`,"rows":[`) {
		return nil, 0
	}
	return names, s.at
}

// appendKey appends the text of a row's key: the JSON of its columns' values with
// commas between, as JavaScript's JSON.stringify writes what JSON.parse has read,
// so that a client finds the key of a row that came in a full result. An integer
// past 2^53 is rounded there and here; two rows that it makes equal have no
// delta. False: the key has no such text.
func appendKey(dst []byte, values [][]byte) ([]byte, bool) {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch {
		case len(v) == 0:
			return dst, false // the row has no such column
		case v[0] == '"':
			if !plainString(v) {
				return dst, false
			}
			dst = append(dst, v...)
		case v[0] == 't' || v[0] == 'f':
			dst = append(dst, v...)
		case v[0] == '-' || '0' <= v[0] && v[0] <= '9':
			n, ok := 0, false
			if n = len(v); n < 16 && isDigits(v) {
				dst, ok = append(dst, v...), true
			} else {
				dst, ok = appendNumber(dst, v)
			}
			if !ok {
				return dst, false
			}
		default:
			return dst, false
		}
	}
	return dst, true
}

// isDigits reports whether v is an integer without a sign or a leading zero.
func isDigits(v []byte) bool {
	for _, b := range v {
		if b < '0' || b > '9' {
			return false
		}
	}
	return v[0] != '0' || len(v) == 1
}

// appendNumber appends a number as JavaScript writes it. Those with an exponent
// are left out.
func appendNumber(dst, v []byte) ([]byte, bool) {
	f, err := strconv.ParseFloat(string(v), 64)
	abs := math.Abs(f)
	switch {
	case err != nil, abs >= 1e21, abs < 1e-6 && f != 0:
		return dst, false
	case f == 0:
		return append(dst, '0'), true // -0 as well
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64), true
}

// plainString reports whether JavaScript would write a string of JSON in the same
// way.
func plainString(v []byte) bool {
	for i := 1; i < len(v)-1; i++ {
		if v[i] != '\\' {
			continue
		}
		i++
		if !strings.ContainsRune(`"\bfnrt`, rune(v[i])) {
			return false // \/, or \u with its many ways
		}
	}
	return true
}

// scanner walks through JSON that is known to be well formed and has no space
// between its tokens. On anything else it stops; it never reads past the end.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) take(b byte) bool {
	if s.at < len(s.text) && s.text[s.at] == b {
		s.at++
		return true
	}
	return false
}

func (s *scanner) word(w string) bool {
	if bytes.HasPrefix(s.text[s.at:], []byte(w)) {
		s.at += len(w)
		return true
	}
	return false
}

// row passes over one object and notes the values of the members with these
// names; nil for one that it does not have.
func (s *scanner) row(names, values [][]byte) bool {
	clear(values)
	if !s.take('{') {
		return false
	}
	for first := true; !s.take('}'); first = false {
		if !first && !s.take(',') {
			return false
		}
		name := s.value()
		if len(name) == 0 || !s.take(':') {
			return false
		}
		value := s.value()
		if len(value) == 0 {
			return false
		}
		for i, n := range names {
			if bytes.Equal(n, name) {
				values[i] = value
			}
		}
	}
	return true
}

// value passes over one value and returns it; empty if there is none.
func (s *scanner) value() []byte {
	from, depth := s.at, 0
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '"':
			s.string()
		case '{', '[':
			depth++
			s.at++
		case '}', ']', ',', ':':
			if depth == 0 {
				return s.text[from:s.at]
			}
			if b := s.text[s.at]; b == '}' || b == ']' {
				depth--
			}
			s.at++
		default:
			s.at++
			continue // the rest of a number or a word
		}
		if depth == 0 {
			return s.text[from:s.at]
		}
	}
	return nil
}

// string passes over a string.
func (s *scanner) string() {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return
		}
	}
	s.at = len(s.text)
}
