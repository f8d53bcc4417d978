package plugin

import (
	"testing"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
	. "weir/host/wasm/wasmtest"
)

// How instances are used again is the operator's choice by the plugin's name, and
// changes for instances that are there.
func TestOperatorChoosesHowInstancesAreUsedAgain(t *testing.T) {
	t.Parallel()
	ten := &tenant.Tenant{Name: "default"}
	r := newRoom(t, ten)
	choice := map[string]wasm.Reuse{"chat": wasm.Sticky}
	reuse := func(plugin string) wasm.Reuse { return choice[plugin] }
	r.config.Reuse = reuse
	counts := func(name string) []byte {
		g := guest(manifest(name, name+".count"), 0)
		g.Call = Join(I32(DataAt), I32(DataAt), Load(), I32(1), []byte{0x6a}, Store(), Pack(abi.TagValue, DataAt, 1))
		return g.Bytes()
	}
	r.must("chat.wasm", counts("chat"))
	r.must("notes.wasm", counts("notes"))
	// The first count is of the warm-up.
	for want := range int64(3) {
		r.want("chat.count", 2+want)
		r.want("notes.count", 2)
	}
	choice = map[string]wasm.Reuse{"notes": wasm.Sticky}
	next, err := r.Reconfigure(t.Context(), ten, func(string) string { return "" }, reuse)
	if err != nil {
		t.Fatal(err)
	}
	next.Apply(t.Context())
	for want := range int64(3) {
		r.want("chat.count", 2)
		r.want("notes.count", 2+want)
	}
}
