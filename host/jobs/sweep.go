package jobs

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"weir/abi"
	"weir/host/db"
)

// Sweeper puts back jobs whose worker was lost and removes what has been over
// for long, for one tenant. Several may work on one database.
type Sweeper struct {
	// DB is the tenant's. Required.
	DB *db.DB
	// Keep is how long jobs and runs are kept when they are over. Negative means
	// for ever, zero 7 days.
	Keep time.Duration
}

// batches bounds the statements of one look; what is left waits for the next.
const batches = 50

const sweepSQL = `select weir.job_sweep($seconds::float8 * interval '1 second') as touched`

// Sweep looks once and returns how many rows it changed or removed.
func (s *Sweeper) Sweep(ctx context.Context) (touched int64, err error) {
	statement, err := s.DB.PrepareSQL(ctx, sweepSQL, db.Write)
	if err != nil {
		return 0, fmt.Errorf("sweep jobs: %w", err)
	}
	seconds := abi.Null()
	if keep := cmp.Or(s.Keep, 7*24*time.Hour); keep > 0 {
		seconds = abi.Float(keep.Seconds())
	}
	for range batches {
		n, err := s.batch(ctx, db.Query{Statement: statement, Args: []abi.Value{seconds}})
		touched += n
		if err != nil {
			return touched, fmt.Errorf("sweep jobs: %w", err)
		}
		if n == 0 {
			break
		}
	}
	return touched, nil
}

// batch is one transaction, so that no lock is held for long.
func (s *Sweeper) batch(ctx context.Context, q db.Query) (int64, error) {
	tx, err := s.DB.Write(ctx)
	if err != nil {
		return 0, err
	}
	defer tx.Close()
	answer, err := tx.Exec(ctx, q)
	if err != nil {
		return 0, err
	}
	n, _ := answer.Rows.Value(0, 0).AsInt()
	_, err = tx.Commit(ctx)
	return n, err
}

// Tenant returns the tenant that the database lets a DB's role work for.
func Tenant(ctx context.Context, d *db.DB) (string, error) {
	statement, err := d.PrepareSQL(ctx, `select weir.tenant() as tenant`, db.Write)
	if err != nil {
		return "", err
	}
	tx, err := d.Write(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Close()
	answer, err := tx.Exec(ctx, db.Query{Statement: statement})
	if err != nil {
		return "", err
	}
	name, _ := answer.Rows.Value(0, 0).AsText()
	return name, nil
}
