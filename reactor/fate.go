package reactor

import "slices"

// Fate is what became of a change, for one result.
type Fate uint8

// The fates.
const (
	Elsewhere    Fate = iota + 1 // no row meets the conditions of what was read
	OtherColumns                 // only columns changed that do not matter
	TakenIn                      // a run has seen it
	Initial                      // the oldest result that is remembered has it already
	Pending                      // the group is to run
	InFlight                     // the group runs, and may see it
)

// String returns the fate in words.
func (f Fate) String() string {
	switch f {
	case Elsewhere:
		return "no match"
	case OtherColumns:
		return "other columns"
	case TakenIn:
		return "taken in"
	case Initial:
		return "already there"
	case Pending:
		return "waits for a run"
	case InFlight:
		return "running"
	}
	return "unknown"
}

// Miss says which condition of an atom a change failed.
type Miss struct {
	Column uint16
	Op     Comparison // zero: an equality
	// Got are the values of the changed rows, old and new, that failed it.
	Got []Datum
	// Want are the values that the result depends on.
	Want []Value
}

// Verdict says what became of a change, and why.
type Verdict struct {
	Fate Fate // zero: the table was not read
	// Misses has one entry for each part of the read set that reads the table, if
	// the fate is Elsewhere or OtherColumns.
	Misses []Miss
	// Run is what took it in: nil if that is not remembered.
	Run *Past
}

// Verdict judges one change by the read set and the runs of a result. What the
// group is doing decides only about a change that no result has seen.
func (r *Report) Verdict(n *Noted) Verdict {
	return judge(n, &r.Reads, r.Group, r.Runs)
}

// Verdict judges a change for a policy's decision, whose runs are not told.
func (d *DecisionReport) Verdict(n *Noted) Verdict { return judge(n, &d.Reads, &d.Group, nil) }

func judge(n *Noted, reads *ReadSet, g *GroupReport, runs []Past) Verdict {
	c := &n.Change
	read, concerns, columns := false, false, false
	var misses []Miss
	for i := range reads.Atoms {
		a := &reads.Atoms[i]
		switch {
		case a.Table != c.Table:
			continue
		case a.Concerns(c) || n.Rows > len(c.Keys): // not all of its rows are kept
			concerns = true
		case c.Op == Update && !c.Changed.Meets(a.Columns):
			columns = true
		default:
			misses = append(misses, a.miss(c.Keys))
		}
		read = true
	}
	switch {
	case !read:
		return Verdict{}
	case !concerns && len(misses) > 0:
		return Verdict{Fate: Elsewhere, Misses: misses}
	case !concerns && columns:
		return Verdict{Fate: OtherColumns}
	case g.Answered && g.Snapshot.Visible(c.XID):
		return taken(c, runs)
	case g.Running:
		return Verdict{Fate: InFlight}
	}
	return Verdict{Fate: Pending} // the group is about to be marked, if it is not dirty yet
}

// taken finds the run that took a change in: the oldest one that saw it.
func taken(c *Change, runs []Past) Verdict {
	v := Verdict{Fate: TakenIn}
	for i := range runs { // the newest first
		p := &runs[i]
		if p.Err != nil {
			continue
		}
		if !p.Snapshot.Visible(c.XID) {
			return v
		}
		v.Run = p
	}
	// Every run that is remembered saw it: the oldest of them may not be the one.
	if v.Run != nil && v.Run.Reason == First {
		v.Fate = Initial
	}
	if v.Run != nil && v.Run.XID != c.XID {
		v.Run = nil
	}
	return v
}

// miss says which condition no row meets. All rows fail the atom; the first
// condition that the first row fails stands for it.
func (a *Atom) miss(rows []Tuple) Miss {
	if len(rows) == 0 {
		return Miss{}
	}
	for i := range a.Eq {
		if e := &a.Eq[i]; !e.holds(rows[0]) {
			return Miss{Column: e.Column, Want: e.Values, Got: failing(rows, e.Column, e.holds)}
		}
	}
	for i := range a.Where {
		if w := &a.Where[i]; !w.holds(rows[0]) {
			m := Miss{Column: w.Column, Op: w.Op, Got: failing(rows, w.Column, w.holds)}
			if w.Op != IsNull && w.Op != NotNull {
				m.Want = []Value{w.Value}
			}
			return m
		}
	}
	return Miss{}
}

// failing returns the distinct values of a column in the rows that fail.
func failing(rows []Tuple, column uint16, holds func(Tuple) bool) (got []Datum) {
	for _, row := range rows {
		if d, known := row.Find(column); known && !holds(row) && !slices.Contains(got, d) {
			got = append(got, d)
		}
	}
	return got
}
