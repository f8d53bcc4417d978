package host

import (
	"fmt"
	"strings"
)

// base draws a table that can be written to.
func (s *oracleSchema) base() *oracleTable {
	if s.chance(15) { // tables of tables go wrong in more ways
		return s.find(s.pick("parts", "parts", "base"))
	}
	for {
		if t := &s.tables[s.rng.IntN(len(s.tables))]; !t.view {
			return t
		}
	}
}

// row draws the values of a new row, in the order of names.
func (s *oracleSchema) row(t *oracleTable) (names, values []string) {
	for _, c := range t.columns {
		switch {
		case c.generated:
			continue
		case c.name == "id":
			values = append(values, fmt.Sprint(s.rng.IntN(40)))
		case c.name == "parent" && s.chance(20): // an error, while the foreign key stands
			values = append(values, fmt.Sprint(s.rng.IntN(40)))
		case c.name == "parent":
			values = append(values, "(select id from plain order by md5(id::text) limit 1)")
		default:
			null := 12
			if c.name == "k" || c.required && s.chance(95) {
				null = 0 // it may be a key
			}
			values = append(values, s.quoted(c.kind, null))
		}
		names = append(names, c.name)
	}
	return names, values
}

// which draws which rows are written.
func (s *oracleSchema) which(t *oracleTable) string {
	switch n := s.rng.IntN(10); {
	case n < 6:
		return fmt.Sprintf("id = %d", s.rng.IntN(40))
	case n < 8:
		c := t.columns[s.rng.IntN(len(t.columns))]
		return c.name + " = " + s.quoted(c.kind, 0)
	case n < 9:
		return fmt.Sprintf("id between %d and %[1]d + 5", s.rng.IntN(40))
	}
	return "true"
}

// write draws one statement.
func (s *oracleSchema) write() string {
	if len(s.partial) > 0 && s.chance(6) {
		p := s.partial[s.rng.IntN(len(s.partial))]
		kind := map[bool]string{true: "text", false: "int"}[p.column == "t"]
		return fmt.Sprintf("update %s set %s = %s where id between %d and %[4]d + 9", p.table, p.column, s.quoted(kind, 0), s.rng.IntN(40))
	}
	if s.chance(18) {
		return s.deed()
	}
	t := s.base()
	target := t.targets[s.rng.IntN(len(t.targets))]
	switch n := s.rng.IntN(100); {
	case n < 28:
		return s.insert(t, target)
	case n < 62:
		return s.update(t, target)
	case n < 76:
		return "delete from " + target + " where " + s.which(t)
	case n < 82: // a key moves
		return fmt.Sprintf("update %s set id = %d where id = %d", target, s.rng.IntN(40), s.rng.IntN(40))
	case n < 86 && t.key != nil && len(t.targets) == 1:
		return fmt.Sprintf(`merge into %s m using (select * from %[1]s where %s) as s on m.id = s.id
			when matched and m.k = 1 then delete
			when matched then update set t = %s, w = %s
			when not matched then do nothing`, t.name, s.which(t), s.quoted("text", 10), s.quoted("int", 10))
	case n < 89:
		return "with gone as (delete from " + target + " where " + s.which(t) + " returning id, k, t) insert into bare (id, k, t) select id, k, t from gone"
	case n < 91:
		return s.bulk(t)
	case n < 92:
		return "truncate " + target + " cascade"
	case n < 94:
		return "update va set t = " + s.quoted("text", 10) + " where k = " + s.literal("int") // an error if it is no simple view
	case n < 97:
		return "copy " + t.name // the caller sends a row
	}
	return "update " + target + " set k = k" // nothing changes
}

func (s *oracleSchema) insert(t *oracleTable, target string) string {
	names, values := s.row(t)
	rows := "(" + strings.Join(values, ", ") + ")"
	for s.chance(30) {
		_, more := s.row(t)
		rows += ", (" + strings.Join(more, ", ") + ")"
	}
	sql := "insert into " + target + " (" + strings.Join(names, ", ") + ") values " + rows
	switch {
	case t.key == nil || !s.chance(60):
	case len(t.targets) > 1 || s.chance(40):
		sql += " on conflict do nothing"
	default:
		c := t.columns[s.rng.IntN(len(t.columns))]
		for c.generated || c.name == "id" || c.name == "parent" || c.name == "k" {
			c = t.columns[s.rng.IntN(len(t.columns))]
		}
		// A row twice in one statement is an error, like many of these writes.
		sql += " on conflict (" + strings.Join(t.key, ", ") + ") do update set " + c.name + " = excluded." + c.name
	}
	return sql
}

func (s *oracleSchema) update(t *oracleTable, target string) string {
	var sets []string
	seen := map[string]bool{}
	for range 1 + s.rng.IntN(2) {
		c := t.columns[s.rng.IntN(len(t.columns))]
		if c.generated || c.name == "id" || c.name == "parent" || seen[c.name] {
			continue
		}
		null := 15
		if c.name == "k" && len(t.key) > 1 || c.required && s.chance(95) {
			null = 0
		}
		seen[c.name] = true
		sets = append(sets, c.name+" = "+s.quoted(c.kind, null))
	}
	if sets == nil {
		sets = []string{"t = 'z'"}
	}
	return "update " + target + " set " + strings.Join(sets, ", ") + " where " + s.which(t)
}

// bulk writes more rows than are logged one by one, and most are gone again
// later: delete at random keeps tables small.
func (s *oracleSchema) bulk(t *oracleTable) string {
	if s.chance(50) {
		return fmt.Sprintf("insert into %s (id, k, t) select i, i %% 4, 'x' from generate_series(1000, %d) i", t.name, 1150+s.rng.IntN(200))
	}
	return "delete from " + t.name + " where id >= 1000"
}

const (
	// always makes weir's triggers of child fire as they did before all were touched.
	always = "; alter table child enable always trigger weir_insert, enable always trigger weir_update," +
		" enable always trigger weir_delete, enable always trigger weir_truncate"
	// dangling deletes the rows that a foreign key would not allow.
	dangling = "delete from child c where not exists (select from plain p where p.id = c.parent); "
)

// ddl draws a change of definitions, in one transaction.
func (s *oracleSchema) ddl() string {
	s.made++
	if s.chance(45) {
		return s.redefine()
	}
	switch s.rng.IntN(18) {
	case 0, 1:
		return s.view(s.pick("va", "vb"))
	case 2: // a view turns to a table that nobody has read before
		name := fmt.Sprintf("fresh%d", s.made)
		return "create table " + name + " (id int primary key, k int, t text); grant select on " + name + " to weir_guest; grant trigger on " + name + " to weir;" +
			"insert into " + name + " values (1, 1, 'x'), (2, 2, 'y');" +
			"create or replace view va as select id, k, t from " + name + ";"
	case 3:
		return "drop policy own on secret; " + s.policy()
	case 4:
		return "alter table secret " + s.pick("disable", "enable") + " row level security"
	case 5:
		return fmt.Sprintf("alter table %s add column added%d int default 1", s.pick("plain", "pair", "bare", "parts", "base"), s.made)
	case 6:
		return "alter table " + s.pick("plain", "pair", "bare", "secret", "base") + " alter column w type " + s.pick("int", "bigint")
	case 7: // the names of two columns change places
		name := s.pick("pair", "bare", "child", "swap")
		return fmt.Sprintf("alter table %s rename k to tmp; alter table %[1]s rename w to k; alter table %[1]s rename tmp to w", name)
	case 8:
		if strings.Contains(strings.Join(s.find("parts").targets, " "), "partsx") {
			return s.pick("alter table parts detach partition partsx", "alter table parts attach partition partsx default")
		}
		return "alter table parts detach partition parts2"
	case 9:
		return fmt.Sprintf("create table if not exists parts%d partition of parts for values in (%d)", s.made, 4+s.rng.IntN(2))
	case 10: // the same name, another table
		t := s.find("swap")
		return "drop table swap; " + t.create("swap", "") + "grant select on swap to weir_guest; grant trigger on swap to weir; insert into swap (id, k, t) values (1, 1, 'x'), (2, 2, 'y')"
	case 11:
		return "create index on " + s.pick("plain", "pair", "parts", "secret") + " (id) where " + s.pick("k = 1", "t = 'x'")
	case 13, 14: // what held of each row of child holds no longer, or again
		return s.pick("alter table child drop constraint if exists child_parent_fkey",
			"alter table child drop constraint if exists child_parent_fkey; alter table child add foreign key (parent) references plain (id) on delete cascade not valid",
			"alter table child drop constraint if exists child_parent_fkey; "+dangling+"alter table child add foreign key (parent) references plain (id) deferrable initially deferred",
			dangling+"alter table child drop constraint if exists child_parent_fkey; alter table child add foreign key (parent) references plain (id) on delete set null",
			"alter table child disable trigger all"+always,
			dangling+"alter table child enable trigger all"+always)
	case 15:
		return "alter table " + s.pick("plain", "child") + " alter column " + s.pick("rank", "at") + " drop not null"
	case 12:
		return "alter table base1 " + s.pick("no inherit base", "inherit base")
	}
	return "revoke select on secret from weir_guest; grant select on secret to weir_guest"
}
