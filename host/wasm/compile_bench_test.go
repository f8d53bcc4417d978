package wasm

import (
	"context"
	"path/filepath"
	"testing"
)

// BenchmarkLoad measures N19: a Go guest gated, metered and compiled in a child, and
// loaded from the store, every byte checked. The ratio is reported by the second.
func BenchmarkLoad(b *testing.B) {
	code, err := buildGuest()
	if err != nil {
		b.Fatal(err)
	}
	r := withChild(b, Config{CacheDir: filepath.Join(b.TempDir(), "cache")})
	module := builtFrom(b, code)
	load := func(b *testing.B) {
		m, err := r.Compile(context.Background(), code)
		if err != nil {
			b.Fatal(err)
		}
		_ = m.Close(context.Background())
	}
	var cold float64
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			r.store.drop(module)
			if key, ok := formKey(sha(code), false); ok {
				r.store.drop(key)
			}
			load(b)
		}
		cold = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	})
	load(b)
	b.Run("stored", func(b *testing.B) {
		for b.Loop() {
			load(b)
		}
		b.ReportMetric(cold*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "times-faster")
	})
}
