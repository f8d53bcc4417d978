package db

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"weir/reactor"
)

// resultKeys finds the rows of a looked-up table by the keys that the result
// itself shows (see doc.go, "What a result says of its tables").
type resultKeys struct {
	column *tableColumn // of the table: its key
	output int          // the column of the result that holds its values
	name   string       // of that column
	// whole says that it holds only when LIMIT cut nothing off.
	whole bool
	// list says that they are not in the result: which of the statement's lists has
	// them, from 1.
	list int
}

// resultBound leaves out the rows that are sorted strictly behind the last row of
// a full result.
type resultBound struct {
	column *tableColumn
	op     reactor.Comparison // with the last row's value
	output int
}

// narrower finds out which scans of a plan can be narrowed by what the result
// shows. Whatever it does not understand stays as it is, which is wider.
type narrower struct {
	plan    *planNode
	columns []Column
	outputs [][]token
	tables  map[string]*relation // of every scan; nil where rows have another table
	reader  reader               // without a table
	limit   topLimit
	view    string // one that is between, or empty
	// alien is why no table may be found by the result's keys, or empty.
	alien string
	// keyed are the aliases that are found by keys, sources those that hold them: a
	// table may not be both, or each would be the other's excuse.
	keyed, sources map[string]bool
}

// lookups are the nodes of a plan that only joins, sorts and cuts.
var lookups = map[string]bool{
	"Limit": true, "Sort": true, "Incremental Sort": true, "Nested Loop": true, "Hash Join": true, "Merge Join": true,
	"Hash": true, "Materialize": true, "Seq Scan": true,
}

func (z *analyser) narrower(rd reader) *narrower {
	w := &narrower{
		plan: z.plan, columns: z.a.columns, tables: map[string]*relation{}, reader: rd, limit: z.a.limit,
		keyed: map[string]bool{}, sources: map[string]bool{},
	}
	for _, e := range z.plan.list("Output") {
		w.outputs = append(w.outputs, tokenize(e))
	}
	z.plan.walk(func(n *planNode) {
		kind, rel := n.str("Node Type"), n.str("Parent Relationship")
		switch {
		case !lookups[kind]:
			w.alien = cmp.Or(w.alien, "the plan has a node "+kind+", which may do more than join")
		case n.parent != nil && rel != "Outer" && rel != "Inner":
			w.alien = cmp.Or(w.alien, "the plan has a subquery")
		case kind == "Limit" && n.parent != nil:
			w.alien = cmp.Or(w.alien, "a subquery has LIMIT")
		}
		if n.isScan() {
			r := z.find(n)
			if r.kind != 'r' || r.parent || len(r.roots) != 1 || r.roots[0] != r.oid {
				r = nil
			}
			if r != nil {
				r = z.roots[r.oid]
			}
			w.tables[n.str("Alias")] = r
		}
	})
	for _, r := range z.planned {
		if r.kind == 'v' {
			w.view = r.label()
			w.alien = cmp.Or(w.alien, "the view "+r.label()+" is between")
		}
	}
	return w
}

// narrow adds to the atom of a scan what the result will say, or why it cannot.
func (w *narrower) narrow(n *planNode, p *atomPlan) {
	var why string
	if p.bound, why = w.bound(n); why != "" {
		p.unread = append(p.unread, "the last row of the result: "+why)
	}
	if len(p.equal) > 0 || n.parent == nil {
		return
	}
	join := n.join()
	if join == nil {
		return
	}
	keys, source, why := w.keys(n, join)
	if why == "" && (w.keyed[source] || w.sources[n.str("Alias")]) {
		why = "it looks up " + source + ", which is looked up itself"
	}
	if why != "" {
		p.unread = append(p.unread, "the keys in the result: "+why)
		if p.list, why = w.list(n, join); why != "" {
			p.unread = append(p.unread, "a list of keys: "+why)
		}
		return
	}
	p.keys = keys
	w.keyed[n.str("Alias")], w.sources[source] = true, true
}

// join returns the join that a scan is a side of, or nil.
func (n *planNode) join() *planNode {
	for up := n.parent; up != nil; up = up.parent {
		switch up.str("Node Type") {
		case "Nested Loop", "Hash Join", "Merge Join":
			return up
		case "Hash", "Materialize", "Sort":
		default:
			return nil
		}
	}
	return nil
}

// side returns the side of a join, "Outer" or "Inner", that holds a node.
func (n *planNode) side(join *planNode) string {
	for n.parent != join {
		n = n.parent
	}
	return n.str("Parent Relationship")
}

// keys returns what the result says of a table that is only looked up: joined by
// its key, used in no other condition, and never deciding how many rows there
// are. source is the alias of the column that is looked up.
func (w *narrower) keys(n, join *planNode) (keys *resultKeys, source, why string) {
	alias := n.str("Alias")
	table := w.tables[alias]
	switch {
	case w.alien != "":
		return nil, "", w.alien
	case table == nil:
		return nil, "", "it has partitions or children, or is one"
	case n.str("Filter") != "":
		return nil, "", "it has conditions of its own"
	}
	kind, side := join.str("Join Type"), n.side(join)
	outer := kind == "Left" && side == "Inner" || kind == "Right" && side == "Outer"
	if kind != "Inner" && !outer {
		return nil, "", "it is not just looked up: the join is " + kind
	}
	for up := join.parent; up != nil; up = up.parent {
		if t := up.str("Join Type"); t != "" && t != "Inner" && t != "Left" && t != "Right" {
			return nil, "", "it is below a join that is " + t
		}
	}
	key, from, source, why := w.lookup(alias, join)
	if why != "" {
		return nil, "", why
	}
	sorts, why := w.others(n, join, alias, key)
	if why != "" {
		return nil, "", why
	}
	if !slices.ContainsFunc(table.unique, func(u []string) bool { return len(u) == 1 && u[0] == key.name }) {
		return nil, "", key.name + " is no key of it"
	}
	refers := w.tables[source].refers(from.name, table.oid, key.name)
	if !outer && !refers {
		// A row that is not there yet could make one of the result.
		return nil, "", fmt.Sprintf("no foreign key, checked at once and enforced, says that each %s.%s is there", source, from.name)
	}
	output := w.output(source, w.tables[source], from)
	if output < 0 && !outer {
		output = w.output(alias, table, key)
	}
	if output < 0 {
		return nil, "", fmt.Sprintf("the result does not show %s.%s: select it", source, from.name)
	}
	keys = &resultKeys{column: key, output: output, name: w.columns[output].Name, whole: sorts && w.limit.stands}
	if keys.whole && !w.limit.known {
		return nil, "", "it decides the order under a LIMIT that is no number or parameter"
	}
	return keys, source, ""
}

// joinConditions are the conditions by which a join pairs rows.
var joinConditions = []string{"Hash Cond", "Merge Cond", "Join Filter"}

// lookup returns the key of the table in the one condition of the join that uses
// it, the column that it equals, and that column's alias.
func (w *narrower) lookup(alias string, join *planNode) (key, from *tableColumn, source, why string) {
	conditions := w.conditions(join, alias)
	for _, ts := range conditions {
		left, right, ok := equality(ts)
		if !ok {
			continue
		}
		for _, s := range [2][2][]token{{left, right}, {right, left}} {
			if a, b, other := w.equals(alias, s[0], s[1]); a != nil && inside(join, other) {
				key, from, source = a, b, other
			}
		}
	}
	switch {
	case len(conditions) == 0:
		return nil, nil, "", "the join has no condition on it"
	case len(conditions) > 1:
		return nil, nil, "", "the join has several conditions on it"
	case key == nil:
		return nil, nil, "", "the join is not by a column that equals one of another table"
	}
	return key, from, source, ""
}

// conditions returns the conditions of a join that use a table.
func (w *narrower) conditions(join *planNode, alias string) (out [][]token) {
	for _, name := range joinConditions {
		for _, ts := range conjuncts(tokenize(join.str(name))) {
			if names(ts, alias) {
				out = append(out, ts)
			}
		}
	}
	return out
}

// equality splits a condition that is one.
func equality(ts []token) (left, right []token, ok bool) {
	ts = unwrap(ts)
	at := slices.IndexFunc(ts, func(t token) bool { return t.op("=") })
	if at < 0 {
		return nil, nil, false
	}
	return ts[:at], ts[at+1:], true
}

// equals reads two sides of an equality: a column of the table with that alias,
// and a column of another table whose values have the same form.
func (w *narrower) equals(alias string, mine, theirs []token) (key, from *tableColumn, source string) {
	at := slices.IndexFunc(theirs, func(t token) bool { return t.kind == tokenWord })
	if at < 0 || theirs[at].text == alias || w.tables[theirs[at].text] == nil {
		return nil, nil, ""
	}
	source = theirs[at].text
	one, two := w.reader, w.reader
	one.alias, one.table = alias, w.tables[alias]
	two.alias, two.table = source, w.tables[source]
	a, ok := one.column(mine)
	b, ok2 := two.column(theirs)
	if !ok || !ok2 || a.kind != b.kind || a.kind == reactor.KindEnum && a.base != b.base ||
		one.comparable(a, "=", 0) != "" || two.comparable(b, "=", 0) != "" {
		return nil, nil, ""
	}
	return a, b, source
}

// inside reports whether a scan of that alias is below a node.
func inside(n *planNode, alias string) (found bool) {
	n.walk(func(n *planNode) { found = found || n.isScan() && n.str("Alias") == alias })
	return found
}

// names reports whether an expression uses something of that alias. A column of
// that name counts too, which only widens.
func names(ts []token, alias string) bool {
	return slices.ContainsFunc(ts, func(t token) bool { return t.kind == tokenWord && t.text == alias })
}

// others looks for further uses of the table. sorts says that it decides the order
// of rows; any other use but in the select list is the reason that it returns.
func (w *narrower) others(n, join *planNode, alias string, key *tableColumn) (sorts bool, why string) {
	var below []*planNode // what only prepares the table for the join
	for up := n.parent; up != join; up = up.parent {
		below = append(below, up)
	}
	w.plan.walk(func(m *planNode) {
		if m == join || m == n {
			return
		}
		for _, e := range m.expressions(false) {
			ts := tokenize(e)
			kind := m.str("Node Type")
			switch {
			case !names(ts, alias):
			case slices.Contains(below, m) && kind == "Sort" && join.str("Node Type") == "Merge Join" && len(m.list("Sort Key")) == 1 &&
				isColumn(ts, alias, key.name):
			case kind == "Sort" || kind == "Incremental Sort":
				sorts = true
			default:
				why = "another condition uses it: " + e
			}
		}
	})
	rest := planNode{props: map[string]any{}}
	for name, v := range join.props {
		if !slices.Contains(joinConditions, name) {
			rest.props[name] = v
		}
	}
	for _, e := range rest.expressions(false) {
		if names(tokenize(e), alias) {
			why = "another condition uses it: " + e
		}
	}
	return sorts, why
}

func isColumn(ts []token, alias, column string) bool {
	return len(ts) == 3 && ts[0].kind == tokenWord && ts[0].text == alias && ts[1].is(".") && ts[2].kind == tokenWord && ts[2].text == column
}

// output returns the column of the result that is just a column of a table, -1 if
// none is.
func (w *narrower) output(alias string, table *relation, col *tableColumn) int {
	for i := range w.columns {
		// With one table in all, only the select list prints columns without alias.
		bare := len(w.outputs) > i && len(w.tables) == 1 && len(w.outputs[i]) == 1 && w.outputs[i][0].kind == tokenWord && w.outputs[i][0].text == col.name
		if i < len(w.outputs) && (bare || isColumn(w.outputs[i], alias, col.name)) && w.columns[i].Table == table.oid && w.columns[i].Attr == col.attr {
			return i
		}
	}
	return -1
}

// bound returns what a full result says of the table that it is sorted by, or why
// it says nothing. Both are empty when another table decides the order.
func (w *narrower) bound(n *planNode) (b *resultBound, why string) {
	sort := w.plan.outer()
	if !w.limit.stands || sort == nil || !strings.HasSuffix(sort.str("Node Type"), "Sort") {
		return nil, ""
	}
	keys := sort.list("Sort Key")
	if len(keys) == 0 {
		return nil, ""
	}
	alias, ts := n.str("Alias"), tokenize(keys[0])
	if !names(ts, alias) {
		return nil, ""
	}
	table := w.tables[alias]
	switch {
	case table == nil:
		return nil, "it has partitions or children, or is one"
	case !w.limit.known:
		return nil, "LIMIT is no number or parameter"
	case len(ts) < 3 || !isColumn(ts[:3], alias, ts[2].text) || table.columns[ts[2].text] == nil:
		return nil, keys[0] + " is not a column"
	case !n.contributes():
		return nil, "a row that is not there may matter too: it is on the optional side of a join, or in more than a join"
	}
	b = &resultBound{column: table.columns[ts[2].text], op: reactor.LessEqual}
	for _, t := range ts[3:] {
		switch {
		case t.keyword("DESC"):
			b.op = reactor.GreaterEqual
		case t.keyword("NULLS"), t.keyword("FIRST"), t.keyword("LAST"): // there are none
		default:
			return nil, "it is sorted in an order of its own: " + keys[0]
		}
	}
	name := b.column.name
	switch {
	case !b.column.required: // a NULL is sorted somewhere, but no comparison says where
		return nil, name + " may be NULL: declare it NOT NULL"
	case !b.column.kind.Ordered():
		return nil, "values of type " + b.column.typeName + " are ordered by PostgreSQL only"
	}
	if b.output = w.output(alias, table, b.column); b.output < 0 {
		return nil, "the result does not show " + name + ": select it"
	}
	return b, ""
}

// contributes reports whether each row of the statement is made of one row of the
// scan, and depends on no other row of it: all that is above is joins that keep
// the scan's side, sorts, and the LIMIT on top.
func (n *planNode) contributes() bool {
	for ; n.parent != nil; n = n.parent {
		side := n.str("Parent Relationship")
		switch n.parent.str("Node Type") {
		case "Limit":
			if n.parent.parent != nil || side != "Outer" {
				return false
			}
		case "Sort", "Incremental Sort", "Hash", "Materialize":
			if side != "Outer" {
				return false
			}
		case "Nested Loop", "Hash Join", "Merge Join":
			switch n.parent.str("Join Type") {
			case "Inner":
				if side != "Outer" && side != "Inner" {
					return false
				}
			case "Left", "Semi", "Anti":
				if side != "Outer" {
					return false
				}
			case "Right", "Right Semi", "Right Anti":
				if side != "Inner" {
					return false
				}
			default:
				return false
			}
		default:
			return false
		}
	}
	return true
}

// bind returns the equality of a call's result. False means that it says nothing.
func (k *resultKeys) bind(o *outcome) (reactor.Equality, bool) {
	rows := o.rows
	if k.list > 0 {
		rows = o.lists[k.list-1]
	}
	if rows == nil || k.whole && !o.whole {
		return reactor.Equality{}, false
	}
	values, ok := rows.distinct(k.output, k.column.kind)
	return reactor.Equality{Column: k.column.attr, Values: values}, ok
}

// bind returns the condition of a call's result. False means that it says nothing.
func (b *resultBound) bind(o *outcome) (reactor.Condition, bool) {
	if o.rows == nil || !o.full {
		return reactor.Condition{}, false
	}
	value, ok := o.rows.canonical(o.rows.count-1, b.output, b.column.kind)
	return reactor.Condition{Column: b.column.attr, Op: b.op, Value: value}, ok
}
