package db

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// runSQL runs several statements over a connection of its own.
func runSQL(url, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	if end := conn.Close(ctx); err == nil {
		err = end
	}
	return err
}
