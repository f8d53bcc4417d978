package peers

import (
	"context"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"weir/abi"
	"weir/host/wasm"
)

// BenchmarkPolicy is N17: may this editor change what they own? Without SQL, in a
// plugin in Go, beside OPA with a prepared query, CEL with a compiled program and
// the same in Go itself. The question is an owner, and a caller with a role.
func BenchmarkPolicy(b *testing.B) {
	code := goGuest(b, "plugin")
	who := map[string]any{"role": "editor", "owner": "u1234567", "me": "u1234567"}
	other := map[string]any{"role": "editor", "owner": "u7654321", "me": "u1234567"}

	rule := question{role: "editor", owner: "u1234567", me: "u1234567"}
	all := []contestant{decides(b, "native", func(v map[string]any) (bool, error) { return v["owner"] == v["me"], nil }, who, other)}
	all[0].run = func() error { verdict = rule.may(); return nil }
	index, input := policyCall(b, code, who)
	_, refused := policyCall(b, code, other)
	inputOf := func(v map[string]any) []byte {
		if v["owner"] == v["me"] {
			return input
		}
		return refused
	}
	r := rawOf(b, code, plainConfig())
	all = append(all, decides(b, "raw", func(v map[string]any) (bool, error) {
		d, err := abi.DecodeDecision(r.do(index, inputOf(v)))
		return err == nil && d.Allow, err
	}, who, other))
	for _, m := range modes {
		p := weirPool(b, code, m)
		ctx := context.Background()
		all = append(all, m.contestant("weir-", func() func() error {
			c := wasm.Call{Function: index, Name: "may", Kind: abi.Policy, Now: time.Unix(1_700_000_000, 0)}
			return decides(b, m.name, func(v map[string]any) (bool, error) {
				c.Input = inputOf(v)
				out, err := p.Call(ctx, &c)
				if err != nil {
					return false, err
				}
				d, err := abi.DecodeDecision(out.Value)
				return err == nil && d.Allow, err
			}, who, other).run
		}))
	}
	race(b, append(all, celContestant(b, who, other), opaContestant(b, true, who, other), opaContestant(b, false, who, other))...)
}

// verdict keeps what was decided from being optimized away.
var verdict bool

type question struct{ role, owner, me string }

//go:noinline
func (q *question) may() bool {
	return q.role == "admin" || q.role == "editor" && q.owner == q.me
}

// decides checks that who is let in and other is not.
func decides(t testing.TB, name string, decide func(map[string]any) (bool, error), who, other map[string]any) contestant {
	t.Helper()
	for _, v := range []map[string]any{other, who} {
		got, err := decide(v)
		must(t, err)
		if want := v["owner"] == v["me"]; got != want {
			t.Fatalf("%s says %v of %v", name, got, v)
		}
	}
	return contestant{name: name, run: func() error {
		ok, err := decide(who)
		if err == nil && !ok {
			t.Error(name, "changed its mind")
		}
		return err
	}}
}

// policyCall returns the policy's index and its input for a question.
func policyCall(t testing.TB, code []byte, v map[string]any) (int, []byte) {
	t.Helper()
	m := describe(t, code)
	i := function(t, m, "may")
	claims := map[string]abi.Value{"role": abi.Text(v["role"].(string)), "sub": abi.Text(v["me"].(string))}
	in, err := m.Functions[i].Input(abi.Map([]string{"owner"}, []abi.Value{abi.Text(v["owner"].(string))}), abi.Caller{
		Claim: func(name string) (abi.Value, bool) { c, ok := claims[name]; return c, ok },
	})
	must(t, err)
	return i, in.Bytes
}

// describe returns a plugin's manifest.
func describe(t testing.TB, code []byte) *abi.Manifest {
	t.Helper()
	data, err := weirPool(t, code, modes[0]).Describe(context.Background())
	must(t, err)
	m, err := abi.DecodeManifest(data)
	must(t, err)
	return m
}

func celContestant(t testing.TB, who, other map[string]any) contestant {
	t.Helper()
	env, err := cel.NewEnv(cel.Variable("role", cel.StringType), cel.Variable("owner", cel.StringType), cel.Variable("me", cel.StringType))
	must(t, err)
	checked, issues := env.Compile(`role == "admin" || (role == "editor" && owner == me)`)
	must(t, issues.Err())
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	must(t, err)
	return decides(t, "cel", func(v map[string]any) (bool, error) {
		out, _, err := program.Eval(v)
		if err != nil {
			return false, err
		}
		return out.Value().(bool), nil
	}, who, other)
}

const module = `package peers

default may := false

may if input.role == "admin"

may if {
	input.role == "editor"
	input.owner == input.me
}
`

// opaContestant asks a prepared query, with an input that was parsed before or
// with a map.
func opaContestant(t testing.TB, parsed bool, who, other map[string]any) contestant {
	t.Helper()
	ctx := context.Background()
	query, err := rego.New(rego.Query("data.peers.may"), rego.Module("peers.rego", module)).PrepareForEval(ctx)
	must(t, err)
	ask := func(option rego.EvalOption) (bool, error) {
		set, err := query.Eval(ctx, option)
		if err != nil {
			return false, err
		}
		return set.Allowed(), nil
	}
	if !parsed {
		return decides(t, "opa-map", func(v map[string]any) (bool, error) { return ask(rego.EvalInput(v)) }, who, other)
	}
	values := map[any]ast.Value{}
	for _, v := range []map[string]any{who, other} {
		values[v["owner"]] = ast.MustInterfaceToValue(v)
	}
	return decides(t, "opa-parsed", func(v map[string]any) (bool, error) { return ask(rego.EvalParsedInput(values[v["owner"]])) }, who, other)
}
