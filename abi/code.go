package abi

// Code says what went wrong, for programs. It is one table for host, guest and
// wire: problem documents, `problem` events and guest errors all carry it. A
// plugin may use its own codes with Fail; those in this table are weir's.
type Code string

// The codes. The comment is the HTTP status where one is sent.
const (
	// Requests.
	BadRequest      Code = "bad_request"        // 400: malformed JSON, unknown or mistyped argument, bad parameter
	TooLarge        Code = "too_large"          // 413: body, arguments or token over the bound
	UnknownFunction Code = "unknown_function"   // 404: no function of that name and kind
	UnknownPath     Code = "not_found"          // 404: no such path
	MethodNotUsed   Code = "method_not_allowed" // 405
	MediaType       Code = "media_type"         // 415: POST needs application/json
	SessionGone     Code = "session_gone"       // 404: unknown session, or another principal's
	WrongHost       Code = "wrong_host"         // 421: Host is not in server.hosts
	CrossSite       Code = "cross_site"         // 403: cross-site request without an allowed Origin

	// Access.
	Unauthenticated Code = "unauthenticated" // 401: no token, or one that does not hold
	Denied          Code = "denied"          // 403: a policy said no
	Expired         Code = "expired"         // 401: the token's time is over

	// Limits.
	LimitReached   Code = "limit"            // 429: sessions, subscriptions, groups, rate
	Overload       Code = "overload"         // 503: a queue is full
	ResultTooLarge Code = "result_too_large" // 500: rows or bytes over the bound
	Deadline       Code = "deadline"         // 504: the function or its SQL took too long

	// Functions.
	Conflict       Code = "conflict"        // 409: lost against other writes in all tries, or ended in COMMIT; retryable
	OutcomeUnknown Code = "outcome_unknown" // 500: lost in COMMIT, and nobody can tell whether it took place; not retryable
	SQLError       Code = "sql_error"       // 500: PostgreSQL refused a statement
	GuestTrap      Code = "guest_trap"      // 500: the module trapped
	GuestExit      Code = "guest_exit"      // 500: the module called proc_exit
	GuestBlocked   Code = "guest_blocked"   // 500: all goroutines of the call are asleep
	GuestMemory    Code = "guest_memory"    // 500: memory limit reached
	GuestStack     Code = "guest_stack"     // 500: stack limit reached
	GuestContract  Code = "guest_contract"  // 500: the module broke the contract (bad packed result, address, CBOR)
	HostCalls      Code = "host_calls"      // 500: too many host calls in one call
	PluginBroken   Code = "plugin_broken"   // 503: the breaker is open

	// State of the host.
	Unavailable   Code = "unavailable"    // 503: the database cannot be reached
	NotLive       Code = "not_live"       // 500: the result cannot be kept live now
	Stale         Code = "stale"          // reason of a stale state
	PluginRemoved Code = "plugin_removed" // reason of an end
	TenantRemoved Code = "tenant_removed" // reason of a close
	Draining      Code = "drain"          // 503, reason of a close
	Internal      Code = "internal"       // 500: anything else; details only in the log

	// Reasons of close and end events.
	Slow     Code = "slow"     // the client took bytes too slowly
	Shutdown Code = "shutdown" // the server stops at once
	Dropped  Code = "dropped"  // the client dropped the subscription
)

// Error is what a guest returns under TagError and what a client sees as a
// problem. It is encoded as a map {code, message, retryable, public}, at most
// MaxError bytes.
type Error struct {
	Code      Code
	Message   string
	Retryable bool
	// Public lets Code and Message reach the client. What is not public reaches
	// it as Internal, and the message only the log.
	Public bool
}

// Error returns "code: message".
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }
