package db

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"weir/abi"
	"weir/reactor"
)

var errOver = errors.New("the transaction is over")

// WriteTx is the transaction of a mutation, at REPEATABLE READ. It begins with
// the first Query. It is owned by one goroutine. Commit or Close must be called;
// Close without Commit rolls back.
type WriteTx struct {
	s *session
}

// Write takes a connection for a mutation.
func (d *DB) Write(ctx context.Context) (*WriteTx, error) {
	s, err := d.open(ctx, true, false)
	if err != nil {
		return nil, err
	}
	return &WriteTx{s: s}, nil
}

// Query runs statements of either kind in order, in one round trip, as
// ReadTx.Query does. A serialization failure is ErrConflict: the mutation may be
// tried again in a new transaction.
func (t *WriteTx) Query(ctx context.Context, queries []Query) ([]Answer, error) {
	return t.s.queries(ctx, queries)
}

// Exec runs one statement. Rows holds what RETURNING gave.
func (t *WriteTx) Exec(ctx context.Context, q Query) (Answer, error) {
	answers, err := t.s.queries(ctx, []Query{q})
	if err != nil {
		return Answer{}, err
	}
	return answers[0], answers[0].Err
}

// Snapshot returns what the transaction sees. It is zero before the first Query.
func (t *WriteTx) Snapshot() reactor.Snapshot { return t.s.snapshot }

// Epoch returns the history that the snapshot and the transaction belong to.
func (t *WriteTx) Epoch() reactor.Epoch { return t.s.epoch }

// Stable checks that no table which was read so far had been rewritten between
// the transaction's snapshot and the read (R9): then rows were missing that
// neither the old nor the new state of the table misses, and with ErrUnstable
// nothing that was read may be used. Afterwards the locks of the reads keep the
// tables as they are.
func (t *WriteTx) Stable(ctx context.Context) error {
	s := t.s
	switch {
	case s.c == nil:
		return fault("check the tables", errOver)
	case s.failed != nil:
		return s.failed
	case len(s.leaves) == 0:
		return nil
	}
	rewrote, err := s.rewrote(ctx)
	switch {
	case err != nil:
		s.failed = fault("check the tables", err)
	case rewrote:
		s.failed = unstable("read the tables")
	}
	return s.failed
}

func (s *session) rewrote(ctx context.Context) (bool, error) {
	defer s.c.watched(ctx)()
	s.c.check(s.leaves)
	s.c.sync()
	if err := s.c.flush(); err != nil {
		s.c.broken = true
		return false, err
	}
	rows, err := s.c.texts()
	if end := s.c.drain(); err == nil {
		err = end
	}
	return len(rows) > 0, err
}

// Commit commits and returns the transaction's number, 0 if it wrote nothing.
// If the connection is lost meanwhile, the server is asked what became of it
// (F11): one that did not commit is ErrConflict, because the same work may be done
// again; one of which nobody can tell is ErrUnknownOutcome.
func (t *WriteTx) Commit(ctx context.Context) (xid uint64, err error) {
	s := t.s
	if s.c == nil {
		return 0, fault("commit", errOver)
	}
	defer s.close()
	if s.failed != nil {
		return 0, s.failed
	}
	if !s.begun {
		return 0, nil
	}
	tag, err := s.commit(ctx)
	switch {
	case err == nil && tag == "COMMIT":
		return s.xid, nil
	case err == nil:
		return 0, &Error{code: abi.SQLError, what: "commit", err: fmt.Errorf("the server answered %q", tag)}
	case sqlState(err) != "" && !s.c.broken:
		return 0, fault("commit", err)
	case s.xid == 0:
		return 0, nil // nothing was written: there is nothing to lose
	}
	if err := s.resolve(ctx, err); err != nil {
		return 0, err
	}
	return s.xid, nil
}

// Close gives up the transaction: it rolls back. After Commit it does nothing.
func (t *WriteTx) Close() { t.s.close() }

func (s *session) commit(ctx context.Context) (string, error) {
	defer s.c.watched(ctx)()
	s.c.run(commit, nil, 0)
	s.c.sync()
	if err := s.c.flush(); err != nil {
		s.c.broken = true
		return "", err
	}
	done, err := s.c.read(nil)
	if end := s.c.drain(); err == nil {
		err = end
	}
	s.over = err == nil
	return done.tag, err
}

// resolve finds out what became of a transaction whose COMMIT got no answer. It
// goes on after the caller's deadline, because the answer decides whether the
// work may be done again.
func (s *session) resolve(ctx context.Context, lost error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.db.resolveTimeout)
	defer cancel()
	s.close() // a connection may be needed
	wait := 10 * time.Millisecond
	for {
		status, epoch, err := s.db.status(ctx, s.xid)
		switch {
		case err == nil && !epoch.Same(s.epoch) && epoch != s.epoch:
			// C4: in another history the number may belong to another transaction.
			return unknown(lost)
		case err == nil && status == "committed":
			return nil
		case err == nil && status == "aborted":
			return &Error{code: abi.Conflict, what: "commit: the transaction was ended", is: ErrConflict, err: lost}
		case err == nil && status == "":
			return unknown(lost)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return unknown(lost)
		case <-timer.C:
			wait = min(2*wait, 200*time.Millisecond)
		}
	}
}

func unknown(lost error) error {
	return &Error{code: abi.OutcomeUnknown, what: ErrUnknownOutcome.Error(), is: ErrUnknownOutcome, err: lost}
}

// status asks on another connection.
func (d *DB) status(ctx context.Context, xid uint64) (string, reactor.Epoch, error) {
	s, err := d.open(ctx, false, true)
	if err != nil {
		return "", "", err
	}
	defer s.close()
	if err := s.run(ctx, round{head: true}); err != nil {
		return "", "", err
	}
	rows, err := s.c.query(ctx, "select pg_xact_status($1::text::xid8)::text", argument{wire: strconv.AppendUint(nil, xid, 10)})
	if err != nil {
		return "", "", fault("ask for the transaction's status", err)
	}
	return rows[0][0], s.epoch, nil
}

func parseXID(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // a number that PostgreSQL printed
	return n
}
