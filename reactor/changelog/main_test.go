package changelog

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb/devdbtest"
	"weir/reactor"
)

func TestMain(m *testing.M) { devdbtest.Main(m) }

// patience bounds every wait of these tests.
const patience = 30 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// site is one test's database, set up, and weir's role on it.
type site struct {
	devdbtest.DB
	t    testing.TB
	weir string // URL of weir's role: no superuser, owner of nothing but the log
	conn *pgx.Conn
}

// newSite copies a database that Setup has run in, marks a reader as present and
// runs SQL as the superuser.
func newSite(t testing.TB, sql string) *site {
	t.Helper()
	devdbtest.Template(t, "weir", func(url string) error {
		_, err := Setup(context.Background(), SetupConfig{AdminURL: url})
		return err
	})
	s := &site{DB: devdbtest.New(t, devdbtest.From("weir")), t: t}
	s.weir = s.As("weir", "")
	s.conn = s.Conn(t)
	s.exec("update weir.reader set seen_at = now()")
	if sql != "" {
		s.exec(sql)
	}
	return s
}

func (s *site) exec(sql string) {
	s.t.Helper()
	if _, err := s.conn.Exec(testContext(s.t), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

func (s *site) text(sql string, args ...any) (out string) {
	s.t.Helper()
	var p *string
	if err := s.conn.QueryRow(testContext(s.t), "select ("+sql+")::text", args...).Scan(&p); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	if p == nil {
		return "NULL"
	}
	return *p
}

func (s *site) oid(table string) (oid uint32) {
	s.t.Helper()
	if err := s.conn.QueryRow(testContext(s.t), "select $1::text::regclass::oid", table).Scan(&oid); err != nil {
		s.t.Fatal(err)
	}
	return oid
}

func (s *site) tryWatch(url, table string, columns ...uint16) error {
	return NewCapture(CaptureConfig{URL: url}).Watch(testContext(s.t), []Watch{{Table: s.oid(table), Columns: columns}})
}

func (s *site) watch(table string, columns ...uint16) {
	s.t.Helper()
	if err := s.tryWatch(s.weir, table, columns...); err != nil {
		s.t.Fatalf("watch %s: %v", table, err)
	}
}

// logged runs SQL and returns what it left in the log: "U orders {2} [{"1": 7}]",
// as the decoder sees it: equal tuples once, {} for what matches everything.
func (s *site) logged(sql string) string {
	s.t.Helper()
	s.exec("delete from weir.log")
	s.exec(sql)
	return s.text(`select coalesce(string_agg(concat_ws(' ', op, nullif(rel, 0)::regclass::text, coalesce(mask::text, '*'),
		coalesce((select jsonb_agg(distinct e) from jsonb_array_elements(regexp_replace(objects::text, '\{"gone": \d\}', '{}', 'g')::jsonb) e)::text, '*')),
		'; ' order by at), '') from weir.log, lateral (select case when cols is null then keys else (
			select jsonb_agg(o) from (select jsonb_object_agg(cols[1 + (n - 1) % cardinality(cols)], v) o
				from jsonb_array_elements(keys) with ordinality e(v, n) group by (n - 1) / cardinality(cols)) g) end as objects) x`)
}

func (s *site) expect(sql, want string) {
	s.t.Helper()
	if got := s.logged(sql); got != want {
		s.t.Errorf("%s\n got %s\nwant %s", sql, got, want)
	}
}

// feed runs a Listener and hands out its batches.
type feed struct {
	*Listener
	t       testing.TB
	batches chan reactor.Batch
	stop    func()
}

func (s *site) listen(cfg Config) *feed {
	s.t.Helper()
	f := &feed{t: s.t, batches: make(chan reactor.Batch)}
	if cfg.URL == "" {
		cfg.URL = s.weir
	}
	if cfg.Deliver == nil {
		cfg.Deliver = func(ctx context.Context, b reactor.Batch) error {
			select {
			case f.batches <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	l, err := NewListener(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	f.Listener = l
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	f.stop = func() { cancel(); <-done }
	s.t.Cleanup(f.stop)
	return f
}

// await returns the first batch that fits.
func (f *feed) await(what string, fits func(reactor.Batch) bool) reactor.Batch {
	f.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case b := <-f.batches:
			if fits(b) {
				return b
			}
		case <-timeout:
			f.t.Fatalf("no batch: %s (%+v)", what, f.Stats())
		}
	}
}

func (f *feed) awaitResync() reactor.Batch {
	f.t.Helper()
	return f.await("resync", func(b reactor.Batch) bool { return b.Resync })
}

// awaitChange returns the first change of a table, not counting DDL.
func (f *feed) awaitChange(table uint32) (found reactor.Change) {
	f.t.Helper()
	f.await(fmt.Sprint("change of ", table), func(b reactor.Batch) bool {
		for _, c := range b.Changes {
			if c.Table == table && c.Op != reactor.DDL {
				found = c
				return true
			}
		}
		return false
	})
	return found
}

// eventually repeats check until it is empty.
func eventually(t testing.TB, check func() string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		why := check()
		if why == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("still: %s", why)
		}
	}
}

func containsAll(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
