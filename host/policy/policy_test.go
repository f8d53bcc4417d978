package policy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/tenant"
	"weir/reactor"
)

// table is a statement's result: the first row names the columns.
type table [][]any

func (t table) Len() int { return len(t) - 1 }

func (t table) Column(name string) int { return slices.Index(t[0], any(name)) }

func (t table) Value(row, column int) abi.Value {
	switch v := t[row+1][column].(type) {
	case bool:
		return abi.Bool(v)
	case string:
		return abi.Text(v)
	case int:
		return abi.Int(int64(v))
	}
	return abi.Null()
}

var (
	yes = table{{"?column?"}, {1}}
	no  = table{{"?column?"}}
)

func value(v abi.Value) Outcome { return Outcome{Value: v.AppendCBOR(nil)} }

func decided(d abi.Decision) Outcome { return Outcome{Value: abi.AppendDecision(nil, &d)} }

func object(pairs ...any) abi.Value {
	var keys []string
	var values []abi.Value
	for i := 0; i < len(pairs); i += 2 {
		keys, values = append(keys, pairs[i].(string)), append(values, pairs[i+1].(abi.Value))
	}
	return abi.Map(keys, values)
}

// world is a tenant's plugins with a Runner that knows the outcome of each
// policy and notes who was asked about what.
type world struct {
	guard    Guard
	policies map[string]*plugin.Function
	outcomes map[string]Outcome
	errs     map[string]error
	asked    []string
	inputs   []string
}

func newWorld() *world {
	w := &world{policies: map[string]*plugin.Function{}, outcomes: map[string]Outcome{}, errs: map[string]error{}}
	w.guard = Guard{Tenant: &tenant.Tenant{Require: map[string][]string{}}, Lookup: w.lookup}
	return w
}

func (w *world) lookup(name string) (*plugin.Function, error) {
	if f := w.policies[name]; f != nil {
		return f, nil
	}
	return nil, &plugin.UnknownError{Name: name}
}

func (w *world) RunPolicy(_ context.Context, fn *plugin.Function, in abi.Input) (Outcome, error) {
	w.asked = append(w.asked, fn.Name)
	w.inputs = append(w.inputs, abi.Array(in.Values...).String())
	return w.outcomes[fn.Name], w.errs[fn.Name]
}

// policy adds a policy of the plugin "chat" with an outcome.
func (w *world) policy(name string, out Outcome, claims ...string) *abi.Function {
	return w.policyOf("chat", name, out, claims...)
}

func (w *world) policyOf(owner, name string, out Outcome, claims ...string) *abi.Function {
	f := function(owner, name, abi.Policy, abi.Access{})
	for _, c := range claims {
		f.Claims = append(f.Claims, abi.Claim{Name: c, Claim: c, Schema: abi.Schema{Type: "string"}})
	}
	w.policies[name], w.outcomes[name] = f, out
	return f.Function
}

func function(owner, name string, kind abi.Kind, access abi.Access) *plugin.Function {
	return &plugin.Function{
		Function: &abi.Function{Name: name, Kind: kind, Access: access},
		Plugin:   &plugin.Plugin{Manifest: &abi.Manifest{Name: owner}},
	}
}

func guarded(policies ...string) *plugin.Function {
	return function("chat", "rooms.list", abi.Query, abi.Access{Policies: policies})
}

var (
	nobody = Caller{Claim: func(string) (abi.Value, bool) { return abi.Value{}, false }}
	ann    = Caller{SignedIn: true, Claim: func(name string) (abi.Value, bool) { return abi.Text("ann"), name == "sub" }}
)

func (w *world) decide(t *testing.T, fn *plugin.Function, who Caller) (reactor.Decision, error) {
	t.Helper()
	w.asked, w.inputs = nil, nil
	d, err := w.guard.Decide(t.Context(), w, fn, abi.Null(), who)
	if err != nil && d.Answer == reactor.Allow {
		t.Errorf("an error came with an allow: %v", err)
	}
	return d, err
}

// TestAccessWithoutPolicies: public is for everyone, signed_in for those who
// are, and what says nothing is for nobody.
func TestAccessWithoutPolicies(t *testing.T) {
	t.Parallel()
	f := func(access abi.Access, who Caller, want reactor.Answer, wantErr error) {
		t.Helper()
		d, err := newWorld().decide(t, function("chat", "rooms.list", abi.Query, access), who)
		if d.Answer != want || !errors.Is(err, wantErr) {
			t.Errorf("%+v: got %s, %v; want %s, %v", access, d.Answer, err, want, wantErr)
		}
	}
	f(abi.Access{Public: true}, nobody, reactor.Allow, nil)
	f(abi.Access{Public: true}, ann, reactor.Allow, nil)
	f(abi.Access{SignedIn: true}, nobody, reactor.Unknown, ErrSignIn)
	f(abi.Access{SignedIn: true}, ann, reactor.Allow, nil)
	for _, who := range []Caller{nobody, ann} {
		d, err := newWorld().decide(t, function("chat", "rooms.list", abi.Query, abi.Access{}), who)
		if err == nil || !strings.Contains(err.Error(), "says nothing about access") || d.Answer != reactor.Unknown {
			t.Errorf("no access: got %s, %v", d.Answer, err)
		}
	}
}

// TestAnswers: what a statement's rows and a guest's value say. Whatever cannot
// be read is an error, and an error allows nothing (W5).
// Cases: 34.
func TestAnswers(t *testing.T) {
	t.Parallel()
	f := func(name string, out Outcome, want reactor.Answer, reason string) {
		t.Helper()
		w := newWorld()
		w.policy("member", out)
		d, err := w.decide(t, guarded("member"), ann)
		if want == reactor.Unknown {
			if err == nil || !strings.Contains(err.Error(), "policy member: ") {
				t.Errorf("%s: got %s, %v; want an error that names the policy", name, d.Answer, err)
			}
			return
		}
		if err != nil || d.Answer != want || d.Reason != reason {
			t.Errorf("%s: got %s %q, %v; want %s %q", name, d.Answer, d.Reason, err, want, reason)
		}
	}
	rows := func(t table) Outcome { return Outcome{Rows: t} }
	f("a row", rows(yes), reactor.Allow, "")
	f("rows", rows(table{{"id"}, {1}, {2}}), reactor.Allow, "")
	f("no row", rows(no), reactor.Deny, "")
	f("allow", rows(table{{"allow"}, {true}}), reactor.Allow, "")
	f("not allow", rows(table{{"allow", "reason"}, {false, "banned"}}), reactor.Deny, "banned")
	f("null", rows(table{{"allow"}, {nil}}), reactor.Unknown, "")
	f("allow is text", rows(table{{"allow"}, {"true"}}), reactor.Unknown, "")
	f("allow is a number", rows(table{{"allow"}, {1}}), reactor.Unknown, "")
	f("a reason that is null", rows(table{{"reason"}, {nil}}), reactor.Allow, "")
	f("a long reason", rows(table{{"allow", "reason"}, {false, strings.Repeat("é", abi.MaxError)}}),
		reactor.Deny, strings.Repeat("é", abi.MaxError/2))
	// Rows have no order: which comes first decides nothing.
	f("one of two denies, last", rows(table{{"allow", "reason"}, {true, ""}, {false, "banned"}}), reactor.Deny, "banned")
	f("one of two denies, first", rows(table{{"allow", "reason"}, {false, "banned"}, {true, ""}}), reactor.Deny, "banned")
	f("one of two is garbage", rows(table{{"allow"}, {true}, {nil}}), reactor.Unknown, "")
	f("rows disagree about the scope", rows(table{{"scope"}, {`{"org":1}`}, {`{"org":2}`}}), reactor.Deny, "policies disagree about org")
	f("scope is no map", rows(table{{"scope"}, {`[1]`}}), reactor.Unknown, "")
	f("scope is no JSON", rows(table{{"scope"}, {`{`}}), reactor.Unknown, "")
	f("scope is a number", rows(table{{"scope"}, {1}}), reactor.Unknown, "")
	f("scope nests", rows(table{{"scope"}, {`{"orgs":[1,2]}`}}), reactor.Unknown, "")

	f("guest allows", decided(abi.Decision{Allow: true}), reactor.Allow, "")
	f("guest denies", decided(abi.Decision{Reason: "not today"}), reactor.Deny, "not today")
	f("guest returns nothing", Outcome{}, reactor.Unknown, "")
	f("guest returns null", value(abi.Null()), reactor.Unknown, "")
	f("guest returns true", value(abi.Bool(true)), reactor.Unknown, "")
	f("guest forgets allow", value(object("reason", abi.Text("x"))), reactor.Unknown, "")
	f("allow is 1", value(object("allow", abi.Int(1))), reactor.Unknown, "")
	f("a key that is not known", value(object("allow", abi.Bool(true), "alow", abi.Bool(true))), reactor.Unknown, "")
	f("a scope that nests", value(object("allow", abi.Bool(true), "scope", object("a", abi.Array()))), reactor.Unknown, "")
	f("garbage", Outcome{Value: []byte{0xff, 0x00}}, reactor.Unknown, "")
	f("two values", Outcome{Value: append(value(object("allow", abi.Bool(true))).Value, 0xf5)}, reactor.Unknown, "")
}

// TestScopeOfStatementAndGuestIsTheSame: jsonb comes as its text, and by bytes
// both spell the same values.
func TestScopeOfStatementAndGuestIsTheSame(t *testing.T) {
	t.Parallel()
	want := reactor.Scope{"org": string(abi.Text("acme").AppendCBOR(nil)), "n": string(abi.Int(1 << 60).AppendCBOR(nil))}
	f := func(name string, out Outcome) {
		t.Helper()
		w := newWorld()
		w.policy("member", out)
		d, err := w.decide(t, guarded("member"), ann)
		if err != nil || len(d.Scope) != 2 || d.Scope["org"] != want["org"] || d.Scope["n"] != want["n"] {
			t.Errorf("%s: got %q, %v; want %q", name, d.Scope, err, want)
		}
	}
	f("statement", Outcome{Rows: table{{"scope"}, {`{"org": "acme", "n": 1152921504606846976}`}}})
	f("equal rows", Outcome{Rows: table{{"scope"}, {`{"org": "acme", "n": 1152921504606846976}`}, {`{"n": 1152921504606846976, "org": "acme"}`}}})
	f("guest", decided(abi.Decision{Allow: true, Scope: object("org", abi.Text("acme"), "n", abi.Int(1<<60))}))
}

// TestAllPoliciesMustAllow: deny ends it, unknown is an error, scopes merge, a
// conflict denies.
func TestAllPoliciesMustAllow(t *testing.T) {
	t.Parallel()
	f := func(name string, a, b Outcome, want reactor.Answer, scope ...string) {
		t.Helper()
		w := newWorld()
		w.policy("a", a)
		w.policy("b", b)
		for _, fn := range []*plugin.Function{guarded("a", "b"), guarded("b", "a")} {
			d, err := w.decide(t, fn, ann)
			if d.Answer != want || (err != nil) != (want == reactor.Unknown) || len(d.Scope) != len(scope) {
				t.Errorf("%s: got %+v, %v; want %s", name, d, err, want)
			}
		}
	}
	allow := func(scope string) Outcome { return Outcome{Rows: table{{"scope"}, {scope}}} }
	garbage := Outcome{Value: []byte{0xff}}
	f("both allow", Outcome{Rows: yes}, Outcome{Rows: yes}, reactor.Allow)
	f("one denies", Outcome{Rows: yes}, Outcome{Rows: no}, reactor.Deny)
	f("one is unknown", Outcome{Rows: yes}, garbage, reactor.Unknown)
	f("scopes merge", allow(`{"x":1}`), allow(`{"y":1}`), reactor.Allow, "x", "y")
	f("scopes agree", allow(`{"x":1}`), allow(`{"x":1}`), reactor.Allow, "x")
	f("scopes contradict", allow(`{"x":1}`), allow(`{"x":2}`), reactor.Deny)
	f("1 is not 1.0", allow(`{"x":1}`), allow(`{"x":"1"}`), reactor.Deny)

	w := newWorld()
	w.policy("a", Outcome{Rows: no})
	w.policy("b", garbage)
	if d, err := w.decide(t, guarded("a", "b"), ann); err != nil || d.Answer != reactor.Deny || d.Policy != "a" || len(w.asked) != 1 {
		t.Errorf("after a deny: %+v, %v, asked %v", d, err, w.asked)
	}
}

// TestErrorsAllowNothing: a policy that traps or times out, one that is not
// there, and what is no policy (W5, F4).
// Cases: 34.
func TestErrorsAllowNothing(t *testing.T) {
	t.Parallel()
	f := func(name string, w *world, fn *plugin.Function, want string) {
		t.Helper()
		d, err := w.decide(t, fn, ann)
		if err == nil || !strings.Contains(err.Error(), want) || d.Answer != reactor.Unknown {
			t.Errorf("%s: got %s, %v; want an error with %q", name, d.Answer, err, want)
		}
	}
	w := newWorld()
	w.policy("late", Outcome{Rows: yes})
	w.errs["late"] = context.DeadlineExceeded
	f("an error beside an answer", w, guarded("late"), "policy late: context deadline exceeded")
	f("not there", w, guarded("nowhere"), `there is no function "nowhere"`)
	f("beside one that would allow", w, guarded("late", "nowhere"), "policy nowhere")
	w.policies["query"] = function("chat", "query", abi.Query, abi.Access{Public: true})
	f("a query", w, guarded("query"), "query is a query, not a policy")
	w.guard.Tenant.Require["["] = []string{"late"}
	f("a pattern that is none", w, guarded("late"), `require "["`)

	w = newWorld()
	w.policy("member", Outcome{Rows: yes}).Fields = []abi.Field{{Name: "room"}}
	f("a field that the function has not", w, guarded("member"), "room")
}

// TestConfigurationRequiresMore: by pattern, in order, each once, also of public
// functions and those for the signed-in.
func TestConfigurationRequiresMore(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, name := range []string{"member", "staff", "vpn"} {
		w.policy(name, Outcome{Rows: yes})
	}
	w.guard.Tenant.Require = map[string][]string{"rooms.*": {"vpn", "staff"}, "*.list": {"member", "staff"}, "admin.*": {"nowhere"}}
	f := func(access abi.Access, who Caller, wantErr error, want ...string) {
		t.Helper()
		for range 8 {
			d, err := w.decide(t, function("chat", "rooms.list", abi.Query, access), who)
			if !slices.Equal(w.asked, want) || !errors.Is(err, wantErr) || (d.Answer == reactor.Allow) != (err == nil) {
				t.Fatalf("%+v: asked %v, got %s, %v; want %v, %v", access, w.asked, d.Answer, err, want, wantErr)
			}
		}
	}
	f(abi.Access{Policies: []string{"vpn"}}, ann, nil, "vpn", "member", "staff")
	f(abi.Access{Public: true}, nobody, nil, "member", "staff", "vpn")
	f(abi.Access{SignedIn: true}, ann, nil, "member", "staff", "vpn")
	f(abi.Access{SignedIn: true}, nobody, ErrSignIn) // a policy cannot let in who must sign in
	w.outcomes["staff"] = Outcome{Rows: no}
	if d, err := w.decide(t, function("chat", "rooms.list", abi.Query, abi.Access{Public: true}), nobody); err != nil || d.Answer != reactor.Deny {
		t.Errorf("a required policy that denies: %s, %v", d.Answer, err)
	}
}

// TestNamesAcrossPlugins: G16: plugin/name crosses, and only to that plugin.
func TestNamesAcrossPlugins(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.policyOf("org", "staff", Outcome{Rows: yes})
	if d, err := w.decide(t, guarded("org/staff"), ann); err != nil || d.Answer != reactor.Allow {
		t.Errorf("org/staff: %s, %v", d.Answer, err)
	}
	if d, err := w.decide(t, guarded("other/staff"), ann); err == nil || d.Answer != reactor.Unknown {
		t.Errorf("other/staff: %s, %v; the policy is another plugin's", d.Answer, err)
	}
	if _, err := w.decide(t, guarded("org/nowhere"), ann); err == nil {
		t.Error("org/nowhere is found")
	}
}

// TestMissingClaims: who is not signed in is asked to; who is, is denied. The
// policy is not run in either case.
func TestMissingClaims(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.policy("open", Outcome{Rows: yes})
	w.policy("member", Outcome{Rows: yes}, "sub")
	w.policy("tenant", Outcome{Rows: yes}, "org")
	f := func(policy string, who Caller, want reactor.Answer, wantErr error, asked int) {
		t.Helper()
		d, err := w.decide(t, guarded(policy), who)
		if d.Answer != want || !errors.Is(err, wantErr) || len(w.asked) != asked {
			t.Errorf("%s: got %s %q, %v, asked %v; want %s, %v", policy, d.Answer, d.Reason, err, w.asked, want, wantErr)
		}
	}
	f("open", nobody, reactor.Allow, nil, 1) // policies decide about callers without a token
	f("member", nobody, reactor.Unknown, ErrSignIn, 0)
	f("member", ann, reactor.Allow, nil, 1)
	f("tenant", nobody, reactor.Unknown, ErrSignIn, 0)
	f("tenant", ann, reactor.Deny, nil, 0)
	number := ann
	number.Claim = func(string) (abi.Value, bool) { return abi.Int(7), true }
	f("member", number, reactor.Deny, nil, 0) // a claim of another type is none
}

// TestPolicySeesOnlyWhatItDeclares: arguments as the function sees them, its own
// claims, action and function if it asks.
// Cases: 78, 79.
func TestPolicySeesOnlyWhatItDeclares(t *testing.T) {
	t.Parallel()
	limit := abi.Int(50)
	fields := []abi.Field{
		{Name: "room", Schema: abi.Schema{Type: "integer"}},
		{Name: "limit", Schema: abi.Schema{Type: "integer", Default: &limit}},
	}
	f := func(kind abi.Kind, args, want string) {
		t.Helper()
		w := newWorld()
		p := w.policy("member", Outcome{Rows: yes}, "sub")
		p.Fields, p.Action, p.Call = []abi.Field{fields[1], fields[0]}, true, true
		fn := function("chat", "rooms.list", kind, abi.Access{Policies: []string{"member"}})
		fn.Fields = fields
		fn.Claims = []abi.Claim{{Name: "secret", Claim: "secret"}}
		values, err := abi.ParseJSON([]byte(args), abi.MaxDepth)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.guard.Decide(t.Context(), w, fn, values, ann)
		if got := strings.Join(w.inputs, ""); got != want {
			t.Errorf("%s %s: the policy got %s, %v; want %s", kind, args, got, err, want)
		}
	}
	f(abi.Query, `{"room":7}`, `[50,7,"ann","read","rooms.list"]`)
	f(abi.Mutation, `{"room":7,"limit":1}`, `[1,7,"ann","write","rooms.list"]`)
	f(abi.Query, `{"room":"7"}`, ``) // wrong arguments: nobody is asked
	f(abi.Query, `{"room":7,"sub":"bob"}`, ``)
}
