package host

import (
	"context"
	"errors"
	"fmt"

	"weir/abi"
	"weir/host/auth"
	"weir/host/db"
	"weir/host/plugin"
	"weir/host/policy"
	"weir/host/serve"
	"weir/host/tenant"
	"weir/reactor"
)

// backend turns requests into subscriptions and mutations. It implements
// serve.Backend and is safe for concurrent use.
type backend struct {
	host *Host
}

var _ serve.Backend = (*backend)(nil)

// Subscribe implements serve.Backend.
func (b *backend) Subscribe(_ context.Context, who *auth.Caller, q serve.Query, on serve.Signals) (*serve.Live, error) {
	var req reactor.Request
	err := current(func() (err error) {
		req, err = b.request(who, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	req.Ready = func(*reactor.Subscription) { on.Ready() }
	req.Decided = func(*reactor.Subscription) { on.Decided() }
	live := &serve.Live{Sub: b.host.reactor.Subscribe(req)}
	if len(req.Policies) == 0 {
		on.Decided()
	}
	return live, nil
}

// Get implements serve.Backend.
func (b *backend) Get(ctx context.Context, who *auth.Caller, q serve.Query) (reactor.State, error) {
	var state reactor.State
	err := current(func() error {
		req, err := b.request(who, q)
		if err != nil {
			return err
		}
		if state, err = b.host.reactor.Get(ctx, req); err == nil && errors.Is(state.Err, plugin.ErrRetired) {
			return state.Err
		}
		if err == nil && state.Status == reactor.Moved {
			return errMoved
		}
		return err
	})
	switch {
	case err != nil:
		return reactor.State{}, err
	case state.Status == reactor.Denied:
		return reactor.State{}, serve.Denial(state.Policy, state.Reason)
	}
	return state, nil
}

// current does what a request asks for, and does it again when a plugin was
// replaced between the look-up and the call: then nothing has run, and the new
// one is asked.
func current(ask func() error) error {
	var err error
	for range tries {
		if err = ask(); !errors.Is(err, plugin.ErrRetired) && err != errMoved {
			return err
		}
	}
	return refusal(err)
}

// errMoved: the policies said something else while they were asked.
var errMoved = &serve.Refusal{Kind: abi.Unavailable, Message: "access is changing: try again"}

// request is the one gate before every subscription: function, arguments,
// policies, input, key. The reactor asks the policies, and keeps them live.
func (b *backend) request(who *auth.Caller, q serve.Query) (reactor.Request, error) {
	s, fn, args, err := b.resolve(q.Tenant, q.Name, q.Args, abi.Query)
	if err != nil {
		return reactor.Request{}, err
	}
	caller := policyCaller(who)
	asks, denial, err := s.guard.Asks(fn, args, caller)
	switch {
	case err != nil:
		return reactor.Request{}, refusal(err)
	case denial != nil:
		return reactor.Request{}, serve.Denial(denial.Policy, denial.Reason)
	}
	b.host.watched()
	req := reactor.Request{Tenant: s.tenant.Name, Name: fn.Name, At: q.At}
	if !who.Anonymous() {
		req.Principal = who.Principal.String()
	}
	for _, ask := range asks {
		req.Policies = append(req.Policies, newCall(s, ask.Policy, ask.Input).target(ask.Name))
	}
	resolve := func(scope reactor.Scope) (reactor.Target, error) {
		in, err := fn.Input(args, abi.Caller{Claim: caller.Claim, Scope: scopeOf(scope)})
		if err != nil {
			return reactor.Target{}, missing(err, caller)
		}
		return newCall(s, fn, in).target(fn.Name), nil
	}
	if len(fn.Scope) > 0 && len(asks) > 0 {
		// What it lacks beside the scope is told at once: no policy can mend it.
		unscoped := *fn.Function
		unscoped.Scope = nil
		if _, err := unscoped.Input(args, abi.Caller{Claim: caller.Claim}); err != nil {
			return reactor.Request{}, missing(err, caller)
		}
		req.Resolve = func(scope reactor.Scope) (reactor.Target, error) {
			t, err := resolve(scope)
			if err != nil {
				b.host.failed(s.tenant.Name, fn.Name, err, "scope")
			}
			return t, err
		}
		return req, nil
	}
	t, err := resolve(nil)
	req.Key, req.Call, req.Waves = t.Key, t.Call, t.Waves
	return req, err
}

// Mutate implements serve.Backend.
func (b *backend) Mutate(ctx context.Context, who *auth.Caller, name string, args serve.Arguments, key string) (serve.Answer, error) {
	caller := mutator{Caller: policyCaller(who), principal: who.Principal.String(), key: key}
	var a answer
	err := current(func() error {
		s, fn, values, err := b.resolve(who.Principal.Tenant, name, args, abi.Mutation)
		if err == nil {
			a, err = b.host.mutate(ctx, s, fn, values, caller)
		}
		return err
	})
	if err != nil {
		deadline := "mutation_timeout"
		if errors.Is(err, policy.ErrUndecided) {
			deadline = "policy_timeout"
		}
		b.host.limited(who.Principal.Tenant, err, deadline)
		return serve.Answer{}, refusal(missing(err, caller.Caller))
	}
	return serve.Answer{Result: a.result, Tx: a.tx}, nil
}

// Await implements serve.Backend.
func (b *backend) Await(tenantName string, s *reactor.Sync) { b.host.reactor.Await(tenantName, s) }

// resolve finds a function and reads its arguments.
func (b *backend) resolve(tenantName, name string, args serve.Arguments, kind abi.Kind) (*space, *plugin.Function, abi.Value, error) {
	s := b.host.spaces()[tenantName]
	if s == nil {
		return nil, nil, abi.Value{}, tenant.ErrUnknownTenant
	}
	fn, err := s.plugins.Lookup(name)
	if err != nil {
		return nil, nil, abi.Value{}, b.unknown(s, err)
	}
	if fn.Kind != kind {
		return nil, nil, abi.Value{}, &serve.Refusal{Kind: abi.UnknownFunction, Message: wrongKind(fn, kind)}
	}
	var values abi.Value
	if args.JSON != nil {
		values, err = abi.ParseJSON(args.JSON, abi.MaxDepth)
	} else if args.Params != nil {
		values, err = abi.ParseQuery(fn.Function, args.Params)
	}
	return s, fn, values, err
}

// unknown says that there is no such function. Until every plugin was tried nobody
// knows that: to whom it is said stops for good (D4), and after a restart clients
// are back before the last plugin is loaded.
func (b *backend) unknown(s *space, err error) error {
	if !s.tried.Load() {
		return &serve.Refusal{Kind: abi.Unavailable, Message: "the plugins are not loaded yet: try again in a moment"}
	}
	return &serve.Refusal{Kind: abi.UnknownFunction, Message: err.Error()}
}

func wrongKind(fn *plugin.Function, asked abi.Kind) string {
	switch {
	case fn.Kind == abi.Mutation:
		return fmt.Sprintf("%s is a mutation: POST /v1/call/%s", fn.Name, fn.Name)
	case fn.Kind == abi.Query:
		return fmt.Sprintf("%s is a query: GET /v1/q/%s", fn.Name, fn.Name)
	}
	return fmt.Sprintf("%s is a %s, not a %s", fn.Name, fn.Kind, asked)
}

func policyCaller(who *auth.Caller) policy.Caller {
	return policy.Caller{
		SignedIn: !who.Anonymous(),
		Claim: func(name string) (abi.Value, bool) {
			v, ok := who.Claim(name)
			if !ok {
				return abi.Value{}, false
			}
			return claimValue(v), true
		},
	}
}

// claimValue is a token's value as functions see it.
func claimValue(v any) abi.Value {
	switch v := v.(type) {
	case bool:
		return abi.Bool(v)
	case string:
		return abi.Text(v)
	case int64:
		return abi.Int(v)
	case float64:
		return abi.Float(v)
	case []any:
		items := make([]abi.Value, len(v))
		for i := range v {
			items[i] = claimValue(v[i])
		}
		return abi.Array(items...)
	case map[string]any:
		keys := make([]string, 0, len(v))
		values := make([]abi.Value, 0, len(v))
		for key, value := range v {
			keys, values = append(keys, key), append(values, claimValue(value))
		}
		return abi.Map(keys, values)
	}
	return abi.Null()
}

// scopeOf gives a function the values that its policies put into the scope.
func scopeOf(scope reactor.Scope) func(name string) (abi.Value, bool) {
	return func(name string) (abi.Value, bool) {
		encoded, ok := scope[name]
		if !ok {
			return abi.Value{}, false
		}
		v, err := abi.DecodeCBOR([]byte(encoded))
		return v, err == nil
	}
}

// missing says what is told of an input that the caller cannot complete: who is
// not signed in is asked to, who lacks a claim is denied. A scope that the
// function cannot use is the policies' fault, and denies nobody (F4).
func missing(err error, who policy.Caller) error {
	var source *abi.SourceError
	switch {
	case !errors.As(err, &source):
		return err
	case source.From == "scope":
		return serve.Undecided(source)
	case !who.SignedIn:
		return refusal(policy.ErrSignIn)
	}
	return &serve.Refusal{Kind: abi.Denied, Message: source.Error()}
}

// refusal gives errors that carry no code their public form.
func refusal(err error) error {
	switch {
	case errors.Is(err, policy.ErrSignIn):
		return &serve.Refusal{Kind: abi.Unauthenticated, Message: policy.ErrSignIn.Error()}
	case errors.Is(err, db.ErrConflict) || errors.Is(err, db.ErrUnstable):
		return err // other writes were in the way, of a policy's reads too
	case errors.Is(err, policy.ErrUnable) || errors.Is(err, policy.ErrUndecided):
		return serve.Undecided(err)
	case errors.Is(err, plugin.ErrRetired):
		return fmt.Errorf("%w: %w", &serve.Refusal{Kind: abi.Unavailable, Message: "the plugin is being replaced: try again"}, err)
	}
	return err
}
