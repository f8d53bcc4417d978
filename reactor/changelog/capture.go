package changelog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/reactor"
)

// Advisory locks of weir, per database.
const (
	lockSetup  = 0x77656972_0001
	lockWatch  = 0x77656972_0002 // C7: the watch list is written under it
	lockRotate = 0x77656972_0003 // C5: held by the one node that rotates
)

// Watch asks for a table's changes. Columns are those whose old and new values
// are to be logged; without any the table is captured as a whole.
type Watch struct {
	Table   uint32   // OID; a partition or child stands for its root
	Columns []uint16 // attnums of Table
}

// CaptureConfig says where to capture.
type CaptureConfig struct {
	// URL is weir's role on the primary, direct.
	URL string
	// Logger gets one line per table; nil discards.
	Logger *slog.Logger
}

// Capture installs triggers and knows the types of what they log. It is safe for
// concurrent use and holds no connection.
type Capture struct {
	url    string
	logger *slog.Logger

	mu     sync.Mutex // protects the field below
	tables map[uint32]Table
}

// NewCapture returns a Capture. It does not connect.
func NewCapture(cfg CaptureConfig) *Capture {
	logger := cfg.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Capture{url: cfg.URL, logger: logger, tables: map[uint32]Table{}}
}

// Watch installs or extends the triggers of tables, each on the root and on
// everything below (C10). When it returns nil, every change that a snapshot
// taken from now on does not see will be in the log with the watched columns, or
// without them (C7).
//
// It stops at the first table that cannot be captured, with a *NeedError whose
// text names the command to run, or a *RefusedError. Tables before it are done.
// It waits for locks of the tables in short tries until ctx ends.
func (c *Capture) Watch(ctx context.Context, watches []Watch) error {
	return withConn(ctx, c.url, func(conn *pgx.Conn) error { return c.watch(ctx, conn, watches) })
}

func (c *Capture) watch(ctx context.Context, conn *pgx.Conn, watches []Watch) error {
	if err := fits(ctx, conn); err != nil {
		return err
	}
	var paused bool
	if err := conn.QueryRow(ctx, `select paused from weir.reader`).Scan(&paused); err != nil {
		if missingSchema(err) || errors.Is(err, pgx.ErrNoRows) {
			return ErrNotSetUp
		}
		return err
	}
	if paused {
		return ErrPaused
	}
	for _, w := range watches {
		if err := c.watchOne(ctx, conn, w, ""); err != nil {
			return err
		}
	}
	return c.load(ctx, conn)
}

// watchOne brings one family up to date: first the function, then triggers, one
// table per transaction (C12). The function must belong to weir's role: another
// role, which makes the triggers, names it in functionRole.
func (c *Capture) watchOne(ctx context.Context, conn *pgx.Conn, w Watch, functionRole string) error {
	var f family
	var renamed bool
	err := retry(ctx, func() (err error) {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			if functionRole != "" {
				if _, err := tx.Exec(ctx, "set local role "+quote(functionRole)); err != nil {
					return err
				}
			}
			f, renamed, err = updateFunction(ctx, tx, w)
			return err
		})
	})
	if err != nil {
		return err
	}
	if functionRole != "" { // what this role may do with the tables
		if f, err = loadFamily(ctx, conn, f.root); err != nil {
			return err
		}
	}
	for i := range f.members {
		m := &f.members[i]
		if !renamed && m.captured(&f) {
			continue
		}
		if !m.mayTrigger && !m.owner {
			return m.need(conn.Config().User)
		}
		err := retry(ctx, func() error {
			return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return installTriggers(ctx, tx, &f, m) })
		})
		if err != nil {
			return fmt.Errorf("capture %s: %w", m.name, err)
		}
		c.logger.Info("table is captured", "table", m.name)
	}
	if renamed {
		return f.settle(ctx, conn, functionRole)
	}
	return nil
}

// settle notes for which columns function and triggers stand now. Its X row has
// listeners read that.
func (f *family) settle(ctx context.Context, conn *pgx.Conn, role string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if role != "" {
			if _, err := tx.Exec(ctx, "set local role "+quote(role)); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `update weir.watch set name = $2::text where rel = $1 and attnum = 0`, f.root, f.signature())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into weir.log (slot, rel, op) select slot, $1, 'X' from weir.reader`, f.root)
		return err
	})
}

// updateFunction writes the watch list and the function, under the lock. It
// reports whether the columns are others: then functions of writers in flight
// may have logged the wrong column, and only the triggers' table lock ends that.
func updateFunction(ctx context.Context, tx pgx.Tx, w Watch) (f family, renamed bool, err error) {
	if _, err = tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, int64(lockWatch)); err != nil {
		return f, false, err
	}
	f, err = loadFamily(ctx, tx.Conn(), w.Table)
	if err != nil {
		return f, false, err
	}
	if len(f.members) == 0 {
		return f, false, &RefusedError{Table: fmt.Sprintf("table %d", w.Table), Why: "it does not exist"}
	}
	if err := f.refuse(); err != nil {
		return f, false, err
	}
	wanted, err := f.numbers(ctx, tx.Conn(), w.Table, w.Columns)
	if err != nil {
		return f, false, err
	}
	kinds, err := f.kinds(ctx, tx.Conn())
	if err != nil {
		return f, false, err
	}
	watched, renamed, err := f.grow(ctx, tx, wanted, kinds)
	if err != nil {
		return f, false, err
	}
	made := false
	for _, k := range triggerKinds {
		var current *string
		err = tx.QueryRow(ctx, `select pg_get_functiondef(to_regproc($1))`, f.functionName(k)).Scan(&current)
		if err != nil {
			return f, renamed, err
		}
		if current != nil && strings.Contains(*current, f.body(k, watched, kinds)) && !renamed {
			continue
		}
		_, err = tx.Exec(ctx, f.function(k, watched, kinds)+"; revoke all on function "+f.functionName(k)+"() from public")
		if err != nil {
			return f, renamed, err
		}
		made = true
	}
	if made {
		_, err = tx.Exec(ctx, ownDefinitions)
	}
	return f, renamed, err
}

// grow adds columns to the watch list of the root and returns the whole list.
// Columns without a canonical form are left out: they never stand in an equality.
func (f *family) grow(ctx context.Context, tx pgx.Tx, wanted []int16, kinds map[int16]reactor.Kind) ([]int16, bool, error) {
	listed := map[int16]string{}
	rows, err := tx.Query(ctx, `select attnum, name::text from weir.watch where rel = $1`, f.root)
	if err != nil {
		return nil, false, err
	}
	var num int16
	var name string
	_, err = pgx.ForEachRow(rows, []any{&num, &name}, func() error { listed[num] = name; return nil })
	if err != nil {
		return nil, false, err
	}
	for _, num := range wanted {
		if _, ok := listed[num]; !ok && kinds[num] != reactor.KindNone {
			listed[num] = ""
		}
	}
	for num, old := range listed {
		c, _ := f.column(num) // dropped: no name
		if num == 0 || old == c.name && old != "" {
			continue
		}
		_, err := tx.Exec(ctx, `insert into weir.watch values ($1, $2, $3)
			on conflict (rel, attnum) do update set name = excluded.name`, f.root, num, c.name)
		if err != nil {
			return nil, false, err
		}
	}
	// Number 0 says for which columns the function stands. Until settle has
	// renewed it, what the function logs is not trusted.
	var stands string
	err = tx.QueryRow(ctx, `insert into weir.watch values ($1, 0, $2) on conflict (rel, attnum) do update
		set name = watch.name returning name::text`, f.root, f.signature()).Scan(&stands)
	if err != nil {
		return nil, false, err
	}
	delete(listed, 0)
	return slices.Sorted(maps.Keys(listed)), stands != f.signature(), nil
}

// triggerKind is one of weir's four triggers.
type triggerKind struct {
	name   string
	op     byte // in the log
	clause string
}

var triggerKinds = []triggerKind{
	{"weir_insert", 'I', "insert on %s referencing new table as weir_new"},
	{"weir_update", 'U', "update on %s referencing old table as weir_old new table as weir_new"},
	{"weir_delete", 'D', "delete on %s referencing old table as weir_old"},
	{"weir_truncate", 'T', "truncate on %s"},
}

// captured reports whether all triggers of a member stand and call the functions
// of its family.
func (m *member) captured(f *family) bool { return m.gap(f) == "" && !m.upgradable() }

// gap says what is missing of a member's capture, in words; empty if nothing.
func (m *member) gap(f *family) string {
	for _, k := range triggerKinds {
		t, ok := m.triggers[k.name]
		switch {
		case !ok:
			return "trigger " + k.name + " is missing"
		case t.function != f.functionName(k):
			return "trigger " + k.name + " reports another table"
		case t.enabled == 'D' || t.enabled == 'R':
			return "trigger " + k.name + " is disabled"
		}
	}
	return ""
}

// upgradable reports whether a trigger could fire always and does not (C10).
func (m *member) upgradable() bool {
	return m.owner && slices.ContainsFunc(triggerKinds, func(k triggerKind) bool {
		return m.triggers[k.name].enabled == 'O'
	})
}

// installTriggers makes the four triggers of one table. The lock it takes waits
// for all writers of the table, so nothing is between them and the log. Results
// that read the table before are told by a T row.
func installTriggers(ctx context.Context, tx pgx.Tx, f *family, m *member) error {
	if _, err := tx.Exec(ctx, `set local lock_timeout = '100ms'`); err != nil {
		return err
	}
	var b strings.Builder
	for _, k := range triggerKinds {
		fmt.Fprintf(&b, "create or replace trigger %s after "+k.clause+" for each statement execute function %s();\n",
			k.name, m.name, f.functionName(k))
	}
	if m.owner {
		fmt.Fprintf(&b, "alter table only %s", m.name)
		for i, k := range triggerKinds {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(" enable always trigger " + k.name)
		}
		b.WriteString(";\n")
	}
	fmt.Fprintf(&b, "%s;\ninsert into weir.log (slot, rel, op) select slot, %d, 'T' from weir.reader", ownDefinitions, f.root)
	_, err := tx.Exec(ctx, b.String())
	return err
}

// ownDefinitions takes back what the event triggers logged of this transaction, in
// which weir alone has defined something: no result depends on it, and every result
// would run again. They cannot tell that a REVOKE is of a function of weir's.
const ownDefinitions = `delete from weir.log where xid = pg_current_xact_id() and op = 'X'`

// need returns the error that names the command for a member.
func (m *member) need(role string) error {
	return &NeedError{Table: m.name, Do: "weir db setup --admin-url URL, or as the table's owner: " + m.grant(role)}
}

// grant returns the SQL that lets a role capture the member.
func (m *member) grant(role string) string {
	return fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT TRIGGER ON %s TO %s;",
		quote(m.schema), quote(role), m.name, quote(role))
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// retry repeats f while locks are busy, waiting a little longer each time.
func retry(ctx context.Context, f func() error) error {
	wait := 20 * time.Millisecond
	for {
		err := f()
		if err == nil || !Retryable(err) {
			return err
		}
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		case <-timer.C:
		}
		wait = min(wait*2, time.Second)
	}
}
