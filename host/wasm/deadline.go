package wasm

import (
	"context"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
)

// This file is the seam of interruption: interruptible and watch are all that
// knows how a running guest is stopped. It uses wazero's own way, which costs a
// check in each loop and a goroutine for each call, and does not see recursion
// without loops (G12). The meter of host/inspect replaces it: a metered module
// asks the host for the time, and the answer stops it.

// interruptible makes guests stop when the context of their call ends.
func interruptible(c wazero.RuntimeConfig) wazero.RuntimeConfig {
	return c.WithCloseOnContextDone(true)
}

// watch is the context of one guest call. It ends with its parent, or when the
// guest has computed for its budget; the clock stands still while the guest
// waits for SQL. It carries the call's frame, so that host functions find it
// without a map (G14).
type watch struct {
	parent context.Context //nolint:containedctx // it is a context itself
	frame  *frame
	done   chan struct{}
	unhook func() bool
	timer  *time.Timer

	mu    sync.Mutex // protects the fields below
	left  time.Duration
	since time.Time // when the clock was last started; zero while it stands still
	used  time.Duration
	err   error
	guest bool // the budget ended it
	ended bool // stop was called
}

var _ context.Context = (*watch)(nil)

// newWatch returns a watch whose clock runs. It must be stopped.
func newWatch(parent context.Context, f *frame, budget time.Duration) *watch {
	w := &watch{parent: parent, frame: f, done: make(chan struct{}), left: budget, since: time.Now()}
	w.unhook = context.AfterFunc(parent, func() { w.end(parent.Err(), false) })
	w.timer = time.AfterFunc(budget, w.expire)
	return w
}

// Deadline returns the parent's deadline.
func (w *watch) Deadline() (time.Time, bool) { return w.parent.Deadline() }

// Done is closed when the guest has to stop.
func (w *watch) Done() <-chan struct{} { return w.done }

// Err says why.
func (w *watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Value returns the frame for its key, and else what the parent has.
func (w *watch) Value(key any) any {
	if _, ok := key.(frameKey); ok {
		return w.frame
	}
	return w.parent.Value(key)
}

// pause lets the clock stand still.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	if !w.since.IsZero() {
		spent := time.Since(w.since)
		w.used += spent
		w.left -= spent
		w.since = time.Time{}
	}
}

// resume lets it run again.
func (w *watch) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.err != nil || !w.since.IsZero() {
		return
	}
	w.since = time.Now()
	w.timer.Reset(max(0, w.left))
}

// stop ends the watch and reports whether it never fired. Only then does nobody
// close the instance later: after stop it cannot fire any more.
func (w *watch) stop() (quiet bool) {
	w.pause()
	w.unhook()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	return w.err == nil
}

// spent reports whether the guest's budget ended the watch.
func (w *watch) spent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.guest
}

// cost returns how long the clock ran.
func (w *watch) cost() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		return w.used
	}
	return w.used + time.Since(w.since)
}

// expire runs when the timer fires. A timer that fired just before a pause is
// not the budget's end.
func (w *watch) expire() {
	w.mu.Lock()
	early := w.since.IsZero() || time.Since(w.since) < w.left
	w.mu.Unlock()
	if !early {
		w.end(context.DeadlineExceeded, true)
	}
}

func (w *watch) end(err error, guest bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.err != nil {
		return
	}
	w.err, w.guest = err, guest
	close(w.done)
}
