package host

import (
	"fmt"
	"strings"
)

// deed draws a write that is more than one plain statement on one table.
func (s *oracleSchema) deed() string {
	id, k := s.rng.IntN(40), s.literal("int")
	f := fmt.Sprintf
	switch s.rng.IntN(22) {
	case 0:
		return f("with moved as (update docs set k = k + 1 where %s returning id, k, t) update bare b set t = moved.t from moved where moved.k = b.k", s.which(s.find("docs")))
	case 1:
		t := s.base()
		return f("update %s x set t = y.t from bare y where y.k = x.k and y.id = %d", t.name, id)
	case 2, 3:
		return f("select stir(%d)", id)
	case 4, 5:
		return "update docs set " + s.pick("tags = array_append(tags, 'x')", "tags[1] = 'y'", "tags = array_remove(tags, 'x')", "nums = nums || 3", "nums = '{}'",
			"doc = jsonb_set(coalesce(doc, '{}'), '{k}', '"+k+"')", "doc = doc - 't'", "doc = coalesce(doc, '{}') || '{\"t\": \"x\"}'", "hue = 'b'", "hue = (enum_range(null::hue))[3]") +
			f(" where id between %d and %[1]d + 4 and (doc is null or jsonb_typeof(doc) = 'object')", id)
	case 6:
		return f("insert into lines (id, k, t, pid, pk) select %d + row_number() over (), %s, 'x', id, k from pair order by md5(id::text) limit 3 on conflict (id) do update set pid = excluded.pid, pk = excluded.pk", id, k)
	case 7: // a key of two columns moves, and what refers to it goes along
		return f("update pair set %s where id = %d", s.pick(f("id = %d", s.rng.IntN(40)), "k = "+k, f("(id, k) = (%d, %s)", s.rng.IntN(40), k)), id)
	case 8: // what is temporary concerns nobody, and what is made of it does
		return f("create temp table if not exists scratch (id int, k int, t text); insert into scratch values (%d, %s, 'x'); update scratch set k = k + 1 where k < 3; %s",
			id, k, s.pick("truncate scratch", "insert into bare (id, k, t) select id, k, t from scratch where id = "+fmt.Sprint(id), "drop table scratch"))
	case 9:
		return f("do $$ begin for i in 1..3 loop begin insert into plain (id, k, t) values (%d + i, %s, 'loop'); exception when unique_violation then delete from plain where id = %[1]d + i; end; end loop; end $$", id, k)
	case 10, 11: // triggers do not fire, but weir's where somebody had them fire always
		return f(`do $$ begin
			if 4 = (select count(*) from pg_trigger where tgrelid = 'bare'::regclass and tgname like 'weir\_%%' and tgenabled = 'A') then
				perform set_config('session_replication_role', 'replica', true);
				%s;
				perform set_config('session_replication_role', 'origin', true);
			end if; end $$`, s.pick(s.update(s.find("bare"), "bare"), s.insert(s.find("bare"), "bare"), f("delete from bare where id = %d", id)))
	case 12:
		return f("insert into docs (k, t, tags) values (%s, 'x', '{x,z}'), (3, 'y', null) returning id", k)
	case 13:
		return f(`merge into docs d using (values (%d, %s, 'x'), (%d, 2, 'y')) v(id, k, t) on d.id = v.id
			when matched and d.k = v.k then delete when matched then update set k = v.k, t = v.t
			when not matched then insert (id, k, t) values (v.id, v.k, v.t)`, id, k, (id+7)%40)
	case 14:
		return f("insert into pair (id, k, t) select id, k, t from plain where k = %s on conflict (id, k) do update set t = excluded.t where pair.t is distinct from excluded.t", k)
	case 15:
		return s.pick("truncate docs, lines", "truncate only base", "truncate bare restart identity", "truncate owned")
	case 16:
		return s.pick(f("update only base set k = %s where id < %d", k, id), f("delete from only base where id = %d", id), f("update only parts set k = %s", k))
	case 17: // allowed at the end only
		return f("set constraints all deferred; delete from pair where id = %d; insert into pair (id, k, t) values (%[1]d, %s, 'back')", id, k)
	case 18: // from partition to partition, many at once
		return f("update parts set k = %s where k = %s", k, s.literal("int"))
	case 19:
		return f("update owned set (k, t) = (select k, t from plain where id = %d) where id between %[1]d and %[1]d + 5", id)
	case 20:
		return "insert into owned (id, k, t, w) values (" + strings.Join([]string{fmt.Sprint(id), k, s.quoted("text", 10), s.quoted("int", 20)}, ", ") + ") on conflict (id) do update set k = excluded.k, w = owned.k"
	}
	return f("declare c cursor for select * from bare where k = %s for update; fetch c; %s where current of c; close c", k, s.pick("update bare set t = 'c'", "delete from bare"))
}

// redefine draws a change of definitions of documents and what is around them.
func (s *oracleSchema) redefine() string {
	f := fmt.Sprintf
	switch s.rng.IntN(25) {
	case 0, 1:
		return s.nested()
	case 2:
		return "create or replace function doubled(x int) returns int language sql immutable as $$ select x * " + s.pick("2", "3", "1") + " $$"
	case 3:
		return "create or replace function labelled(x int, y text) returns text language plpgsql immutable as $$ begin return coalesce(y, '" + s.pick("-", "x") + "') || x; end $$"
	case 4:
		return "create or replace function plain_of(x int) returns setof plain language sql stable as $$ select * from plain where k " + s.pick("= x", "> x", "= x and t is not null") + " $$"
	case 5, 6: // what is shown changes, and no row
		return "do $$ begin alter type hue rename value 'c' to 'd'; exception when others then alter type hue rename value 'd' to 'c'; end $$"
	case 7:
		return "alter table docs rename column " + s.pick("tags to other", "other to tags")
	case 8:
		return f("alter table %s drop column if exists added%d", s.pick("plain", "pair", "bare", "parts", "base"), s.rng.IntN(s.made+1))
	case 9:
		return "drop index if exists docs_lower_idx; " + s.pick("", "create index docs_lower_idx on docs (lower(t))")
	case 10:
		return "alter policy a on owned using (" + s.pick("t = current_user or k < 3", "k > 1", "true", "w is null or t = 'x'") + ")"
	case 11:
		return s.pick("alter policy c on owned to weir", "alter policy c on owned to public", "drop policy if exists c on owned", "alter table owned force row level security")
	case 12:
		return "alter table owned " + s.pick("disable", "enable") + " row level security"
	case 13:
		return "revoke select on " + s.pick("docs", "owned", "pair") + " from weir_guest"
	case 14:
		return "grant select on docs, owned, pair to weir_guest"
	case 15: // rows come with a partition, and no statement wrote them
		return f("create table if not exists more%[1]d (like parts including defaults); insert into more%[1]d (id, k, t) values (%[2]d, %[1]d, 'came'); grant select on more%[1]d to weir_guest; grant trigger on more%[1]d to weir; alter table parts attach partition more%[1]d for values in (%[1]d)",
			6+s.rng.IntN(3), s.rng.IntN(40))
	case 16:
		return f("alter table parts detach partition more%d", 6+s.rng.IntN(3))
	case 17:
		return f("drop table if exists more%d", 6+s.rng.IntN(3))
	case 18:
		return f("create table below%[1]d () inherits (%[2]s); grant select on below%[1]d to weir_guest; grant trigger on below%[1]d to weir; insert into below%[1]d (id, k, t) values (%[3]d, %[4]s, 'below')",
			s.made, s.pick("base", "base1"), s.rng.IntN(40), s.literal("int"))
	case 19:
		return s.pick("alter table docs set unlogged", "alter table docs set logged", "alter table docs alter column doc set storage plain", "alter table docs set (fillfactor = 70)")
	case 20:
		return "alter table docs alter column w type " + s.pick("bigint", "int", "int using w + 1", "numeric")
	case 21:
		return "alter view " + s.pick("va", "vb", "vc") + " " + s.pick("set (security_barrier)", "reset (security_barrier)")
	case 22: // a column of a view means another one
		return "alter table docs rename k to tmp; alter table docs rename w to k; alter table docs rename tmp to w"
	case 23:
		return "refresh materialized view mv"
	}
	return "alter table bare enable always trigger weir_insert, enable always trigger weir_update, enable always trigger weir_delete, enable always trigger weir_truncate"
}
