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
	for _, s := range h.spaces() {
		for path, err := range s.plugins.Errors() {
			failed = append(failed, fmt.Sprintf("%s: %v", filepath.Base(path), err))
		}
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		plugins.OK, plugins.Message = false, strings.Join(failed, "; ")
	}
	required := serve.Condition{Name: "policies", OK: true, Mild: true}
	if h.loader.tried() {
		var missing []string
		for _, s := range h.spaces() {
			for _, l := range s.unmet() {
				missing = append(missing, l.sentence)
			}
		}
		slices.Sort(missing)
		required.OK, required.Message = len(missing) == 0, strings.Join(missing, "; ")
	}
	// The one before serves on, so that a mistake in a file takes no node away.
	file := serve.Condition{Name: "config", OK: true, Mild: true}
	if fault := h.fault.Load(); fault != nil {
		file.OK, file.Message = false, *fault
	}
	list := []serve.Condition{capture, tables, plugins, required, file}
	if h.tls != nil {
		list = append(list, h.tls.condition())
	}
	return list
}

// logStats are the figures of the change log for /metrics.
type logStats struct {
	Healthy    bool          `help:"Whether the change log is read."`
	Age        time.Duration `help:"Time since the last read of the change log began."`
	LogBytes   int64         `help:"Size of the change log in the database."`
	Uncaptured int           `help:"Tables whose changes are not captured as they should be."`

	// Since the start.
	Reads      uint64 `help:"Reads of the change log."`
	Changes    uint64 `help:"Changes read."`
	Resyncs    uint64 `help:"Times that every result had to run again, because changes may have been missed."`
	Collapsed  uint64 `help:"Reads with so many changes that only their tables were told apart."`
	Reconnects uint64 `help:"Connections of the change log's reader, the first included."`
	Rotations  uint64 `help:"Rotations of the change log's partitions."`
}

func (h *Host) logStats() logStats {
	s := h.log.Stats()
	out := logStats{
		Healthy: s.Healthy, LogBytes: s.LogBytes, Uncaptured: len(s.Uncaptured),
		Reads: uint64(s.Reads), Changes: uint64(s.Changes), Resyncs: uint64(s.Resyncs), Collapsed: uint64(s.Collapsed),
		Reconnects: uint64(s.Reconnects), Rotations: uint64(s.Rotations),
	}
	if !s.LastRead.IsZero() {
		out.Age = time.Since(s.LastRead)
	}
	return out
}

// databaseStats are the figures of all tenants' SQL.
type databaseStats struct {
	InUse    int `help:"Connections for plugins' SQL that are in use."`
	Idle     int `help:"Connections for plugins' SQL that are idle."`
	Analyses int `help:"Statement texts whose read set is known."`

	// Since the start.
	Waves    uint64 `help:"Read transactions."`
	Retries  uint64 `help:"Transactions that were run again."`
	Failures uint64 `help:"Statements that PostgreSQL refused."`
	Dials    uint64 `help:"Connections made."`
	Cancels  uint64 `help:"Statements cancelled on the server."`
}

func (h *Host) databaseStats() databaseStats {
	var sum databaseStats
	var all db.Stats
	t := h.tenants.Load()
	for _, past := range t.past {
		all = counters(all, past)
	}
	for _, s := range t.spaces {
		d := s.database.Stats()
		sum.InUse += d.InUse
		sum.Idle += d.Idle
		sum.Analyses += d.Analyses
		all = counters(all, d)
	}
	sum.Waves, sum.Retries, sum.Failures = uint64(all.Waves), uint64(all.Retries), uint64(all.Failures)
	sum.Dials, sum.Cancels = uint64(all.Dials), uint64(all.Cancels)
	return sum
}

// pluginStats are the figures of all plugins.
type pluginStats struct {
	Plugins    int   `help:"Plugins that serve."`
	Failed     int   `help:"Files whose newest version does not serve."`
	Instances  int   `help:"Instances of guests, idle ones included."`
	Idle       int   `help:"Instances of guests that wait for a call."`
	IdleBytes  int64 `help:"Estimate of the memory that idle instances keep for themselves."`
	ImageBytes int64 `help:"Memory of the images that instances are born from and share."`

	// Since the start, of plugins that were replaced too.
	Calls   uint64 `help:"Calls of guests, those to describe themselves included."`
	Started uint64 `help:"Instances of guests made."`
	Dropped uint64 `help:"Instances of guests given up after a fault."`
	Resets  uint64 `help:"Times that an instance was made what it was before its first call."`
	Regrown uint64 `help:"Calls that grew the memory of their instance."`
	Evicted uint64 `help:"Idle instances given up because all together kept too much memory."`
}

func (h *Host) pluginStats() pluginStats {
	all := h.runtime.Totals()
	sum := pluginStats{
		Calls: uint64(all.Calls), Started: uint64(all.Started), Dropped: uint64(all.Dropped),
		Resets: uint64(all.Resets), Regrown: uint64(all.Regrown), Evicted: uint64(all.Evicted),
	}
	for _, s := range h.spaces() {
		sum.Failed += len(s.plugins.Errors())
		for _, p := range s.plugins.All() {
			sum.Plugins++
			of := p.Stats()
			sum.Instances += of.Instances
			sum.Idle += of.Idle
			sum.IdleBytes += of.IdleBytes
			sum.ImageBytes += of.ImageBytes
		}
	}
	return sum
}
