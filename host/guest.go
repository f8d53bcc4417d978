package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/abi"
	"weir/host/db"
	"weir/host/wasm"
	"weir/reactor"
)

// transaction is what a guest's statements run in: *db.ReadTx or *db.WriteTx.
type transaction interface {
	Query(ctx context.Context, queries []db.Query) ([]db.Answer, error)
	Snapshot() reactor.Snapshot
	Epoch() reactor.Epoch
}

var (
	_ transaction = (*db.ReadTx)(nil)
	_ transaction = (*db.WriteTx)(nil)
)

// statements runs what one guest call asks for. It implements wasm.Backend and
// is owned by the call.
type statements struct {
	call     *call
	checker  *checker
	now      time.Time
	kind     db.Kind
	begin    func(context.Context) (transaction, error) // at the first statement (G13)
	tx       transaction
	answers  []db.Answer
	conflict error // a serialization failure, which the guest cannot mend
	// lost is the first error that the arguments and the grants do not decide. Of
	// a read that failed no read set is known: what the guest makes of it cannot
	// be kept live (W1).
	lost error
}

var _ wasm.Backend = (*statements)(nil)

// Query implements wasm.Backend: all that was recorded runs in one round trip.
func (s *statements) Query(ctx context.Context, qs []*wasm.Query) error {
	open, queries := s.resolve(ctx, qs)
	if len(open) == 0 {
		return nil
	}
	if s.tx == nil {
		tx, err := s.begin(ctx)
		if err != nil {
			return err
		}
		s.tx = tx
	}
	answers, err := s.tx.Query(ctx, queries)
	if err != nil {
		return err
	}
	s.take(open, answers)
	return nil
}

// resolve finds the statements of queries and fails those that have none. It
// returns the others.
func (s *statements) resolve(ctx context.Context, qs []*wasm.Query) (open []*wasm.Query, queries []db.Query) {
	open, queries = make([]*wasm.Query, 0, len(qs)), make([]db.Query, 0, len(qs))
	for _, q := range qs {
		statement, err := s.statement(ctx, q)
		if err != nil {
			s.fail(q, err)
			continue
		}
		open = append(open, q)
		queries = append(queries, db.Query{Statement: statement, Args: q.Args, Now: s.now})
	}
	return open, queries
}

// Exec implements wasm.Backend.
func (s *statements) Exec(ctx context.Context, q *wasm.Query) error {
	return s.Query(ctx, []*wasm.Query{q})
}

// take gives queries their outcomes.
func (s *statements) take(qs []*wasm.Query, answers []db.Answer) {
	for i, q := range qs {
		a := answers[i]
		if errors.Is(a.Err, db.ErrConflict) {
			s.conflict = a.Err
		}
		if a.Err != nil {
			s.fail(q, a.Err)
			continue
		}
		q.Rows, q.Affected = a.Rows, a.Affected
		s.answers = append(s.answers, a)
	}
}

// fail gives a query its error. Only what the arguments and the grants decide is
// the same whatever the tables hold.
func (s *statements) fail(q *wasm.Query, err error) {
	q.Err = err
	var errno abi.Errno
	if s.lost == nil && !errors.Is(err, db.ErrType) && !errors.As(err, &errno) {
		s.lost = err
	}
}

// statement finds the prepared statement of a query.
func (s *statements) statement(ctx context.Context, q *wasm.Query) (*db.Statement, error) {
	p := s.call.prepared()
	if q.Statement < 0 {
		return s.checker.adHoc(ctx, p, q.SQL, s.kind)
	}
	list := p.reads
	if s.kind == db.Write {
		list = p.writes
	}
	if q.Statement >= len(list) || list[q.Statement] == nil {
		return nil, abi.ErrnoGrant
	}
	return list[q.Statement], nil
}

// finish runs what the output needs and the guest did not look at.
func (s *statements) finish(ctx context.Context, out *wasm.Output) error {
	if pending := pending(out); len(pending) > 0 {
		if err := s.Query(ctx, pending); err != nil {
			return err
		}
	}
	return check(out)
}

// wave is finish for a call that has begun no transaction: what is left runs as
// a wave of its own, in one round trip. The wave is there also when nothing is
// left, because the result must say at which point it holds.
func (s *statements) wave(ctx context.Context, out *wasm.Output) (db.Wave, error) {
	open, queries := s.resolve(ctx, pending(out))
	w, err := s.call.space.database.Wave(ctx, queries)
	if err != nil {
		return db.Wave{}, err
	}
	s.take(open, w.Answers)
	return w, check(out)
}

// pending are the queries that the output needs and that have not run.
func pending(out *wasm.Output) (list []*wasm.Query) {
	if out.Kind != wasm.OutputRows {
		return nil
	}
	for _, q := range out.View.Queries() {
		if !q.Ran() {
			list = append(list, q)
		}
	}
	return list
}

// check reports what is wrong with rows that have all run.
func check(out *wasm.Output) error {
	if out.Kind != wasm.OutputRows {
		return nil
	}
	return out.View.Check()
}

// refused returns the statement's error behind an error of the guest's own that
// is not for clients, or nil: the guest only hands on what it got, and the code
// of a statement tells a client more than that of a plugin that failed.
func (s *statements) refused(out *wasm.Output) error {
	if out.Kind != wasm.OutputError || out.Err.Public || s.lost == nil {
		return nil
	}
	return fmt.Errorf("plugin %s, %s: %v: %w", s.call.fn.Plugin.Name(), s.call.fn.Name, out.Err, s.lost)
}

// outputError is the error that a guest returned. What is not public stays in
// the log.
func outputError(c *call, out *wasm.Output) error {
	if out.Err.Public {
		return out.Err
	}
	return fmt.Errorf("plugin %s, %s: %w", c.fn.Plugin.Name(), c.fn.Name, out.Err)
}
