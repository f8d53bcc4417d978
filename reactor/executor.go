package reactor

import (
	"context"
	"time"
)

// Executor runs functions. The host implements it.
type Executor interface {
	// Execute runs a wave: executions of one tenant that may share a read
	// transaction. It returns one Result per Execution, in order, also when ctx
	// ends. The loop calls it from a goroutine of its own, several at a time.
	Execute(ctx context.Context, wave []*Execution) []Result
}

// Execution is one run of one group's function. It is immutable.
type Execution struct {
	Key   Key
	Query string // the group's name on the wire, for NewFrame
	Name  string // the function's name, for reports
	Call  any    // Request.Call, untouched
	Plan  any    // Result.Plan of the last run, nil if there was none (G13)
	Last  *Frame // the newest frame, nil at the first run
	Alone bool   // Result.Alone of the last run
	Cause Cause

	group  *group
	begun  time.Time
	waited time.Duration
	ended  time.Time // when the executor had returned, if the loop knows
}

// Result is what came of an Execution.
type Result struct {
	Err      error // nothing below counts, but Cost and Alone
	Epoch    Epoch
	Snapshot Snapshot // what the run's read transaction saw
	Reads    ReadSet
	// Frame is the encoded result of a query. It may be Execution.Last itself
	// when the content is equal.
	Frame *Frame
	// Decision is the answer of a policy, instead of a frame.
	Decision *Decision
	// Plan lets the next run repeat this one's statements without the guest.
	Plan any
	// WakeAt asks for another run at that time; zero asks for none (D9).
	WakeAt time.Time
	Cost   time.Duration
	// Alone keeps a query out of waves until a result says otherwise: the others
	// would wait for it. With an error it means that the wave was given up, by
	// nobody's fault or by one that is not known: the group runs again at once, by
	// itself, and the error is not shown.
	Alone bool
}

// Reason is why a group ran.
type Reason uint8

// The reasons.
const (
	First    Reason = iota + 1 // nobody had asked before
	Changed                    // a change concerned what it read
	Late                       // a change was missed by the result while it ran (F5)
	Defined                    // a table, view or function was redefined (R4)
	Resynced                   // changes were lost; everything runs again
	Swept                      // the resync sweep's turn
	Woken                      // wake_at, or the host asked
	Retried                    // the last run failed
)

// String returns the reason in words for people.
func (r Reason) String() string {
	switch r {
	case First:
		return "first"
	case Changed:
		return "changed"
	case Late:
		return "changed while running"
	case Defined:
		return "redefined"
	case Resynced:
		return "resync"
	case Swept:
		return "sweep"
	case Woken:
		return "wake"
	case Retried:
		return "retry"
	}
	return "unknown"
}

// Cause is a Reason and, where one change was the first to make the group
// dirty, that change and how many more there were.
type Cause struct {
	Reason Reason
	Change *Change
	More   int
}

// Run reports one finished execution to Config.Observe.
type Run struct {
	Tenant      string
	Name        string
	Query       string
	Cause       Cause
	Subscribers int
	Cost        time.Duration
	// Waited is how long the group was dirty before it ran.
	Waited time.Duration
	// Held is how long its result waited for the loop, until just before it is
	// published.
	Held time.Duration
	Same bool // the content was equal: no new frame
	Size int  // of the frame in bytes
	// Version is the content version of a query's result, zero if it failed.
	Version Version
	Policy  bool // it decided access
	// Answer and Reason are a policy's; Unknown for a query.
	Answer Answer
	Reason string
	Err    error
}
