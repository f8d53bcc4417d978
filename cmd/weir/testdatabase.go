package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb"
)

// testServer is the private server while tests use it. Whoever started it stops
// it only when no other test does (all hold a lock on it).
type testServer struct {
	cluster *devdb.Cluster
	conn    *pgx.Conn
}

// testLock is the lock on the private server that its users share.
const testLock = `hashtext('weir test')`

// openTestServer starts the project's private server, or attaches to it.
func (p *project) openTestServer(ctx context.Context) (*testServer, error) {
	var err error
	for range 3 { // one that another test started may be about to stop
		s := &testServer{}
		if s.cluster, err = p.startCluster(ctx, slog.New(slog.DiscardHandler)); err != nil {
			return nil, err
		}
		if s.conn, err = pgx.Connect(ctx, s.cluster.URL("")); err == nil {
			if _, err = s.conn.Exec(ctx, `select pg_advisory_lock_shared(`+testLock+`)`); err == nil {
				return s, nil
			}
		}
		err = errors.Join(err, s.close())
	}
	return nil, err
}

// close leaves the server, and stops it if it was started here.
func (s *testServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if s.conn != nil {
		if !s.cluster.Attached() {
			_, _ = s.conn.Exec(ctx, `select pg_advisory_unlock_shared(`+testLock+`), pg_advisory_lock(`+testLock+`)`) // waits for the others
		}
		_ = s.conn.Close(ctx) // it may be broken already
	}
	return s.cluster.Close()
}

// testDatabase is one test's database and who may come in.
type testDatabase struct {
	admin, weir, guest string // URLs
	drop               func() error
}

// Names of databases on the private server: what test databases are copied from,
// and the copies, whose names go on with the second in which they were made.
const templatePrefix, copyPrefix = "test_", "run_"

func (m *Main) testDatabase(ctx context.Context, p *project) (*testDatabase, error) {
	if admin := m.Getenv(envTestURL); admin != "" {
		return p.foreignTestDatabase(ctx, admin)
	}
	server, err := p.openTestServer(ctx)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s%d_%s", copyPrefix, time.Now().Unix(), suffix())
	_, _, err = p.ensure(ctx, server.cluster, templatePrefix, func(conn *pgx.Conn, template string) error {
		dropOldTests(ctx, conn, template)
		_, err := conn.Exec(ctx, "create database "+name+" template "+template)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, server.close())
	}
	return &testDatabase{
		admin: server.cluster.URL(name), weir: server.cluster.UserURL(weirRole, name), guest: server.cluster.UserURL(guestRole, name),
		drop: func() error {
			err := dropDatabase(server.cluster.URL(""), name)
			return errors.Join(err, server.close())
		},
	}, nil
}

// keptTemplates is how many templates stay for another run.
const keptTemplates = 8

// dropOldTests drops templates of earlier schemas, and copies that tests which
// were killed left. What stays is only a waste of space, so errors are not told.
func dropOldTests(ctx context.Context, conn *pgx.Conn, keep string) {
	rows, err := conn.Query(ctx, `(select datname from pg_database where datname ~ $1 and datname <> $2 order by oid desc offset $3)
		union all select datname from pg_database where datname ~ $4 and split_part(datname, '_', 2)::bigint < extract(epoch from now()) - 3600`,
		"^"+templatePrefix+"[0-9a-f]{12}("+unfinished+")?$", keep, keptTemplates, "^"+copyPrefix+"[0-9]+_")
	if err != nil {
		return
	}
	names, _ := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range names {
		_, _ = conn.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize())
	}
}

// foreignTestDatabase makes a database, and roles for it, on somebody's server.
func (p *project) foreignTestDatabase(ctx context.Context, admin string) (*testDatabase, error) {
	u, err := url.Parse(admin)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return nil, usagef("%s is no URL of a database: write postgres://user:password@host/database", envTestURL)
	}
	name := "weir_test_" + suffix()
	r := roles{weir: name, guest: name + "_guest", weirPassword: suffix() + suffix(), guestPassword: suffix() + suffix()}
	at := func(user, password string) string {
		v := *u
		v.Path = "/" + name
		if user != "" {
			v.User = url.UserPassword(user, password)
		}
		return v.String()
	}
	err = withConn(ctx, admin, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "create database "+name)
		return err
	})
	if err != nil {
		return nil, err
	}
	db := &testDatabase{admin: at("", ""), weir: at(r.weir, r.weirPassword), guest: at(r.guest, r.guestPassword)}
	db.drop = func() error { return dropDatabase(admin, name, r.weir, r.guest) }
	if err := p.fill(ctx, db.admin, r); err != nil {
		return nil, errors.Join(err, db.drop())
	}
	return db, nil
}

// dropDatabase drops a test's database, and then its roles.
func dropDatabase(admin, name string, roles ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return withConn(ctx, admin, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "drop database if exists "+name+" with (force)")
		for _, role := range roles {
			_, dropped := conn.Exec(ctx, "drop role if exists "+role)
			err = errors.Join(err, dropped)
		}
		return err
	})
}

// suffix is what makes a name nobody else's.
func suffix() string { return strings.ToLower(rand.Text()[:12]) }
