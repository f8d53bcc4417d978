package scenarios

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// result is what a frame says, or what a delta makes of one. It does not change.
type result struct {
	query, version string
	head           []byte // of the content, up to the rows
	key            []string
	rows           []line
}

// line is one row: its key as it stands on the wire, and its text.
type line struct {
	key  string
	text []byte
}

const rowsBegin = `"rows":[`

// parseFull reads {"q":"…","v":"…","key":[…],"rows":[…]}. The version must be that of
// the bytes.
func parseFull(data []byte) (*result, error) {
	var frame struct {
		Q, V string
		Key  []string
		Rows []json.RawMessage
	}
	if err := json.Unmarshal(data, &frame); err != nil {
		return nil, fmt.Errorf("a frame is not JSON: %w", err)
	}
	begin := `{"q":"` + frame.Q + `","v":"` + frame.V + `",`
	content, ok := bytes.CutPrefix(data, []byte(begin))
	if !ok || frame.Rows == nil {
		return nil, fmt.Errorf("a frame begins otherwise: %.120s", data)
	}
	head, _, _ := bytes.Cut(content, []byte(rowsBegin))
	r := &result{query: frame.Q, version: frame.V, head: bytes.Clone(head), key: frame.Key}
	for _, text := range frame.Rows {
		key, err := keyOf(text, frame.Key)
		if err != nil {
			return nil, err
		}
		r.rows = append(r.rows, line{key, text})
	}
	return r, r.verify()
}

// keyOf is the name of a row: the values of its key columns, with commas between.
func keyOf(text json.RawMessage, key []string) (string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return "", fmt.Errorf("a row is no object: %w", err)
	}
	values := make([]string, len(key))
	for i, name := range key {
		values[i] = string(members[name])
	}
	return strings.Join(values, ","), nil
}

// delta is a keyed difference.
type delta struct {
	Q, From, V string
	Set        [][3]json.RawMessage
	Del        []string
}

// apply makes of a result what a delta says: removed rows go, then rows are set in
// ascending index. The version must be that of the bytes.
func (r *result) apply(data []byte) (*result, error) {
	var d delta
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("a delta is not JSON: %w", err)
	}
	if r == nil || r.query != d.Q || r.version != d.From {
		return nil, fmt.Errorf("D1: a delta leads from %s, which is not held", d.From)
	}
	gone := map[string]bool{}
	for _, key := range d.Del {
		gone[key] = true
	}
	type put struct {
		index int
		line
	}
	puts := make([]put, len(d.Set))
	for i, set := range d.Set {
		p := &puts[i]
		if json.Unmarshal(set[0], &p.index) != nil || json.Unmarshal(set[1], &p.key) != nil {
			return nil, fmt.Errorf("a delta sets %s", set)
		}
		p.text, gone[p.key] = set[2], true
	}
	slices.SortStableFunc(puts, func(a, b put) int { return a.index - b.index })
	next := &result{query: d.Q, version: d.V, head: r.head, key: r.key}
	next.rows = slices.DeleteFunc(slices.Clone(r.rows), func(l line) bool { return gone[l.key] })
	for _, p := range puts {
		if p.index < 0 || p.index > len(next.rows) {
			return nil, fmt.Errorf("a delta sets row %d of %d", p.index, len(next.rows))
		}
		next.rows = slices.Insert(next.rows, p.index, p.line)
	}
	return next, next.verify()
}

// list is the rows as JSON.
func (r *result) list() []byte {
	out := []byte("[")
	for i, l := range r.rows {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, l.text...)
	}
	return append(out, ']')
}

// content is what the version is a digest of.
func (r *result) content() []byte {
	return slices.Concat(r.head, []byte(rowsBegin[:len(rowsBegin)-1]), r.list())
}

func (r *result) verify() error {
	sum := sha256.Sum256(r.content())
	if want := base64.RawURLEncoding.EncodeToString(sum[:16]); r.version != want {
		return fmt.Errorf("a result of version %s has the bytes of %s", r.version, want)
	}
	return nil
}

// canonical is one text for equal JSON.
func canonical(text []byte) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("%.120s: %w", text, err)
	}
	out, err := json.Marshal(v)
	return string(out), err
}
