package db

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"weir/reactor"
)

// relation is what the catalog says of a relation that a statement locks.
type relation struct {
	oid          uint32
	schema, name string
	kind         byte // pg_class.relkind
	temporary    bool
	parent       bool // has inheritance children and is no partitioned table
	// roots are the topmost ancestors; the relation itself when it has none.
	// Changes are recorded under them.
	roots   []uint32
	columns map[string]*tableColumn
	unique  [][]string // sets of columns that name a row
	foreign []reference
}

// reference is a foreign key of one column that PostgreSQL checks at once: each
// of its values that is not null is there, in every snapshot.
type reference struct {
	column string
	table  uint32
	key    string
}

// refers reports whether such a foreign key ties a column to a key of a table.
func (r *relation) refers(column string, table uint32, key string) bool {
	return slices.Contains(r.foreign, reference{column, table, key})
}

// label returns the name for messages.
func (r *relation) label() string {
	if r.schema == "public" {
		return r.name
	}
	return r.schema + "." + r.name
}

// system reports whether the relation is part of PostgreSQL.
func (r *relation) system() bool {
	return strings.HasPrefix(r.schema, "pg_") || r.schema == "information_schema"
}

// tableColumn is one column of a root table.
type tableColumn struct {
	attr      uint16
	name      string
	base      uint32 // type after domains
	typeName  string
	kind      reactor.Kind // KindNone when it may not stand in an equality (R6)
	composite bool
	required  bool    // never null
	distinct  float64 // estimated number of distinct values
}

// lockedText lists the relations of this database that the transaction has
// locked, without those of the catalog and without indexes. pg_locks says what
// was really opened, whatever the statement's text hides (R5).
const lockedText = `with recursive l as materialized (
	select distinct relation as oid from pg_locks
	where pid = pg_backend_pid() and locktype = 'relation' and relation is not null),
c as (select c.oid, n.nspname, c.relname, c.relkind, c.relpersistence
	from l join pg_class c on c.oid = l.oid join pg_namespace n on n.oid = c.relnamespace
	where c.relkind not in ('i', 'I', 't') and n.nspname not in ('pg_catalog', 'pg_toast')),
up(leaf, oid) as (select oid, oid from c union select up.leaf, i.inhparent from up join pg_inherits i on i.inhrelid = up.oid)
select c.oid::text, c.nspname::text, c.relname::text, c.relkind::text, (c.relpersistence = 't')::text,
	(c.relkind <> 'p' and exists (select from pg_inherits i where i.inhparent = c.oid))::text,
	(select string_agg(up.oid::text, ' ') from up where up.leaf = c.oid
		and not exists (select from pg_inherits i where i.inhrelid = up.oid))
from c`

// columnText describes the columns of tables, their types after domains.
const columnText = `select a.attrelid::text, a.attnum::text, a.attname::text, b.oid::text, b.typtype::text,
	format_type(b.oid, null), coalesce((select c.collisdeterministic from pg_collation c where c.oid = a.attcollation), true)::text,
	coalesce((select case when s.n_distinct < 0 then -s.n_distinct * greatest(r.reltuples, 1) else s.n_distinct end
		from pg_stats s where s.schemaname = n.nspname and s.tablename = r.relname and s.attname = a.attname
		order by s.inherited desc limit 1), 0)::text,
	n.nspname::text, r.relname::text,
	(a.attnotnull and not exists (select from pg_constraint k where k.conrelid = a.attrelid and k.contype = 'n'
		and k.conkey[1] = a.attnum and not k.convalidated))::text
from pg_attribute a join pg_class r on r.oid = a.attrelid join pg_namespace n on n.oid = r.relnamespace
cross join lateral (with recursive d(oid, typbasetype, typtype) as (
		select t.oid, t.typbasetype, t.typtype from pg_type t where t.oid = a.atttypid
		union all select t.oid, t.typbasetype, t.typtype from d join pg_type t on t.oid = d.typbasetype where d.typtype = 'd')
	select d.oid, d.typtype from d where d.typtype <> 'd') b
where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped`

// uniqueText lists the keys whose columns are never null.
const uniqueText = `select i.indrelid::text, string_agg(a.attname::text, chr(1))
from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])
where i.indrelid = any($1::oid[]) and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
group by i.indexrelid, i.indrelid having bool_and(a.attnotnull)`

// foreignText lists the foreign keys of one column that hold in every snapshot:
// validated, not deferrable, and with all four triggers that enforce them.
const foreignText = `select k.conrelid::text, a.attname::text, k.confrelid::text, b.attname::text
from pg_constraint k join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
join pg_attribute b on b.attrelid = k.confrelid and b.attnum = k.confkey[1]
where k.contype = 'f' and k.conrelid = any($1::oid[]) and k.confrelid = any($1::oid[]) and cardinality(k.conkey) = 1
	and k.convalidated and not k.condeferrable
	and (select count(*) = 4 and bool_and(t.tgenabled in ('O', 'A')) from pg_trigger t where t.tgconstraint = k.oid)`

// looseText says whether a text may be compared under a collation that calls
// different texts equal, without the plan showing it: EXPLAIN leaves COLLATE out.
const looseText = `with n as (select oid from pg_collation where not collisdeterministic)
select (exists (select from n) and ($1::boolean
	or exists (select from pg_depend d join n on n.oid = d.refobjid where d.refclassid = 'pg_collation'::regclass
		and d.classid in ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass))
	or exists (select from pg_type t join n on n.oid = t.typcollation)
	or exists (select from pg_proc p join pg_language l on l.oid = p.prolang
		where p.oid >= 16384 and l.lanname = 'sql' and p.prosrc ilike '%collate%')))::text`

// typeText describes types that are not built in.
const typeText = `select q.oid::text, b.oid::text, format_type(q.oid, null), b.typtype::text,
	case when b.typcategory = 'A' and b.typlen = -1 and e.typdelim = ',' then e.oid::text else '0' end,
	coalesce(e.typtype::text, ''), (case when b.typcategory = 'A' then e.typcategory else b.typcategory end in ('D', 'R', 'C'))::text
from unnest($1::oid[]) q(oid) cross join lateral (with recursive d(oid) as (
		select q.oid union all select t.typbasetype from d join pg_type t on t.oid = d.oid where t.typtype = 'd')
	select t.* from d join pg_type t on t.oid = d.oid where t.typtype <> 'd') b
left join pg_type e on e.oid = b.typelem`

// query runs one catalog query inside the transaction of an analysis.
func (c *conn) query(ctx context.Context, text string, args ...argument) ([][]string, error) {
	defer c.watched(ctx)()
	c.once(text, args)
	c.sync()
	if err := c.flush(); err != nil {
		c.broken = true
		return nil, err
	}
	rows, err := c.texts()
	if end := c.ready(); err == nil {
		err = end
	}
	return rows, err
}

// texts reads an answer whose columns are all texts.
func (c *conn) texts() ([][]string, error) {
	var rows [][]string
	_, err := c.read(func(values [][]byte) error {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = string(v)
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// oidArgument returns OIDs as an array argument.
func oidArgument(oids []uint32) argument {
	wire := []byte{'{'}
	for i, oid := range oids {
		if i > 0 {
			wire = append(wire, ',')
		}
		wire = strconv.AppendUint(wire, uint64(oid), 10)
	}
	return argument{wire: append(wire, '}')}
}

func textArgument(texts []string) argument {
	wire := []byte{'{'}
	for i, s := range texts {
		if i > 0 {
			wire = append(wire, ',')
		}
		wire = appendArrayItem(wire, s)
	}
	return argument{wire: append(wire, '}')}
}

func parseOID(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32) // a number that PostgreSQL printed
	return uint32(n)
}

// locked returns the relations that the transaction has locked, by OID.
func (c *conn) locked(ctx context.Context) (map[uint32]*relation, error) {
	rows, err := c.query(ctx, lockedText)
	if err != nil {
		return nil, err
	}
	out := make(map[uint32]*relation, len(rows))
	for _, row := range rows {
		r := &relation{
			oid: parseOID(row[0]), schema: row[1], name: row[2], kind: row[3][0],
			temporary: row[4] == "true", parent: row[5] == "true",
		}
		for root := range strings.FieldsSeq(row[6]) {
			r.roots = append(r.roots, parseOID(root))
		}
		slices.Sort(r.roots)
		out[r.oid] = r
	}
	return out, nil
}

// fill adds columns and keys to tables.
func (c *conn) fill(ctx context.Context, tables map[uint32]*relation) error {
	oids := make([]uint32, 0, len(tables))
	for oid, t := range tables {
		oids = append(oids, oid)
		t.columns = map[string]*tableColumn{}
	}
	slices.Sort(oids)
	rows, err := c.query(ctx, columnText, oidArgument(oids))
	if err != nil {
		return err
	}
	for _, row := range rows {
		attr, _ := strconv.ParseUint(row[1], 10, 16)
		distinct, _ := strconv.ParseFloat(row[7], 64)
		col := &tableColumn{
			attr: uint16(attr), name: row[2], base: parseOID(row[3]), typeName: row[5],
			composite: row[4] == "c", distinct: distinct, required: row[10] == "true",
		}
		col.kind = reactor.KindOf(col.base)
		if row[4] == "e" {
			col.kind = reactor.KindEnum
		}
		if col.kind == reactor.KindText && row[6] != "true" {
			col.kind = reactor.KindNone // R6: a nondeterministic collation
		}
		t := tables[parseOID(row[0])]
		t.schema, t.name = row[8], row[9]
		t.columns[col.name] = col
	}
	rows, err = c.query(ctx, uniqueText, oidArgument(oids))
	if err != nil {
		return err
	}
	for _, row := range rows {
		t := tables[parseOID(row[0])]
		key := strings.Split(row[1], "\x01")
		if !t.parent { // an inheritance parent's index does not cover its children
			t.unique = append(t.unique, key)
		}
		if len(key) == 1 && t.columns[key[0]] != nil {
			t.columns[key[0]].distinct = math.Inf(1)
		}
	}
	rows, err = c.query(ctx, foreignText, oidArgument(oids))
	if err != nil {
		return err
	}
	for _, row := range rows {
		t := tables[parseOID(row[0])]
		t.foreign = append(t.foreign, reference{column: row[1], table: parseOID(row[2]), key: row[3]})
	}
	return nil
}

// loosen takes texts out of the types that can stand in an equality when looseText
// says so (R6).
func (c *conn) loosen(ctx context.Context, tables map[uint32]*relation, text string) error {
	said := slices.ContainsFunc(tokenize(text), func(t token) bool { return strings.EqualFold(t.text, "collate") })
	rows, err := c.query(ctx, looseText, argument{wire: []byte(strconv.FormatBool(said))})
	if err != nil || rows[0][0] != "true" {
		return err
	}
	for _, t := range tables {
		for _, col := range t.columns {
			if col.kind == reactor.KindText {
				col.kind = reactor.KindNone
			}
		}
	}
	return nil
}

// types returns what is known of types, asking the catalog for those that are
// not built in.
func (c *conn) types(ctx context.Context, oids []uint32) (map[uint32]sqlType, error) {
	out := make(map[uint32]sqlType, len(oids))
	var ask []uint32
	for _, oid := range oids {
		t, ok := builtin(oid)
		if !ok {
			ask = append(ask, oid)
		}
		t.name = typeNames[oid]
		out[oid] = t
	}
	for oid, t := range out {
		if t.name == "" && !slices.Contains(ask, oid) {
			ask = append(ask, oid) // only for its name
		}
	}
	if len(ask) == 0 {
		return out, nil
	}
	rows, err := c.query(ctx, typeText, oidArgument(ask))
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		oid, base := parseOID(row[0]), parseOID(row[1])
		t, ok := builtin(base)
		if !ok {
			t = sqlType{base: base, elem: parseOID(row[4]), enum: row[3] == "e", clock: row[6] == "true"}
			if t.elem != 0 {
				t.enum = row[5] == "e"
			}
			if base == 22 || base == 30 {
				t.elem = 0 // int2vector and oidvector print without braces
			}
		}
		t.oid, t.name = oid, row[2]
		out[oid] = t
	}
	return out, nil
}
