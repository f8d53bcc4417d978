package host_test

import (
	"fmt"
	"strings"
)

// oracleWrites are writes that reach a table in an unusual way, or rows whose
// equality is not that of their bytes.
var oracleWrites = []oracleCase{
	{
		"letters that are equal", `do $$ begin create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); exception when others then create collation ci from "C"; end $$;
			create table folded (id int primary key, t text collate ci); create index on folded (t)`,
		`select id, t from folded where t = 'p'`,
		[]string{`insert into folded values (1, 'P'), (2, 'q')`, `update folded set t = 'P' where id = 2`, `delete from folded where t = 'P'`},
	},
	{
		"blanks that are equal", `create table padded (id int primary key, t char(4), n numeric, f float8, i interval)`,
		`select id from padded where t = 'x' or n = 1 or f = 0 or i = '1 day'`,
		[]string{`insert into padded values (1, 'x   ')`, `insert into padded (id, n) values (2, 1.00)`, `insert into padded (id, f) values (3, '-0')`, `insert into padded (id, i) values (4, '24 hours')`, `update padded set t = 'y', n = 2, f = 1, i = '2 days'`},
	},
	{
		"large numbers", `create table large (id int primary key, n bigint, u uuid, at timestamptz); insert into large values (1, 9007199254740992, 'ab000000-0000-0000-0000-000000000002', 'infinity')`,
		`select id from large where n = 9007199254740993 or u = 'AB000000-0000-0000-0000-000000000003' or at = '-infinity'`,
		[]string{`update large set n = 9007199254740993`, `update large set n = 1`, `update large set u = 'ab000000-0000-0000-0000-000000000003'`, `update large set u = null, at = '-infinity'`},
	},
	{
		"a role that a policy hides rows from, and a key that refers to them", `create table owner1 (id int primary key, k int); insert into owner1 values (1, 1), (2, 2); create table thing (id int primary key, owner int not null references owner1); insert into thing values (1, 1), (2, 2), (3, 2);
			alter table owner1 enable row level security; create policy a on owner1 using (k = 1)`,
		`select t.id, o.id as owner, o.k from thing t join owner1 o on o.id = t.owner where t.id < 10`,
		[]string{`update owner1 set k = 1 where id = 2`, `update owner1 set k = 3 where id = 1`, `insert into thing values (4, 1)`, `update owner1 set k = 1`},
	},
	{
		"a tree", `create table tree (id int primary key, up int references tree on delete set null on update cascade, t text); insert into tree values (1, null, 'a'), (2, 1, 'b'), (3, 2, 'c')`,
		`select c.id, p.id as up, p.t, g.t as gt from tree c left join tree p on p.id = c.up left join tree g on g.id = p.up where c.t = 'c'`,
		[]string{`update tree set t = 'z' where id = 2`, `update tree set id = 10 where id = 1`, `update tree set t = 'y' where id = 10`, `delete from tree where id = 10`, `update tree set up = 3 where id = 2`, `delete from tree where id = 2`},
	},
	{
		"a key that refers in parts", `create table whole (a int, b int, t text, unique (a, b)); insert into whole values (1, 1, 'x'), (2, 2, 'y'); create table piece (id int primary key, a int, b int, foreign key (a, b) references whole (a, b) on update cascade on delete cascade); insert into piece values (1, 1, 1), (2, 2, null), (3, null, null)`,
		`select p.id, p.a, p.b, w.t from piece p left join whole w on w.a = p.a and w.b = p.b where p.id < 9`,
		[]string{`update whole set t = 'z' where a = 1`, `update whole set b = 7 where a = 1`, `update piece set b = 2 where id = 2`, `delete from whole where a = 2`, `insert into whole values (5, 5, 'q'); insert into piece values (5, 5, 5)`},
	},
	{
		"the first rows", `create table ranked (id int primary key, rank int not null, t text); insert into ranked select i, i % 3, 'x' from generate_series(1, 9) i`,
		`select id, rank from ranked where t = 'x' order by rank desc, id limit 3`,
		[]string{`update ranked set rank = 5 where id = 9`, `delete from ranked where rank = 5`, `insert into ranked values (20, 2, 'x')`, `update ranked set t = 'y' where rank = 2`, `update ranked set rank = -1`, `insert into ranked values (21, 9, 'y')`, `update ranked set t = 'x' where id = 21`},
	},
	{
		"what a rule writes", `create table ruled (id int); create table shadow (id int); create rule r as on insert to ruled do also insert into shadow values (new.id); create rule s as on delete to ruled do instead delete from shadow where id = old.id; insert into ruled values (0)`,
		`select id from shadow`,
		[]string{`insert into ruled values (1), (2)`, `delete from ruled where id = 1`, `insert into ruled select i from generate_series(5, 6) i`},
	},
	{
		"a view that is written", `create table below (id int primary key, t text); create view above as select id, upper(t) as t from below; create function above_it() returns trigger language plpgsql as 'begin insert into below values (new.id, new.t); return new; end';
			create trigger z instead of insert on above for each row execute function above_it(); insert into below values (0, 'a')`,
		`select id, t from above`,
		[]string{`insert into above values (1, 'b'), (2, 'c')`, `update below set t = 'z' where id = 1`},
	},
	{
		"what is written at the commit", `create table first1 (id int primary key, n int); create table last1 (id int); create function last_it() returns trigger language plpgsql as 'begin insert into last1 values (new.id); update first1 set n = 7 where id = new.id and n is distinct from 7; return null; end';
			create constraint trigger z after insert on first1 deferrable initially deferred for each row execute function last_it()`,
		`select (select count(*) from last1) as n, (select count(*) from first1 where n = 7) as m`,
		[]string{`insert into first1 values (1, 1), (2, 2)`, `begin; insert into first1 values (3, 1); savepoint s; insert into first1 values (4, 1); rollback to s; commit`},
	},
	{
		"a key that comes and goes", `create table keyed (id int, k int, t text); insert into keyed values (1, 1, 'a'), (2, 2, 'b')`,
		`select k from keyed where t = 'a'`,
		[]string{
			`alter table keyed add primary key (id)`, `update keyed set t = 'a' where id = 2`, `alter table keyed drop constraint keyed_pkey; alter table keyed alter id drop not null; insert into keyed values (1, 3, 'a'), (null, 4, 'a')`, `update keyed set k = k + 1 where id is null`, `update keyed set id = 3 - id, k = k * 10`,
			`delete from keyed where ctid = (select min(ctid) from keyed)`, `update keyed set t = 'c' where id is null`,
		},
	},
	{
		"nulls that are equal", `create table empty1 (id int primary key, a int, b int); insert into empty1 values (1, null, 1), (2, 1, null)`,
		`select id from empty1 where a is not distinct from null or b is null`,
		[]string{`update empty1 set a = 3, b = 3`, `update empty1 set b = null where id = 1`, `update empty1 set a = null`, `delete from empty1 where a is null and id = 1`},
	},
	{
		"many columns", `create table broad (id int primary key, ` + broad("c%d int default 0", ", ") + `); insert into broad (id) values (1)`,
		`select id, c90 from broad where c85 = 0`,
		[]string{`update broad set c90 = 1`, `update broad set c84 = 1`, `update broad set c85 = 1`, `update broad set c85 = 0, c90 = 2`, `alter table broad drop column c1; alter table broad add column c1 int`, `update broad set c90 = 3`},
	},
	{
		"long values", `create table lengthy (id int primary key, t text, d jsonb); insert into lengthy values (1, repeat('x', 300), '{}'), (2, 'short', '{}')`,
		`select id, d from lengthy where t = repeat('x', 300)`,
		[]string{`update lengthy set t = repeat('x', 300) where id = 2`, `update lengthy set d = '{"a": 1}' where id = 2`, `update lengthy set t = 'short' where id = 1`, `insert into lengthy values (3, repeat('x', 300), to_jsonb(repeat('y', 20000)))`, `delete from lengthy where id = 3`},
	},
	{
		"ranges, and what is in them", `create table ranged (id int primary key, r int4range, p point, m int4multirange, x xml, b bit(3), a int[]); insert into ranged (id, r) values (1, '[1,5)')`,
		`select id, r, a from ranged where r @> 3 or a[2] = 3`,
		[]string{`update ranged set r = '[4,5)'`, `update ranged set r = '(2,3]'`, `update ranged set r = null, a = '{1,3}'`, `update ranged set a[2] = 4`, `update ranged set a[2] = 3, b = '101', p = '(1,2)', m = '{[1,2)}'`},
	},
}

// broad writes a hundred columns.
func broad(format, between string) string {
	var parts []string
	for i := range 100 {
		parts = append(parts, fmt.Sprintf(format, i))
	}
	return strings.Join(parts, between)
}
