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
	// lost is the error of a read of which no read set is known: what the guest
	// makes of it cannot be kept live (W1).
	lost error
}

var _ wasm.Backend = (*statements)(nil)

// Query implements wasm.Backend: all that was recorded runs in one round trip.
func (s *statements) Query(ctx context.Context, qs []*wasm.Query) error {
	queries := make([]db.Query, 0, len(qs))
	open := make([]*wasm.Query, 0, len(qs))
	for _, q := range qs {
		statement, err := s.statement(ctx, q)
		if err != nil {
			s.fail(q, err)
			continue
		}
		queries = append(queries, db.Query{Statement: statement, Args: q.Args, Now: s.now})
		open = append(open, q)
	}
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
	for i, q := range open {
		s.take(q, answers[i])
	}
	return nil
}

// Exec implements wasm.Backend.
func (s *statements) Exec(ctx context.Context, q *wasm.Query) error {
	return s.Query(ctx, []*wasm.Query{q})
}

// take gives a query its outcome.
func (s *statements) take(q *wasm.Query, a db.Answer) {
	if errors.Is(a.Err, db.ErrConflict) {
		s.conflict = a.Err
	}
	if a.Err != nil {
		s.fail(q, a.Err)
		return
	}
	q.Rows, q.Affected = a.Rows, a.Affected
	s.answers = append(s.answers, a)
}

// fail gives a query its error. Only what the arguments and the grants decide is
// the same whatever the tables hold.
func (s *statements) fail(q *wasm.Query, err error) {
	q.Err = err
	var errno abi.Errno
	if s.kind == db.Read && !errors.Is(err, db.ErrType) && !errors.As(err, &errno) {
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
	if out.Kind != wasm.OutputRows {
		return nil
	}
	var pending []*wasm.Query
	for _, q := range out.View.Queries() {
		if !q.Ran() {
			pending = append(pending, q)
		}
	}
	if len(pending) > 0 {
		if err := s.Query(ctx, pending); err != nil {
			return err
		}
	}
	return out.View.Check()
}

// outputError is the error that a guest returned. What is not public stays in
// the log.
func outputError(c *call, out *wasm.Output) error {
	if out.Err.Public {
		return out.Err
	}
	return fmt.Errorf("plugin %s, %s: %w", c.fn.Plugin.Name(), c.fn.Name, out.Err)
}
