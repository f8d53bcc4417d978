package host

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// oracleColumn is a column of a random schema.
type oracleColumn struct {
	name, kind string
	generated  bool
	required   bool // not null
}

// oracleTable is a table or view of a random schema.
type oracleTable struct {
	name    string
	columns []oracleColumn
	key     []string // its primary key, nil if it has none
	// targets are the relations that writes go to: the table itself, and its
	// partitions and children.
	targets []string
	view    bool
}

// oracleSchema is a random schema: every flavour of table once, with random
// columns, indexes, policies and views.
type oracleSchema struct {
	rng     *rand.Rand
	tables  []oracleTable
	partial []partialIndex
	sql     strings.Builder
	made    int // tables and partitions made on the way
}

// oracleKinds are the types of random columns.
var oracleKinds = []string{
	"int", "text", "uuid", "timestamptz", "boolean", "bigint", "mood", "small", "date", "varchar", "numeric",
	"tiny", "smallint", "char(4)", "float8", "interval", "text collate ci", "timestamp", "inet", "int4range",
}

const oraclePrelude = `
create type mood as enum ('red', 'green', 'blue');
create domain small as int check (value < 1000);
create domain tiny as small check (value > -5);
do $$ begin create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); exception when others then create collation ci from "C"; end $$;
create function bump() returns trigger language plpgsql as $$ begin new.t := coalesce(new.t, 'y'); return new; end $$;
create function copy_k() returns trigger language plpgsql as $$ begin update bare set t = 'x' where k = new.k; return null; end $$;
`

// newOracleSchema draws a schema.
func newOracleSchema(rng *rand.Rand) *oracleSchema {
	s := &oracleSchema{rng: rng}
	s.sql.WriteString(oraclePrelude)
	s.table("plain", []string{"id"}, "")
	s.generated("plain")
	s.table("child", []string{"id"}, "")
	s.sql.WriteString("alter table child add parent int references plain (id) on update cascade on delete " + s.pick("cascade", "set null") + ";\n")
	s.column("child", oracleColumn{name: "parent", kind: "int"})
	s.required("plain", "child")
	s.table("pair", []string{"id", "k"}, "")
	s.table("bare", nil, "")
	s.partitioned()
	s.table("base", []string{"id"}, "")
	s.sql.WriteString("create table base1 (primary key (id)) inherits (base); create table base2 (extra int, primary key (id)) inherits (base);\n")
	s.find("base").targets = []string{"base", "base1", "base2"}
	s.table("secret", []string{"id"}, "")
	s.sql.WriteString("alter table secret enable row level security;\n" + s.policy())
	s.table("swap", []string{"id"}, "")
	s.documents()
	for _, t := range s.tables {
		s.indexes(t)
	}
	s.sql.WriteString(s.view("va") + s.view("vb") + s.nested())
	s.tables = append(s.tables,
		oracleTable{name: "va", view: true, columns: oracleCommon},
		oracleTable{name: "vb", view: true, columns: oracleCommon},
		oracleTable{name: "vc", view: true, columns: oracleCommon})
	s.sql.WriteString("create trigger bump before insert or update on pair for each row execute function bump();\n" +
		"create trigger copy_k after update of k on child for each row execute function copy_k();\n" + oracleGrants)
	return s
}

const oracleGrants = `grant usage on schema public to weir, weir_guest;
grant trigger on all tables in schema public to weir;
grant select on all tables in schema public to weir_guest;
`

// oracleCommon are the columns of every table and view.
var oracleCommon = []oracleColumn{{name: "id", kind: "int"}, {name: "k", kind: "int"}, {name: "t", kind: "text"}}

func (s *oracleSchema) pick(options ...string) string { return options[s.rng.IntN(len(options))] }

func (s *oracleSchema) chance(percent int) bool { return s.rng.IntN(100) < percent }

func (s *oracleSchema) find(name string) *oracleTable {
	for i := range s.tables {
		if s.tables[i].name == name {
			return &s.tables[i]
		}
	}
	return nil
}

func (s *oracleSchema) column(table string, c oracleColumn) {
	t := s.find(table)
	t.columns = append(t.columns, c)
}

// table draws a table with the common columns, w, and others.
func (s *oracleSchema) table(name string, key []string, suffix string) {
	t := oracleTable{name: name, key: key, targets: []string{name}}
	t.columns = append(t.columns, oracleCommon...)
	t.columns = append(t.columns, oracleColumn{name: "w", kind: "int"})
	for i := range 2 + s.rng.IntN(4) {
		t.columns = append(t.columns, oracleColumn{name: fmt.Sprintf("c%d", i), kind: oracleKinds[s.rng.IntN(len(oracleKinds))]})
	}
	s.rng.Shuffle(len(t.columns), func(i, j int) { t.columns[i], t.columns[j] = t.columns[j], t.columns[i] })
	s.tables = append(s.tables, t)
	s.sql.WriteString(t.create(name, suffix))
}

// create is the statement that makes the table under a name.
func (t *oracleTable) create(name, suffix string) string {
	var parts []string
	for _, c := range t.columns {
		if !c.generated {
			parts = append(parts, c.name+" "+c.kind)
		}
	}
	if t.key != nil {
		parts = append(parts, "primary key ("+strings.Join(t.key, ", ")+")")
	}
	return "create table " + name + " (" + strings.Join(parts, ", ") + ")" + suffix + ";\n"
}

func (s *oracleSchema) generated(name string) {
	s.sql.WriteString("alter table " + name + " add g int generated always as (k * 2) stored;\n")
	s.column(name, oracleColumn{name: "g", kind: "int", generated: true})
}

// required adds columns that are never null to a table, for LIMIT to be bound by.
func (s *oracleSchema) required(tables ...string) {
	for _, name := range tables {
		if s.find(name) == nil {
			continue
		}
		fmt.Fprintf(&s.sql, "alter table %s add rank int not null default 2, add at timestamptz not null default '2024-01-03Z';\n", name)
		s.column(name, oracleColumn{name: "rank", kind: "int", required: true})
		s.column(name, oracleColumn{name: "at", kind: "timestamptz", required: true})
	}
}

// partitioned draws a partitioned table whose leaves have other column numbers.
func (s *oracleSchema) partitioned() {
	if s.chance(30) {
		s.table("parts", []string{"id"}, " partition by hash (id)")
		s.sql.WriteString("create table parts1 partition of parts for values with (modulus 2, remainder 0);" +
			"create table parts2 partition of parts for values with (modulus 2, remainder 1);\n")
		s.find("parts").targets = []string{"parts", "parts1", "parts2"}
		return
	}
	s.table("parts", []string{"id", "k"}, " partition by "+s.pick("list", "list", "range")+" (k)")
	t := s.find("parts")
	values := []string{"in (0, 1)", "in (2)", "in (3)"}
	if strings.Contains(s.sql.String(), "by range (k)") {
		values = []string{"from (minvalue) to (2)", "from (2) to (3)", "from (3) to (4)"}
	}
	other := *t
	other.columns = append([]oracleColumn{{name: "gone", kind: "int"}}, t.columns...)
	s.rng.Shuffle(len(other.columns), func(i, j int) {
		other.columns[i], other.columns[j] = other.columns[j], other.columns[i]
	})
	s.sql.WriteString("create table parts1 partition of parts for values " + values[0] + ";\n" +
		other.create("parts2", "") + "alter table parts2 drop column gone;\n" +
		"alter table parts attach partition parts2 for values " + values[1] + ";\n" +
		"create table parts3 partition of parts for values " + values[2] + " partition by list (k);\n" +
		"create table parts3a partition of parts3 for values in (3);\n" +
		"create table partsx partition of parts default;\n")
	t.targets = []string{"parts", "parts", "parts", "parts1", "parts2", "parts3", "parts3a", "partsx"}
}

// oraclePartial are predicates of partial indexes, with the column that each
// reads.
var oraclePartial = [][2]string{{"k = 1", "k"}, {"t = 'x'", "t"}, {"w > 1", "w"}, {"k is not null", "k"}}

// partialIndex is one whose predicate a plan by the index would not show (R2):
// queries ask for just these rows, and writes move rows in and out.
type partialIndex struct{ table, predicate, column string }

// indexes draws indexes, partial ones among them.
func (s *oracleSchema) indexes(t oracleTable) {
	if s.chance(60) {
		p := oraclePartial[s.rng.IntN(len(oraclePartial))]
		s.partial = append(s.partial, partialIndex{t.name, p[0], p[1]})
		s.sql.WriteString("create index on " + t.name + " (id) where " + p[0] + ";\n")
	}
	for range s.rng.IntN(3) {
		c := t.columns[s.rng.IntN(len(t.columns))]
		sql := "create index on " + t.name + " (" + c.name + ")"
		if s.chance(60) {
			sql += " where " + oraclePartial[s.rng.IntN(len(oraclePartial))][0]
		}
		s.sql.WriteString(sql + ";\n")
	}
}

// policy draws the policy of the table secret.
func (s *oracleSchema) policy() string {
	return "create policy own on secret using (" + s.pick("t = current_user", "k > 1", "t = current_user or k = 2", "w is null",
		"exists (select 1 from plain p where p.id = secret.k)", "k in (select b.k from bare b where b.t = 'x')", "true") + ");\n"
}

// view draws the definition of a view with the common columns.
func (s *oracleSchema) view(name string) string {
	return "create or replace view " + name + s.pick("", " with (security_barrier)") + " as " + s.pick(
		"select id, k, t from plain where k = "+fmt.Sprint(s.rng.IntN(4)),
		"select id, k, t from plain where t = 'x'",
		"select p.id, c.k, c.t from plain p left join child c on c.parent = p.id and c.k < 3",
		"select id, k, t from parts where k in (1, 2)",
		"select id, k, t from secret",
		"select b.id, b.k, max(p.t) as t from base b join pair p on p.k = b.k group by b.id, b.k",
		"select id, k, t from pair union all select id, k, t from bare where k > 1",
	) + ";\n"
}

// literal draws a value of a kind, as text.
func (s *oracleSchema) literal(kind string) string {
	i := s.rng.IntN(5)
	switch kind {
	case "int", "small", "tiny", "smallint":
		return fmt.Sprint(i)
	case "bigint": // no two of the large ones are the same float
		return s.pick("0", "1", "2", "9007199254740992", "9007199254740993")
	case "char(4)":
		return s.pick("x", "x ", "y", "")
	case "float8":
		return s.pick("0", "-0", "1.5", "NaN", "1e300")
	case "interval":
		return s.pick("1 day", "24 hours", "1 mon", "30 days", "00:00:01.5")
	case "text collate ci":
		return s.pick("p", "P", "q")
	case "timestamp":
		return s.pick("2024-01-01 00:00:00", "2024-01-01 00:00:00.000001", "infinity")
	case "inet":
		return s.pick("10.0.0.1", "10.0.0.1/32", "10.0.0.0/8", "::1")
	case "int4range":
		return s.pick("[1,3)", "[1,2]", "empty", "(,5]")
	case "numeric":
		return s.pick("0", "1", "1.0", "2.5")
	case "boolean":
		return s.pick("true", "false")
	case "uuid":
		return s.pick("00000000-0000-0000-0000-000000000001", "ab000000-0000-0000-0000-000000000002", "AB000000-0000-0000-0000-000000000002")
	case "timestamptz":
		if s.chance(15) {
			return s.pick("infinity", "-infinity", "2024-01-01T00:00:00.000001Z", "2024-01-01T09:00:00+09")
		}
		return fmt.Sprintf("2024-01-0%dT00:00:00Z", i+1)
	case "date":
		return fmt.Sprintf("2024-01-0%d", i+1)
	case "int[]":
		return s.pick("{}", "{1}", "{1,2}", "{3,NULL}", "{2}")
	case "text[]":
		return s.pick("{}", "{x}", "{x,y}", "{y,NULL}", `{"q\"z"}`)
	case "jsonb":
		return s.pick(`{"k": 1, "t": "x"}`, `{"k": 2}`, `{"t": "y"}`, `["x", "y"]`, `{}`)
	case "hue":
		return s.pick("a", "b")
	case "mood":
		return s.pick("red", "green", "blue")
	}
	if kind != "varchar" && s.chance(6) {
		return strings.Repeat("long ", 60) // it is not logged
	}
	return []string{"x", "y", "X", `q"\z`, "weir_guest"}[i]
}

// quoted draws a literal in SQL, sometimes NULL.
func (s *oracleSchema) quoted(kind string, null int) string {
	if s.chance(null) {
		return "null"
	}
	return "'" + s.literal(kind) + "'"
}
