package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"weir/host"
	"weir/host/config"
	"weir/host/devdb"
)

func (m *Main) devCommand() *cobra.Command {
	var listen string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "dev [dir]",
		Short: "Serve a project while you write it: database, builds and reloads included",
		Long: "Serve the project in a directory while you write it.\n\n" +
			"Without database.url in weir.toml it keeps a private PostgreSQL in .weir/pg, applies\n" +
			"schema and seed to it, and makes it anew when these change. Each tenant has its schema\n" +
			"and role in it. Plugins are built from [dev] sources and loaded live. On this machine\n" +
			"?as=NAME is a user.",
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			s, err := m.newSession(dir, verbose)
			if err != nil {
				return err
			}
			s.listen = listen
			return s.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "listen on this address instead of server.listen, on loopback")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the server's log")
	return cmd
}

// session is one `weir dev`: a database, the builds, the files it follows, and a
// host that is started anew when the configuration or the schema changed. It
// belongs to the goroutine of run.
type session struct {
	m       *Main
	project *project
	out     *printer
	report  *reporter
	logger  *slog.Logger
	listen  string
	// ready, if not nil, replaces the lines that say how to begin. It is called
	// in a goroutine of its own after each start, and ends with its context.
	ready func(ctx context.Context, url string)

	cluster  *devdb.Cluster
	modules  modules
	database string // the private one that is used
	instead  string // the address in the place of one that was taken
	noted    string // the URL that other commands find
	console  string // the URL of the admin listener
	watcher  *watcher
	host     *running
	text     []byte         // of weir.toml, as it was read last
	owned    sync.WaitGroup // what runs as long as the session
}

// running is a host that runs.
type running struct {
	host *host.Host
	url  string
	end  context.CancelFunc
	done chan error // capacity 1
	also sync.WaitGroup
}

// stop ends the host in order.
func (r *running) stop() error {
	if r == nil {
		return nil
	}
	r.end()
	err := <-r.done
	r.also.Wait()
	return err
}

// ended tells when the host ended by itself; never for nil.
func (r *running) ended() <-chan error {
	if r == nil {
		return nil
	}
	return r.done
}

// fileError is a fault in the user's files: what served before goes on, and the
// next change may mend it (CLI5).
type fileError struct{ err error }

// Error returns the fault.
func (e *fileError) Error() string { return e.err.Error() }

// Unwrap returns it.
func (e *fileError) Unwrap() error { return e.err }

func (m *Main) newSession(dir string, verbose bool) (*session, error) {
	p, err := m.openProject(dir)
	if err != nil {
		return nil, err
	}
	if _, err := p.builds(); err != nil { // before a database is made for nothing
		return nil, err
	}
	out := &printer{out: m.Stdout}
	s := &session{m: m, project: p, modules: modules{m: m}, out: out, report: newReporter(out), logger: slog.New(slog.DiscardHandler)}
	if verbose {
		s.logger = slog.New(slog.NewTextHandler(m.Stderr, nil))
	}
	return s, nil
}

// run serves until ctx ends.
func (s *session) run(ctx context.Context) (err error) {
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		s.watcher.Close()
		err = errors.Join(err, s.host.stop())
		s.forgetURLs()
		end()
		s.owned.Wait()
		if s.cluster != nil {
			err = errors.Join(err, s.cluster.Close())
		}
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil // it was asked to end
		}
	}()
	s.text, _ = os.ReadFile(s.project.file)
	s.watch()
	s.owned.Go(func() { s.report.run(lifetime) })
	// The Go compiler, the database, and what compiles the modules that are there
	// run side by side; mostly the host then finds them compiled.
	built, asked := make(chan error, 1), make(chan struct{})
	s.owned.Go(func() { built <- s.build(ctx) })
	s.owned.Go(func() {
		defer close(asked)
		for _, t := range s.project.config.Tenants() {
			s.modules.in(ctx, t.Plugins, s.project.config.Engine)
		}
	})
	if err := s.startDatabase(ctx, lifetime); err != nil {
		return err
	}
	if err := <-built; err != nil {
		return err
	}
	<-asked
	if err := s.tell(s.start(ctx)); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.host.ended():
			s.host.done <- nil // for stop; the error is told once
			return err
		case c := <-s.watcher.changes():
			if err := s.tell(s.apply(ctx, lifetime, c)); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// changes is C, and never for nil.
func (w *watcher) changes() <-chan changed {
	if w == nil {
		return nil
	}
	return w.C
}

// tell prints what is wrong with the user's files; other errors are returned.
func (s *session) tell(err error) error {
	var fault *fileError
	if !errors.As(err, &fault) {
		return err
	}
	next := "waiting for a change"
	if s.host != nil {
		next = "what served before goes on serving"
	}
	s.out.eventf("%s", fault)
	s.out.eventf("%s", next)
	return nil
}

// watch follows the files of the project as it is now.
func (s *session) watch() {
	s.watcher.Close()
	var err error
	if s.watcher, err = watchProject(s.project); err != nil {
		s.out.eventf("files are not followed (%v): run weir dev again after a change", err)
	}
}

// startDatabase starts the private server, if the project wants one and it does
// not run. It is kept alive as long as the session.
func (s *session) startDatabase(ctx, lifetime context.Context) error {
	if !s.project.private() || s.cluster != nil {
		return nil
	}
	logger := slog.New(&storyHandler{out: s.out})
	cluster, err := s.project.startCluster(ctx, logger)
	if err != nil {
		return err
	}
	s.cluster = cluster
	s.owned.Go(func() { _ = cluster.Run(lifetime) }) // it returns nil
	return nil
}

// build builds all sources. What does not compile is told and leaves the old
// module in its place; the error is for what no edit can mend.
func (s *session) build(ctx context.Context) error {
	builds, err := s.project.builds()
	if err != nil {
		return err
	}
	for _, b := range builds {
		err := s.compile(ctx, b)
		if err == nil || ctx.Err() != nil {
			continue
		}
		_, missing := os.Stat(b.output)
		var compile *compileError
		if !errors.As(err, &compile) && missing != nil {
			return err
		}
		s.out.eventf("%s", err)
		if missing == nil {
			s.out.eventf("the %s that was built before goes on serving", filepath.Base(b.output))
		}
	}
	return nil
}

// slowBuild is how long a build may be silent.
const slowBuild = time.Second

// compile builds one plugin and says how long that took: it is the longest part
// of the way from an edit to a new result, and none of it is weir's.
func (s *session) compile(ctx context.Context, b build) error {
	name, began := filepath.Base(b.output), time.Now()
	before, missing := os.Stat(b.output)
	slow := time.AfterFunc(slowBuild, func() {
		why := ""
		if missing != nil {
			why = languageOf(b.source).first
		}
		s.out.eventf("building %s%s", name, why)
	})
	defer slow.Stop()
	if err := b.run(ctx); err != nil {
		return err
	}
	if after, err := os.Stat(b.output); err == nil && (missing != nil || !os.SameFile(before, after)) {
		s.out.eventf("built %s in %s", name, millis(time.Since(began)))
	}
	return nil
}

// start makes the database that the files ask for and starts a host on it. The
// old host, if any, has been stopped.
func (s *session) start(ctx context.Context) error {
	file := forDev(s.project.config)
	url := file.Database.URL.Reveal()
	if s.project.private() {
		name, _, err := s.project.ensureDatabase(ctx, s.cluster)
		if err != nil {
			return err
		}
		s.database = name
		if err := s.project.admitTenants(ctx, s.cluster, name); err != nil {
			return err
		}
		file = onPrivate(file, s.cluster, name)
		dropOthers(ctx, s.cluster, name)
		url = s.cluster.URL(name)
	}
	s.report.use(url)
	r, err := s.serve(ctx, file)
	if err != nil {
		return err
	}
	s.host = r
	return nil
}

// forDev returns the configuration with what one person on a busy machine needs:
// a module may compile for longer than under a server with others to serve.
func forDev(file *config.Config) *config.Config {
	c := *file
	c.Limits.CompileTimeout = max(c.Limits.CompileTimeout, compileTimeout)
	return &c
}

// serve starts a host and returns when it is ready.
func (s *session) serve(ctx context.Context, file *config.Config) (*running, error) {
	clients, admin, err := s.listeners()
	if err != nil {
		return nil, err
	}
	h, err := host.New(host.Config{
		File: file, Dev: true, StateDir: s.m.stateDir(), Listener: clients, Admin: admin,
		Inspect: commandOf(childSQL), Compile: commandOf(childCompile), Observe: s.report.observe, Event: s.report.event, Version: version(), Logger: s.logger,
	})
	if err != nil {
		return nil, err
	}
	hostCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	r := &running{host: h, url: h.URL(), end: end, done: make(chan error, 1)}
	s.owned.Go(func() { r.done <- h.Run(hostCtx) })
	select {
	case <-h.Ready():
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), r.stop())
	case err := <-r.done:
		end()
		return nil, err
	}
	s.console = h.AdminURL()
	s.noteURLs(r.url, admin)
	r.also.Go(func() {
		if s.ready != nil {
			s.ready(hostCtx, r.url)
			return
		}
		s.greet(hostCtx, r.url)
	})
	return r, nil
}

// noteURLs leaves the addresses for the other commands, which run in the directory.
func (s *session) noteURLs(clients string, admin net.Listener) {
	s.noted = clients
	if os.MkdirAll(s.notes(), 0o755) == nil { // a convenience
		_ = os.WriteFile(filepath.Join(s.notes(), "url"), []byte(clients+"\n"), 0o644)
		if admin != nil { // else the host opened the one of weir.toml
			_ = os.WriteFile(filepath.Join(s.notes(), "admin"), []byte("http://"+admin.Addr().String()+"\n"), 0o644)
		}
	}
}

// forgetURLs takes the notes away, unless another weir dev wrote them.
func (s *session) forgetURLs() {
	text, err := os.ReadFile(filepath.Join(s.notes(), "url"))
	if err == nil && s.noted != "" && strings.TrimSpace(string(text)) == s.noted {
		_ = os.Remove(filepath.Join(s.notes(), "url"))
		_ = os.Remove(filepath.Join(s.notes(), "admin"))
	}
}

func (s *session) notes() string { return filepath.Join(s.project.dir, ".weir") }

// listeners opens the addresses of clients and operators, on loopback (CLI6). An
// address that is taken, by another weir dev, gives way to a free one, unless it
// was asked for on the command line.
func (s *session) listeners() (clients, admin net.Listener, err error) {
	address := s.project.config.Server.Listen
	if s.listen != "" {
		address = s.listen
	}
	if strings.HasPrefix(address, "unix:") {
		return nil, nil, nil // the host opens it
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, usagef("--listen %q is not an address: write host:port or :port", address)
	}
	if name == "" {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	if s.instead != "" {
		address = s.instead // pages that are open must find it again
	}
	clients, err = net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) && s.listen == "" {
		clients, err = net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			s.instead = clients.Addr().String()
			s.out.eventf("%s is in use, so this listens on %s", address, s.instead)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	if port == "0" {
		s.instead = clients.Addr().String()
	}
	admin, err = net.Listen("tcp", s.project.config.Admin.Listen)
	if err != nil {
		admin, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, nil, errors.Join(err, clients.Close())
	}
	return clients, admin, nil
}

// apply does what changed files ask for.
func (s *session) apply(ctx, lifetime context.Context, c changed) error {
	restart := s.host == nil
	switch {
	case c.config:
		next, err := s.reread()
		if err != nil {
			return &fileError{err}
		}
		if next == nil {
			break
		}
		if done, err := s.reload(ctx, next); done {
			return err
		}
		s.out.eventf("%s changed: weir starts anew", s.m.shown(c.name))
		if err := s.stop(); err != nil { // what runs reads the project
			return err
		}
		s.project = next
		s.watch()
		if err := s.startDatabase(ctx, lifetime); err != nil {
			return err
		}
		c.sources, restart = true, true
	case c.sql && s.project.private():
		name, err := s.project.wanted()
		if err != nil {
			return err
		}
		if name == s.database {
			break
		}
		s.out.eventf("%s changed: the private database is made anew", s.m.shown(c.name))
		// While it is made, and if it cannot be, the old one goes on serving.
		if _, _, err := s.project.ensureDatabase(ctx, s.cluster); err != nil {
			return err
		}
		s.out.eventf("what was written to the old one by hand is gone with it")
		restart = true
	}
	if c.sources {
		if err := s.build(ctx); err != nil {
			return &fileError{err}
		}
	}
	if !restart {
		return nil
	}
	if err := s.stop(); err != nil {
		return err
	}
	return s.start(ctx)
}

// reload gives the host that runs another configuration, and reports whether that
// was all: what belongs to weir dev itself, or cannot change while a host runs,
// needs another host.
func (s *session) reload(ctx context.Context, next *project) (done bool, err error) {
	if s.host == nil || next.private() != s.project.private() || !reflect.DeepEqual(next.config.Dev, s.project.config.Dev) ||
		!sameBuilds(s.project, next) {
		return false, nil
	}
	file := forDev(next.config)
	if next.private() {
		if err := next.admitTenants(ctx, s.cluster, s.database); err != nil {
			return true, err
		}
		file = onPrivate(file, s.cluster, s.database)
	}
	switch err := s.host.host.Reload(file); {
	case errors.Is(err, host.ErrRestart):
		return false, nil
	case err != nil:
		return true, nil //nolint:nilerr // the host has told it
	}
	s.project = next
	return true, nil
}

// sameBuilds reports whether sources are built to the same files.
func sameBuilds(a, b *project) bool {
	x, err := a.builds()
	y, err2 := b.builds()
	return err == nil && err2 == nil && slices.Equal(x, y) && a.config.Plugins == b.config.Plugins
}

// reread returns the project as its file now is, nil if that is as before.
func (s *session) reread() (*project, error) {
	text, err := os.ReadFile(s.project.file)
	if err != nil || bytes.Equal(text, s.text) {
		return nil, err
	}
	next, err := s.m.openProject(s.project.file)
	if err == nil {
		s.text = text
	}
	return next, err
}

// stop ends the host, if one runs.
func (s *session) stop() error {
	old := s.host
	s.host = nil
	return old.stop()
}
