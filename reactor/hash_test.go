package reactor

import (
	"hash/maphash"
	"testing"
)

// F13: hashes find, and never decide. Where another value has the hash of the one
// that changed, as an attacker would like it, its group is found and not concerned;
// and keys of groups are compared as texts.
// Cases: 82.
func TestValuesOfOneHashAreTwo(t *testing.T) {
	t.Parallel()
	x := newIndex()
	changed := IntValue(7)
	hash := maphash.String(x.seed, string(changed))
	var groups []*group
	for _, value := range []int64{7, 8} {
		g := &group{reads: ReadSet{Atoms: []Atom{{Table: 1, Eq: []Equality{{Column: 1, Values: []Value{IntValue(value)}}}}}}}
		x.push(g, x.table(1), posting{column: 1, hash: hash})
		groups = append(groups, g)
	}
	seen, found := map[*group]int{}, 0
	x.hits(&Change{XID: 5, Table: 1, Op: Insert, Keys: []Tuple{{{Column: 1, Value: changed}}}}, func(g *group) { seen[g]++ })
	for at := x.table(1).column(1).values[hash]; at != 0; at = x.postings[at].next {
		found++
	}
	if found != 2 || len(seen) != 1 || seen[groups[0]] != 1 {
		t.Errorf("%d found under one hash, %d concerned: %v", found, len(seen), seen)
	}
}
