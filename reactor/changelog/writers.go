package changelog

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Writer is a transaction that has written a table and has not committed: what it
// did is in no result, and cannot be.
type Writer struct {
	Table string // schema-qualified, quoted; a partition by its own name
	PID   int    // 0: a prepared transaction
	XID   string // as PostgreSQL prints it; the lower half of what the log has
	User  string
	// Open is for how long; zero if weir's role may not know.
	Open time.Duration
}

// maxWriters bounds what Writers returns.
const maxWriters = 20

// writersSQL goes by locks, which every role may see: whoever has written a table
// holds one on it until the end, and one on the own transaction's number.
const writersSQL = `with recursive d(oid) as (select unnest($1::oid[]) union select i.inhrelid from pg_inherits i join d on i.inhparent = d.oid)
select format('%I.%I', n.nspname, c.relname), coalesce(l.pid, 0), t.transactionid::text, coalesce(a.usename::text, ''),
	coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::float8
from pg_locks l
	join pg_locks t on t.locktype = 'transactionid' and t.mode = 'ExclusiveLock' and t.granted and t.virtualtransaction = l.virtualtransaction
	join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
	left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'relation' and l.granted and l.database = (select oid from pg_database where datname = current_database())
	and l.relation in (select oid from d) and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
order by a.xact_start nulls last limit $2`

// Writers returns transactions that have written one of the tables, or a
// partition of it, and are still open; not all, if they are many.
func (c *Capture) Writers(ctx context.Context, tables []uint32) (list []Writer, err error) {
	err = withConn(ctx, c.url, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, writersSQL, tables, maxWriters)
		if err != nil {
			return err
		}
		var w Writer
		var open float64
		_, err = pgx.ForEachRow(rows, []any{&w.Table, &w.PID, &w.XID, &w.User, &open}, func() error {
			w.Open = time.Duration(open * float64(time.Second))
			list = append(list, w)
			return nil
		})
		return err
	})
	return list, err
}
