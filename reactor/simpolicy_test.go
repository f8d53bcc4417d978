package reactor

import (
	"fmt"
	"slices"
)

// simPolicy is one policy with its input: whom it lets through, and what it read
// to know that. A scope of -1 is none.
type simPolicy struct {
	name   string
	waves  bool
	decide func(*simState) (allow bool, scope int8)
	reads  func(*simState) []Atom
}

// simVerdict says that a policy has decided so since a version.
type simVerdict struct {
	version int
	allow   bool
	scope   int8
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
			fmt.Sprintf("member(%d)", id), true, member(1, id),
			atoms(simAtom(1, NewColumns(colID), simEq(colID, int8(id)))),
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
		r := s.tables[0][1]
		return r.live && r.list >= 0 && r.list < 3, r.list
	}
	return append(out,
		simPolicy{"parity", true, parity, atoms(simAtom(1, full))}, // 3: on a hot table
		simPolicy{"guest", false, member(0, 0), atoms(simAtom(0, nil, simEq(colID, 0)))},
		simPolicy{"timeless", true, func(*simState) (bool, int8) { return true, -1 }, atoms()},
		simPolicy{"scope", true, scope, atoms(simAtom(0, full, simEq(colID, 1)))},
		simPolicy{"scope of a guest", false, scope, atoms(simAtom(0, nil, simEq(colID, 1)))},
	)
}

func (p *simPolicy) decision(s *simState) *Decision {
	allow, scope := p.decide(s)
	if !allow {
		return &Decision{Answer: Deny, Reason: "no"}
	}
	d := &Decision{Answer: Allow}
	if scope >= 0 {
		d.Scope = Scope{"list": string(rune('0' + scope))}
	}
	return d
}

// listQuery is the query that a scope leads to.
func listQuery(scope int8) int { return 5 * int(scope) }

// verdicts is part of simDB.changed.
func (db *simDB) verdicts() {
	for i := range simPolicies {
		allow, scope := simPolicies[i].decide(&db.state)
		if !allow {
			scope = -1
		}
		if h := db.decided[i]; len(h) == 0 || h[len(h)-1].allow != allow || h[len(h)-1].scope != scope {
			db.decided[i] = append(h, simVerdict{db.version, allow, scope})
		}
	}
}

// ever reports whether the policy decided so at a version from first to last.
func (db *simDB) ever(policy int, first, last int, allow bool, scope int8) bool {
	h := db.decided[policy]
	for i := range h {
		end := db.version
		if i+1 < len(h) {
			end = h[i+1].version - 1
		}
		if h[i].allow == allow && (!allow || h[i].scope == scope || h[i].scope < 0) && h[i].version <= last && end >= first {
			return true
		}
	}
	return false
}

// allowed reports whether at some version from first on the query had the content
// while all the policies allowed it (W5).
func (db *simDB) allowed(query int, content string, policies []int, first int, scope int8) bool {
	h := db.answers[query]
	for i := range h {
		end := db.version
		if i+1 < len(h) {
			end = h[i+1].version - 1
		}
		if h[i].content != content {
			continue
		}
		for v := max(first, h[i].version); v <= end; v++ {
			denies := func(p int) bool { return !db.ever(p, v, v, true, scope) }
			if !slices.ContainsFunc(policies, denies) {
				return true
			}
		}
	}
	return false
}

// checkFence checks a state with rows: there must have been a moment at which it
// was the answer and all policies allowed it. One that reads in a transaction of
// its own must have allowed at a state that is at least as new.
func (s *sim) checkFence(sub *simSub, content string, first int) {
	var together []int
	for _, p := range simGuards[sub.guard].policies {
		if simPolicies[p].waves {
			together = append(together, p)
		} else if !s.db.ever(p, first, s.db.version, true, sub.scope) {
			s.fail("W5: %s shows %q, which %s denied since %d", simQueries[sub.query].name, content, simPolicies[p].name, first)
		}
	}
	if !s.db.allowed(sub.query, content, together, first, sub.scope) {
		st, _ := sub.State()
		s.fail("W5: %s shows %q of %v, which %v denied whenever it was the answer since %d",
			simQueries[sub.query].name, content, st.At.snapshot, together, first)
	}
}

// expected is what the client of a quiet database must see: the answer of its
// policies, and the query that they lead to.
func (s *sim) expected(sub *simSub) (allow bool, query int) {
	g := &simGuards[sub.guard]
	scope := int8(-1)
	for _, p := range g.policies {
		ok, own := simPolicies[p].decide(&s.db.state)
		if !ok || own >= 0 && scope >= 0 && own != scope {
			return false, 0
		}
		scope = max(scope, own)
	}
	if g.scoped {
		return true, listQuery(scope)
	}
	return true, sub.wanted
}
