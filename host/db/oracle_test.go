package db

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/reactor"
)

// oracleSchema has every kind of table that a read set must understand: plain,
// partitioned, inherited, with row level security, behind views.
const oracleSchema = `
create type mood as enum ('red', 'green', 'blue');
create domain small as int check (value < 1000);
create table a (id int primary key, k int, t text, u uuid, ts timestamptz, b boolean, v varchar(20), n bigint, e mood, c char(12), f float8);
create table b (id int primary key, a_id int, k small, t text, ts timestamptz, d date, n numeric);
create table p (id int, k int, t text, n bigint, primary key (id, k)) partition by list (k);
create table p1 partition of p for values in (0, 1);
create table p2 partition of p for values in (2, 3) partition by list (k);
create table p2a (extra int, t text, n bigint, k int not null, id int not null);
alter table p2a drop column extra;
alter table p2 attach partition p2a for values in (2);
create table p2b partition of p2 for values in (3);
create table pd partition of p default;
create table h (id int primary key, k int, t text);
create table h1 (extra int, primary key (id)) inherits (h);
create table h2 (primary key (id)) inherits (h);
create table r (id int primary key, owner text, k int, t text);
alter table r enable row level security;
create policy own on r using (owner = current_user or k > 2 or exists (select 1 from b where b.id = r.k));
create index on a (id) where k = 1;
create index on a (k) where t = 'x';
create index on b (a_id);
create view va with (security_barrier) as select id, k, t, u from a where k = 1;
create view vj as select a.id, a.k, a.t, b.id as bid, b.k as bk from a left join b on b.a_id = a.id and b.k < 3;
create function fset(x int) returns setof a language sql stable as $$ select * from a where k = x $$;
grant select on all tables in schema public to weir_test;
`

// oracleColumn is a column of the random world.
type oracleColumn struct {
	name, kind string
}

type oracleTable struct {
	name, root string
	columns    []oracleColumn
	readonly   bool // a view or function: not written
}

func cols(spec string) []oracleColumn {
	var out []oracleColumn
	for field := range strings.FieldsSeq(spec) {
		name, kind, _ := strings.Cut(field, ":")
		out = append(out, oracleColumn{name, kind})
	}
	return out
}

var (
	oracleA = cols("id:int k:int t:text u:uuid ts:timestamptz b:boolean v:varchar n:bigint e:mood c:char f:float8")
	oracleB = cols("id:int a_id:int k:int t:text ts:timestamptz d:date n:numeric")
	oracleP = cols("id:int k:int t:text n:bigint")
	oracleH = cols("id:int k:int t:text")
	oracleR = cols("id:int owner:text k:int t:text")
)

var oracleTables = []oracleTable{
	{name: "a", root: "a", columns: oracleA},
	{name: "b", root: "b", columns: oracleB},
	{name: "p", root: "p", columns: oracleP},
	{name: "p1", root: "p", columns: oracleP, readonly: true},
	{name: "p2", root: "p", columns: oracleP, readonly: true},
	{name: "h", root: "h", columns: oracleH},
	{name: "h1", root: "h", columns: append(cols("extra:int"), oracleH...)},
	{name: "h2", root: "h", columns: oracleH},
	{name: "r", root: "r", columns: oracleR},
	{name: "va", root: "", columns: cols("id:int k:int t:text u:uuid"), readonly: true},
	{name: "vj", root: "", columns: cols("id:int k:int t:text bid:int bk:int"), readonly: true},
}

// world is one random run.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	admin *pgx.Conn
	attrs map[string]map[string]uint16
	oids  map[string]uint32
	next  int
	fixed string // a query that is asked often, or empty
}

// gen writes one random query and its arguments.
type gen struct {
	*world
	args    map[string]abi.Value
	aliases int
}

func (g *gen) pick(options ...string) string { return options[g.rng.IntN(len(options))] }

func (g *gen) chance(percent int) bool { return g.rng.IntN(100) < percent }

// value returns a literal and the same value as an argument.
func (w *world) value(kind string) (string, abi.Value) {
	i := w.rng.IntN(5)
	switch kind {
	case "int", "bigint":
		return fmt.Sprint(i), abi.Int(int64(i))
	case "numeric", "float8":
		return fmt.Sprintf("%d.5", i), abi.Float(float64(i) + 0.5)
	case "boolean":
		return fmt.Sprint(i%2 == 0), abi.Bool(i%2 == 0)
	case "uuid":
		s := fmt.Sprintf("00000000-0000-0000-0000-00000000000%d", i)
		return "'" + s + "'::uuid", abi.Text(s)
	case "timestamptz":
		s := fmt.Sprintf("2024-01-0%dT00:00:00Z", i+1)
		return "'" + s + "'::timestamptz", abi.Text(s)
	case "date":
		s := fmt.Sprintf("2024-01-0%d", i+1)
		return "'" + s + "'::date", abi.Text(s)
	case "mood":
		s := []string{"red", "green", "blue"}[i%3]
		return "'" + s + "'::mood", abi.Text(s)
	}
	s := []string{"x", "y", "X", `q'"\`, "weir_test"}[i]
	return "'" + strings.ReplaceAll(s, "'", "''") + "'", abi.Text(s)
}

// param adds an argument and returns its name in the template.
func (g *gen) param(v abi.Value) string {
	name := fmt.Sprintf("p%d", len(g.args))
	g.args[name] = v
	return "$" + name
}

func (g *gen) operand(kind string) string {
	literal, v := g.value(kind)
	cast := map[string]string{"varchar": "varchar", "char": "bpchar"}[kind]
	if cast == "" {
		cast = kind
	}
	switch n := g.rng.IntN(10); {
	case n < 3:
		return literal
	case n == 3:
		return g.param(abi.Null()) + "::" + cast
	case n < 6:
		return g.param(v) + "::" + cast
	}
	return g.param(v)
}

func (g *gen) alias() string {
	g.aliases++
	return fmt.Sprintf("x%d", g.aliases)
}

func (g *gen) table() oracleTable { return oracleTables[g.rng.IntN(len(oracleTables))] }

func (g *gen) column(t oracleTable) oracleColumn { return t.columns[g.rng.IntN(len(t.columns))] }

// predicate returns a condition on a table's alias.
func (g *gen) predicate(t oracleTable, x string, depth int) string {
	c := g.column(t)
	col := x + "." + c.name
	n := g.rng.IntN(24)
	if depth <= 0 && n >= 17 {
		n = g.rng.IntN(17)
	}
	switch n {
	case 0, 1, 2, 3, 4:
		return col + " = " + g.operand(c.kind)
	case 5:
		return g.operand(c.kind) + " " + g.pick("<", ">=", "=") + " " + col
	case 6, 7:
		return col + " " + g.pick("<", "<=", ">", ">=", "<>") + " " + g.operand(c.kind)
	case 8:
		return col + g.pick(" is null", " is not null")
	case 9:
		l1, _ := g.value(c.kind)
		l2, v2 := g.value(c.kind)
		if g.chance(50) {
			l2 = g.param(v2)
		}
		return col + g.pick(" in (", " in (null, ", " not in (") + l1 + ", " + l2 + ")"
	case 10, 11:
		if c.kind == "char" {
			return col + " = 'x'"
		}
		_, v1 := g.value(c.kind)
		_, v2 := g.value(c.kind)
		set := abi.Array(v1, v2)
		if g.chance(20) {
			set = abi.Array(v1, abi.Null())
		}
		return col + " = any(" + g.param(set) + ")"
	case 12:
		return "coalesce(" + x + ".k, 0) = " + g.operand("int")
	case 13:
		return "lower(" + x + ".t) = " + g.operand("text")
	case 14:
		l1, _ := g.value(c.kind)
		l2, _ := g.value(c.kind)
		return col + " between " + l1 + " and " + l2
	case 15:
		return x + ".t " + g.pick("like 'x%'", "collate \"C\" = 'x'", "is distinct from 'y'", "= current_user", "ilike 'X'")
	case 16:
		return x + ".k::text = " + g.operand("text")
	case 17, 18:
		return "(" + g.predicate(t, x, depth-1) + " or " + g.predicate(t, x, depth-1) + ")"
	case 19:
		return "(" + g.predicate(t, x, depth-1) + " and " + g.predicate(t, x, depth-1) + ")"
	case 20:
		return "not (" + g.predicate(t, x, depth-1) + ")"
	case 21:
		o, y := g.table(), g.alias()
		return x + ".k = (select " + g.pick("max", "min", "count") + "(" + y + ".k) from " + o.name + " " + y + " where " + g.predicate(o, y, depth-1) + ")"
	case 22:
		o, y := g.table(), g.alias()
		return x + ".k " + g.pick("in", "not in") + " (select " + y + ".k from " + o.name + " " + y + " where " + g.predicate(o, y, depth-1) + ")"
	}
	o, y := g.table(), g.alias()
	return g.pick("exists", "not exists") + " (select 1 from " + o.name + " " + y + " where " + y + ".k = " + x + ".k and " + g.predicate(o, y, depth-1) + ")"
}

func (g *gen) where(t oracleTable, x string) string {
	out := g.predicate(t, x, 2)
	for g.chance(40) {
		out += " and " + g.predicate(t, x, 1)
	}
	return out
}

// query returns a random SELECT.
func (g *gen) query() string {
	t, o, x, y := g.table(), g.table(), g.alias(), g.alias()
	c1, c2 := g.column(t).name, g.column(t).name
	if c1 == c2 {
		c2 = "id"
	}
	where := g.where(t, x)
	switch g.rng.IntN(17) {
	case 0, 1, 2:
		return fmt.Sprintf("select %s.%s as o1, %s.%s as o2 from %s %s where %s", x, c1, x, c2, t.name, x, where)
	case 3, 4:
		join := g.pick("join", "left join", "full join", "right join")
		on := y + "." + g.pick("k", "id") + " = " + x + "." + g.pick("k", "id")
		if join != "full join" && g.chance(50) {
			on += " and " + g.predicate(o, y, 0)
		}
		return fmt.Sprintf("select %s.%s as o1, %s.id as o2 from %s %s %s %s %s on %s where %s", x, c1, y, t.name, x, join, o.name, y, on, where)
	case 5:
		return fmt.Sprintf("select count(*) as n from %s %s where %s", t.name, x, where)
	case 6:
		return fmt.Sprintf("select %s.k, count(*) as n, max(%s.id) as m from %s %s where %s group by %s.k having count(*) > 1", x, x, t.name, x, where, x)
	case 7:
		return fmt.Sprintf("select %s.id as o1, %s.%s as o2 from %s %s where %s order by %s.%s, %s.id limit 3 offset 1", x, x, c1, t.name, x, where, x, g.column(t).name, x)
	case 8:
		z := g.alias()
		return fmt.Sprintf("with w as %s (select %s.id, %s.k, %s.t from %s %s where %s) select w.t as o1, %s.t as o2 from w left join %s %s on %s.k = w.k where %s",
			g.pick("", "materialized", "not materialized"), x, x, x, t.name, x, where, z, o.name, z, z, g.predicate(o, z, 0))
	case 9:
		return fmt.Sprintf("select %s.k from %s %s where %s %s select %s.k from %s %s where %s", x, t.name, x, where,
			g.pick("union", "union all", "except", "intersect"), y, o.name, y, g.where(o, y))
	case 10:
		return fmt.Sprintf("select %s.id as o1, l.v from %s %s, lateral (values (%s.k), (length(%s.t))) l(v) where l.v > 0 and %s", x, t.name, x, x, x, where)
	case 11:
		return fmt.Sprintf("select %s.id as o1, l.t as o2 from %s %s left join lateral (select %s.t from %s %s where %s.k = %s.k and %s order by %s.id desc limit 1) l on true where %s",
			x, t.name, x, y, o.name, y, y, x, g.predicate(o, y, 0), y, where)
	case 12:
		return fmt.Sprintf("select distinct %s.%s as o1 from %s %s where %s", x, c1, t.name, x, where)
	case 13:
		return fmt.Sprintf("select %s.id as o1, row_number() over (partition by %s.k order by %s.id) as rn from %s %s where %s", x, x, x, t.name, x, where)
	case 14:
		return fmt.Sprintf("select %s::text as o1 from %s %s where %s", x, t.name, x, where)
	case 15:
		return fmt.Sprintf("select f.t as o1, %s.t as o2 from fset(%s) f left join %s %s on %s.id = f.id and %s", y, g.operand("int"), o.name, y, y, g.predicate(o, y, 0))
	}
	return fmt.Sprintf("with recursive w(id, k) as (select %s.id, %s.k from %s %s where %s union select %s.id, %s.k from %s %s join w on %s.id = w.k) select count(*) as n, sum(k) as s from w",
		x, x, t.name, x, where, y, y, o.name, y, y)
}

// probe is a prepared query with its last answer.
type probe struct {
	statement *Statement
	args      []abi.Value
	rows      []string
	reads     []reactor.Atom
}

func (w *world) probe(d *DB) *probe {
	for range 30 {
		g := &gen{world: w, args: map[string]abi.Value{}}
		sql := g.query()
		if w.fixed != "" && g.chance(25) {
			sql = w.fixed
		}
		s, err := d.PrepareSQL(w.t.Context(), sql, Read)
		if err != nil {
			if !strings.Contains(err.Error(), "refused by PostgreSQL") && !strings.Contains(err.Error(), "LIMIT") {
				w.t.Fatalf("%s\n%v", sql, err)
			}
			continue
		}
		p := &probe{statement: s}
		for _, name := range s.Names() {
			p.args = append(p.args, g.args[name])
		}
		return p
	}
	w.t.Fatal("no random query is accepted")
	return nil
}

// run executes all probes in one wave and returns those whose rows changed.
func (w *world) run(d *DB, probes []*probe) (changed []int, before [][]reactor.Atom) {
	queries := make([]Query, len(probes))
	for i, p := range probes {
		queries[i] = Query{Statement: p.statement, Args: p.args}
	}
	wave, err := d.Wave(w.t.Context(), queries)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, p := range probes {
		a := &wave.Answers[i]
		before = append(before, p.reads)
		var rows []string
		if a.Err != nil {
			if sqlState(a.Err) == "" {
				w.t.Fatalf("%s: %v", p.statement.variants[0].text, a.Err)
			}
			rows = []string{sqlState(a.Err)} // more than one row in a subquery: also a result
		} else {
			for row := range a.Rows.Len() {
				rows = append(rows, string(a.Rows.AppendRowJSON(nil, row)))
			}
			slices.Sort(rows)
		}
		if !slices.Equal(rows, p.rows) {
			changed = append(changed, i)
		}
		p.rows = rows
		if a.Err == nil {
			p.reads = a.Reads
		}
	}
	return changed, before
}

// mutation is one random single-row write and the change that capture would
// record for it.
func (w *world) mutate() reactor.Change {
	t := oracleTables[w.rng.IntN(len(oracleTables))]
	for t.readonly {
		t = oracleTables[w.rng.IntN(len(oracleTables))]
	}
	set := func(c oracleColumn) string {
		if c.name != "id" && (c.name != "k" || t.root != "p") && w.rng.IntN(6) == 0 {
			return "null"
		}
		literal, _ := w.value(c.kind)
		return literal
	}
	change := reactor.Change{XID: 1, Table: w.oids[t.root]}
	id := w.pickID(t)
	switch n := w.rng.IntN(10); {
	case n < 3 || id == 0:
		change.Op = reactor.Insert
		w.next++
		id = w.next
		names, values := []string{"id"}, []string{fmt.Sprint(id)}
		for _, c := range t.columns {
			if c.name != "id" {
				names, values = append(names, c.name), append(values, set(c))
			}
		}
		w.exec(fmt.Sprintf("insert into %s (%s) values (%s)", t.name, strings.Join(names, ", "), strings.Join(values, ", ")))
		change.Keys = []reactor.Tuple{w.tuple(t, w.row(t, id))}
	case n < 5:
		change.Op = reactor.Delete
		change.Keys = []reactor.Tuple{w.tuple(t, w.row(t, id))}
		w.exec(fmt.Sprintf("delete from %s where id = %d", t.name, id))
	default:
		change.Op = reactor.Update
		old := w.row(t, id)
		var sets []string
		next := id
		for range 1 + w.rng.IntN(2) {
			c := t.columns[w.rng.IntN(len(t.columns))]
			if c.name == "id" {
				if w.rng.IntN(4) > 0 || len(sets) > 0 {
					continue
				}
				w.next++
				next = w.next
				sets = append(sets, fmt.Sprintf("id = %d", next))
				continue
			}
			if slices.ContainsFunc(sets, func(s string) bool { return strings.HasPrefix(s, c.name+" = ") }) {
				continue
			}
			sets = append(sets, c.name+" = "+set(c))
		}
		if len(sets) == 0 {
			sets = []string{"t = 'z'"}
		}
		w.exec(fmt.Sprintf("update %s set %s where id = %d", t.name, strings.Join(sets, ", "), id))
		now := w.row(t, next)
		change.Changed = reactor.NewColumns()
		for name := range now {
			if !same(old[name], now[name]) {
				change.Changed = change.Changed.With(w.attrs[t.root][name])
			}
		}
		if t.name == "h1" {
			change.Changed = nil // a column that the root does not have may have changed
		}
		change.Keys = []reactor.Tuple{w.tuple(t, old), w.tuple(t, now)}
	}
	return change
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

func (w *world) pickID(t oracleTable) int {
	var id *int
	if err := w.admin.QueryRow(w.t.Context(), fmt.Sprintf("select id from %s order by md5(id::text || $1) limit 1", t.name), fmt.Sprint(w.rng.Int())).Scan(&id); err != nil {
		if err == pgx.ErrNoRows {
			return 0
		}
		w.t.Fatal(err)
	}
	return *id
}

func (w *world) exec(sql string) {
	if _, err := w.admin.Exec(w.t.Context(), sql); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// row returns the columns of the root as text.
func (w *world) row(t oracleTable, id int) map[string]*string {
	var names []string
	for name := range w.attrs[t.root] {
		names = append(names, name)
	}
	values := make([]*string, len(names))
	dest := make([]any, len(names))
	for i := range values {
		dest[i] = &values[i]
	}
	sql := "select " + strings.Join(names, "::text, ") + "::text from " + t.root + " where id = $1"
	if err := w.admin.QueryRow(w.t.Context(), sql, id).Scan(dest...); err != nil {
		w.t.Fatalf("%s (%d): %v", sql, id, err)
	}
	out := map[string]*string{}
	for i, name := range names {
		out[name] = values[i]
	}
	return out
}

func (w *world) tuple(t oracleTable, row map[string]*string) reactor.Tuple {
	root := oracleTables[slices.IndexFunc(oracleTables, func(o oracleTable) bool { return o.name == t.root })]
	var out reactor.Tuple
	for _, c := range root.columns {
		kind := map[string]reactor.Kind{
			"int": reactor.KindInt, "bigint": reactor.KindInt, "text": reactor.KindText, "varchar": reactor.KindText,
			"uuid": reactor.KindUUID, "timestamptz": reactor.KindInstant, "boolean": reactor.KindBool, "date": reactor.KindDate, "mood": reactor.KindEnum,
		}[c.kind]
		d := reactor.Datum{Column: w.attrs[t.root][c.name], Null: row[c.name] == nil}
		if !d.Null {
			value, ok := reactor.ParseValue(kind, *row[c.name])
			if !ok && kind != reactor.KindNone {
				w.t.Fatalf("%s.%s = %q has no form", t.name, c.name, *row[c.name])
			}
			if !ok {
				continue // C7: absent
			}
			d.Value = value
		}
		out = append(out, d)
	}
	return out
}

func newWorld(t *testing.T, seed uint64) (*world, *DB) {
	t.Helper()
	_, server := start(t)
	server.Exec(t, oracleSchema)
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), admin: server.Conn(t), attrs: map[string]map[string]uint16{}, oids: map[string]uint32{}}
	w.exec("set timezone = 'UTC'")
	for _, root := range []string{"a", "b", "p", "h", "r"} {
		rows, err := w.admin.Query(t.Context(), "select attrelid, attname::text, attnum from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped", root)
		if err != nil {
			t.Fatal(err)
		}
		w.attrs[root] = map[string]uint16{}
		for rows.Next() {
			var oid uint32
			var name string
			var attr int16
			if err := rows.Scan(&oid, &name, &attr); err != nil {
				t.Fatal(err)
			}
			w.attrs[root][name], w.oids[root] = uint16(attr), oid
		}
		if rows.Err() != nil {
			t.Fatal(rows.Err())
		}
	}
	for range 60 {
		w.mutate()
	}
	return w, open(t, server, Config{Connections: 2})
}

// tally counts what an oracle run saw.
type tally struct {
	checks, changed, concerned, missed int
	example                            string
}

// oracle runs random queries against random changes. distort makes a mutant of
// the verdict; nil is the real one.
func oracle(w *world, d *DB, rounds, probes, changes int, distort func(*probe, reactor.Atom, reactor.Change) (reactor.Atom, reactor.Change), until time.Time) tally {
	var sum tally
	for range rounds {
		if time.Now().After(until) {
			break
		}
		list := make([]*probe, probes*2)
		for i := range list {
			list[i] = w.probe(d)
		}
		w.run(d, list)
		// An empty result seldom changes: keep few of them.
		slices.SortStableFunc(list, func(a, b *probe) int { return min(len(b.rows), 1) - min(len(a.rows), 1) })
		list = slices.Concat(list[:probes-probes/8], list[len(list)-probes/8:])
		for range changes {
			change := w.mutate()
			changed, before := w.run(d, list)
			for i, p := range list {
				concerned := false
				for _, atom := range before[i] {
					c := change
					if distort != nil {
						atom, c = distort(p, atom, change)
					}
					concerned = concerned || atom.Concerns(&c)
				}
				sum.checks++
				differs := slices.Contains(changed, i)
				if differs {
					sum.changed++
				}
				if concerned {
					sum.concerned++
				}
				if differs && !concerned {
					sum.missed++
					if sum.example == "" {
						sum.example = fmt.Sprintf("%s\nargs %v\nchange %+v\natoms %+v\n%s", p.statement.variants[0].text, p.args, change, before[i], p.statement.Explain())
					}
				}
			}
		}
	}
	return sum
}

func oracleSeed() uint64 { return uint64(time.Now().UnixNano()) }

// W1: whenever a change alters a result, the read set of the result before says
// so. No change may be missed; too many may be let through.
func TestReadSetMissesNoChange(t *testing.T) {
	t.Parallel()
	seed := oracleSeed()
	w, d := newWorld(t, seed)
	sum := oracle(w, d, 12, 40, 40, nil, time.Now().Add(15*time.Second))
	for until := time.Now().Add(time.Minute); sum.changed < 100 && sum.missed == 0 && time.Now().Before(until); {
		more := oracle(w, d, 1, 40, 40, nil, until) // a slow machine, or dull queries
		sum = tally{sum.checks + more.checks, sum.changed + more.changed, sum.concerned + more.concerned, more.missed, more.example}
	}
	t.Logf("seed %d: %d checks, %d results changed, %d concerned, %d missed", seed, sum.checks, sum.changed, sum.concerned, sum.missed)
	if sum.missed > 0 {
		t.Fatalf("seed %d: %d missed, the first:\n%s", seed, sum.missed, sum.example)
	}
	if sum.changed < 100 {
		t.Errorf("seed %d: only %d results changed: the test proves too little", seed, sum.changed)
	}
	if sum.concerned > sum.checks*9/10 {
		t.Errorf("seed %d: %d of %d checks concerned: the read sets are no narrower than everything", seed, sum.concerned, sum.checks)
	}
}

// The oracle catches read sets that are wrong in the ways that are easy to get
// wrong.
func TestOracleCatchesMutants(t *testing.T) {
	t.Parallel()
	f := func(name string, settings string, distort func(*probe, reactor.Atom, reactor.Change) (reactor.Atom, reactor.Change)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := oracleSeed()
			w, d := newWorld(t, seed)
			if settings != "" {
				d.settings = settings
				w.fixed = "select x.t as o1 from a x where x.k = 1 and x.id > 0"
			}
			until := time.Now().Add(3 * time.Minute) // it stops when it has found something
			for time.Now().Before(until) {
				if sum := oracle(w, d, 1, 40, 30, distort, until); sum.missed > 0 {
					return
				}
			}
			t.Errorf("seed %d: the mutant %q was not caught", seed, name)
		})
	}
	f("the new row only", "", func(_ *probe, a reactor.Atom, c reactor.Change) (reactor.Atom, reactor.Change) {
		if c.Op == reactor.Update {
			c.Keys = c.Keys[1:]
		}
		return a, c
	})
	f("the old row only", "", func(_ *probe, a reactor.Atom, c reactor.Change) (reactor.Atom, reactor.Change) {
		if c.Op == reactor.Update {
			c.Keys = c.Keys[:1]
		}
		return a, c
	})
	f("WHERE columns ignored", "", func(p *probe, a reactor.Atom, c reactor.Change) (reactor.Atom, reactor.Change) {
		a.Columns = reactor.NewColumns()
		for _, col := range p.statement.Columns() {
			a.Columns = a.Columns.With(col.Attr)
		}
		return a, c
	})
	// R2: the predicate of a partial index is in no condition of the plan.
	f("index scans left on", "plan_cache_mode=force_generic_plan enable_seqscan=off", nil)
	f("one table left out", "", func(_ *probe, a reactor.Atom, c reactor.Change) (reactor.Atom, reactor.Change) {
		if c.Table%2 == 0 {
			c.Table = 0
		}
		return a, c
	})
}
