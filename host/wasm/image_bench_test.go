package wasm

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"weir/abi"
)

// goPool returns a pool of the Go guest and a call of one of its functions.
func goPool(b *testing.B, r *Runtime, config PoolConfig, name string) (*Pool, *Call) {
	b.Helper()
	code, err := buildGuest()
	if err != nil {
		b.Fatal(err)
	}
	m, err := r.Compile(b.Context(), code)
	if err != nil {
		b.Fatal(err)
	}
	config.Limits.GuestTimeout = generous.GuestTimeout
	p, err := NewPool(r, m, config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		p.Close(context.Background())
		_ = m.Close(context.Background())
	})
	described, err := p.Describe(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	manifest, err := abi.DecodeManifest(described)
	if err != nil {
		b.Fatal(err)
	}
	c := &Call{Input: abi.AppendArray(nil, 0)}
	for n := range manifest.Functions {
		if f := &manifest.Functions[n]; f.Name == "test."+name {
			c.Function, c.Name, c.Kind = n, f.Name, f.Kind
			for _, s := range f.Uses {
				c.Statements = Statements{s: 0}
			}
		}
	}
	c.Now = time.Unix(1, 0)
	c.Backend = &backend{rows: func(*Query) (Rows, error) { return people(50), nil }}
	return p, c
}

// BenchmarkPristine is N15: what it costs that a call of a Go guest sees nothing of
// another one, beside a fresh instance for each, one that is only born from the
// image, and none of it.
func BenchmarkPristine(b *testing.B) {
	run := func(name, function string, reuse Reuse, with func(w *Pool)) {
		b.Run(name, func(b *testing.B) {
			p, c := goPool(b, shared, PoolConfig{Reuse: reuse}, function)
			if with != nil {
				with(p)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Call(context.Background(), c); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			s := p.Stats()
			b.Logf("%s: %d calls, %d instances, %d grown, %d bytes kept", s.Reset, s.Calls, s.Started, s.Regrown, s.IdleBytes)
		})
	}
	for _, function := range []string{"empty", "pass", "read"} {
		run("pristine/"+function, function, Pristine, nil)
		run("sticky/"+function, function, Sticky, nil)
	}
	for _, kind := range []string{scans, discards} {
		run("pristine-"+kind+"/empty", "empty", Pristine, func(p *Pool) { p.image.way = &way{kind: kind} })
	}
	run("fresh/empty", "empty", Pristine, func(p *Pool) {
		p.image = nil // as for a module that an image cannot hold
		for p.evict(context.Background()) {
		}
	})
	b.Run("born", func(b *testing.B) {
		p, _ := goPool(b, shared, PoolConfig{}, "empty")
		b.ReportAllocs()
		for b.Loop() {
			i, err := p.bear(context.Background(), p.image)
			if err != nil {
				b.Fatal(err)
			}
			i.close(context.Background())
		}
	})
}

// BenchmarkPristineCores is the throughput of pristine calls on one core and on all.
func BenchmarkPristineCores(b *testing.B) {
	for _, cores := range []int{1, runtime.GOMAXPROCS(0)} {
		b.Run(strconv.Itoa(cores), func(b *testing.B) {
			r, err := NewRuntime(b.Context(), Config{MaxRunning: cores, CompileTimeout: 5 * time.Minute, CacheDir: shared.config.CacheDir})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = r.Close(context.Background()) })
			p, c := goPool(b, r, PoolConfig{MaxInstances: cores}, "empty")
			b.SetParallelism(1)
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				own := *c
				for pb.Next() {
					if _, err := p.Call(context.Background(), &own); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			b.Logf("%s: %+v", p.Stats().Reset, p.Stats())
		})
	}
}

// BenchmarkIdleInstances measures what idle instances of a Go guest keep for
// themselves after a call each: pristine ones, and such as were started and never
// reset. The first ones rest, as after a second.
func BenchmarkIdleInstances(b *testing.B) {
	for name, many := range map[string]int{"pristine": 100, "plain": 100, "pristine1000": 1000} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p, c := goPool(b, shared, PoolConfig{MaxInstances: many}, "empty")
				p.share.limit.Store(1 << 40)
				shared.budget.limit = 1 << 40
				if name == "plain" {
					p.image = nil
				}
				all := make([]*instance, many)
				before := privateDirty(b)
				for n := range all {
					var err error
					if all[n], err = p.make(context.Background()); err != nil {
						b.Fatal(err)
					}
					if _, err := all[n].call(context.Background(), c); err != nil {
						b.Fatal(err)
					}
					if name != "plain" && !(all[n].restore() && all[n].memory.rest()) {
						b.Fatal("not restored")
					}
				}
				kept := privateDirty(b) - before
				b.ReportMetric(float64(kept)/float64(many), "B/instance")
				for _, i := range all {
					i.close(context.Background())
				}
			}
		})
	}
}

// privateDirty returns the bytes that are this process's alone.
func privateDirty(b *testing.B) int64 {
	b.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		b.Skip("this system does not say it")
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Private_Dirty:")); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatal("no Private_Dirty")
	return 0
}
