package host_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"weir/abi"
	"weir/host/wasm"
	"weir/host/wasm/wasmtest"
)

// BenchmarkLanguages is a call of values.echo in each language: seventeen values of
// all types in, an object out, no statement.
func BenchmarkLanguages(b *testing.B) {
	point := abi.Array(abi.Int(1), abi.Text("ü"))
	input := abi.Array(
		abi.Int(9007199254740993), abi.Int(-1), abi.Float(0.1), abi.Bool(true), abi.Text("naïve Grüße"), abi.Bytes([]byte{0, 255}),
		abi.Text("2026-01-31T09:30:00.123456Z"), abi.Text("2026-02-28"), abi.Text("0190d0c4-7f5a-7b2e-9c1d-2f6b8a4e1c3d"), abi.Text("12.50"),
		abi.Text(`{"a":1}`), abi.Text("up"), abi.Null(), abi.Int(6), abi.Float(0.5), abi.Array(point, point), abi.Array(abi.Int(1), abi.Int(2)),
	).AppendCBOR(nil)
	for _, language := range append([]string{"go"}, otherLanguages...) {
		b.Run(language, func(b *testing.B) {
			compile := compileSample(b, language)
			config := wasm.Config{CompileTimeout: 5 * time.Minute}
			if home := wasmtest.CacheHome(); home != "" {
				config.CacheDir = filepath.Join(home, "weir", "wasm")
			}
			r, err := wasm.NewRuntime(b.Context(), config)
			if err != nil {
				b.Fatal(err)
			}
			m, err := compile(r.Compiler())
			if err != nil {
				b.Fatal(err)
			}
			pool, err := wasm.NewPool(r, m, wasm.PoolConfig{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				pool.Close(context.Background())
				if err := errors.Join(m.Close(context.Background()), r.Close(context.Background())); err != nil {
					b.Error(err)
				}
			}()
			described, err := pool.Describe(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			manifest, err := abi.DecodeManifest(described)
			if err != nil {
				b.Fatal(err)
			}
			call := &wasm.Call{Function: functionNamed(b, manifest, "values.echo"), Name: "values.echo", Kind: abi.Query, Input: input, Now: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				if out, err := pool.Call(b.Context(), call); err != nil || out.Kind != wasm.OutputValue {
					b.Fatal(out, err)
				}
			}
		})
	}
}
