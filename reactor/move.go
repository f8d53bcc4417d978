package reactor

import (
	"hash/maphash"
	"slices"
)

// maxMoves bounds how many postings are looked for one by one when the atoms of a
// group change; with more, all are taken out and put in again.
const maxMoves = 16

// departed is a value that an atom no longer has.
type departed struct {
	atom uint32
	hash uint64
}

// move registers g under other atoms than it has, and gives them to it. Most
// results depend on what the one before depended on, or show a few other keys
// among many: only these are touched.
func (x *index) move(g *group, atoms []Atom) {
	if slices.EqualFunc(g.reads.Atoms, atoms, Atom.equal) {
		return
	}
	gone, come, few := x.differences(g.reads.Atoms, atoms)
	if !few {
		x.remove(g)
		g.reads.Atoms = atoms
		x.add(g)
		return
	}
	g.reads.Atoms = atoms // their conditions are read from there
	for i := 0; i < len(g.postings) && len(gone) > 0; {
		p := &x.postings[g.postings[i]]
		at := slices.IndexFunc(gone, func(d departed) bool { return p.column != 0 && d.atom == p.atom && d.hash == p.hash })
		if at < 0 {
			i++
			continue
		}
		// Two values that share a hash share their postings: either will do.
		gone[at] = gone[len(gone)-1]
		gone = gone[:len(gone)-1]
		x.drop(g.postings[i])
		last := len(g.postings) - 1
		g.postings[i] = g.postings[last]
		g.postings = g.postings[:last]
	}
	for _, p := range come {
		x.push(g, x.table(atoms[p.atom].Table), p)
	}
}

// differences returns what to take out and what to put in, and false if that is
// more than a few or the atoms are found through other columns.
func (x *index) differences(old, atoms []Atom) (gone []departed, come []posting, few bool) {
	if len(old) != len(atoms) {
		return nil, nil, false
	}
	for i := range atoms {
		column, was := old[i].anchor()
		anchor, is := atoms[i].anchor()
		if column != anchor || old[i].Table != atoms[i].Table || !slices.IsSorted(was) || !slices.IsSorted(is) {
			return nil, nil, false
		}
		for len(was)+len(is) > 0 {
			if len(gone)+len(come) > maxMoves {
				return nil, nil, false
			}
			switch {
			case len(was) > 0 && len(is) > 0 && was[0] == is[0]:
				was, is = was[1:], is[1:]
			case len(is) == 0 || len(was) > 0 && was[0] < is[0]:
				gone = append(gone, departed{atom: uint32(i), hash: maphash.String(x.seed, string(was[0]))})
				was = was[1:]
			default:
				come = append(come, posting{atom: uint32(i), column: column, hash: maphash.String(x.seed, string(is[0]))})
				is = is[1:]
			}
		}
	}
	return gone, come, true
}
