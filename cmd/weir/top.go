package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/host"
)

func (m *Main) topCommand() *cobra.Command {
	var flags adminFlags
	var by, tenant string
	var count int
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show what a running weir does: rates, the change log, the results that matter most",
		Long: "Show what a running weir does, drawn again every two seconds: rates, the change log, and the\n" +
			"live results with most watchers, cost or failures. Elsewhere than in a terminal it prints one\n" +
			"picture and ends. It asks the admin listener.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if by != "watchers" && by != "cost" && by != "failures" {
				return usagef("--by %q is none of watchers, cost, failures", by)
			}
			c, err := m.adminClient(flags)
			if err != nil {
				return err
			}
			defer c.close()
			if !m.Terminal && count == 0 {
				count = 1
			}
			t := &top{m: m, client: c, by: by, tenant: tenant}
			return t.run(cmd.Context(), count, max(every, 200*time.Millisecond))
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&by, "by", "watchers", "order the results by watchers, cost or failures")
	cmd.Flags().StringVar(&tenant, "tenant", "", "only the results of this tenant")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "end after this many pictures")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "time between two pictures")
	return cmd
}

// top draws what the admin listener says.
type top struct {
	m          *Main
	client     *client
	by, tenant string
	last       overview
	at         time.Time
}

// overview is what is read of /api/overview.
type overview struct {
	Version    string      `json:"version"`
	UpMS       host.Millis `json:"up_ms"`
	Conditions []struct {
		Name, Message string
		OK            bool
	} `json:"conditions"`
	Log struct {
		Healthy    bool        `json:"healthy"`
		AgeMS      host.Millis `json:"age_ms"`
		Bytes      int64       `json:"bytes"`
		Changes    uint64      `json:"changes"`
		Uncaptured []string    `json:"uncaptured"`
	} `json:"log"`
	Reactor struct {
		Groups        int         `json:"groups"`
		Subscriptions int         `json:"subscriptions"`
		Running       int         `json:"running"`
		Waiting       int         `json:"waiting"`
		OldestMS      host.Millis `json:"oldest_dirty_ms"`
		Executions    uint64      `json:"executions"`
		Same          uint64      `json:"same"`
		Failed        uint64      `json:"failed"`
	} `json:"reactor"`
	Streams struct {
		Sessions   int    `json:"sessions"`
		Frames     uint64 `json:"frames"`
		FrameBytes uint64 `json:"frame_bytes"`
	} `json:"streams"`
	Database struct {
		InUse int `json:"in_use"`
		Idle  int `json:"idle"`
	} `json:"database"`
}

// liveGroup is what is read of /api/groups.
type liveGroup struct {
	Tenant, Function, Args, State, Answer string
	Policy                                bool
	Hidden, Watchers, Runs                int
	CostMS                                host.Millis `json:"cost_ms"`
	SpentMS                               host.Millis `json:"spent_ms"`
	Bytes                                 int64
}

func (t *top) run(ctx context.Context, count int, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for seen := 1; ; seen++ {
		if err := t.picture(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if count > 0 && seen >= count {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// topGroups is how many results are listed.
const topGroups = 20

func (t *top) picture(ctx context.Context) error {
	var now overview
	var groups []liveGroup
	if err := t.client.adminJSON(ctx, "/api/overview", nil, "", &now); err != nil {
		return err
	}
	params := url.Values{"by": {t.by}, "tenant": {t.tenant}, "limit": {fmt.Sprint(topGroups)}}
	if err := t.client.adminJSON(ctx, "/api/groups", params, "", &groups); err != nil {
		return err
	}
	at := time.Now()
	text := topText(&now, groups, t.rates(&now, at))
	t.last, t.at = now, at
	if t.m.Terminal {
		text = "\x1b[H\x1b[J\x1b[?7l" + text + "\x1b[?7h"
	}
	_, err := fmt.Fprint(t.m.Stdout, text)
	return err
}

// rates are changes, runs and frames a second, since the picture before or the
// start.
func (t *top) rates(now *overview, at time.Time) [3]float64 {
	seconds := at.Sub(t.at).Seconds()
	last := t.last
	if t.at.IsZero() || now.UpMS < last.UpMS { // the first, or it was started again
		seconds, last = float64(now.UpMS)/1000, overview{}
	}
	rate := func(a, b uint64) float64 {
		if seconds <= 0 || a < b {
			return 0
		}
		return float64(a-b) / seconds
	}
	return [3]float64{
		rate(now.Log.Changes, last.Log.Changes), rate(now.Reactor.Executions, last.Reactor.Executions), rate(now.Streams.Frames, last.Streams.Frames),
	}
}

func topText(o *overview, groups []liveGroup, rates [3]float64) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s%s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	line("weir", "%s, up %s", o.Version, strings.TrimSuffix(ago(o.UpMS), " ago"))
	for _, c := range o.Conditions {
		if !c.OK {
			line("not ok", "%s: %s", c.Name, c.Message)
		}
	}
	line("rates", "%.1f changes/s  %.1f runs/s  %.1f frames/s", rates[0], rates[1], rates[2])
	same := 0.0
	if o.Reactor.Executions > 0 {
		same = 100 * float64(o.Reactor.Same) / float64(o.Reactor.Executions)
	}
	line("runs", "%d, %.0f %% same result, %d failed, %d in flight, %d waiting (oldest %s)",
		o.Reactor.Executions, same, o.Reactor.Failed, o.Reactor.Running, o.Reactor.Waiting, millis(duration(o.Reactor.OldestMS)))
	line("live", "%s and decisions, %s, %s, %s sent", counted(o.Reactor.Groups, "result"), counted(o.Reactor.Subscriptions, "subscription"),
		counted(o.Streams.Sessions, "stream"), size(int64(o.Streams.FrameBytes)))
	state := "read " + ago(o.Log.AgeMS)
	if !o.Log.Healthy {
		state = "not read"
	}
	line("log", "%s, %s, %d connections of plugins in use, %d idle", state, size(o.Log.Bytes), o.Database.InUse, o.Database.Idle)
	for _, u := range o.Log.Uncaptured {
		line("", "not captured: %s", u)
	}
	b.WriteByte('\n')
	fmt.Fprintf(&b, "%8s %7s %10s %10s %9s  %-8s %s\n", "WATCHERS", "RUNS", "EACH", "TOTAL", "SIZE", "STATE", "RESULT")
	for _, g := range groups {
		what, bytes := g.Function+" "+g.Args, size(g.Bytes)
		if g.Hidden > 0 && !g.Policy {
			what += fmt.Sprintf(" + %d of the caller", g.Hidden)
		}
		if g.Policy {
			what, bytes = g.Function+": "+g.Answer, "policy"
		}
		fmt.Fprintf(&b, "%8d %7d %10s %10s %9s  %-8s %s\n", g.Watchers, g.Runs, millis(duration(g.CostMS)), millis(duration(g.SpentMS)), bytes, g.State, oneLine(what))
	}
	return b.String()
}
