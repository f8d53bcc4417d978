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

// Runner runs one policy. An error means that it decided nothing.
type Runner interface {
	RunPolicy(ctx context.Context, fn *plugin.Function, in abi.Input) (Outcome, error)
}

// Outcome is what a policy returned: rows of a statement, or a guest's value.
type Outcome struct {
	Rows  Rows   // nil for a guest
	Value []byte // CBOR, of a guest
	// Snapshot is what it saw.
	Snapshot reactor.Snapshot
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

// Decide returns the merged answer of everything that guards fn for a call with
// the given arguments. An error, like an answer that is not allow, allows
// nothing.
func (g *Guard) Decide(ctx context.Context, run Runner, fn *plugin.Function, args abi.Value, who Caller) (reactor.Decision, error) {
	names, err := g.policies(fn)
	if err != nil {
		return reactor.Decision{}, err
	}
	if !fn.Access.Public && !who.SignedIn && !guestsMayTry(fn, names) {
		return reactor.Decision{}, ErrSignIn
	}
	if len(names) == 0 {
		return reactor.Decision{Answer: reactor.Allow}, nil
	}
	in, err := arguments(fn).Input(args, abi.Caller{})
	if err != nil {
		return reactor.Decision{}, err
	}
	var answers []reactor.Decision
	for _, name := range names {
		d, err := g.ask(ctx, run, fn, name, in, who)
		if err != nil {
			return reactor.Decision{}, fmt.Errorf("policy %s: %w", name, err)
		}
		if answers = append(answers, d); d.Answer == reactor.Deny {
			break // nothing can allow it any more
		}
	}
	return reactor.MergeDecisions(answers...), nil
}

// policies lists what guards fn: what its manifest says, then what the
// configuration requires.
func (g *Guard) policies(fn *plugin.Function) ([]string, error) {
	if !fn.Access.Stated() {
		return nil, fmt.Errorf("%s says nothing about access", fn.Name)
	}
	names := append([]string(nil), fn.Access.Policies...)
	// In order, so that the same caller is told the same reason each time.
	for _, pattern := range slices.Sorted(maps.Keys(g.Tenant.Require)) {
		ok, err := path.Match(pattern, fn.Name)
		if err != nil {
			return nil, fmt.Errorf("require %q: %w", pattern, err)
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

// ask evaluates one policy.
func (g *Guard) ask(ctx context.Context, run Runner, fn *plugin.Function, name string, in abi.Input, who Caller) (reactor.Decision, error) {
	policy, err := g.find(fn, name)
	if err != nil {
		return reactor.Decision{}, err
	}
	input, err := fn.GuardInput(policy.Function, in, abi.Caller{Claim: who.Claim})
	var missing *abi.SourceError
	if errors.As(err, &missing) {
		if !who.SignedIn {
			return reactor.Decision{}, ErrSignIn
		}
		return reactor.Decision{Answer: reactor.Deny, Policy: name, Reason: missing.Error()}, nil
	}
	if err != nil {
		return reactor.Decision{}, err
	}
	out, err := run.RunPolicy(ctx, policy, input)
	if err != nil {
		return reactor.Decision{}, err
	}
	d, err := read(out)
	d.Policy, d.GoodThrough = name, out.Snapshot
	return d, err
}

// find resolves a policy's name: in the own plugin, or as plugin/name (G16).
func (g *Guard) find(fn *plugin.Function, name string) (*plugin.Function, error) {
	var found *plugin.Function
	var err error
	if owner, bare, crosses := strings.Cut(name, "/"); crosses {
		found, err = g.Lookup(bare)
		if err == nil && found.Plugin.Name() != owner {
			return nil, fmt.Errorf("plugin %s has no policy %s", owner, bare)
		}
	} else if found, err = fn.Plugin.Function(name); err != nil {
		found, err = g.Lookup(name)
	}
	if err != nil {
		return nil, err
	}
	if found.Kind != abi.Policy {
		return nil, fmt.Errorf("%s is a %s, not a policy", name, found.Kind)
	}
	return found, nil
}

// arguments is fn as far as its arguments go: what its policies are asked about
// before it is known what they add.
func arguments(fn *plugin.Function) *abi.Function {
	return &abi.Function{Name: fn.Name, Kind: fn.Kind, Fields: fn.Fields}
}
