package changelog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNewer is returned where a newer weir has set the database up. An older one
// would read its log wrongly, and must not set it back.
var ErrNewer = errors.New("a newer weir has set the database up: run that weir, or weir db uninstall with it and weir db setup with this one")

// logName and logVersion are the mark of the change log in weir.part. A change of
// schema.sql that an older weir could not read, or that needs more than being run
// again, is a new version. Those before the mark, 1 to 3, have none.
const (
	logName    = "change log"
	logVersion = 4
)

// newerState is the SQLSTATE by which Setup's statements refuse.
const newerState = "WEIR1"

// guard returns the statements that refuse a database of a newer weir, to be run
// first, under the lock of Setup.
func (c SetupConfig) guard() string {
	known := fmt.Sprintf("(%s, %d)", literal(logName), logVersion)
	for _, p := range c.Parts {
		known += fmt.Sprintf(", (%s, %d)", literal(p.Name), p.Version)
	}
	return fmt.Sprintf(`do $do$
declare
	newer text;
begin
	if pg_catalog.to_regclass('weir.part') is not null then
		select string_agg(format('%%s is in version %%s, this weir makes %%s', p.name, p.version, k.version), ', ')
			into newer from weir.part p join (values %s) k (name, version) on k.name = p.name where p.version > k.version;
		if newer is not null then
			raise exception using errcode = '%s', message = newer;
		end if;
	end if;
end
$do$;
`, known, newerState)
}

// refused tells why Setup's statements failed, if they refused.
func refused(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == newerState {
		return fmt.Errorf("%w (%s)", ErrNewer, pg.Message)
	}
	return err
}

// fits reports whether this weir can read the change log: nil, ErrNewer, or
// ErrNotSetUp for an older one.
func fits(ctx context.Context, conn *pgx.Conn) error {
	var version int
	err := conn.QueryRow(ctx, `select coalesce((select version from weir.part where name = $1), 0)`, logName).Scan(&version)
	switch {
	case err != nil:
		return notSetUp(err)
	case version > logVersion:
		return fmt.Errorf("%w (the change log is in version %d, this weir reads %d)", ErrNewer, version, logVersion)
	case version < logVersion:
		return fmt.Errorf("%w (the change log is an older weir's)", ErrNotSetUp)
	}
	return nil
}
