package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"weir/abi"
	"weir/host/tenant"
	"weir/reactor"
)

// errShape says that a statement does not fit its tables any longer: there was
// DDL of which no change was seen yet.
var errShape = errors.New("the tables changed under the statement")

// Query is one execution of a statement.
type Query struct {
	Statement *Statement
	// Args are in the order of Statement.Names. They are checked against
	// PostgreSQL's own types: what does not fit is ErrType, never coerced.
	Args []abi.Value
	// Now is $now. Zero means the time of the call.
	Now time.Time
}

// Answer is what came of a Query. If Err is set, only Cost counts.
type Answer struct {
	Rows *Rows
	// Affected is the number of rows that a writing statement touched.
	Affected int64
	// Reads is what the rows depend on, bound with the arguments; Derived is the
	// snapshot before the schema was looked at for it (R4).
	Reads   []reactor.Atom
	Derived reactor.Snapshot
	// WakeAt is when a statement that uses $now asks to run again; zero is never.
	WakeAt time.Time
	Cost   time.Duration // of this statement in its pipeline
	Err    error
}

// job is a Query on its way.
type job struct {
	query    *Query
	analysis *analysis
	args     []argument
	now      time.Time // $now
	fresh    bool      // the analysis was made for this job
	parent   *job      // of a nested statement
	nest     *nest
	kids     []*job

	rows *Rows
	cost time.Duration
	err  error
}

// answer returns the result, children attached.
func (j *job) answer() Answer {
	out := Answer{Cost: j.cost, Err: j.err}
	for _, kid := range j.kids {
		a := kid.answer()
		out.Cost += a.Cost
		if out.Err == nil {
			out.Err = a.Err
		}
		if a.Err == nil {
			out.Reads = append(out.Reads, a.Reads...)
			if out.Derived.IsZero() || out.Derived.Compare(a.Derived) > 0 {
				out.Derived = a.Derived
			}
			if j.rows != nil {
				if j.rows.count > 0 {
					out.WakeAt = earlier(out.WakeAt, a.WakeAt)
				}
				j.rows = j.rows.Nest(kid.nest.name, kid.nest.on, a.Rows, kid.nest.column)
			}
		}
	}
	if out.Err != nil {
		return Answer{Cost: out.Cost, Err: out.Err}
	}
	out.Rows, out.Affected = j.rows, j.rows.affected()
	out.WakeAt = earlier(out.WakeAt, j.wakeAt())
	for i := range j.analysis.atoms {
		if atom, ok := j.analysis.atoms[i].bind(j.args); ok {
			out.Reads = append(out.Reads, atom)
		}
	}
	if out.Derived.IsZero() || out.Derived.Compare(j.analysis.derived) > 0 {
		out.Derived = j.analysis.derived
	}
	return out
}

// emptyWake is how soon a statement that uses $now runs again when it has no
// row that could say when: what it waits for may be a row that $now still hides.
const emptyWake = 10 * time.Second

// wakeAt is when the result changes by the clock alone (DESIGN.md 13).
func (j *job) wakeAt() time.Time {
	if !j.query.Statement.UsesNow() {
		return time.Time{}
	}
	if j.rows.count == 0 {
		return j.now.Add(emptyWake)
	}
	at, _ := j.rows.WakeAt()
	return at
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// session is one transaction on one connection. It is owned by one goroutine.
type session struct {
	db    *DB
	c     *conn
	write bool

	begun    bool
	over     bool
	failed   error // the transaction is aborted
	snapshot reactor.Snapshot
	epoch    reactor.Epoch
	leaves   []uint32
	xid      uint64 // of a writing transaction, once it has one
}

// round is what one flush runs.
type round struct {
	jobs []*job
	head bool // begin and snapshot first
	tail bool // check (R9) and rollback last
	// careful puts each job behind a savepoint of its own, so that one that fails
	// does not spoil the others.
	careful bool
}

func (d *DB) open(ctx context.Context, write, fresh bool) (*session, error) {
	c, err := d.pool.take(ctx, fresh)
	if err != nil {
		return nil, err
	}
	return &session{db: d, c: c, write: write}, nil
}

// run does one round trip. An error ends the session's use, except those that
// are in the jobs.
func (s *session) run(ctx context.Context, r round) error {
	if err := ctx.Err(); err != nil {
		s.failed = fault("run the statements", err)
		return s.failed
	}
	stop := s.c.watch(ctx)
	s.send(r)
	err := s.c.flush()
	if err != nil {
		s.c.broken = true
	} else {
		err = s.receive(r)
		if end := s.c.drain(); err == nil {
			err = end
		}
	}
	stopped := stop()
	switch {
	case err == nil && !stopped:
		s.begun = true
		return nil
	case stopped:
		// The deadline of the connection has passed too, whatever came in time.
		s.c.broken = true
		err = fault("run the statements", fmt.Errorf("%w: %w", ctx.Err(), cmpErr(err)))
	default:
		err = fault("run the statements", err)
	}
	s.failed = err
	return err
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("the answer came too late")
	}
	return err
}

// head is the command that says what a transaction sees, of which history.
func (d *DB) head(c *conn) *command {
	if c.snapshot == nil {
		c.snapshot = &command{id: snapshotID, text: "select pg_current_snapshot()::text, (" +
			d.config.EpochExpr(c.version()) + ")::text, pg_is_in_recovery()::text"}
	}
	return c.snapshot
}

func (s *session) send(r round) {
	if r.head {
		begin := beginRead
		if s.write {
			begin = beginWrite
		}
		s.c.run(begin, nil, 0)
		s.c.run(s.db.head(s.c), nil, 0)
		if r.careful {
			s.c.sync()
		}
	}
	most := uint32(s.db.maxRows.Load()) + 1
	for _, j := range r.jobs {
		for _, oid := range j.analysis.leaves {
			if i, found := slices.BinarySearch(s.leaves, oid); !found {
				s.leaves = slices.Insert(s.leaves, i, oid)
			}
		}
		if r.careful {
			s.c.run(savepoint, nil, 0)
		}
		s.c.run(&j.analysis.command, j.args, most)
		if r.careful {
			s.c.sync()
			s.c.run(rollbackTo, nil, 0)
			s.c.sync()
		}
	}
	if s.write {
		s.c.run(assigned, nil, 0)
	}
	if r.tail {
		if len(s.leaves) > 0 {
			s.c.check(s.leaves)
		}
		s.c.run(rollback, nil, 0)
	}
	s.c.sync()
}

// receive reads the answers in the order of send.
func (s *session) receive(r round) error {
	if r.head {
		if err := s.receiveHead(); err != nil {
			return err
		}
		if r.careful {
			if err := s.c.ready(); err != nil {
				return err
			}
		}
	}
	last := time.Now()
	for _, j := range r.jobs {
		err := s.receiveJob(j, r.careful)
		now := time.Now()
		j.cost, last = now.Sub(last), now
		if err != nil {
			return err
		}
	}
	if s.write {
		rows, err := s.c.texts()
		if err != nil {
			return err
		}
		if len(rows) == 1 && rows[0][0] != "" {
			s.xid = parseXID(rows[0][0])
		}
	}
	if r.tail {
		return s.receiveTail()
	}
	return nil
}

func (s *session) receiveHead() error {
	if _, err := s.c.read(nil); err != nil {
		return err
	}
	rows, err := s.c.texts()
	if err != nil {
		return err
	}
	if len(rows) != 1 || len(rows[0]) != 3 {
		return fmt.Errorf("BUG: the snapshot statement returned %d rows", len(rows))
	}
	if rows[0][2] == "true" {
		// R10: a standby's snapshot leaves out open transactions.
		return fmt.Errorf("%w: the server is a standby, connect to the primary", ErrUnavailable)
	}
	s.epoch = reactor.Epoch(rows[0][1])
	if s.snapshot, err = reactor.ParseSnapshot(rows[0][0]); err != nil {
		return err
	}
	if s.db.moved(s.epoch) { // C4: the statements were derived in another history
		return unstable("begin: the server's history is another one")
	}
	return nil
}

// receiveJob reads one statement's rows. The error is that of the transaction;
// what concerns only this statement is in the job.
func (s *session) receiveJob(j *job, careful bool) error {
	if careful {
		if _, err := s.c.read(nil); err != nil {
			return err
		}
	}
	j.rows, j.err = j.analysis.room(), nil
	sink := collector{rows: j.rows, limit: int(s.db.maxRows.Load()), maxSize: int(s.db.maxBytes.Load())}
	done, err := s.c.read(sink.add)
	j.rows.tag = done.tag
	j.analysis.size.Store(uint64(len(j.rows.arena))<<32 | uint64(len(j.rows.cells)))
	if err != nil {
		err = s.blame(j, err)
		if err != nil && !careful || s.c.broken {
			return err
		}
	}
	if !careful {
		return nil
	}
	if err := s.c.ready(); err != nil {
		return err
	}
	if _, err := s.c.read(nil); err != nil { // rollback to
		return err
	}
	return s.c.ready()
}

// blame puts an error into the job that caused it, and returns it if it is the
// transaction's too.
func (s *session) blame(j *job, err error) error {
	j.rows = nil
	var large *pgproto3.ExceededMaxBodyLenErr
	if errors.As(err, &large) {
		err = fmt.Errorf("%w: one row of %d bytes", tenant.ErrResultTooLarge, large.ActualBodyLen)
	}
	if s.c.broken && large == nil {
		return err
	}
	if errors.Is(err, errShape) || !j.fresh && stale(sqlState(err)) {
		// R4: DDL that no change has told of yet. The next use derives again.
		s.db.drop(j.analysis)
		err = &Error{code: abi.SQLError, what: "run", is: ErrUnstable, err: fmt.Errorf("%w: %w", errShape, err)}
	}
	j.err = j.query.Statement.sentence(fault("run", err))
	s.db.failures.Add(1)
	if sqlState(err) == "" && large == nil {
		return nil // ours: too many rows; the transaction goes on
	}
	return j.err
}

// stale reports whether a statement that PostgreSQL has accepted before may be
// refused with that state because the schema is another one now: its plan must
// not change its result, it was forgotten, it has other columns than those whose
// formats are asked for, or it is wrong. A right that is gone is gone.
func stale(state string) bool {
	switch state {
	case "0A000", "26000", "08P01":
		return true
	case "42501":
		return false
	}
	return strings.HasPrefix(state, "42")
}

func (s *session) receiveTail() error {
	rewrote := false
	if len(s.leaves) > 0 {
		rows, err := s.c.texts()
		if err != nil {
			return err
		}
		rewrote = len(rows) > 0
	}
	if _, err := s.c.read(nil); err != nil {
		return err
	}
	s.over = true
	if rewrote {
		return unstable("read the tables")
	}
	return nil
}

func unstable(what string) error {
	return &Error{code: abi.Unavailable, what: what, is: ErrUnstable, err: ErrUnstable}
}

// all runs jobs and what is nested in them, level by level, in the session's
// transaction. tail ends it.
func (s *session) all(ctx context.Context, jobs []*job, tail, careful bool) error {
	level := jobs
	for range abi.MaxNest + 2 {
		deeper := slices.ContainsFunc(level, func(j *job) bool { return len(j.query.Statement.nest) > 0 })
		if err := s.run(ctx, round{jobs: level, head: !s.begun, tail: tail && !deeper, careful: careful}); err != nil {
			return err
		}
		if !deeper {
			return nil
		}
		var next []*job
		for _, j := range level {
			next = append(next, j.children(ctx)...)
		}
		level = next
		if len(next) == 0 {
			break
		}
	}
	if !tail {
		return nil
	}
	return s.run(ctx, round{tail: true})
}

// children makes the jobs of the statements nested in a job that has its rows.
func (j *job) children(ctx context.Context) []*job {
	j.kids = nil
	if j.err != nil || j.rows == nil {
		return nil
	}
	for i := range j.query.Statement.nest {
		n := &j.query.Statement.nest[i]
		kid, err := n.child.bind(ctx, &Query{Statement: n.child, Args: []abi.Value{j.rows.parents(n.on)}, Now: j.now})
		if err != nil {
			j.err = err
			return nil
		}
		kid.parent, kid.nest = j, n
		j.kids = append(j.kids, kid)
	}
	return j.kids
}

// close gives the connection back. What is open is rolled back; after an error
// or at a deadline the connection is not used again.
func (s *session) close() {
	c := s.c
	if c == nil {
		return
	}
	s.c = nil
	switch {
	case s.failed != nil && errors.Is(s.failed, context.Canceled), s.failed != nil && errors.Is(s.failed, context.DeadlineExceeded):
		s.db.pool.kill(c)
		return
	case c.broken:
	case s.failed != nil && !errors.Is(s.failed, ErrConflict) && !errors.Is(s.failed, ErrUnstable),
		errors.Is(s.failed, errShape): // what else it has prepared may be stale too
		c.broken = true
	case s.begun && !s.over || s.failed != nil && !s.over:
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		stop := c.watch(ctx)
		c.run(rollback, nil, 0)
		c.sync()
		err := c.flush()
		if err == nil {
			_, err = c.read(nil)
		}
		if err == nil {
			err = c.drain()
		}
		c.broken = c.broken || stop() || err != nil
	}
	s.db.pool.give(c)
}
