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
	if run.Err == nil {
		return
	}
	l := &h.runs
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.last[run.Name]) < time.Second {
		l.more[run.Name]++
		return
	}
	if l.last == nil || len(l.last) > 1000 { // names come from plugins
		l.last, l.more = map[string]time.Time{}, map[string]int{}
	}
	attrs := []any{"func", run.Name, "cause", run.Cause.Reason.String(), "err", run.Err, "more", l.more[run.Name]}
	var trap *wasm.TrapError
	if errors.As(run.Err, &trap) && trap.Trace != "" {
		attrs = append(attrs, "trace", trap.Trace)
	}
	h.cfg.Logger.Warn("run failed", attrs...)
	l.last[run.Name], l.more[run.Name] = time.Now(), 0
}
