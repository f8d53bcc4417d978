package db

import (
	"context"

	"weir/reactor"
)

// ReadTx is a read transaction for a function that looks at its rows. It begins
// with the first Query, so that a function which asks nothing holds nothing. It
// is owned by one goroutine. Finish or Close must be called.
type ReadTx struct {
	s *session
}

// Read takes a connection for a read transaction.
func (d *DB) Read(ctx context.Context) (*ReadTx, error) {
	s, err := d.open(ctx, false, false)
	if err != nil {
		return nil, err
	}
	return &ReadTx{s: s}, nil
}

// Query runs queries in one round trip. Errors of arguments and limits are in
// the answers. An error of PostgreSQL is in its answer too and aborts the
// transaction: the answers after it, and every later Query, get that error.
func (t *ReadTx) Query(ctx context.Context, queries []Query) ([]Answer, error) {
	return t.s.queries(ctx, queries)
}

// Snapshot returns what the transaction sees. It is zero before the first Query.
func (t *ReadTx) Snapshot() reactor.Snapshot { return t.s.snapshot }

// Epoch returns the history that the snapshot belongs to.
func (t *ReadTx) Epoch() reactor.Epoch { return t.s.epoch }

// Finish checks that no table was rewritten under the transaction (R9), rolls
// back and gives the connection back. With ErrUnstable nothing that was read
// may be used. After Finish the snapshot is known, also without a Query.
func (t *ReadTx) Finish(ctx context.Context) error {
	if t.s.c == nil {
		return nil
	}
	defer t.s.close()
	if t.s.failed != nil {
		return t.s.failed
	}
	err := t.s.run(ctx, round{head: !t.s.begun, tail: true})
	if err != nil && !t.s.begun && t.s.redial(ctx) {
		err = t.s.run(ctx, round{head: true, tail: true})
	}
	return err
}

// Close gives up the transaction. After Finish it does nothing.
func (t *ReadTx) Close() { t.s.close() }

// queries binds and runs queries in the session's transaction.
func (s *session) queries(ctx context.Context, queries []Query) ([]Answer, error) {
	if s.c == nil {
		return nil, fault("query", errOver)
	}
	if s.failed != nil {
		return nil, s.failed
	}
	answers := make([]Answer, len(queries))
	jobs := make([]*job, len(queries))
	var run []*job
	for i := range queries {
		jobs[i], answers[i].Err = queries[i].Statement.bind(ctx, &queries[i])
		if answers[i].Err == nil {
			run = append(run, jobs[i])
		}
	}
	if len(run) == 0 {
		return answers, nil
	}
	err := s.all(ctx, run, false, false)
	if err != nil && !s.begun && s.redial(ctx) {
		err = s.all(ctx, run, false, false)
	}
	blamed := false
	for i, j := range jobs {
		if answers[i].Err != nil {
			continue
		}
		switch {
		case j.failure() != nil:
			answers[i], blamed = Answer{Err: j.failure(), Cost: j.cost}, true
		case err != nil && j.rows == nil:
			answers[i] = Answer{Err: err, Cost: j.cost}
		default:
			answers[i] = j.answer()
		}
	}
	if err != nil && !blamed {
		return nil, err
	}
	return answers, nil
}

// redial replaces a pooled connection that turned out to be dead before anything
// was done on it.
func (s *session) redial(ctx context.Context) bool {
	if !s.c.broken || !s.c.reused || ctx.Err() != nil {
		return false
	}
	s.db.pool.give(s.c)
	c, err := s.db.pool.take(ctx, true)
	if err != nil {
		s.c = nil
		s.failed = err
		return false
	}
	s.c, s.failed = c, nil
	s.db.retries.Add(1)
	return true
}
