package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"weir/abi"
	"weir/reactor/changelog"
)

// loader loads the plugins of all tenants and follows their directories. What
// cannot be loaded because the database is away is tried again until it can;
// what is refused is tried again when the file changes.
type loader struct {
	host  *Host
	again chan struct{} // capacity 1: the database is back, or changed
	done  atomic.Bool

	failed  map[string]failure // by path; owned by run
	unbuilt map[*space]failure // likewise
}

// failure is a file that was refused. Unchanged, it is tried again at growing
// intervals, because what it lacks may come by itself, such as a table; at once
// when definitions change. Compiling takes too long to do it at every look.
type failure struct {
	size     int64
	modified time.Time
	next     time.Time
	wait     time.Duration
}

// settle is how long a directory must be quiet before its files are loaded.
const settle = 60 * time.Millisecond

func newLoader(h *Host) *loader {
	return &loader{host: h, again: make(chan struct{}, 1), failed: map[string]failure{}, unbuilt: map[*space]failure{}}
}

// tried reports whether every plugin was tried once with the database there.
func (l *loader) tried() bool { return l.done.Load() }

// retry asks for another look at what failed.
func (l *loader) retry() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// run loads until ctx ends. It starts no goroutine of its own but that of the
// watcher, which it closes.
func (l *loader) run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	for _, s := range l.host.spaces {
		// A directory that is not there yet is found by the slow look.
		_ = watcher.Add(s.tenant.Plugins)
	}
	const slow = 5 * time.Second
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
			timer.Reset(settle)
			continue
		case err := <-watcher.Errors:
			l.host.cfg.Logger.Warn("plugin directories cannot be followed closely", "err", err)
			continue
		case <-l.again:
			clear(l.failed)
			clear(l.unbuilt)
		case <-timer.C:
		}
		if l.loadAll(ctx) {
			wait = 0
			timer.Reset(slow)
			l.finish()
		} else {
			wait = min(max(2*wait, 200*time.Millisecond), slow)
			timer.Reset(wait)
		}
		for _, s := range l.host.spaces {
			_ = watcher.Add(s.tenant.Plugins)
		}
	}
}

func (l *loader) finish() {
	if l.done.CompareAndSwap(false, true) {
		for _, s := range l.host.spaces {
			for _, name := range s.unused() {
				l.host.cfg.Logger.Warn("weir.toml configures a plugin that is not loaded", "tenant", s.tenant.Name, "plugin", name)
			}
		}
		close(l.host.ready)
	}
}

// loadAll brings every tenant's set up to date. It reports false when something
// must be tried again soon.
func (l *loader) loadAll(ctx context.Context) bool {
	settled := true
	for _, s := range l.host.spaces {
		if err := l.open(ctx, s); err != nil {
			settled = false
			continue
		}
		settled = l.loadSpace(ctx, s) && settled
	}
	return settled
}

// open reads the tenant's secret, once.
func (l *loader) open(ctx context.Context, s *space) error {
	if s.secret != nil {
		return nil
	}
	secret, err := changelog.Secret(ctx, l.host.cfg.File.Database.URL.Reveal(), s.tenant.Name)
	if err != nil {
		if errors.Is(err, changelog.ErrNotSetUp) {
			l.host.cfg.Event(Event{Kind: DatabaseDown, Err: err})
		}
		l.host.cfg.Logger.Debug("plugins wait for the database", "err", err)
		return err
	}
	s.secret = secret
	l.host.warnOfExcess(ctx, s)
	return nil
}

// loadSpace loads what is new or changed and removes what is gone.
func (l *loader) loadSpace(ctx context.Context, s *space) bool {
	paths, err := filepath.Glob(filepath.Join(s.tenant.Plugins, "*.wasm"))
	if err != nil {
		l.host.cfg.Logger.Error("plugins cannot be listed", "err", err)
		return true
	}
	settled := true
	before := s.plugins.Errors()
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || l.known(path, info) {
			continue
		}
		switch err := s.plugins.Load(ctx, path); {
		case err == nil || ctx.Err() != nil:
			delete(l.failed, path)
		case transient(err):
			settled = false
			l.host.cfg.Logger.Debug("a plugin waits for the database", "plugin", path, "err", err)
		default:
			l.refused(path, info)
			if before[path] != nil && before[path].Error() == err.Error() {
				continue
			}
			l.host.cfg.Logger.Error("plugin failed", "tenant", s.tenant.Name, "plugin", path, "err", err)
			l.host.cfg.Event(Event{Kind: PluginFailed, Name: filepath.Base(path), Err: err})
		}
	}
	l.removeGone(ctx, s, paths)
	return l.builtin(ctx, s) && settled
}

// known reports whether a file was refused as it is, not long ago.
func (l *loader) known(path string, info os.FileInfo) bool {
	f, ok := l.failed[path]
	return ok && f.size == info.Size() && f.modified.Equal(info.ModTime()) && time.Now().Before(f.next)
}

// refused notes that a file was refused as it is.
func (l *loader) refused(path string, info os.FileInfo) {
	const first, most = 5 * time.Second, 5 * time.Minute
	wait := first
	if f, ok := l.failed[path]; ok && f.size == info.Size() && f.modified.Equal(info.ModTime()) {
		wait = min(2*f.wait, most)
	}
	l.failed[path] = failure{info.Size(), info.ModTime(), time.Now().Add(wait), wait}
}

func (l *loader) removeGone(ctx context.Context, s *space, paths []string) {
	gone := func(path string) bool {
		_, err := os.Lstat(path)
		return !slices.Contains(paths, path) && errors.Is(err, os.ErrNotExist)
	}
	for _, p := range s.plugins.All() {
		if gone(p.Path) {
			s.plugins.Remove(ctx, p.Path)
		}
	}
	for path := range s.plugins.Errors() {
		if gone(path) {
			s.plugins.Remove(ctx, path)
		}
	}
}

// transient reports whether the same load may succeed a little later by itself.
func transient(err error) bool {
	var coded interface{ Code() abi.Code }
	if errors.As(err, &coded) {
		switch coded.Code() {
		case abi.Unavailable, abi.Deadline, abi.Conflict:
			return true
		}
	}
	return errors.Is(err, changelog.ErrNotSetUp) || changelog.Retryable(err)
}
