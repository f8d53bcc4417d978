package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"weir/host/devdb"
)

func (m *Main) sqlCommand() *cobra.Command {
	var dir, url string
	cmd := &cobra.Command{
		Use:   `sql "STATEMENT"`,
		Short: "Run SQL on the private database, as its owner, and print the rows",
		Long: "Run SQL on the private database of a project, as its owner, or on the one of --url.\n" +
			"With - the SQL is read from standard input. Several statements are one transaction.",
		Example: `  weir sql "insert into messages (room_id, author, body) values (1, 'ann', 'hello')"`,
		Args:    oneArg("a statement in quotes"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.sql(cmd.Context(), dir, url, args[0])
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "the project's directory")
	cmd.Flags().StringVar(&url, "url", "", "the database, as the role that owns the tables")
	return cmd
}

func (m *Main) sql(ctx context.Context, dir, url, text string) error {
	if text == "-" {
		data, err := io.ReadAll(io.LimitReader(m.Stdin, maxSQL))
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		text = string(data)
	}
	if strings.TrimSpace(text) == "" {
		return usagef("there is no SQL: write a statement in quotes")
	}
	if url != "" {
		return m.execute(ctx, url, text)
	}
	return m.onPrivate(ctx, dir, func(c *devdb.Cluster, database string) error {
		return m.execute(ctx, c.URL(database), text)
	})
}

// onPrivate calls f with a project's private server and the database in it that
// is current. The server is started for as long as that takes if it does not run.
func (m *Main) onPrivate(ctx context.Context, dir string, f func(c *devdb.Cluster, database string) error) error {
	p, err := m.openProject(dir)
	if err != nil {
		return err
	}
	if !p.private() {
		return usagef("%s has a database.url, so there is no private database: name the owner's URL with --url", m.shown(p.file))
	}
	if !p.hasCluster() {
		return errors.New("the private database has not been made yet: run weir dev first")
	}
	cluster, err := p.startCluster(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	name, err := p.currentDatabase(ctx, cluster)
	if err == nil {
		err = f(cluster, name)
	}
	return errors.Join(err, cluster.Close())
}

// execute runs statements in one simple query and prints what each returned.
func (m *Main) execute(ctx context.Context, url, text string) error {
	err := withConn(ctx, url, func(conn *pgx.Conn) error {
		results := conn.PgConn().Exec(ctx, text)
		for results.NextResult() {
			if err := m.printResult(results.ResultReader()); err != nil {
				return errors.Join(err, results.Close())
			}
		}
		return results.Close()
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return sqlError(refused)
	}
	return err
}

// sqlError is PostgreSQL's refusal in a sentence.
func sqlError(e *pgconn.PgError) error {
	text := strings.ToLower(e.Severity) + ": " + oneLine(e.Message)
	for _, more := range []string{e.Detail, e.Hint} {
		if more != "" {
			text += ": " + oneLine(more)
		}
	}
	return errors.New(text)
}

// maxPrinted bounds the rows that are printed of one statement.
const maxPrinted = 1000

func (m *Main) printResult(rows *pgconn.ResultReader) error {
	var t table
	for _, f := range rows.FieldDescriptions() {
		t.head = append(t.head, oneLine(f.Name))
	}
	for rows.NextRow() {
		if len(t.rows) == maxPrinted {
			t.more++
			continue
		}
		var row []string
		for _, v := range rows.Values() {
			text := "null"
			if v != nil {
				text = shortened(oneLine(string(v)), 4*maxCell)
			}
			row = append(row, text)
		}
		t.rows = append(t.rows, row)
	}
	tag, err := rows.Close()
	if err != nil {
		return err
	}
	if len(t.head) > 0 {
		writeTable(m.Stdout, t)
	}
	_, err = fmt.Fprintln(m.Stdout, tag)
	return err
}
