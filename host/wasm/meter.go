package wasm

import (
	"context"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"weir/host/inspect"
)

// This file is the seam of interruption: a metered module comes here when its
// fuel or its room for the stack is used up. tick is the line that stops a
// runaway guest.

// The meter's figures. A slice is what a guest may do between two ticks, in units
// of about a nanosecond (host/inspect/cost.go). It is halved when one took longer
// than maxSlice and doubled when one took less than a quarter of that, because
// prices are upper bounds and code differs: so ticks are seldom and yet no mix of
// instructions holds Go's garbage collector for long (G3, G12).
const (
	firstFuel = 50_000
	leastFuel = 5_000
	mostFuel  = 100_000
	maxSlice  = 200 * time.Microsecond

	// A guest has Limits.MaxStackBytes of stack as inspect counts them, at most
	// mostStack: there wazero's own bound is near. Beyond softStack it is deep, and
	// what wazero made for the stack is not kept (G4).
	softStack = 256 << 10
	mostStack = 32 << 20

	// turn is how long a guest computes while others wait for a token (G9).
	turn = 2 * time.Millisecond
)

// meterOf rewrites a module so that it can be stopped.
func meterOf(shape *inspect.Shape) (*inspect.Metered, error) {
	metered, err := shape.Meter()
	if err != nil {
		return nil, refuse("the module is not valid: %v", err)
	}
	return metered, nil
}

// ticker is the host function of the meter.
type ticker struct{}

var _ api.GoModuleFunction = ticker{}

// Call runs the function for wazero.
func (ticker) Call(ctx context.Context, _ api.Module, stack []uint64) {
	stack[0] = uint64(frameOf(ctx).tick(inspect.Meter(stack[0])))
}

// tick gives the guest another slice and another stretch of stack, or ends it.
func (f *frame) tick(m inspect.Meter) inspect.Meter {
	fuel, room := m.Fuel(), m.Room()
	if room < 0 {
		if room += f.inst.stackBytes() - softStack; f.deep || room < 0 {
			f.stop(&TrapError{Where: f.where(), Kind: TrapStack, What: "stack overflow"})
		}
		f.deep = true
	}
	if fuel < 0 {
		at := now()
		if f.watch.check(at) != nil {
			f.stop(f.late())
		}
		f.slice(at.sub(f.ticked))
		f.ticked = at
		f.share(at)
		fuel = f.inst.fuel
	}
	return inspect.NewMeter(fuel, room)
}

// charge makes the guest pay for what a host function did for it, beyond what
// every host function costs: its own payments are for instructions only.
func (f *frame) charge(units int) {
	if units >= 512 {
		f.inst.meter.Set(uint64(inspect.Meter(f.inst.meter.Get()).Less(units)))
	}
}

// slice sets the size of the next slice after one that took so long.
func (f *frame) slice(took time.Duration) {
	switch i := f.inst; {
	case took > maxSlice:
		i.fuel = max(leastFuel, i.fuel/2)
	case took < maxSlice/4:
		i.fuel = min(mostFuel, i.fuel*2)
	}
}

// share gives the token to a guest that waits for one, and waits for another
// (G9).
func (f *frame) share(at instant) {
	r := f.inst.pool.runtime
	if !f.inside || at.sub(f.since) < turn || r.running.waiting.Load() == 0 {
		return
	}
	f.watch.pause()
	f.leave()
	if err := f.enter(f.watch); err != nil {
		f.stop(f.late())
	}
	f.watch.resume()
	f.ticked = f.since
}

// withoutMeter takes the meter out of a guest's stack: the host function and the
// one that calls it.
func withoutMeter(trace string) string {
	head, rest, ok := strings.Cut(trace, "\n\t"+inspect.MeterModule+".")
	if !ok {
		return trace
	}
	for range 2 {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	return head + "\n" + rest
}

// refuel sets the meter before guest code runs.
func (i *instance) refuel() {
	i.frame.deep = false
	i.meter.Set(uint64(inspect.NewMeter(i.fuel, min(softStack, i.stackBytes()))))
}

func (i *instance) stackBytes() int32 {
	return int32(min(i.pool.config.Limits.MaxStackBytes, mostStack))
}
