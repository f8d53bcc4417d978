package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// publish drives a run as far as it goes. It begins at the top each time: what is
// done is passed over, so it does not matter whether this is the first job of the
// run, the one after the approval, or an attempt after a crash.
func (w *worker) publish(ctx context.Context, j *job) error {
	var input struct{ Run string }
	if err := json.Unmarshal(j.Input, &input); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	d := &driver{worker: w, job: j, run: input.Run}
	if err := d.step(ctx, "proof", 8, "checking colours"); err != nil {
		return err
	}
	if waits, err := d.waits(ctx, "approval", "your approval"); err != nil || waits {
		return err
	}
	if err := d.step(ctx, "print", 16, "printing"); err != nil {
		return err
	}
	if err := d.step(ctx, "deliver", 8, "on its way"); err != nil {
		return err
	}
	return w.finish(ctx, j, nil, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `select weir.workflow_finish($1::text::uuid, '{"copies": 250}')`, d.run)
		return err
	})
}

// driver is a run in the hands of a job.
type driver struct {
	*worker
	job *job
	run string
}

// call calls a function of a step and returns its answer.
func (d *driver) call(ctx context.Context, sql, step string) (ok bool, err error) {
	err = d.conn.QueryRow(ctx, sql, d.run, step).Scan(&ok)
	return ok, err
}

// step does one step, unless it is done. The work is to say how far it is.
func (d *driver) step(ctx context.Context, name string, strokes int, message string) error {
	start, err := d.call(ctx, `select weir.workflow_step_start($1::text::uuid, $2)`, name)
	if err != nil || !start {
		return err
	}
	for i := range strokes {
		if err := d.progress(ctx, d.job, float64(100*i/strokes), message); err != nil {
			return err
		}
		d.rest(ctx, d.pace)
	}
	_, err = d.call(ctx, `select weir.workflow_step_finish($1::text::uuid, $2)`, name)
	return err
}

// waits reports whether the run must wait here. Then this job is over: whoever
// brings what is waited for makes another.
func (d *driver) waits(ctx context.Context, name, what string) (bool, error) {
	start, err := d.call(ctx, `select weir.workflow_step_start($1::text::uuid, $2)`, name)
	if err != nil || !start {
		return false, err
	}
	return true, d.finish(ctx, d.job, nil, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `select weir.workflow_step_wait($1::text::uuid, $2, $3)`, d.run, name, what)
		return err
	})
}
