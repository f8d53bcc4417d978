package db

import (
	"fmt"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/devdb/devdbtest"
	"weir/reactor"
)

// narrowSchema: items look up a team by a foreign key, and by a number that may
// have no team yet.
const narrowSchema = `
create table team (id int primary key, name text not null, rank int not null, hidden boolean not null default false, next int);
create table item (id int primary key, room int not null, team int references team, loose int, score int not null, soft int,
	at timestamptz not null);
create table secret (id int primary key references team, name text);
alter table secret enable row level security;
create policy own on secret using (name <> 'x');
create view named as select id, name from team;
create table one (id int primary key); create table two (id int primary key references one);
insert into one values (1); insert into two values (1);
alter table one add foreign key (id) references two;
insert into team select i, 'team ' || i, i * 10, i = 3, case when i % 2 = 0 then i - 1 end from generate_series(1, 9) i;
insert into item select i, i % 3, 1 + i % 4, 70 + i, i * 10, i, '2024-01-01Z'::timestamptz + i * interval '1 hour' from generate_series(1, 12) i;
insert into secret select id, name from team;
grant select on all tables in schema public to weir_test;
`

// tuples are the rows of a table, as changes would carry them.
func tuples(t *testing.T, server devdbtest.DB, s *Statement, table string) map[string]reactor.Tuple {
	t.Helper()
	var root *relation
	for _, r := range s.variants[0].analysis.Load().tables {
		if r.name == table {
			root = r
		}
	}
	if root == nil {
		t.Fatalf("the statement does not read %s", table)
	}
	out := map[string]reactor.Tuple{}
	conn := server.Conn(t)
	if _, err := conn.Exec(t.Context(), "set timezone = 'UTC'"); err != nil {
		t.Fatal(err)
	}
	for name, col := range root.columns {
		rows, err := conn.Query(t.Context(), fmt.Sprintf("select id::text, %s::text from %s", name, table))
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id string
			var text *string
			if err := rows.Scan(&id, &text); err != nil {
				t.Fatal(err)
			}
			d := reactor.Datum{Column: col.attr, Null: text == nil}
			if text != nil {
				d.Value, _ = reactor.ParseValue(col.kind, *text)
			}
			out[id] = append(out[id], d)
		}
		if rows.Err() != nil {
			t.Fatal(rows.Err())
		}
	}
	return out
}

// W1: what a result shows narrows its read set to the rows that can change it, and
// no further. For each question there are writes that change its answer, and
// writes that must not make it run again.
func TestResultNarrowsItsReadSet(t *testing.T) {
	t.Parallel()
	_, server := start(t, narrowSchema)
	const insert, later = `insert into team values (50, 'new', 55)`, `insert into team values (77, 'new', 5)`
	f := func(name, sql, table, write string, concerned bool) {
		t.Helper()
		d := open(t, server, Config{})
		defer d.Close()
		s := prepare(t, d, sql, "id")
		before, old := one(t, d, s), tuples(t, server, s, table)
		rollback := `delete from item; delete from secret; delete from team;` + narrowSchema[strings.Index(narrowSchema, "insert into team"):strings.Index(narrowSchema, "grant")]
		defer server.Exec(t, rollback)
		server.Exec(t, write)
		after, now := one(t, d, s), tuples(t, server, s, table)
		change := reactor.Change{XID: 1, Op: reactor.Update}
		for _, r := range s.variants[0].analysis.Load().tables {
			if r.name == table {
				change.Table = r.oid
			}
		}
		for id, row := range old {
			if !sameRow(now[id], row) {
				change.Keys = append(change.Keys, row)
			}
		}
		for id, row := range now {
			if !sameRow(old[id], row) {
				change.Keys = append(change.Keys, row)
			}
		}
		if len(change.Keys) == 0 {
			t.Fatalf("%s: %s changes nothing", name, write)
		}
		set := ReadSet([]Answer{before})
		changed := rowsJSON(t, before) != rowsJSON(t, after)
		if changed && !concerned {
			t.Fatalf("%s: %s changes the result: the test is wrong", name, write)
		}
		if got := set.Concerns(&change); got != concerned {
			t.Errorf("%s: %s\nconcerned = %v, want %v; the result changed: %v\n%s\nreads %+v\n%s", name, write, got, concerned, changed, sql, before.Reads, s.Explain())
		}
		if concerned && !changed {
			t.Errorf("%s: %s does not change the result: %s", name, write, rowsJSON(t, after))
		}
	}
	const shown = `select i.id, i.team, t.name from item i join team t on t.id = i.team where i.room = 1 order by i.id`
	f("a key that is shown", shown, "team", `update team set name = 'z' where id = 2`, true)
	f("a key that is not", shown, "team", `update team set name = 'z' where id = 9`, false)
	f("a new row", shown, "team", insert, false)
	f("a key that is shown under a LIMIT", shown+" limit 3", "team", `update team set name = 'z' where id = 2`, true)
	f("a new row under a LIMIT", shown+" limit 3", "team", insert, false)
	const inner = `select i.id, i.loose, t.name from item i join team t on t.id = i.loose where i.room = 1 order by i.id`
	f("an inner join without a foreign key", inner, "team", later, true)
	left := strings.Replace(inner, " join", " left join", 1)
	f("a left join", left, "team", strings.Replace(later, "77", "71", 1), true)
	f("a left join, another row", left, "team", insert, false)
	const best = `select i.id, i.team, t.rank from item i join team t on t.id = i.team where i.room = 1 order by t.rank desc, i.id`
	f("order by what is looked up", best+" limit 2", "team", `update team set rank = 99 where id = 2`, true)
	f("order by what is looked up, LIMIT not reached", best+" limit 5", "team", insert, false)
	f("order by what is looked up behind an OFFSET", best+" limit 5 offset 3", "team", `update team set rank = 5 where id = 3`, true)
	const chain = `select i.id, i.team, n.name from item i join team t on t.id = i.team join team n on n.id = t.next where i.room = 1 order by i.id`
	f("looked up by what is looked up", chain, "team", `update team set next = 9 where id = 3`, true)
	const filter = `select i.id, i.team, t.name from item i join team t on t.id = i.team and t.rank <> 30 where i.room = 1 order by i.id`
	f("a condition on what is looked up", filter, "team", `update team set rank = 31 where id = 3`, true)
	f("a condition on what an outer join looked up", `select i.id, i.team, t.name from item i left join team t on t.id = i.team where i.room = 1 and t.hidden is not true order by i.id`,
		"team", `update team set hidden = false where id = 3`, true)
	f("the side that the join keeps", `select t.id, i.team, i.score from team t left join item i on i.team = t.id order by t.id, i.id`, "team", insert, true)

	const top = `select id, score, room from item order by score desc, id limit 3`
	f("behind the last row", top, "item", `update item set room = 7, score = 15 where id = 2`, false)
	f("before the last row", top, "item", `update item set score = 999 where id = 2`, true)
	f("beside the last row", top, "item", `update item set score = 100 where id = 2`, true)
	f("away from before", top, "item", `update item set score = 5 where id = 12`, true)
	f("room for any row", `select id, score from item order by score desc, id limit 13`, "item", `insert into item values (99, 1, 1, 1, -5, 1, now())`, true)
	f("ascending, behind", strings.Replace(top, "desc", "asc", 1), "item", `update item set room = 7, score = 95 where id = 9`, false)
	f("ascending, before", strings.Replace(top, "desc", "asc", 1), "item", `update item set score = 5 where id = 9`, true)
	f("NULL comes first", `select id, soft from item order by soft desc, id limit 3`, "item", `update item set soft = null where id = 2`, true)
	const times = `select id, at from item order by at desc, id limit 2`
	f("times, behind", times, "item", `update item set at = '2024-01-01T07:30:00Z' where id = 2`, false)
	f("times, before", times, "item", `update item set at = '2024-01-01T11:00:00Z' where id = 2`, true)
	f("the optional side of a join", `select t.id, i.score from team t left join item i on i.id = t.id order by i.score desc, t.id limit 3`, "item",
		`delete from item where id = 2`, true)
	f("two scans of one table", `select a.id, a.score, b.room from item a join item b on b.id = a.soft - 9 order by a.score desc, a.id limit 1`, "item",
		`update item set room = 8 where id = 3`, true)

	const count = `select count(*) as n, 1 as id from item i join team t on t.id = i.loose where i.room = 1`
	f("a list of keys", count, "team", strings.Replace(later, "77", "71", 1), true)
	f("a list of keys, the last of them", count, "team", strings.Replace(later, "77", "80", 1), true)
	f("a list of keys, another row", count, "team", insert, false)
	const absent = `select i.id from item i where i.room = 1 and not exists (select from team t where t.id = i.loose) order by i.id`
	f("what is not there", absent, "team", strings.Replace(later, "77", "71", 1), true)
	f("a list for one of two scans", `select count(*) as n, 1 as id, max((select max(u.rank) from team u where u.rank > i.score - 1000)) as best
		from item i join team t on t.id = i.team where i.room = 1`, "team", `insert into team values (50, 'new', 555)`, true)
	f("what is not there, another row", absent, "team", insert, false)
	f("a list for the side that the join keeps", `select count(*) as n, 1 as id from team t left join item i on i.team = t.id and i.room = 1`, "team", insert, true)
}

func sameRow(a, b reactor.Tuple) bool {
	if len(a) != len(b) {
		return false
	}
	for _, d := range a {
		if e, ok := b.Find(d.Column); !ok || e != d {
			return false
		}
	}
	return true
}

// What cannot be narrowed says why.
func TestExplainSaysWhatNarrowsNothing(t *testing.T) {
	t.Parallel()
	d, server := start(t, narrowSchema)
	const item = `select i.id, i.team, t.name from item i join `
	wantReads(t, d, item+`team t on t.id = i.team where i.room = $room`, "team where id any of the values of team in the result")
	wantReads(t, d, `select i.id, t.name from item i join team t on t.id = i.team where i.room = $room order by t.rank desc, i.id limit 3`,
		"the result does not show i.team: select it", "team where id any of the values of item.team that a second statement lists")
	wantReads(t, d, item+`team t on t.id = i.loose`, "team, table level", "no foreign key, checked at once and enforced, says that each i.loose is there")
	wantReads(t, d, item+`secret t on t.id = i.team`, "secret, table level", "it has conditions of its own")
	wantReads(t, d, item+`named t on t.id = i.team`, "team, table level", "the view named is between")
	wantReads(t, d, `select count(*) as n from item i join team t on t.id = i.team where i.room = $room`,
		"team where id any of the values of item.team that a second statement lists")
	wantReads(t, d, `select id, soft from item where room = $room order by soft, id limit 5`, "soft may be NULL: declare it NOT NULL")
	wantReads(t, d, `select id from item where room = $room order by score, id limit 5`, "the result does not show score: select it")
	got := prepare(t, d, `select one.id, two.id as other from one join two on two.id = one.id`).Explain()
	if strings.Count(got, "any of the values") != 1 || !strings.Contains(got, "which is looked up itself") {
		t.Errorf("two tables that look up each other: each is the other's excuse:\n%s", got)
	}
	server.Exec(t, `alter table item disable trigger all`)
	d.Close()
	d = open(t, server, Config{})
	wantReads(t, d, item+`team t on t.id = i.team where i.room = $room`, "no foreign key, checked at once and enforced")
}

// C7: changes must carry what read sets compare them with.
func TestNarrowingColumnsAreWatched(t *testing.T) {
	t.Parallel()
	d, _ := start(t, narrowSchema)
	s := prepare(t, d, `select i.id, i.team, i.score, t.name from item i join team t on t.id = i.team where i.room = $room order by i.score, i.id limit 3`)
	want := map[string]string{"item": "room score", "team": "id"}
	for _, w := range s.Tables() {
		for name := range strings.FieldsSeq(want[w.Name]) {
			if !strings.Contains(" "+strings.Join(w.ColumnNames, " ")+" ", " "+name+" ") {
				t.Errorf("%s.%s is not watched: %v", w.Name, name, w.ColumnNames)
			}
		}
	}
}

// R11: more keys than a set may have are the whole table, and none are nothing.
func TestTooManyKeysAreTheTable(t *testing.T) {
	t.Parallel()
	d, _ := start(t, narrowSchema, `insert into team select i, 'more', i from generate_series(1000, 2999) i;
		insert into item select i, 7, i, i, i, i, '2024-01-01Z' from generate_series(1000, 2999) i`)
	for _, sql := range []string{
		`select i.id, i.team, t.name from item i join team t on t.id = i.team where i.room = $room and i.id < $end order by i.id`,
		`select count(*) as n from item i join team t on t.id = i.team where i.room = $room and i.id < $end`,
	} {
		s := prepare(t, d, sql)
		var team uint32
		for _, w := range s.Tables() {
			if w.Name == "team" {
				team = w.Table
			}
		}
		for end, want := range map[int64]string{1000: "", 1001: "1", 2000: "1000", 2001: "all"} {
			got := ""
			for _, atom := range one(t, d, s, abi.Int(7), abi.Int(end)).Reads {
				switch {
				case atom.Table != team:
				case len(atom.Eq) == 0:
					got += "all"
				default:
					got += fmt.Sprint(len(atom.Eq[0].Values))
				}
			}
			if got != want {
				t.Errorf("%s\nbelow %d: %q keys, want %q", sql, end, got, want)
			}
		}
	}
}
