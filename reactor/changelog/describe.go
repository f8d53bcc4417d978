package changelog

import (
	"context"
	"maps"

	"github.com/jackc/pgx/v5"

	"weir/reactor"
)

// Table is what is known of a captured root table.
type Table struct {
	OID     uint32
	Name    string // schema-qualified, quoted
	Columns map[uint16]Column
	// Stale says that columns were added, dropped or renamed since the triggers
	// were brought up to date: they go by names, so that what they log may belong
	// to another column. Until they are, each change counts for the whole table.
	Stale bool
}

// Column is one column of a table and the kind of its canonical values.
type Column struct {
	Name    string
	Kind    reactor.Kind // KindNone: never in keys
	Watched bool
}

// Tables returns the captured tables by root OID, as of the last Watch or DDL.
// The caller must not change it.
func (c *Capture) Tables() map[uint32]Table {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tables
}

// Refresh reads the captured tables and their types again.
func (c *Capture) Refresh(ctx context.Context) error {
	return withConn(ctx, c.url, func(conn *pgx.Conn) error { return c.load(ctx, conn) })
}

// kindSQL resolves a column's type through domains to its base.
const kindSQL = `with recursive b as (
		select t.oid, t.typtype, t.typbasetype from pg_type t where t.oid = a.atttypid
		union all select t.oid, t.typtype, t.typbasetype from b join pg_type t on t.oid = b.typbasetype where b.typtype = 'd'
	) select case when typtype = 'e' then 0 else oid end from b where typtype <> 'd'`

const tablesSQL = `select c.oid, format('%I.%I', n.nspname, c.relname), a.attnum, a.attname::text,
	coalesce((` + kindSQL + `), 3)::oid, coalesce(l.collisdeterministic, true) and a.attgenerated <> 'v',
	exists (select from weir.watch w where w.rel = c.oid and w.attnum = a.attnum),
	exists (select from weir.watch w where w.rel = c.oid and w.attnum = 0 and w.name::text is distinct from ` + signatureSQL + `)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
	join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
	left join pg_collation l on l.oid = a.attcollation
where c.oid = any (array(select rel from weir.watch union select $1::oid))`

// load replaces the known tables.
func (c *Capture) load(ctx context.Context, conn *pgx.Conn) error {
	tables, err := loadTables(ctx, conn, 0)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tables = tables
	return nil
}

// loadTables describes all watched tables and the one given.
func loadTables(ctx context.Context, conn *pgx.Conn, extra uint32) (map[uint32]Table, error) {
	rows, err := conn.Query(ctx, tablesSQL, extra)
	if err != nil {
		return nil, err
	}
	tables := map[uint32]Table{}
	var oid, typeOID uint32
	var table, name string
	var num int16
	var plain, watched, stale bool
	_, err = pgx.ForEachRow(rows, []any{&oid, &table, &num, &name, &typeOID, &plain, &watched, &stale}, func() error {
		t, ok := tables[oid]
		if !ok {
			t = Table{OID: oid, Name: table, Columns: map[uint16]Column{}, Stale: stale}
			tables[oid] = t
		}
		kind := reactor.KindOf(typeOID)
		if typeOID == 0 {
			kind = reactor.KindEnum
		}
		if !plain { // nondeterministic collation, or computed when read
			kind = reactor.KindNone
		}
		t.Columns[uint16(num)] = Column{Name: name, Kind: kind, Watched: watched}
		return nil
	})
	return tables, err
}

// kinds returns the kinds of the root's columns.
func (f *family) kinds(ctx context.Context, conn *pgx.Conn) (map[int16]reactor.Kind, error) {
	tables, err := loadTables(ctx, conn, f.root)
	if err != nil {
		return nil, err
	}
	kinds := map[int16]reactor.Kind{}
	for num, c := range maps.All(tables[f.root].Columns) {
		kinds[int16(num)] = c.Kind
	}
	return kinds, nil
}
