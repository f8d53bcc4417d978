package devdbtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"weir/host/devdb"
)

// DB is one test's database. Its fields do not change.
type DB struct {
	URL     string         // superuser's URL of this database
	Name    string         // unique on the server
	Cluster *devdb.Cluster // the shared server; nil under TEST_DATABASE_URL
}

// Option changes what New gives.
type Option func(*options)

type options struct{ template string }

// From makes New copy the template of this name, which Template made before.
func From(template string) Option { return func(o *options) { o.template = template } }

// Main runs the tests of a package in a temporary directory of their own, stops
// the server if one was started, fails the run when goroutines are left, and
// exits. Call it from TestMain. The options name goroutines that may stay.
func Main(m *testing.M, allowed ...goleak.Option) {
	temp, err := newTempDir(os.TempDir())
	if err == nil {
		err = temp.use()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "devdbtest:", err)
		os.Exit(1)
	}
	code := m.Run()
	exits.mu.Lock()
	for _, f := range exits.list {
		f()
	}
	exits.mu.Unlock()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "devdbtest:", err)
		code = max(code, 1)
	}
	temp.remove()
	if code == 0 {
		if err := goleak.Find(allowed...); err != nil {
			fmt.Fprintln(os.Stderr, "devdbtest: goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// exits are what AtExit was given.
var exits struct {
	mu   sync.Mutex // protects the field below
	list []func()
}

// AtExit has Main call f when all tests have ended: for what several tests of a
// binary share.
func AtExit(f func()) {
	exits.mu.Lock()
	defer exits.mu.Unlock()
	exits.list = append(exits.list, f)
}

// databases numbers the databases of this binary.
var databases atomic.Int64

// New makes a database for t and drops it when t ends. The first call starts the
// server.
func New(t testing.TB, opts ...Option) DB {
	t.Helper()
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := shared.start(ctx)
	if err != nil {
		t.Fatalf("start a database server: %v", err)
	}
	name := fmt.Sprintf("%s_%d", s.prefix, databases.Add(1))
	sql := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if o.template != "" {
		source, err := s.template(o.template)
		if err != nil {
			t.Fatal(err)
		}
		sql += " TEMPLATE " + pgx.Identifier{source}.Sanitize()
	}
	if err := s.admin(ctx, sql); err != nil {
		t.Fatalf("make a database for the test: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.drop(ctx, name); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return DB{URL: s.url(name), Name: name, Cluster: s.cluster}
}

// Template makes a database with setup, once per binary however many tests ask,
// for New(t, From(name)). setup gets the superuser's URL and must close its
// connections. A setup that failed fails every test that asks.
func Template(t testing.TB, name string, setup func(url string) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := shared.start(ctx)
	if err != nil {
		t.Fatalf("start a database server: %v", err)
	}
	if err := s.makeTemplate(ctx, name, setup); err != nil {
		t.Fatalf("make the template %q: %v", name, err)
	}
}

// As returns the URL of the database for a login role. The password is needed
// only under TEST_DATABASE_URL; the private server asks for none.
func (d DB) As(user, password string) string {
	if d.Cluster != nil {
		return d.Cluster.UserURL(user, d.Name)
	}
	return withUser(d.URL, user, password)
}

// Conn opens a superuser's connection that is closed when t ends.
func (d DB) Conn(t testing.TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), d.URL)
	if err != nil {
		t.Fatalf("connect to the test's database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = conn.Close(ctx) // the test may have closed or cut it
	})
	return conn
}

// Exec runs SQL as the superuser, several statements if there are no arguments.
func (d DB) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := exec(ctx, d.URL, sql, args...); err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(sql), err)
	}
}
