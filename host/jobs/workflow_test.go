package jobs

import "testing"

// run describes a run as the superuser sees it.
func (s *site) run(id string) string {
	s.t.Helper()
	return s.admin.get(`select concat_ws(' ', status, 'at ' || step, 'for ' || waiting_for, output::text, 'error: ' || error,
		case when finished_at is not null then 'over' end, '|', (select string_agg(concat_ws(' ', name, s.status, 'for ' || s.waiting_for, s.error), ', ' order by position)
			from weir.workflow_steps s where s.workflow_id = w.workflow_id))
		from weir.workflow_runs w where workflow_id::text = $1`, id)
}

func (s *site) wantRun(id, want string) {
	s.t.Helper()
	if got := s.run(id); got != want {
		s.t.Errorf("run\n got %s\nwant %s", got, want)
	}
}

// call calls a function of a run.
func (s *site) call(want, run, call string, args ...any) {
	s.t.Helper()
	s.guest.want(want, "weir.workflow_"+call, append([]any{run}, args...)...)
}

const (
	start  = `step_start($1::text::uuid, $2)`
	finish = `step_finish($1::text::uuid, $2)`
)

func TestWorkflowGoesThroughItsSteps(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.workflow_create('order', '{"n": 1}', '{reserve,pay,ship}', 'i ann')`)
	s.wantRun(id, "running | reserve pending, pay pending, ship pending")
	s.call("true", id, start, "reserve")
	s.wantRun(id, "running at reserve | reserve running, pay pending, ship pending")
	s.call("true", id, `step_finish($1::text::uuid, $2, '{"stock": 4}')`, "reserve")
	s.call("true", id, start, "pay")
	s.call("true", id, `step_wait($1::text::uuid, $2, 'the bank')`, "pay")
	s.wantRun(id, "waiting at pay for the bank | reserve done, pay waiting for the bank, ship pending")

	// A driver that begins again from the top skips what was done.
	s.call("false", id, start, "reserve")
	s.guest.want(`{"stock": 4}`, `weir.workflow_step_output($1::text::uuid, 'reserve')`, id)
	s.call("true", id, start, "pay")
	s.wantRun(id, "running at pay | reserve done, pay running, ship pending")
	s.call("true", id, `step_fail($1::text::uuid, $2, 'card refused')`, "pay")
	s.wantRun(id, "running at pay | reserve done, pay failed card refused, ship pending")
	s.call("false", id, finish, "pay") // it is over; start it again first
	s.call("false", id, finish, "ship")
	s.call("true", id, start, "pay")
	s.call("true", id, finish, "pay")
	// Steps that nobody announced come last, and stay in their order.
	s.call("true", id, start, "thank")
	s.call("true", id, finish, "thank")
	s.call("true", id, start, "ship")
	s.call("true", id, `finish($1::text::uuid, '{"ok": true}')`)
	s.wantRun(id, `done at ship {"ok": true} over | reserve done, pay done, ship done, thank done`)
	for _, call := range []string{"step_start($1::text::uuid, 'new')", "step_finish($1::text::uuid, 'ship')", "fail($1::text::uuid, 'x')", "finish($1::text::uuid)", "cancel($1::text::uuid)"} {
		s.call("false", id, call)
	}
	s.wantRun(id, `done at ship {"ok": true} over | reserve done, pay done, ship done, thank done`)
}

// What waits can be finished by whoever brings it, without being started again.
func TestWaitingStepIsFinishedByWhoeverBringsIt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.workflow_create('w')`)
	s.wantRun(id, "running |")
	s.call("true", id, start, "approve")
	s.call("true", id, `step_wait($1::text::uuid, $2, 'approval')`, "approve")
	s.call("true", id, `step_finish($1::text::uuid, $2, '"yes"')`, "approve")
	s.wantRun(id, "running at approve | approve done")
}

// A run waits only when nothing of it runs.
func TestRunWaitsWhenNoStepRuns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.workflow_create('w', steps => '{a,b}')`)
	s.call("true", id, start, "a")
	s.call("true", id, start, "b")
	s.call("true", id, `step_wait($1::text::uuid, $2, 'rain')`, "a")
	s.wantRun(id, "running at b | a waiting for rain, b running")
	s.call("true", id, finish, "b")
	s.wantRun(id, "waiting at b for rain | a waiting for rain, b done")
}

func TestEndOfARunEndsItsSteps(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	f := func(call, want string) {
		t.Helper()
		id := s.guest.get(`weir.workflow_create('w', steps => '{a,b,c,d}', owner => 'i ann')`)
		s.call("true", id, start, "a")
		s.call("true", id, finish, "a")
		s.call("true", id, start, "b")
		s.call("true", id, `step_wait($1::text::uuid, $2, 'rain')`, "b")
		s.call("true", id, start, "c")
		s.call("true", id, call)
		s.wantRun(id, want)
	}
	f(`finish($1::text::uuid)`, "done at c over | a done, b done, c done, d skipped")
	f(`fail($1::text::uuid, 'no more')`, "failed at c error: no more over | a done, b cancelled, c cancelled, d skipped")
	f(`cancel($1::text::uuid)`, "cancelled at c over | a done, b cancelled, c cancelled, d skipped")
	f(`cancel($1::text::uuid, 'i ann')`, "cancelled at c over | a done, b cancelled, c cancelled, d skipped")
	id := s.guest.get(`weir.workflow_create('w', owner => 'i ann')`)
	s.call("false", id, `cancel($1::text::uuid, 'i bob')`)
	s.wantRun(id, "running |")
	s.call("false", s.guest.get(`gen_random_uuid()`), `cancel($1::text::uuid)`)
}

func TestWorkflowHasAtMost200Steps(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	id := s.guest.get(`weir.workflow_create('w', steps => array(select n::text from generate_series(1, 200) n))`)
	s.guest.refused("22023", "at most 200 steps", `weir.workflow_step_start($1::text::uuid, 'one more')`, id)
	s.call("true", id, start, "200")
}
