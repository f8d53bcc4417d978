package jobs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/host/devdb/devdbtest"
	"weir/reactor/changelog"
)

func TestMain(m *testing.M) { devdbtest.Main(m) }

// site is a database in which two tenants have a role each.
type site struct {
	t  *testing.T
	db devdbtest.DB
	// admin is the superuser, guest the role of the tenant "default", acme that of
	// another.
	admin, guest, acme *role
}

// role is a connection of one role.
type role struct {
	t    *testing.T
	conn *pgx.Conn
}

func newSite(t *testing.T) *site {
	t.Helper()
	devdbtest.Template(t, "weir_jobs", func(url string) error {
		ctx := context.Background()
		_, err := changelog.Setup(ctx, changelog.SetupConfig{
			AdminURL: url, Parts: []changelog.Part{{Name: "jobs", Version: Version, SQL: SchemaSQL()}},
		})
		if err != nil {
			return err
		}
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, `do $$ begin
			if not exists (select from pg_roles where rolname = 'jobs_acme') then
				create role jobs_acme login; create role jobs_stray login;
			end if; end $$;
			select weir.tenant_admit('jobs_acme', 'acme')`)
		return err
	})
	s := &site{t: t, db: devdbtest.New(t, devdbtest.From("weir_jobs"))}
	s.admin, s.guest, s.acme = s.as(""), s.as("weir_guest"), s.as("jobs_acme")
	return s
}

// as connects as a role; "" is the superuser.
func (s *site) as(name string) *role {
	s.t.Helper()
	url := s.db.URL
	if name != "" {
		url = s.db.As(name, "")
	}
	conn, err := pgx.Connect(s.t.Context(), url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &role{s.t, conn}
}

// get returns one value of one row as text, "-" without a row.
func (r *role) get(sql string, args ...any) string {
	r.t.Helper()
	value, err := r.try(sql, args...)
	if err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func (r *role) try(sql string, args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	var value *string
	err := r.conn.QueryRow(ctx, "select ("+sql+")::text", args...).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return "-", nil
	}
	if value == nil {
		return "", err
	}
	return *value, err
}

// want compares one value.
func (r *role) want(want, sql string, args ...any) {
	r.t.Helper()
	if got := r.get(sql, args...); got != want {
		r.t.Errorf("%s %v\n got %s\nwant %s", sql, args, got, want)
	}
}

// refused runs what must fail with a state and a text.
func (r *role) refused(state, text, sql string, args ...any) {
	r.t.Helper()
	_, err := r.try(sql, args...)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != state || !strings.Contains(pg.Message, text) {
		r.t.Errorf("%s %v\n got %v\nwant %s %q", sql, args, err, state, text)
	}
}

func (r *role) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.conn.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// taken is a row of job_take.
type taken struct {
	ID      string
	Attempt int
	Kind    string
	Input   *string
	Owner   *string
}

// take takes jobs of a queue.
func (r *role) take(queue string, most int) []taken {
	r.t.Helper()
	rows, err := r.conn.Query(r.t.Context(), `select job_id::text, attempt, kind, input::text, owner from weir.job_take($1, '1 minute', $2)`, queue, most)
	if err != nil {
		r.t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[taken])
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// one takes the job that must be there.
func (r *role) one(queue string) taken {
	r.t.Helper()
	list := r.take(queue, 1)
	if len(list) != 1 {
		r.t.Fatalf("took %d jobs of %s, want 1", len(list), queue)
	}
	return list[0]
}

// job describes a job as the superuser sees it.
func (s *site) job(id string) string {
	s.t.Helper()
	return s.admin.get(`select concat_ws(' ', status, progress, 'try ' || attempts, message, output::text, 'error: ' || error,
		case when lease_until is not null then 'held' end, case when finished_at is not null then 'over' end)
		from weir.jobs where job_id::text = $1`, id)
}

func (s *site) wantJob(id, want string) {
	s.t.Helper()
	if got := s.job(id); got != want {
		s.t.Errorf("job\n got %s\nwant %s", got, want)
	}
}

// lose ends all leases, as time would.
func (s *site) lose() {
	s.t.Helper()
	s.admin.exec(`update weir.jobs set lease_until = now() - interval '1 second' where lease_until is not null`)
}
