package host

import (
	"fmt"
	"slices"
	"strings"

	"weir/abi"
)

// keyed draws a table whose key makes an order total.
func (d *drawing) keyed() oracleTable {
	for {
		t := d.relation()
		if t.key != nil && t.name != "base" && !t.view {
			return t
		}
	}
}

// by is an order by a table's key.
func (t *oracleTable) by(x string) string {
	var out []string
	for _, key := range t.key {
		out = append(out, x+"."+key)
	}
	return strings.Join(out, ", ")
}

// array makes an argument of literals of a kind.
func array(kind string, texts []string) abi.Value {
	var items []abi.Value
	for _, text := range texts {
		items = append(items, value(kind, text))
	}
	return abi.Array(items...)
}

// shape draws a SELECT of a shape that is not of joins and aggregates alone.
func (d *drawing) shape() (sql string, ordered bool) {
	t, x := d.keyed(), d.alias()
	o, y := d.relation(), d.alias()
	where := d.where(t, x)
	c := d.some(t).name
	f := fmt.Sprintf
	switch d.rng.IntN(26) {
	case 0:
		return f("select distinct on (%[1]s.k) %[1]s.k as o1, %[1]s.id as o2, %[1]s.%[2]s as o3 from %[3]s %[1]s where %[4]s order by %[1]s.k, %[5]s", x, c, t.name, where, t.by(x)), true
	case 1:
		return f("select %[1]s.k as o1, %[1]s.t as o2, count(*) as n, grouping(%[1]s.k, %[1]s.t) as g from %[2]s %[1]s where %[3]s group by %[4]s", x, t.name, where,
			d.pick(f("grouping sets ((%[1]s.k), (%[1]s.t), ())", x), f("rollup (%[1]s.k, %[1]s.t)", x), f("cube (%[1]s.t, %[1]s.k)", x))), false
	case 2, 3: // a page after a key
		return d.page()
	case 4, 5:
		return f("select l.id as o1, p.t as o2, p.w as o3 from lines l %s pair p on (p.id, p.k) = (l.pid, l.pk) where %s",
			d.pick("join", "left join", "full join"), d.pick(d.predicate(*d.find("lines"), "l", 0), d.predicate(*d.find("pair"), "p", 0), "l.pid = "+d.id())), false
	case 6, 7:
		return d.spread(), false
	case 8:
		return f("select g.i as o1, count(%[1]s.id) as n from generate_series(0, 4) g(i) left join %[2]s %[1]s on %[1]s.k = g.i and %[3]s group by g.i", y, o.name, d.predicate(o, y, 1)), false
	case 9:
		return f("select p.id as o1, p.t as o2, doubled(p.k) as o3 from plain_of(%s) p where %s", d.operand("int"), d.predicate(*d.find("plain"), "p", 1)), false
	case 10, 11:
		return f("select %[1]s.id as o1, %[5]s as o2 from %[2]s %[1]s where %[3]s order by %[4]s", x, t.name, where, t.by(x), d.window(&t, x)), true
	case 12:
		return f("(select %[1]s.k from %[2]s %[1]s where %[3]s union select %[4]s.k from %[5]s %[4]s where %[6]s) %[7]s select %[1]s.id from %[2]s %[1]s where %[8]s",
			x, t.name, where, y, o.name, d.predicate(o, y, 0), d.pick("except", "intersect", "except all", "union all"), d.predicate(t, x, 0)), false
	case 13: // down a tree
		return f("with recursive w(id, depth) as (select %[1]s.id, 0 from plain %[1]s where %[2]s union all select c.id, w.depth + 1 from child c join w on c.parent = w.id where w.depth < 3) select depth as o1, count(*) as n, max(id) as o2 from w group by depth",
			x, d.predicate(*d.find("plain"), x, 1)), false
	case 14, 15:
		return f("select %s as o1, %s as o2, count(distinct %[3]s.k) as o3 from %[4]s %[3]s where %[5]s%[6]s", d.folded(&t, x), d.folded(&t, x), x, t.name, where, d.pick("", f(" group by %s.k", x))), false
	case 16:
		return f("select v.k as o1, v.t as o2, %[1]s.id as o3 from (values (1, 'x'), (2, 'y'), (3, null)) v(k, t) left join %[2]s %[1]s on %[1]s.k = v.k and %[1]s.t is not distinct from v.t", y, o.name), false
	case 17:
		return f("select %[1]s.id as o1, exists (select 1 from %[2]s %[3]s where %[3]s.k = %[1]s.k and %[4]s) as o2, case when %[5]s then 'yes' else 'no' end as o3 from %[6]s %[1]s where %[7]s",
			x, o.name, y, d.predicate(o, y, 0), d.predicate(t, x, 0), t.name, where), false
	case 18:
		return f("select k, w1.id as o2, w2.id as o3 from %s w1 join %s w2 using (k) where %s", t.name, o.name, d.predicate(t, "w1", 1)), false
	case 19: // the best of each
		return f("select g.k as o1, b.id as o2, b.%[1]s as o3 from (select distinct %[2]s.k from %[3]s %[2]s where %[4]s) g, lateral (select * from %[5]s i where i.k = g.k order by %[6]s desc limit %[7]d) b",
			c, y, o.name, d.predicate(o, y, 0), t.name, strings.ReplaceAll(t.by("i"), ", ", " desc, "), 1+d.rng.IntN(2)), false
	case 20:
		return f("select count(*) as n, sum(s.k) as o1 from (select %[1]s.k, %[1]s.t from %[2]s %[1]s where %[3]s order by %[4]s limit %[5]d) s where s.t is not null", x, t.name, where, t.by(x), 2+d.rng.IntN(4)), false
	case 21:
		return f("select %[1]s from %[2]s %[3]s where %[4]s", d.pick("to_jsonb("+x+") as o1", "row_to_json("+x+") as o1", x+".*"), t.name, x, where), false
	case 22: // never live
		return f("select mv.id as o1 from %s mv where %s", d.pick("mv", "overmv"), d.predicate(oracleTable{columns: oracleCommon}, "mv", 0)), false
	case 23:
		return f("select s.k as o1, sum(s.n) as o2 from (select %[1]s.k, 1 as n from %[2]s %[1]s where %[3]s union all select %[4]s.k, 10 from %[5]s %[4]s where %[6]s) s group by s.k having sum(s.n) > 1",
			x, t.name, where, y, o.name, d.predicate(o, y, 0)), false
	case 24:
		return f("with a as (select * from %[1]s %[2]s where %[3]s), b as (select a.k, count(*) as n from a group by a.k) select a.id as o1, b.n as o2 from a join b on b.k = a.k where b.n > (select avg(n) from b)", t.name, x, where), false
	}
	z, n := d.alias(), d.relation()
	return f("select %[1]s.id as o1, %[2]s.id as o2, %[3]s.t as o3 from %[4]s %[1]s left join (%[5]s %[2]s join %[6]s %[3]s on %[3]s.k = %[2]s.k) on %[2]s.id = %[1]s.id and %[7]s where %[8]s",
		x, y, z, t.name, o.name, n.name, d.predicate(n, z, 0), where), false
}

// page draws the rows after a key, or before it.
func (d *drawing) page() (sql string, ordered bool) {
	t, x := *d.find(d.pick("plain", "child", "docs", "lines", "swap")), d.alias()
	first := "w"
	if slices.ContainsFunc(t.columns, func(c oracleColumn) bool { return c.name == "rank" }) {
		first = d.pick("rank", "rank", "w")
	}
	op, way := ">", ""
	if d.chance(50) {
		op, way = "<", " desc"
	}
	where := fmt.Sprintf("(%[1]s.%[2]s, %[1]s.id) %[3]s (%[4]s, %[5]s)", x, first, op, d.operand("int"), d.id())
	if d.chance(40) {
		where += " and " + d.predicate(t, x, 0)
	}
	return fmt.Sprintf("select %[1]s.id as o1, %[1]s.%[2]s as o2, %[1]s.%[3]s as o3 from %[4]s %[1]s where %[5]s order by %[1]s.%[2]s%[6]s, %[1]s.id%[6]s limit %[7]d",
		x, first, d.some(t).name, t.name, where, way, 1+d.rng.IntN(5)), true
}

// spread draws rows that a function makes of a row.
func (d *drawing) spread() string {
	where := d.predicate(*d.find("docs"), "x", 1)
	call := d.pick("unnest(x.tags) u(v)", "unnest(x.nums) with ordinality u(v, i)", "generate_series(1, x.k) u(v)",
		"jsonb_each_text(case when jsonb_typeof(x.doc) = 'object' then x.doc end) u(v, i)",
		"jsonb_array_elements_text(case when jsonb_typeof(x.doc) = 'array' then x.doc else '[]' end) u(v)",
		"jsonb_to_record(case when jsonb_typeof(x.doc) = 'object' then x.doc end) u(k int, v text)",
		"regexp_split_to_table(x.t, '') u(v)", "string_to_table(x.t, 'x') u(v)")
	if d.chance(40) {
		return "select u.v as o1, count(*) as n from docs x, " + call + " where " + where + " group by u.v"
	}
	return "select x.id as o1, u.v as o2 from docs x " + d.pick("cross join lateral ", "left join lateral ") + call + " where " + where
}

// window draws a window function with a total order.
func (d *drawing) window(t *oracleTable, x string) string {
	over := "(" + d.pick("", "partition by "+x+".k ", "partition by "+x+".t ") + "order by " + t.by(x)
	return d.pick("lag("+x+".k) over "+over+")", "lead("+x+".t, 2, '-') over "+over+")", "row_number() over "+over+")", "ntile(3) over "+over+")",
		"sum("+x+".k) over "+over+" rows between 1 preceding and current row)", "first_value("+x+".t) over "+over+")",
		"count(*) filter (where "+d.predicate(*t, x, 0)+") over "+over+" rows unbounded preceding exclude current row)")
}

// folded draws an aggregate whose answer has one form.
func (d *drawing) folded(t *oracleTable, x string) string {
	by := " order by " + t.by(x) + ")"
	return d.pick("array_agg("+x+".k"+by, "string_agg("+x+".t, ','"+by, "jsonb_agg("+x+".t"+by, "bool_or("+x+".k > 2)",
		"jsonb_object_agg("+x+".id::text || '-' || coalesce("+x+".k, 0), "+x+".t"+by,
		"count(*) filter (where "+d.predicate(*t, x, 0)+")", "max("+x+".t)", "percentile_disc(0.5) within group (order by "+x+".k)", "avg("+x+".k)::numeric(9, 3)")
}
