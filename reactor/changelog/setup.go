package changelog

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	//go:embed roles.sql
	rolesSQL string
	//go:embed schema.sql
	schemaSQL string
	//go:embed grants.sql
	grantsSQL string
	//go:embed events.sql
	eventsSQL string
)

// SetupConfig says what Setup makes.
type SetupConfig struct {
	// AdminURL is a role that may create roles and a schema in the database that
	// it names: a superuser, or on managed PostgreSQL the administrator. For
	// triggers that fire always it must own the tables, or be a superuser.
	AdminURL string
	// Weir is the role that captures. Empty means "weir".
	Weir string
	// Guest is the role of plugins' SQL. Empty means "weir_guest".
	Guest string
	// WeirPassword and GuestPassword are set if not empty. They are not in
	// SetupSQL's text.
	WeirPassword, GuestPassword string
	// Schemas are those whose tables weir may capture. Empty means all but
	// system schemas.
	Schemas []string
	// Tables are captured at once as their owner, without watched columns.
	// Tables that are watched already are always brought up to date.
	Tables []string
	// Parts are made after the change log.
	Parts []Part
}

func (c SetupConfig) withDefaults() SetupConfig {
	c.Weir = cmp.Or(c.Weir, "weir")
	c.Guest = cmp.Or(c.Guest, "weir_guest")
	return c
}

// expand fills the places of a script.
func (c SetupConfig) expand(script string) string {
	schemas := make([]string, len(c.Schemas))
	for i, s := range c.Schemas {
		schemas[i] = literal(s)
	}
	return strings.NewReplacer("$WEIR", literal(c.Weir), "$GUEST", literal(c.Guest),
		"$SCHEMAS", "array["+strings.Join(schemas, ", ")+"]").Replace(script)
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// SetupSQL returns what Setup runs, for a DBA to read and run with psql. Roles
// are made without passwords.
func SetupSQL(cfg SetupConfig) string {
	cfg = cfg.withDefaults()
	texts := []string{
		"begin;\n",
		fmt.Sprintf("select pg_advisory_xact_lock(%d);\n", lockSetup),
		cfg.guard(),
		cfg.expand(rolesSQL),
		fmt.Sprintf("set local role %s;\n", quote(cfg.Weir)),
		(&Part{Name: logName, Version: logVersion, SQL: schemaSQL}).sql(),
	}
	for i := range cfg.Parts {
		texts = append(texts, cfg.expand(cfg.Parts[i].sql()))
	}
	return strings.Join(append(texts, "reset role;\n", cfg.expand(grantsSQL), eventsSQL, "commit;\n"), "\n")
}

// Setup makes roles, schema, grants, functions and, if allowed, the event
// triggers, and captures what is watched as the tables' owner. It may be run
// again, and by several at once. What an older weir has set up is brought up to
// date in place; what a newer one has is refused with ErrNewer. The findings are
// those of Check.
func Setup(ctx context.Context, cfg SetupConfig) ([]Finding, error) {
	cfg = cfg.withDefaults()
	var findings []Finding
	err := withConn(ctx, cfg.AdminURL, func(conn *pgx.Conn) error {
		err := retry(ctx, func() error {
			_, err := conn.Exec(ctx, SetupSQL(cfg), pgx.QueryExecModeSimpleProtocol)
			if err != nil {
				_, _ = conn.Exec(ctx, "rollback") // the error above is the one to tell
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("set up the database: %w", refused(err))
		}
		if err := cfg.passwords(ctx, conn); err != nil {
			return err
		}
		if err := cfg.capture(ctx, conn); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "set role "+quote(cfg.Weir)); err != nil {
			return err
		}
		if findings, err = check(ctx, conn, cfg.Weir, cfg.Tables); err != nil {
			return err
		}
		parts, err := checkParts(ctx, conn, cfg.Parts)
		findings = append(findings, parts...)
		return err
	})
	return findings, err
}

func (c SetupConfig) passwords(ctx context.Context, conn *pgx.Conn) error {
	for role, password := range map[string]string{c.Weir: c.WeirPassword, c.Guest: c.GuestPassword} {
		if password == "" {
			continue
		}
		err := retry(ctx, func() error {
			_, err := conn.Exec(ctx, "alter role "+quote(role)+" password "+literal(password))
			return err
		})
		if err != nil {
			return fmt.Errorf("set the password of role %s: %w", role, err)
		}
	}
	return nil
}

// capture installs triggers as the administrator, for the tables asked for and
// those that are watched.
func (c SetupConfig) capture(ctx context.Context, conn *pgx.Conn) error {
	var paused bool
	if err := conn.QueryRow(ctx, `select paused from weir.reader`).Scan(&paused); err != nil || paused {
		return err
	}
	rows, err := conn.Query(ctx, `select (case when t like '%.%' then t else 'public.' || t end)::regclass::oid from unnest($1::text[]) t
		union select c.oid from pg_class c join weir.watch w on w.rel = c.oid`, c.Tables)
	if err != nil {
		return err
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return err
	}
	capture := NewCapture(CaptureConfig{URL: c.AdminURL})
	for _, oid := range oids {
		// A table that is busy for long, or not the administrator's, is found by
		// the check.
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := capture.watchOne(short, conn, Watch{Table: oid}, c.Weir)
		cancel()
		if err != nil && (ctx.Err() != nil || conn.IsClosed()) {
			return err
		}
	}
	return nil
}
