package wasm

import (
	"testing"

	"weir/abi"
	. "weir/host/wasm/wasmtest"
)

// W7, G15: two tenants who bring the same bytes share neither instances nor what is
// left in them, also where instances are kept for ever, nor what is drawn at the
// start.
// Cases: 19.
func TestEqualModulesOfTwoTenantsAreApart(t *testing.T) {
	t.Parallel()
	pools := map[string]*Pool{}
	for i, name := range []string{"acme", "bolt"} {
		pools[name] = newPool(t, counting(), PoolConfig{Tenant: name, MaxInstances: 1, Reuse: Sticky, InitSeed: [32]byte{byte(i)}})
	}
	for want := range int32(5) {
		if n := numberOf(t, call(t, pools["acme"], Call{})); n != want {
			t.Errorf("acme: %d calls before, want %d", n, want)
		}
	}
	if n := numberOf(t, call(t, pools["bolt"], Call{})); n != 0 {
		t.Errorf("bolt sees %d calls of acme's", n)
	}
	pools["acme"].Close(t.Context())
	if n := numberOf(t, call(t, pools["bolt"], Call{})); n != 1 {
		t.Errorf("bolt has lost what it had with acme: %d", n)
	}
}

// A2: what a guest hands to a host function is what lay there then, whatever it
// writes to that place before anybody looks.
// Cases: 27.
func TestArgumentsAreThoseOfTheMoment(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	overwrite := Join(I32(at), I32(-1), Store())
	// The column's name lies in the arguments, and its rows are read onto them.
	g.Call = Join(host(abi.ImportQuery, push(0, at, n)), Put(2), overwrite,
		host(abi.ImportRowsRead, Get(2), push(0, at, 4096)), Drop(), overwrite,
		host(abi.ImportQuery, push(0, at, n)), Drop(), Pack(abi.TagNone, 0, 0))
	b := &backend{}
	out := call(t, newPool(t, g, PoolConfig{}), Call{Statements: twoParams, Backend: b})
	if len(b.ran) != 1 || len(b.ran[0]) != 1 {
		t.Fatalf("ran %v", b.ran)
	}
	args := b.ran[0][0].Args
	if len(args) != 2 || !args[0].Equal(abi.Int(1)) || !args[1].Equal(abi.Text("a")) {
		t.Errorf("the arguments became %v", args)
	}
	if len(out.Queries) != 1 {
		t.Errorf("%d queries were recorded, want one: the second has no arguments any more", len(out.Queries))
	}
}

// A2: a result may lie in the input, and in the buffer of the input beside it: it
// is copied as it lies, and the next input is not spoilt by it.
// Cases: 27.
func TestResultsMayLieInTheInput(t *testing.T) {
	t.Parallel()
	in := abi.Array(abi.Text("in"), abi.Text("out")).AppendCBOR(nil)
	inner := abi.Text("out").AppendCBOR(nil)
	p := newPool(t, Guest{Call: Pack(abi.TagValue, InputAt+4, uint32(len(inner)))}, PoolConfig{})
	for range 3 {
		out := call(t, p, Call{Input: in})
		if string(out.Value) != string(inner) {
			t.Fatalf("got %x, want %x", out.Value, inner)
		}
		clear(out.Value)
	}
}
