package db

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"weir/abi"
	"weir/host/tenant"
)

// What a caller branches on. The errors of this package wrap one of them and
// carry a code.
var (
	// ErrClosed: the DB was closed.
	ErrClosed = errors.New("database closed")
	// ErrConflict: the transaction lost against another one, or it was ended in
	// COMMIT; the same work may succeed in a new transaction.
	ErrConflict = errors.New("serialization conflict")
	// ErrUnavailable: PostgreSQL cannot be reached, is a standby (R10) or is
	// starting up.
	ErrUnavailable = errors.New("database unavailable")
	// ErrUnknownOutcome: the connection was lost in COMMIT and the server could
	// not say whether the transaction committed. To do the work again could do it
	// twice.
	ErrUnknownOutcome = errors.New("outcome of the commit is unknown")
	// ErrType: an argument does not fit its parameter.
	ErrType = errors.New("argument does not fit the parameter")
	// ErrRefused: a statement cannot be served or cannot be kept live (W10).
	ErrRefused = errors.New("statement refused")
	// ErrUnstable: relations were truncated or rewritten under a read
	// transaction, in every try (R9), the schema changed before it (R4) or the
	// server's history did (C4). What was read is not to be used; in a new
	// transaction it may be right.
	ErrUnstable = errors.New("the database changed under the transaction")
)

// Error is every error of this package that concerns one statement or one
// transaction. Its text may hold PostgreSQL's message and values of rows, so it
// is for logs; clients get the code (F4) and Public.
type Error struct {
	code abi.Code
	what string // what was being done, or the whole sentence
	is   error  // one of the sentinels, or nil
	err  error  // the cause, or nil
}

// Error returns what was done and the cause. A refusal is a whole sentence.
func (e *Error) Error() string {
	if e.err == nil || e.is == ErrRefused {
		return e.what
	}
	return e.what + ": " + e.err.Error()
}

// Code returns the code for clients and guests.
func (e *Error) Code() abi.Code { return e.code }

// Public returns what a client may be told beside the code, or "". Of a violated
// constraint it is the constraint's name, which its author chose; PostgreSQL's
// own text has values of rows.
func (e *Error) Public() string {
	var pg *pgconn.PgError
	if !errors.As(e.err, &pg) || e.code != abi.SQLError || !strings.HasPrefix(pg.Code, "23") {
		return ""
	}
	text := "the database does not allow it"
	switch pg.Code {
	case "23502":
		text = "a value is missing"
	case "23503":
		text = "a row that is referred to is missing, or one that would go is referred to"
	case "23001":
		text = "a row that would go is referred to"
	case "23505":
		text = "there is such a row already"
	case "23514":
		text = "a value is not allowed"
	case "23P01":
		text = "another row is in the way"
	}
	switch {
	case pg.ColumnName != "": // of a null: not every server names its constraint
		return text + " (column " + pg.ColumnName + ")"
	case pg.ConstraintName != "":
		return text + " (constraint " + pg.ConstraintName + ")"
	case pg.DataTypeName != "":
		return text + " (type " + pg.DataTypeName + ")"
	}
	return text
}

// Unwrap returns the sentinel and the cause.
func (e *Error) Unwrap() []error {
	errs := make([]error, 0, 2)
	if e.is != nil {
		errs = append(errs, e.is)
	}
	if e.err != nil {
		errs = append(errs, e.err)
	}
	return errs
}

// State returns the SQLSTATE when PostgreSQL refused, else "".
func (e *Error) State() string { return sqlState(e.err) }

// Retryable reports whether the same work may succeed a little later.
func Retryable(err error) bool {
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnstable)
}

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// fault gives an error of the driver or the server its code and sentinel. An
// error that has one already is returned as it is.
func fault(what string, err error) error {
	var own *Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	e := &Error{code: abi.SQLError, what: what, err: err}
	state := sqlState(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		e.code = abi.Deadline
	case state == "40001" || state == "40P01":
		e.code, e.is = abi.Conflict, ErrConflict
	case state == "57014" || state == "55P03" || state == "25P03" || state == "57P05":
		// query_canceled, lock_not_available, idle timeouts
		e.code = abi.Deadline
	case strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P") || strings.HasPrefix(state, "53"):
		e.code, e.is = abi.Unavailable, ErrUnavailable
	case errors.Is(err, tenant.ErrResultTooLarge):
		e.code = abi.ResultTooLarge
	case errors.Is(err, ErrClosed):
		e.code = abi.Shutdown
	case state == "" || isNetwork(err):
		e.code, e.is = abi.Unavailable, ErrUnavailable
	}
	return e
}

// isNetwork reports whether the connection itself failed.
func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network)
}

// refused returns a refusal: one sentence that says what to write instead.
func refused(format string, args ...any) error {
	return &Error{code: abi.NotLive, what: fmt.Sprintf(format, args...), is: ErrRefused}
}
