package load

import (
	"math/bits"
	"time"
)

// subBits is the precision of a histogram: a bucket is at most 1/64 wide.
const subBits = 6

// Histogram counts durations in buckets that are at most 1.6 % wide. The zero
// value is empty. It is owned by one goroutine.
type Histogram struct {
	counts [(64 - subBits + 1) << subBits]int64
	n      int64
	max    time.Duration
}

// Add counts a duration; a negative one counts as 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.n++
	h.max = max(h.max, d)
}

// Count returns how many durations were added.
func (h *Histogram) Count() int64 { return h.n }

// Max returns the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the upper end of the bucket that holds the q-th part of the
// durations, 0 if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := min(int64(q*float64(h.n)), h.n-1)
	for i, n := range h.counts {
		if rank -= n; rank < 0 {
			return min(time.Duration(upper(i)), h.max)
		}
	}
	return h.max
}

// bucket returns a value's bucket: exact below 2^subBits, then 2^subBits for each
// power of two.
func bucket(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

// upper returns the largest value of a bucket.
func upper(i int) uint64 {
	if i < 1<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	low := uint64(i&(1<<subBits-1)) + 1<<subBits
	return (low+1)<<shift - 1
}
