package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"weir/abi"
)

// Runtime compiles modules and owns what all guests share. It is safe for
// concurrent use.
type Runtime struct {
	config  Config
	wazero  wazero.Runtime
	cache   wazero.CompilationCache
	running *admission
	budget  *budget
	mapped  atomic.Int64 // instances whose memory is mapped
	late    sync.WaitGroup
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
	cache, err := openCache(config.CacheDir)
	if err != nil {
		return nil, err
	}
	// The feature set is named, not left to a default: exceptions let a guest
	// write into the host's heap, and each other proposal is one more risk.
	// Memory is bounded by each instance's allocator, so that it knows what it
	// refused.
	// Guests are stopped by their meter (meter.go).
	rc := wazero.NewRuntimeConfigCompiler().
		WithCloseOnContextDone(false).
		WithCoreFeatures(api.CoreFeaturesV2).
		WithCompilationCache(cache).
		WithDebugInfoEnabled(false).
		WithCustomSections(false)
	r := &Runtime{
		config:  config,
		wazero:  wazero.NewRuntimeWithConfig(ctx, rc),
		cache:   cache,
		running: newAdmission(max(1, config.MaxRunning)),
		budget:  newBudget(config.MaxIdleBytes),
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

// openCache returns the compile cache. What lies in its directory is native
// code that will be run, so nobody else may be able to write there (G8).
func openCache(dir string) (wazero.CompilationCache, error) {
	if dir == "" {
		return wazero.NewCompilationCache(), nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 || !owned(info) {
		return nil, fmt.Errorf("compile cache %s is open to other users (%v): run chmod 700 on it, or name another directory", dir, info.Mode().Perm())
	}
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, fmt.Errorf("compile cache: %w", err)
	}
	return cache, nil
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
	shape, err := gate(bytes.Clone(code), source != nil)
	if err != nil {
		return nil, err
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
	metered, err := meterOf(shape)
	if err != nil {
		<-c.turn
		return nil, err
	}
	compiled, err := r.compile(ctx, metered.Code, c.turn)
	if err != nil {
		return nil, err
	}
	metered.Code = nil
	m := &Module{compiled: compiled, metered: metered, code: sha256.Sum256(code), source: source}
	if m.digest = m.code; source != nil {
		m.digest = sha256.Sum256(append(m.code[:], source...))
	}
	return m, nil
}

func (r *Runtime) equalTo(digest [32]byte) *sync.RWMutex { return &r.equal[digest[0]%64] }

// compile waits for the compiler, at most CompileTimeout. wazero's compiler
// ignores its context (G1), so one that takes longer is left to end by itself. Only
// then the turn is given back.
func (r *Runtime) compile(ctx context.Context, code []byte, turn <-chan struct{}) (wazero.CompiledModule, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		<-turn
		return nil, ErrClosed
	}
	r.late.Add(1)
	r.mu.Unlock()

	type outcome struct {
		compiled wazero.CompiledModule
		err      error
	}
	done := make(chan outcome) // unbuffered: who is late finds nobody
	abandoned := make(chan struct{})
	background := experimental.WithCompilationWorkers(context.WithoutCancel(ctx), min(4, runtime.GOMAXPROCS(0)))
	go func() {
		defer r.late.Done()
		defer func() { <-turn }()
		digest := sha256.Sum256(code)
		lock := r.equalTo(digest)
		lock.Lock()
		compiled, err := r.wazero.CompileModule(background, code)
		lock.Unlock()
		select {
		case done <- outcome{compiled, err}:
		case <-abandoned:
			if err == nil {
				_ = compiled.Close(background)
			}
		}
	}()
	timeout := time.NewTimer(r.config.CompileTimeout)
	defer timeout.Stop()
	select {
	case o := <-done:
		if o.err != nil {
			return nil, refuse("the module is not valid: %v", o.err)
		}
		return o.compiled, nil
	case <-timeout.C:
		close(abandoned)
		return nil, over("compile_timeout", "the module takes longer than %v to compile: make it smaller", r.config.CompileTimeout)
	case <-ctx.Done():
		close(abandoned)
		return nil, fmt.Errorf("compile: %w", ctx.Err())
	}
}

// Close frees everything, also instances that still run; close pools first. It
// waits for compilations in flight and may be called twice.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	r.late.Wait()
	return errors.Join(r.wazero.Close(ctx), r.cache.Close(ctx))
}
