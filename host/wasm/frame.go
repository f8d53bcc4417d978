package wasm

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tetratelabs/wazero/api"

	"weir/abi"
)

// frameKey finds the frame in a watch: the one value that this package puts
// into a context.
type frameKey struct{}

// frame is the state of an instance's current call, or of its start. An
// instance has one and uses it again for each call.
type frame struct {
	inst    *instance
	watch   *watch // its own, in clock
	clock   watch
	call    *Call      // nil while the instance starts
	mem     api.Memory // set for the time of a host function
	hosting string     // the host function that runs; "" while the guest does
	stopped error      // why the host ended the guest
	inside  bool       // the frame holds a token to run
	since   instant    // when it got it
	ticked  instant    // when the meter's current slice began
	deep    bool       // the guest used more than softStack

	begun     uint // host functions, WASI's too
	hostCalls int
	queries   []*Query
	ran       int     // queries before this one have an outcome
	handles   []*View // nil after close
	open      int     // handles that are not closed
	looked    bool
	wakeAt    time.Time
	errno     abi.Errno // of the last refusal, with its text
	reason    string
	random    *rand.ChaCha8
	logs      guestLog
	reached   []string // bounds that refused something, each once
	page      []byte   // scratch for rows_read
}

// reset makes the frame ready for another call.
func (f *frame) reset(call *Call) {
	clear(f.handles)
	log := f.inst.pool.config.Log
	if call != nil {
		log = call.Log
	}
	limits := &f.inst.pool.config.Limits
	f.logs.reset(log, limits.MaxGuestLogLines, limits.MaxGuestLogBytes)
	*f = frame{
		inst: f.inst, call: call, inside: f.inside, since: f.since,
		handles: f.handles[:0], logs: f.logs, page: f.page,
		// The queries of the last call belong to its output.
	}
	f.watch = &f.clock
	f.inst.memory.refused, f.inst.memory.grown = false, false
}

func frameOf(ctx context.Context) *frame {
	f, _ := ctx.Value(frameKey{}).(*frame)
	return f
}

func (f *frame) where() Where {
	w := Where{Plugin: f.inst.pool.config.Plugin}
	if f.call != nil {
		w.Function = f.call.Name
	}
	return w
}

// begin marks the start of a host function. Now and then it looks at the clock: a
// guest may call many of them between two of its payments.
func (f *frame) begin(name string, mem api.Memory) {
	if f.begun++; f.begun%64 == 0 && f.watch.check(now()) != nil {
		f.stop(f.late())
	}
	f.hosting, f.mem = name, mem
}

// count counts a host function of the contract. WASI's are not counted: the Go
// runtime reads the clock dozens of times in each collection of garbage, each
// is cheap, and the guest's budget of time bounds them.
func (f *frame) count() {
	f.hostCalls++
	if limit := f.inst.pool.config.Limits.MaxHostCalls; f.hostCalls > limit {
		f.stop(&LimitError{Where: f.where(), What: fmt.Sprintf("more than %d host calls in one call", limit), code: abi.HostCalls})
	}
}

// finish marks its end. It is not deferred: after a panic the mark tells that
// the host failed, and not the guest.
func (f *frame) finish() { f.hosting, f.mem = "", nil }

// stop ends the guest with err. It does not return: a panic is wazero's way for
// a host function to end its caller.
func (f *frame) stop(err error) {
	f.stopped = err
	panic(errStopped)
}

// fail returns a refusal and keeps its text for the guest to ask for.
func (f *frame) fail(e abi.Errno, reason string) int64 {
	f.errno, f.reason = e, reason
	return -int64(e)
}

// limited returns the refusal of a bound of the configuration.
func (f *frame) limited(limit, reason string) int64 {
	f.reach(limit)
	return f.fail(abi.ErrnoLimit, reason)
}

func (f *frame) reach(limit string) {
	if !slices.Contains(f.reached, limit) {
		f.reached = append(f.reached, limit)
	}
}

// tell tells the caller which bounds were reached.
func (f *frame) tell() {
	if f.logs.tooMany {
		f.reach("guest_log_lines")
	}
	if f.logs.tooLong {
		f.reach("guest_log_bytes")
	}
	if f.call == nil || f.call.Reached == nil {
		return
	}
	for _, limit := range f.reached {
		f.call.Reached(limit)
	}
}

// failure returns the text of the last refusal.
func (f *frame) failure() string {
	if f.reason != "" {
		return f.reason
	}
	return f.errno.String()
}

// outside runs what waits for the database: the guest's clock stands still and
// its token goes to another guest (G9).
func (f *frame) outside(run func(ctx context.Context) error) {
	f.watch.pause()
	f.leave()
	err := run(waiting{f.watch.parent, f})
	if entered := f.enter(f.watch); err == nil {
		err = entered
	}
	f.watch.resume()
	f.ticked = f.watch.since
	switch {
	case f.watch.Err() != nil:
		f.stop(f.late())
	case err != nil:
		f.stop(&HostError{Where: f.where(), Func: f.hosting, Err: err})
	}
}

func (f *frame) enter(ctx context.Context) error {
	err := f.inst.pool.admit(ctx)
	f.inside, f.since = err == nil, now()
	return err
}

// leave gives the token back if the frame holds one.
func (f *frame) leave() {
	if f.inside {
		f.inside = false
		f.inst.pool.runtime.running.leave()
	}
}

// now is what every clock says: the same for the whole call.
func (f *frame) now() time.Time {
	if f.call == nil {
		return f.inst.bornAt
	}
	return f.call.Now
}

// fill writes random bytes (G11): repeatable for queries and policies and while
// an instance starts, from the system for mutations.
func (f *frame) fill(b []byte) {
	f.looked = true
	f.charge(len(b))
	if f.call != nil && f.call.Kind == abi.Mutation {
		_, _ = crand.Read(b) // it never fails
		return
	}
	if f.random == nil {
		seed := f.inst.seed
		if f.call != nil {
			seed = [32]byte{}
			if f.call.Seed != nil {
				seed = f.call.Seed()
			}
		}
		f.random = rand.NewChaCha8(seed)
	}
	_, _ = f.random.Read(b)
}
