package host

import (
	"errors"
	"sync"
	"time"

	"weir/host/wasm"
	"weir/reactor"
)

// runLog tells the log why runs fail: a line a second for each function, or ten
// thousand groups that fail together would fill the disk.
type runLog struct {
	mu   sync.Mutex // protects the fields below
	last map[string]time.Time
	more map[string]int
}

// observe implements reactor.Config.Observe.
func (h *Host) observe(run reactor.Run) {
	if h.cfg.Observe != nil {
		h.cfg.Observe(run)
	}
	h.costs.add(&run)
	h.timings.add(&run)
	h.trace.ran(&run)
	if errors.Is(run.Err, reactor.ErrEpoch) && h.stray.strayed(time.Now()) {
		h.connectAnew()
	}
	if run.Err != nil {
		deadline := "query_timeout"
		if run.Policy {
			deadline = "policy_timeout"
		}
		h.limited(run.Tenant, run.Err, deadline)
		h.failed(run.Tenant, run.Name, run.Err, run.Cause.Reason.String())
	}
}

// failed tells the log why a function has no result.
func (h *Host) failed(tenantName, function string, err error, cause string) {
	name := tenantName + "\x00" + function
	l := &h.runs
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.last[name]) < time.Second {
		l.more[name]++
		return
	}
	if l.last == nil || len(l.last) > 1000 { // names come from plugins
		l.last, l.more = map[string]time.Time{}, map[string]int{}
	}
	attrs := []any{"tenant", tenantName, "func", function, "cause", cause, "err", err, "more", l.more[name]}
	var trap *wasm.TrapError
	if errors.As(err, &trap) && trap.Trace != "" {
		attrs = append(attrs, "trace", trap.Trace)
	}
	h.cfg.Logger.Warn("run failed", attrs...)
	l.last[name], l.more[name] = time.Now(), 0
}
