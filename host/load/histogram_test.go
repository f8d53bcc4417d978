package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestHistogramIsNearTheTruth: a quantile is never below that of the sorted list, and
// at most a bucket above it.
func TestHistogramIsNearTheTruth(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var h Histogram
	var list []time.Duration
	for range 10_000 {
		d := time.Duration(r.ExpFloat64() * float64(20*time.Millisecond))
		h.Add(d)
		list = append(list, d)
	}
	slices.Sort(list)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := list[min(int(q*float64(len(list))), len(list)-1)]
		if got := h.Quantile(q); got < want || float64(got) > 1.016*float64(want)+1 {
			t.Errorf("seed %d: p%g is %s, want %s", seed, 100*q, got, want)
		}
	}
	if h.Count() != 10_000 || h.Max() != list[len(list)-1] {
		t.Errorf("%d, at most %s", h.Count(), h.Max())
	}
	if (&Histogram{}).Quantile(0.5) != 0 {
		t.Error("an empty one has a quantile")
	}
	h.Add(1<<63 - 1)
	h.Add(-1)
	if h.Quantile(1) != 1<<63-1 || h.Quantile(0) != 0 {
		t.Error("the ends are wrong")
	}
}
