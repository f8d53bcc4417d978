package reactor

import "fmt"

// simPolicy is one policy with its input: whom it lets through, and what it read
// to know that. A scope of -1 is none.
type simPolicy struct {
	name   string
	waves  bool
	scoped bool // it gives a scope when it allows
	decide func(*simState) (allow bool, scope int8)
	reads  func(*simState) []Atom
}

// simVerdict is what a policy says.
type simVerdict struct {
	allow bool
	scope int8 // -1 if it denies
}

// verdict is what the policy says in a version of its plugin: every other one says
// the opposite, or gives another scope.
func (p *simPolicy) verdict(s *simState, version int) simVerdict {
	allow, scope := p.decide(s)
	if version%2 == 1 {
		switch {
		case !p.scoped:
			allow = !allow
		case allow:
			scope = (scope + 1) % 3
		}
	}
	if !allow {
		scope = -1
	}
	return simVerdict{allow, scope}
}

var simPolicies = makeSimPolicies()

// simGuards are the sets of policies that clients stand behind. A scoped client
// watches list(scope).
var simGuards = []struct {
	policies []int
	scoped   bool
}{
	{},
	{},
	{[]int{0}, false},
	{[]int{1}, false},
	{[]int{2}, false},
	{[]int{3}, false},
	{[]int{4}, false},
	{[]int{0, 3}, false},
	{[]int{4, 5}, false},
	{[]int{1, 4}, false},
	{[]int{6}, true},
	{[]int{7}, true},
	{[]int{5, 6}, true},
	{[]int{6, 7}, true},
	{[]int{0, 6}, true},
}

func makeSimPolicies() []simPolicy {
	full := NewColumns(colID, colList, colN)
	var out []simPolicy
	member := func(t, id int) func(*simState) (bool, int8) {
		return func(s *simState) (bool, int8) { return s.tables[t][id].live, -1 }
	}
	atoms := func(a ...Atom) func(*simState) []Atom { return func(*simState) []Atom { return a } }
	for id := range 3 { // 0 to 2: a row allows
		out = append(out, simPolicy{
			name: fmt.Sprintf("member(%d)", id), waves: true, decide: member(1, id),
			reads: atoms(simAtom(1, NewColumns(colID), simEq(colID, int8(id)))),
		})
	}
	parity := func(s *simState) (bool, int8) {
		n := 0
		for _, r := range s.tables[1] {
			if r.live && r.n > 3 {
				n++
			}
		}
		return n%3 != 0, -1
	}
	scope := func(s *simState) (bool, int8) {
		if r := s.tables[0][1]; r.live && r.list >= 0 && r.list < 3 {
			return true, r.list
		}
		return false, -1
	}
	return append(out,
		simPolicy{name: "parity", waves: true, decide: parity, reads: atoms(simAtom(1, full))}, // 3: on a hot table
		simPolicy{name: "guest", decide: member(0, 0), reads: atoms(simAtom(0, nil, simEq(colID, 0)))},
		simPolicy{name: "timeless", waves: true, decide: func(*simState) (bool, int8) { return true, -1 }, reads: atoms()},
		simPolicy{name: "scope", waves: true, scoped: true, decide: scope, reads: atoms(simAtom(0, full, simEq(colID, 1)))},
		simPolicy{name: "scope of a guest", scoped: true, decide: scope, reads: atoms(simAtom(0, nil, simEq(colID, 1)))},
	)
}

func (p *simPolicy) decision(s *simState, version int) *Decision {
	v := p.verdict(s, version)
	if !v.allow {
		return &Decision{Answer: Deny, Reason: "no"}
	}
	d := &Decision{Answer: Allow}
	if v.scope >= 0 {
		d.Scope = Scope{"list": string(rune('0' + v.scope))}
	}
	return d
}

// listQuery is the query that a scope leads to.
func listQuery(scope int8) int { return simQueriesOfList * int(scope) }
