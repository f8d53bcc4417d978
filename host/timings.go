package host

import (
	"sync/atomic"

	"weir/host/serve"
	"weir/reactor"
)

// timings are the histograms of the way of a change, as far as the reactor goes;
// the rest is the server's.
type timings struct {
	written, apply, wait, run, publish serve.Histogram
	coalesced, flips                   atomic.Uint64
}

// add counts a run. The loop calls it.
func (t *timings) add(run *reactor.Run) {
	t.wait.Add(run.Waited)
	t.run.Add(run.Cost)
	t.publish.Add(run.Held)
	t.coalesced.Add(uint64(run.Cause.More))
	if run.Policy && run.Err == nil && !run.Same && run.Cause.Reason != reactor.First {
		t.flips.Add(1)
	}
}

// reactorStats are the reactor's figures for /metrics, with what its runs tell.
type reactorStats struct {
	reactor.Stats

	Written *serve.Histogram `help:"From the statement that wrote a change until the read of the log that saw it, by the database's clock. What was left of its transaction is in it."`
	Apply   *serve.Histogram `help:"From the beginning of a read of the change log until the results that its changes concern are marked."`
	Wait    *serve.Histogram `help:"From the mark of a result until it runs."`
	Run     *serve.Histogram `help:"Time that an execution took; its part, when it shared a transaction."`
	Publish *serve.Histogram `help:"From the end of an execution until its result is published, or held for its decisions."`

	// Since the start.
	Coalesced uint64 `help:"Further marks of results that were to run already: changes that cost no run of their own."`
	Flips     uint64 `help:"Decisions that changed their answer or scope."`
}

func (h *Host) reactorStats() reactorStats {
	t := &h.timings
	return reactorStats{
		Stats: h.reactor.Stats(), Written: &t.written, Apply: &t.apply, Wait: &t.wait, Run: &t.run, Publish: &t.publish,
		Coalesced: t.coalesced.Load(), Flips: t.flips.Load(),
	}
}
