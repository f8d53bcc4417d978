package inspect

import (
	"context"
	"errors"
	"fmt"

	"weir/abi"
)

// ErrClosed is returned by an Inspector that was closed.
var ErrClosed = errors.New("the inspector was closed")

// RefusedError says why a statement is not allowed. The text goes on after
// "statement 3 " and says what to write instead.
type RefusedError struct {
	What string
}

// Error returns the sentence.
func (e *RefusedError) Error() string { return e.What }

// Code returns abi.SQLError.
func (e *RefusedError) Code() abi.Code { return abi.SQLError }

func refuse(format string, args ...any) error {
	return &RefusedError{What: fmt.Sprintf(format, args...)}
}

// CrashKind says how a statement ended its inspection.
type CrashKind string

// The kinds of crashes.
const (
	CrashExit    CrashKind = "exit"    // the child ended
	CrashTimeout CrashKind = "timeout" // it was killed at the deadline
	CrashGarbage CrashKind = "garbage" // its answer was none, and it was killed
	CrashRepeat  CrashKind = "repeat"  // it, or others of its tenant, did so not long ago
)

// CrashError says that a statement ended its inspection instead of passing it,
// and is refused. It is not tried again for a while.
type CrashError struct {
	Kind CrashKind
	Err  error // for the log, or nil
}

// Error returns a sentence that goes on after "statement 3 ".
func (e *CrashError) Error() string {
	what := "could not be inspected (" + string(e.Kind) + "): make it shorter and less nested"
	if e.Err != nil {
		what += ": " + e.Err.Error()
	}
	return what
}

// Unwrap returns the cause.
func (e *CrashError) Unwrap() error { return e.Err }

// Code returns abi.SQLError: trying again does not help.
func (e *CrashError) Code() abi.Code { return abi.SQLError }

// FaultError says that no statement can be inspected now. Nothing is allowed
// until that is mended.
type FaultError struct {
	What string
	Err  error
}

// Error returns what failed and the cause.
func (e *FaultError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FaultError) Unwrap() error { return e.Err }

// Code returns abi.Unavailable, or abi.Deadline when the caller's time was over:
// the same may work a little later.
func (e *FaultError) Code() abi.Code {
	if errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled) {
		return abi.Deadline
	}
	return abi.Unavailable
}
