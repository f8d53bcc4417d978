package plugin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/abi"
	"weir/host/wasm"
)

// ErrRetired is returned for a call on a plugin that was replaced or removed and
// has been closed. Looking the function up again finds the new one.
var ErrRetired = errors.New("the plugin was replaced")

// Plugin is one loaded plugin. It is safe for concurrent use.
type Plugin struct {
	// Path is the file that it came from; empty for what weir has built in.
	Path string
	// Digest is the SHA-256 of the file, with the engine's in JavaScript, or of a
	// built-in manifest.
	Digest [32]byte
	// Manifest is what it says of itself; not to be changed.
	Manifest *abi.Manifest
	// Prepared is what the Checker made of its statements.
	Prepared any
	// Loaded is when it was read from its file.
	Loaded time.Time

	file      [32]byte // SHA-256 of the file
	functions map[string]*Function
	module    *wasm.Module // nil without a file: every function is a statement
	breaker   *breaker     // likewise
	onBreak   func(p *Plugin, stopped bool)

	mu      sync.Mutex // protects the fields below
	now     *instances
	before  *instances     // under the configuration before, nil if there was none
	past    wasm.PoolStats // of instances that are gone
	users   int
	retired bool
	closed  bool
}

// Function is one function of a plugin. It is immutable.
type Function struct {
	*abi.Function
	Plugin *Plugin
	// Index is its place in the manifest.
	Index int
	// Statements are those it may run, with the number of their parameters.
	Statements wasm.Statements
}

// Name returns the plugin's name.
func (p *Plugin) Name() string { return p.Manifest.Name }

// Version returns the first digits of the digest, for people.
func (p *Plugin) Version() string { return hex.EncodeToString(p.Digest[:6]) }

// Functions returns its functions in the manifest's order.
func (p *Plugin) Functions() []*Function {
	all := make([]*Function, 0, len(p.functions))
	for i := range p.Manifest.Functions {
		all = append(all, p.functions[p.Manifest.Functions[i].Name])
	}
	return all
}

// Function returns the function of that name, or an UnknownError that names the
// nearest one.
func (p *Plugin) Function(name string) (*Function, error) {
	if f := p.functions[name]; f != nil {
		return f, nil
	}
	return nil, unknown(name, p.functions)
}

// Signatures returns the module's imports and exports in words.
func (p *Plugin) Signatures() []string {
	if p.module == nil {
		return nil
	}
	return p.module.Signatures()
}

// Stats returns the counters of the instances.
func (p *Plugin) Stats() wasm.PoolStats {
	if p.module == nil {
		return wasm.PoolStats{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now.pool.Stats()
	if p.before != nil {
		before := p.before.pool.Stats()
		now.Instances, now.Idle = now.Instances+before.Instances, now.Idle+before.Idle
		now.IdleBytes, now.ImageBytes = now.IdleBytes+before.IdleBytes, now.ImageBytes+before.ImageBytes
		now = sum(now, before)
	}
	return sum(now, p.past)
}

// Stopped reports whether the plugin's guest is refused because it keeps failing,
// and how many calls were refused so far.
func (p *Plugin) Stopped() (stopped bool, refused uint64) {
	if p.module == nil {
		return false, 0
	}
	return p.breaker.state()
}

// Call runs a call of the function on an instance. Function, Name, Kind and
// Statements of c are filled in. A plugin that is being replaced still takes
// calls until the last one ends; then the error is ErrRetired, as it is for
// settings that are no longer those of the plugin. One that keeps failing refuses
// calls with a BrokenError.
func (f *Function) Call(ctx context.Context, c *wasm.Call) (*wasm.Output, error) {
	release, ok := f.Plugin.Hold(ctx)
	if !ok {
		return nil, fmt.Errorf("plugin %s, %s: %w", f.Plugin.Name(), f.Name, ErrRetired)
	}
	defer release()
	if f.Plugin.module == nil {
		return nil, fmt.Errorf("BUG: %s is a statement and has no guest to call", f.Name)
	}
	p := f.Plugin
	pool := p.poolOf(c.Settings)
	if pool == nil {
		return nil, fmt.Errorf("plugin %s, %s, under another configuration: %w", p.Name(), f.Name, ErrRetired)
	}
	trial, err := p.breaker.enter(p.Name())
	if err != nil {
		return nil, err
	}
	c.Function, c.Name, c.Kind, c.Statements = f.Index, f.Name, f.Kind, f.Statements
	did := neither
	defer func() { // also if the host panics: a trial that never ends would be the last
		if p.breaker.leave(trial, did) && p.onBreak != nil {
			stopped, _ := p.breaker.state()
			p.onBreak(p, stopped)
		}
	}()
	out, err := pool.Call(ctx, c)
	did = outcomeOf(err)
	if errors.Is(err, wasm.ErrClosed) { // replaced by those of other settings, in this moment
		err = fmt.Errorf("plugin %s, %s: %w", p.Name(), f.Name, ErrRetired)
	}
	return out, err
}

// Hold keeps a replaced plugin open until release, and reports whether it still
// was. Release may be called once.
func (p *Plugin) Hold(ctx context.Context) (release func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, false
	}
	p.users++
	return func() { p.release(ctx) }, true
}

func (p *Plugin) release(ctx context.Context) {
	p.mu.Lock()
	p.users--
	last := p.last()
	p.mu.Unlock()
	if last {
		p.free(ctx)
	}
}

// retire closes the plugin as soon as nobody uses it (P4). It may be called
// twice.
func (p *Plugin) retire(ctx context.Context) {
	p.mu.Lock()
	p.retired = true
	last := p.last()
	p.mu.Unlock()
	if last {
		p.free(ctx)
	}
}

// last decides, with the lock held, whether the plugin must be freed now.
func (p *Plugin) last() bool {
	if !p.retired || p.users > 0 || p.closed {
		return false
	}
	p.closed = true
	return true
}

func (p *Plugin) free(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	if p.module == nil {
		return
	}
	p.mu.Lock()
	now, before := p.now, p.before
	p.mu.Unlock()
	now.pool.Close(ctx)
	if before != nil {
		before.pool.Close(ctx)
	}
	_ = p.module.Close(ctx) // it frees memory and cannot fail
}

// UnknownError says that there is no function of a name.
type UnknownError struct {
	Name    string
	Nearest string // "" when none is near
}

// Error returns a sentence.
func (e *UnknownError) Error() string {
	if e.Nearest == "" {
		return fmt.Sprintf("there is no function %q", e.Name)
	}
	return fmt.Sprintf("there is no function %q: did you mean %q?", e.Name, e.Nearest)
}

// Code returns abi.UnknownFunction.
func (e *UnknownError) Code() abi.Code { return abi.UnknownFunction }

func unknown(name string, among map[string]*Function) error {
	names := make([]string, 0, len(among))
	for n := range among {
		names = append(names, n)
	}
	return &UnknownError{Name: name, Nearest: abi.Nearest(name, sorted(names))}
}
