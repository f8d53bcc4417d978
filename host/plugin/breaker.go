package plugin

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/abi"
	"weir/host/wasm"
)

// The times of a breaker.
const (
	breakerWindow = 10 * time.Second // in which failures are counted, in two halves
	firstPause    = time.Second
	lastPause     = time.Minute
)

// breaker stops a plugin whose guest keeps trapping or running out of time: each
// such call costs an instance, and as much of a core as it may use. It opens at
// so many failures within the window, if no more calls succeeded, so that one
// client's bad argument does not stop a plugin that serves all others. After a
// pause one call is let through; the pause doubles until one succeeds.
//
// Growth is not failure (G7), nor is a database that is away.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex // protects the fields below
	limit    int        // not above 0: off
	half     time.Time  // when the current half of the window began
	counts   [2]struct{ failed, good int }
	open     bool
	trying   bool // the call that decides is running
	until    time.Time
	pause    time.Duration
	failures int // that opened it
	refused  uint64
}

// outcome is what a call says about its plugin.
type outcome uint8

const (
	neither outcome = iota
	success
	failure
)

func outcomeOf(err error) outcome {
	var trap *wasm.TrapError
	var exit *wasm.ExitError
	var contract *wasm.ContractError
	var deadline *wasm.DeadlineError
	switch {
	case err == nil:
		return success
	case errors.As(err, &trap), errors.As(err, &exit), errors.As(err, &contract):
		return failure
	case errors.As(err, &deadline) && deadline.Guest:
		return failure
	}
	return neither
}

// enter asks for a call. If it may not be, the error says when to try again.
func (b *breaker) enter(plugin string) (trial bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false, nil
	}
	wait := b.until.Sub(b.now())
	if b.trying || wait > 0 {
		b.refused++
		return false, &BrokenError{Plugin: plugin, Failures: b.failures, Wait: max(wait, 0)}
	}
	b.trying = true
	return true, nil
}

// leave takes the outcome of a call that entered. It reports whether the breaker
// opened or closed by it.
func (b *breaker) leave(trial bool, o outcome) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case trial:
		b.trying = false
		switch o {
		case success:
			b.close()
			return true
		case failure:
			b.pause = min(2*b.pause, lastPause)
			b.until = b.now().Add(b.pause)
		}
		return false
	case b.open || b.limit <= 0 || o == neither:
		return false // it began before the breaker opened
	}
	b.turn()
	if o == success {
		b.counts[0].good++
		return false
	}
	b.counts[0].failed++
	failed := b.counts[0].failed + b.counts[1].failed
	if failed < b.limit || failed < b.counts[0].good+b.counts[1].good {
		return false
	}
	b.open, b.failures, b.pause = true, failed, firstPause
	b.until = b.now().Add(b.pause)
	return true
}

// turn moves the window on.
func (b *breaker) turn() {
	now := b.now()
	switch past := now.Sub(b.half); {
	case past >= breakerWindow:
		b.counts[0], b.counts[1] = struct{ failed, good int }{}, struct{ failed, good int }{}
	case past >= breakerWindow/2:
		b.counts[1], b.counts[0] = b.counts[0], struct{ failed, good int }{}
	default:
		return
	}
	b.half = now
}

func (b *breaker) close() {
	b.open, b.trying, b.pause = false, false, 0
	clear(b.counts[:])
}

// setLimit changes the bound; off closes it.
func (b *breaker) setLimit(limit int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit = limit; limit <= 0 {
		b.close()
	}
}

// state says whether it is open, and how many calls it has refused.
func (b *breaker) state() (open bool, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open, b.refused
}

// BrokenError refuses a call of a plugin that keeps failing.
type BrokenError struct {
	Plugin   string
	Failures int
	Wait     time.Duration // until it is tried again; zero: it is being tried
}

// Error returns a sentence.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("plugin %s is stopped after %d failures: it is tried again in %v", e.Plugin, e.Failures, e.Wait.Round(time.Millisecond))
}

// Code returns abi.PluginBroken.
func (e *BrokenError) Code() abi.Code { return abi.PluginBroken }
