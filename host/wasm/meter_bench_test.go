package wasm

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"weir/abi"
	"weir/host/inspect"
	"weir/host/tenant"
)

// BenchmarkSlice measures what a unit of fuel takes in each of the runaways: the
// prices of inspect are right when none is far above a nanosecond (G3). The
// longest of the slices is what a guest can hold the collector for.
func BenchmarkSlice(b *testing.B) {
	all := runaways()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		g := all[name]
		if len(g.Imports) > 0 {
			continue // the host's own time
		}
		b.Run(name, func(b *testing.B) {
			shape, err := inspect.Parse(g.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			m, err := shape.Meter()
			if err != nil {
				b.Fatal(err)
			}
			ctx := context.Background()
			r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2))
			defer r.Close(ctx)
			var last time.Time
			var took []time.Duration
			tick := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
				if now := time.Now(); !last.IsZero() {
					took = append(took, now.Sub(last))
				}
				if len(took) >= 2000 {
					panic("enough")
				}
				stack[0] = uint64(inspect.NewMeter(mostFuel, 1<<20))
				last = time.Now()
			})
			meter := r.NewHostModuleBuilder(inspect.MeterModule)
			meter.NewFunctionBuilder().WithGoModuleFunction(tick, []api.ValueType{i64}, []api.ValueType{i64}).Export(inspect.MeterTick)
			if _, err := meter.Instantiate(ctx); err != nil {
				b.Fatal(err)
			}
			mod, err := r.Instantiate(ctx, m.Code)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := mod.ExportedFunction(abi.ExportCall).Call(ctx, 0, 0); err == nil {
				b.Fatal("it ended by itself")
			}
			slices.Sort(took)
			for range b.N { // the work above is one run
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took[len(took)/2])/mostFuel, "ns/unit")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs/slice")
		})
	}
}

// BenchmarkDeadline measures N16's overshoot: how long after its budget a runaway
// ends, and how long a collection of garbage takes meanwhile.
func BenchmarkDeadline(b *testing.B) {
	const budget = 20 * time.Millisecond
	all := runaways()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		b.Run(name, func(b *testing.B) {
			p := newPool(b, all[name], PoolConfig{Limits: tenant.Limits{GuestTimeout: budget, MaxHostCalls: 1 << 40, MaxMemoryBytes: 40 << 20}})
			var over, stalls []time.Duration
			var runs atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				for runs.Store(true); runs.Load(); {
					began := time.Now()
					runtime.GC()
					stalls = append(stalls, time.Since(began))
				}
			}()
			for range max(b.N, 50) {
				began := time.Now()
				_, err := p.Call(context.Background(), named(&Call{}))
				var late *DeadlineError
				if took := time.Since(began); errors.As(err, &late) {
					over = append(over, took-budget)
				} else {
					b.Fatal(err)
				}
			}
			runs.Store(false)
			<-done
			slices.Sort(over)
			slices.Sort(stalls)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(over[len(over)*99/100].Microseconds())/1000, "p99-over-ms")
			b.ReportMetric(float64(over[len(over)/2].Microseconds())/1000, "p50-over-ms")
			b.ReportMetric(float64(stalls[len(stalls)*99/100].Microseconds())/1000, "p99-gc-ms")
			b.ReportMetric(float64(stalls[len(stalls)-1].Microseconds())/1000, "max-gc-ms")
		})
	}
}
