package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/host/inspect"
	"weir/host/serve"
	"weir/host/tenant"
	"weir/host/wasm"
	"weir/plugins/js"
	"weir/reactor"
	"weir/reactor/changelog"
)

// Host is a whole weir. Make it with New, run it once with Run.
type Host struct {
	cfg       Config
	runtime   *wasm.Runtime
	engine    *js.Finder // of plugins in JavaScript
	capture   *changelog.Capture
	inspector *inspect.Inspector
	log       *changelog.Listener
	reactor   *reactor.Reactor
	server    *serve.Server
	tenants   atomic.Pointer[tenants]
	changing  sync.Mutex     // one reload at a time
	made      map[string]int // how often rooms were made, by tenant; protected by changing
	reread    chan struct{}
	fault     atomic.Pointer[string] // why the file is not the configuration
	loader    *loader
	tls       *certificate // nil: plain HTTP
	listener  net.Listener
	admin     net.Listener
	ready     chan struct{}
	health    health
	runs      runLog
	stray     stray
	history   reactor.Epoch // of the newest resync; deliver's
	costs     functionCosts
	timings   timings
	trace     *tracer // nil: off
	began     time.Time

	reached limitCounts

	retiredMu sync.Mutex // protects the field below
	retired   []retired

	closeOnce sync.Once
}

// New wires the rooms and opens the listeners, so that an address in use is
// known at once. It does not need the database.
func New(cfg Config) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, began: time.Now(), ready: make(chan struct{}), reread: make(chan struct{}, 1), made: map[string]int{}}
	h.trace = newTracer(cfg.Traces, cfg.Logger)
	h.tenants.Store(newTenants(cfg.File, nil))
	if err := h.wire(context.Background()); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// wire makes every room, in the order of what needs what.
func (h *Host) wire(ctx context.Context) error {
	file := h.cfg.File
	limits := tenant.Limits(file.Limits).WithDefaults()
	if file.Database.URL.Reveal() == "" || file.Database.Guest.Reveal() == "" && file.Plugins != "" {
		return errors.New("database.url and database.guest are not set: name weir's role and the role of the plugins' SQL, or use weir dev")
	}
	h.engine = &js.Finder{File: file.Engine, Dirs: js.Dirs(h.cfg.StateDir)}
	var err error
	h.runtime, err = wasm.NewRuntime(ctx, wasm.Config{
		CacheDir: filepath.Join(h.cfg.StateDir, "wasm"), MaxRunning: limits.MaxRunningGuests,
		Command: h.cfg.Compile, Logger: h.cfg.Logger,
		MaxModuleBytes: limits.MaxModuleBytes, CompileTimeout: limits.CompileTimeout, MaxIdleBytes: limits.MaxTotalIdleGuestBytes,
	})
	if err != nil {
		return err
	}
	if h.inspector, err = newInspector(&h.cfg); err != nil {
		return err
	}
	h.capture = changelog.NewCapture(changelog.CaptureConfig{URL: file.Database.URL.Reveal(), Logger: h.cfg.Logger})
	h.log, err = changelog.NewListener(changelog.Config{
		URL: file.Database.URL.Reveal(), Deliver: h.deliver, Seen: h.timings.written.Add, State: h.capturing, Capture: h.capture, Roles: h.roles,
		Live: limits.LivePoll, Idle: limits.IdlePoll, Heartbeat: heartbeat(file),
		Retention: limits.MaxLogAge, MaxLogBytes: limits.MaxLogBytes, Logger: h.cfg.Logger,
	})
	if err != nil {
		return err
	}
	h.reactor = reactor.New(reactor.Config{
		Executor: &executor{h}, Poke: h.log.Poke, Published: h.published, Observe: h.observe, Applied: h.timings.apply.Add,
		MaxExecutions: limits.MaxTotalExecutions, Tenant: h.limitsOf, Logger: h.cfg.Logger,
	})
	spaces := map[string]*space{}
	for _, t := range file.Tenants() {
		s, err := h.newSpace(ctx, file, t)
		if err != nil {
			return err
		}
		spaces[t.Name] = s
		h.tenants.Store(newTenants(file, spaces)) // Close frees what there is
	}
	h.loader = newLoader(h)
	if err := h.serve(limits); err != nil {
		return err
	}
	return h.listen()
}

// limitsOf implements reactor.Config.Tenant.
func (h *Host) limitsOf(name string) reactor.Config {
	s := h.spaces()[name]
	if s == nil {
		return reactor.Config{}
	}
	l := s.tenant.Limits.WithDefaults()
	return reactor.Config{
		Weight: s.tenant.Share(), TenantExecutions: l.MaxExecutions, Deadline: l.QueryTimeout,
		FirstDebounce: l.FirstDebounce, MaxDebounce: l.MaxDebounce, MaxStale: l.MaxStale, Resync: l.ResyncSweep, Linger: l.Linger,
		MaxRecent: l.MaxRecentChanges, RecentAge: l.MaxRecentAge, MaxGroups: l.MaxGroups, PrincipalGroups: l.MaxPrincipalGroups,
		FirstRuns: l.MaxFirstRuns,
	}
}

// serve makes the server of clients and operators.
func (h *Host) serve(limits tenant.Limits) error {
	file := h.cfg.File
	window := time.Duration(0) // serve's own
	if h.cfg.Dev {
		window = time.Second // who develops waits for every restart
	}
	var wrote func(string, reactor.Version, time.Time)
	if h.trace != nil {
		wrote = h.trace.wrote
	}
	var err error
	var certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	if file.Server.TLSCertificate != "" && !h.cfg.Dev {
		if h.tls, err = newCertificate(file.Server.TLSCertificate, file.Server.TLSKey, h.cfg.Logger); err != nil {
			return err
		}
		certificate = h.tls.get
	}
	h.server, err = serve.New(serve.Config{
		Certificate: certificate,
		Backend:     &backend{h}, Verify: h.verify, Tenant: h.tenantOf, Schema: h.schema, Ready: h.conditions,
		Hosts: h.tenants.Load().names(), Origins: file.Server.Origins, TrustedProxies: file.Server.TrustedProxies,
		Operator: &operator{h}, Web: file.Server.Web, Writer: serve.Writer(file.Server.Writer), Dev: h.cfg.Dev, Limits: limits, Version: h.cfg.Version, Logger: h.cfg.Logger,
		DrainWindow: window, Wrote: wrote, Plugins: h.plugins,
		Rooms: map[string]func() any{
			"reactor":   func() any { return h.reactorStats() },
			"changelog": func() any { return h.logStats() },
			"db":        func() any { return h.databaseStats() },
			"plugin":    func() any { return h.pluginStats() },
			"inspect":   func() any { return h.inspector.Stats() },
			"tenant":    func() any { return h.tenantStats() },
		},
	})
	return err
}

// listen opens the addresses that were not handed in.
func (h *Host) listen() error {
	var err error
	if h.listener = h.cfg.Listener; h.listener == nil {
		if h.listener, err = listen(h.cfg.File.Server.Listen); err != nil {
			return fmt.Errorf("server.listen: %w", err)
		}
	}
	if h.admin = h.cfg.Admin; h.admin == nil {
		if h.admin, err = listen(h.cfg.File.Admin.Listen); err != nil {
			return fmt.Errorf("admin.listen: %w", err)
		}
	}
	return nil
}

func listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return net.Listen("unix", path)
	}
	return net.Listen("tcp", address)
}

// Ready is closed when every plugin was tried once.
func (h *Host) Ready() <-chan struct{} { return h.ready }

// URL is where clients reach the host.
func (h *Host) URL() string {
	addr, ok := h.listener.Addr().(*net.TCPAddr)
	if !ok {
		return "unix:" + h.listener.Addr().String()
	}
	scheme := "http://"
	if h.tls != nil {
		scheme = "https://"
	}
	if addr.IP.IsUnspecified() {
		return fmt.Sprintf("%slocalhost:%d", scheme, addr.Port)
	}
	return scheme + addr.String()
}

// AdminURL is where operators reach the host.
func (h *Host) AdminURL() string {
	if addr, ok := h.admin.Addr().(*net.TCPAddr); ok {
		return "http://" + addr.String()
	}
	return "unix:" + h.admin.Addr().String()
}

// Run serves until ctx ends. Then streams are closed, spread over a few seconds,
// and everything that was started is waited for. It returns nil when it was ctx
// that ended it.
func (h *Host) Run(ctx context.Context) error {
	rooms, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, rooms := errgroup.WithContext(rooms)
	run := func(f func(context.Context) error) {
		group.Go(func() error {
			if err := f(rooms); err != nil && rooms.Err() == nil {
				return err
			}
			return nil
		})
	}
	run(h.reactor.Run)
	run(h.log.Run)
	run(h.loader.run)
	run(h.follow)
	if h.tls != nil {
		run(h.tls.follow)
	}
	run(h.liveliness)
	run(h.tidy)
	run(h.trace.send)
	run(func(ctx context.Context) error { return h.server.Run(ctx, h.listener) })
	run(func(ctx context.Context) error { return h.server.RunAdmin(ctx, h.admin) })
	select {
	case <-ctx.Done():
		draining, cancel := context.WithTimeout(rooms, drainFor)
		h.server.Drain(draining)
		cancel()
	case <-rooms.Done():
	}
	stop()
	err := group.Wait()
	return errors.Join(err, h.Close())
}

// drainFor bounds how long streams are given to leave.
const drainFor = 25 * time.Second

// Close frees what New made. Run does it itself; it may be called twice.
func (h *Host) Close() error {
	var err error
	h.closeOnce.Do(func() {
		ctx := context.Background()
		for _, l := range []net.Listener{h.listener, h.admin} {
			if l != nil {
				_ = l.Close() // the server may have closed it
			}
		}
		if h.server != nil {
			err = h.server.Close()
		}
		h.freeRetired(ctx, true)
		for _, s := range h.spaces() {
			s.close(ctx)
			err = errors.Join(err, s.verifier.Close())
		}
		if h.inspector != nil {
			err = errors.Join(err, h.inspector.Close())
		}
		if h.runtime != nil {
			err = errors.Join(err, h.runtime.Close(ctx))
		}
	})
	return err
}
