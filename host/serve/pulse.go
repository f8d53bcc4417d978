package serve

import "time"

// pulse says how long a shard gathers the streams that are woken before it writes
// to them. Latest state wins, so that two changes that come within one tick cost
// one write: the send path of the kernel is nearly all that a frame costs. While
// the shard is idle there is no tick, and a change goes out at once.
type pulse struct {
	max time.Duration // 0: never a tick

	began time.Time     // of the window that is measured
	busy  time.Duration // spent in it writing
	load  float64       // the busy part of the window before
}

// A tick follows the load of the window before: none up to idleLoad, and from there
// two milliseconds for each thousandth. It settles where it is as long as the load
// that it leaves asks for.
const (
	pulseWindow = 100 * time.Millisecond
	idleLoad    = 0.02
	tickPerLoad = 2 * time.Second
)

// worked notes time that was spent writing until now.
func (p *pulse) worked(d time.Duration, now time.Time) {
	p.roll(now)
	p.busy += d
}

// tick is the least time between two rounds that begin now.
func (p *pulse) tick(now time.Time) time.Duration {
	p.roll(now)
	if p.load <= idleLoad {
		return 0
	}
	return min(p.max, time.Duration((p.load-idleLoad)*float64(tickPerLoad)))
}

func (p *pulse) roll(now time.Time) {
	if since := now.Sub(p.began); since >= pulseWindow {
		p.load = min(1, float64(p.busy)/float64(since))
		p.began, p.busy = now, 0
	}
}
