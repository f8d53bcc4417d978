package changelog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The log has three partitions. One is written; when a third of the retention
// has passed, or it has a third of the size, the next one is emptied and taken.
// What is emptied was sealed before: no writer was left in it and every row was
// visible in a snapshot that is kept (C5). Nothing here waits for a lock: TRUNCATE
// would wait for an open writer, and everybody else would wait for TRUNCATE.
//
// Writers take the slot from weir.mark and the partition's lock a moment later,
// and the row may go into a partition that was sealed between. So before it is
// emptied its rows are compared with the seal, under the lock; if one is newer,
// it is sealed again and kept for a turn.

// rotate does what is due, if this node is the one that rotates.
func (k *keeper) rotate(ctx context.Context, conn *pgx.Conn) error {
	if !k.rotating {
		err := conn.QueryRow(ctx, `select pg_try_advisory_lock($1)`, int64(lockRotate)).Scan(&k.rotating)
		if err != nil || !k.rotating {
			return err
		}
	}
	var slot int16
	var age float64
	var size int64
	err := conn.QueryRow(ctx, `select slot, extract(epoch from clock_timestamp() - turned_at)::float8,
		pg_total_relation_size(format('weir.log_%s', slot)::regclass) from weir.reader`).Scan(&slot, &age, &size)
	if err != nil {
		return err
	}
	if err := k.seal(ctx, conn, slot); err != nil {
		return err
	}
	due := time.Duration(age*float64(time.Second)) >= k.l.cfg.Retention/3 || size >= k.l.cfg.MaxLogBytes/3
	held := ""
	if due {
		if held, err = k.turn(ctx, conn, (slot+1)%3); err != nil {
			return err
		}
		if held == "" {
			k.l.count(func(s *Stats) { s.Rotations++ })
			if err := k.seal(ctx, conn, (slot+1)%3); err != nil {
				return err
			}
		}
	}
	var total int64
	err = conn.QueryRow(ctx, `select sum(pg_total_relation_size(format('weir.log_%s', s)::regclass))::bigint from generate_series(0, 2) s`).Scan(&total)
	k.l.count(func(s *Stats) { s.RotationHeld, s.LogBytes = held, total })
	return err
}

// seal stores for each partition that is not written, and has no writer left,
// the snapshot in which all its rows are visible.
func (k *keeper) seal(ctx context.Context, conn *pgx.Conn, written int16) error {
	rows, err := conn.Query(ctx, `select slot from weir.slot where slot <> $1 and sealed is null`, written)
	if err != nil {
		return err
	}
	slots, err := pgx.CollectRows(rows, pgx.RowTo[int16])
	if err != nil {
		return err
	}
	for _, slot := range slots {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf(`lock table only weir.log_%d in share mode nowait`, slot))
			if err != nil {
				return err
			}
			// A statement of its own: its snapshot is taken under the lock.
			_, err = tx.Exec(ctx, `update weir.slot set sealed = pg_current_snapshot() where slot = $1`, slot)
			return err
		})
		if err != nil && !Retryable(err) {
			return fmt.Errorf("seal log partition %d: %w", slot, err)
		}
	}
	return nil
}

// turn empties the next partition and makes it the written one. It says in words
// why it could not.
func (k *keeper) turn(ctx context.Context, conn *pgx.Conn, next int16) (held string, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf(`lock table only weir.log_%d in access exclusive mode nowait`, next))
		if err != nil {
			return err
		}
		var empty, sealed, newer bool
		err = tx.QueryRow(ctx, fmt.Sprintf(`select not exists (select from weir.log_%[1]d), s.sealed is not null,
			exists (select from weir.log_%[1]d where xid >= pg_snapshot_xmax(s.sealed))
			or exists (select from weir.log_%[1]d where xid = any (array(select pg_snapshot_xip(s.sealed))))
			from weir.slot s where s.slot = $1`, next), next).Scan(&empty, &sealed, &newer)
		switch {
		case err != nil:
			return err
		case !empty && (!sealed || newer):
			held = "a transaction wrote late into the partition that is due"
			_, err = tx.Exec(ctx, `update weir.slot set sealed = pg_current_snapshot() where slot = $1`, next)
			return err
		}
		trimmed := ""
		if !empty {
			// Snapshots of one server are ordered, and seals follow turns.
			trimmed = fmt.Sprintf(`, trimmed = (select sealed from weir.slot where slot = %d)`, next)
			if _, err := tx.Exec(ctx, fmt.Sprintf(`truncate table only weir.log_%d`, next)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `update weir.reader set slot = $1, turned_at = clock_timestamp()`+trimmed, next); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update weir.slot set sealed = null where slot = $1`, next)
		return err
	})
	if err != nil && Retryable(err) {
		return "a transaction holds the partition that is due", nil
	}
	return held, err
}
