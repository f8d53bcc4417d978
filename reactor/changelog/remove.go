package changelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Pause drops weir's triggers, table by table, and keeps everything else. Live
// results that read these tables are told stale until Resume.
func Pause(ctx context.Context, url string) error {
	return withConn(ctx, url, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `update weir.reader set paused = true`); err != nil {
			return notSetUp(err)
		}
		return dropTriggers(ctx, conn)
	})
}

// Resume makes the triggers again for all that was watched. It may be called
// when nothing is paused. Running listeners start over.
func Resume(ctx context.Context, url string) error {
	return withConn(ctx, url, func(conn *pgx.Conn) error {
		// What was written meanwhile is not in the log: a gap (C6).
		_, err := conn.Exec(ctx, `update weir.reader set paused = false, gap = gap + 1 where paused`)
		if err != nil {
			return notSetUp(err)
		}
		rows, err := conn.Query(ctx, `select distinct c.oid from weir.watch w join pg_class c on c.oid = w.rel`)
		if err != nil {
			return err
		}
		oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
		if err != nil {
			return err
		}
		var all []error
		capture := NewCapture(CaptureConfig{URL: url})
		for _, oid := range oids {
			all = append(all, capture.watchOne(ctx, conn, Watch{Table: oid}, ""))
		}
		return errors.Join(all...)
	})
}

// Uninstall removes all that weir made in the database: triggers, event
// triggers, the schema, grants, and the roles if Setup made them and no other
// database needs them. The URL is an administrator's. It may be called again.
func Uninstall(ctx context.Context, adminURL string) error {
	return withConn(ctx, adminURL, func(conn *pgx.Conn) error {
		// Running nodes must not put triggers back meanwhile.
		_, err := conn.Exec(ctx, `do $$ begin
			if to_regclass('weir.reader') is not null then update weir.reader set paused = true; end if; end $$`)
		if err != nil {
			return err
		}
		for _, sql := range []string{
			`drop event trigger if exists weir_ddl`,
			`drop event trigger if exists weir_drop`,
		} {
			if err := dropBusy(ctx, conn, sql); err != nil {
				return err
			}
		}
		if err := dropTriggers(ctx, conn); err != nil {
			return err
		}
		if err := dropBusy(ctx, conn, `drop schema if exists weir cascade`); err != nil {
			return err
		}
		return dropRoles(ctx, conn)
	})
}

// dropTriggers removes triggers one table at a time where this role may, then
// the functions, which takes what is left.
func dropTriggers(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `select format('drop trigger if exists %I on %s', t.tgname, t.tgrelid::regclass)
		from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid
		join pg_namespace n on n.oid = p.pronamespace
		where n.nspname = 'weir' and t.tgname like 'weir\_%' and not t.tgisinternal and pg_has_role(c.relowner, 'USAGE')
		order by t.tgrelid`)
	if err != nil {
		return err
	}
	drops, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	rows, err = conn.Query(ctx, `select format('drop function if exists %s cascade', p.oid::regprocedure)
		from pg_proc p join pg_namespace n on n.oid = p.pronamespace
		where n.nspname = 'weir' and p.proname like 'capture\_%'`)
	if err != nil {
		return err
	}
	functions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, sql := range append(drops, functions...) {
		if err := dropBusy(ctx, conn, sql); err != nil {
			return err
		}
	}
	return nil
}

// dropBusy runs one statement that wants a table's lock, in short tries.
func dropBusy(ctx context.Context, conn *pgx.Conn, sql string) error {
	err := retry(ctx, func() error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `set local lock_timeout = '100ms'`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, sql)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// dropRoles drops the roles that Setup made. A role that another database still
// needs is left, and its rights here are gone.
func dropRoles(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `select rolname::text from pg_roles
		where shobj_description(oid, 'pg_authid') = 'made by weir db setup' and rolname <> current_user`)
	if err != nil {
		return err
	}
	roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, role := range roles {
		// What another database's setup grants meanwhile is a row of the same tables.
		err := retry(ctx, func() error {
			_, err := conn.Exec(ctx, `drop owned by `+quote(role))
			return err
		})
		if err != nil {
			return fmt.Errorf("drop what role %s may do here: %w", role, err)
		}
		if _, err := conn.Exec(ctx, `drop role `+quote(role)); err != nil && !stillNeeded(err) {
			return fmt.Errorf("drop role %s: %w", role, err)
		}
	}
	return nil
}
