package reactor

import "errors"

var (
	// ErrClosed is returned after Run has ended.
	ErrClosed = errors.New("reactor is closed")
	// ErrTooManyGroups is returned when a tenant has Config.MaxGroups groups.
	ErrTooManyGroups = errors.New("too many different live queries")
	// ErrPrincipalGroups is returned when Config.PrincipalGroups groups were made
	// for one principal.
	ErrPrincipalGroups = errors.New("too many different live queries of one user")
	// ErrBehind means that the change log has not been read for MaxStale.
	ErrBehind = errors.New("the change log cannot be read")
	// ErrLate means that a change has waited for MaxStale.
	ErrLate = errors.New("a change is waiting to be shown")
	// ErrUncaptured means that changes of a table that was read are not logged.
	ErrUncaptured = errors.New("a table that was read is not captured")
	// ErrEpoch means that a run read another history than the change log.
	ErrEpoch = errors.New("the database has a new history that the change log has not reached")
	// ErrAhead means that the client says that it was shown a state which this
	// server's database has not reached.
	ErrAhead = errors.New("the database has not reached the state that was shown before")
)
