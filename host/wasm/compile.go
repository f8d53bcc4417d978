package wasm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"

	"weir/host/inspect"
)

// workshop makes native code of modules, each in a child of its own (G1).
type workshop struct {
	config  *Config
	base    string        // private; where directories are made
	version string        // what all native code must be for
	slots   chan struct{} // a token for each child

	mu      sync.Mutex // protects the fields below
	started bool       // a child has been ready: they can be started here
	open    bool       // they reach more files than they need
	inside  bool       // they cannot, and this process compiles
	failed  map[[32]byte]failure
}

// failure is why a module is not compiled again for a while.
type failure struct {
	err error
	at  time.Time
}

const (
	// childStart bounds the time until a child is ready.
	childStart = 30 * time.Second
	// failureMemory is how long a module that ended its child is refused unseen:
	// trying it again costs the most that a compilation may cost (W7).
	failureMemory = 10 * time.Minute
	maxFailures   = 1024
)

func newWorkshop(config *Config, base, version string) *workshop {
	return &workshop{
		config: config, base: base, version: version,
		slots: make(chan struct{}, max(1, config.MaxCompiling)), failed: map[[32]byte]failure{},
	}
}

// produce compiles a module. Inside is called when this process does it, which
// nothing can end.
func (w *workshop) produce(ctx context.Context, module [32]byte, code []byte, inside func()) (*native, error) {
	functions, err := countFunctions(code)
	if err != nil {
		return nil, err
	}
	if err := w.failure(module); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(w.base, "compile-")
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // if not now, it is swept up
	if err := w.compile(ctx, dir, code, inside); err != nil {
		w.remember(module, err)
		return nil, err
	}
	n, err := takeNative(dir, w.version, functions)
	if err != nil {
		err = refuse("the compiler left something else than code for the module: %v", err)
		w.remember(module, err)
	}
	return n, err
}

// compile leaves the native code in dir.
func (w *workshop) compile(ctx context.Context, dir string, code []byte, inside func()) error {
	if w.isInside() {
		inside()
		return compileInside(ctx, dir, code)
	}
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return fmt.Errorf("compile: %w", ctx.Err())
	}
	p, err := w.start(dir)
	switch {
	case err == nil:
		return w.ask(ctx, p, code)
	case w.isInside():
		inside()
		return compileInside(ctx, dir, code)
	}
	return fmt.Errorf("compile: the child cannot be started: %w", err)
}

// isInside reports whether this process compiles.
func (w *workshop) isInside() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.inside && len(w.config.Command) == 0 {
		w.insideLocked(errors.New("no program is named that does it"))
	}
	return w.inside
}

func (w *workshop) insideLocked(reason error) {
	w.inside = true
	w.config.Logger.Warn("modules are compiled in this process: one that is made for it can use up its memory", "reason", reason)
}

// start starts a child. Where the first one cannot be started for reasons that
// will not pass, it is not fenced in, and where that is not why, this process
// compiles from now on.
func (w *workshop) start(dir string) (*inspect.Process, error) {
	w.mu.Lock()
	open, started := w.open, w.started
	w.mu.Unlock()
	p, err := w.startOne(dir, !open)
	if err != nil && !open && !started && !isShortage(err) {
		reason := err
		if p, err = w.startOne(dir, false); err == nil {
			w.config.Logger.Warn("modules are compiled by a child that can open files", "reason", reason)
			open = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.started, w.open = true, open
	} else if !w.started && !isShortage(err) && !w.inside {
		w.insideLocked(err)
	}
	return p, err
}

func (w *workshop) startOne(dir string, fence bool) (*inspect.Process, error) {
	return inspect.StartProcess(inspect.Program{
		Command: slices.Concat(w.config.Command, compileArgs(w.config, fence)),
		Dir:     dir, Hello: compileHello(w.version), Timeout: childStart,
	})
}

// isShortage reports whether what keeps a child from starting is a shortage.
func isShortage(err error) bool {
	for _, shortage := range []error{os.ErrDeadlineExceeded, syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}

// ask lets a child compile, and ends it.
func (w *workshop) ask(ctx context.Context, p *inspect.Process, code []byte) error {
	defer p.Kill()
	defer context.AfterFunc(ctx, p.Kill)()
	answer, err := p.Ask(code, maxCompileAnswer, time.Now().Add(w.config.CompileTimeout))
	var crash *inspect.CrashError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("compile: %w", ctx.Err())
	case errors.As(err, &crash):
		return w.crashed(crash, p.Said())
	case err != nil:
		return fmt.Errorf("compile: %w", err)
	case len(answer) == 0:
		return refuse("the compiler says nothing about the module")
	}
	text := strings.ToValidUTF8(string(answer[1:]), "")
	switch answer[0] {
	case answerDone:
		return nil
	case answerRefused:
		return refuse("the module is not valid: %s", text)
	case answerFault:
		return fmt.Errorf("compile: %s", text)
	}
	return refuse("the compiler says something else than it may about the module")
}

// crashed says why a module ended its child.
func (w *workshop) crashed(crash *inspect.CrashError, said string) error {
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(said, word) {
				return true
			}
		}
		return false
	}
	switch {
	case crash.Kind == inspect.CrashTimeout, has("SIGXCPU"):
		return tooSlow(w.config)
	case has("out of memory", "cannot allocate memory", "failed to reserve", "failed to allocate"):
		return refuse("the compiler needs more than %d MiB of memory for the module: make it, or its largest functions, smaller", w.config.CompileMemory>>20)
	case has("SIGXFSZ"):
		return refuse("the module's machine code is larger than %d MiB: make it smaller", maxNativeBytes>>20)
	case crash.Kind == inspect.CrashGarbage:
		return refuse("the compiler says something else than it may about the module")
	}
	return refuse("the compiler ends at the module: %v", crash.Err)
}

func tooSlow(config *Config) error {
	return over("compile_timeout", "the module takes longer than %v to compile: make it smaller", config.CompileTimeout)
}

// remember keeps why a module ended its child, if it did.
func (w *workshop) remember(module [32]byte, err error) {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failed) >= maxFailures {
		clear(w.failed)
	}
	w.failed[module] = failure{err, time.Now()}
}

// failure returns why a module is not compiled now, or nil.
func (w *workshop) failure(module [32]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, ok := w.failed[module]
	if ok && time.Since(f.at) > failureMemory {
		delete(w.failed, module)
		return nil
	}
	return f.err
}

// compileInside compiles in this process.
func compileInside(ctx context.Context, dir string, code []byte) error {
	e, err := newEngine(ctx, dir)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	err = e.compile(ctx, code)
	if closing := e.close(context.WithoutCancel(ctx)); err == nil {
		err = closing
	}
	switch {
	case err == nil:
		return nil
	case isFault(err) || ctx.Err() != nil:
		return fmt.Errorf("compile: %w", err)
	}
	return refuse("the module is not valid: %v", err)
}

// compile waits for a module. What runs in this process and takes longer than
// CompileTimeout is left to end by itself (G1); all else ends with ctx. Only then
// the turn is given back.
func (r *Runtime) compile(ctx context.Context, code []byte, module [32]byte, turn <-chan struct{}) (wazero.CompiledModule, error) {
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
	inside := make(chan struct{}, 1)
	work, abandon := context.WithCancel(ctx)
	defer abandon()
	go func() {
		defer r.late.Done()
		defer func() { <-turn }()
		compiled, err := r.build(work, code, module, func() { inside <- struct{}{} })
		select {
		case done <- outcome{compiled, err}:
		case <-work.Done():
			if err == nil {
				_ = compiled.Close(context.WithoutCancel(work))
			}
		}
	}()
	var timeout <-chan time.Time
	for {
		select {
		case o := <-done:
			return o.compiled, o.err
		case <-inside:
			timer := time.NewTimer(r.config.CompileTimeout)
			defer timer.Stop()
			timeout = timer.C
		case <-timeout:
			return nil, tooSlow(&r.config)
		case <-r.ending:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("compile: %w", ctx.Err())
		}
	}
}

// build returns a module whose native code is stored, or made now.
func (r *Runtime) build(ctx context.Context, code []byte, module [32]byte, inside func()) (wazero.CompiledModule, error) {
	if n, ok := r.store.get(module); ok {
		compiled, err := r.load(module, code, n)
		if !errors.Is(err, errMissed) {
			return compiled, err
		}
		r.store.drop(module)
	}
	n, err := r.workshop.produce(ctx, module, code, inside)
	if err != nil {
		return nil, err
	}
	compiled, err := r.load(module, code, n)
	if err != nil {
		return nil, err
	}
	r.store.put(module, n)
	return compiled, nil
}

// load shows wazero native code that was verified, and nothing else, and takes it
// away again.
func (r *Runtime) load(module [32]byte, code []byte, n *native) (wazero.CompiledModule, error) {
	lock := r.equalTo(module)
	lock.Lock()
	defer lock.Unlock()
	path := filepath.Join(r.engine.dir, n.name)
	if err := r.show(path, n.code); err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	defer func() { _ = os.Remove(path) }() // if not now, before the next
	compiled, err := r.engine.load(code)
	if errors.Is(err, context.Canceled) {
		err = errMissed
	}
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	return compiled, nil
}

// errMissed says that wazero looked for another file than the one it was shown.
var errMissed = errors.New("the native code is that of another module, CPU or version")

// show writes a file that was not there.
func (r *Runtime) show(path string, code []byte) error {
	// The directory may have been swept up by another process, a day after its
	// last use.
	now := time.Now()
	if err := os.MkdirAll(r.engine.dir, 0o700); err != nil {
		return err
	}
	_ = os.Chtimes(r.run, now, now)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(code)
	return errors.Join(err, f.Close())
}
