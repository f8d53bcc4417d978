package db

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// planNode is one node of a plan as EXPLAIN (VERBOSE, FORMAT JSON) prints it.
type planNode struct {
	props  map[string]any
	parent *planNode
	kids   []*planNode
}

// parsePlan reads EXPLAIN's answer.
func parsePlan(doc []byte) (*planNode, error) {
	var top []struct {
		Plan map[string]any `json:"Plan"`
	}
	if err := json.Unmarshal(doc, &top); err != nil || len(top) != 1 || top[0].Plan == nil {
		return nil, fmt.Errorf("EXPLAIN returned something else than one plan: %.100q", doc)
	}
	return newPlanNode(top[0].Plan, nil), nil
}

func newPlanNode(props map[string]any, parent *planNode) *planNode {
	n := &planNode{props: props, parent: parent}
	kids, _ := props["Plans"].([]any)
	delete(props, "Plans")
	for _, kid := range kids {
		if k, ok := kid.(map[string]any); ok {
			n.kids = append(n.kids, newPlanNode(k, n))
		}
	}
	return n
}

func (n *planNode) str(key string) string {
	s, _ := n.props[key].(string)
	return s
}

func (n *planNode) list(key string) []string {
	items, _ := n.props[key].([]any)
	out := make([]string, 0, len(items))
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// walk calls f for the node and all below it.
func (n *planNode) walk(f func(*planNode)) {
	f(n)
	for _, kid := range n.kids {
		kid.walk(f)
	}
}

// isScan reports whether the node reads a relation. Bitmap Index Scans do not
// count: they have no relation name, and their condition may be one arm of an OR.
func (n *planNode) isScan() bool { return n.str("Relation Name") != "" }

// meta are the properties of a node that hold no expression.
var meta = map[string]bool{
	"Node Type": true, "Relation Name": true, "Schema": true, "Alias": true, "Parent Relationship": true,
	"Join Type": true, "Strategy": true, "Partial Mode": true, "Subplan Name": true, "CTE Name": true,
	"Index Name": true, "Scan Direction": true, "Operation": true, "Command": true, "Tuplestore Name": true,
}

// expressions returns every expression that the node prints. What a new release
// prints under a new name is taken for one, which only widens.
func (n *planNode) expressions(output bool) []string {
	var out []string
	var gather func(v any)
	gather = func(v any) {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case []any:
			for _, item := range v {
				gather(item)
			}
		case map[string]any:
			for _, item := range v {
				gather(item)
			}
		}
	}
	keys := make([]string, 0, len(n.props))
	for key := range n.props {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !meta[key] && (output || key != "Output") {
			gather(n.props[key])
		}
	}
	return out
}

// conditions returns what a row of the scan must pass. Join conditions are not
// among them, so that outer joins and NOT EXISTS need no care.
func (n *planNode) conditions() [][]token {
	var out [][]token
	for _, key := range []string{"Filter", "Index Cond", "Recheck Cond", "TID Cond"} {
		if s := n.str(key); s != "" {
			out = append(out, conjuncts(tokenize(s))...)
		}
		// Several TID conditions print as a list; they may be alternatives.
	}
	return out
}

// hidden returns the numbers under which outputs of subplans print, on servers
// before 17, like parameters (R1).
func (n *planNode) hidden() map[int]bool {
	out := map[int]bool{}
	n.walk(func(n *planNode) {
		_, returns, ok := strings.Cut(n.str("Subplan Name"), "(returns ")
		if !ok {
			return
		}
		for _, t := range tokenize(returns) {
			if k, err := strconv.Atoi(t.text); err == nil && t.kind == tokenParam {
				out[k] = true
			}
		}
	})
	return out
}

// opaque returns the aliases of scans whose use is not all printed: before
// PostgreSQL 17, "x in (subquery)" prints as "(hashed SubPlan 1)", without x. x
// is a column of what the node reads. Below the inner side of a nested loop, or
// inside another subplan, it may come from anywhere: every is then true.
func (n *planNode) opaque() (aliases map[string]bool, every bool) {
	aliases = map[string]bool{}
	var gather func(n *planNode)
	gather = func(n *planNode) {
		if n.isScan() {
			aliases[n.str("Alias")] = true
		}
		for _, kid := range n.kids {
			if rel := kid.str("Parent Relationship"); rel != "SubPlan" && rel != "InitPlan" {
				gather(kid)
			}
		}
	}
	n.walk(func(n *planNode) {
		if !slices.ContainsFunc(n.kids, func(kid *planNode) bool { return kid.str("Parent Relationship") == "SubPlan" }) {
			return
		}
		gather(n)
		for up := n; up.parent != nil; up = up.parent {
			rel := up.str("Parent Relationship")
			every = every || rel == "SubPlan" || rel == "Inner" && up.parent.str("Node Type") == "Nested Loop"
		}
	})
	return aliases, every
}

// mentions is everything that a plan names.
type mentions struct {
	columns   map[string]map[string]bool // alias → column
	bare      map[string]bool            // column without alias, as plans of one table print it
	whole     map[string]bool            // alias.*
	functions map[called]bool
	operators map[string]bool
	texts     map[string]int // string literals, lower case, trimmed
}

// called is a call of a function by its printed name.
type called struct {
	schema, name string
	arguments    int // -1: not counted
}

func newMentions() *mentions {
	return &mentions{
		columns: map[string]map[string]bool{}, bare: map[string]bool{}, whole: map[string]bool{},
		functions: map[called]bool{}, operators: map[string]bool{}, texts: map[string]int{},
	}
}

// mentions collects what the plan names. The output of a scan below a join or
// an aggregate is left out: such scans print all columns of the table, and the
// node above prints those that it uses. VALUES lists are not printed at all, so
// with one in the plan everything counts.
func (n *planNode) mentions() *mentions {
	all := false
	n.walk(func(n *planNode) { all = all || n.str("Node Type") == "Values Scan" })
	m := newMentions()
	n.walk(func(n *planNode) {
		output := true
		if n.isScan() && n.parent != nil && !all {
			switch n.parent.str("Node Type") {
			case "Aggregate", "Nested Loop", "Hash Join", "Merge Join":
				rel := n.str("Parent Relationship")
				output = rel != "Outer" && rel != "Inner"
			}
		}
		for _, e := range n.expressions(output) {
			m.add(tokenize(e))
		}
	})
	return m
}

func (m *mentions) add(ts []token) {
	for i := 0; i < len(ts); i++ {
		switch t := ts[i]; t.kind {
		case tokenOp:
			m.operators[t.text] = true
		case tokenText:
			m.texts[strings.ToLower(strings.TrimSpace(t.text))]++
		case tokenMark:
			if t.is("::") { // a type's schema is not an alias
				_, rest := typeName(ts[i+1:])
				i = len(ts) - len(rest) - 1
			}
		case tokenWord:
			i = m.word(ts, i)
		}
	}
}

// word reads a name at i: a column, a whole row, a function or neither. It
// returns the index of its last token.
func (m *mentions) word(ts []token, i int) int {
	first := ts[i]
	next := func(k int) token {
		if i+k < len(ts) {
			return ts[i+k]
		}
		return token{}
	}
	if next(1).is("(") {
		m.call("", ts, i)
		return i
	}
	if !next(1).is(".") {
		// Keywords print in upper case, names that have any are quoted.
		if first.quoted || strings.ToLower(first.text) == first.text && first.text != "true" && first.text != "false" {
			m.bare[first.text] = true
		}
		return i
	}
	switch second := next(2); {
	case second.op("*"):
		m.whole[first.text] = true
	case second.kind != tokenWord:
		return i
	case next(3).is("("):
		m.call(first.text, ts, i+2)
	default:
		if m.columns[first.text] == nil {
			m.columns[first.text] = map[string]bool{}
		}
		m.columns[first.text][second.text] = true
	}
	return i + 2
}

func (m *mentions) call(schema string, ts []token, i int) {
	c := called{schema: schema, name: ts[i].text, arguments: -1}
	if end := closing(ts, i+1); end > 0 {
		c.arguments = 0
		if end > i+2 {
			c.arguments = len(split(ts[i+2 : end]))
		}
	}
	m.functions[c] = true
}
