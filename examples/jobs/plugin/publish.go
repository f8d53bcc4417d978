package main

import (
	"errors"

	weir "weir/plugins/guest"
)

// A poster that is painted and was not published yet. weir.jobs can be read like
// any table; it shows the tenant's own rows.
var painted = weir.Select[OneArgs, struct{ Title string }](`
	select p.title from posters p join weir.jobs j on j.job_id = p.job_id
	where p.id = $id and p.owner = $me and p.run_id is null and j.status = 'done'`)

// Run is a run of the workflow.
type Run struct {
	Run string `json:"run"`
}

// The steps are named before, so that the page can show what is to come.
var begin = weir.Exec[OneArgs, Run](`
	update posters set run_id = weir.workflow_create('poster.publish', jsonb_build_object('poster', id),
		steps => '{proof,approval,print,deliver}', owner => $me)
	where id = $id and owner = $me returning run_id::text as run`)

// DriveArgs is a run that a worker is to drive on.
type DriveArgs struct {
	Me  string
	Run string
}

var drive = weir.Exec[DriveArgs, struct{ Job string }](`
	select weir.job_create('poster.publish', jsonb_build_object('run', $run::text), queue => 'posters', owner => $me)::text as job`)

func publish(c *weir.Call, a OneArgs) (Run, error) {
	if _, err := painted.One(c, a); errors.Is(err, weir.ErrNoRow) {
		return Run{}, weir.Fail("not_ready", "only a painted poster can be published, and only once")
	} else if err != nil {
		return Run{}, err
	}
	run, err := begin.One(c, a)
	if err != nil {
		return Run{}, err
	}
	_, err = drive.One(c, DriveArgs{Me: a.Me, Run: run.Run})
	return run, err
}

// AnswerArgs is the word that a run waits for.
type AnswerArgs struct {
	Me  string `claim:"principal"`
	ID  int64  `json:"id"`
	Yes bool   `json:"yes"`
}

// Answered says whether the run had waited for the answer.
type Answered struct {
	Run  string `json:"run"`
	Done bool   `json:"done"`
}

var approve = weir.Exec[OneArgs, Answered](`
	select run_id::text as run, weir.workflow_step_finish(run_id, 'approval', to_jsonb($me::text)) as done
	from posters where id = $id and owner = $me and run_id is not null`)

var decline = weir.Exec[OneArgs, Answered](`
	select run_id::text as run, weir.workflow_cancel(run_id, $me) as done
	from posters where id = $id and owner = $me and run_id is not null`)

// answer finishes the waiting step, and has a worker go on behind it.
func answer(c *weir.Call, a AnswerArgs) (Answered, error) {
	one := OneArgs{Me: a.Me, ID: a.ID}
	command := decline
	if a.Yes {
		command = approve
	}
	out, err := command.One(c, one)
	switch {
	case errors.Is(err, weir.ErrNoRow) || err == nil && !out.Done:
		return Answered{}, weir.Fail("too_late", "nothing waits for that answer")
	case err != nil || !a.Yes:
		return out, err
	}
	_, err = drive.One(c, DriveArgs{Me: a.Me, Run: out.Run})
	return out, err
}
