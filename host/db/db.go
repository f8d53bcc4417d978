package db

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"weir/reactor"
)

// Config says where a tenant's SQL runs and within which bounds.
type Config struct {
	// URL of the primary, with the LOGIN role of the tenant. A pooler that gives
	// a transaction's statements to different servers must not be in between.
	URL string
	// Connections bounds the connections of this tenant. More work waits. When
	// all are taken, one more derives a read set that one of them waits for.
	// Default 16.
	Connections int
	// EpochExpr returns a scalar SQL expression that names the server's history
	// (C4), for a server version in the form of server_version_num. It is read in
	// every transaction. Nil: the epoch is empty and equals nothing.
	EpochExpr func(serverVersion int) string
	// SearchPath is the fixed search_path of every connection. Empty leaves the
	// role's own.
	SearchPath string
	// StatementTimeout stops a statement on the server, behind the deadline of
	// the caller's context. Default 10 s.
	StatementTimeout time.Duration
	// LockTimeout bounds the wait for one lock. Default 2 s.
	LockTimeout time.Duration
	// IdleTimeout ends a transaction whose owner does nothing. Default twice the
	// StatementTimeout.
	IdleTimeout time.Duration
	// ConnectTimeout bounds making one connection. Default 5 s.
	ConnectTimeout time.Duration
	// MaxRows bounds the rows of one result; one more is an error. Default
	// 10 000.
	MaxRows int
	// MaxResultBytes bounds the values of one result. Default 4 MiB.
	MaxResultBytes int
	// MaxStatements bounds prepared statements per connection; the one not used
	// for longest is closed. Default 512, at least 16.
	MaxStatements int
	// MaxAnalyses bounds analysed texts that are kept. Default 4096; above it
	// one that was not used for long is derived again on next use.
	MaxAnalyses int
	// Recapture is called when the read set of a query was derived again after a
	// change of the schema, before anything is read: the tables may be others
	// now, and must be captured. Its error is the query's. Nil: nothing is called.
	Recapture func(context.Context, []Watch) error
	// Logger gets one line per life event; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Connections = cmp.Or(max(c.Connections, 0), 16)
	c.StatementTimeout = cmp.Or(max(c.StatementTimeout, 0), 10*time.Second)
	c.LockTimeout = cmp.Or(max(c.LockTimeout, 0), 2*time.Second)
	c.IdleTimeout = cmp.Or(max(c.IdleTimeout, 0), 2*c.StatementTimeout)
	c.ConnectTimeout = cmp.Or(max(c.ConnectTimeout, 0), 5*time.Second)
	c.MaxRows = cmp.Or(max(c.MaxRows, 0), 10_000)
	c.MaxResultBytes = cmp.Or(max(c.MaxResultBytes, 0), 4<<20)
	c.MaxStatements = max(cmp.Or(max(c.MaxStatements, 0), 512), 16)
	c.MaxAnalyses = cmp.Or(max(c.MaxAnalyses, 0), 4096)
	if c.EpochExpr == nil {
		c.EpochExpr = func(int) string { return "null" }
	}
	if c.Recapture == nil {
		c.Recapture = func(context.Context, []Watch) error { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// DB runs the SQL of one tenant as one role. It is safe for concurrent use.
type DB struct {
	config   Config
	pool     *pool
	nextID   atomic.Uint64
	settings string // of the session in which plans are explained
	// resolveTimeout bounds how long the outcome of a lost COMMIT is asked for.
	resolveTimeout time.Duration

	waves, retries, failures atomic.Int64
	maxRows, maxBytes        atomic.Int64 // as configured now

	// generation counts the DDL changes and new epochs that were told. An analysis
	// that has not seen the newest is checked before it is used.
	generation atomic.Uint64

	mu       sync.Mutex // protects the fields below
	analyses map[analysisKey]*cached
	clock    uint64
	ddl      []uint64 // the newest transactions with DDL, at most maxDDL
	epoch    reactor.Epoch
}

// maxDDL bounds the DDL changes that are remembered. An analysis that was not
// used for longer than that is derived again.
const maxDDL = 256

// analysisKey is what an analysis depends on besides role and search path.
type analysisKey struct {
	text string
	kind Kind
	now  int
}

type cached struct {
	analysis *analysis
	used     uint64
}

// Stats counts what a DB did. It is a snapshot, not a view.
type Stats struct {
	Waves    int64 // read transactions of Wave
	Retries  int64 // transactions that were run again
	Failures int64 // statements that PostgreSQL refused
	Dials    int64 // connections made
	Cancels  int64 // statements cancelled on the server
	Waits    int64 // for a connection
	InUse    int   // connections
	Idle     int   // connections
	Analyses int   // texts whose read set is known
}

// Open returns a DB. It checks the URL and dials nothing, so that a server that
// is down at start is not an error; Ping dials.
func Open(_ context.Context, config Config) (*DB, error) {
	config = config.withDefaults()
	server, err := pgconn.ParseConfig(config.URL)
	if err != nil {
		return nil, fmt.Errorf("database url: %w", err)
	}
	server.ConnectTimeout = config.ConnectTimeout
	setSession(server, config)
	d := &DB{
		config: config, settings: explainSettings, resolveTimeout: 5 * time.Second, analyses: map[analysisKey]*cached{},
		pool: &pool{
			config: server, limit: config.MaxStatements, maxMessage: config.MaxResultBytes + 1<<20,
			slots: slots{limit: config.Connections},
		},
	}
	d.maxRows.Store(int64(config.MaxRows))
	d.maxBytes.Store(int64(config.MaxResultBytes))
	d.nextID.Store(firstID)
	return d, nil
}

// setSession fixes the settings of the connections.
func setSession(server *pgconn.Config, config Config) {
	millis := func(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
	for name, value := range map[string]string{
		"application_name":                    "weir",
		"client_encoding":                     "UTF8",
		"TimeZone":                            "UTC",
		"DateStyle":                           "ISO, YMD",
		"IntervalStyle":                       "postgres",
		"bytea_output":                        "hex",
		"extra_float_digits":                  "1",
		"standard_conforming_strings":         "on",
		"synchronize_seqscans":                "off", // R8
		"max_parallel_workers_per_gather":     "0",   // R8
		"jit":                                 "off",
		"statement_timeout":                   millis(config.StatementTimeout),
		"lock_timeout":                        millis(config.LockTimeout),
		"idle_in_transaction_session_timeout": millis(config.IdleTimeout),
	} {
		server.RuntimeParams[name] = value
	}
	if config.SearchPath != "" {
		server.RuntimeParams["search_path"] = config.SearchPath
	}
}

// Bounds are what Configure changes; each is as in Config.
type Bounds struct {
	Connections, MaxRows, MaxResultBytes int
	StatementTimeout                     time.Duration
}

// Configure changes the bounds while work is going on: statements that run keep
// those that they began with, connections in use their timeouts.
func (d *DB) Configure(b Bounds) {
	config := Config{
		Connections: b.Connections, MaxRows: b.MaxRows, MaxResultBytes: b.MaxResultBytes, StatementTimeout: b.StatementTimeout,
		LockTimeout: d.config.LockTimeout, SearchPath: d.config.SearchPath,
	}.withDefaults()
	d.maxRows.Store(int64(config.MaxRows))
	d.maxBytes.Store(int64(config.MaxResultBytes))
	d.pool.slots.resize(config.Connections)
	server := d.pool.server().Copy()
	setSession(server, config)
	if !maps.Equal(server.RuntimeParams, d.pool.server().RuntimeParams) || d.pool.largest() != config.MaxResultBytes+1<<20 {
		d.pool.configure(server, config.MaxResultBytes+1<<20)
	}
}

// Role returns the role that the SQL runs as.
func (d *DB) Role() string { return d.pool.server().User }

// Database returns the name of the database.
func (d *DB) Database() string { return d.pool.server().Database }

// Ping reports whether a read transaction on the primary works.
func (d *DB) Ping(ctx context.Context) error {
	ping := func() error {
		tx, err := d.Read(ctx)
		if err != nil {
			return err
		}
		defer tx.Close()
		return tx.Finish(ctx)
	}
	err := ping()
	if errors.Is(err, ErrUnstable) { // the first transaction after a failover
		err = ping()
	}
	return err
}

// Forget makes void what was derived from the schema before the DDL change xid
// was visible (R4). It is derived again when it is used next; Statement.Refresh
// does it now and says what no longer works.
func (d *DB) Forget(ddlXID uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ddl) == maxDDL {
		d.ddl = slices.Delete(d.ddl, 0, 1)
	}
	d.ddl = append(d.ddl, ddlXID)
	d.generation.Add(1)
}

// ForgetAll makes void all that was derived from the schema: changes of it may
// have been lost with the change log.
func (d *DB) ForgetAll() {
	d.pool.renew()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.generation.Add(maxDDL + 1)
	d.ddl = nil
}

// Redial lets the next transactions connect anew. The connections that are there
// may lead to a server that is the primary no longer, though it lives and answers
// (C4). Or a setting of the role or the database has changed: a session keeps those
// that it began with, and row security can read them (current_setting).
func (d *DB) Redial() { d.pool.renew() }

// fresh reports whether an analysis may be used. It is asked at each use and not
// told by Forget, because an analysis may be under way, or be held by a
// statement when the cache has dropped it.
func (d *DB) fresh(a *analysis) bool {
	if a.void.Load() {
		return false
	}
	if a.seen.Load() == d.generation.Load() {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	generation := d.generation.Load()
	missed := generation - a.seen.Load()
	if missed > uint64(len(d.ddl)) { // too many, or another epoch
		a.void.Store(true)
		return false
	}
	for _, xid := range d.ddl {
		if !a.derived.Visible(xid) {
			a.void.Store(true)
			return false
		}
	}
	a.seen.Store(generation)
	return true
}

// moved notes the epoch of a transaction and reports whether it is another one
// than before. Then nothing that was derived is comparable any more (C4).
func (d *DB) moved(epoch reactor.Epoch) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if epoch == d.epoch || epoch == "" {
		return false
	}
	first := d.epoch == ""
	d.epoch = epoch
	if first {
		return false
	}
	d.generation.Add(maxDDL + 1)
	d.ddl = nil
	d.config.Logger.Warn("the database server's history changed: every read set is derived again")
	return true
}

// Close closes idle connections and waits for statements that are being
// cancelled. Connections in use are closed when they are given back. It may be
// called twice.
func (d *DB) Close() { d.pool.close() }

// Stats returns counters and gauges.
func (d *DB) Stats() Stats {
	d.mu.Lock()
	analyses := len(d.analyses)
	d.mu.Unlock()
	s := d.pool.stats()
	s.Waves, s.Retries, s.Failures = d.waves.Load(), d.retries.Load(), d.failures.Load()
	s.Analyses = analyses
	return s
}

// analysis returns what is known of a text, deriving it if need be.
func (d *DB) analysis(ctx context.Context, key analysisKey) (*analysis, error) {
	d.mu.Lock()
	c := d.analyses[key]
	if c != nil {
		d.clock++
		c.used = d.clock
	}
	d.mu.Unlock()
	if c != nil && d.fresh(c.analysis) {
		return c.analysis, nil
	}
	a, err := d.analyse(ctx, origin{text: key.text, kind: key.kind, now: key.now})
	if err == nil {
		err = d.list(ctx, a)
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.analyses[key] == nil && len(d.analyses) >= d.config.MaxAnalyses {
		var oldest analysisKey
		least := d.clock + 1
		for k, c := range d.analyses {
			if c.used < least {
				oldest, least = k, c.used
			}
		}
		delete(d.analyses, oldest)
	}
	d.clock++
	d.analyses[key] = &cached{analysis: a, used: d.clock}
	return a, nil
}

// drop forgets one analysis, because the server said that it no longer fits.
func (d *DB) drop(a *analysis) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a.void.Store(true)
	for key, c := range d.analyses {
		if c.analysis == a {
			delete(d.analyses, key)
		}
	}
}

// WakeAt is the earliest time at which one of the answers asks to run again; zero
// is never.
func WakeAt(answers []Answer) time.Time {
	var first time.Time
	for i := range answers {
		first = earlier(first, answers[i].WakeAt)
	}
	return first
}

// ReadSet joins the read sets of a call's answers. It is void as soon as the
// oldest of them is.
func ReadSet(answers []Answer) reactor.ReadSet {
	var set reactor.ReadSet
	for i := range answers {
		a := &answers[i]
		if a.Derived.IsZero() {
			continue // failed before anything was read
		}
		set.Atoms = append(set.Atoms, a.Reads...)
		if set.Derived.IsZero() || set.Derived.Compare(a.Derived) > 0 {
			set.Derived = a.Derived
		}
	}
	return set
}
