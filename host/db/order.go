package db

import (
	"maps"
	"slices"
	"strings"
)

// ordered is R8 for one LIMIT (or DISTINCT ON): which of several equal rows
// comes first must not be PostgreSQL's choice of the moment.
type ordered struct {
	node    *planNode
	top     bool     // the statement's own LIMIT
	none    bool     // no order at all
	keys    []string // of the Sort, as printed: "m.sent_at DESC"
	fixed   map[string]bool
	base    *planNode // what is sorted
	missing []string  // columns that would make the order total, when known
	joined  bool      // of several tables, so that columns need their alias
	total   bool      // proven without a declared key
}

// limits returns the LIMITs of a plan that need a look.
func limits(root *planNode, tables map[string]*relation, text string) []ordered {
	var out []ordered
	root.walk(func(n *planNode) {
		kind := n.str("Node Type")
		if kind != "Limit" && (kind != "Unique" || !saysDistinctOn(text)) || constant(n.list("Output")) {
			return
		}
		o := ordered{node: n, top: n == root}
		var one, incidental bool
		o.keys, o.base, one, incidental = n.order()
		if one || kind == "Unique" && sortsAll(n.list("Output"), o.keys) {
			return
		}
		if o.none = len(o.keys) == 0 || kind == "Limit" && incidental && !saysOrder(text); o.none {
			o.keys = nil
		}
		o.prove(tables)
		out = append(out, o)
	})
	return out
}

// sameTable reports whether an Append joins parts of one table. UNION ALL of
// several has rows that no key tells apart.
func (n *planNode) sameTable() bool {
	base := ""
	for _, kid := range n.kids {
		alias := kid.str("Alias")
		i := strings.LastIndexByte(alias, '_')
		if !kid.isScan() && kid.str("Node Type") != "Append" || i <= 0 && kid.isScan() || kid.isScan() && base != "" && alias[:i] != base {
			return false
		}
		if kid.isScan() {
			base = alias[:i]
		}
	}
	return true
}

// constant reports whether all rows are the same, so that any of them will do.
func constant(outputs []string) bool {
	for _, e := range outputs {
		m := newMentions()
		m.add(tokenize(e))
		if len(m.columns)+len(m.bare)+len(m.whole)+len(m.functions) > 0 || strings.Contains(e, "SubPlan") {
			return false
		}
	}
	return true
}

// order goes down to what sorts the node's rows. one says that there is at most
// one row; incidental, that the plan may be sorted for another reason.
func (n *planNode) order() (keys []string, base *planNode, one, incidental bool) {
	for len(n.kids) > 0 {
		next := n.outer()
		switch n.str("Node Type") {
		case "Sort", "Incremental Sort":
			return n.list("Sort Key"), next, false, incidental
		case "Merge Append":
			return n.list("Sort Key"), n, false, incidental
		case "Limit", "Result", "Subquery Scan", "ProjectSet", "LockRows", "Nested Loop":
		case "WindowAgg", "Unique", "Merge Join":
			incidental = true
		case "Aggregate", "Group":
			switch {
			case n.str("Strategy") == "Plain":
				return nil, n, true, false
			case n.str("Strategy") == "Sorted" || n.str("Node Type") == "Group":
				return n.list("Group Key"), n, false, true
			}
			return nil, n, false, false
		default:
			return nil, n, false, false
		}
		if next == nil {
			break
		}
		n = next
	}
	return nil, n, n.str("Node Type") == "Result" && len(n.kids) == 0, false
}

// outer returns the child whose order a node keeps.
func (n *planNode) outer() *planNode {
	for _, kid := range n.kids {
		switch kid.str("Parent Relationship") {
		case "Outer", "Subquery", "Member":
			return kid
		}
	}
	return nil
}

// sortExpression returns a sort key without direction and collation.
func sortExpression(key string) string {
	ts := tokenize(key)
	end := len(ts)
	outside(ts, func(i int) {
		for _, word := range []string{"DESC", "ASC", "NULLS", "USING", "COLLATE"} {
			if ts[i].keyword(word) && i > 0 {
				end = min(end, i)
			}
		}
	})
	return render(unwrap(ts[:end]))
}

// normal returns an expression without parentheses and casts around it.
func normal(e string) string {
	ts := unwrap(tokenize(e))
	if inner, _, ok := splitCast(ts); ok {
		ts = unwrap(inner)
	}
	return render(ts)
}

func sortsAll(outputs, keys []string) bool {
	for _, e := range outputs {
		sorted := slices.ContainsFunc(keys, func(k string) bool {
			k = sortExpression(k)
			return k == normal(e) || strings.HasSuffix(k, "."+normal(e))
		})
		if !sorted && !constant([]string{e}) {
			return false
		}
	}
	return true
}

// prove finds what the order determines: the sort keys, columns that a condition
// fixes, what equals one of them, and whole rows of tables whose key is among
// these.
func (o *ordered) prove(tables map[string]*relation) {
	o.fixed = map[string]bool{}
	for _, k := range o.keys {
		o.fixed[sortExpression(k)] = true
	}
	scans, pairs := map[string]*relation{}, [][2]string{}
	simple := true
	var visit func(n *planNode)
	visit = func(n *planNode) {
		if strings.HasPrefix(n.str("Node Type"), "Aggregate") || n.str("Node Type") == "Group" {
			simple = false
		}
		o.collect(n, &pairs)
		if alias := n.str("Alias"); n.isScan() {
			scans[alias] = tables[alias]
		} else if strings.HasSuffix(n.str("Node Type"), "Scan") && n.str("Node Type") != "Subquery Scan" {
			simple = false
		}
		switch n.str("Node Type") {
		case "Append", "Merge Append":
			simple = simple && n.sameTable()
		case "SetOp", "Recursive Union", "ProjectSet":
			simple = false
		}
		for i, kid := range n.kids {
			rel, join := kid.str("Parent Relationship"), n.str("Join Type")
			if rel == "SubPlan" || rel == "InitPlan" || (join == "Semi" || join == "Anti") && i == 1 ||
				strings.HasPrefix(join, "Right ") && i == 0 && (strings.HasSuffix(join, "Semi") || strings.HasSuffix(join, "Anti")) {
				continue
			}
			visit(kid)
		}
	}
	visit(o.base)
	scans = o.merge(scans, pairs)
	whole := o.close(scans, pairs)
	if group := o.base.list("Group Key"); len(group) > 0 {
		o.total = !slices.ContainsFunc(group, func(k string) bool { return !o.determined(normal(k), whole) })
		return
	}
	o.total = simple && len(whole) == len(scans) && len(scans) > 0
	if !o.total {
		o.total = !slices.ContainsFunc(o.node.list("Output"), func(e string) bool {
			return !o.determined(normal(e), whole) && !constant([]string{e})
		})
	}
	for _, alias := range slices.Sorted(maps.Keys(scans)) {
		table := scans[alias]
		if whole[alias] || table == nil || len(table.unique) == 0 || o.missing != nil {
			continue
		}
		o.joined = len(scans) > 1
		for _, column := range table.unique[0] {
			switch {
			case o.fixed[alias+"."+column]:
			case o.joined:
				o.missing = append(o.missing, alias+"."+column)
			default:
				o.missing = append(o.missing, column)
			}
		}
	}
}

// merge gives the parts of a partitioned table, "m_1" and "m_2", the name "m"
// under which the nodes above them print its columns.
func (o *ordered) merge(scans map[string]*relation, pairs [][2]string) map[string]*relation {
	whole := func(e string) string {
		alias, column, ok := strings.Cut(e, ".")
		i := strings.LastIndexByte(alias, '_')
		if !ok || i <= 0 || strings.Trim(alias[i+1:], "0123456789") != "" || scans[alias] == nil || scans[alias[:i]] != nil {
			return e
		}
		return alias[:i] + "." + column
	}
	for e := range maps.Clone(o.fixed) {
		o.fixed[whole(e)] = true
	}
	for i := range pairs {
		pairs[i] = [2]string{whole(pairs[i][0]), whole(pairs[i][1])}
	}
	out := map[string]*relation{}
	for alias, table := range scans {
		alias, _, _ = strings.Cut(whole(alias+"."), ".")
		out[alias] = table
	}
	return out
}

// close adds what follows from what is fixed, and returns the tables whose rows
// are determined.
func (o *ordered) close(scans map[string]*relation, pairs [][2]string) map[string]bool {
	whole := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for _, p := range pairs {
			for _, side := range [2][2]string{{p[0], p[1]}, {p[1], p[0]}} {
				if o.determined(side[0], whole) && !o.fixed[side[1]] {
					o.fixed[side[1]], changed = true, true
				}
			}
		}
		for alias, table := range scans {
			if whole[alias] || table == nil {
				continue
			}
			for _, key := range table.unique {
				if !slices.ContainsFunc(key, func(c string) bool { return !o.fixed[alias+"."+c] }) {
					whole[alias], changed = true, true
				}
			}
		}
	}
	return whole
}

func (o *ordered) determined(expr string, whole map[string]bool) bool {
	alias, _, ok := strings.Cut(expr, ".")
	if !ok { // plans of one table print columns without it
		for e := range o.fixed {
			if strings.HasSuffix(e, "."+expr) {
				return true
			}
		}
	}
	return o.fixed[expr] || ok && whole[alias]
}

// collect finds equalities: of a column with a constant, which fixes it, and of
// two columns.
func (o *ordered) collect(n *planNode, pairs *[][2]string) {
	for _, key := range []string{"Filter", "Hash Cond", "Merge Cond", "Join Filter", "Index Cond", "Recheck Cond"} {
		for _, ts := range conjuncts(tokenize(n.str(key))) {
			ts = unwrap(ts)
			at := slices.IndexFunc(ts, func(t token) bool { return t.op("=") })
			if at <= 0 || at+1 >= len(ts) || ts[at+1].keyword("ANY") {
				continue
			}
			left, right := normal(render(ts[:at])), normal(render(ts[at+1:]))
			switch {
			case constant([]string{right}):
				o.fixed[left] = true
			case constant([]string{left}):
				o.fixed[right] = true
			default:
				*pairs = append(*pairs, [2]string{left, right})
			}
		}
	}
}

// refuse returns why the order is not total for a statement with these columns
// and this key, or nil.
func (o *ordered) refuse(columns []Column, key []string) error {
	what := "LIMIT"
	if o.node.str("Node Type") == "Unique" {
		what = "DISTINCT ON"
	}
	if o.total {
		return nil // also without ORDER BY, when conditions leave one row
	}
	missing := o.missing
	if o.top && len(key) > 0 {
		missing = o.uncovered(columns, key)
		if len(missing) == 0 {
			return nil
		}
	}
	if o.none {
		return refused("has %s without ORDER BY, so that any rows may come: order by columns that tell the rows apart, such as the key", what)
	}
	if len(missing) == 0 {
		return refused("orders rows under %s by columns that do not tell them apart: add the columns of a unique key to order by, and declare it as the statement's key", what)
	}
	return refused("orders rows under %s by columns that do not tell them apart: %s", what, o.advice(missing))
}

// uncovered returns the columns of the key that the order does not determine.
func (o *ordered) uncovered(columns []Column, key []string) []string {
	outputs := o.node.list("Output")
	var missing []string
	for _, name := range key {
		i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name })
		covered := i >= 0 && i < len(outputs) && o.determined(normal(outputs[i]), nil)
		for _, k := range o.keys {
			e := sortExpression(k)
			covered = covered || e == name || strings.HasSuffix(e, "."+name)
		}
		if !covered {
			missing = append(missing, name)
		}
	}
	return missing
}

// advice is the ORDER BY to write instead: "order by sent_at desc, id desc".
func (o *ordered) advice(missing []string) string {
	var parts []string
	direction := ""
	for _, k := range o.keys {
		e := sortExpression(k)
		if _, column, ok := strings.Cut(e, "."); ok && !o.joined && !strings.ContainsAny(column, "( ") {
			e = column
		}
		direction = ""
		if strings.Contains(k, " DESC") {
			direction = " desc"
		}
		parts = append(parts, e+direction)
	}
	for _, name := range missing {
		parts = append(parts, name+direction)
	}
	return "order by " + strings.Join(parts, ", ")
}

// saysDistinctOn reports whether a Unique node may be a DISTINCT ON: of the text,
// or of a view when the text has nothing that removes duplicates.
func saysDistinctOn(text string) bool {
	plain := false
	ts := tokenize(text)
	for i, t := range ts {
		switch word := strings.ToLower(t.text); {
		case t.kind != tokenWord || t.quoted:
		case word == "distinct" && i+1 < len(ts) && strings.EqualFold(ts[i+1].text, "on"):
			return true
		case word == "distinct", word == "union", word == "in":
			plain = true
		}
	}
	return !plain
}

// saysOrder reports whether some level of the text has both LIMIT (or OFFSET,
// FETCH) and ORDER BY.
func saysOrder(text string) bool {
	type scope struct{ limit, order bool }
	scopes := []scope{{}}
	found := false
	ts := tokenize(text)
	for i, t := range ts {
		top := &scopes[len(scopes)-1]
		switch {
		case t.is("("):
			scopes = append(scopes, scope{})
			continue
		case t.is(")") && len(scopes) > 1:
			scopes = scopes[:len(scopes)-1]
			continue
		case t.kind != tokenWord || t.quoted:
			continue
		}
		switch strings.ToLower(t.text) {
		case "limit", "offset", "fetch":
			top.limit = true
		case "order":
			top.order = top.order || i+1 < len(ts) && strings.EqualFold(ts[i+1].text, "by")
		}
		found = found || top.limit && top.order
	}
	return found
}
