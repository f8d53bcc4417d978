package serve

import (
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of every Histogram's buckets: doubling from half a
// millisecond, where a run of a statement lies, to half a minute, where a client is
// given up.
var Bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond, 8 * time.Millisecond, 16 * time.Millisecond,
	32 * time.Millisecond, 64 * time.Millisecond, 128 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Histogram counts durations. The zero value is empty. It is safe for concurrent
// use and must not be copied.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64 // the last: over all bounds
	sum    atomic.Int64                   // nanoseconds
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// read returns the counts as Prometheus has them: how many were at most so many
// seconds.
func (h *Histogram) read() (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(Bounds))
	for i := range Bounds {
		count += h.counts[i].Load()
		buckets[Bounds[i].Seconds()] = count
	}
	return count + h.counts[len(Bounds)].Load(), time.Duration(h.sum.Load()).Seconds(), buckets
}
