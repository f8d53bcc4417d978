package reactor

import (
	"fmt"
	"strconv"
	"strings"
)

// simQuery is one function with its arguments: what it answers, and what it read
// to know that.
type simQuery struct {
	name   string
	answer func(*simState) string
	// reads is told which table the view was known to read.
	reads func(s *simState, view int) []Atom
	waves bool // its runs share a read transaction
	keyed bool // it answers with rows that have a key

	tables [2]bool // that it may read
}

var simQueries = findTables(makeSimQueries())

func findTables(queries []simQuery) []simQuery {
	var s simState
	for t := range s.tables {
		for id := range s.tables[t] {
			s.tables[t][id] = simRow{live: true, list: 1}
		}
	}
	for i := range queries {
		for view := range 2 {
			for _, atom := range queries[i].reads(&s, view) {
				queries[i].tables[atom.Table-simTable(0)] = true
			}
		}
	}
	return queries
}

// plugin is the one that has the function. Policies are in the last one.
func (q *simQuery) plugin() int {
	if strings.HasPrefix(q.name, "list") || strings.HasPrefix(q.name, "f") {
		return 0
	}
	return 1
}

const (
	simPolicyPlugin = 2
	simPluginCount  = 3
)

// simCall is what a group runs: a query, or a policy if that is not -1, of a
// version of its plugin.
type simCall struct{ query, policy, version int }

// target names what is run. Its key has what the host puts into one.
func (c *simCall) target() Target {
	name, plugin, waves := "", simPolicyPlugin, false
	if c.policy >= 0 {
		name, waves = simPolicies[c.policy].name, simPolicies[c.policy].waves
	} else {
		q := &simQueries[c.query]
		name, plugin, waves = q.name, q.plugin(), q.waves
	}
	function, input, _ := strings.Cut(name, "(")
	parts := KeyParts{
		Tenant: "sim", Plugin: "p" + strconv.Itoa(plugin) + "." + strconv.Itoa(c.version),
		Config: "c", Role: "r", Function: function, Input: []byte(input),
	}
	return Target{Key: parts.Key(), Name: name, Call: *c, Waves: waves}
}

// simAnswer is what a frame holds.
type simAnswer struct {
	query, version int // of the plugin
	text           string
}

// encode writes the content as the host would. Versions of a plugin answer
// differently.
func (c *simAnswer) encode() []byte {
	b := make([]byte, 0, 256)
	if !simQueries[c.query].keyed {
		b = append(b, `"value":"`...)
		b = append(b, c.text...)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(c.version), 10)
		return append(b, '"')
	}
	b = append(b, `"key":["id"],"rows":[`...)
	for i := 0; i+2 < len(c.text); i += 3 {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = append(b, '0'+c.text[i]-'A')
		b = append(b, `,"list":"`...)
		b = append(b, c.text[i+1])
		b = append(b, `","n":"`...)
		b = append(b, c.text[i+2])
		b = append(b, `","text":"long enough that a delta is worth its while, and then some more that nobody needs to read, since it is there for its length only `...)
		b = strconv.AppendInt(b, int64(c.version), 10)
		b = append(b, `"}`...)
	}
	return append(b, ']')
}

func simAtom(t int, columns Columns, eq ...Equality) Atom {
	return Atom{Table: simTable(t), Columns: columns, Eq: eq}
}

func simEq(column uint16, values ...int8) Equality {
	e := Equality{Column: column}
	for _, v := range values {
		e.Values = append(e.Values, simValue(v))
	}
	return e
}

// rows are the rows of a table that meet a condition.
func (s *simState) rows(t int, full bool, meet func(id int, r simRow) bool) string {
	b := make([]byte, 0, 64)
	for id, r := range s.tables[t] {
		if r.live && meet(id, r) {
			b = r.appendTo(b, id, full)
		}
	}
	return string(b)
}

func (r *simRow) appendTo(b []byte, id int, full bool) []byte {
	b = append(b, byte('A'+id))
	if full {
		b = append(b, byte('0'+r.list+1), byte('0'+r.n+1))
	}
	return b
}

// sorted are all rows of a table, ordered by n, then by id: rows move.
func (s *simState) sorted(t int) string {
	b := make([]byte, 0, 64)
	for n := int8(-1); n < 8; n++ {
		for id, r := range s.tables[t] {
			if r.live && r.n == n {
				b = r.appendTo(b, id, true)
			}
		}
	}
	return string(b)
}

// simQueriesOfList is how many queries there are of each list; the first of them
// is list().
const simQueriesOfList = 5

func makeSimQueries() []simQuery {
	var out []simQuery
	full := NewColumns(colID, colList, colN)
	atoms := func(a ...Atom) func(*simState, int) []Atom { return func(*simState, int) []Atom { return a } }
	for l := range int8(3) {
		in := simEq(colList, l)
		inList := func(_ int, r simRow) bool { return r.list == l }
		named := func(name string) string { return fmt.Sprintf("%s(%d)", name, l) }
		out = append(out,
			simQuery{
				name: named("list"), waves: true, keyed: true,
				answer: func(s *simState) string { return s.rows(0, true, inList) },
				reads:  atoms(simAtom(0, full, in)),
			},
			simQuery{
				name: named("ids"), waves: true,
				answer: func(s *simState) string { return s.rows(1, false, inList) },
				reads:  atoms(simAtom(1, NewColumns(colID, colList), in)),
			},
			simQuery{
				name: named("both"), waves: true,
				answer: func(s *simState) string { return s.rows(0, true, inList) + "/" + s.rows(1, true, inList) },
				reads:  atoms(simAtom(0, nil, in), simAtom(1, full, in)),
			},
			simQuery{
				name: named("view"), waves: true, keyed: true,
				answer: func(s *simState) string { return s.rows(s.view, true, inList) },
				reads:  func(_ *simState, view int) []Atom { return []Atom{simAtom(view, full, in)} },
			},
			simQuery{ // what it reads depends on what it finds: the list of a row
				name: named("follow"),
				answer: func(s *simState) string {
					row := s.tables[1][l]
					return s.rows(0, true, func(_ int, r simRow) bool { return row.live && row.list >= 0 && r.list == row.list })
				},
				reads: func(s *simState, _ int) []Atom {
					atoms := []Atom{simAtom(1, full, simEq(colID, l))}
					if row := s.tables[1][l]; row.live && row.list >= 0 {
						atoms = append(atoms, simAtom(0, full, simEq(colList, row.list)))
					}
					return atoms
				},
			})
	}
	ranged := simAtom(0, full, simEq(colList, 1, 2))
	ranged.Where = []Condition{{Column: colN, Op: Greater, Value: simValue(3)}}
	null := simAtom(1, full)
	null.Where = []Condition{{Column: colN, Op: IsNull}}
	return append(out,
		simQuery{
			name: "ranged", waves: true, keyed: true,
			answer: func(s *simState) string {
				return s.rows(0, true, func(_ int, r simRow) bool { return (r.list == 1 || r.list == 2) && r.n > 3 })
			},
			reads: atoms(ranged),
		},
		simQuery{
			name: "null", waves: true,
			answer: func(s *simState) string { return s.rows(1, true, func(_ int, r simRow) bool { return r.n < 0 }) },
			reads:  atoms(null),
		},
		simQuery{
			name: "all", keyed: true,
			answer: func(s *simState) string { return s.sorted(0) },
			reads:  atoms(simAtom(0, full)),
		},
		simQuery{name: "constant", answer: func(*simState) string { return "c" }, reads: atoms(), waves: true},
	)
}

// simContent is the text of a frame of a value.
func simContent(f *Frame) string {
	if f == nil {
		return "no rows"
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(f.Content()), `"value":"`), `"`)
}
