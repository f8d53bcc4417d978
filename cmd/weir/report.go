package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host"
	"weir/reactor"
)

// reporter prints one line for each run of a query and for each event of the
// host. What it is told never blocks: lines that do not fit are counted.
type reporter struct {
	out   *printer
	runs  chan reactor.Run
	quiet bool // no lines for runs
	down  atomic.Bool

	mu     sync.Mutex // protects the fields below
	url    string     // where tables have their names
	tables map[uint32]string
	missed int
}

func newReporter(out *printer) *reporter {
	return &reporter{out: out, runs: make(chan reactor.Run, 1024)}
}

// use says which database the runs read from now on.
func (r *reporter) use(url string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.url, r.tables = url, map[uint32]string{}
}

// observe takes a run. It does not block.
func (r *reporter) observe(run reactor.Run) {
	if r.quiet {
		return
	}
	select {
	case r.runs <- run:
	default:
		r.mu.Lock()
		r.missed++
		r.mu.Unlock()
	}
}

// run prints until ctx ends.
func (r *reporter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case run := <-r.runs:
			r.out.eventf("%s", r.line(ctx, run))
			r.mu.Lock()
			missed := r.missed
			r.missed = 0
			r.mu.Unlock()
			if missed > 0 {
				r.out.eventf("… and %s that were too many to print", counted(missed, "run"))
			}
		}
	}
}

// line is a run in one line: what ran, why, how long, for whom, what came of it.
func (r *reporter) line(ctx context.Context, run reactor.Run) string {
	outcome := "new frame " + size(int64(run.Size))
	switch {
	case run.Err != nil:
		outcome = "failed: " + oneLine(run.Err.Error())
	case run.Answer != reactor.Unknown && run.Reason != "":
		outcome = run.Answer.String() + ": " + oneLine(run.Reason)
	case run.Answer != reactor.Unknown:
		outcome = run.Answer.String()
	case run.Same:
		outcome = "same result, no frame"
	}
	return strings.Join([]string{run.Name, r.cause(ctx, run.Cause), millis(run.Cost), counted(run.Subscribers, "watcher"), outcome}, "  ")
}

func (r *reporter) cause(ctx context.Context, c reactor.Cause) string {
	text := c.Reason.String()
	if c.Change == nil {
		return text
	}
	if c.Change.Table != 0 { // a definition may belong to no table
		text += ": " + c.Change.Op.String() + " " + r.table(ctx, c.Change.Table)
	}
	text += fmt.Sprintf(" (tx %d)", c.Change.XID)
	if c.More > 0 {
		text += fmt.Sprintf(" and %d more", c.More)
	}
	return text
}

// table returns a table's name. It asks the database once for each.
func (r *reporter) table(ctx context.Context, oid uint32) string {
	r.mu.Lock()
	name, known := r.tables[oid]
	url := r.url
	r.mu.Unlock()
	if known {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err := withConn(ctx, url, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select coalesce(to_regclass($1::oid::regclass::text)::text, '')`, oid).Scan(&name)
	})
	if name == "" {
		name = fmt.Sprintf("table %d", oid)
	}
	if err != nil {
		return name // not kept: the database may be away for a moment
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.url == url {
		r.tables[oid] = name
	}
	return name
}

// event prints an event of the host. It does not block for long: the printer is
// a terminal or a file.
func (r *reporter) event(e host.Event) {
	text := oneLine(e.Text)
	switch e.Kind {
	case host.GuestLog:
		r.out.eventf("%s  log: %s", e.Name, text)
		return
	case host.DatabaseUp:
		// That it is there at the start is what everybody expects.
		if !r.down.Swap(false) {
			return
		}
	case host.DatabaseDown:
		r.down.Store(true)
	case host.PluginRemoved:
		text = strings.TrimSpace(e.Name + " " + text)
	default:
		if e.Name != "" {
			text = strings.TrimSuffix(e.Name+": "+text, ": ")
		}
	}
	line := string(e.Kind)
	if text != "" {
		line += "  " + text
	}
	if e.Err != nil {
		line += "  " + oneLine(e.Err.Error())
	}
	r.out.eventf("%s", line)
}

// storyHandler prints log records as lines for people: what happens to the
// private database is part of the story of a start.
type storyHandler struct{ out *printer }

// Enabled takes everything but debugging.
func (h *storyHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// Handle prints the message and its attributes in words.
func (h *storyHandler) Handle(_ context.Context, rec slog.Record) error {
	var parts []string
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key != "pid" {
			parts = append(parts, a.Key+" "+a.Value.String())
		}
		return true
	})
	text := rec.Message
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	h.out.eventf("%s", oneLine(text))
	return nil
}

// WithAttrs drops them: the records say enough.
func (h *storyHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup does nothing, likewise.
func (h *storyHandler) WithGroup(string) slog.Handler { return h }
