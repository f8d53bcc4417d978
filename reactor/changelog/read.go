package changelog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/reactor"
)

// page is one read of the log: what the statement saw, in its own terms.
type page struct {
	began    time.Time
	now      time.Time // by the database's clock
	snapshot reactor.Snapshot
	epoch    reactor.Epoch
	gap      int64            // C6: another value means that triggers may have skipped the log
	trimmed  reactor.Snapshot // C5: what was truncated is visible in it
	late     bool             // the reader's mark should be renewed
	paused   bool
	crowded  bool  // C3: more than the limit; rows are one per table, without transaction
	rows     []row // by transaction, then by statement
}

// row is one row of weir.log.
type row struct {
	xid  uint64 // 0 if crowded
	rel  uint32
	op   byte
	mask []int16
	all  bool // mask is NULL
	keys string
	age  time.Duration // since the statement, when the log was read; 0 if crowded
	cols []int16       // of keys' values; nil if these are objects
}

// reader builds the statements once per server version.
type reader struct {
	head  string // only what the statement saw
	log   string // the same and the rows after the cursor
	crowd string // the same and one row for each table
}

// headSQL: the statement's snapshot and everything that decides whether the log
// can be trusted, read under this very snapshot (C4, C5, C6).
const headSQL = `select 0 as part, pg_current_snapshot()::text as snapshot, %s as epoch, r.gap,
	coalesce(r.trimmed::text, '') as trimmed,
	r.seen_at < clock_timestamp() - r.retention / 10 as late, r.paused, clock_timestamp() as now`

// logSQL: C2. Two index conditions instead of one range from xmin: the cost does
// not grow with the age of the oldest writer. What was in progress at the cursor
// is asked for by number, everything else is at or above its xmax. The rows that
// MVCC shows are those visible now; none was visible at the cursor.
//
// C3: it stops one row over the limit, and then crowdSQL is asked instead.
const logSQL = `with l as materialized (
	select * from (
		select xid, at, rel, op, mask, keys, cols from weir.log
			where xid >= pg_snapshot_xmax($1::text::pg_snapshot)
		union all
		select xid, at, rel, op, mask, keys, cols from weir.log
			where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot)))
	) as x limit $2 + 1
), n as materialized (select count(*) > $2 as crowded from l)
%s, n.crowded, null::text as xid, null::oid as rel, null::text as op, null::int2[] as mask,
	null::text as keys, null::int2[] as cols, null::timestamptz as at
	from weir.reader r, n
union all
select 1, null, null, null, null, null, null, null, null, l.xid::text, l.rel, l.op::text, l.mask, l.keys::text, l.cols, l.at
	from l where not (select crowded from n)
order by part, at`

// crowdSQL reads the same, one row per table. It is a statement of its own,
// because to plan for it would cost every other read a third more; nothing is
// taken from the one that stopped.
const crowdSQL = `%s, true as crowded, null::text as xid, null::oid as rel, null::text as op, null::int2[] as mask,
	null::text as keys, null::int2[] as cols, null::timestamptz as at
	from weir.reader r
union all
select 1, null, null, null, null, null, null, null, null, null, g.rel,
	case when g.ddl then 'X' when g.updates then 'U' else 'T' end,
	case when g.updates and g.masked then g.mask end, null, null, null
	from (
		select x.rel, x.op = 'X' as ddl, bool_and(x.op = 'U') as updates, bool_and(x.mask is not null) as masked,
			coalesce(array_agg(distinct m) filter (where m is not null), '{}') as mask
		from (
			select rel, op, mask from weir.log where xid >= pg_snapshot_xmax($1::text::pg_snapshot)
			union all
			select rel, op, mask from weir.log where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot)))
		) as x left join lateral unnest(x.mask) as m on true
		group by x.rel, x.op = 'X'
	) as g
order by part`

func newReader(serverVersion int) *reader {
	head := fmt.Sprintf(headSQL, EpochExpr(serverVersion))
	return &reader{head: head + ` from weir.reader r`, log: fmt.Sprintf(logSQL, head), crowd: fmt.Sprintf(crowdSQL, head)}
}

// start reads where the log stands, without its rows.
func (r *reader) start(ctx context.Context, conn *pgx.Conn) (page, error) {
	p := page{began: time.Now()}
	var part int
	var snapshot, epoch, trimmed string
	err := conn.QueryRow(ctx, r.head).Scan(&part, &snapshot, &epoch, &p.gap, &trimmed, &p.late, &p.paused, &p.now)
	if err != nil {
		return p, err
	}
	return p, p.parse(snapshot, epoch, trimmed)
}

// since reads what became visible after the cursor, in one statement: rows and
// snapshot belong together because they come from it.
func (r *reader) since(ctx context.Context, conn *pgx.Conn, cursor reactor.Snapshot, limit int) (page, error) {
	p, err := r.page(ctx, conn, r.log, cursor.String(), int64(limit))
	if err == nil && p.crowded {
		p, err = r.page(ctx, conn, r.crowd, cursor.String())
	}
	// By number; xid is text in the statement.
	slices.SortStableFunc(p.rows, func(a, b row) int { return cmp.Compare(a.xid, b.xid) })
	return p, err
}

func (r *reader) page(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (page, error) {
	p := page{began: time.Now()}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return p, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := p.scan(rows); err != nil {
			return p, err
		}
	}
	if err := rows.Err(); err != nil {
		return p, err
	}
	if p.snapshot.IsZero() {
		return p, fmt.Errorf("%w (weir.reader is empty)", ErrNotSetUp)
	}
	return p, nil
}

func (p *page) scan(rows pgx.Rows) error {
	var part int
	var snapshot, epoch, trimmed, xid, op, keys *string
	var gap *int64
	var late, paused, crowded *bool
	var rel *uint32
	var mask, cols []int16
	var now, at *time.Time
	err := rows.Scan(&part, &snapshot, &epoch, &gap, &trimmed, &late, &paused, &now, &crowded, &xid, &rel, &op, &mask, &keys, &cols, &at)
	if err != nil {
		return err
	}
	if part == 0 {
		p.gap, p.late, p.paused, p.crowded, p.now = *gap, *late, *paused, *crowded, *now
		return p.parse(*snapshot, *epoch, *trimmed)
	}
	r := row{rel: *rel, op: (*op)[0], mask: mask, all: mask == nil, cols: cols}
	if xid != nil {
		if _, err := fmt.Sscan(*xid, &r.xid); err != nil {
			return fmt.Errorf("log row's transaction: %w", err)
		}
	}
	if at != nil {
		r.age = p.now.Sub(*at)
	}
	if keys != nil {
		r.keys = *keys
	}
	if r.op == 'U' && !r.all && len(r.mask) == 0 {
		return nil // an update that changed nothing
	}
	p.rows = append(p.rows, r)
	return nil
}

func (p *page) parse(snapshot, epoch, trimmed string) (err error) {
	p.epoch = reactor.Epoch(epoch)
	if p.snapshot, err = reactor.ParseSnapshot(snapshot); err != nil || trimmed == "" {
		return err
	}
	p.trimmed, err = reactor.ParseSnapshot(trimmed)
	return err
}
