package serve

import (
	"cmp"
	"context"
	"fmt"
	"net/url"

	"weir/abi"
	"weir/host/auth"
	"weir/host/tenant"
	"weir/reactor"
)

// Backend is what requests are turned into. It is safe for concurrent use. The
// caller is never nil; who has no token is auth.Anonymous of the tenant.
//
// An error that clients may read is a *Refusal, an *abi.Error that is public, an
// *abi.ArgumentError or a sentinel of reactor or tenant; of any other they see
// at most the code.
type Backend interface {
	// Subscribe resolves the function, checks and completes the arguments, and
	// subscribes; policies are asked, and stay live, behind it. It does not wait.
	// The signals may come before it returns. When ctx has ended the caller is
	// gone: what it returns is left at once.
	Subscribe(ctx context.Context, who *auth.Caller, q Query, on Signals) (*Live, error)
	// Get returns a state that is at least as new as the call. A denial is a
	// Refusal.
	Get(ctx context.Context, who *auth.Caller, q Query) (reactor.State, error)
	// Await tells when a transaction has reached subscriptions of a tenant.
	Await(tenant string, s *reactor.Sync)
	// Mutate runs a mutation. With a key, which may be empty, it runs once: the
	// same call with the same key is answered as it was the first time.
	Mutate(ctx context.Context, who *auth.Caller, name string, args Arguments, key string) (Answer, error)
}

// Signals are called once each, from any goroutine, and do not block.
type Signals struct {
	// Decided: the policies have answered, or there are none. It is not called
	// for a subscription that is refused before.
	Decided func()
	// Ready: the subscription has its first state, or is refused.
	Ready func()
}

// Query asks for the result of a query function.
type Query struct {
	Tenant string
	Name   string
	Args   Arguments
	// At is the newest state that the client was shown; zero if none.
	At reactor.Stamp
}

// Arguments are what the client sent, not yet checked: either JSON or Params is
// set, or neither when there are none.
type Arguments struct {
	// JSON is the text of one value, well formed but no more than that: it may
	// have duplicate keys.
	JSON []byte
	// Params has one entry for each argument, without the reserved parameters.
	Params url.Values
}

// Live is a subscription.
type Live struct {
	Sub *reactor.Subscription
}

// State returns what may be shown now, once it is ready. False: nothing new.
func (l *Live) State() (reactor.State, bool) { return l.Sub.State() }

// Watches returns the publications whose news may change State, once it is ready.
func (l *Live) Watches() []*reactor.Publication { return l.Sub.Watches() }

// Query returns the group's name on the wire, once it is ready; "" while nothing
// is allowed.
func (l *Live) Query() string { return l.Sub.Query() }

// Err says why it was refused, once it is ready; nil if it was not.
func (l *Live) Err() error { return l.Sub.Err() }

// Leave ends it. It may be called twice.
func (l *Live) Leave() { l.Sub.Leave() }

// Answer is what came of a mutation.
type Answer struct {
	// Result is one JSON value. Empty means null.
	Result []byte
	// Tx names the transaction; zero if nothing was written (F11).
	Tx reactor.Stamp
}

// Schema describes a tenant's functions.
type Schema struct {
	// JSON is the document of GET /v1/schema.
	JSON []byte
	// Digest changes when the document does.
	Digest string
	// Public says that every function is public, so that the document needs no
	// token.
	Public bool
}

// Condition is one thing that must hold for the server to be ready.
type Condition struct {
	Name    string `json:"name"` // of few values: it is a metric's label
	OK      bool   `json:"ok"`
	Message string `json:"message,omitempty"` // a sentence with the next step
	// Mild does not keep the server from being ready: it serves as it did.
	Mild bool `json:"-"`
}

// Refusal is an error whose text is written for the client.
type Refusal struct {
	Kind abi.Code
	// Message is one sentence with the next step.
	Message string
	// Reason is a policy's reason for a Denied; empty means the code.
	Reason string
}

// Denial is the refusal of a policy that denied.
func Denial(policy, reason string) *Refusal {
	message := reason
	if message == "" {
		message = "access denied by policy " + policy
	}
	return &Refusal{Kind: abi.Denied, Message: message, Reason: cmp.Or(reason, policy)}
}

var errUndecided = &Refusal{Kind: abi.Unavailable, Message: "access cannot be decided now: try again later"}

// Undecided is the error of a call whose policies have not decided anything. The
// client is told to try again, whatever is wrong with them (F4); why is for the
// log.
func Undecided(why error) error { return fmt.Errorf("%w: %w", errUndecided, why) }

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

// Code returns the kind.
func (r *Refusal) Code() abi.Code { return r.Kind }

// TenantOf chooses the tenant of a request by the name in its path (/t/{name}),
// or, when name is empty, by its host name, which is in lower case and without a
// port. The error is tenant.ErrUnknownTenant.
type TenantOf func(host, name string) (*tenant.Tenant, error)

// OneTenant returns the choice of a server that has only t: every host and the
// bare paths lead to it, and /t/{its name}.
func OneTenant(t *tenant.Tenant) TenantOf {
	return func(_, name string) (*tenant.Tenant, error) {
		if name != "" && name != t.Name {
			return nil, tenant.ErrUnknownTenant
		}
		return t, nil
	}
}

// Verify returns the caller whose token this is. It refuses with
// auth.ErrUnauthenticated, or tenant.ErrOtherTenant when the token is good for
// another tenant.
type Verify func(ctx context.Context, t *tenant.Tenant, token string) (*auth.Caller, error)
