package changelog

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// fingerprintSQL sums the versions of all definitions that a read set may rest
// on, system ones, temporary ones and weir's own left out. Statistics and
// vacuum change rows in place and so do not count. Roles and their settings are
// always in: event triggers do not see them. They belong to the whole cluster,
// so only those count that a statement here runs as, $1 and owners, with what
// these are members of: elsewhere roles come and go.
const fingerprintSQL = `with recursive w as (select coalesce(to_regnamespace('weir')::oid, 0) as oid),
e as (select exists (select from pg_event_trigger where evtname in ('weir_ddl', 'weir_drop') and evtenabled = 'A' having count(*) = 2) as on),
c as (
	select r.oid, r.xmin, r.relnamespace from pg_class r, w
	where r.oid >= 16384 and r.relnamespace <> w.oid and r.relpersistence <> 't'
		and not exists (select from pg_class o join pg_index i on i.indrelid = o.oid where i.indexrelid = r.oid and o.relnamespace = w.oid)
		and not (r.relkind in ('t', 'i') and r.relnamespace = 99)
), here as (
	select d.oid, d.datdba from pg_database d where d.datname = current_database()
), acting(oid) as (
	select r.oid from pg_roles r where r.rolname = any ($1) or r.rolname = current_user
	union select r.relowner from pg_class r where r.relkind in ('r', 'p', 'v', 'm')
	union select p.proowner from pg_proc p
	union select datdba from here
), roles(oid) as (
	select oid from acting
	union select m.roleid from pg_auth_members m join roles r on r.oid = m.member
)
select case when (select "on" from e) then 'event trigger' else concat_ws(' ',
	(select count(*) || ':' || sum(xmin::text::bigint) from c),
	(select count(*) || ':' || sum(a.xmin::text::bigint) from pg_attribute a join c on c.oid = a.attrelid),
	(select count(*) || ':' || sum(i.xmin::text::bigint) from pg_index i join c on c.oid = i.indexrelid),
	(select count(*) || ':' || sum(t.xmin::text::bigint) from pg_trigger t join c on c.oid = t.tgrelid where t.tgname not like 'weir\_%'),
	(select count(*) || ':' || sum(p.xmin::text::bigint) from pg_policy p),
	(select count(*) || ':' || sum(r.xmin::text::bigint) from pg_rewrite r join c on c.oid = r.ev_class),
	(select count(*) || ':' || sum(p.xmin::text::bigint) from pg_proc p, w where p.oid >= 16384 and p.pronamespace <> w.oid),
	(select count(*) || ':' || sum(t.xmin::text::bigint) from pg_type t join c on c.oid = t.typrelid),
	(select count(*) || ':' || sum(t.xmin::text::bigint) from pg_type t where t.oid >= 16384 and t.typtype in ('d', 'e')),
	(select count(*) || ':' || sum(e.xmin::text::bigint) from pg_enum e),
	(select count(*) || ':' || sum(n.xmin::text::bigint) from pg_namespace n, w where n.oid <> w.oid and n.nspname !~ '^pg_(toast_)?temp_'),
	(select count(*) || ':' || sum(k.xmin::text::bigint) from pg_constraint k join c on c.oid = k.conrelid)
) end || ' ' || concat_ws(' ',
	(select md5(string_agg(r::text, ' ' order by r.oid)) from pg_roles r where r.oid in (select oid from roles)),
	(select count(*) || ':' || sum(m.xmin::text::bigint) from pg_auth_members m where m.member in (select oid from roles)),
	(select count(*) || ':' || sum(s.xmin::text::bigint) from pg_db_role_setting s
		where s.setdatabase in (select 0 union select oid from here) and s.setrole in (select 0 union select oid from roles)))`

func fingerprint(ctx context.Context, conn *pgx.Conn, roles []string) (print string, err error) {
	err = conn.QueryRow(ctx, fingerprintSQL, roles).Scan(&print)
	return print, err
}

// drift is why a root table is not fully captured.
type drift struct {
	why        string
	repairable bool // a trigger is missing or calls another root's function
}

// driftSQL compares the watched families with pg_trigger (C10): every table of a
// family needs the four triggers, enabled, calling the root's function. The root
// of a watched table may have changed (ATTACH, DETACH, INHERIT).
const driftSQL = `with recursive watched as (
	select distinct w.rel from weir.watch w join pg_class c on c.oid = w.rel
), up(rel, oid) as (
	select rel, rel from watched
	union select u.rel, i.inhparent from pg_inherits i join up u on i.inhrelid = u.oid
), roots as (
	select distinct oid from up where not exists (select from pg_inherits i where i.inhrelid = up.oid)
), down(root, oid) as (
	select oid, oid from roots
	union select d.root, i.inhrelid from pg_inherits i join down d on i.inhparent = d.oid
), wanted as (
	select d.root, d.oid, k.name from down d, (values ('weir_insert'), ('weir_update'), ('weir_delete'), ('weir_truncate')) k(name)
)
select w.root, w.oid::regclass::text, w.name,
	case when t.oid is null then 'is missing'
		when t.tgfoid is distinct from to_regproc('weir.capture_' || w.root || '_' || substr(w.name, 6)) then 'reports another table'
		else 'is disabled' end,
	t.oid is null or t.tgfoid is distinct from to_regproc('weir.capture_' || w.root || '_' || substr(w.name, 6)),
	(select paused from weir.reader)
from wanted w left join pg_trigger t on t.tgrelid = w.oid and t.tgname = w.name
where t.oid is null or t.tgenabled in ('D', 'R') or t.tgfoid is distinct from to_regproc('weir.capture_' || w.root || '_' || substr(w.name, 6))
order by 1, 2, 3`

// uncaptured returns the root tables with drift.
func uncaptured(ctx context.Context, conn *pgx.Conn) (map[uint32]drift, error) {
	rows, err := conn.Query(ctx, driftSQL)
	if err != nil {
		return nil, err
	}
	found := map[uint32]drift{}
	var root uint32
	var table, name, why string
	var repairable, paused bool
	_, err = pgx.ForEachRow(rows, []any{&root, &table, &name, &why, &repairable, &paused}, func() error {
		d, again := found[root]
		if paused {
			d.why = "capture is paused"
		} else if !again {
			d.why = "trigger " + name + " of " + table + " " + why
		}
		d.repairable = (d.repairable || repairable) && !paused
		found[root] = d
		return nil
	})
	return found, err
}

// staleTables returns the root tables whose columns changed since their triggers
// were brought up to date (Table.Stale).
func staleTables(ctx context.Context, conn *pgx.Conn) ([]uint32, error) {
	rows, err := conn.Query(ctx, `select c.oid from weir.watch w join pg_class c on c.oid = w.rel, weir.reader r
		where w.attnum = 0 and not r.paused and w.name::text is distinct from `+signatureSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uint32])
}

// Uncaptured returns which of the root tables are not fully captured now, and
// why. Without tables it answers for all that are watched.
func (c *Capture) Uncaptured(ctx context.Context, tables ...uint32) (map[uint32]string, error) {
	out := map[uint32]string{}
	err := withConn(ctx, c.url, func(conn *pgx.Conn) error {
		found, err := uncaptured(ctx, conn)
		if err != nil {
			return err
		}
		known := c.Tables()
		for root, d := range found {
			out[root] = d.why
		}
		if len(tables) == 0 {
			return nil
		}
		for root := range out {
			if !slices.Contains(tables, root) {
				delete(out, root)
			}
		}
		for _, t := range tables {
			if _, ok := known[t]; !ok {
				out[t] = "it is not watched"
			}
		}
		return nil
	})
	return out, err
}
