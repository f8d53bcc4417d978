package serve

import "time"

// burst is the time over which a rate is averaged: what was not used is kept for
// as long.
const burst = 10

// rate counts what may happen in a second. Its owner's lock protects it.
type rate struct {
	left float64 // of what may happen at once
	at   time.Time
}

// take reports whether one more is within limit a second; a negative one is off.
func (r *rate) take(limit int, now time.Time) bool {
	if limit < 0 {
		return true
	}
	most := float64(limit) * burst
	if r.at.IsZero() {
		r.left = most
	} else {
		r.left = min(most, r.left+max(0, now.Sub(r.at).Seconds())*float64(limit))
	}
	r.at = now
	if r.left < 1 {
		return false
	}
	r.left--
	return true
}

// rateOf returns the rate of a tenant. The caller holds the lock.
func (r *registry) rateOf(tenantName string) *rate {
	one := r.rates[tenantName]
	if one == nil {
		one = &rate{}
		r.rates[tenantName] = one
	}
	return one
}
