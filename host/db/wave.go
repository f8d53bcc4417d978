package db

import (
	"context"
	"errors"

	"weir/reactor"
)

// tries bounds how often a transaction of reads is run again for reasons that
// are not the caller's: rewritten tables (R9), a dead connection, new shapes.
const tries = 6

// Wave is what several queries saw at one snapshot.
type Wave struct {
	Snapshot reactor.Snapshot
	Epoch    reactor.Epoch
	Answers  []Answer // in the order of the queries
}

// Wave runs queries in one pipelined read transaction, so that all answers share
// one snapshot. A statement that fails has its error in its Answer and does not
// spoil the others: they are run again, each behind a savepoint. The error is
// that of the whole: no connection, the deadline, a standby.
func (d *DB) Wave(ctx context.Context, queries []Query) (Wave, error) {
	w := waver{db: d, jobs: make([]*job, len(queries)), gone: make([]error, len(queries))}
	for i := range queries {
		w.jobs[i], w.gone[i] = queries[i].Statement.bind(ctx, &queries[i])
	}
	var err error
	for range tries {
		var again bool
		if again, err = w.attempt(ctx); !again {
			break
		}
		d.retries.Add(1)
	}
	if err != nil {
		return Wave{}, err
	}
	out := Wave{Snapshot: w.snapshot, Epoch: w.epoch, Answers: make([]Answer, len(queries))}
	for i, j := range w.jobs {
		if out.Answers[i].Err = w.gone[i]; w.gone[i] == nil {
			out.Answers[i] = j.answer()
		}
	}
	return out, nil
}

// waver is one Wave over its attempts.
type waver struct {
	db       *DB
	jobs     []*job
	gone     []error // final errors: these jobs are left out
	careful  bool
	fresh    bool
	snapshot reactor.Snapshot
	epoch    reactor.Epoch
}

// attempt runs the jobs that are not gone. It reports whether another attempt is
// needed, and the error if it was the last.
func (w *waver) attempt(ctx context.Context) (again bool, err error) {
	var run []*job
	for i, j := range w.jobs {
		if w.gone[i] == nil {
			run = append(run, j)
		}
	}
	s, err := w.db.open(ctx, false, w.fresh)
	if err != nil {
		return false, err
	}
	err = s.all(ctx, run, true, w.careful)
	w.snapshot, w.epoch = s.snapshot, s.epoch
	broken, reused := s.c.broken, s.c.reused
	s.close()
	w.db.waves.Add(1)
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	failed := -1
	for i, j := range w.jobs {
		if w.gone[i] == nil && failed < 0 && j.failure() != nil {
			failed = i
		}
		if w.gone[i] == nil && errors.Is(j.failure(), errShape) {
			again = true
			w.rebind(ctx, i)
		}
	}
	switch {
	case again: // R4: the schema changed under them
	case err == nil: // errors that are left are the jobs' own
		return false, nil
	case errors.Is(err, ErrUnstable): // R9, C4
		again = true
		for i := range w.jobs {
			if w.gone[i] == nil {
				w.rebind(ctx, i)
			}
		}
	case failed >= 0 && (broken || w.careful):
		w.gone[failed], again = w.jobs[failed].failure(), true
	case failed >= 0:
		w.careful, again = true, true
	case broken && reused && !w.fresh:
		w.fresh, again = true, true
	}
	return again, err
}

// rebind gives a job the statement as it is now.
func (w *waver) rebind(ctx context.Context, i int) {
	q := w.jobs[i].query
	w.jobs[i], w.gone[i] = q.Statement.bind(ctx, q)
}

// failure returns the error of a job or of one nested in it.
func (j *job) failure() error {
	for _, kid := range j.kids {
		if err := kid.failure(); err != nil && j.err == nil {
			return err
		}
	}
	return j.err
}
