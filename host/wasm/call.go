package wasm

import (
	"context"
	"time"

	"weir/abi"
)

// Call is one run of a guest function. The caller owns it and must not change
// it before the run has ended. Its Output is part of it: when it is run again, that
// is the output of the other run.
type Call struct {
	// Function is the index in the manifest, Name its name for errors.
	Function int
	Name     string
	Kind     abi.Kind
	// Input is the encoded input array.
	Input []byte
	// Statements are the statements that the function may run.
	Statements Statements
	// Now is the time that the guest sees, the same for the whole call.
	Now time.Time
	// Seed makes a query's or a policy's randomness; nil is all zeros. It is asked
	// at the first use only, because few guests want any. A mutation draws from
	// the system and ignores it (G11).
	Seed func() [32]byte
	// Config answers the guest's configuration; nil has no keys.
	Config func(key string) (value string, ok bool)
	// Settings names what Config answers: equal answers have equal names. An
	// instance sees calls of one name only.
	Settings string
	// Backend runs statements. Nil refuses all.
	Backend Backend
	// Log takes the guest's lines, already bounded and free of control
	// characters; nil drops them. It runs on the call's goroutine.
	Log func(level int, line string)
	// Reached is told, once the call has ended, of each bound that refused the guest
	// something without ending it, by its key in the configuration. Nil is allowed.
	Reached func(limit string)

	warmUp bool // it is nobody's call, and ends when it asks the host for anything
	out    Output
}

// Statements maps the index of each statement that a function may run to the
// number of its parameters.
type Statements map[int]int

// Backend runs the statements that a call asked for, in the call's own
// transaction. The context ends with the call. Its methods are called one at a
// time, on the goroutine of the call.
type Backend interface {
	// Query fills in Rows or Err of every query in qs, in order. An error means
	// that the host could not run them at all: the guest ends with a HostError.
	Query(ctx context.Context, qs []*Query) error
	// Exec runs one statement of a mutation, likewise.
	Exec(ctx context.Context, q *Query) error
}

// Query is one statement that a call asked for.
type Query struct {
	// Statement is the index in the manifest, or -1 for SQL.
	Statement int
	SQL       string
	// Args are in the order of the statement's parameters.
	Args []abi.Value
	// Exec says that the guest asked by exec.
	Exec bool

	// Rows and Affected are the outcome. Rows nil and Err nil means that the
	// statement has not run.
	Rows     Rows
	Affected int64
	// Err is the statement's own error. The guest sees it as an errno and may go
	// on. An abi.Errno, or one with a Code of abi.SQLError or abi.BadRequest,
	// keeps its text for the guest; the text of others stays in the host.
	Err error
}

// Ran reports whether the statement has an outcome.
func (q *Query) Ran() bool { return q.Rows != nil || q.Err != nil }

// Rows is the result of a statement, held by the host. It must stay valid and
// unchanged as long as anybody holds it.
type Rows interface {
	Len() int
	Columns() int
	// Scalars is how many of the columns a guest reads. Those after them are
	// nested rows, which only JSON has.
	Scalars() int
	ColumnName(column int) string
	// AppendValueJSON and AppendValueCBOR append one value. CBOR must be
	// deterministic, because equal bytes are taken for equal values.
	AppendValueJSON(dst []byte, row, column int) []byte
	AppendValueCBOR(dst []byte, row, column int) []byte
}

// OutputKind says what a function returned.
type OutputKind uint8

// The kinds of output.
const (
	OutputNone  OutputKind = iota // nothing
	OutputValue                   // a value, in Output.Value
	OutputRows                    // rows that stayed in the host, in Output.View
	OutputError                   // an error of the guest's own, in Output.Err
)

// Output is what came of a Call. It holds no guest memory and may outlive the
// pool.
type Output struct {
	Kind OutputKind
	// Value is well-formed CBOR.
	Value []byte
	View  *View
	Err   *abi.Error

	// Queries are all statements that the guest asked for, in order. Those that
	// it never looked at have not run: the caller runs them if it needs them, at
	// least those of View.Queries.
	Queries []*Query
	// Looked says that the guest saw rows, now, randomness or asked for wake_at.
	// A call that did not is a plan (G13).
	Looked bool
	// WakeAt asks for another run, at least a second after Now (D9). Zero asks
	// for none.
	WakeAt time.Time

	// Cost is how long the guest ran, without its waits for SQL.
	Cost time.Duration
	// HostCalls counts the host functions it called.
	HostCalls int
	// Dropped counts the log lines over the bounds.
	Dropped int
}
