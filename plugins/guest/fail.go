package weir

import (
	"errors"
	"strings"
	"unicode/utf8"

	"weir/abi"
)

// Error is a failure that knows its code. Fail makes a public one; make one by
// hand to say that a repeat may succeed:
//
//	return Seat{}, &weir.Error{Code: "busy", Message: "try again", Public: true, Retryable: true}
type Error = abi.Error

// Fail returns an error that the client sees: code for programs, message for
// people. Every other error reaches the client as "internal", and its text only
// the log. Fail keeps its code when it is wrapped.
//
//	return weir.Fail("empty", "write something first")
func Fail(code, message string) error {
	return &Error{Code: abi.Code(code), Message: message, Public: true}
}

// Errors of statements. Test with errors.Is.
var (
	// ErrSQL says that PostgreSQL refused the statement: a constraint, a
	// privilege, a division by zero. The error's text says which, for the log.
	ErrSQL error = abi.ErrnoSQL
	// ErrNoRow says that One found no row.
	ErrNoRow = errors.New("no row")
	// ErrManyRows says that One found more than one row.
	ErrManyRows = errors.New("more than one row")
)

// HostError is a refusal by the host. errors.Is(err, ErrSQL), or another
// abi.Errno, tells which.
type HostError struct {
	Errno abi.Errno
	Text  string // what the host said, for the log
}

// Error returns the host's text.
func (e *HostError) Error() string { return e.Text }

// Unwrap returns the Errno.
func (e *HostError) Unwrap() error { return e.Errno }

// publicError is what the host is told about err.
func publicError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	code := abi.Internal
	if errors.Is(err, ErrSQL) {
		code = abi.SQLError
	}
	return &Error{Code: code, Message: err.Error()}
}

// maxMessage keeps an error value under abi.MaxError, whatever its code.
const maxMessage = abi.MaxError - 512

// cut shortens s to at most n bytes without splitting a character, and makes it
// the UTF-8 that an encoded text must be.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
