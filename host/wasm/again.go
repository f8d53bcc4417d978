package wasm

// Again returns the view over the same statements with the same arguments, not
// yet run, and those statements: what repeats a call that never looked at its
// rows, without the guest (G13). The receiver is not changed and may be used by
// others at the same time.
func (v *View) Again() (*View, []*Query) {
	var queries []*Query
	renewed := map[*Query]*Query{}
	query := func(q *Query) *Query {
		fresh := renewed[q]
		if fresh == nil {
			fresh = &Query{Statement: q.Statement, SQL: q.SQL, Args: q.Args}
			renewed[q] = fresh
			queries = append(queries, fresh)
		}
		return fresh
	}
	views := map[*View]*View{}
	var again func(*View) *View
	again = func(v *View) *View {
		if w := views[v]; w != nil {
			return w
		}
		w := &View{query: query(v.query), rows: v.rows, columns: v.columns, depth: v.depth}
		views[v] = w
		for _, n := range v.nests {
			w.nests = append(w.nests, &nest{name: n.name, child: again(n.child), on: n.on, column: n.column})
		}
		return w
	}
	return again(v), queries
}

// Projected reports whether the view leaves out columns of its query.
func (v *View) Projected() bool { return v.columns != nil }
