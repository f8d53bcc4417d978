package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"weir/abi"
	"weir/host/db"
	"weir/host/policy"
	"weir/host/wasm"
	"weir/reactor"
)

// executor runs waves: statements and plans of a wave in one read transaction,
// a function that looks at its rows in one of its own. It implements
// reactor.Executor and is safe for concurrent use.
type executor struct {
	host *Host
}

var _ reactor.Executor = (*executor)(nil)

// tries bounds how often work begins again for reasons that are not its own: a
// serialization failure, tables rewritten under it (R9), a plugin replaced.
const tries = 3

// job is one execution of a wave: which queries of the wave are its own, and
// how its result is made of them.
type job struct {
	call    *call
	queries []db.Query
	view    *wasm.View    // of a plan
	asked   []*wasm.Query // of the view, beside queries
}

// Execute implements reactor.Executor.
func (x *executor) Execute(ctx context.Context, wave []*reactor.Execution) []reactor.Result {
	if c := wave[0].Call.(*call); len(wave) == 1 && !c.waves() && wave[0].Plan == nil {
		return []reactor.Result{x.guest(ctx, c, wave[0])}
	}
	now := time.Now()
	results := make([]reactor.Result, len(wave))
	jobs := make([]job, len(wave))
	var queries []db.Query
	for i, e := range wave {
		jobs[i], results[i].Err = newJob(e, now)
		queries = append(queries, jobs[i].queries...)
	}
	p, inner := patienceOf(ctx, wave), ctx
	if p.wave > 0 {
		var cancel context.CancelFunc
		inner, cancel = context.WithTimeout(ctx, p.wave)
		defer cancel()
	}
	answers, err := wave[0].Call.(*call).space.database.Wave(inner, queries)
	took := time.Since(now)
	cost := took / time.Duration(len(wave)) // what one of them adds
	rest := answers.Answers
	for i, e := range wave {
		own := rest[:min(len(jobs[i].queries), len(rest))]
		rest = rest[len(own):]
		switch {
		case results[i].Err != nil:
		case err != nil:
			results[i].Err = err
			// Who is to blame is not known: PostgreSQL sends the answers of a
			// pipeline together. By itself each of them will show.
			results[i].Alone = len(wave) > 1 && ctx.Err() == nil && !db.Retryable(err)
		default:
			results[i] = jobs[i].result(e, &answers, own)
			results[i].Alone = took > p.run
		}
		results[i].Cost = cost
	}
	return results
}

// patience is how long executions may take.
type patience struct {
	wave time.Duration // then the wave is given up; zero: not before the deadline
	run  time.Duration // then each of them runs by itself from now on
}

// patienceOf keeps a slow statement from holding up the others of its wave. A wave
// of several gets a quarter of the time that is left. What took long runs by
// itself next time, and returns to the waves when 64 of its kind, the most that
// share one, would be done in time: sharing saves a tenth of a millisecond, which
// the slow do not need.
func patienceOf(ctx context.Context, wave []*reactor.Execution) patience {
	left := time.Minute
	if end, ok := ctx.Deadline(); ok {
		left = time.Until(end)
	}
	switch {
	case len(wave) > 1:
		return patience{wave: left / 4, run: left / 20}
	case wave[0].Alone:
		return patience{run: left / 256}
	}
	return patience{run: left / 20}
}

// newJob makes the queries of an execution that needs no guest.
func newJob(e *reactor.Execution, now time.Time) (job, error) {
	c := e.Call.(*call)
	j := job{call: c}
	if c.waves() {
		j.queries = []db.Query{c.query(now)}
		return j, nil
	}
	p := e.Plan.(*plan)
	if p.view == nil {
		return j, nil
	}
	j.view, j.asked = p.view.Again()
	prepared := c.prepared()
	for _, q := range j.asked {
		if q.Statement < 0 {
			return j, errors.New("BUG: a plan with dynamic SQL")
		}
		j.queries = append(j.queries, db.Query{Statement: prepared.reads[q.Statement], Args: q.Args, Now: now})
	}
	return j, nil
}

// result makes an execution's result of the answers of its queries.
func (j *job) result(e *reactor.Execution, w *db.Wave, answers []db.Answer) reactor.Result {
	r := reactor.Result{
		Epoch: w.Epoch, Snapshot: w.Snapshot, Reads: db.ReadSet(answers), WakeAt: db.WakeAt(answers), Plan: e.Plan,
	}
	for i := range answers {
		if r.Err = answers[i].Err; r.Err != nil {
			return r
		}
	}
	limit := int(j.call.limits().MaxResultBytes)
	var content []byte
	switch {
	case j.call.decides():
		return j.decision(r, answers)
	case j.call.waves():
		content, r.Err = appendRows(nil, j.queries[0].Statement.Key(), answers[0].Rows, limit)
	case j.view != nil:
		for i, q := range j.asked {
			q.Rows = answers[i].Rows
		}
		content, r.Err = appendView(nil, viewKey(j.call, j.view), j.view, limit)
	default:
		content, r.Err = appendValue(nil, e.Plan.(*plan).value, limit)
	}
	r.Frame = frame(j.call, e, content)
	return r
}

// decision makes the result of a policy: a statement's rows, or the value that a
// guest gave without looking at anything.
func (j *job) decision(r reactor.Result, answers []db.Answer) reactor.Result {
	if j.call.waves() {
		r.WakeAt, _ = answers[0].Rows.WakeAt()
		return decided(j.call, r, policy.Outcome{Rows: answers[0].Rows})
	}
	return decided(j.call, r, policy.Outcome{Value: r.Plan.(*plan).value})
}

// decided reads a policy's answer. One that cannot be read is an error: it has
// decided nothing (F4).
func decided(c *call, r reactor.Result, out policy.Outcome) reactor.Result {
	d, err := policy.Read(out)
	if err != nil {
		r.Err = fmt.Errorf("policy %s: %w", c.fn.Name, err)
		return r
	}
	r.Decision = &d
	return r
}

// frame encodes a result, or returns the last frame when it is the same.
func frame(c *call, e *reactor.Execution, content []byte) *reactor.Frame {
	if e.Last != nil && bytes.Equal(e.Last.Content(), content) {
		return e.Last
	}
	return reactor.NextFrame(e.Last, e.Query, content, c.limits().MaxCachedBytes)
}

// viewKey is the row key of rows that a guest chose: that of their statement,
// unless columns were left out.
func viewKey(c *call, v *wasm.View) []string {
	q := v.Query()
	if q.Statement < 0 || v.Projected() {
		return nil
	}
	return c.prepared().reads[q.Statement].Key()
}

// guest runs a function that may look at its rows.
func (x *executor) guest(ctx context.Context, c *call, e *reactor.Execution) reactor.Result {
	began := time.Now()
	if c.decides() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.limits().PolicyTimeout)
		defer cancel()
	}
	out, read, err := x.host.read(ctx, c, began)
	r := reactor.Result{Err: refusal(err)}
	switch {
	case err != nil:
	case c.decides():
		r = guestDecision(c, out, read)
	default:
		r = guestResult(c, e, out, read)
	}
	r.Cost = time.Since(began)
	return r
}

// guestDecision makes a result of what a guest policy returned.
func guestDecision(c *call, out *wasm.Output, read *reading) reactor.Result {
	r := reactor.Result{Epoch: read.epoch, Snapshot: read.snapshot, Reads: db.ReadSet(read.answers), WakeAt: out.WakeAt}
	if out.Kind == wasm.OutputError {
		r.Err = outputError(c, out)
		return r
	}
	if d, err := abi.DecodeDecision(out.Value); err == nil && d.WakeAt != 0 {
		if at := time.UnixMicro(d.WakeAt); r.WakeAt.IsZero() || at.Before(r.WakeAt) {
			r.WakeAt = at
		}
	}
	if !out.Looked && out.Kind == wasm.OutputValue && r.WakeAt.IsZero() {
		r.Plan = &plan{value: out.Value}
	}
	return decided(c, r, policy.Outcome{Value: out.Value})
}

// guestResult makes a result of what a guest returned.
func guestResult(c *call, e *reactor.Execution, out *wasm.Output, read *reading) reactor.Result {
	r := reactor.Result{Epoch: read.epoch, Snapshot: read.snapshot, Reads: db.ReadSet(read.answers), WakeAt: out.WakeAt}
	if at := db.WakeAt(read.answers); r.WakeAt.IsZero() || !at.IsZero() && at.Before(r.WakeAt) {
		r.WakeAt = at
	}
	limit := int(c.limits().MaxResultBytes)
	var content []byte
	next := &plan{}
	switch out.Kind {
	case wasm.OutputRows:
		content, r.Err = appendView(nil, viewKey(c, out.View), out.View, limit)
		next.view = out.View
		for _, q := range out.View.Queries() {
			if q.Statement < 0 {
				next = nil // made-up SQL is prepared by name, not by index
				break
			}
		}
	case wasm.OutputError:
		r.Err = outputError(c, out)
	case wasm.OutputValue:
		content, r.Err = appendValue(nil, out.Value, limit)
		next.value = out.Value
	case wasm.OutputNone:
		next.value = abi.Null().AppendCBOR(nil)
		content, r.Err = appendValue(nil, next.value, limit)
	}
	if r.Err != nil {
		return r
	}
	if !out.Looked && next != nil {
		r.Plan = next
	}
	r.Frame = frame(c, e, content)
	return r
}
