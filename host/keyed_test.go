package host

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/tenant"
	"weir/host/wasm"
)

// sees are the fields of a guest's call, and why each may be seen by all who share
// the group. A field that is not here must be in the key first.
var sees = map[string]string{
	"Function": "the function is in the key", "Name": "the function is in the key", "Kind": "the function is in the key",
	"Input": "it is in the key", "Statements": "they are the plugin's, whose digest is in the key",
	"Now": "a guest that looks at it runs again for all", "Seed": "it is made of the key",
	"Config": "its version is in the key", "Settings": "it is in the key",
	"Backend": "it runs the plugin's statements as the role of the key",
	"Log":     "a guest writes to it", "Reached": "a guest does not see it",
}

// W4: there is nothing of its caller that a function could see and that is not in
// the key: it is given the bytes that were keyed, byte for byte, and a statement the
// values in them.
// Cases: 78.
func TestFunctionsAreGivenWhatWasKeyed(t *testing.T) {
	t.Parallel()
	fields := reflect.TypeFor[wasm.Call]()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.IsExported() && sees[f.Name] == "" {
			t.Errorf("a guest's call has %s: say why it may be shared, or put it into the key", f.Name)
		}
	}
	ten := &tenant.Tenant{Name: "default"}
	s := &space{rooms: &rooms{role: "r"}, tenant: ten, version: "v"}
	fn := &plugin.Function{
		Function: &abi.Function{
			Name: "f", Kind: abi.Query, Fields: []abi.Field{{Name: "a", Schema: abi.Schema{}}},
			Claims: []abi.Claim{{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}},
		},
		Plugin: &plugin.Plugin{Manifest: &abi.Manifest{Name: "p"}},
	}
	asked := map[string]bool{}
	for _, text := range []string{`{"a":1}`, `{"a":1.00}`, `{"a":{"b":[1e0, 18446744073709551617]}}`} {
		args, err := abi.ParseJSON([]byte(text), 0)
		if err != nil {
			t.Fatal(err)
		}
		in, err := fn.Input(args, abi.Caller{
			Claim: func(name string) (abi.Value, bool) { asked[name] = true; return abi.Text("ann"), true },
			Scope: func(name string) (abi.Value, bool) { asked["scope "+name] = true; return abi.Text("x"), true },
		})
		if err != nil {
			t.Fatal(err)
		}
		c := newCall(s, fn, in)
		given := c.guest(time.Unix(1, 0), nil, &Host{})
		if !bytes.HasSuffix([]byte(c.key), given.Input) || !slices.Equal(given.Input, in.Bytes) {
			t.Errorf("%s: a guest is given %x, the key is %x", text, given.Input, c.key)
		}
		if values := abi.Array(c.input.Values...); !bytes.Equal(values.AppendCBOR(nil), given.Input) {
			t.Errorf("%s: statements are given %s, the key has %x", text, values, given.Input)
		}
		keyed, err := abi.DecodeCBOR(given.Input)
		if err != nil {
			t.Fatal(err)
		}
		if values := abi.Array(c.input.Values...); values.String() != keyed.String() {
			t.Errorf("%s: statements are given %s, the key has %s", text, values, keyed)
		}
	}
	if len(asked) != 1 || !asked["sub"] {
		t.Errorf("it was given %v, and declares sub", asked)
	}
}
