package changelog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/reactor"
)

// Listener reads the change log of one database and delivers batches, for ever.
// Its methods are safe for concurrent use.
type Listener struct {
	cfg    Config
	dialer *dialer
	poke   chan struct{} // capacity 1: many pokes, one read
	redial chan struct{} // capacity 1: the session ends
	live   atomic.Bool

	mu      sync.Mutex // protects the fields below
	stats   Stats
	pending []reactor.Change // noticed by the keeper, for the next batch
	look    chan struct{}    // DDL was read: the keeper looks at once

	// Owned by Run's goroutine: where the reading stands. The zero cursor means
	// that the next batch is a resync.
	cursor reactor.Snapshot
	epoch  reactor.Epoch
	gap    int64
	elders elders
}

// NewListener returns a Listener that has not connected.
func NewListener(cfg Config) (*Listener, error) {
	if cfg.Deliver == nil {
		return nil, errors.New("changelog: Config.Deliver is missing")
	}
	if _, err := pgx.ParseConfig(cfg.URL); err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	cfg = cfg.withDefaults()
	return &Listener{
		cfg: cfg, dialer: newDialer(cfg.Heartbeat),
		poke: make(chan struct{}, 1), redial: make(chan struct{}, 1), look: make(chan struct{}, 1),
	}, nil
}

// Poke asks for a read that begins after this call, at once. Calls before that
// read begins are one.
func (l *Listener) Poke() {
	select {
	case l.poke <- struct{}{}:
	default: // one is already waiting, and its read has not begun
	}
}

// Redial asks for another connection: the one that is there may lead to a server
// that is the primary no longer, though it lives and answers (C4).
func (l *Listener) Redial() {
	select {
	case l.redial <- struct{}{}:
	default: // it is asked for
	}
}

// SetLive says whether any group lives: reads are then Live apart, else Idle.
func (l *Listener) SetLive(live bool) {
	if l.live.Swap(live) != live && live {
		l.Poke()
	}
}

// Stats returns a copy of the counters and the state.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Uncaptured = maps.Clone(s.Uncaptured)
	return s
}

// Run reads until ctx ends, and returns its error. It reconnects for ever; only
// State tells what is wrong meanwhile. The first batch is a resync.
func (l *Listener) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	// Nothing waits for a half-open connection when we leave.
	defer func() { l.dialer.cut(); wg.Wait() }()
	wg.Go(func() { newKeeper(l).run(ctx) })
	wait := time.Duration(0)
	for ctx.Err() == nil {
		began := time.Now()
		err := l.session(ctx, &wg)
		if ctx.Err() != nil {
			break
		}
		l.failed(err)
		if time.Since(began) > l.cfg.MaxBackoff {
			wait = 0 // it worked for a while
		}
		wait = min(max(2*wait, 50*time.Millisecond), l.cfg.MaxBackoff)
		l.sleep(ctx, wait/2+rand.N(wait))
	}
	return ctx.Err()
}

// session reads over one connection until something fails.
func (l *Listener) session(ctx context.Context, wg *sync.WaitGroup) error {
	connecting, cancel := context.WithTimeout(ctx, 2*l.cfg.Heartbeat)
	defer cancel()
	conn, err := connect(connecting, l.cfg.URL, l.dialer)
	if err != nil {
		return err
	}
	defer func() {
		closeConn(conn)
		wg.Go(func() { <-conn.PgConn().CleanupDone() })
	}()
	r := newReader(serverVersion(conn))
	if err := l.within(ctx, func(ctx context.Context) error {
		if err := fits(ctx, conn); err != nil {
			return err
		}
		if err := mark(ctx, conn, l.cfg.Retention); err != nil {
			return err
		}
		return l.cfg.Capture.load(ctx, conn)
	}); err != nil {
		return err
	}
	l.count(func(s *Stats) { s.Reconnects++ })
	l.cfg.Logger.Info("change log is read", "database", conn.Config().Database)
	for {
		began := time.Now()
		if err := l.turn(ctx, conn, r); err != nil {
			return err
		}
		if err := l.pause(ctx, began); err != nil {
			return err
		}
	}
}

// turn does one read and delivers it.
func (l *Listener) turn(ctx context.Context, conn *pgx.Conn, r *reader) error {
	var batch reactor.Batch
	pending := l.takePending() // before the read: its snapshot then covers them
	err := l.within(ctx, func(ctx context.Context) (err error) {
		if l.cfg.hooks.reading != nil {
			l.cfg.hooks.reading()
		}
		batch, err = l.read(ctx, conn, r)
		return err
	})
	if err != nil {
		l.addPending(pending...)
		return err
	}
	batch.Changes = append(batch.Changes, pending...)
	l.succeeded(batch)
	if err := l.cfg.Deliver(ctx, batch); err != nil {
		l.cursor = reactor.Snapshot{} // the batch is lost: start over
		return fmt.Errorf("deliver changes: %w", err)
	}
	return nil
}

// within bounds one exchange with the server (half-open connections, F4).
func (l *Listener) within(ctx context.Context, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeoutCause(ctx, l.cfg.Heartbeat, errSilent)
	defer cancel()
	err := f(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return fmt.Errorf("%w: %w", errSilent, err)
	}
	return err
}

var (
	errSilent = errors.New("the database did not answer in time")
	errRedial = errors.New("what runs read is of another history: connecting anew")
	errMoved  = errors.New("the log is read from another server")
)

// read makes the next batch. The order matters: what tells that changes were
// lost comes from the same statement as the changes.
func (l *Listener) read(ctx context.Context, conn *pgx.Conn, r *reader) (reactor.Batch, error) {
	if l.cursor.IsZero() {
		return l.resync(ctx, conn, r)
	}
	p, err := r.since(ctx, conn, l.cursor, l.cfg.MaxRows)
	if err != nil {
		return reactor.Batch{}, err
	}
	switch {
	case !l.epoch.Same(p.epoch), // C4
		p.gap != l.gap,              // C6
		!l.cursor.Covers(p.trimmed), // C5
		!p.snapshot.Covers(l.cursor):
		return l.resync(ctx, conn, r)
	}
	if p.late {
		if err := mark(ctx, conn, l.cfg.Retention); err != nil {
			return reactor.Batch{}, err
		}
	}
	if len(l.elders.left) > 0 && time.Since(l.elders.checked) > min(time.Second, l.cfg.Heartbeat/2) {
		ended, err := l.elders.check(ctx, conn)
		if err != nil {
			return reactor.Batch{}, err
		}
		if ended {
			return l.fresh(ctx, conn, r)
		}
	}
	return l.batch(ctx, conn, p)
}

// batch turns a page into a batch. Definitions are read again before rows that
// may already follow them.
func (l *Listener) batch(ctx context.Context, conn *pgx.Conn, p page) (reactor.Batch, error) {
	b := reactor.Batch{Epoch: p.epoch, Snapshot: p.snapshot, Began: p.began}
	tables := l.cfg.Capture.Tables()
	ddl := false
	for i := range p.rows {
		_, known := tables[p.rows[i].rel]
		ddl = ddl || p.rows[i].op == 'X' || !known
	}
	if ddl {
		if err := l.cfg.Capture.load(ctx, conn); err != nil {
			return b, err
		}
		tables = l.cfg.Capture.Tables()
		l.lookNow()
	}
	var own uint64
	if p.crowded {
		// A number for all of them: assigned after this snapshot, so no result
		// that lacks one of the changes sees it, and committed before the batch
		// is delivered, so every later result does.
		var err error
		if own, err = burn(ctx, conn); err != nil {
			return b, err
		}
		l.count(func(s *Stats) { s.Collapsed++ })
	}
	b.Changes = make([]reactor.Change, 0, len(p.rows))
	for i := range p.rows {
		if l.cfg.Seen != nil && !p.crowded {
			l.cfg.Seen(p.rows[i].age)
		}
		c := p.rows[i].change(tables)
		if p.crowded {
			c.XID = own
		}
		b.Changes = append(b.Changes, c)
	}
	l.cursor = p.snapshot
	return b, nil
}

// burn takes and commits a transaction number.
func burn(ctx context.Context, conn *pgx.Conn) (xid uint64, err error) {
	err = conn.QueryRow(ctx, `select pg_current_xact_id()::text::bigint`).Scan(&xid)
	return xid, err
}

// resync starts over where the log stands now.
func (l *Listener) resync(ctx context.Context, conn *pgx.Conn, r *reader) (reactor.Batch, error) {
	l.cursor = reactor.Snapshot{}
	if err := mark(ctx, conn, l.cfg.Retention); err != nil {
		return reactor.Batch{}, err
	}
	p, err := r.start(ctx, conn)
	if err != nil {
		return reactor.Batch{}, err
	}
	// A new gap, or the first batch: transactions that are open now may have
	// skipped the log before somebody's mark. Then read the place again: it must
	// see those that just ended.
	if l.epoch == "" || l.gap != p.gap {
		if err := l.elders.begin(ctx, conn); err != nil {
			return reactor.Batch{}, err
		}
	}
	// The gap counted before the elders were: a later one starts over again.
	l.gap = p.gap
	return l.fresh(ctx, conn, r)
}

// fresh returns a resync batch at a new snapshot.
func (l *Listener) fresh(ctx context.Context, conn *pgx.Conn, r *reader) (reactor.Batch, error) {
	p, err := r.start(ctx, conn)
	if err != nil {
		return reactor.Batch{}, err
	}
	if len(l.elders.left) == 0 && l.cfg.hooks.settled != nil {
		l.cfg.hooks.settled()
	}
	l.cursor, l.epoch = p.snapshot, p.epoch
	l.lookNow()
	return reactor.Batch{Epoch: p.epoch, Snapshot: p.snapshot, Began: p.began, Resync: true}, nil
}

// pause waits for the time of the next read, a poke or the end.
func (l *Listener) pause(ctx context.Context, began time.Time) error {
	interval := l.cfg.Idle
	if l.live.Load() {
		interval = l.cfg.Live
	}
	timer := time.NewTimer(time.Until(began.Add(interval)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.redial:
		return errRedial
	case <-l.poke:
	case <-timer.C:
		// This read serves a poke that came meanwhile.
		select {
		case <-l.poke:
		default:
		}
	}
	return nil
}

func (l *Listener) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (l *Listener) takePending() []reactor.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	pending := l.pending
	l.pending = nil
	return pending
}

func (l *Listener) addPending(changes ...reactor.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, changes...)
}

func (l *Listener) lookNow() {
	select {
	case l.look <- struct{}{}:
	default:
	}
}

func (l *Listener) count(f func(*Stats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.stats)
}

func (l *Listener) succeeded(b reactor.Batch) {
	l.setState(func(s *Stats) bool {
		was := s.Healthy
		s.Healthy, s.Err, s.LastRead = true, nil, b.Began
		s.Reads++
		s.Changes += int64(len(b.Changes))
		if b.Resync {
			s.Resyncs++
		}
		s.Cursor, s.Epoch = b.Snapshot, b.Epoch
		return !was
	})
}

func (l *Listener) failed(err error) {
	var pg *pgconn.PgError
	if missingSchema(err) && errors.As(err, &pg) {
		err = fmt.Errorf("%w (%s)", ErrNotSetUp, pg.Message)
	}
	l.cfg.Logger.Warn("change log cannot be read", "err", err)
	l.setState(func(s *Stats) bool {
		was := s.Healthy || s.Err == nil
		s.Healthy, s.Err = false, err
		return was
	})
}

// setState changes the stats and tells the state if f says that it is news.
func (l *Listener) setState(f func(*Stats) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f(&l.stats) {
		s := l.stats.State
		s.Uncaptured = maps.Clone(s.Uncaptured)
		l.cfg.State(s) // under the lock: states arrive in order
	}
}
