package js_test

import (
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
	"weir/plugins/js/jstest"
)

// BenchmarkCall is a function that looks at nothing: what the engine, the SDK and
// the crossing cost. BenchmarkStart is an instance.
func BenchmarkCall(b *testing.B) {
	pool := benchPool(b, tenant.Limits{GuestTimeout: time.Minute})
	input := abi.Array(abi.Int(7), abi.Text("general")).AppendCBOR(nil)
	call := func() {
		if _, err := pool.Call(b.Context(), &wasm.Call{Name: "f", Kind: abi.Query, Input: input, Now: time.UnixMicro(1)}); err != nil {
			b.Fatal(err)
		}
	}
	call()
	b.ReportAllocs()
	for b.Loop() {
		call()
	}
}

func BenchmarkStart(b *testing.B) {
	pool := benchPool(b, tenant.Limits{})
	for b.Loop() {
		if _, err := pool.Describe(b.Context()); err != nil { // starts one, and the first time two
			b.Fatal(err)
		}
	}
}

func benchPool(b *testing.B, limits tenant.Limits) *wasm.Pool {
	b.Helper()
	m, err := shared.Compiler().CompileSource(b.Context(), jstest.Engine(b), "f.js",
		`query("f", { room: t.int, name: t.text }, a => ({ room: a.room + 1, name: a.name }), { public: true })`)
	if err != nil {
		b.Fatal(err)
	}
	pool, err := wasm.NewPool(shared, m, wasm.PoolConfig{Limits: limits})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pool.Close(b.Context()) })
	return pool
}
