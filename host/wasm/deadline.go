package wasm

import (
	"context"
	"time"
)

// instant is a moment of the monotonic clock. Reading it costs half of what
// time.Now does, and a call of a small guest is hardly more than a few of those.
type instant time.Duration

var epoch = time.Now()

func now() instant { return instant(time.Since(epoch)) }

func (i instant) sub(earlier instant) time.Duration { return time.Duration(i - earlier) }

// watch is the context of one guest call. It ends with its parent, and it counts
// how long the guest computes: the clock stands still while the guest waits for
// SQL. Nothing fires and no goroutine waits: the meter asks (G12). It carries the
// call's frame, so that host functions find it without a map (G14).
//
// It belongs to the goroutine of the call, and is used again for the next one:
// whoever may keep a context gets a waiting.
type watch struct {
	parent context.Context //nolint:containedctx // it is a context itself
	frame  *frame
	budget time.Duration
	used   time.Duration // before since
	since  instant       // when the clock was last started or stopped
	runs   bool
	spent  bool // the guest used up its budget
}

var _ context.Context = (*watch)(nil)

// start makes the watch that of another call. The clock runs.
func (w *watch) start(parent context.Context, f *frame, budget time.Duration) {
	*w = watch{parent: parent, frame: f, budget: budget, since: now(), runs: true}
}

// Deadline returns the parent's deadline.
func (w *watch) Deadline() (time.Time, bool) { return w.parent.Deadline() }

// Done is the parent's.
func (w *watch) Done() <-chan struct{} { return w.parent.Done() }

// Err says why the guest has to stop.
func (w *watch) Err() error {
	if w.spent {
		return context.DeadlineExceeded
	}
	return w.parent.Err()
}

// Value returns the frame for its key, and else what the parent has.
func (w *watch) Value(key any) any {
	if _, ok := key.(frameKey); ok {
		return w.frame
	}
	return w.parent.Value(key)
}

// check looks at the clock and returns why the guest has to stop, or nil.
func (w *watch) check(at instant) error {
	if w.runs && w.used+at.sub(w.since) > w.budget {
		w.spent = true
	}
	return w.Err()
}

// pause lets the clock stand still.
func (w *watch) pause() {
	if w.runs {
		at := now()
		w.used += at.sub(w.since)
		w.since, w.runs = at, false
	}
}

// resume lets it run again.
func (w *watch) resume() {
	if !w.runs {
		w.since, w.runs = now(), true
	}
}

// cost returns how long the clock ran.
func (w *watch) cost() time.Duration {
	if !w.runs {
		return w.used
	}
	return w.used + now().sub(w.since)
}

// waiting is the context of what a call waits for. Unlike a watch it may be kept
// for longer than the call. It tells a call inside it from others (G15).
type waiting struct {
	context.Context //nolint:containedctx // it is a context itself
	frame           *frame
}

// Value returns the frame for its key, and else what the parent has.
func (w waiting) Value(key any) any {
	if _, ok := key.(frameKey); ok {
		return w.frame
	}
	return w.Context.Value(key)
}
