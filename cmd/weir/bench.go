package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/host/load"
)

// benchPlan is the size of a run.
type benchPlan struct {
	Mode          string        `json:"mode"`
	Sessions      int           `json:"sessions"`
	Subscriptions int           `json:"subscriptions"`
	Groups        int           `json:"groups"`
	Rate          float64       `json:"rate"`
	Each          int           `json:"each"`
	Size          int           `json:"size"`
	Duration      time.Duration `json:"-"`
	Count         int           `json:"count,omitempty"`
	OpenRate      int           `json:"open_rate,omitempty"`
	Stalled       int           `json:"stalled,omitempty"`
	Writers       int           `json:"writers"`
	Settle        time.Duration `json:"-"`
}

// benchModes are what can be measured, each at a laptop's size and, with --full, at
// that of its row in docs/benchmarks.md.
var benchModes = []struct {
	name, says  string
	small, full benchPlan
}{
	{"latency", "commit to client while groups change at a rate", benchPlan{Sessions: 200, Subscriptions: 5, Groups: 200, Rate: 100}, benchPlan{Sessions: 2000, Subscriptions: 5, Groups: 2000, Rate: 300}},
	{"idle", "memory of a stream that waits", benchPlan{Sessions: 1000, Groups: 1}, benchPlan{Sessions: 10_000, Groups: 1}},
	{"fanout", "one group, everybody watches it; the next write when all have seen the last", benchPlan{Sessions: 1000, Groups: 1, Count: 50}, benchPlan{Sessions: 10_000, Groups: 1, Count: 50}},
	{"mixed", "many groups change, and one that everybody watches, once a second", benchPlan{Sessions: 500, Subscriptions: 5, Groups: 500, Rate: 100}, benchPlan{Sessions: 10_000, Subscriptions: 5, Groups: 10_000, Rate: 1000}},
	{"herd", "the server is killed, and all come back at once", benchPlan{Sessions: 500, Subscriptions: 5, Groups: 200}, benchPlan{Sessions: 10_000, Subscriptions: 5, Groups: 2000}},
	{"stalled", "a fifth stops reading: what do the others notice", benchPlan{Sessions: 200, Groups: 1, Rate: 50, Size: 4096, Stalled: 40}, benchPlan{Sessions: 3000, Groups: 1, Rate: 20, Size: 4096, Stalled: 600}},
}

// benchFlags are the command's own.
type benchFlags struct {
	plan                       benchPlan
	full, json, remote         bool
	url, as, token, host       string
	query, args, database, sql string
	pid                        int
}

func (m *Main) benchCommand() *cobra.Command {
	var f benchFlags
	var about strings.Builder
	names := make([]string, len(benchModes))
	for i, mode := range benchModes {
		names[i] = mode.name
		fmt.Fprintf(&about, "  %-8s %s\n", mode.name, mode.says)
	}
	cmd := &cobra.Command{
		Use:   "bench MODE",
		Short: "Measure with many sessions: latency, memory, fan-out, a herd, stalled readers",
		Long: "Hold many sessions, write to PostgreSQL, and measure what clients see:\n\n" + about.String() +
			"\nIt checks that no result goes back, that each version is that of its bytes, and that in the\n" +
			"end everybody shows what was committed last; else it exits with 1. Without --url it starts a\n" +
			"private PostgreSQL and a server, and ends both. With --url it measures yours: give --query,\n" +
			"--args with {group} for the number of a group, --database and --write-sql, where $1 is that\n" +
			"number and $2 a text that the query must show.",
		Args: oneArg("a mode: " + strings.Join(names, ", ")),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.settle(cmd, args[0], names); err != nil {
				return err
			}
			return m.bench(cmd.Context(), f)
		},
	}
	p := &f.plan
	flags := cmd.Flags()
	flags.IntVar(&p.Sessions, "sessions", 0, "streams to hold (default by mode)")
	flags.IntVar(&p.Subscriptions, "subscriptions", 0, "queries in each stream (default by mode)")
	flags.IntVar(&p.Groups, "groups", 0, "different results among them (default by mode)")
	flags.Float64Var(&p.Rate, "rate", 0, "transactions a second; 0 in fanout: one after another (default by mode)")
	flags.IntVar(&p.Each, "each", 1, "groups that a transaction changes")
	flags.IntVar(&p.Size, "size", 0, "bytes of a result, about (default 1024; stalled 4096)")
	flags.IntVar(&p.Count, "count", 0, "end after this many transactions, in fanout")
	flags.IntVar(&p.OpenRate, "open-rate", 0, "streams begun in a second; 0: as fast as they are answered")
	flags.IntVar(&p.Writers, "writers", 4, "connections that write")
	flags.DurationVar(&p.Duration, "duration", 10*time.Second, "how long to measure")
	flags.DurationVar(&p.Settle, "settle", 2*time.Second, "wait before memory is read")
	flags.BoolVar(&f.full, "full", false, "the size of docs/benchmarks.md")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.StringVar(&f.url, "url", "", "a server of your own, instead of one that is started")
	flags.StringVar(&f.as, "as", "", "be this user; under weir dev only")
	flags.StringVar(&f.token, "token", "", "a token (default: $WEIR_TOKEN)")
	flags.StringVar(&f.query, "query", "", "the query, with --url")
	flags.StringVar(&f.args, "args", "{}", "its arguments as JSON, {group} is the number of a group, with --url")
	flags.StringVar(&f.database, "database", "", "URL of the database that is written to, with --url")
	flags.StringVar(&f.sql, "write-sql", "", "the statement that changes group $1 so that $2 is shown, with --url")
	flags.IntVar(&f.pid, "pid", 0, "the server's process, for its CPU and memory, with --url")
	flags.StringVar(&f.host, "host", "", "the host of --url once more, when that is another machine")
	flags.BoolVar(&f.remote, "other-machine", false, "another machine may be loaded")
	return cmd
}

// maxBench bounds how long a run measures; the others, what it makes and writes.
const maxBench, maxBenchRate, maxBenchWriters, maxBenchGroups = 10 * time.Minute, 100_000, 64, 100_000

// settle fills in the mode's defaults and checks what was asked for.
func (f *benchFlags) settle(cmd *cobra.Command, mode string, names []string) error {
	i := slices.Index(names, mode)
	if i < 0 {
		return usagef("there is no mode %q: use one of %s", mode, strings.Join(names, ", "))
	}
	def, p := benchModes[i].small, &f.plan
	if f.full {
		def = benchModes[i].full
	}
	given := cmd.Flags().Changed
	p.Mode = mode
	p.Sessions = cmp.Or(p.Sessions, def.Sessions)
	p.Groups = cmp.Or(p.Groups, def.Groups)
	p.Subscriptions = cmp.Or(p.Subscriptions, min(def.Subscriptions, p.Groups-1), 1)
	p.Size = cmp.Or(p.Size, def.Size, 1024)
	if !given("rate") {
		p.Rate = def.Rate
	}
	if !given("count") {
		p.Count = def.Count
	}
	if def.Stalled > 0 {
		p.Stalled = p.Sessions / 5
	}
	switch {
	case p.Sessions < 1 || p.Subscriptions < 1 || p.Groups < 1 || p.Each < 1 || p.Writers < 1:
		return usagef("sessions, subscriptions, groups, each and writers are 1 or more")
	case p.Sessions > load.MaxSessions || p.Subscriptions > load.MaxSubscriptions:
		return usagef("at most %d --sessions with %d --subscriptions each are possible", load.MaxSessions, load.MaxSubscriptions)
	case p.Groups > maxBenchGroups:
		return usagef("at most %d --groups are possible", maxBenchGroups)
	case p.Rate < 0 || p.Rate > maxBenchRate || p.Rate == 0 && def.Rate > 0:
		return usagef("--rate %g: this mode takes more than 0 and at most %d a second", p.Rate, maxBenchRate)
	case p.Writers > maxBenchWriters || p.Each > 1000 || p.Size > 1<<20 || p.Count < 0 || p.OpenRate < 0:
		return usagef("at most %d --writers, 1000 --each, and 1 MiB of --size are possible, and nothing negative", maxBenchWriters)
	case p.Duration <= 0 || p.Duration > maxBench || p.Settle < 0 || p.Settle > time.Minute:
		return usagef("--duration is more than 0 and at most %s, --settle at most 1m", maxBench)
	case p.Subscriptions > p.Groups:
		return usagef("a stream cannot watch %d of %s: give more --groups", p.Subscriptions, counted(p.Groups, "group"))
	case mode == "mixed" && p.Groups <= p.Subscriptions:
		return usagef("mixed needs a group beside those of a stream: give more --groups")
	}
	return f.target(given)
}

// target checks where the load goes: never to another machine by mistake.
func (f *benchFlags) target(given func(string) bool) error {
	if f.url == "" {
		for _, name := range []string{"as", "token", "query", "args", "database", "write-sql", "pid", "host", "other-machine"} {
			if given(name) {
				return usagef("--%s is for a server of your own: name it with --url", name)
			}
		}
		return nil
	}
	u, err := url.Parse(f.url)
	switch {
	case err != nil || u.Scheme != "http" || u.Host == "":
		return usagef("--url %q is no address of plain http: write http://host:port, behind what ends TLS", f.url)
	case f.query == "":
		return usagef("--url needs --query: the query that the sessions ask for")
	case f.plan.Mode == "herd":
		return usagef("herd kills its server, so it measures only one that it started: leave out --url")
	case (f.database == "" || f.sql == "") && f.plan.Mode != "idle":
		return usagef("%s writes: give --database and --write-sql, such as 'update notes set body = $2 where id = $1'", f.plan.Mode)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) && (f.host != u.Hostname() || !f.remote) {
		return usagef("%s is not this machine: if you may load it, say so with --host %s --other-machine", u.Hostname(), u.Hostname())
	}
	return nil
}

func (m *Main) bench(ctx context.Context, f benchFlags) (err error) {
	bounds := load.RaiseBounds()
	if n := bounds.Streams(); n > 0 && int64(f.plan.Sessions) > n {
		return usagef("the limits here (%d open files, %s of free memory) allow %d streams, not %d: raise ulimit -n, or give fewer --sessions",
			bounds.Descriptors, size(bounds.Memory), n, f.plan.Sessions)
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted: what was started has ended, and nothing was measured")
		}
	}()
	target, err := m.benchTarget(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.close()) }()
	b := &benchRun{plan: f.plan, target: target, book: target.book, say: &printer{out: m.Stderr}}
	if f.json {
		b.say = nil
	}
	report, err := b.run(ctx)
	if err != nil {
		return err
	}
	report.Bounds = benchBounds{bounds.Descriptors, bounds.Memory, bounds.Streams()}
	if err := report.print(m.Stdout, f.json); err != nil {
		return err
	}
	return report.verdict()
}
