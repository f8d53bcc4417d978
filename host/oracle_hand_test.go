package host

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb/devdbtest"
)

// oracleHand writes what a schema draws, on connections of its own.
type oracleHand struct {
	*oracleSchema
	t     *testing.T
	seed  uint64
	gid   string // begins the names of prepared transactions; "" if the server has none
	conns []*pgx.Conn
	long  *pgx.Conn // has a transaction open, or nil
	ready string    // a transaction that is prepared and not ended, or ""

	mu     sync.Mutex // protects the fields below
	trail  []string   // what was written since the last check
	defs   []string   // definitions that were changed, since the start
	counts handCounts
}

// handCounts are what a hand has done.
type handCounts struct{ transactions, failed, ddl, prepared, copied int }

func (c *handCounts) add(o handCounts) {
	c.transactions += o.transactions
	c.failed += o.failed
	c.ddl += o.ddl
	c.prepared += o.prepared
	c.copied += o.copied
}

func (c handCounts) String() string {
	return fmt.Sprintf("%d transactions (%d more failed, %d were DDL, %d in two phases, %d rows copied)",
		c.transactions, c.failed, c.ddl, c.prepared, c.copied)
}

// newOracleHand connects, and fills a database that has the schema.
func newOracleHand(t *testing.T, s *oracleSchema, seed uint64, server devdbtest.DB) *oracleHand {
	t.Helper()
	h := &oracleHand{oracleSchema: s, t: t, seed: seed}
	for range 4 {
		conn := server.Conn(t)
		h.must(conn, "set lock_timeout = '20ms'; set deadlock_timeout = '10ms'; set timezone = 'Asia/Tokyo'")
		h.conns = append(h.conns, conn)
	}
	for range 140 {
		_, _ = h.conns[0].Exec(t.Context(), h.write1(), pgx.QueryExecModeSimpleProtocol) // many break a constraint
	}
	var most int
	if err := h.conns[0].QueryRow(t.Context(), "select current_setting('max_prepared_transactions')::int").Scan(&most); err != nil {
		t.Fatal(err)
	}
	if most > 0 {
		h.gid = server.Name
		t.Cleanup(func() { // the database cannot be dropped with it
			if h.ready != "" {
				server.Exec(t, "rollback prepared '"+h.ready+"'")
			}
		})
	}
	return h
}

// write1 is a write that is a statement by itself.
func (h *oracleHand) write1() string {
	for {
		if sql := h.write(); !strings.HasPrefix(sql, "copy ") {
			return sql
		}
	}
}

func (h *oracleHand) must(conn *pgx.Conn, sql string) {
	h.t.Helper()
	if _, err := conn.Exec(h.t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		h.t.Fatalf("seed %d: %s: %v", h.seed, sql, err)
	}
}

// How a transaction is written.
type manner int

const (
	alone  manner = iota // nobody else writes
	kept                 // it is left open
	amid                 // others write at the same time
	guided               // as alone, and never in two phases
)

// locking reports whether a statement locks a table against readers: left open,
// the next check would wait for it.
func locking(sql string) bool {
	return strings.Contains(sql, "truncate ") || strings.Contains(sql, "vacuum ") || strings.Contains(sql, "create temp ")
}

// transaction writes on a connection: some statements, with savepoints, and
// sometimes given up at the end.
func (h *oracleHand) transaction(conn *pgx.Conn, rng *oracleSchema, how manner) {
	ctx := h.t.Context()
	var script []string
	write := func() string {
		for {
			if sql := rng.write(); how != kept || !locking(sql) {
				return sql
			}
		}
	}
	run := func(sql string) error {
		script = append(script, sql)
		if table, ok := strings.CutPrefix(sql, "copy "); ok {
			return h.copy(ctx, conn, rng, table)
		}
		_, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	if rng.chance(40) && how != kept { // a statement that is its own transaction
		h.ended(run(write()), script)
		return
	}
	err := run("begin")
	for i := 0; err == nil && i <= rng.rng.IntN(4); i++ {
		if rng.chance(50) {
			err = run("savepoint s")
			if e := run(write()); err == nil && (e != nil || rng.chance(25)) {
				err = run("rollback to s")
			}
			continue
		}
		err = run(write())
	}
	switch {
	case err != nil || rng.chance(8):
		_ = run("rollback")
		err = cmp.Or(err, errGivenUp)
	case how == kept:
		h.long = conn
		h.mu.Lock()
		h.trail = append(h.trail, script...)
		h.mu.Unlock()
		return
	case how == alone && h.gid != "" && h.ready == "" && rng.chance(15):
		err = h.prepare(run, locking(strings.Join(script, " ")))
	default:
		err = run("commit")
	}
	h.ended(err, script)
}

var errGivenUp = fmt.Errorf("given up")

// prepare is the first phase of two. The second one comes at once, on whatever
// connection, or later.
func (h *oracleHand) prepare(run func(string) error, now bool) error {
	h.mu.Lock()
	h.counts.prepared++
	gid := fmt.Sprintf("%s %d", h.gid, h.counts.prepared)
	h.mu.Unlock()
	if err := run("prepare transaction '" + gid + "'"); err != nil {
		_ = run("rollback")
		return err
	}
	if h.ready = gid; now || h.chance(40) {
		h.endPrepared()
	}
	return nil
}

// endPrepared is the second phase.
func (h *oracleHand) endPrepared() {
	if h.ready == "" {
		return
	}
	sql := h.pick("commit", "commit", "commit", "rollback") + " prepared '" + h.ready + "'"
	h.ready = ""
	_, err := h.conns[h.rng.IntN(len(h.conns)-1)].Exec(h.t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		h.t.Errorf("seed %d: %s: %v", h.seed, sql, err)
	}
	h.ended(err, []string{sql})
}

// copy copies rows into a table, now and then more than are logged one by one.
func (h *oracleHand) copy(ctx context.Context, conn *pgx.Conn, rng *oracleSchema, table string) error {
	from, n := rng.rng.IntN(60), 1+rng.rng.IntN(4)
	if rng.chance(8) {
		from, n = 2000, 210+rng.rng.IntN(50)
	}
	var rows [][]any
	for i := range n {
		rows = append(rows, []any{int32(from + i), int32(rng.rng.IntN(5)), rng.pick("x", "y", "z")})
	}
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{table}, []string{"id", "k", "t"}, pgx.CopyFromRows(rows))
	h.mu.Lock()
	h.counts.copied += int(copied)
	h.mu.Unlock()
	return err
}

// ended counts a transaction.
func (h *oracleHand) ended(err error, script []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.counts.failed++
		return
	}
	h.counts.transactions++
	h.trail = append(h.trail, strings.Join(script, "; "))
}

// endLong ends the transactions that were left open.
func (h *oracleHand) endLong() {
	h.endPrepared()
	if h.long == nil {
		return
	}
	sql := h.pick("commit", "commit", "commit", "rollback")
	_, err := h.long.Exec(h.t.Context(), sql)
	h.long = nil
	h.ended(err, []string{"long: " + sql})
}

// storm writes from several connections at once.
func (h *oracleHand) storm() {
	var wg sync.WaitGroup
	for i, conn := range h.conns[:3] {
		own := *h.oracleSchema
		own.rng = rand.New(rand.NewPCG(h.rng.Uint64(), uint64(i)))
		wg.Go(func() {
			for range 6 {
				h.transaction(conn, &own, amid)
			}
		})
	}
	wg.Wait()
}

// define changes definitions, and sometimes writes in the same transaction.
func (h *oracleHand) define() {
	sql := h.ddl()
	if h.chance(40) {
		sql += "; " + h.write1()
	}
	h.run("begin; "+sql+"; commit", sql)
}

// run runs a change of definitions on a connection where nothing is open.
func (h *oracleHand) run(sql, said string) {
	_, err := h.conns[0].Exec(h.t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		_, _ = h.conns[0].Exec(h.t.Context(), "rollback")
	}
	h.ended(err, []string{said})
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.ddl++
	h.defs = append(h.defs, said)
}

// turn does one thing that may change results. It may look with check while
// transactions are open; the caller looks after it.
func (h *oracleHand) turn(check func()) {
	switch n := h.rng.IntN(100); {
	case n < 60: // few enough that one does not hide what another one missed
		for range 1 + h.rng.IntN(4) {
			h.transaction(h.conns[0], h.oracleSchema, alone)
		}
	case n < 67:
		h.storm()
	case n < 76:
		if h.long == nil {
			h.transaction(h.conns[3], h.oracleSchema, kept)
		}
		for range 2 { // others commit meanwhile
			h.transaction(h.conns[1], h.oracleSchema, guided)
			h.transaction(h.conns[2], h.oracleSchema, guided)
		}
		check()
		h.endLong()
	case n < 89:
		h.define()
	case n < 91: // what moves rows in the files, and no row
		sql := h.pick("vacuum full ", "vacuum ", "cluster ", "reindex table ", "analyze ") + h.pick("bare", "pair", "plain", "docs")
		if name, ok := strings.CutPrefix(sql, "cluster "); ok {
			sql += " using " + name + "_pkey" // an error where there is no key
		}
		h.run(sql, sql)
	default: // several before one look
		for range 5 {
			h.transaction(h.conns[0], h.oracleSchema, alone)
		}
	}
}

// history is what was written since the last check, all changes of definitions,
// and the schema that they began with.
func (h *oracleHand) history() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return "after\n" + strings.Join(h.trail, "\n") + "\ndefinitions\n" + strings.Join(h.defs, "\n") + "\nschema\n" + h.sql.String()
}

// forget drops the trail: all is well.
func (h *oracleHand) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trail = nil
}

// doze waits. The time of nothing depends on it but that of the next look.
func (h *oracleHand) doze(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.t.Context().Done():
	}
}
