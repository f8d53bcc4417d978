package changelog

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNotSetUp is returned when the database has no schema weir, or an older one.
var ErrNotSetUp = errors.New("the database is not set up: run weir db setup --admin-url URL")

// ErrPooler is returned when the connection goes through a pooler (C14).
var ErrPooler = errors.New("the database URL leads through a connection pooler: weir needs a direct connection, so give the server's own host and port")

// ErrStandby is returned when the URL leads to a standby (R10).
var ErrStandby = errors.New("the database is a read-only standby: weir needs the primary")

// ErrPaused is returned by Watch while capture is paused.
var ErrPaused = errors.New("capture is paused: run weir db resume")

// NeedError says that the connected role lacks a right. It is safe to show.
type NeedError struct {
	Table string // schema-qualified, quoted
	Do    string // the one command to run
}

// Error says which table and which command.
func (e *NeedError) Error() string {
	return fmt.Sprintf("changes of %s cannot be captured by this role: run %s", e.Table, e.Do)
}

// RefusedError says that a table's changes cannot be captured at all (W10).
type RefusedError struct {
	Table string
	Why   string
}

// Error says which table and why.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("changes of %s cannot be captured: %s", e.Table, e.Why)
}

// Retryable reports whether an operation may succeed when it is tried again: a
// lock was not free, or another node did the same at the same time.
func Retryable(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "55P03", // lock_not_available
		"40001", "40P01", // serialization_failure, deadlock_detected
		"23505", "42710": // made by another at the same time
		return true
	case "XX000":
		return pg.Message == "tuple concurrently updated" || pg.Message == "tuple concurrently deleted"
	}
	return false
}

func missingSchema(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000" || pg.Code == "42703")
}

// stillNeeded reports whether a role cannot be dropped because another database
// depends on it, or that it has just gone.
func stillNeeded(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "2BP01" || pg.Code == "42704" || Retryable(err))
}

func notSetUp(err error) error {
	if missingSchema(err) {
		return ErrNotSetUp
	}
	return err
}
