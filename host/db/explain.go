package db

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgproto3"

	"weir/reactor"
)

// explainSettings make every base condition show up in a Filter: an index of any
// kind would swallow it (R2), pruning would drop tables (R3), and a custom plan
// would not show parameters.
const explainSettings = `plan_cache_mode=force_generic_plan enable_indexscan=off enable_indexonlyscan=off ` +
	`enable_bitmapscan=off enable_tidscan=off enable_partition_pruning=off constraint_exclusion=off ` +
	`max_parallel_workers_per_gather=0 jit=off`

// analysis is all that is derived from one text for one role and search path.
// It is immutable but for void.
type analysis struct {
	command // what connections run
	kind    Kind
	params  []sqlType
	columns []Column
	derived reactor.Snapshot
	atoms   []atomPlan
	leaves  []uint32 // relations with storage, for R9
	tables  []*relation
	limits  []ordered
	limit   topLimit
	lists   []*analysis // run behind the command, for the keys of atoms
	void    atomic.Bool // a DDL change was seen that derived does not see (R4)
	// seen is the DB's generation up to which void is known.
	seen atomic.Uint64
	// size is how much room the last result took, bytes << 32 | cells: the next
	// one is most often about as large.
	size atomic.Uint64
}

// room returns empty rows with room for a result like the last one.
func (a *analysis) room() *Rows {
	size := a.size.Load()
	r := &Rows{columns: a.columns}
	if bytes, cells := size>>32, size&(1<<32-1); cells > 0 {
		r.arena, r.cells = make([]byte, 0, bytes+bytes/8), make([]cell, 0, cells+cells/8+uint64(len(a.columns)))
	}
	return r
}

// analyser derives one analysis on one connection.
type analyser struct {
	db      *DB
	c       *conn
	a       *analysis
	plan    *planNode
	blank   bool                 // it returns no rows
	parsed  map[uint32]*relation // locked by parsing and rewriting
	planned map[uint32]*relation // locked after planning too
	roots   map[uint32]*relation // with columns
}

// explainName is the prepared statement that EXPLAIN executes. EXECUTE finds
// statements of the protocol by name, so that the types of the parameters are
// those that PostgreSQL itself chose, on every version.
const explainName = "weir_explain"

// origin is a text to analyse.
type origin struct {
	text string
	kind Kind
	now  int      // the index of $now among the parameters, or -1
	oids []uint32 // types of the parameters; nil: PostgreSQL chooses
}

// analyse checks a text and derives its read set.
func (d *DB) analyse(ctx context.Context, from origin) (*analysis, error) {
	if err := textRefusal(from.text, from.kind); err != nil {
		return nil, err
	}
	c, err := d.pool.extra(ctx, false)
	if err != nil {
		return nil, err
	}
	a, err := d.analyseOn(ctx, c, from)
	if c.broken && c.reused && ctx.Err() == nil {
		d.pool.give(c) // it was dead before it was used
		if c, err = d.pool.extra(ctx, true); err != nil {
			return nil, err
		}
		a, err = d.analyseOn(ctx, c, from)
	}
	if ctx.Err() != nil && err != nil {
		d.pool.kill(c)
		return nil, fault("check the statement", fmt.Errorf("%w: %w", ctx.Err(), err))
	}
	d.pool.give(c)
	return a, err
}

func (d *DB) analyseOn(ctx context.Context, c *conn, from origin) (*analysis, error) {
	z := analyser{db: d, c: c, a: &analysis{kind: from.kind}}
	z.a.seen.Store(d.generation.Load()) // before the snapshot is taken
	z.a.id, z.a.text, z.a.oids = d.nextID.Add(1), from.text, from.oids
	err := z.run(ctx, from.now)
	if end := z.end(ctx); err == nil {
		err = end
	}
	if err != nil {
		return nil, sqlOrOwn(err)
	}
	return z.a, nil
}

func sqlOrOwn(err error) error {
	if sqlState(err) != "" {
		return sqlRefusal(err)
	}
	return fault("check the statement", err)
}

func (z *analyser) run(ctx context.Context, now int) error {
	if err := z.parse(ctx, now); err != nil {
		return err
	}
	if z.a.kind == Write {
		return nil
	}
	if err := z.explain(ctx); err != nil {
		return err
	}
	if err := refuseNodes(z.plan); err != nil {
		return err
	}
	if z.blank {
		return refused("makes a table (SELECT INTO), but a query only reads: leave out INTO")
	}
	m := z.plan.mentions()
	everything := newMentions()
	z.plan.walk(func(n *planNode) {
		for _, e := range n.expressions(true) {
			everything.add(tokenize(e))
		}
	})
	if err := refuseWords(z.plan, everything, z.a.text); err != nil {
		return err
	}
	if err := z.c.refuseFunctions(ctx, everything); err != nil {
		return err
	}
	odd, err := z.c.userOperators(ctx, everything)
	if err != nil {
		return err
	}
	if err := z.relations(ctx); err != nil {
		return err
	}
	return z.derive(m, odd)
}

// parse opens the transaction, takes the snapshot before anything is looked at
// (R4), and lets PostgreSQL parse the text.
func (z *analyser) parse(ctx context.Context, now int) error {
	defer z.c.watched(ctx)()
	z.c.run(beginRead, nil, 0)
	z.c.once("select pg_current_snapshot()::text", nil)
	for setting := range strings.FieldsSeq(z.db.settings) {
		z.c.once("set local "+strings.Replace(setting, "=", " to ", 1), nil)
	}
	oids := z.a.oids
	if now >= 0 {
		oids = make([]uint32, now+1)
		oids[now] = oidInstant // whatever it is compared with, $now is an instant
	}
	z.c.front.SendParse(&pgproto3.Parse{Name: explainName, Query: z.a.text, ParameterOIDs: oids})
	z.c.parsing = append(z.c.parsing, &prepared{segment: z.c.sent})
	z.c.front.SendDescribe(&pgproto3.Describe{ObjectType: 'S', Name: explainName})
	z.c.queued += len(z.a.text)
	z.c.sync()
	if err := z.c.flush(); err != nil {
		z.c.broken = true
		return err
	}
	err := z.parsedAnswer()
	if end := z.c.ready(); err == nil {
		err = end
	}
	if err != nil {
		return err
	}
	return z.describe(ctx, now)
}

// types and fields as PostgreSQL described them, until describe resolves them.
func (z *analyser) parsedAnswer() error {
	if _, err := z.c.read(nil); err != nil { // begin
		return err
	}
	rows, err := z.c.texts()
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return fmt.Errorf("BUG: no snapshot")
	}
	if z.a.derived, err = reactor.ParseSnapshot(rows[0][0]); err != nil {
		return err
	}
	for range strings.Fields(z.db.settings) {
		if _, err := z.c.read(nil); err != nil {
			return err
		}
	}
	params, fields, err := z.c.describe()
	if err != nil {
		return err
	}
	z.a.oids, z.blank = params, fields == nil
	for _, f := range fields {
		z.a.columns = append(z.a.columns, Column{
			Name: string(f.Name), OID: f.DataTypeOID, Table: f.TableOID, Attr: f.TableAttributeNumber,
			head: memberHead(string(f.Name)),
		})
	}
	return nil
}

// describe resolves the types of parameters and columns.
func (z *analyser) describe(ctx context.Context, now int) error {
	var oids []uint32
	oids = append(oids, z.a.oids...)
	for i := range z.a.columns {
		oids = append(oids, z.a.columns[i].OID)
	}
	slices.Sort(oids)
	types, err := z.c.types(ctx, slices.Compact(oids))
	if err != nil {
		return err
	}
	for _, oid := range z.a.oids {
		z.a.params = append(z.a.params, types[oid])
	}
	for i := range z.a.columns {
		col := &z.a.columns[i]
		t := types[col.OID]
		col.Type, col.layout = t.name, layoutOf(t)
		z.a.formats = append(z.a.formats, col.layout.format())
		for j := range i {
			if z.a.columns[j].Name == col.Name {
				return refused("returns two columns named %q: give one of them another name with AS", col.Name)
			}
		}
	}
	if now >= 0 && z.a.kind == Read {
		i := slices.IndexFunc(z.a.columns, func(c Column) bool { return c.Name == wakeAt })
		if i < 0 {
			return refused("uses $now but returns no column wake_at: add the time at which the result changes, as wake_at")
		}
		if z.a.columns[i].OID != oidInstant {
			return refused("returns wake_at as %s: it must be a timestamptz", z.a.columns[i].Type)
		}
	}
	return nil
}

// explain reads the generic plan. What is locked before it and what after it
// tells parsing from planning (R5).
func (z *analyser) explain(ctx context.Context) error {
	var err error
	if z.parsed, err = z.c.locked(ctx); err != nil {
		return err
	}
	nulls := strings.TrimSuffix(strings.Repeat("null,", len(z.a.oids)), ",")
	if nulls != "" {
		nulls = "(" + nulls + ")"
	}
	rows, err := z.c.query(ctx, "explain (verbose, costs off, format json) execute "+explainName+nulls)
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return fmt.Errorf("EXPLAIN returned %d rows", len(rows))
	}
	if z.plan, err = parsePlan([]byte(rows[0][0])); err != nil {
		return err
	}
	z.planned, err = z.c.locked(ctx)
	return err
}

// relations checks what the plan reads and loads the tables' columns.
func (z *analyser) relations(ctx context.Context) error {
	var err error
	z.plan.walk(func(n *planNode) {
		if n.isScan() && err == nil {
			if r := z.find(n); r != nil {
				err = refuseRelation(r)
				return
			}
			err = refuseRelation(&relation{schema: n.str("Schema"), name: n.str("Relation Name")})
			if err == nil {
				err = fmt.Errorf("BUG: the plan reads %s.%s, which is not locked", n.str("Schema"), n.str("Relation Name"))
			}
		}
	})
	if err != nil {
		return err
	}
	z.roots = map[uint32]*relation{}
	for _, oid := range slices.Sorted(maps.Keys(z.planned)) {
		r := z.planned[oid]
		if r.kind == 'v' || r.kind == 'c' {
			continue
		}
		if err := refuseRelation(r); err != nil {
			return err
		}
		for _, root := range r.roots {
			if known := z.planned[root]; known != nil {
				z.roots[root] = known
			} else if z.roots[root] == nil {
				z.roots[root] = &relation{oid: root} // a child named directly: the root is not locked
			}
		}
	}
	if err := z.c.fill(ctx, z.roots); err != nil {
		return err
	}
	return z.c.loosen(ctx, z.roots, z.a.text)
}

// find returns the relation that a scan reads.
func (z *analyser) find(n *planNode) *relation {
	for _, r := range z.planned {
		if r.name == n.str("Relation Name") && r.schema == n.str("Schema") {
			return r
		}
	}
	return nil
}

// derive makes the atoms. Each scan gives one for each of its roots.
func (z *analyser) derive(m *mentions, odd map[string]bool) error {
	hidden := z.plan.hidden()
	covered, leaves, aliases := map[uint32]bool{}, map[uint32]bool{}, map[string]*relation{}
	known := map[string]bool{} // aliases of things that are no table
	var scans []*planNode
	pruned := false
	z.plan.walk(func(n *planNode) {
		removed, _ := n.props["Subplans Removed"].(float64)
		pruned = pruned || removed > 0 // R3
		if n.isScan() {
			scans = append(scans, n)
		} else if alias := n.str("Alias"); alias != "" {
			known[alias] = true
		}
	})
	byRoot := map[uint32][]string{}
	for _, n := range scans {
		r := z.find(n)
		alias := n.str("Alias")
		aliases[alias] = z.roots[r.roots[0]]
		leaves[r.oid] = r.kind != 'p'
		for _, root := range r.roots {
			byRoot[root] = append(byRoot[root], alias)
		}
	}
	z.a.limit = findLimit(z.plan, z.a.text)
	rd := reader{params: z.a.params, hidden: hidden, user: z.db.Role(), odd: odd}
	narrower := z.narrower(rd)
	for _, n := range scans {
		for _, root := range z.find(n).roots {
			covered[root] = true
			rd.alias, rd.table = n.str("Alias"), z.roots[root]
			p := rd.atom(n)
			narrower.narrow(n, &p)
			z.atom(p)
		}
	}
	if err := z.gate(covered, pruned); err != nil {
		return err
	}
	opaque, every := z.plan.opaque()
	for i := range z.a.atoms {
		p := &z.a.atoms[i]
		p.columns = m.of(p.table, byRoot[p.table.oid], aliases, known)
		own := byRoot[p.table.oid]
		if every || z.namesPart(p.table.oid) || slices.ContainsFunc(own, func(alias string) bool { return opaque[alias] }) {
			p.columns = nil // with a part named, any update may move a row out of it
		}
		for col := range p.compared() {
			p.columns = p.columns.With(col.attr)
		}
	}
	for oid, stored := range leaves {
		if stored {
			z.a.leaves = append(z.a.leaves, oid)
		}
	}
	slices.Sort(z.a.leaves)
	for _, root := range slices.Sorted(maps.Keys(z.roots)) {
		z.a.tables = append(z.a.tables, z.roots[root])
	}
	z.a.limits = limits(z.plan, aliases, z.a.text)
	return nil
}

// namesPart reports whether the statement names a partition or a child of the
// table, not the table itself.
func (z *analyser) namesPart(root uint32) bool {
	for _, r := range z.parsed {
		if r.oid != root && slices.Contains(r.roots, root) {
			return true
		}
	}
	return false
}

// gate is R3 and R5: what is locked and not in the plan. Locked by parsing, it
// is read at table level: a join that was removed, a branch that can never hold.
// Locked by planning only, a function read it.
func (z *analyser) gate(covered map[uint32]bool, pruned bool) error {
	for _, oid := range slices.Sorted(maps.Keys(z.planned)) {
		r := z.planned[oid]
		if r.kind != 'r' && r.kind != 'p' {
			continue
		}
		for _, root := range r.roots {
			if covered[root] && !pruned {
				continue
			}
			byParse := z.parsed[oid] != nil || z.parsed[root] != nil
			if !byParse && !covered[root] {
				return outOfSight(z.a.text, r)
			}
			if !covered[root] || pruned {
				z.atom(atomPlan{table: z.roots[root], unread: []string{"the plan does not read it now"}})
				covered[root] = true
			}
		}
	}
	return nil
}

// atom adds an atom unless an equal one is there.
func (z *analyser) atom(p atomPlan) {
	for i := range z.a.atoms {
		q := &z.a.atoms[i]
		if q.table == p.table && !q.narrowed() && !p.narrowed() &&
			slices.EqualFunc(q.equal, p.equal, sameCondition) && slices.EqualFunc(q.where, p.where, sameCondition) {
			return
		}
	}
	z.a.atoms = append(z.a.atoms, p)
}

// narrowed reports whether the atom stands for one scan only.
func (p *atomPlan) narrowed() bool { return p.keys != nil || p.list != nil || p.bound != nil }

// atom reads the conditions of a scan.
func (r *reader) atom(n *planNode) atomPlan {
	p := atomPlan{table: r.table}
	for _, ts := range n.conditions() {
		c, why := r.read(ts)
		switch {
		case why != "":
			p.unread = append(p.unread, fmt.Sprintf("%s: %s", render(ts), why))
		case c.op == 0:
			p.equal = append(p.equal, c)
		default:
			p.where = append(p.where, c)
		}
	}
	selective(p.equal)
	return p
}

// of returns the columns of a table that the plan names under any of its
// aliases, or under a name that is no alias of a scan: the parent of partitions,
// a subquery. Nil means all.
func (m *mentions) of(table *relation, own []string, scans map[string]*relation, known map[string]bool) reactor.Columns {
	set := reactor.NewColumns()
	for name := range m.bare {
		if col := table.columns[name]; col != nil {
			set = set.With(col.attr)
		}
	}
	for alias := range m.whole {
		if slices.Contains(own, alias) || scans[alias] == nil && !known[alias] {
			return nil
		}
	}
	for alias, columns := range m.columns {
		mine := slices.Contains(own, alias)
		if !mine && scans[alias] != nil {
			continue
		}
		for name := range columns {
			col := table.columns[name]
			switch {
			case col != nil:
				set = set.With(col.attr)
			case mine:
				return nil // a column that only a child table has
			}
		}
	}
	return set
}

// end leaves no trace on the connection.
func (z *analyser) end(ctx context.Context) error {
	if z.c.broken {
		return nil
	}
	defer z.c.watched(ctx)()
	z.c.run(rollback, nil, 0)
	z.c.front.SendClose(&pgproto3.Close{ObjectType: 'S', Name: explainName})
	z.c.sync()
	if err := z.c.flush(); err != nil {
		z.c.broken = true
		return err
	}
	_, err := z.c.read(nil)
	if end := z.c.ready(); err == nil {
		err = end
	}
	return err
}
