package db

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed excess.sql
var excessText string

// Excess is something that a role of plugins' SQL may do and does not need. Each
// takes one wall away, and weir goes on.
type Excess struct {
	Role string
	What string // "is a superuser: …"
	Do   string // SQL for an administrator
}

// ErrNoRole: the role that was asked about does not exist.
var ErrNoRole = errors.New("there is no such role")

// String is one sentence without the SQL.
func (e Excess) String() string { return "the role " + e.Role + " " + e.What }

// FindExcess asks the database of url what a role may do beyond the needs of
// plugins: "" is the role of url. Functions are the tenant's sql.functions.
func FindExcess(ctx context.Context, url, role string, functions []string) ([]Excess, error) {
	config, err := pgconn.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database url: %w", err)
	}
	return findExcess(ctx, config, role, functions)
}

// Excess is FindExcess for the role that the DB's SQL runs as.
func (d *DB) Excess(ctx context.Context, functions []string) ([]Excess, error) {
	return findExcess(ctx, d.pool.server(), "", functions)
}

func findExcess(ctx context.Context, config *pgconn.Config, role string, functions []string) ([]Excess, error) {
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fault("connect to the database", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	list := textArgument(functions).wire
	result := conn.ExecParams(ctx, excessText, [][]byte{[]byte(role), list}, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fault("look at the roles of plugins' SQL", result.Err)
	}
	var found []Excess
	for _, row := range result.Rows {
		if row[1] == nil {
			return nil, nil // it may do nothing that is not needed
		}
		found = append(found, Excess{Role: string(row[0]), What: string(row[1]), Do: string(row[2])})
	}
	if len(result.Rows) == 0 {
		return nil, fmt.Errorf("%w: %q", ErrNoRole, role)
	}
	return found, nil
}
