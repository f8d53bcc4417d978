package host

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"weir/abi"
)

// oracleQuery is a random query: as a plugin states it, and with its arguments
// written out, as nobody but PostgreSQL reads it.
type oracleQuery struct {
	sql     string
	args    []abi.Value // of $p0, $p1, …
	plain   string
	ordered bool
}

// drawing is one query being drawn.
type drawing struct {
	*oracleSchema
	args    []abi.Value
	written []string // the arguments as literals
	aliases int
	// fragments are texts that stand in the statement with braces, and what each
	// is without them.
	fragments [][2]string
}

// query draws a query.
func (s *oracleSchema) query() oracleQuery {
	d := &drawing{oracleSchema: s}
	sql, ordered := d.draw()
	plain := sql
	for _, f := range d.fragments {
		plain = strings.Replace(plain, f[0], f[1], 1)
	}
	for i := len(d.written) - 1; i >= 0; i-- {
		plain = strings.ReplaceAll(plain, fmt.Sprintf("$p%d", i), d.written[i])
	}
	return oracleQuery{sql: sql, args: d.args, plain: plain, ordered: ordered}
}

func (d *drawing) param(v abi.Value, written string) string {
	d.args, d.written = append(d.args, v), append(d.written, written)
	return fmt.Sprintf("$p%d", len(d.args)-1)
}

// value makes an argument of a literal.
func value(kind, literal string) abi.Value {
	switch kind {
	case "int", "bigint", "small", "tiny", "smallint":
		i, _ := strconv.ParseInt(literal, 10, 64)
		return abi.Int(i)
	case "boolean":
		return abi.Bool(literal == "true")
	case "float8":
		if f, err := strconv.ParseFloat(literal, 64); err == nil && f == f { // NaN is a text
			return abi.Float(f)
		}
	case "int[]", "text[]":
		var items []abi.Value
		for _, e := range elements(literal) {
			if e == nil {
				items = append(items, abi.Null())
			} else {
				items = append(items, value(strings.TrimSuffix(kind, "[]"), *e))
			}
		}
		return abi.Array(items...)
	}
	return abi.Text(literal)
}

// operand draws a literal or a parameter.
func (d *drawing) operand(kind string) string {
	text := d.literal(kind)
	switch n := d.rng.IntN(10); {
	case n < 3:
		return "'" + text + "'"
	case n == 3 && d.chance(40):
		return d.param(abi.Null(), "null")
	}
	return d.param(value(kind, text), "'"+text+"'")
}

// id draws an operand for a key.
func (d *drawing) id() string {
	i := d.rng.IntN(40)
	if d.chance(30) {
		return fmt.Sprint(i)
	}
	return d.param(abi.Int(int64(i)), "'"+fmt.Sprint(i)+"'")
}

// set draws "any" of some values.
func (d *drawing) set(kind string) string {
	var items []abi.Value
	var texts []string
	for range 1 + d.rng.IntN(3) {
		text := d.literal(kind)
		items, texts = append(items, value(kind, text)), append(texts, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)+`"`)
	}
	if d.chance(20) {
		items, texts = append(items, abi.Null()), append(texts, "NULL")
	}
	return "any(" + d.param(abi.Array(items...), "'{"+strings.Join(texts, ",")+"}'") + ")"
}

func (d *drawing) alias() string {
	d.aliases++
	return fmt.Sprintf("x%d", d.aliases)
}

func (d *drawing) relation() oracleTable {
	if d.chance(12) {
		return *d.find(d.pick("parts", "parts", "base"))
	}
	return d.tables[d.rng.IntN(len(d.tables))]
}

// from returns what to write after FROM: most often the table, else a part.
func (d *drawing) from(t oracleTable) string {
	if len(t.targets) > 1 && d.chance(15) {
		return t.targets[d.rng.IntN(len(t.targets))]
	}
	return t.name
}

func (d *drawing) some(t oracleTable) oracleColumn { return t.columns[d.rng.IntN(len(t.columns))] }

// predicate draws a condition on a table's alias.
func (d *drawing) predicate(t oracleTable, x string, depth int) string {
	if d.chance(18) {
		return d.odd(t, x)
	}
	c := d.some(t)
	for strings.HasSuffix(c.kind, "[]") || c.kind == "jsonb" || c.kind == "hue" {
		c = d.some(t)
	}
	col := x + "." + c.name
	n := d.rng.IntN(24)
	if depth <= 0 && n >= 16 {
		n = d.rng.IntN(16)
	}
	switch n {
	case 0, 1, 2, 3:
		return col + " = " + d.operand(c.kind)
	case 4:
		return x + ".id = " + d.id()
	case 5:
		return x + ".id " + d.pick("<", ">=", "<>") + " " + d.id()
	case 6, 7:
		if c.kind == "boolean" {
			return col + " is not true"
		}
		return col + " " + d.pick("<", "<=", ">", ">=", "<>") + " " + d.operand(c.kind)
	case 8:
		return col + d.pick(" is null", " is not null")
	case 9:
		return col + d.pick(" in (", " not in (") + d.quoted(c.kind, 0) + ", " + d.quoted(c.kind, 10) + ")"
	case 10, 11:
		return col + " = " + d.set(c.kind)
	case 12:
		return "coalesce(" + x + ".k, 0) = " + d.operand("int")
	case 13:
		return "lower(" + x + ".t) = " + d.operand("text")
	case 14:
		return col + " between " + d.operand(c.kind) + " and " + d.operand(c.kind)
	case 15:
		return x + ".t " + d.pick("like 'x%'", "is distinct from 'y'", "= current_user", "ilike 'X'")
	case 16, 17:
		return "(" + d.predicate(t, x, depth-1) + " or " + d.predicate(t, x, depth-1) + ")"
	case 18:
		return "(" + d.predicate(t, x, depth-1) + " and " + d.predicate(t, x, depth-1) + ")"
	case 19:
		return "not (" + d.predicate(t, x, depth-1) + ")"
	case 20:
		o, y := d.relation(), d.alias()
		return x + ".k = (select " + d.pick("max", "min", "count") + "(" + y + ".k) from " + o.name + " " + y + " where " + d.predicate(o, y, depth-1) + ")"
	case 21:
		o, y := d.relation(), d.alias()
		return x + ".k " + d.pick("in", "not in") + " (select " + y + ".k from " + o.name + " " + y + " where " + d.predicate(o, y, depth-1) + ")"
	}
	o, y := d.relation(), d.alias()
	return d.pick("exists", "not exists", "not exists") + " (select 1 from " + o.name + " " + y + " where " + y + ".k = " + x + ".k and " + d.predicate(o, y, depth-1) + ")"
}

func (d *drawing) where(t oracleTable, x string) string {
	out := d.predicate(t, x, 2)
	for d.chance(35) {
		out += " and " + d.predicate(t, x, 1)
	}
	if len(d.fragments) < 4 && d.chance(12) {
		out += d.fragment(t, x)
	}
	return out
}

// named are the parameters in a text.
var named = regexp.MustCompile(`\$p(\d+)`)

// fragment draws a condition that is there only if its arguments are.
func (d *drawing) fragment(t oracleTable, x string) string {
	text := " and (" + d.predicate(t, x, 0) + ")"
	found := named.FindAllStringSubmatch(text, -1)
	if found == nil {
		return text // without arguments it is no fragment
	}
	f := [2]string{" {" + text[1:] + "}", text}
	none := d.chance(40)
	for _, match := range found {
		i, _ := strconv.Atoi(match[1])
		if none {
			d.args[i], d.written[i] = abi.Null(), "null"
		}
		if d.args[i].IsNull() {
			f[1] = ""
		}
	}
	d.fragments = append(d.fragments, f)
	return f[0]
}

// draw returns a SELECT, and whether it says the order of its rows.
func (d *drawing) draw() (sql string, ordered bool) {
	switch n := d.rng.IntN(100); {
	case n < 27:
		return d.lookup()
	case n < 52:
		return d.shape()
	}
	t, o, x, y := d.relation(), d.relation(), d.alias(), d.alias()
	c1, c2, from := d.some(t).name, d.some(t).name, d.from(t)
	where := d.where(t, x)
	switch d.rng.IntN(20) {
	case 0, 1, 2:
		return fmt.Sprintf("select %s.%s as o1, %s.%s as o2 from %s %s where %s", x, c1, x, c2, from, x, where), false
	case 3, 4:
		join := d.pick("join", "left join", "full join", "right join")
		on := y + "." + d.pick("k", "id") + " = " + x + "." + d.pick("k", "id")
		if join != "full join" && d.chance(50) {
			on += " and " + d.predicate(o, y, 0)
		}
		return fmt.Sprintf("select %s.%s as o1, %s.id as o2 from %s %s %s %s %s on %s where %s", x, c1, y, from, x, join, o.name, y, on, where), false
	case 5:
		return fmt.Sprintf("select count(*) as n from %s %s where %s", from, x, where), false
	case 6:
		return fmt.Sprintf("select %s.k, count(*) as n, max(%s.id) as m from %s %s where %s group by %s.k having count(*) > 1", x, x, from, x, where, x), false
	case 7, 8:
		order, keys := x+"."+d.some(t).name+d.pick("", " desc", " nulls first"), t.key
		if keys == nil {
			keys = []string{"id"}
		}
		for _, key := range keys {
			order += ", " + x + "." + key
		}
		return fmt.Sprintf("select %s.id as o1, %s.k as o2, %s.%s as o3 from %s %s where %s order by %s limit %d offset %d",
			x, x, x, c1, from, x, where, order, 1+d.rng.IntN(4), d.rng.IntN(2)), true
	case 9:
		z := d.alias()
		return fmt.Sprintf("with w as %s (select %s.id, %s.k, %s.t from %s %s where %s) select w.t as o1, %s.t as o2 from w left join %s %s on %s.k = w.k where %s",
			d.pick("", "materialized", "not materialized"), x, x, x, from, x, where, z, o.name, z, z, d.predicate(o, z, 0)), false
	case 10:
		return fmt.Sprintf("select %s.k from %s %s where %s %s select %s.k from %s %s where %s", x, from, x, where,
			d.pick("union", "union all", "except", "intersect", "except all"), y, o.name, y, d.where(o, y)), false
	case 11:
		return fmt.Sprintf("select %s.id as o1, l.v from %s %s, lateral (values (%s.k), (length(%s.t))) l(v) where l.v > 0 and %s", x, from, x, x, x, where), false
	case 12:
		return fmt.Sprintf("select %s.id as o1, l.t as o2 from %s %s left join lateral (select %s.t, %s.id from %s %s where %s.k = %s.k and %s order by %s.t, %s.id limit 1) l on true where %s",
			x, from, x, y, y, o.name, y, y, x, d.predicate(o, y, 0), y, y, where), false
	case 13:
		return fmt.Sprintf("select distinct %s.%s as o1 from %s %s where %s", x, c1, from, x, where), false
	case 14:
		return fmt.Sprintf("select %s.k as o1, rank() over (partition by %s.k order by %s.id) as rn from %s %s where %s", x, x, x, from, x, where), false
	case 15:
		return fmt.Sprintf("select %s::text as o1 from %s %s where %s", x, from, x, where), false
	case 16:
		return fmt.Sprintf("select %s.id as o1, (select count(*) from %s %s where %s.k = %s.k and %s) as o2 from %s %s where %s",
			x, o.name, y, y, x, d.predicate(o, y, 1), from, x, where), false
	case 17:
		return fmt.Sprintf("select string_agg(%s.t, ',' order by %s.t) as o1, sum(%s.k) filter (where %s) as o2 from %s %s where %s", x, x, x, d.predicate(t, x, 0), from, x, where), false
	case 18:
		if len(d.partial) > 0 {
			p := d.partial[d.rng.IntN(len(d.partial))]
			return fmt.Sprintf("select id as o1 from %s where %s", p.table, p.predicate), false
		}
	}
	return fmt.Sprintf("with recursive w(id, k) as (select %s.id, %s.k from %s %s where %s union select %s.id, %s.k from %s %s join w on %s.id = w.k) select count(*) as n, sum(k) as s from w",
		x, x, from, x, where, y, y, o.name, y, y), false
}

// lookup returns a SELECT that looks up rows of one table by what it shows of
// another, or that shows the first rows only, or both: their read sets are narrowed
// by what the result shows.
func (d *drawing) lookup() (sql string, ordered bool) {
	t, x, y := *d.find(d.pick("child", "child", "plain", "swap", "pair", "secret")), d.alias(), d.alias()
	o, fk := *d.find(d.pick("plain", "plain", "plain", "child", "swap", "secret", "base", "parts")), d.pick("k", "w", "id")
	if t.name == "child" && d.chance(80) {
		o, fk = *d.find("plain"), "parent"
	}
	if d.chance(25) { // the keys are not shown
		where := x + "." + d.pick("k = "+d.operand("int"), "t = "+d.operand("text"), "k = "+d.set("int"))
		on := y + "." + d.pick("id", "k") + " = " + x + "." + fk
		if d.chance(30) {
			on += " and " + d.predicate(o, y, 0)
		}
		if d.chance(40) {
			return fmt.Sprintf("select %s.id as o1 from %s %s where %s and %s (select from %s %s where %s)", x, t.name, x, where, d.pick("exists", "not exists"), o.name, y, on), false
		}
		return fmt.Sprintf("select count(*) as o1, max(%s.t) as o2 from %s %s %s %s %s on %s where %s", y, t.name, x, d.pick("join", "left join", "right join"), o.name, y, on, where), false
	}
	list := fmt.Sprintf("%s.id as o1, %s.%s as o2, %s.%s as o3", x, x, d.some(t).name, y, d.some(o).name)
	if d.chance(85) {
		list += ", " + d.pick(x+"."+fk, x+"."+fk, y+".id") + " as o4"
	}
	first := x + "." + d.some(t).name
	for _, c := range t.columns {
		if c.required && d.chance(40) {
			first = x + "." + c.name
		}
	}
	if d.chance(25) {
		first = y + "." + d.some(o).name
	}
	if d.chance(15) {
		first = x + ".id"
	}
	list += ", " + first + " as o5"
	from := fmt.Sprintf("%s %s %s %s %s on %s.id = %s.%s", t.name, x, d.pick("join", "join", "left join", "right join"), o.name, y, y, x, fk)
	if d.chance(20) {
		from += " and " + d.predicate(t, x, 0)
	}
	if d.chance(25) {
		z := d.alias()
		from += fmt.Sprintf(" %s %s %s on %s.id = %s.%s", d.pick("join", "left join"), d.pick("plain", "child", "swap"), z, z, d.pick(x, x, y), d.pick("k", "id", "w"))
		list += ", " + z + ".t as o6"
	}
	if d.chance(20) {
		from = t.name + " " + x
		list = fmt.Sprintf("%s.id as o1, %s.%s as o2, %s.rank as o3, %s.at as o4", x, x, d.some(t).name, x, x)
		if first = x + d.pick(".rank", ".at", ".rank", ".id"); t.columns[len(t.columns)-1].name != "at" {
			list, first = fmt.Sprintf("%s.id as o1, %s.%s as o2", x, x, d.some(t).name), x+".id"
		}
		y = x
	}
	sql = "select " + list + " from " + from
	if d.chance(85) {
		sql += " where " + d.predicate(t, x, d.rng.IntN(2))
	} else if y != x {
		sql += " where " + d.predicate(o, y, d.rng.IntN(2))
	}
	if d.chance(35) {
		return sql, false
	}
	sql += " order by " + first + d.pick("", " desc", " desc", " nulls first")
	for _, alias := range []string{x, y} {
		sql += ", " + alias + ".id"
		if alias == x && t.name == "pair" || alias == y && o.name == "parts" && len(o.key) > 1 {
			sql += ", " + alias + ".k"
		}
	}
	n := 1 + d.rng.IntN(6)
	switch d.rng.IntN(5) {
	case 0:
		sql += fmt.Sprintf(" limit %s", d.param(abi.Int(int64(n)), fmt.Sprint(n)))
	case 1:
		sql += fmt.Sprintf(" limit %d offset %d", n, d.rng.IntN(3))
	case 2:
		sql += fmt.Sprintf(" offset %d limit %d", d.rng.IntN(3), n)
	default:
		sql += fmt.Sprintf(" limit %d", n)
	}
	return sql, true
}
