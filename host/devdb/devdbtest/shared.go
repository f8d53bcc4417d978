package devdbtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb"
)

// quick are the settings of a server whose data nobody will miss.
var quick = map[string]string{
	"fsync":              "off",
	"synchronous_commit": "off",
	"full_page_writes":   "off",
	"shared_buffers":     "32MB",
	"max_connections":    "200",
	"max_wal_size":       "256MB",
}

// durable are those of a server as a user would run it, for benchmarks of what
// writes cost (WEIR_TEST_DURABLE).
var durable = map[string]string{
	"shared_buffers": "256MB", "max_connections": "200", "max_wal_size": "2GB",
}

// shared is the one server of this test binary. A global, because TestMain and
// the tests have no other way to meet.
var shared lazyServer

// lazyServer starts a server when the first test asks.
type lazyServer struct {
	mu     sync.Mutex // protects the fields below, and is held while starting
	server *server
	err    error
}

// server is a running server and the templates made on it.
type server struct {
	cluster *devdb.Cluster // nil under TEST_DATABASE_URL
	base    *url.URL       // superuser's URL
	prefix  string         // of all our databases: several binaries may share a server

	mu        sync.Mutex // protects the map, not the templates
	templates map[string]*template
}

// template is a database to copy.
type template struct {
	once sync.Once
	name string
	err  error
}

func (l *lazyServer) start(ctx context.Context) (*server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server == nil && l.err == nil {
		l.server, l.err = newServer(ctx)
	}
	return l.server, l.err
}

func newServer(ctx context.Context) (*server, error) {
	s := &server{
		prefix:    "weir_" + strings.ToLower(rand.Text()[:10]),
		templates: map[string]*template{},
	}
	from := os.Getenv("TEST_DATABASE_URL")
	if from == "" {
		settings := quick
		if os.Getenv("WEIR_TEST_DURABLE") != "" {
			settings = durable
		}
		for setting := range strings.FieldsSeq(os.Getenv("WEIR_TEST_SETTINGS")) {
			name, value, _ := strings.Cut(setting, "=")
			settings[name] = value // "max_prepared_transactions=16"
		}
		major, err := strconv.Atoi(cmp.Or(os.Getenv("WEIR_TEST_PG"), "0"))
		if err != nil {
			return nil, errors.New("WEIR_TEST_PG is not a major version of PostgreSQL: write 16")
		}
		c, err := devdb.Start(ctx, devdb.Config{Settings: settings, Major: major, Download: major != 0})
		if err != nil {
			return nil, err
		}
		s.cluster, from = c, c.URL("")
	}
	base, err := url.Parse(from)
	if err != nil {
		return nil, errors.New("TEST_DATABASE_URL is not a URL: write postgres://user:password@host/postgres")
	}
	s.base = base
	return s, nil
}

// close drops the templates and stops the server, if any test asked for one.
func (l *lazyServer) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.server
	if s == nil {
		return nil
	}
	l.server, l.err = nil, errors.New("the tests are over")
	if s.cluster != nil {
		return s.cluster.Close()
	}
	var errs []error
	for _, t := range s.templates {
		errs = append(errs, s.drop(context.Background(), t.name))
	}
	return errors.Join(errs...)
}

// url returns the superuser's URL of a database.
func (s *server) url(database string) string {
	u := *s.base
	u.Path = "/" + database
	return u.String()
}

func (s *server) admin(ctx context.Context, sql string) error {
	return exec(ctx, s.base.String(), sql)
}

// drop removes a database with whoever is still connected.
func (s *server) drop(ctx context.Context, name string) error {
	return s.admin(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

func (s *server) makeTemplate(ctx context.Context, name string, setup func(url string) error) error {
	s.mu.Lock()
	t := s.templates[name]
	if t == nil {
		t = &template{name: fmt.Sprintf("%s_t%d", s.prefix, len(s.templates)+1)}
		s.templates[name] = t
	}
	s.mu.Unlock()
	t.once.Do(func() {
		if t.err = s.admin(ctx, "CREATE DATABASE "+pgx.Identifier{t.name}.Sanitize()); t.err == nil {
			t.err = setup(s.url(t.name))
		}
	})
	return t.err
}

// template returns the database behind a template's name.
func (s *server) template(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.templates[name]
	if t == nil {
		return "", fmt.Errorf("no template %q: call devdbtest.Template(t, %q, …) first", name, name)
	}
	return t.name, nil
}

// exec runs SQL on a connection of its own.
func exec(ctx context.Context, url, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if len(args) == 0 {
		_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
		return err
	}
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// withUser replaces the user of a URL.
func withUser(from, user, password string) string {
	u, err := url.Parse(from)
	if err != nil {
		return from // New has parsed it before
	}
	u.User = url.UserPassword(user, password)
	q := u.Query()
	q.Del("user")
	q.Del("password")
	u.RawQuery = q.Encode()
	return u.String()
}
