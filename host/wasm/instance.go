package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"weir/abi"
	"weir/host/inspect"
)

// startTimeout is the time that a guest may compute before its first call.
const startTimeout = 2 * time.Second

// instance is one running copy of a module. It runs one call at a time, on the
// goroutine of whoever took it from the pool (G15).
type instance struct {
	pool   *Pool
	mod    api.Module
	memory memory
	buf    api.Function
	run    api.Function
	meter  api.MutableGlobal
	fuel   int32     // of the next slice
	stack  [2]uint64 // parameters and result of a call

	// The guest's input buffer (G6). It is checked against memory at every call.
	input     uint32
	inputSize uint32

	image   *image              // what it was born from; nil if it was started
	globals []api.MutableGlobal // those of the image, in its order
	served  int                 // calls since it was the image
	batch   uint64              // the batch it was kept for
	bytes   int64               // what it was counted with when it became idle
	stamp   int64               // when that was, on the budget's clock
	since   instant             // and on the machine's

	seed   [32]byte  // of randomness before the first call
	bornAt time.Time // the time it sees before the first call
	ticks  uint64    // the monotonic clock, in nanoseconds
	frame  frame
	busy   atomic.Bool
	sick   bool // it must not be used again
	closed bool
}

// newInstance makes what is to be closed, unless the runtime ends: it waits for all
// that there are.
func (p *Pool) newInstance() (*instance, error) {
	r := p.runtime
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	r.alive.Add(1)
	i := &instance{
		pool: p, ticks: firstTick, fuel: firstFuel,
		memory: memory{limit: uint64(min(p.config.Limits.MaxMemoryBytes, maxMemory)) / pageSize * pageSize},
	}
	i.frame.inst = i
	return i, nil
}

// start makes an instance and returns it with its manifest. The caller holds a
// token to run.
func (p *Pool) start(ctx context.Context, seed [32]byte, bornAt time.Time) (*instance, []byte, error) {
	i, err := p.newInstance()
	if err != nil {
		return nil, nil, err
	}
	i.seed, i.bornAt = seed, bornAt
	var manifest []byte
	err = i.guard(ctx, nil, startTimeout, func(w *watch) (err error) {
		if err = i.link(w); err != nil {
			return err
		}
		if err = i.initialize(w); err != nil {
			return err
		}
		if err = i.feed(w); err != nil {
			return err
		}
		if manifest, err = i.manifest(w); err != nil {
			return err
		}
		return i.offer(w, abi.InputBuffer)
	})
	if err != nil {
		i.close(ctx)
		return nil, nil, err
	}
	return i, manifest, nil
}

// guard runs guest code under a watch and decides whether the instance is still
// good after it.
func (i *instance) guard(ctx context.Context, call *Call, budget time.Duration, run func(w *watch) error) error {
	if !i.busy.CompareAndSwap(false, true) {
		panic("BUG: an instance is used by two goroutines") // G15: it would crash the process later
	}
	f := &i.frame
	f.reset(call)
	f.watch.start(ctx, f, budget)
	f.since, f.ticked = f.watch.since, f.watch.since
	err := run(f.watch)
	f.watch.pause()
	f.logs.flush()
	f.tell()
	i.sick = i.sick || err != nil
	if f.deep && !i.sick {
		i.find() // what wazero made for a deep stack stays with the functions (G4)
	}
	i.busy.Store(false)
	return err
}

// link makes the module's instance. None of its code runs.
func (i *instance) link(w *watch) error {
	r := i.pool.runtime
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	mod, err := func() (api.Module, error) {
		lock := r.equalTo(i.pool.module.code)
		lock.RLock()
		defer lock.RUnlock()
		return r.wazero.InstantiateModule(experimental.WithMemoryAllocator(w, &i.memory), i.pool.module.compiled, config)
	}()
	switch {
	case err == nil:
	case i.frame.stopped != nil || i.frame.hosting != "" || w.Err() != nil || strings.Contains(err.Error(), "wasm error: "):
		return i.frame.fault(err)
	default:
		return refuse("the module cannot be linked: %v", err)
	}
	i.mod = mod
	i.meter = mod.ExportedGlobal(inspect.MeterGlobal).(api.MutableGlobal)
	i.find()
	return nil
}

// find looks the exports up.
func (i *instance) find() {
	i.buf = i.mod.ExportedFunction(abi.ExportBuf)
	i.run = i.mod.ExportedFunction(abi.ExportCall)
}

// initialize fills the memory and lets the guest start.
func (i *instance) initialize(w *watch) error {
	for _, s := range i.pool.module.metered.Segments {
		if !i.mod.Memory().Write(s.At, s.Bytes) {
			return refuse("the module wants data at %d, outside its memory", s.At)
		}
	}
	if initialize := i.mod.ExportedFunction(abi.ExportInitialize); initialize != nil {
		return i.enter(w, initialize)
	}
	return nil
}

// enter calls a guest function with what is in i.stack.
func (i *instance) enter(w *watch, fn api.Function) error {
	i.refuel()
	if err := fn.CallWithStack(w, i.stack[:]); err != nil {
		return i.frame.fault(err)
	}
	return nil
}

// feed hands in the source of a plugin that an engine runs.
func (i *instance) feed(w *watch) error {
	source := i.pool.module.source
	if source == nil {
		return nil
	}
	if err := i.offer(w, uint32(max(len(source), abi.InputBuffer))); err != nil {
		return err
	}
	if !i.mod.Memory().Write(i.input, source) {
		return i.broke("the input buffer lies outside the guest's memory")
	}
	i.stack[0] = uint64(len(source))
	if err := i.enter(w, i.mod.ExportedFunction(abi.ExportSource)); err != nil {
		return err
	}
	switch p := abi.Packed(i.stack[0]); {
	case p.Valid() && p.Tag() == abi.TagNone:
		return nil
	case p.Valid() && p.Tag() == abi.TagError:
		e, err := i.guestError(p)
		if err != nil {
			return err
		}
		return refuse("%s", e.Message)
	default:
		return i.broke("weir_source returned the packed value %#x", uint64(p))
	}
}

// manifest asks the guest to describe itself.
func (i *instance) manifest(w *watch) ([]byte, error) {
	if err := i.enter(w, i.mod.ExportedFunction(abi.ExportDescribe)); err != nil {
		return nil, err
	}
	p := abi.Packed(i.stack[0])
	switch {
	case !p.Valid():
		return nil, i.broke("weir_describe returned the packed value %#x", uint64(p))
	case p.Tag() == abi.TagError:
		e, err := i.guestError(p)
		if err != nil {
			return nil, err
		}
		return nil, refuse("the plugin cannot describe itself: %s", e.Message)
	case p.Tag() != abi.TagValue:
		return nil, i.broke("weir_describe returned no value, but tag %d", p.Tag())
	case p.Len() > abi.MaxManifest:
		return nil, i.broke("the manifest has %d bytes, more than the %d allowed", p.Len(), abi.MaxManifest)
	}
	data, ok := i.mod.Memory().Read(p.At(), p.Len())
	if !ok {
		return nil, i.broke("the manifest lies outside the guest's memory")
	}
	return bytes.Clone(data), nil
}

// offer asks the guest for an input buffer of at least size bytes.
func (i *instance) offer(w *watch, size uint32) error {
	i.stack[0] = uint64(size)
	if err := i.enter(w, i.buf); err != nil {
		return err
	}
	at := uint32(i.stack[0])
	if _, ok := i.mod.Memory().Read(at, size); !ok {
		return i.broke("weir_buf offered %d bytes at %d, outside the guest's memory", size, at)
	}
	i.input, i.inputSize = at, size
	return nil
}

// call runs one call. The caller holds a token to run, which may be gone after
// an error.
func (i *instance) call(ctx context.Context, c *Call) (*Output, error) {
	f := &i.frame
	i.served++
	out := &c.out
	*out = Output{}
	err := i.guard(ctx, c, i.pool.config.Limits.GuestTimeout, func(w *watch) (err error) {
		return i.exchange(w, c, out)
	})
	if err != nil {
		return nil, err
	}
	out.Queries, out.Looked, out.WakeAt = f.queries, f.looked, f.wakeAt
	out.Cost, out.HostCalls, out.Dropped = f.watch.cost(), f.hostCalls, f.logs.dropped
	return out, nil
}

// exchange hands in the input, runs the function and copies its result out.
func (i *instance) exchange(w *watch, c *Call, out *Output) error {
	if n := len(c.Input); n > int(i.inputSize) {
		if n > maxMemory {
			return fmt.Errorf("%s: BUG: an input of %d bytes", i.frame.where(), n)
		}
		// Whole powers of two, so that growing inputs ask seldom.
		if err := i.offer(w, uint32(1)<<bits.Len32(uint32(n-1))); err != nil {
			return err
		}
	}
	if !i.mod.Memory().Write(i.input, c.Input) {
		return i.broke("the input buffer lies outside the guest's memory")
	}
	i.stack[0], i.stack[1] = uint64(uint32(c.Function)), uint64(len(c.Input))
	if err := i.enter(w, i.run); err != nil {
		return err
	}
	return i.output(abi.Packed(i.stack[0]), out)
}

// output copies the result out before the next guest instruction (A2).
func (i *instance) output(p abi.Packed, out *Output) error {
	if !p.Valid() {
		return i.broke("the function returned the packed value %#x", uint64(p))
	}
	switch p.Tag() {
	case abi.TagHandle:
		at := p.At()
		if at == 0 || int64(at) > int64(len(i.frame.handles)) || i.frame.handles[at-1] == nil {
			return i.broke("the function returned result %d, which it does not hold", at)
		}
		out.Kind, out.View = OutputRows, i.frame.handles[at-1]
		return nil
	case abi.TagError:
		e, err := i.guestError(p)
		if err != nil {
			return err
		}
		out.Kind, out.Err = OutputError, e
		return nil
	case abi.TagNone:
		return nil
	}
	if limit := i.pool.config.Limits.MaxResultBytes; int64(p.Len()) > limit {
		return tooLarge(i.frame.where(), fmt.Sprintf("the result has %d bytes, more than the %d allowed", p.Len(), limit))
	}
	data, ok := i.mod.Memory().Read(p.At(), p.Len())
	if !ok {
		return i.broke("the result lies outside the guest's memory")
	}
	value := bytes.Clone(data)
	d := abi.NewDecoder(value)
	if err := errors.Join(d.Skip(), d.Done()); err != nil {
		return i.broke("the result: %v", err)
	}
	out.Kind, out.Value = OutputValue, value
	return nil
}

// guestError copies out an error of the guest's own.
func (i *instance) guestError(p abi.Packed) (*abi.Error, error) {
	if p.Len() > abi.MaxError {
		return nil, i.broke("the error has %d bytes, more than the %d allowed", p.Len(), abi.MaxError)
	}
	data, ok := i.mod.Memory().Read(p.At(), p.Len())
	if !ok {
		return nil, i.broke("the error lies outside the guest's memory")
	}
	e, err := abi.DecodeError(bytes.Clone(data))
	if err != nil {
		return nil, i.broke("the error: %v", err)
	}
	return e, nil
}

func (i *instance) broke(format string, args ...any) error {
	return &ContractError{Where: i.frame.where(), What: fmt.Sprintf(format, args...)}
}

// close frees the instance. It may be called twice.
func (i *instance) close(ctx context.Context) {
	if i.mod != nil {
		_ = i.mod.Close(ctx) // closing runs no guest code and cannot fail
	}
	i.memory.free()
	if !i.closed {
		i.closed = true
		i.pool.runtime.alive.Done()
	}
}
