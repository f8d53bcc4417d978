package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/wasm"
	"weir/reactor/changelog"
)

// loader loads the plugins of all tenants and follows their directories. What
// cannot be loaded because the database is away is tried again until it can;
// what is refused is tried again when the file changes. Each tenant's are loaded
// beside those of others, so that modules that take long to compile delay their
// own tenant only (W7).
type loader struct {
	host   *Host
	again  chan struct{} // capacity 1: the database is back, or changed
	looked chan *space   // a look at its directory has ended
	looks  sync.WaitGroup
	done   atomic.Bool
	wait   time.Duration // before the next look at what was not settled
}

// look is what the loader knows of one tenant's directory. It belongs to the
// loader's run, but for failed and settled, which belong to a look while there is
// one.
type look struct {
	busy   bool
	more   bool // look again when this look has ended
	forget bool // what was refused is tried again at once
	tried  bool // every plugin was, with the database there

	settled bool
	failed  map[string]failure // by path
	unbuilt failure            // of what is built in; zero: it was not refused
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
	return &loader{host: h, again: make(chan struct{}, 1), looked: make(chan *space)}
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

// slow is how often directories are looked at when nothing happens.
const slow = 5 * time.Second

// run loads until ctx ends, and waits for what it started.
func (l *loader) run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	ctx, end := context.WithCancel(ctx)
	defer l.looks.Wait()
	defer end()
	l.watch(watcher)
	timer := time.NewTimer(0)
	defer timer.Stop()
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
		case s := <-l.looked:
			next, err := l.ended(ctx, s)
			if err != nil {
				return err
			}
			if next > 0 {
				timer.Reset(next)
			}
			continue
		case <-l.again:
			for _, s := range l.host.spaces() {
				s.look.forget = true
			}
		case <-timer.C:
		}
		for _, s := range l.host.spaces() {
			l.begin(ctx, s)
		}
		l.watch(watcher)
		timer.Reset(slow)
	}
}

// watch follows the directories of the tenants of now.
func (l *loader) watch(watcher *fsnotify.Watcher) {
	watched := watcher.WatchList()
	for _, s := range l.host.spaces() {
		dir := s.tenant.Plugins
		watched = slices.DeleteFunc(watched, func(other string) bool { return other == filepath.Clean(dir) })
		// A directory that is not there yet is found by the slow look.
		_ = watcher.Add(dir)
	}
	for _, gone := range watched {
		_ = watcher.Remove(gone)
	}
}

// begin looks at a tenant's directory, one look at a time.
func (l *loader) begin(ctx context.Context, s *space) {
	if s.look.busy {
		s.look.more = true
		return
	}
	s.look.busy = true
	if s.look.forget || s.look.failed == nil {
		s.look.failed, s.look.unbuilt, s.look.forget = map[string]failure{}, failure{}, false
	}
	l.looks.Go(func() {
		s.look.settled = l.open(ctx, s) == nil && l.loadSpace(ctx, s)
		select {
		case l.looked <- s:
		case <-ctx.Done():
		}
	})
}

// ended takes the end of a look. It returns when to look again before the slow
// look, zero for not. An error ends the host: it must not serve.
func (l *loader) ended(ctx context.Context, s *space) (time.Duration, error) {
	more := s.look.more
	s.look.busy, s.look.more = false, false
	s.look.tried = s.look.tried || s.look.settled
	s.tried.Store(s.look.tried)
	if more {
		l.begin(ctx, s)
	}
	unsettled, tried := false, true
	for _, s := range l.host.spaces() {
		unsettled = unsettled || !s.look.busy && !s.look.settled
		tried = tried && s.look.tried
	}
	if tried {
		if err := l.finish(); err != nil {
			return 0, err
		}
	}
	if l.wait = min(max(2*l.wait, 200*time.Millisecond), slow); !unsettled {
		l.wait = 0
	}
	return l.wait, nil
}

// finish ends the start: once every plugin was tried.
func (l *loader) finish() error {
	if l.done.Load() {
		return nil
	}
	if err := l.host.startable(); err != nil {
		return err
	}
	l.done.Store(true)
	for _, s := range l.host.spaces() {
		for _, name := range s.unused() {
			l.host.cfg.Logger.Warn("weir.toml configures a plugin that is not loaded", "tenant", s.tenant.Name, "plugin", name)
		}
	}
	close(l.host.ready)
	return nil
}

// open reads the tenant's secret, once.
func (l *loader) open(ctx context.Context, s *space) error {
	if s.secret != nil {
		return nil
	}
	secret, err := changelog.Secret(ctx, l.host.file().Database.URL.Reveal(), s.tenant.Name)
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
	paths, err := plugin.Files(s.tenant.Plugins)
	if err != nil {
		l.host.cfg.Logger.Error("plugins cannot be listed", "err", err)
		return true
	}
	settled := true
	before := s.plugins.Errors()
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || s.known(path, info) {
			continue
		}
		switch err := s.plugins.Load(ctx, path); {
		case err == nil || ctx.Err() != nil:
			delete(s.look.failed, path)
		case transient(err):
			settled = false
			l.host.cfg.Logger.Debug("a plugin waits for the database", "plugin", path, "err", err)
		default:
			s.refused(path, info)
			l.host.limited(s.tenant.Name, err, "")
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
func (r *rooms) known(path string, info os.FileInfo) bool {
	f, ok := r.look.failed[path]
	return ok && f.size == info.Size() && f.modified.Equal(info.ModTime()) && time.Now().Before(f.next)
}

// refused notes that a file was refused as it is.
func (r *rooms) refused(path string, info os.FileInfo) {
	const first, most = 5 * time.Second, 5 * time.Minute
	wait := first
	if f, ok := r.look.failed[path]; ok && f.size == info.Size() && f.modified.Equal(info.ModTime()) {
		wait = min(2*f.wait, most)
	}
	r.look.failed[path] = failure{info.Size(), info.ModTime(), time.Now().Add(wait), wait}
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
	var late *wasm.DeadlineError
	if errors.As(err, &late) && late.Guest {
		return false // its own code loops: nothing outside of it can change that
	}
	var coded interface{ Code() abi.Code }
	if errors.As(err, &coded) {
		switch coded.Code() {
		case abi.Unavailable, abi.Deadline, abi.Conflict:
			return true
		}
	}
	return errors.Is(err, changelog.ErrNotSetUp) || errors.Is(err, changelog.ErrNewer) || changelog.Retryable(err)
}
