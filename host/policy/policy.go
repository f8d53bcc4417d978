package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/tenant"
	"weir/reactor"
)

// ErrSignIn is returned for a caller without a token where one is needed.
var ErrSignIn = errors.New("sign in first: the function is not public")

// ErrUnable is wrapped by the errors of policies that cannot be asked: one that is
// not there, or that needs what the function has not. They decide nothing (F4).
var ErrUnable = errors.New("a policy cannot be asked")

// ErrUndecided is wrapped by the errors of policies that were asked and did not
// answer: a trap, a deadline, garbage. They decide nothing either.
var ErrUndecided = errors.New("a policy gave no answer")

// Runner runs one policy. An error means that it decided nothing.
type Runner interface {
	RunPolicy(ctx context.Context, fn *plugin.Function, in abi.Input) (Outcome, error)
}

// Outcome is what a policy returned: rows of a statement, or a guest's value.
type Outcome struct {
	Rows  Rows   // nil for a guest
	Value []byte // CBOR, of a guest
}

// Rows are the rows of a statement that is a policy.
type Rows interface {
	Len() int
	Column(name string) int // -1 if there is none
	Value(row, column int) abi.Value
}

// Caller is who asks.
type Caller struct {
	SignedIn bool
	Claim    func(name string) (abi.Value, bool)
}

// Guard decides for one tenant. It is safe for concurrent use.
type Guard struct {
	Tenant *tenant.Tenant
	// Lookup finds the policies of other plugins, by function name.
	Lookup func(name string) (*plugin.Function, error)
}

// Ask is one policy to be asked, with all that it may know of the call.
type Ask struct {
	Name   string // as the function or the configuration names it
	Policy *plugin.Function
	Input  abi.Input
}

// Asks lists the policies that guard fn for a call with the given arguments. All
// of them must allow; none is asked if fn is open to the caller without. denial
// is not nil if it is known already that nothing can allow the call: a claim that
// a policy needs is missing. An error allows nothing.
func (g *Guard) Asks(fn *plugin.Function, args abi.Value, who Caller) (asks []Ask, denial *reactor.Decision, err error) {
	names, err := g.policies(fn)
	if err != nil {
		return nil, nil, err
	}
	if !fn.Access.Public && !who.SignedIn && !guestsMayTry(fn, names) {
		return nil, nil, ErrSignIn
	}
	if len(names) == 0 {
		return nil, nil, nil
	}
	in, err := arguments(fn).Input(args, abi.Caller{})
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		ask, err := g.ask(fn, name, in, who)
		var missing *abi.SourceError
		switch {
		case errors.As(err, &missing) && !who.SignedIn:
			return nil, nil, ErrSignIn
		case errors.As(err, &missing):
			return nil, &reactor.Decision{Answer: reactor.Deny, Policy: name, Reason: missing.Error()}, nil
		case err != nil:
			return nil, nil, fmt.Errorf("%w: policy %s: %w", ErrUnable, name, err)
		}
		asks = append(asks, ask)
	}
	return asks, nil, nil
}

// Decide asks all policies of a call, one after the other, and merges what they
// say. It is for calls that are decided once, like mutations in their transaction
// (F11); queries keep their decisions live. An error, like an answer that is not
// allow, allows nothing.
func (g *Guard) Decide(ctx context.Context, run Runner, fn *plugin.Function, args abi.Value, who Caller) (reactor.Decision, error) {
	asks, denial, err := g.Asks(fn, args, who)
	switch {
	case err != nil:
		return reactor.Decision{}, err
	case denial != nil:
		return *denial, nil
	case len(asks) == 0:
		return reactor.Decision{Answer: reactor.Allow}, nil
	}
	var answers []reactor.Decision
	for _, ask := range asks {
		out, err := run.RunPolicy(ctx, ask.Policy, ask.Input)
		var d reactor.Decision
		if err == nil {
			d, err = Read(out)
		}
		if err != nil {
			return reactor.Decision{}, fmt.Errorf("%w: policy %s: %w", ErrUndecided, ask.Name, err)
		}
		d.Policy = ask.Name
		if answers = append(answers, d); d.Answer == reactor.Deny {
			break // nothing can allow it any more
		}
	}
	return reactor.MergeDecisions(answers...), nil
}

// GuardedBy reports whether fn is guarded by one of these functions, by name.
func (g *Guard) GuardedBy(fn *plugin.Function, names map[string]bool) bool {
	policies, err := g.policies(fn)
	return err == nil && slices.ContainsFunc(policies, func(name string) bool {
		_, bare, crosses := strings.Cut(name, "/")
		return names[name] || crosses && names[bare]
	})
}

// Unmet is a policy that the configuration requires and that cannot be found.
type Unmet struct {
	Pattern, Policy string
	Err             error // why
}

// Unmet lists them, sorted by pattern.
func (g *Guard) Unmet() (list []Unmet) {
	for _, pattern := range slices.Sorted(maps.Keys(g.Tenant.Require)) {
		for _, name := range g.Tenant.Require[pattern] {
			if _, err := g.lookup(name); err != nil {
				list = append(list, Unmet{pattern, name, err})
			}
		}
	}
	return list
}

// policies lists what guards fn: what its manifest says, then what the
// configuration requires.
func (g *Guard) policies(fn *plugin.Function) ([]string, error) {
	if !fn.Access.Stated() {
		return nil, fmt.Errorf("%w: %s says nothing about access", ErrUnable, fn.Name)
	}
	names := append([]string(nil), fn.Access.Policies...)
	// In order, so that the same caller is told the same reason each time.
	for _, pattern := range slices.Sorted(maps.Keys(g.Tenant.Require)) {
		ok, err := path.Match(pattern, fn.Name)
		if err != nil {
			return nil, fmt.Errorf("%w: require %q: %w", ErrUnable, pattern, err)
		}
		for _, name := range g.Tenant.Require[pattern] {
			if ok && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// guestsMayTry reports whether callers without a token are put before the
// policies instead of being refused: only where policies decide about a function
// that is not for the signed-in alone.
func guestsMayTry(fn *plugin.Function, policies []string) bool {
	return len(policies) > 0 && !fn.Access.SignedIn
}

// ask finds one policy and makes its input: the arguments that it declares, and
// of the caller the claims.
func (g *Guard) ask(fn *plugin.Function, name string, in abi.Input, who Caller) (Ask, error) {
	policy, err := g.find(fn, name)
	if err != nil {
		return Ask{}, err
	}
	input, err := fn.GuardInput(policy.Function, in, abi.Caller{Claim: who.Claim})
	return Ask{Name: name, Policy: policy, Input: input}, err
}

// find resolves a policy's name: in the own plugin, then as of another one.
func (g *Guard) find(fn *plugin.Function, name string) (*plugin.Function, error) {
	if own, err := fn.Plugin.Function(name); err == nil {
		return own, isPolicy(own)
	}
	return g.lookup(name)
}

// lookup resolves a policy's name among all plugins; plugin/name is that of one of
// them (G16).
func (g *Guard) lookup(name string) (*plugin.Function, error) {
	owner, bare, crosses := strings.Cut(name, "/")
	if !crosses {
		bare = name
	}
	found, err := g.Lookup(bare)
	switch {
	case err != nil:
		return nil, err
	case crosses && found.Plugin.Name() != owner:
		return nil, fmt.Errorf("plugin %s has no policy %s", owner, bare)
	}
	return found, isPolicy(found)
}

func isPolicy(f *plugin.Function) error {
	if f.Kind != abi.Policy {
		return fmt.Errorf("%s is a %s, not a policy", f.Name, f.Kind)
	}
	return nil
}

// arguments is fn as far as its arguments go: what its policies are asked about
// before it is known what they add.
func arguments(fn *plugin.Function) *abi.Function {
	return &abi.Function{Name: fn.Name, Kind: fn.Kind, Fields: fn.Fields}
}
