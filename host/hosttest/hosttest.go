package hosttest

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/host"
	"weir/host/config"
	"weir/host/devdb/devdbtest"
	"weir/host/wasm"
	"weir/host/wasm/wasmtest"
	"weir/plugins/js/jstest"
	"weir/reactor"
	"weir/reactor/changelog"
)

// Config says what to start.
type Config struct {
	// Dir is an example: its weir.toml names plugins, schema, seed and web. Empty
	// means the fields below alone.
	Dir string
	// TOML is a configuration instead of Dir's; it needs no database.
	TOML string
	// Schema and Seed are SQL, applied after those of Dir.
	Schema, Seed string
	// Plugins are directories of Go plugins, beside those of Dir, and *.wasm
	// files.
	Plugins []string
	// Modules are more plugins, by file name.
	Modules map[string][]byte
	// Tenants are made beside "default": for each [tenant.NAME] of TOML a schema of
	// that name with these tables, a role that may use it, and a directory of
	// plugins, see Server.TenantDir.
	Tenants map[string]Tenant
	// Path is host.Config.Path.
	Path string
	// Observe is host.Config.Observe.
	Observe func(reactor.Run)
	// Traces is host.Config.Traces.
	Traces string
	// Event is host.Config.Event.
	Event func(host.Event)
	// Database is used instead of a fresh one: the test has set it up.
	Database *Database
	// Wire puts a Wire before the fresh database, see Server.Wire.
	Wire bool
	// Uninspected starts a host that cannot inspect SQL.
	Uninspected bool
	// Serve starts the host as weir serve does, without users by name.
	Serve bool
	// Late starts the host without waiting for its plugins.
	Late bool
}

// Tenant is what a tenant begins with.
type Tenant struct {
	Schema  string // SQL, with its schema as search_path
	Modules map[string][]byte
}

// Database is where weir and its plugins connect.
type Database struct{ URL, Guest config.Secret }

// inspect is the command of the host's inspection child: weir itself, as it is
// shipped. A child with the race detector would read SQL for minutes.
func (c *Config) inspect(t testing.TB) []string {
	t.Helper()
	if c.Uninspected || !inspected {
		return nil
	}
	return ChildCommand(t, "sql")
}

// compileChild is the command of the host's compile child, where it is built
// anyway.
func compileChild(t testing.TB) []string {
	t.Helper()
	if !inspected {
		return nil
	}
	return ChildCommand(t, "compile")
}

// ChildCommand is the command of a child: sql, which inspects, or compile.
func ChildCommand(t testing.TB, kind string) []string {
	t.Helper()
	program, err := wasmtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	return []string{program, "child", kind}
}

// inspected is set by Child, which a package calls whose hosts have children.
var inspected bool

// Child lets hosts inspect SQL and compile modules as weir does. Call it first in
// TestMain.
func Child() { inspected = true }

// clients has the connections that http.DefaultClient keeps closed at the end.
var clients sync.Once

// Server is a running host.
type Server struct {
	// URL is "http://127.0.0.1:PORT", Admin that of the operators.
	URL, Admin string
	Host       *host.Host
	// DB is the fresh database, zero if the test brought one.
	DB devdbtest.DB
	// Wire is between weir's role and DB, if Config.Wire asked for it.
	Wire *Wire
	// Plugins is the directory that the host loads from.
	Plugins string

	urls    Database
	tenants map[string]Tenant
	stop    func()
	once    sync.Once
}

// Start starts a host.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	clients.Do(func() {
		devdbtest.AtExit(http.DefaultClient.CloseIdleConnections)
		if err := jstest.Provide(stateDir()); err != nil {
			t.Fatal(err)
		}
	})
	file := load(t, cfg)
	if writer := os.Getenv("WEIR_TEST_WRITER"); writer != "" && file.Server.Writer == "auto" {
		file.Server.Writer = writer // all tests on the other writer of streams
	}
	s := &Server{Plugins: t.TempDir()}
	urls := cfg.Database
	if urls == nil {
		s.DB = database(t, file, cfg)
		urls = &Database{config.Secret(s.DB.As("weir", "")), config.Secret(s.DB.As("weir_guest", ""))}
		if cfg.Wire {
			s.Wire = newWire(t, urls.URL.Reveal())
			urls.URL = config.Secret(s.Wire.url)
		}
	}
	s.urls, s.tenants = *urls, cfg.Tenants
	s.makeTenants(t, cfg.Tenants)
	s.fill(file)
	sources := append([]string(nil), cfg.Plugins...)
	if cfg.Dir != "" {
		sources = append(sources, file.Dev.Sources...)
	}
	for _, source := range sources {
		s.Install(t, source)
	}
	for name, code := range cfg.Modules {
		s.Write(t, name, code)
	}
	public, admin := loopback(t), loopback(t)
	s.Admin = "http://" + admin.Addr().String()
	h, err := host.New(host.Config{
		File: file, Dev: !cfg.Serve, StateDir: stateDir(), Listener: public, Admin: admin,
		Path: cfg.Path, Inspect: cfg.inspect(t), Compile: compileChild(t), Observe: cfg.Observe, Traces: cfg.Traces, Event: cfg.Event, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Host, s.URL = h, h.URL()
	s.run(t)
	if !cfg.Late {
		s.Wait(t)
	}
	return s
}

// run runs the host until Stop or the end of the test.
func (s *Server) run(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Host.Run(ctx) }()
	s.stop = func() {
		s.once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("host: %v", err)
			}
		})
	}
	t.Cleanup(s.stop)
}

// Wait returns when the plugins were tried and the change log was read. The
// first read makes every group run again, which would spoil a count of runs.
func (s *Server) Wait(t testing.TB) {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	select {
	case <-s.Host.Ready():
	case <-timeout:
		t.Fatal("the host did not get ready")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !s.captures(t) {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("the change log was not read")
		}
	}
}

// captures asks /readyz whether the change log is read.
func (s *Server) captures(t testing.TB) bool {
	t.Helper()
	resp, err := http.Get(s.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var ready struct {
		Conditions []struct {
			Name string
			OK   bool
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	for _, c := range ready.Conditions {
		if c.Name == "capture" {
			return c.OK
		}
	}
	return false
}

// Stop ends the host and waits for it. It may be called twice.
func (s *Server) Stop() { s.stop() }

// SQL runs a statement as the database's owner.
func (s *Server) SQL(t testing.TB, sql string, args ...any) {
	t.Helper()
	s.DB.Exec(t, sql, args...)
}

// Install builds a Go plugin, or copies a *.wasm or *.js file, into the directory that
// the host loads from, as a deployment would: under another name first.
func (s *Server) Install(t testing.TB, source string) {
	t.Helper()
	module := source
	if ext := filepath.Ext(source); ext != ".wasm" && ext != ".js" {
		module = Build(t, source)
	}
	code, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(filepath.Dir(module)) + ".wasm"
	if module == source {
		name = filepath.Base(source)
	}
	s.Write(t, name, code)
}

// Write puts a module into the directory that the host loads from.
func (s *Server) Write(t testing.TB, name string, code []byte) {
	t.Helper()
	temp := filepath.Join(s.Plugins, name+".new")
	if err := os.WriteFile(temp, code, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, filepath.Join(s.Plugins, name)); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, cfg Config) *config.Config {
	t.Helper()
	var file *config.Config
	var err error
	if cfg.Dir != "" && cfg.TOML == "" {
		file, err = config.Load(filepath.Join(cfg.Dir, "weir.toml"))
	} else {
		text := cfg.TOML
		if text == "" {
			text = "plugins = \"plugins\"\n"
		}
		file, err = config.Parse("weir.toml", []byte(text), os.Getenv)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// database makes a database in which weir is set up, with schema and seed.
func database(t testing.TB, file *config.Config, cfg Config) devdbtest.DB {
	t.Helper()
	devdbtest.Template(t, "weir_hosttest", func(url string) error {
		_, err := changelog.Setup(context.Background(), changelog.SetupConfig{AdminURL: url, Parts: host.Parts()})
		return err
	})
	db := devdbtest.New(t, devdbtest.From("weir_hosttest"))
	texts := []string{cfg.Schema, cfg.Seed}
	if cfg.Dir != "" {
		texts = append([]string{read(t, file.Dev.Schema), read(t, file.Dev.Seed)}, texts...)
	}
	for _, text := range texts {
		if text != "" {
			db.Exec(t, text)
		}
	}
	db.Exec(t, `grant usage on schema public to weir, weir_guest;
		alter default privileges in schema public grant trigger on tables to weir;
		alter default privileges in schema public grant select, insert, update, delete on tables to weir_guest;
		grant trigger on all tables in schema public to weir;
		grant select, insert, update, delete on all tables in schema public to weir_guest;
		grant usage on all sequences in schema public to weir_guest`)
	return db
}

func read(t testing.TB, path string) string {
	t.Helper()
	if path == "" {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func loopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// compileTimeout is for a machine that does much else.
const compileTimeout = 5 * time.Minute

// shared is what all tests of a binary share: built plugins.
var shared struct {
	mu    sync.Mutex // protects the fields below
	dir   string
	built map[string]string
}

// stateDir is one directory of compiled code for all test binaries, or at least
// for this one.
func stateDir() string {
	return filepath.Join(cmp.Or(wasmtest.CacheHome(), filepath.Join(os.TempDir(), "cache")), "weir")
}

func directory(t testing.TB) string {
	t.Helper()
	if shared.dir == "" {
		dir, err := os.MkdirTemp("", "weir-hosttest")
		if err != nil {
			t.Fatal(err)
		}
		shared.dir, shared.built = dir, map[string]string{}
		devdbtest.AtExit(func() { _ = os.RemoveAll(dir) })
	}
	return shared.dir
}

// Build builds the Go plugin in a directory, once per test binary, and returns
// the module's file.
func Build(t testing.TB, source string) string {
	t.Helper()
	source, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	dir := directory(t)
	if module := shared.built[source]; module != "" {
		return module
	}
	out := filepath.Join(dir, "built", filepath.Base(filepath.Dir(source))+"-"+filepath.Base(source))
	if err := os.MkdirAll(out, 0o700); err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(out, "plugin.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", module, ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", source, err, text)
	}
	compile(t, module)
	shared.built[source] = module
	return module
}

// compile puts a module's code into the directory that all hosts take it from,
// so that they do not all compile it at once. Neither do two binaries.
func compile(t testing.TB, module string) {
	t.Helper()
	code, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	ctx, dir := context.Background(), stateDir()
	r, err := wasm.NewRuntime(ctx, wasm.Config{CacheDir: filepath.Join(dir, "wasm"), CompileTimeout: compileTimeout, Command: compileChild(t)})
	if err != nil {
		t.Fatal(err)
	}
	turn, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Close() // gives the turn back
	if err := syscall.Flock(int(turn.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	m, err := r.Compile(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close(ctx) // what matters is in the directory
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
