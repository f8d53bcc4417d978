package wasm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"weir/abi"
	"weir/host/tenant"
)

// ErrClosed is returned by a pool or runtime that was closed.
var ErrClosed = errors.New("closed")

// ErrReentrant is returned for a call made from inside another: a guest that
// could reach a guest through the host would overflow the host's stack (G15).
var ErrReentrant = errors.New("a guest call inside a guest call")

// Where names the plugin and the function that an error is about. Function is
// empty before the first call.
type Where struct {
	Plugin   string
	Function string
}

// String returns "plugin chat, messages.list".
func (w Where) String() string {
	if w.Function == "" {
		return "plugin " + w.Plugin
	}
	return "plugin " + w.Plugin + ", " + w.Function
}

// TrapKind says what a guest trapped on.
type TrapKind string

// The kinds of traps.
const (
	TrapPlain   TrapKind = "trap"    // unreachable, division by zero, memory access, …
	TrapStack   TrapKind = "stack"   // the call stack is full
	TrapMemory  TrapKind = "memory"  // it trapped or exited after memory was refused
	TrapBlocked TrapKind = "blocked" // all its goroutines wait for each other
)

// TrapError says that a guest trapped. Its instance is gone.
type TrapError struct {
	Where
	Kind TrapKind
	What string // wazero's name of the trap: "unreachable"
	// Trace is the guest's stack, for the log only.
	Trace string
	// Said is the first line that the guest wrote to standard error, for the log
	// and for who loads it only: it may hold what a caller gave.
	Said string
}

// Error returns a sentence without the trace.
func (e *TrapError) Error() string {
	switch e.Kind {
	case TrapStack:
		return e.Where.String() + ": the guest's stack is full"
	case TrapMemory:
		return e.Where.String() + ": the guest needs more memory than its limit"
	case TrapBlocked:
		return e.Where.String() + ": all goroutines of the call are asleep"
	}
	return e.Where.String() + ": trap: " + e.What
}

// Code returns the code for the kind.
func (e *TrapError) Code() abi.Code {
	switch e.Kind {
	case TrapStack:
		return abi.GuestStack
	case TrapMemory:
		return abi.GuestMemory
	case TrapBlocked:
		return abi.GuestBlocked
	}
	return abi.GuestTrap
}

// ExitError says that a guest called proc_exit, whatever the status.
type ExitError struct {
	Where
	Status uint32
}

// Error returns a sentence.
func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: the guest exited with status %d", e.Where, e.Status)
}

// Code returns abi.GuestExit.
func (e *ExitError) Code() abi.Code { return abi.GuestExit }

// DeadlineError says that a call took too long. It wraps
// context.DeadlineExceeded.
type DeadlineError struct {
	Where
	// Guest says that the guest used up the time it may compute; else the
	// deadline of the whole call passed.
	Guest bool
}

// Error returns a sentence.
func (e *DeadlineError) Error() string {
	if e.Guest {
		return e.Where.String() + ": the guest computed for too long"
	}
	return e.Where.String() + ": the call took too long"
}

// Code returns abi.Deadline.
func (e *DeadlineError) Code() abi.Code { return abi.Deadline }

// Unwrap returns context.DeadlineExceeded.
func (e *DeadlineError) Unwrap() error { return context.DeadlineExceeded }

// HostError says that the host failed a guest: the database is away, or a host
// function panicked.
type HostError struct {
	Where
	Func string // the host function
	// Bug says that it panicked; Trace has the stack, for the log only.
	Bug   bool
	Trace string
	Err   error
}

// Error returns a sentence without the trace.
func (e *HostError) Error() string { return e.Where.String() + ": " + e.Func + ": " + e.Err.Error() }

// Code returns the code of what it wraps, abi.Internal if that has none.
func (e *HostError) Code() abi.Code { return codeOf(e.Err) }

// codeOf returns the code that an error carries, or abi.Internal.
func codeOf(err error) abi.Code {
	var own *abi.Error
	var coded interface{ Code() abi.Code }
	switch {
	case errors.As(err, &own):
		return own.Code
	case errors.As(err, &coded):
		return coded.Code()
	}
	return abi.Internal
}

// Unwrap returns the cause.
func (e *HostError) Unwrap() error { return e.Err }

// ContractError says that a guest broke the contract: a bad packed result, an
// address outside its memory, CBOR that is none.
type ContractError struct {
	Where
	What string
}

// Error returns a sentence.
func (e *ContractError) Error() string { return e.Where.String() + ": " + e.What }

// Code returns abi.GuestContract.
func (e *ContractError) Code() abi.Code { return abi.GuestContract }

// LimitError says that a call went over a bound and ended.
type LimitError struct {
	Where
	What string
	code abi.Code
	err  error
}

// Error returns a sentence.
func (e *LimitError) Error() string { return e.Where.String() + ": " + e.What }

// Code returns abi.HostCalls or abi.ResultTooLarge.
func (e *LimitError) Code() abi.Code { return e.code }

// Unwrap returns the tenant's sentinel, if there is one for the bound.
func (e *LimitError) Unwrap() error { return e.err }

func tooLarge(w Where, what string) error {
	return &LimitError{Where: w, What: what, code: abi.ResultTooLarge, err: tenant.ErrResultTooLarge}
}

// errStopped is what a host function panics with to end the guest, which is the
// way that wazero has for it. The reason is in frame.stopped.
var errStopped = errors.New("the host ended the guest")

// stackOverflow is wazero's name of that trap; the value is not exported.
const stackOverflow = "stack overflow"

// fault turns what wazero returned into one of the typed errors. The instance
// must be dropped.
func (f *frame) fault(err error) error {
	switch {
	case f.stopped != nil:
		if trap, ok := f.stopped.(*TrapError); ok {
			trap.Trace, trap.Said = withoutMeter(err.Error()), f.logs.first
		}
		return f.refine(f.stopped)
	case f.hosting != "":
		what, trace, _ := strings.Cut(err.Error(), " (recovered by wazero)")
		return &HostError{Where: f.where(), Func: f.hosting, Bug: true, Trace: trace, Err: errors.New("BUG: panic: " + what)}
	}
	trap := &TrapError{Where: f.where(), Kind: TrapPlain, Trace: err.Error(), Said: f.logs.first}
	if cause := errors.Unwrap(err); cause != nil {
		trap.What = cause.Error()
	} else {
		trap.What, _, _ = strings.Cut(err.Error(), "\n")
	}
	if trap.What == stackOverflow {
		trap.Kind = TrapStack
	}
	return f.refine(trap)
}

// refine names the cause of a trap or an exit more exactly. Guests end in many
// ways after memory was refused or when the Go runtime finds a deadlock; that
// they ended is certain, so nothing is decided by what a guest wrote but the
// name of its own fault.
func (f *frame) refine(err error) error {
	var trap *TrapError
	var exit *ExitError
	kind := TrapKind("")
	switch {
	case !errors.As(err, &trap) && !errors.As(err, &exit), trap != nil && trap.Kind != TrapPlain:
		return err
	case f.inst.memory.refused:
		kind = TrapMemory
	case f.logs.deadlock:
		kind = TrapBlocked
	default:
		return err
	}
	if trap == nil {
		trap = &TrapError{Where: exit.Where, What: "exit"}
	}
	trap.Kind = kind
	return trap
}

// late returns the error of a call whose time is over.
func (f *frame) late() error {
	if errors.Is(f.watch.Err(), context.Canceled) {
		return fmt.Errorf("%s: %w", f.where(), context.Canceled)
	}
	return &DeadlineError{Where: f.where(), Guest: f.watch.spent}
}
