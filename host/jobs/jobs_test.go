package jobs

import (
	"context"
	"strings"
	"sync"
	"testing"
)

// J1: workers that take at the same moment, one or several jobs at once, never
// get the same.
func TestTwoWorkersNeverHoldOneJob(t *testing.T) {
	t.Parallel()
	const all, workers = 200, 6
	s := newSite(t)
	s.guest.exec(`select weir.job_create('count', to_jsonb(n)) from generate_series(1, $1) n`, all)
	var mu sync.Mutex // protects the field below
	holders := map[string]int{}
	var wg sync.WaitGroup
	for worker := range workers {
		r := s.as("weir_guest")
		wg.Go(func() {
			for {
				list := r.take("default", 1+worker%3)
				if len(list) == 0 {
					return // no job is put back, so all others are held
				}
				mu.Lock()
				for _, j := range list {
					holders[j.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, n := range holders {
		if n != 1 {
			t.Errorf("job %s was taken %d times", id, n)
		}
	}
	if len(holders) != all {
		t.Errorf("%d jobs were taken, want %d", len(holders), all)
	}
	s.admin.want("200 1 1", `select concat_ws(' ', count(*), min(attempts), max(attempts)) from weir.jobs where status = 'running'`)
}

// A job that somebody is just taking is passed over, not waited for.
func TestTakePassesOverWhatOthersAreTaking(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.guest.get(`weir.job_create('a')`)
	second := s.guest.get(`weir.job_create('b')`)
	other := s.as("weir_guest")
	other.exec(`begin`)
	if got := other.one("default"); got.ID != first {
		t.Errorf("took %+v, want the older one", got)
	}
	if got := s.guest.one("default"); got.ID != second {
		t.Errorf("took %+v, want the other one", got)
	}
	if list := s.guest.take("default", 1); len(list) != 0 {
		t.Errorf("took %+v", list)
	}
	// A worker that dies while it takes has taken nothing.
	other.exec(`rollback`)
	if got := s.guest.one("default"); got.ID != first || got.Attempt != 1 {
		t.Errorf("took %+v, want attempt 1 of the first", got)
	}
}

func TestJobGoesFromQueuedToDone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.job_create('resize', '{"file": "a.png"}', queue => 'images', owner => 'https://id ann')`)
	s.wantJob(id, "queued 0 try 0")
	if list := s.guest.take("default", 100); len(list) != 0 {
		t.Errorf("another queue gives %+v", list)
	}
	got := s.guest.one("images")
	if got.ID != id || got.Attempt != 1 || got.Kind != "resize" || *got.Input != `{"file": "a.png"}` || *got.Owner != "https://id ann" {
		t.Errorf("took %+v", got)
	}
	s.wantJob(id, "running 0 try 1 held")
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1, 12.5, 'reading')`, id)
	s.wantJob(id, "running 12.5 try 1 reading held")
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1)`, id) // only the lease
	s.wantJob(id, "running 12.5 try 1 reading held")
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1, message => '')`, id)
	s.guest.want("true", `weir.job_finish($1::text::uuid, 1, '{"size": 7}')`, id)
	s.wantJob(id, `done 100 try 1  {"size": 7} over`)
	for _, call := range []string{"weir.job_progress($1::text::uuid, 1, 1)", "weir.job_finish($1::text::uuid, 1)", "weir.job_fail($1::text::uuid, 1, 'x')", "weir.job_cancel($1::text::uuid)"} {
		s.guest.want("false", call, id)
	}
	s.wantJob(id, `done 100 try 1  {"size": 7} over`)
}

// J1, J2: when a lease ends another worker gets the job, and the first can
// change nothing more.
func TestLeaseThatEndedIsTakenAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.job_create('slow')`)
	s.guest.one("default")
	s.lose()
	// Until somebody has taken it, who still works may go on.
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1, 10)`, id)
	if list := s.guest.take("default", 1); len(list) != 0 {
		t.Errorf("progress did not renew the lease: took %+v", list)
	}
	s.lose()
	if got := s.guest.one("default"); got.ID != id || got.Attempt != 2 {
		t.Errorf("took %+v, want attempt 2", got)
	}
	s.wantJob(id, "running 0 try 2 held")
	for _, call := range []string{"weir.job_progress($1::text::uuid, 1, 99)", "weir.job_finish($1::text::uuid, 1)", "weir.job_fail($1::text::uuid, 1, 'x')"} {
		s.guest.want("false", call, id)
	}
	s.wantJob(id, "running 0 try 2 held")
	// A lost worker's last attempt fails the job, and the next job is given.
	next := s.guest.get(`weir.job_create('next')`)
	s.admin.exec(`update weir.jobs set max_attempts = 2 where job_id::text = $1`, id)
	s.lose()
	if got := s.guest.one("default"); got.ID != next {
		t.Errorf("took %+v, want the next", got)
	}
	s.wantJob(id, "failed 0 try 2 error: the worker was lost in attempt 2 of 2 over")
}

// A lease that is still nearly whole is not written again; a shorter one is
// whole afterwards.
func TestProgressRenewsTheLease(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.job_create('slow')`)
	s.guest.get(`select attempt from weir.job_take(lease => '10 minutes')`)
	left := `select lease_until - clock_timestamp() between interval '9 minutes' and interval '10 minutes' from weir.jobs`
	s.admin.want("true", left)
	before := s.admin.get(`select lease_until from weir.jobs`)
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1, 1)`, id)
	s.admin.want(before, `select lease_until from weir.jobs`)
	s.admin.exec(`update weir.jobs set lease_until = now() + interval '1 minute'`)
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1, 2)`, id)
	s.admin.want("true", left)
}

func TestFailedJobIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.job_create('mail', max_attempts => 2)`)
	s.guest.one("default")
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1, 50, 'half')`, id)
	s.guest.want("true", `weir.job_fail($1::text::uuid, 1, 'no route')`, id)
	s.wantJob(id, "queued 50 try 1 half error: no route")
	s.admin.want("true", `select run_at between clock_timestamp() and clock_timestamp() + interval '1 second' from weir.jobs`)
	if list := s.guest.take("default", 1); len(list) != 0 {
		t.Errorf("it is not due: took %+v", list)
	}
	s.admin.exec(`update weir.jobs set run_at = now()`)
	s.guest.one("default")
	s.wantJob(id, "running 0 try 2 error: no route held")
	s.guest.want("true", `weir.job_fail($1::text::uuid, 2, 'no route again')`, id)
	s.wantJob(id, "failed 0 try 2 error: no route again over")

	f := func(attempts int, call, want string) {
		t.Helper()
		id := s.guest.get(`weir.job_create('mail', max_attempts => 100)`)
		s.admin.exec(`update weir.jobs set status = 'running', attempts = $2, lease = '1 minute', lease_until = now() + lease where job_id::text = $1`, id, attempts)
		s.guest.want("true", call, id, attempts)
		s.admin.want(want, `select status || ' ' || round(extract(epoch from run_at - updated_at)) from weir.jobs where job_id::text = $1`, id)
	}
	f(1, `weir.job_fail($1::text::uuid, $2, 'x')`, "queued 1")
	f(4, `weir.job_fail($1::text::uuid, $2, 'x')`, "queued 8")
	f(99, `weir.job_fail($1::text::uuid, $2, 'x')`, "queued 3600")
	f(1, `weir.job_fail($1::text::uuid, $2, 'x', wait => '2 days')`, "queued 172800")
	f(1, `weir.job_fail($1::text::uuid, $2, 'x', wait => '0')`, "queued 0")
	f(1, `weir.job_fail($1::text::uuid, $2, 'x', retry => null)`, "queued 1")
	id = s.guest.get(`weir.job_create('mail', queue => 'once')`)
	s.guest.one("once")
	s.guest.want("true", `weir.job_fail($1::text::uuid, 1, null, retry => false)`, id)
	s.wantJob(id, "failed 0 try 1 error: it failed over")
}

// A running job is cancelled at once, and its worker learns it at its next word.
func TestCancelWhileRunning(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.job_create('long', owner => 'i ann')`)
	s.guest.one("default")
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1, 30, 'on it')`, id)
	s.guest.want("false", `weir.job_cancel($1::text::uuid, 'i bob')`, id)
	s.guest.want("true", `weir.job_progress($1::text::uuid, 1)`, id)
	s.guest.want("true", `weir.job_cancel($1::text::uuid, 'i ann')`, id)
	s.wantJob(id, "cancelled 30 try 1 on it over")
	s.guest.want("false", `weir.job_progress($1::text::uuid, 1, 31)`, id)
	s.guest.want("false", `weir.job_finish($1::text::uuid, 1)`, id)
	s.wantJob(id, "cancelled 30 try 1 on it over")
	s.lose()
	if list := s.guest.take("default", 1); len(list) != 0 {
		t.Errorf("took %+v", list)
	}
	// Queued ones too; without an owner, whoever may call may cancel.
	id = s.guest.get(`weir.job_create('long')`)
	s.guest.want("false", `weir.job_cancel($1::text::uuid, 'i ann')`, id)
	s.guest.want("true", `weir.job_cancel($1::text::uuid)`, id)
	if list := s.guest.take("default", 1); len(list) != 0 {
		t.Errorf("took %+v", list)
	}
	s.guest.want("false", `weir.job_cancel(gen_random_uuid())`)
}

func TestKeyMakesCreationRepeatable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const callers = 5
	ids := make([]string, callers)
	var wg sync.WaitGroup
	for i := range callers {
		r := s.as("weir_guest")
		wg.Go(func() { ids[i] = r.get(`weir.job_create('bill', to_jsonb($1::int), key => 'order 7')`, i) })
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("two jobs for one key: %s and %s", id, ids[0])
		}
	}
	s.admin.want("1", `select count(*) from weir.jobs`)
	for _, call := range []string{
		`weir.job_create('bill', key => 'order 8')`, `weir.job_create('bill', queue => 'q', key => 'order 7')`,
		`weir.job_create('bill')`, `weir.job_create('bill')`,
	} {
		s.guest.get(call)
	}
	s.acme.get(`weir.job_create('bill', key => 'order 7')`)
	s.admin.want("6", `select count(*) from weir.jobs`)
	// When it is over, too.
	s.guest.want("true", `weir.job_cancel($1::text::uuid)`, ids[0])
	s.guest.want(ids[0], `weir.job_create('bill', key => 'order 7')`)
	run := s.guest.get(`weir.workflow_create('w', steps => '{a,b}', key => 'k')`)
	s.guest.want(run, `weir.workflow_create('w', steps => '{c}', key => 'k')`)
	s.admin.want("2", `select count(*) from weir.workflow_steps`)
}

func TestJobsAreTakenOldestFirstAndNotBeforeTheyAreDue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, at := range []string{"-1 minute", "-3 minutes", "-2 minutes", "1 hour"} {
		s.guest.get(`weir.job_create($1::text, run_at => now() + $1::text::interval)`, at)
	}
	var order []string
	for _, j := range s.guest.take("default", 100) {
		order = append(order, j.Kind)
	}
	if got := strings.Join(order, ", "); got != "-3 minutes, -2 minutes, -1 minute" {
		t.Errorf("took %s", got)
	}
}

// J5: what is too large or makes no sense is refused in a sentence.
func TestBadValuesAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.job_create('x')`)
	s.guest.one("default")
	run := s.guest.get(`weir.workflow_create('w', steps => '{a}')`)
	f := func(text, sql string, args ...any) {
		t.Helper()
		s.guest.refused("22023", text, sql, args...)
	}
	long, big := strings.Repeat("x", 201), `"`+strings.Repeat("x", 1<<20)+`"`
	f("kind is missing", `weir.job_create('')`)
	f("kind is missing", `weir.job_create(null)`)
	f("kind has 201 bytes, 200 are allowed", `weir.job_create($1)`, long)
	f("queue has 201 bytes", `weir.job_create('x', queue => $1)`, long)
	f("queue is missing", `weir.job_create('x', queue => null)`)
	f("key has 201 bytes", `weir.job_create('x', key => $1)`, long)
	f("key is missing", `weir.job_create('x', key => '')`)
	f("owner has 1025 bytes", `weir.job_create('x', owner => $1)`, strings.Repeat("x", 1025))
	f("owner is missing", `weir.job_create('x', owner => '')`)
	f("input has 1048578 bytes as text, 1048576 are allowed", `weir.job_create('x', $1::text::jsonb)`, big)
	for _, n := range []any{0, -1, 101, nil} {
		f("max_attempts is", `weir.job_create('x', max_attempts => $1::int)`, n)
	}
	f("the lease is", `select attempt from weir.job_take(lease => '0.5 seconds')`)
	f("the lease is", `select attempt from weir.job_take(lease => '25 hours')`)
	f("the lease is", `select attempt from weir.job_take(lease => null)`)
	f("most is 101", `select attempt from weir.job_take(most => 101)`)
	f("queue is missing", `select attempt from weir.job_take('')`)
	for _, percent := range []string{"-0.1", "100.1", "NaN", "Infinity"} {
		f("the percent is", `weir.job_progress($1::text::uuid, 1, $2::text::float8)`, id, percent)
	}
	f("the message has 4098 bytes", `weir.job_progress($1::text::uuid, 1, 1, $2)`, id, strings.Repeat("é", 2049))
	f("output has 1048578 bytes", `weir.job_finish($1::text::uuid, 1, $2::text::jsonb)`, id, big)
	f("the wait is", `weir.job_fail($1::text::uuid, 1, 'x', wait => '-1 second')`, id)
	f("input has", `weir.workflow_create('w', $1::text::jsonb)`, big)
	f("201 steps, 200 are allowed", `weir.workflow_create('w', steps => array(select n::text from generate_series(1, 201) n))`)
	f("two steps have the same name", `weir.workflow_create('w', steps => '{a,b,a}')`)
	f("step is missing", `weir.workflow_create('w', steps => '{a,""}')`)
	f("step is missing", `weir.workflow_create('w', steps => '{a,null}')`)
	f("step is missing", `weir.workflow_step_start($1::text::uuid, '')`, run)
	f("the workflow has no step b", `weir.workflow_step_finish($1::text::uuid, 'b')`, run)
	f("waiting_for is missing", `weir.workflow_step_wait($1::text::uuid, 'a', '')`, run)
	f("output has", `weir.workflow_step_finish($1::text::uuid, 'a', $2::text::jsonb)`, run, big)
	f("output has", `weir.workflow_finish($1::text::uuid, $2::text::jsonb)`, run, big)
	s.wantJob(id, "running 0 try 1 held")
	s.admin.want("1 1", `select count(*) || ' ' || (select count(*) from weir.workflow_runs) from weir.jobs`)

	// A failure can always be told: its text is cut, between two characters.
	s.guest.want("true", `weir.job_fail($1::text::uuid, 1, $2)`, id, strings.Repeat("€", 3000))
	s.admin.want("true true", `select (octet_length(error) between 4000 and 4096) || ' ' || (error like '€€%€…') from weir.jobs`)
	// A job of the largest size is taken and finished.
	fits := `"` + strings.Repeat("x", 1<<20-2) + `"`
	id = s.guest.get(`weir.job_create('big', $1::text::jsonb)`, fits)
	s.guest.one("default")
	s.guest.want("true", `weir.job_finish($1::text::uuid, 1, $2::text::jsonb)`, id, fits)
}

// Whoever is cut off while it creates has created nothing: the job belongs to the
// transaction of the change that it is about.
func TestJobBelongsToItsTransaction(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tx, err := s.guest.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select weir.job_create('x')`); err != nil {
		t.Fatal(err)
	}
	if list := s.as("weir_guest").take("default", 1); len(list) != 0 {
		t.Errorf("a job was taken before its commit: %+v", list)
	}
	if err := tx.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.admin.want("0", `select count(*) from weir.jobs`)
}
