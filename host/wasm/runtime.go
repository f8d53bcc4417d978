package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero"

	"weir/abi"
	"weir/host/inspect"
)

// Runtime compiles modules and owns what all guests share. It is safe for
// concurrent use.
type Runtime struct {
	config  Config
	wazero  wazero.Runtime // that of engine
	running *admission
	budget  *budget
	mapped  atomic.Int64 // instances whose memory is mapped
	late    sync.WaitGroup
	alive   sync.WaitGroup // instances
	ending  chan struct{}  // closed by Close

	engine   *engine
	workshop *workshop
	store    *store // nil: nothing is kept
	run      string // the directory of engine
	temp     string // what Close removes

	// equal keeps the compiler off a module that is being instantiated: wazero
	// shares what it compiled between equal modules, and compiling one again writes
	// to it. By digest, so that others hardly ever wait.
	equal [64]sync.RWMutex

	mu     sync.Mutex // protects the fields below
	closed bool
	totals totals
}

// NewRuntime makes a Runtime. Close frees it.
func NewRuntime(ctx context.Context, config Config) (*Runtime, error) {
	config = config.withDefaults()
	r := &Runtime{
		config:  config,
		running: newAdmission(max(1, config.MaxRunning)),
		budget:  newBudget(config.MaxIdleBytes),
		ending:  make(chan struct{}),
	}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	if err := r.link(ctx); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return r, nil
}

// totals are the counters of all pools there were. Those of the pools end with
// them, and a figure that is summed up by others must never fall.
type totals struct{ calls, started, dropped, resets, regrown, evicted atomic.Int64 }

// Totals returns the counters of all pools there were, without what is alive.
func (r *Runtime) Totals() PoolStats {
	t := &r.totals
	return PoolStats{
		Calls: t.calls.Load(), Started: t.started.Load(), Dropped: t.dropped.Load(),
		Resets: t.resets.Load(), Regrown: t.regrown.Load(), Evicted: t.evicted.Load(),
	}
}

// Compile is what a Compiler of its own does once.
func (r *Runtime) Compile(ctx context.Context, code []byte) (*Module, error) {
	return r.Compiler().Compile(ctx, code)
}

// Compiler compiles one module at a time: a tenant's, so that its modules cannot
// take all cores. It is safe for concurrent use.
type Compiler struct {
	runtime *Runtime
	turn    chan struct{} // a token for the compilation that runs, abandoned or not
}

// Compiler returns a Compiler. It needs no Close.
func (r *Runtime) Compiler() *Compiler {
	return &Compiler{runtime: r, turn: make(chan struct{}, 1)}
}

// Compile checks and compiles a module, which must be closed. A module that does
// not fit the contract is a RefusedError. It waits for its turn, at most as long
// as a compilation may take, because one that was abandoned may never end.
func (c *Compiler) Compile(ctx context.Context, code []byte) (*Module, error) {
	return c.compile(ctx, code, nil)
}

// CompileSource is Compile for a plugin that an engine runs: the text of a source
// file, which the guest is told the name of.
func (c *Compiler) CompileSource(ctx context.Context, engine []byte, name, text string) (*Module, error) {
	if !utf8.ValidString(text) {
		return nil, refuse("it is not UTF-8: save it as that")
	}
	source := abi.AppendArray(nil, 2)
	return c.compile(ctx, engine, abi.AppendText(abi.AppendText(source, name), text))
}

func (c *Compiler) compile(ctx context.Context, code, source []byte) (*Module, error) {
	r := c.runtime
	if int64(len(code)) > r.config.MaxModuleBytes {
		return nil, over("module_bytes", "the module has %d bytes, more than the %d allowed", len(code), r.config.MaxModuleBytes)
	}
	own := sha256.Sum256(code)
	metered, known := r.store.form(own, source != nil)
	var shape *inspect.Shape
	if !known {
		var err error
		if shape, err = gate(bytes.Clone(code), source != nil); err != nil {
			return nil, err
		}
	}
	timeout := time.NewTimer(r.config.CompileTimeout)
	defer timeout.Stop()
	select {
	case c.turn <- struct{}{}:
	default:
		select {
		case c.turn <- struct{}{}:
		case <-timeout.C:
			return nil, over("compile_timeout", "another module of the tenant has been compiling for longer than %v: remove that one", r.config.CompileTimeout)
		case <-ctx.Done():
			return nil, fmt.Errorf("compile: %w", ctx.Err())
		}
	}
	if !known {
		var err error
		if metered, err = meterOf(shape); err != nil {
			<-c.turn
			return nil, err
		}
	}
	// What is compiled is the metered form: with another meter it is another module.
	built := sha256.Sum256(metered.Code)
	compiled, err := r.compile(ctx, metered.Code, built, c.turn)
	if err != nil {
		return nil, err
	}
	if !known {
		r.store.putForm(own, source != nil, metered)
	}
	metered.Code = nil
	m := &Module{compiled: compiled, metered: metered, code: built, digest: own, source: source}
	if source != nil {
		m.digest = sha256.Sum256(append(m.digest[:], source...))
	}
	return m, nil
}

func (r *Runtime) equalTo(digest [32]byte) *sync.RWMutex { return &r.equal[digest[0]%64] }

// Close closes the pools, waits for calls that still run, and frees everything:
// code that runs must not be unmapped. It ends compilations, waiting for those that
// run in this process, and may be called twice.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	close(r.ending)
	for _, p := range r.budget.all(nil) {
		p.Close(ctx)
	}
	r.alive.Wait()
	r.late.Wait()
	return r.shut(ctx)
}
