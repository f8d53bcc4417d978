package changelog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Level says how bad a Finding is.
type Level string

// The levels. Missing stops live queries, Degraded makes them slower or blind in
// a corner that What names.
const (
	LevelOK       Level = "ok"
	LevelDegraded Level = "degraded"
	LevelMissing  Level = "missing"
)

// Finding is one need and how it is met.
type Finding struct {
	Level Level
	What  string
	Do    string // SQL or command that mends it; empty if nothing is to be done
}

// String is the finding in one line.
func (f Finding) String() string {
	switch {
	case f.Level == LevelOK:
		return "ok " + f.What
	case f.Do != "":
		return string(f.Level) + ": " + f.What + ": " + f.Do
	}
	return string(f.Level) + ": " + f.What
}

// Check finds out whether the role of url can capture. Tables are names; without
// any, those that are watched are looked at.
func Check(ctx context.Context, url string, tables ...string) ([]Finding, error) {
	var findings []Finding
	err := withConn(ctx, url, func(conn *pgx.Conn) (err error) {
		findings, err = check(ctx, conn, conn.Config().User, tables)
		return err
	})
	if errors.Is(err, ErrPooler) || errors.Is(err, ErrStandby) {
		return []Finding{{LevelMissing, err.Error(), ""}}, nil
	}
	return findings, err
}

func check(ctx context.Context, conn *pgx.Conn, role string, tables []string) ([]Finding, error) {
	var fs []Finding
	add := func(level Level, what, do string) { fs = append(fs, Finding{level, what, do}) }
	version := serverVersion(conn)
	if version < 140000 {
		add(LevelMissing, "PostgreSQL 14 or later", "")
		return fs, nil
	}
	add(LevelOK, fmt.Sprintf("PostgreSQL %d, primary, direct connection", version/10000), "")
	var schema, owner, paused, events bool
	err := conn.QueryRow(ctx, `select to_regclass('weir.log') is not null and to_regclass('weir.life') is not null,
		coalesce((select pg_has_role(relowner, 'USAGE') from pg_class where oid = to_regclass('weir.log')), false),
		(select count(*) = 2 from pg_event_trigger where evtname in ('weir_ddl', 'weir_drop') and evtenabled = 'A')`).
		Scan(&schema, &owner, &events)
	if err != nil {
		return fs, err
	}
	switch {
	case !schema:
		add(LevelMissing, "the change log (schema weir)", "weir db setup --admin-url URL")
		return fs, nil
	case !owner:
		add(LevelMissing, "the change log belongs to another role than "+role, "use that role's URL, or weir db setup --admin-url URL")
		return fs, nil
	}
	switch err := fits(ctx, conn); {
	case errors.Is(err, ErrNewer):
		add(LevelMissing, err.Error(), "")
		return fs, nil
	case errors.Is(err, ErrNotSetUp):
		add(LevelMissing, "the change log is an older weir's", "weir db setup --admin-url URL")
		return fs, nil
	case err != nil:
		return fs, err
	}
	add(LevelOK, logName, "")
	if events {
		add(LevelOK, "event triggers: definitions are followed at once", "")
	} else {
		add(LevelDegraded, "no event triggers, definitions are compared each second", "as a superuser: weir db setup --admin-url URL")
	}
	if err := conn.QueryRow(ctx, `select paused from weir.reader`).Scan(&paused); err != nil {
		return fs, err
	}
	if paused {
		add(LevelDegraded, "capture is paused, live results are stale", "weir db resume")
	}
	found, err := checkTables(ctx, conn, role, tables)
	return append(fs, found...), err
}

func checkTables(ctx context.Context, conn *pgx.Conn, role string, tables []string) ([]Finding, error) {
	if tables == nil {
		tables = []string{}
	}
	rows, err := conn.Query(ctx, `select t, coalesce(to_regclass(case when t like '%.%' then t else 'public.' || t end), 0)::oid from unnest($1::text[]) t
		union all select c.oid::regclass::text, c.oid from pg_class c
			where $1 = '{}' and c.oid in (select rel from weir.watch) order by 1`, tables)
	if err != nil {
		return nil, err
	}
	type named struct {
		name string
		oid  uint32
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (n named, err error) {
		err = r.Scan(&n.name, &n.oid)
		return n, err
	})
	if err != nil {
		return nil, err
	}
	var fs []Finding
	for _, n := range list {
		if n.oid == 0 {
			fs = append(fs, Finding{LevelMissing, "table " + n.name + " does not exist", ""})
			continue
		}
		f, err := loadFamily(ctx, conn, n.oid)
		if err != nil {
			return fs, err
		}
		found, err := f.check(ctx, conn, role)
		if err != nil {
			return fs, err
		}
		fs = append(fs, found...)
	}
	return fs, nil
}

// check judges each table of a family.
func (f *family) check(ctx context.Context, conn *pgx.Conn, role string) ([]Finding, error) {
	if err := f.refuse(); err != nil {
		return []Finding{{LevelMissing, err.Error(), ""}}, nil
	}
	var fs []Finding
	for i := range f.members {
		m := &f.members[i]
		gap := m.gap(f)
		origin := false
		for _, t := range m.triggers {
			origin = origin || t.enabled == 'O'
		}
		switch {
		case gap != "" && !m.mayTrigger && !m.owner:
			fs = append(fs, Finding{LevelMissing, "right to capture " + m.name, m.grant(role)})
		case gap != "" && len(m.triggers) > 0:
			fs = append(fs, Finding{
				LevelDegraded, m.name + ": " + gap + ", results that read it are stale",
				"ALTER TABLE " + m.name + " ENABLE ALWAYS TRIGGER …, or weir db setup --admin-url URL",
			})
		case gap == "" && origin:
			fs = append(fs, Finding{
				LevelDegraded, m.name + " is captured, but not writes under session_replication_role = replica",
				"as the table's owner: weir db setup --admin-url URL",
			})
		case gap == "":
			fs = append(fs, Finding{LevelOK, m.name + " is captured", ""})
		default:
			fs = append(fs, Finding{LevelOK, m.name + " can be captured", ""})
		}
	}
	return fs, nil
}

// Status is what stands in the database.
type Status struct {
	Installed bool
	Paused    bool
	Events    bool // event triggers stand
	// SeenAt is when a reader marked itself last; zero if never. Readers renew
	// the mark each tenth of the retention.
	SeenAt    time.Time
	Retention time.Duration
	LogBytes  int64
	LogRows   int64             // estimate
	Watched   map[string]int    // columns watched, by root table
	Drift     map[string]string // root tables that are not fully captured, and why
}

// ReadStatus reads the Status of a database.
func ReadStatus(ctx context.Context, url string) (Status, error) {
	var s Status
	err := withConn(ctx, url, func(conn *pgx.Conn) error { return s.read(ctx, conn) })
	return s, err
}

func (s *Status) read(ctx context.Context, conn *pgx.Conn) error {
	if err := conn.QueryRow(ctx, `select to_regclass('weir.log') is not null`).Scan(&s.Installed); err != nil || !s.Installed {
		return err
	}
	var seconds float64
	var seen *time.Time
	err := conn.QueryRow(ctx, `select paused, case when isfinite(seen_at) then seen_at end, extract(epoch from retention)::float8,
		(select sum(pg_total_relation_size(format('weir.log_%s', s)::regclass))::bigint from generate_series(0, 2) s),
		(select greatest(0, sum(reltuples))::bigint from pg_class where relname ~ '^log_[0-2]$' and relnamespace = 'weir'::regnamespace),
		(select count(*) = 2 from pg_event_trigger where evtname in ('weir_ddl', 'weir_drop') and evtenabled = 'A')
		from weir.reader`).Scan(&s.Paused, &seen, &seconds, &s.LogBytes, &s.LogRows, &s.Events)
	if err != nil {
		return err
	}
	s.Retention = time.Duration(seconds * float64(time.Second))
	if seen != nil {
		s.SeenAt = *seen
	}
	s.Watched, s.Drift = map[string]int{}, map[string]string{}
	names := map[uint32]string{}
	rows, err := conn.Query(ctx, `select w.rel, w.rel::regclass::text, count(*) filter (where w.attnum > 0)
		from weir.watch w join pg_class c on c.oid = w.rel group by w.rel`)
	if err != nil {
		return err
	}
	var oid uint32
	var name string
	var columns int
	if _, err = pgx.ForEachRow(rows, []any{&oid, &name, &columns}, func() error {
		names[oid], s.Watched[name] = name, columns
		return nil
	}); err != nil {
		return err
	}
	found, err := uncaptured(ctx, conn)
	for root, d := range found {
		s.Drift[cmpName(names[root], root)] = d.why
	}
	return err
}

func cmpName(name string, oid uint32) string {
	if name == "" {
		return fmt.Sprintf("table %d", oid)
	}
	return name
}
