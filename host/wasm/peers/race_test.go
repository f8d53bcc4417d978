package peers

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// contestant is one way to do the work that is compared.
type contestant struct {
	name  string
	run   func() error
	calls int // how many calls a run makes, if not one
}

// turn is how long each runs before the next one does.
const turn = 500 * time.Microsecond

// race measures all in turns, the first as the floor, and reports of each its
// nanoseconds, allocations and ratio to the floor.
func race(b *testing.B, all ...contestant) {
	b.Helper()
	batch := make([]int, len(all))
	times := make([][]float64, len(all))
	ratios := make([][]float64, len(all))
	for i, c := range all {
		n := 0
		for began := time.Now(); n < 3 || time.Since(began) < 20*turn; n++ {
			must(b, c.run())
		}
		batch[i] = max(1, n/20)
	}
	for b.Loop() {
		floor := 0.0
		for i, c := range all {
			began := time.Now()
			for range batch[i] {
				if err := c.run(); err != nil {
					b.Fatal(c.name, err)
				}
			}
			took := float64(time.Since(began).Nanoseconds()) / float64(batch[i]*max(1, c.calls))
			if i == 0 {
				floor = took
			}
			times[i], ratios[i] = append(times[i], took), append(ratios[i], took/floor)
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, c := range all {
		b.ReportMetric(median(times[i]), c.name+"-ns")
		b.ReportMetric(allocated(b, c), c.name+"-allocs")
		if i > 0 {
			b.ReportMetric(median(ratios[i]), c.name+"-x")
		}
	}
}

// allocated returns how many allocations a run makes.
func allocated(b *testing.B, c contestant) float64 {
	b.Helper()
	const runs = 50
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range runs {
		must(b, c.run())
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / uint64(runs*max(1, c.calls)))
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
