package plugin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"weir/abi"
	"weir/host/wasm"
)

// Set holds the plugins of one tenant. It is safe for concurrent use.
type Set struct {
	config   Config // Tenant is protected by mu
	compiler *wasm.Compiler
	table    atomic.Pointer[table]

	mu     sync.Mutex // one change at a time; protects the field below
	closed bool
}

// table is one state of a set. It is never changed.
type table struct {
	plugins   map[string]*Plugin // by path
	builtin   *Plugin            // nil until Build
	functions map[string]*Function
	errors    map[string]error // by path: why the newest file does not serve
}

// Change says what a load or a removal did.
type Change struct {
	// Old is what served before and New what serves now; one may be nil.
	Old, New *Plugin
	// Functions are the names of all functions of either, sorted: their code
	// changed, so what was read or decided by them must run again.
	Functions []string
}

// NewSet makes an empty set.
func NewSet(config Config) *Set {
	s := &Set{config: config}
	if config.Runtime != nil {
		s.compiler = config.Runtime.Compiler()
	}
	s.table.Store(&table{})
	return s
}

// Load loads a file, or loads it again. If that fails the plugin that came from
// the file before goes on serving, and Errors tells of it. The same bytes change
// nothing.
func (s *Set) Load(ctx context.Context, path string) error {
	path = filepath.Clean(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return wasm.ErrClosed
	}
	change, err := s.change(ctx, path)
	if err != nil {
		err = fmt.Errorf("plugin %s: %w", filepath.Base(path), err)
		s.table.Store(s.table.Load().with(path, nil, err))
		return err
	}
	if change.New == nil { // nothing is new; a failure before it is forgotten
		s.table.Store(s.table.Load().with(path, nil, nil))
		return nil
	}
	s.swap(ctx, s.table.Load().with(path, change.New, nil), change)
	return nil
}

// change loads a file beside what serves. New is nil if the file is what serves
// already.
func (s *Set) change(ctx context.Context, path string) (Change, error) {
	code, err := s.read(path)
	if err != nil {
		return Change{}, err
	}
	old := s.table.Load().plugins[path]
	if old != nil && old.file == sha256.Sum256(code) {
		return Change{}, nil
	}
	p, err := s.load(ctx, path, code)
	if err != nil {
		return Change{}, err
	}
	if err := s.table.Load().clash(p, old); err != nil {
		p.retire(ctx)
		return Change{}, err
	}
	return Change{Old: old, New: p, Functions: names(old, p)}, nil
}

// Build makes the set answer for the functions of a manifest that weir brings
// itself: statements, without a module. It is not among All. It may be called
// again until it has succeeded; after that it does nothing.
func (s *Set) Build(ctx context.Context, m *abi.Manifest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.table.Load()
	if s.closed || now.builtin != nil {
		return nil
	}
	p, err := s.build(ctx, m)
	if err != nil {
		return fmt.Errorf("built-in %s: %w", m.Name, err)
	}
	next := now.without("") // a copy: no plugin has that path
	next.builtin = p
	for name, f := range p.functions {
		next.functions[name] = f
	}
	s.table.Store(next)
	return nil
}

// Remove takes the plugin of a file out, and forgets the file's error.
func (s *Set) Remove(ctx context.Context, path string) {
	path = filepath.Clean(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.table.Load()
	old := now.plugins[path]
	next := now.without(path)
	if old == nil {
		s.table.Store(next)
		return
	}
	s.swap(ctx, next, Change{Old: old, Functions: names(old, nil)})
}

// swap makes next the table, then lets the old plugin drain (P4).
func (s *Set) swap(ctx context.Context, next *table, change Change) {
	s.table.Store(next)
	if change.Old != nil {
		change.Old.retire(ctx)
	}
	if s.config.OnChange != nil {
		s.config.OnChange(change)
	}
}

// Lookup returns the function of that name, or an UnknownError.
func (s *Set) Lookup(name string) (*Function, error) {
	t := s.table.Load()
	if f := t.functions[name]; f != nil {
		return f, nil
	}
	return nil, unknown(name, t.functions)
}

// Builtin returns what Build made, or nil.
func (s *Set) Builtin() *Plugin { return s.table.Load().builtin }

// All returns the plugins that came from files, sorted by path.
func (s *Set) All() []*Plugin {
	t := s.table.Load()
	all := make([]*Plugin, 0, len(t.plugins))
	for _, p := range t.plugins {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *Plugin) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// Errors returns why the newest version of a file does not serve, by path. The
// caller owns the map.
func (s *Set) Errors() map[string]error {
	errs := make(map[string]error)
	for path, err := range s.table.Load().errors {
		errs[path] = err
	}
	return errs
}

// Close takes all plugins out, without OnChange; those with calls are freed when
// the calls end. It may be called twice.
func (s *Set) Close(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, p := range s.table.Swap(&table{}).plugins {
		p.retire(ctx)
	}
}

// with returns the table with a plugin (nil: as it was) and an error (nil: none)
// for a path.
func (t *table) with(path string, p *Plugin, err error) *table {
	if p == nil {
		p = t.plugins[path]
	}
	next := t.without(path)
	if p != nil {
		next.plugins[path] = p
		for name, f := range p.functions {
			next.functions[name] = f
		}
	}
	if err != nil {
		next.errors[path] = err
	}
	return next
}

// without returns the table without anything of a path.
func (t *table) without(path string) *table {
	next := &table{builtin: t.builtin, plugins: map[string]*Plugin{}, functions: map[string]*Function{}, errors: map[string]error{}}
	if t.builtin != nil {
		for name, f := range t.builtin.functions {
			next.functions[name] = f
		}
	}
	for other, p := range t.plugins {
		if other != path {
			next.plugins[other] = p
			for name, f := range p.functions {
				next.functions[name] = f
			}
		}
	}
	for other, err := range t.errors {
		if other != path {
			next.errors[other] = err
		}
	}
	return next
}

// clash refuses a plugin whose name or functions another one has: the later load
// loses (G16).
func (t *table) clash(p, old *Plugin) error {
	for _, other := range t.plugins {
		if other != old && other.Name() == p.Name() {
			return refuse("a plugin called %s is loaded from %s: rename one", p.Name(), filepath.Base(other.Path))
		}
	}
	for _, name := range names(p, nil) {
		if f := t.functions[name]; f != nil && f.Plugin != old {
			return refuse("the function %s is already in plugin %s: rename one", name, f.Plugin.Name())
		}
	}
	return nil
}

// names returns the functions of both plugins, sorted, each once. Either may be
// nil.
func names(a, b *Plugin) []string {
	var all []string
	for _, p := range []*Plugin{a, b} {
		if p != nil {
			for name := range p.functions {
				all = append(all, name)
			}
		}
	}
	return slices.Compact(sorted(all))
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// pluginName is what a plugin is called before it has described itself.
func pluginName(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

// Files returns the files in a directory that are plugins, by name: *.wasm, and
// *.js, but for those that begin with a dot, which editors make.
func Files(dir string) ([]string, error) {
	var files []string
	for _, pattern := range []string{"*.wasm", "*.js"} {
		matches, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, matches...)
	}
	files = slices.DeleteFunc(files, func(path string) bool { return strings.HasPrefix(filepath.Base(path), ".") })
	return sorted(files), nil
}
