package reactor

import "slices"

// MaxSet is how many elements an equality with a set may have; with more it is
// no longer an equality and the atom is found through its table (R11).
const MaxSet = 1000

// ReadSet is what a result depended on. The zero ReadSet depends on nothing.
type ReadSet struct {
	Atoms []Atom
	// Derived is a snapshot taken before the read set was derived from the
	// schema. A DDL change that it does not see makes the read set void (R4).
	Derived Snapshot
}

// Atom is one table's part of a read set. A changed row that fails one of the
// conditions, before and after, cannot have changed the result.
type Atom struct {
	Table uint32
	// Columns are those whose change matters: select list, conditions, joins,
	// order, expressions. Nil means all.
	Columns Columns
	// Eq are equalities that a row must meet, most selective first. Atoms are
	// found through the first one; without any, through the table.
	Eq []Equality
	// Where are further conditions, checked when the atom was found.
	Where []Condition
}

// Equality is column = any of Values. With no value it can never hold.
type Equality struct {
	Column uint16
	Values []Value
}

// Comparison is the operator of a Condition.
type Comparison uint8

// The comparisons.
const (
	Less Comparison = iota + 1
	LessEqual
	Greater
	GreaterEqual
	IsNull
	NotNull
	NotEqual // of any kind
)

// Condition is a comparison with a value of an ordered kind (Kind.Ordered), that
// it is not equal to a value, or a test for NULL.
type Condition struct {
	Column uint16
	Op     Comparison
	Value  Value
}

// Concerns reports whether the change may have changed what the atom read: its
// table, its columns, and one of the old or new rows meets all conditions.
func (a *Atom) Concerns(c *Change) bool {
	if c.Op == DDL {
		return true
	}
	if c.Table != a.Table {
		return false
	}
	if c.Op == Update && !c.Changed.Meets(a.Columns) {
		return false
	}
	return c.Keys == nil || slices.ContainsFunc(c.Keys, a.meets)
}

// equal reports whether two atoms are the same, written in the same order.
func (a Atom) equal(b Atom) bool {
	return a.Table == b.Table && (a.Columns == nil) == (b.Columns == nil) && slices.Equal(a.Columns, b.Columns) &&
		slices.Equal(a.Where, b.Where) && slices.EqualFunc(a.Eq, b.Eq, func(a, b Equality) bool {
		return a.Column == b.Column && slices.Equal(a.Values, b.Values)
	})
}

// meets reports whether a row may meet all conditions of the atom.
func (a *Atom) meets(row Tuple) bool {
	for i := range a.Eq {
		if !a.Eq[i].holds(row) {
			return false
		}
	}
	for i := range a.Where {
		if !a.Where[i].holds(row) {
			return false
		}
	}
	return true
}

func (e *Equality) holds(row Tuple) bool {
	d, known := row.Find(e.Column)
	if !known {
		return true // C7: an absent column matches every value
	}
	return !d.Null && slices.Contains(e.Values, d.Value)
}

func (c *Condition) holds(row Tuple) bool {
	d, known := row.Find(c.Column)
	if !known {
		return true
	}
	switch c.Op {
	case IsNull:
		return d.Null
	case NotNull:
		return !d.Null
	}
	if d.Null {
		return false
	}
	switch c.Op {
	case Less:
		return d.Value < c.Value
	case LessEqual:
		return d.Value <= c.Value
	case Greater:
		return d.Value > c.Value
	case GreaterEqual:
		return d.Value >= c.Value
	case NotEqual:
		return d.Value != c.Value
	}
	return true // an unknown condition only widens
}

// Concerns reports whether the change may have changed what the read set read.
func (r *ReadSet) Concerns(c *Change) bool {
	for i := range r.Atoms {
		if r.Atoms[i].Concerns(c) {
			return true
		}
	}
	return c.Op == DDL
}
