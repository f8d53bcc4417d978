package tenant

import "errors"

// The limits that a caller can reach. They are returned wrapped with the number
// that was reached; the table of problems turns them into codes.
var (
	// ErrTooManySessions: the tenant, the principal or the address has as many
	// sessions as it may.
	ErrTooManySessions = errors.New("too many sessions")
	// ErrTooManySubscriptions: the session or the principal has as many
	// subscriptions as it may.
	ErrTooManySubscriptions = errors.New("too many subscriptions")
	// ErrTooManyGroups: the principal or the tenant keeps as many groups alive as
	// it may.
	ErrTooManyGroups = errors.New("too many live queries")
	// ErrOverloaded: a queue of the tenant is full; the same request may pass a
	// little later.
	ErrOverloaded = errors.New("overloaded")
	// ErrArgumentsTooLarge: the arguments are over MaxArgumentBytes.
	ErrArgumentsTooLarge = errors.New("arguments too large")
	// ErrResultTooLarge: a result is over MaxResultBytes or MaxResultRows.
	ErrResultTooLarge = errors.New("result too large")
	// ErrUnknownTenant: no tenant has that host name or path.
	ErrUnknownTenant = errors.New("unknown tenant")
	// ErrOtherTenant: the token is valid, but for another tenant.
	ErrOtherTenant = errors.New("the token is another tenant's: send it to the address of its own tenant")
)
