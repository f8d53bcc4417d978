package host

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/host/db"
	"weir/host/serve"
	"weir/reactor/changelog"
)

// health is what the host knows of the database.
type health struct {
	mu    sync.Mutex // protects the field below
	state changelog.State
	known bool
}

// capturing implements changelog.Config.State.
func (h *Host) capturing(s changelog.State) {
	h.health.mu.Lock()
	was, known := h.health.state.Healthy, h.health.known
	h.health.state, h.health.known = s, true
	h.health.mu.Unlock()
	h.reactor.SetUncaptured(s.Uncaptured)
	switch {
	case s.Healthy && (!known || !was):
		h.loader.retry()
		h.cfg.Event(Event{Kind: DatabaseUp})
	case !s.Healthy && (!known || was):
		h.cfg.Event(Event{Kind: DatabaseDown, Err: s.Err})
	}
}

// conditions are those of /readyz.
func (h *Host) conditions() []serve.Condition {
	h.health.mu.Lock()
	state := h.health.state
	h.health.mu.Unlock()
	capture := serve.Condition{Name: "capture", OK: state.Healthy}
	if !state.Healthy {
		capture.Message = "the change log has not been read yet"
		if state.Err != nil {
			capture.Message = "the change log cannot be read: " + state.Err.Error()
		}
	}
	tables := serve.Condition{Name: "tables", OK: len(state.Uncaptured) == 0}
	if !tables.OK {
		why := slices.Sorted(maps.Values(state.Uncaptured))
		tables.Message = "not captured: " + strings.Join(why, "; ") + ": run weir db setup"
	}
	plugins := serve.Condition{Name: "plugins", OK: h.loader.tried()}
	if !plugins.OK {
		plugins.Message = "the plugins are not loaded yet"
	}
	var failed []string
	for _, s := range h.spaces {
		for path, err := range s.plugins.Errors() {
			failed = append(failed, fmt.Sprintf("%s: %v", filepath.Base(path), err))
		}
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		plugins.OK, plugins.Message = false, strings.Join(failed, "; ")
	}
	return []serve.Condition{capture, tables, plugins}
}

// logStats are the figures of the change log for /metrics.
type logStats struct {
	Healthy    bool
	Age        time.Duration // since the last read began
	Reads      int64
	Changes    int64
	Resyncs    int64
	Collapsed  int64
	Reconnects int64
	Rotations  int64
	LogBytes   int64
	Uncaptured int // tables
}

func (h *Host) logStats() logStats {
	s := h.log.Stats()
	out := logStats{
		Healthy: s.Healthy, Reads: s.Reads, Changes: s.Changes, Resyncs: s.Resyncs, Collapsed: s.Collapsed,
		Reconnects: s.Reconnects, Rotations: s.Rotations, LogBytes: s.LogBytes, Uncaptured: len(s.Uncaptured),
	}
	if !s.LastRead.IsZero() {
		out.Age = time.Since(s.LastRead)
	}
	return out
}

// databaseStats adds up the figures of all tenants.
func (h *Host) databaseStats() db.Stats {
	var sum db.Stats
	for _, s := range h.spaces {
		d := s.database.Stats()
		sum.Waves += d.Waves
		sum.Retries += d.Retries
		sum.Failures += d.Failures
		sum.Dials += d.Dials
		sum.Cancels += d.Cancels
		sum.InUse += d.InUse
		sum.Idle += d.Idle
		sum.Analyses += d.Analyses
	}
	return sum
}
