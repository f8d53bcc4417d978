package changelog

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// markSQL says that a reader is present. Triggers skip the log for transactions
// that began more than the retention after the mark. So when a mark is renewed
// after half of it, some may have skipped: the gap is counted, and every reader
// that sees another count starts over (C6).
const markSQL = `update weir.reader set
	gap = gap + case when seen_at < clock_timestamp() - retention / 2 then 1 else 0 end,
	seen_at = clock_timestamp(), retention = make_interval(secs => $1)`

// lifeSQL gives the life after a crash its name (C4). Two nodes may both do so;
// the lesser name counts, and the other node resyncs once more.
const lifeSQL = `insert into weir.life select gen_random_uuid()::text where not exists (select from weir.life)`

func mark(ctx context.Context, conn *pgx.Conn, retention time.Duration) error {
	if _, err := conn.Exec(ctx, lifeSQL); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, markSQL, retention.Seconds())
	return err
}

// runningSQL names the transactions of this database that are open, by virtual
// number: all have one from their start, also those that will write. Prepared ones
// have only their other number left.
const runningSQL = `select l.virtualtransaction from pg_locks l join pg_stat_activity a using (pid)
	where l.locktype = 'virtualxid' and l.granted and l.virtualxid = l.virtualtransaction
		and l.pid <> pg_backend_pid() and a.datname = current_database()
union all select 'prepared ' || p.transaction from pg_prepared_xacts p where p.database = current_database()`

// elders are transactions that may have skipped the log before the mark (C6).
type elders struct {
	left    map[string]struct{}
	checked time.Time
}

// running reads the transactions that are open now.
func running(ctx context.Context, conn *pgx.Conn) (map[string]struct{}, error) {
	rows, err := conn.Query(ctx, runningSQL)
	if err != nil {
		return nil, err
	}
	open := map[string]struct{}{}
	var name string
	_, err = pgx.ForEachRow(rows, []any{&name}, func() error { open[name] = struct{}{}; return nil })
	return open, err
}

// begin notes who is open. Short ones are given a moment to end, so that a start
// under load needs one resync and not two.
func (e *elders) begin(ctx context.Context, conn *pgx.Conn) error {
	e.left = nil
	open, err := running(ctx, conn)
	if err != nil {
		return err
	}
	e.left, e.checked = open, time.Now()
	for tries := 0; tries < 10 && len(e.left) > 0; tries++ {
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		if _, err := e.check(ctx, conn); err != nil {
			return err
		}
	}
	return nil
}

// check forgets those that ended and reports whether any did: what they wrote
// without a log row is visible from now on, and only a resync finds it.
func (e *elders) check(ctx context.Context, conn *pgx.Conn) (ended bool, err error) {
	e.checked = time.Now()
	open, err := running(ctx, conn)
	if err != nil {
		return false, err
	}
	for name := range e.left {
		if _, still := open[name]; !still {
			delete(e.left, name)
			ended = true
		}
	}
	return ended, nil
}
