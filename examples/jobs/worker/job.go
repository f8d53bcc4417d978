package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"
)

// job is what weir.job_take gives.
type job struct {
	ID      string
	Attempt int
	Kind    string
	Input   []byte
}

// errNotOurs says that the job was cancelled, or that another worker has it.
var errNotOurs = errors.New("the job is not ours any more")

const (
	takeSQL     = `select job_id::text, attempt, kind, coalesce(input, 'null')::text from weir.job_take('posters', '10 seconds')`
	progressSQL = `select weir.job_progress($1::text::uuid, $2, $3, $4)`
	finishSQL   = `select weir.job_finish($1::text::uuid, $2, $3::text::jsonb)`
	failSQL     = `select weir.job_fail($1::text::uuid, $2, $3)`
)

// take returns the next job, or nil when none is due.
func (w *worker) take(ctx context.Context) (*job, error) {
	j := &job{}
	err := w.conn.QueryRow(ctx, takeSQL).Scan(&j.ID, &j.Attempt, &j.Kind, &j.Input)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return j, err
}

// progress says how far the job is, and keeps it ours for ten more seconds.
func (w *worker) progress(ctx context.Context, j *job, percent float64, message string) error {
	return ours(w.conn.QueryRow(ctx, progressSQL, j.ID, j.Attempt, percent, message))
}

// finish ends the job in the transaction of do: either both are there or none.
func (w *worker) finish(ctx context.Context, j *job, output any, do func(pgx.Tx) error) error {
	text, err := json.Marshal(output)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		return ours(tx.QueryRow(ctx, finishSQL, j.ID, j.Attempt, string(text)))
	})
}

// fail reports a failure; weir puts the job back while there are attempts.
func (w *worker) fail(ctx context.Context, j *job, why error) error {
	_, err := w.conn.Exec(ctx, failSQL, j.ID, j.Attempt, why.Error())
	return err
}

// ours turns the answer false into an error.
func ours(row pgx.Row) error {
	var held bool
	if err := row.Scan(&held); err != nil {
		return err
	}
	if !held {
		return errNotOurs
	}
	return nil
}
