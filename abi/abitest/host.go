package abitest

import (
	"context"
	"errors"
	"testing"
	"time"

	"weir/abi"
)

// Host is a host under test. host/wasm has one in its tests; another host needs
// only these methods.
type Host interface {
	// Load does what the host does with a plugin: check, compile, start, describe.
	// What is no plugin is an error that wraps ErrRefused, and what went wrong while
	// it ran an error with a Code. The host frees it when the test ends.
	Load(t testing.TB, module []byte, s Setup) (Loaded, error)
}

// ErrRefused is wrapped by errors about modules that are no plugins.
var ErrRefused = errors.New("refused")

// Loaded is a plugin that is ready.
type Loaded interface {
	Manifest() []byte
	// Call runs one call. An error has a Code and means that the call has no
	// outcome. It may be used from inside a call, which must be refused.
	Call(ctx context.Context, c Call) (*Outcome, error)
}

// Setup is how a plugin is loaded. Zero fields mean the host's defaults, but that
// a guest may compute for long enough on a busy machine.
type Setup struct {
	// Name and Text are of the source file that the module, an engine, runs.
	Name, Text string
	Dynamic    bool // the capability sql.dynamic is granted
	// The bounds that an operator may change.
	GuestTimeout, StartTimeout                       time.Duration
	MemoryBytes, ResultBytes                         int64
	HostCalls, Statements, Handles, ResultRows, Logs int
	LogBytes                                         int
	// Log takes what is logged before the first call.
	Log func(level int, line string)
}

// Call is one call of a guest.
type Call struct {
	Function int
	Kind     abi.Kind // default a query
	Input    []byte   // default an empty array
	// Params are the statements of the function's uses with the number of their
	// parameters. Default {0: 2, 3: 2, 5: 0}.
	Params map[int]int
	Now    int64 // µs since 1970
	Seed   byte  // of a query's or policy's randomness
	Config map[string]string
	// Answer is the database. Default three rows of id and name.
	Answer func(ctx context.Context, a Asked) Answer
}

// Asked is a statement that a guest asked for.
type Asked struct {
	Statement int // -1 for SQL
	SQL       string
	Args      abi.Value // an array
	Exec      bool
}

// Answer is the outcome of a statement.
type Answer struct {
	Columns  []string
	Rows     [][]abi.Value
	Affected int64
	// Err is the statement's own error: an abi.Errno, or an *abi.Error whose code
	// says what is wrong.
	Err error
	// Fault is the host's: the call has no outcome.
	Fault error
}

// Outcome is what came of a call.
type Outcome struct {
	Tag   abi.Tag
	Value []byte     // of a value
	Rows  string     // of a handle: its rows as the client gets them, in JSON
	Err   *abi.Error // of an error
	// Ran are the statements that ran before the function had returned, in the
	// groups in which the database saw them; Left is how many it asked for that did
	// not.
	Ran  [][]Asked
	Left int
	Log  []string // level, a space, the line
	// WakeAt is in µs since 1970, 0 for none.
	WakeAt int64
	Looked bool // the call is no plan
}
