package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
)

// state is one result. It is immutable but for rows, which are made when the first
// delta asks for them.
type state struct {
	event   []byte // the bytes that it came from
	base    string // the version that a delta was applied to
	query   string
	version string
	content []byte // the members behind q and v, as encoded
	marks   []mark
	wrong   bool // the version is not that of the content (L4)

	key  []string
	rows []row
}

type row struct {
	key  string
	text []byte
}

var (
	errEvent = errors.New("an event of the stream cannot be read")
	errFrom  = errors.New("a delta does not begin at the version that is held")
)

// shows returns the newest write of a group in the result, -1 if there is none.
func (s *state) shows(group int) int {
	for _, m := range s.marks {
		if m.group == group {
			return m.n
		}
	}
	return -1
}

// states keeps results that came lately, because most streams are told the same
// bytes: they are parsed and checked once. It is owned by the loop.
type states struct {
	prefix string // of marks
	seed   maphash.Seed
	by     map[uint64]*state
}

// maxStates bounds the results that are kept for comparison.
const maxStates = 1 << 14

func newStates(prefix string) *states {
	return &states{prefix: prefix, seed: maphash.MakeSeed(), by: map[uint64]*state{}}
}

// full returns the result that an event's data tell.
func (c *states) full(data []byte) (*state, error) {
	return c.known(data, nil, parseFull)
}

// delta returns what a delta makes of the result that is held.
func (c *states) delta(data []byte, held *state) (*state, error) {
	return c.known(data, held, parseDelta)
}

func (c *states) known(data []byte, from *state, parse func(data []byte, from *state) (*state, error)) (*state, error) {
	sum, base := maphash.Bytes(c.seed, data), ""
	if from != nil {
		base = from.version
	}
	// The data names the query and the version that a delta begins at.
	if s := c.by[sum]; s != nil && bytes.Equal(s.event, data) && s.base == base {
		return s, nil
	}
	data = bytes.Clone(data)
	s, err := parse(data, from)
	if err != nil {
		return nil, err
	}
	s.event, s.marks = data, marksOf(c.prefix, s.content)
	digest := sha256.Sum256(s.content)
	s.wrong = s.version != base64.RawURLEncoding.EncodeToString(digest[:16])
	if len(c.by) >= maxStates {
		clear(c.by) // those that are shown live on in their subscriptions
	}
	c.by[sum] = s
	return s, nil
}

// parseFull reads {"q":"…","v":"…",CONTENT}.
func parseFull(data []byte, _ *state) (*state, error) {
	var head struct{ Q, V string }
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, errEvent
	}
	begin := `{"q":"` + head.Q + `","v":"` + head.V + `",`
	if !bytes.HasPrefix(data, []byte(begin)) || head.Q == "" {
		return nil, errEvent
	}
	return &state{query: head.Q, version: head.V, content: data[len(begin) : len(data)-1]}, nil
}

// parseDelta applies {"q","from","v","set":[[index,key,row]],"del":[key]}: removed
// rows go first, then rows are set in ascending index.
func parseDelta(data []byte, held *state) (*state, error) {
	var d struct {
		Q, From, V string
		Set        [][3]json.RawMessage
		Del        []string
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, errEvent
	}
	if held == nil || held.version != d.From || held.query != d.Q {
		return nil, errFrom
	}
	if err := held.split(); err != nil {
		return nil, err
	}
	gone := map[string]bool{}
	for _, key := range d.Del {
		gone[key] = true
	}
	type change struct {
		index int
		row
	}
	changes := make([]change, len(d.Set))
	for i, set := range d.Set {
		c := &changes[i]
		if json.Unmarshal(set[0], &c.index) != nil || json.Unmarshal(set[1], &c.key) != nil {
			return nil, errEvent
		}
		c.text = set[2]
		gone[c.key] = true
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.index - b.index })
	s := &state{query: d.Q, version: d.V, base: d.From, key: held.key}
	s.rows = slices.DeleteFunc(slices.Clone(held.rows), func(r row) bool { return gone[r.key] })
	for _, c := range changes {
		if c.index < 0 || c.index > len(s.rows) {
			return nil, errEvent
		}
		s.rows = slices.Insert(s.rows, c.index, c.row)
	}
	s.join(held)
	return s, nil
}

// split finds the rows and their keys.
func (s *state) split() error {
	if s.key != nil {
		return nil
	}
	var list struct {
		Key  []string
		Rows []json.RawMessage
	}
	if json.Unmarshal(slices.Concat([]byte("{"), s.content, []byte("}")), &list) != nil || len(list.Key) == 0 {
		return errEvent
	}
	for _, text := range list.Rows {
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) != nil {
			return errEvent
		}
		s.rows = append(s.rows, row{rowKey(members, list.Key), text})
	}
	s.key = list.Key
	return nil
}

// rowKey is the name of a row on the wire: the values of its key columns as JSON,
// with commas between.
func rowKey(members map[string]json.RawMessage, key []string) string {
	values := make([]string, len(key))
	for i, name := range key {
		values[i] = string(members[name])
	}
	return strings.Join(values, ",")
}

// join encodes the rows as the server does: what stands before them stays.
func (s *state) join(held *state) {
	head, _, _ := bytes.Cut(held.content, []byte(`"rows":[`))
	out := append(slices.Clone(head), `"rows":[`...)
	for i, r := range s.rows {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, r.text...)
	}
	s.content = append(out, ']')
}
