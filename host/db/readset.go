package db

import (
	"fmt"
	"slices"
	"strings"

	"weir/reactor"
)

// Explain returns the read set of every variant for people: one line for each
// atom, and below an atom that is found through its table the conditions that
// could not be used.
func (s *Statement) Explain() string {
	var b strings.Builder
	for i := range s.variants {
		v := &s.variants[i]
		a := v.analysis.Load()
		if len(s.variants) > 1 {
			fmt.Fprintf(&b, "variant %d of %d: %s\n", i+1, len(s.variants), strings.Join(strings.Fields(v.text), " "))
		}
		if s.kind == Write {
			b.WriteString("writes: no read set\n")
			continue
		}
		if len(a.atoms) == 0 {
			b.WriteString("reads no table\n")
		}
		names := make([]string, len(v.params))
		for j, p := range v.params {
			names[j] = "$now"
			if p >= 0 {
				names[j] = "$" + s.names[p]
			}
		}
		for j := range a.atoms {
			a.atoms[j].explain(&b, names)
		}
	}
	for i := range s.nest {
		n := &s.nest[i]
		fmt.Fprintf(&b, "nested %s, statement %d:\n", n.name, n.child.index)
		b.WriteString(n.child.Explain())
	}
	return b.String()
}

func (p *atomPlan) explain(b *strings.Builder, names []string) {
	b.WriteString(p.table.label())
	for i := range p.equal {
		word := "and"
		if i == 0 {
			word = "where"
		}
		fmt.Fprintf(b, " %s %s", word, p.equal[i].explain(names))
	}
	switch {
	case p.list != nil:
		fmt.Fprintf(b, " where %s any of the values of %s that a second statement lists", p.keys.column.name, p.keys.name)
	case p.keys != nil:
		fmt.Fprintf(b, " where %s any of the values of %s in the result", p.keys.column.name, p.keys.name)
		if p.keys.whole {
			b.WriteString(" (table level when LIMIT cuts off)")
		}
	case len(p.equal) == 0:
		b.WriteString(", table level")
	}
	for i := range p.where {
		word := ", checked:"
		if i > 0 {
			word = " and"
		}
		fmt.Fprintf(b, "%s %s", word, p.where[i].explain(names))
	}
	if p.bound != nil {
		word := ", checked:"
		if len(p.where) > 0 {
			word = " and"
		}
		fmt.Fprintf(b, "%s %s %s that of the last row (when LIMIT cuts off)", word, p.bound.column.name, comparisonText[p.bound.op])
	}
	fmt.Fprintf(b, "; columns %s\n", p.columnNames())
	for _, why := range p.unread {
		fmt.Fprintf(b, "  not used: %s\n", why)
	}
}

var comparisonText = map[reactor.Comparison]string{
	0: "=", reactor.Less: "<", reactor.LessEqual: "<=", reactor.Greater: ">", reactor.GreaterEqual: ">=",
	reactor.IsNull: "is null", reactor.NotNull: "is not null",
	reactor.NotEqual: "<>",
}

func (c *condition) explain(names []string) string {
	text := c.column.name + " " + comparisonText[c.op]
	if c.op == reactor.IsNull || c.op == reactor.NotNull {
		return text
	}
	var values []string
	for _, p := range c.from.params {
		values = append(values, names[p])
	}
	if n := len(c.from.values); n == 1 {
		values = append(values, "a constant")
	} else if n > 1 {
		values = append(values, fmt.Sprintf("%d constants", n))
	}
	if c.from.set || len(values) > 1 {
		return text + " any of " + strings.Join(values, ", ")
	}
	return text + " " + strings.Join(values, ", ")
}

func (p *atomPlan) columnNames() string {
	if p.columns == nil {
		return "all"
	}
	var names []string
	for name, col := range p.table.columns {
		if p.columns.Has(col.attr) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
