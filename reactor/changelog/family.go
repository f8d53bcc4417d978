package changelog

import (
	"context"
	"crypto/md5"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// family is a table with all tables below it: the topmost ancestor in
// pg_inherits, its partitions and children. Changes are reported under the root.
type family struct {
	root    uint32
	members []member // the root first
	columns []column // the root's, by number
	key     []string // primary key columns that pair old and new rows; nil if none can
}

// member is one table of a family.
type member struct {
	oid         uint32
	name        string // schema-qualified, quoted
	kind        byte   // relkind
	persistence byte
	schema      string
	width       int16 // highest column number, dropped ones included
	columns     int   // columns that are not dropped
	partition   bool
	parents     int
	mayTrigger  bool
	owner       bool
	subscribed  bool // filled by logical replication
	system      bool
	triggers    map[string]trigger
}

// trigger is one of weir's triggers as it stands in the catalog.
type trigger struct {
	enabled  byte   // O A D R
	function string // qualified
}

// column is one column of a root table.
type column struct {
	num     int16
	name    string
	virtual bool // computed when read (PostgreSQL 18): never in a transition table
	fixed   bool // of a type of fixed length
}

// familySQL lists the root of $1 and everything below.
const familySQL = `with recursive up as (
	select $1::oid as oid
	union select i.inhparent from pg_inherits i join up on i.inhrelid = up.oid
), roots as (
	select oid from up where not exists (select from pg_inherits i where i.inhrelid = up.oid)
), down as (
	select oid, 0 as depth from roots
	union select i.inhrelid, d.depth + 1 from pg_inherits i join down d on i.inhparent = d.oid
)
select c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relpersistence::text, n.nspname,
	(select coalesce(max(attnum), 0) from pg_attribute a where a.attrelid = c.oid)::int2,
	(select count(*) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
	c.relispartition,
	(select count(*) from pg_inherits i where i.inhrelid = c.oid),
	has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'TRIGGER'),
	has_schema_privilege(n.oid, 'USAGE') and pg_has_role(c.relowner, 'USAGE'),
	exists (select from pg_subscription_rel s where s.srrelid = c.oid),
	c.oid < 16384 or n.nspname = 'weir' or n.nspname ~ '^pg_'
from (select oid, min(depth) as depth from down group by oid) d
	join pg_class c on c.oid = d.oid join pg_namespace n on n.oid = c.relnamespace
order by d.depth, c.oid`

// loadFamily reads the family of a table. A table that does not exist gives a
// family without members.
func loadFamily(ctx context.Context, conn *pgx.Conn, table uint32) (family, error) {
	var f family
	rows, err := conn.Query(ctx, familySQL, table)
	if err != nil {
		return f, err
	}
	f.members, err = pgx.CollectRows(rows, scanMember)
	if err != nil || len(f.members) == 0 {
		return f, err
	}
	f.root = f.members[0].oid
	if err := f.loadTriggers(ctx, conn); err != nil {
		return f, err
	}
	if err := f.loadColumns(ctx, conn); err != nil {
		return f, err
	}
	return f, f.loadKey(ctx, conn)
}

func scanMember(r pgx.CollectableRow) (m member, err error) {
	var kind, persistence string
	err = r.Scan(&m.oid, &m.name, &kind, &persistence, &m.schema, &m.width, &m.columns, &m.partition, &m.parents,
		&m.mayTrigger, &m.owner, &m.subscribed, &m.system)
	if err == nil {
		m.kind, m.persistence = kind[0], persistence[0]
	}
	return m, err
}

func (f *family) loadTriggers(ctx context.Context, conn *pgx.Conn) error {
	oids := make([]uint32, 0, len(f.members))
	at := map[uint32]*member{}
	for i := range f.members {
		m := &f.members[i]
		m.triggers = map[string]trigger{}
		oids, at[m.oid] = append(oids, m.oid), m
	}
	rows, err := conn.Query(ctx, `select tgrelid, tgname, tgenabled::text, format('%s.%s', n.nspname, p.proname) from pg_trigger
		join pg_proc p on p.oid = tgfoid join pg_namespace n on n.oid = p.pronamespace
		where tgrelid = any ($1::oid[]) and tgname like 'weir\_%' and not tgisinternal`, oids)
	if err != nil {
		return err
	}
	var rel uint32
	var name, enabled, function string
	_, err = pgx.ForEachRow(rows, []any{&rel, &name, &enabled, &function}, func() error {
		at[rel].triggers[name] = trigger{enabled: enabled[0], function: function}
		return nil
	})
	return err
}

func (f *family) loadColumns(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `select attnum, attname::text, attgenerated = 'v', attlen > 0 from pg_attribute
		where attrelid = $1 and attnum > 0 and not attisdropped order by attnum`, f.root)
	if err != nil {
		return err
	}
	f.columns, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (c column, err error) {
		err = r.Scan(&c.num, &c.name, &c.virtual, &c.fixed)
		return c, err
	})
	return err
}

// loadKey finds the columns that pair old and new rows (C8). A deferrable key
// may hold duplicates inside a transaction, and no key spans the children of an
// inheritance parent: these do not pair.
func (f *family) loadKey(ctx context.Context, conn *pgx.Conn) error {
	if f.inherited() {
		return nil
	}
	rows, err := conn.Query(ctx, `select a.attname::text from pg_index i join pg_attribute a
		on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
		where i.indrelid = $1 and i.indisprimary and i.indimmediate and i.indisvalid order by a.attnum`, f.root)
	if err != nil {
		return err
	}
	f.key, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return err
}

// inherited reports whether the root has children that are not partitions.
func (f *family) inherited() bool { return len(f.members) > 1 && f.members[0].kind == 'r' }

// refuse returns why the family cannot be captured (C10), nil if it can.
func (f *family) refuse() error {
	for i := range f.members {
		m := &f.members[i]
		why := ""
		switch {
		case m.system:
			why = "it is a system table"
		case m.kind == 'f':
			why = "it is a foreign table, whose changes happen elsewhere"
		case m.kind == 'm':
			why = "it is a materialized view; query its tables or a plain view"
		case m.kind != 'r' && m.kind != 'p':
			why = "it is not a table"
		case m.persistence == 't':
			why = "it is a temporary table"
		case m.subscribed:
			why = "logical replication fills it, and statement triggers do not see that"
		case m.parents > 1:
			why = "it inherits from more than one table"
		}
		if why != "" {
			return &RefusedError{Table: m.name, Why: why}
		}
	}
	return nil
}

// numbers maps columns of a member to columns of the root, by name (C10).
func (f *family) numbers(ctx context.Context, conn *pgx.Conn, table uint32, columns []uint16) ([]int16, error) {
	var nums []int16
	for _, c := range columns {
		nums = append(nums, int16(c))
	}
	if table == f.root || len(nums) == 0 {
		return nums, nil
	}
	rows, err := conn.Query(ctx, `select r.attnum from pg_attribute m join pg_attribute r
		on r.attrelid = $2 and r.attname = m.attname and not r.attisdropped
		where m.attrelid = $1 and m.attnum = any ($3::int2[])`, table, f.root, nums)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int16])
}

// signatureSQL is the signature of the root c as it stands in the catalog.
const signatureSQL = `(select md5(string_agg(s.attnum || ':' || s.attname, chr(10) order by s.attnum))
	from pg_attribute s where s.attrelid = c.oid and s.attnum > 0 and not s.attisdropped)`

// signature stands for the numbers and names of the root's columns.
func (f *family) signature() string {
	var lines []string
	for _, c := range f.columns {
		lines = append(lines, fmt.Sprintf("%d:%s", c.num, c.name))
	}
	return fmt.Sprintf("%x", md5.Sum([]byte(strings.Join(lines, "\n"))))
}

// column returns the root's column of a number.
func (f *family) column(num int16) (column, bool) {
	i := slices.IndexFunc(f.columns, func(c column) bool { return c.num == num })
	if i < 0 {
		return column{}, false
	}
	return f.columns[i], true
}

// functionName returns the name of the root's trigger function for a trigger.
func (f *family) functionName(k triggerKind) string {
	return fmt.Sprintf("weir.capture_%d_%s", f.root, strings.TrimPrefix(k.name, "weir_"))
}
