package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/host"
	"weir/host/devdb"
	"weir/reactor/changelog"
)

// Roles of a private database; changelog.Setup makes them under these names.
const (
	weirRole  = "weir"
	guestRole = "weir_guest"
)

// privateRoles need no password: the socket's directory keeps strangers out.
var privateRoles = roles{weir: weirRole, guest: guestRole}

// roles are weir and its plugins in a database.
type roles struct{ weir, guest, weirPassword, guestPassword string }

const (
	databasePrefix = "dev_" // then the digest of schema and seed
	unfinished     = "_new" // behind the name while it is made
)

// clusterDir is where a project's private server lives.
func (p *project) clusterDir() string { return filepath.Join(p.dir, ".weir", "pg") }

// startCluster starts the project's private server, or attaches to it.
func (p *project) startCluster(ctx context.Context, logger *slog.Logger) (*devdb.Cluster, error) {
	return devdb.Start(ctx, devdb.Config{
		Dir: p.clusterDir(), Download: true, Logger: logger,
		// Lets the demo say how long after a commit its frame arrived.
		Settings: map[string]string{"track_commit_timestamp": "on"},
	})
}

// wanted returns the name of the database that the files of [dev] ask for.
func (p *project) wanted() (string, error) { return p.named(databasePrefix) }

// sqlFiles are what the private database is made of, in this order.
func (p *project) sqlFiles() []string {
	if p.sql != nil {
		return p.sql
	}
	return []string{p.config.Dev.Schema, p.config.Dev.Seed}
}

// named returns the prefix and the digest of the SQL files.
func (p *project) named(prefix string) (string, error) {
	sum := sha256.New()
	for _, path := range p.sqlFiles() {
		text, err := readSQL(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%d\x00%s", len(text), text)
	}
	return prefix + hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

// maxSQL bounds a schema or seed file.
const maxSQL = 64 << 20

func readSQL(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", &fileError{fmt.Errorf("read the SQL of [dev]: %w: write it, or correct weir.toml", err)}
	}
	if info.Size() > maxSQL {
		return "", &fileError{fmt.Errorf("%s is larger than %s: seed less", path, size(maxSQL))}
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// ensureDatabase makes the database that the files ask for, unless it is there.
// While it is made it has another name, so that one cut short is never used.
func (p *project) ensureDatabase(ctx context.Context, cluster *devdb.Cluster) (name string, made bool, err error) {
	return p.ensure(ctx, cluster, databasePrefix, func(*pgx.Conn, string) error { return nil })
}

// ensure is ensureDatabase for a prefix. It calls then on the server's own
// database, while nobody else makes one.
func (p *project) ensure(ctx context.Context, cluster *devdb.Cluster, prefix string, then func(*pgx.Conn, string) error) (name string, made bool, err error) {
	if name, err = p.named(prefix); err != nil {
		return "", false, err
	}
	err = withConn(ctx, cluster.URL(""), func(conn *pgx.Conn) error {
		// A second weir dev in the same directory waits here for the first.
		if _, err := conn.Exec(ctx, `select pg_advisory_lock(hashtext('weir dev'))`); err != nil {
			return err
		}
		var exists bool
		err := conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, name).Scan(&exists)
		if err != nil {
			return err
		}
		if exists {
			if err := renew(ctx, cluster.URL(name)); err != nil {
				return err
			}
			return then(conn, name)
		}
		for _, sql := range []string{
			"drop database if exists " + name + unfinished + " with (force)",
			"create database " + name + unfinished,
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if err := p.fill(ctx, cluster.URL(name+unfinished), privateRoles); err != nil {
			return err
		}
		made = true
		if _, err = conn.Exec(ctx, "alter database "+name+unfinished+" rename to "+name); err != nil {
			return err
		}
		return then(conn, name)
	})
	return name, made, err
}

// fill applies schema and seed, and prepares the database for weir. Everything
// in it belongs to who made it; the guest role may read and write all tables
// of public, because this is for development.
func (p *project) fill(ctx context.Context, url string, r roles) error {
	err := withConn(ctx, url, func(conn *pgx.Conn) error {
		for _, path := range p.sqlFiles() {
			if err := applyFile(ctx, conn, path); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := setUp(ctx, url, r); err != nil {
		return err
	}
	return withConn(ctx, url, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, strings.ReplaceAll(guestGrants, "$GUEST", r.guest))
		return err
	})
}

// setUp prepares a private database for weir.
func setUp(ctx context.Context, url string, r roles) error {
	_, err := changelog.Setup(ctx, changelog.SetupConfig{
		AdminURL: url, Weir: r.weir, Guest: r.guest, WeirPassword: r.weirPassword, GuestPassword: r.guestPassword, Parts: host.Parts(),
	})
	return err
}

// renew brings a private database that another weir has made up to date.
func renew(ctx context.Context, url string) error {
	findings, err := changelog.CheckParts(ctx, url, host.Parts())
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.Level != changelog.LevelOK {
			return setUp(ctx, url, privateRoles)
		}
	}
	return nil
}

const guestGrants = `
grant usage on schema public to $GUEST;
grant select, insert, update, delete on all tables in schema public to $GUEST;
grant usage, select on all sequences in schema public to $GUEST;
alter default privileges in schema public grant select, insert, update, delete on tables to $GUEST;
alter default privileges in schema public grant usage, select on sequences to $GUEST`

// applyFile runs a file as one transaction. An error names its line.
func applyFile(ctx context.Context, conn *pgx.Conn, path string) error {
	text, err := readSQL(path)
	if err != nil || strings.TrimSpace(text) == "" {
		return err
	}
	// Several statements in one simple query are one transaction.
	_, err = conn.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return err
	}
	where := filepath.Base(path)
	if refused.Position > 0 {
		where = fmt.Sprintf("%s:%d", where, lineAt(text, int(refused.Position)))
	}
	said := refused.Message
	if refused.Hint != "" {
		said += " (" + refused.Hint + ")"
	}
	return &fileError{fmt.Errorf("%s: %s: correct the file; psql's own commands are not understood", where, said)}
}

// lineAt returns the line of the n-th character, from 1.
func lineAt(text string, n int) int {
	line := 1
	for _, r := range text {
		if n--; n <= 0 {
			break
		}
		if r == '\n' {
			line++
		}
	}
	return line
}

// currentDatabase returns the database that a running weir dev uses: the one
// that the files ask for, else the newest.
func (p *project) currentDatabase(ctx context.Context, cluster *devdb.Cluster) (string, error) {
	wanted, err := p.wanted()
	if err != nil {
		wanted = "" // the newest will do
	}
	var name string
	err = withConn(ctx, cluster.URL(""), func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select datname from pg_database
			where datname like $1 and datname not like $2
			order by datname = $3 desc, oid desc limit 1`,
			strings.ReplaceAll(databasePrefix, "_", `\_`)+"%", "%"+strings.ReplaceAll(unfinished, "_", `\_`), wanted).Scan(&name)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", errors.New("the private database has not been made yet: run weir dev first")
	}
	return name, err
}

// dropOthers drops the databases of earlier schemas. What stays is only a waste
// of space, so errors are not told.
func dropOthers(ctx context.Context, cluster *devdb.Cluster, keep string) {
	_ = withConn(ctx, cluster.URL(""), func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `select datname from pg_database where datname ~ $1 and datname <> $2`,
			"^"+databasePrefix+"[0-9a-f]{12}("+unfinished+")?$", keep)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, name := range names {
			_, _ = conn.Exec(ctx, "drop database if exists "+name+" with (force)")
		}
		return err
	})
}

// withConn runs f on a connection of its own.
func withConn(ctx context.Context, url string, f func(*pgx.Conn) error) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		// pgx repeats the URL, and with it a password (CLI4).
		return usagef("the database URL cannot be read: write postgres://user:password@host/database")
	}
	cfg.RuntimeParams["application_name"] = "weir"
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // it may be broken already
	}()
	return f(conn)
}
