package abi_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"weir/abi"
)

// listMessages has every kind of part that an input can have.
func listMessages() *abi.Function {
	return &abi.Function{
		Name: "messages.list", Kind: abi.Query,
		Fields: []abi.Field{
			{Name: "room", Schema: abi.Schema{Type: "integer"}},
			{Name: "author", Schema: abi.Schema{Type: "string", Optional: true}},
			{Name: "limit", Schema: abi.Schema{Type: "integer", Default: ptr(abi.Int(50))}},
		},
		Claims: []abi.Claim{{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}},
		Scope:  []abi.Field{{Name: "org", Schema: abi.Schema{Type: "integer", Optional: true}}},
	}
}

func from(pairs ...any) func(string) (abi.Value, bool) {
	return func(name string) (abi.Value, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1].(abi.Value), true
			}
		}
		return abi.Value{}, false
	}
}

func TestInputIsAnArrayInManifestOrder(t *testing.T) {
	t.Parallel()
	f := listMessages()
	f.Action, f.Call = true, true
	in, err := f.Input(mustJSON(t, `{"author":null,"room":7}`), abi.Caller{
		Claim: from("sub", abi.Text("ann")), Scope: from("org", abi.Int(3)), Action: "read", Function: "x",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := abi.DecodeCBOR(in.Bytes)
	if want := `[7,null,50,"ann",3,"read","x"]`; err != nil || got.String() != want || abi.Array(in.Values...).String() != want {
		t.Errorf("got %v, %v, values %v, want %s", got, err, in.Values, want)
	}
}

// F12, F13, W4: the input is the key's content, and clients cannot set claims.
// Cases: 78.
func TestInputRefusesWhatTheClientMayNotSet(t *testing.T) {
	t.Parallel()
	caller := abi.Caller{Claim: from("sub", abi.Text("ann"))}
	_, err := listMessages().Input(mustJSON(t, `{"room":7,"me":"eve"}`), caller)
	if want := `unknown argument "me": there are room, author, limit`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = listMessages().Input(mustJSON(t, `{"room":7,"org":1}`), caller)
	if err == nil {
		t.Error("a client set the scope")
	}
}

func TestInputSaysWhichClaimIsMissing(t *testing.T) {
	t.Parallel()
	check := func(c abi.Caller, want string) {
		t.Helper()
		_, err := listMessages().Input(mustJSON(t, `{"room":7}`), c)
		var e *abi.SourceError
		if !errors.As(err, &e) || err.Error() != want || e.Code() != abi.Denied {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	check(abi.Caller{}, `messages.list needs the claim "sub": the caller's token does not have it`)
	check(abi.Caller{Claim: from("sub", abi.Null())}, `messages.list needs the claim "sub": the caller's token does not have it`)
	check(abi.Caller{Claim: from("sub", abi.Int(3))}, `messages.list needs the claim "sub": want a string, found 3`)
	check(abi.Caller{Claim: from("sub", abi.Text("a")), Scope: from("org", abi.Text("x"))}, `messages.list needs the scope value "org": want an integer, found "x"`)
}

// W4: arguments give equal inputs exactly when a function cannot tell them
// apart. Each line is one class.
// Cases: 80.
func TestInputsAreEqualExactlyWhenArgumentsMeanTheSame(t *testing.T) {
	t.Parallel()
	fn := &abi.Function{Name: "f", Fields: []abi.Field{
		{Name: "n", Schema: abi.Schema{Type: "number", Optional: true}},
		{Name: "any", Schema: abi.Schema{Optional: true}},
		{Name: "id", Schema: abi.Schema{Type: "string", Format: "uuid", Optional: true}},
		{Name: "raw", Schema: abi.Schema{Type: "string", Format: "json", Optional: true}},
		{Name: "limit", Schema: abi.Schema{Type: "integer", Default: ptr(abi.Int(50))}},
	}}
	classes := [][]string{
		{`{}`, `{"n":null}`, `{"any":null}`, `{"limit":50}`, `{"limit":null,"id":null}`},
		{`{"n":1}`, `{"n":1.0}`, `{"n":1e0}`, `{"n":10e-1,"limit":50}`},
		{`{"any":1}`},
		{`{"any":1.0}`, `{"any":1e0}`},
		{`{"any":"1"}`},
		{`{"any":true}`},
		{`{"any":[]}`},
		{`{"any":{}}`},
		{`{"any":{"a":1,"b":2}}`, `{"any":{"b":2,"a":1}}`},
		{`{"any":[1]}`},
		{`{"any":9007199254740992}`},
		{`{"any":9007199254740993}`},
		{`{"any":9007199254740992.0}`},
		{`{"limit":9007199254740993}`},
		{`{"limit":9007199254740992}`},
		{`{"id":"0190D0C4-7F5A-7B2E-9C1D-2F6B8A4E1C3D"}`, `{"id":"0190d0c4-7f5a-7b2e-9c1d-2f6b8a4e1c3d"}`},
		{`{"raw":1}`},
		{`{"raw":1.0}`},
		{`{"raw":"1"}`},
		{`{"raw":{"a":1,"b":[]}}`, `{"raw":{ "b": [], "a": 1 }}`},
	}
	seen := map[string]int{}
	for i, class := range classes {
		for _, args := range class {
			in, err := fn.Input(mustJSON(t, args), abi.Caller{})
			if err != nil {
				t.Fatalf("%s: %v", args, err)
			}
			if first, ok := seen[string(in.Bytes)]; ok && first != i {
				t.Errorf("%s has the input of %s", args, classes[first][0])
			} else if !ok && args != class[0] {
				t.Errorf("%s has another input than %s", args, class[0])
			}
			seen[string(in.Bytes)] = i
		}
	}
}

// W4, for whatever values come.
// Cases: 80.
func TestInputBytesAreEqualExactlyWhenValuesAre(t *testing.T) {
	t.Parallel()
	fn := &abi.Function{Name: "f", Fields: []abi.Field{
		{Name: "a", Schema: abi.Schema{Optional: true}}, {Name: "b", Schema: abi.Schema{Optional: true}},
	}}
	near := nearMisses()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) abi.Value {
			return rapid.OneOf(rapid.SampledFrom(near), anyValue()).Draw(t, label)
		}
		input := func(label string) abi.Input {
			in, err := fn.Input(abi.Map([]string{"a", "b"}, []abi.Value{draw(label + "a"), draw(label + "b")}), abi.Caller{})
			if err != nil {
				t.Fatal(err)
			}
			return in
		}
		v, w := input("v"), input("w")
		same := v.Values[0].Equal(w.Values[0]) && v.Values[1].Equal(w.Values[1])
		if (string(v.Bytes) == string(w.Bytes)) != same || !abi.IsDeterministic(v.Bytes) {
			t.Fatalf("%v and %v: %x and %x", v.Values, w.Values, v.Bytes, w.Bytes)
		}
	})
}

func TestGuardSeesTheCompletedArguments(t *testing.T) {
	t.Parallel()
	f := listMessages()
	p := &abi.Function{
		Name: "member", Kind: abi.Policy, Action: true, Call: true,
		Fields: []abi.Field{{Name: "limit", Schema: abi.Schema{Type: "integer"}}, {Name: "room", Schema: abi.Schema{Type: "integer"}}},
		Claims: []abi.Claim{{Name: "who", Claim: "sub"}},
	}
	c := abi.Caller{Claim: from("sub", abi.Text("ann"))}
	in, err := f.Input(mustJSON(t, `{"room":7}`), c)
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		got, err := f.GuardInput(p, in, c)
		if err != nil || abi.Array(got.Values...).String() != want {
			t.Errorf("got %v, %v, want %s", got.Values, err, want)
		}
	}
	check(`[50,7,"ann","read","messages.list"]`)
	f.Kind = abi.Mutation
	check(`[50,7,"ann","write","messages.list"]`)
	p.Fields[0].Name = "nothing"
	if _, err := f.GuardInput(p, in, c); err == nil {
		t.Error("a policy read an argument that does not exist")
	}
}

func TestInputIsNeverDeeperThanTheCodecAllows(t *testing.T) {
	t.Parallel()
	f := &abi.Function{Name: "f", Claims: []abi.Claim{{Name: "x", Claim: "x"}}}
	deep := abi.Null()
	for range abi.MaxDepth - 1 {
		deep = abi.Array(deep)
	}
	in, err := f.Input(abi.Null(), abi.Caller{Claim: from("x", abi.Array(deep))})
	if err == nil {
		t.Errorf("got %x", in.Bytes)
	}
	in, err = f.Input(abi.Null(), abi.Caller{Claim: from("x", deep)})
	if err != nil || !abi.IsDeterministic(in.Bytes) {
		t.Errorf("got %x, %v", in.Bytes, err)
	}
}

func TestQueryParametersAreReadByTheSchema(t *testing.T) {
	t.Parallel()
	fn := &abi.Function{Name: "f", Fields: []abi.Field{
		{Name: "room", Schema: abi.Schema{Type: "integer"}},
		{Name: "author", Schema: abi.Schema{Type: "string", Optional: true}},
		{Name: "open", Schema: abi.Schema{Type: "boolean", Optional: true}},
		{Name: "ids", Schema: abi.Schema{Type: "array", Optional: true}},
		{Name: "meta", Schema: abi.Schema{Type: "string", Format: "json", Optional: true}},
	}}
	f := func(params map[string][]string, want string) {
		t.Helper()
		args, err := abi.ParseQuery(fn, params)
		var in abi.Input
		if err == nil {
			in, err = fn.Input(args, abi.Caller{})
		}
		got := abi.Array(in.Values...).String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%v: got %s, want %s", params, got, want)
		}
	}
	type p = map[string][]string
	f(p{"room": {"7"}, "author": {"7"}, "open": {"true"}, "ids": {"[1,2]"}, "meta": {`{"a":1}`}}, `[7,"7",true,[1,2],"{\"a\":1}"]`)
	f(p{"room": {"7"}, "delta": {"1"}, "ticket": {"x"}, "as": {"ann"}}, `[7,null,null,null,null]`)
	f(p{"args": {`{"room":7}`}, "delta": {"1"}}, `[7,null,null,null,null]`)
	f(p{"args": {`{"room":7}`}, "room": {"7"}}, `arguments: write them either in args or as a parameter each`)
	f(p{"args": {`{"room":7,"room":8}`}}, `arguments: args is not JSON: json at byte 0: the object has the key "room" twice`)
	f(p{"args": {"{}", "{}"}}, `arguments: args is given more than once`)
	f(p{"rom": {"7"}}, `unknown argument "rom": did you mean "room"?`)
	f(p{"room": {"x"}}, `argument "room": want an integer, found "x"`)
	f(p{"room": {"1.0"}}, `argument "room": want an integer, found 1.0`)
	f(p{"room": {""}}, `argument "room": want an integer, found ""`)
	f(p{"room": {"7", "8"}}, `argument "room": given more than once`)
	f(p{"room": {"7"}, "ids": {"1", "2"}}, `argument "ids": given more than once: write one JSON array`)
	f(p{"room": {"7"}, "author": {"\xff"}}, `argument "author": not valid UTF-8`)
	f(p{}, `argument "room": missing`)
}
