package jobs

import (
	"testing"

	"weir/host/db"
	"weir/reactor/changelog"
)

// open returns the tenant's DB, as the host makes it.
func (s *site) open(role string) *db.DB {
	s.t.Helper()
	d, err := db.Open(s.t.Context(), db.Config{URL: s.db.As(role, ""), EpochExpr: changelog.EpochExpr})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(d.Close)
	return d
}

// captured has the tables captured, as a subscription does, and a reader listen.
func (s *site) captured() {
	s.t.Helper()
	capture := changelog.NewCapture(changelog.CaptureConfig{URL: s.db.As("weir", "")})
	var watches []changelog.Watch
	for _, table := range []string{"weir.jobs", "weir.workflow_runs", "weir.workflow_steps"} {
		var oid uint32
		if err := s.admin.conn.QueryRow(s.t.Context(), `select $1::regclass::oid`, table).Scan(&oid); err != nil {
			s.t.Fatal(err)
		}
		watches = append(watches, changelog.Watch{Table: oid, Columns: []uint16{1}})
	}
	if err := capture.Watch(s.t.Context(), watches); err != nil {
		s.t.Fatal(err)
	}
	s.admin.exec(`update weir.reader set seen_at = now()`)
	s.admin.exec(`truncate weir.log`)
}

// J5, J6: what has been over for long goes, in statements whose rows the log can
// name, so that only who looks at these rows is told.
func TestSweepRemovesWhatIsOverWithoutAStorm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.captured()
	s.admin.exec(`insert into weir.jobs (tenant, queue, kind, status, finished_at)
			select 'default', 'q', 'k', 'done', now() - interval '8 days' from generate_series(1, 750);
		insert into weir.jobs (tenant, queue, kind, status, finished_at)
			select 'default', 'q', 'young', 'failed', now() - interval '6 days' from generate_series(1, 3);
		insert into weir.jobs (tenant, queue, kind, created_at) values ('default', 'q', 'waits', now() - interval '1 year');
		insert into weir.workflow_runs (tenant, name, status, finished_at)
			select 'default', 'w', 'done', now() - interval '8 days' from generate_series(1, 50);
		insert into weir.workflow_runs (tenant, name) values ('default', 'goes on');
		insert into weir.workflow_steps (workflow_id, position, tenant, name)
			select workflow_id, n, tenant, 'step ' || n from weir.workflow_runs, generate_series(1, 30) n;
		truncate weir.log`)
	sweeper := Sweeper{DB: s.open("weir_guest")}
	if n, err := sweeper.Sweep(t.Context()); err != nil || n != 800 {
		t.Errorf("swept %d, %v; want 800", n, err)
	}
	s.admin.want("young 3, waits 1", `select string_agg(kind || ' ' || n, ', ' order by kind desc) from (select kind, count(*) n from weir.jobs group by kind) x`)
	s.admin.want("goes on 30", `select name || ' ' || (select count(*) from weir.workflow_steps) from weir.workflow_runs`)
	s.admin.want("0", `select count(*) from weir.log where keys is null`)
	s.admin.want("800 50", `select count(*) filter (where rel <> 'weir.workflow_steps'::regclass)
		|| ' ' || count(distinct value) filter (where rel = 'weir.workflow_steps'::regclass) from weir.log, jsonb_array_elements(keys) where op = 'D'`)
	if n, err := sweeper.Sweep(t.Context()); err != nil || n != 0 {
		t.Errorf("swept %d again, %v", n, err)
	}
	// Kept for ever.
	s.admin.exec(`update weir.jobs set finished_at = now() - interval '100 years' where kind = 'young'`)
	if n, err := (&Sweeper{DB: sweeper.DB, Keep: -1}).Sweep(t.Context()); err != nil || n != 0 {
		t.Errorf("swept %d, %v; want to keep all", n, err)
	}
}

// J2: a job whose worker was lost says so before another one comes.
func TestSweepPutsBackWhatWorkersLost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	again := s.guest.get(`weir.job_create('again')`)
	last := s.guest.get(`weir.job_create('last', max_attempts => 1)`)
	held := s.guest.get(`weir.job_create('held')`)
	s.guest.take("default", 3)
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1, 40)`, again)
	s.admin.exec(`update weir.jobs set lease_until = now() - interval '1 second' where kind <> 'held'`)
	if n, err := (&Sweeper{DB: s.open("weir_guest")}).Sweep(t.Context()); err != nil || n != 2 {
		t.Errorf("swept %d, %v; want 2", n, err)
	}
	s.wantJob(again, "queued 40 try 1 error: the worker was lost in attempt 1 of 3")
	s.wantJob(last, "failed 0 try 1 error: the worker was lost in attempt 1 of 1 over")
	s.wantJob(held, "running 0 try 1 held")
	s.guest.want("false", `weir.job_progress($1::text::uuid, 1)`, again)
	if got := s.guest.one("default"); got.ID != again || got.Attempt != 2 {
		t.Errorf("took %+v", got)
	}
}

func TestTenantOfADatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for role, want := range map[string]string{"weir_guest": "default", "jobs_acme": "acme"} {
		if got, err := Tenant(t.Context(), s.open(role)); err != nil || got != want {
			t.Errorf("%s works for %q, %v; want %s", role, got, err, want)
		}
	}
	if got, err := Tenant(t.Context(), s.open("jobs_stray")); err == nil {
		t.Errorf("jobs_stray works for %q", got)
	}
}
