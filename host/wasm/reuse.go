package wasm

// Reuse says how an instance that has run a call is used again.
type Reuse uint8

// The ways to use instances again.
const (
	// Pristine makes the instance what it was before its first call, after every
	// call: nothing of a call is seen by another.
	Pristine Reuse = iota
	// Batch does so after at most 64 calls, and as soon as no other call waits: the
	// calls of a burst may see what those before them left.
	Batch
	// Sticky never does: calls may see what any call before them left. It is for
	// plugins that keep a cache of their own and are the operator's own.
	Sticky
)

// maxBatch is how many calls of a batch one instance serves.
const maxBatch = 64

// resetNone is PoolStats.Reset of a module whose state an image cannot hold.
const resetNone = "none"

// renew makes an instance fit for another call after one. It reports whether it is
// fit, and whether it was made the image for that.
func (p *Pool) renew(i *instance) (good, reset bool) {
	// One that is busy still was left by a panic of the host.
	i.sick = i.sick || i.busy.Load()
	switch {
	case i.sick:
		return false, false
	case i.served == 0: // it has run none
		return true, false
	case p.keeps(i):
		return true, false
	}
	if !i.restore() {
		return false, false
	}
	i.served = 0
	return true, true
}

// keeps decides whether the next call may see what the last one left.
func (p *Pool) keeps(i *instance) bool {
	switch Reuse(p.reuse.Load()) {
	case Sticky:
		return true
	case Batch:
		if p.waiting.Load() == 0 {
			p.batch.Add(1)
			return false
		}
		i.batch = p.batch.Load()
		return i.served < maxBatch
	}
	return false
}

// stale reports whether an idle instance was kept for calls that are over.
func (p *Pool) stale(i *instance) bool {
	switch Reuse(p.reuse.Load()) {
	case Sticky:
		return false
	case Batch:
		return i.served > 0 && i.batch != p.batch.Load()
	}
	return i.served > 0
}
