package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"weir/host/load"
)

// benchRun is one measurement.
type benchRun struct {
	plan   benchPlan
	target *benchTarget
	book   *load.Book
	say    *printer // nil says nothing
	fleet  *load.Fleet
	report benchReport
}

func (b *benchRun) sayf(format string, args ...any) {
	if b.say != nil {
		b.say.eventf(format, args...)
	}
}

// benchLook is how often a run looks at what it waits for.
const benchLook = 20 * time.Millisecond

// benchWait bounds the wait for sessions, and for the last results.
const benchWait = 60 * time.Second

func (b *benchRun) run(ctx context.Context) (*benchReport, error) {
	b.report = benchReport{Plan: b.plan, Codes: map[string]int64{}}
	before := load.UsageOf(b.target.pid)
	b.report.RSSBefore = before.RSS
	cfg := load.Config{
		URL: b.target.url, Token: b.target.client.token, As: b.target.client.as,
		Query: b.target.query, Args: b.target.args, Book: b.book,
		Sessions: b.plan.Sessions, Subscriptions: b.plan.Subscriptions, OpenRate: b.plan.OpenRate, Stalled: b.plan.Stalled,
		Resume: true, Come: b.plan.Mode != "herd",
	}
	if b.plan.Mode == "mixed" {
		cfg = b.withCrowd(cfg)
	}
	var err error
	if b.fleet, err = load.NewFleet(ctx, cfg); err != nil {
		return nil, err
	}
	defer b.fleet.Close()
	if err := b.open(ctx, before); err != nil {
		return nil, err
	}
	if b.plan.Mode != "idle" {
		if err := b.tryWrite(ctx); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, b.plan.Settle); err != nil {
		return nil, err
	}
	b.report.RSSIdle = load.UsageOf(b.target.pid).RSS
	if b.report.RSSBefore > 0 {
		b.report.RSSStream = (b.report.RSSIdle - b.report.RSSBefore) / int64(b.plan.Sessions)
	}
	if err := b.measure(ctx); err != nil {
		return nil, err
	}
	return &b.report, b.check(ctx)
}

// withCrowd keeps group 0 for a last subscription of every session.
func (b *benchRun) withCrowd(cfg load.Config) load.Config {
	own, groups := b.plan.Subscriptions, b.plan.Groups-1
	cfg.Subscriptions = own + 1
	cfg.Group = func(session, j int) int {
		if j == own {
			return 0
		}
		return 1 + (session*own+j)%groups
	}
	return cfg
}

// open opens all sessions and waits until each subscription has its first result.
func (b *benchRun) open(ctx context.Context, before load.Usage) error {
	b.sayf("opening %s with %s each", counted(b.plan.Sessions, "session"), counted(b.plan.Subscriptions, "subscription"))
	began := time.Now()
	b.fleet.Open()
	err := b.until(ctx, benchWait+openTime(b.plan), func(st load.Standing) bool { return st.Told == st.Subscriptions })
	if err != nil {
		return err
	}
	b.report.OpenMS = millisecond(time.Since(began))
	if b.target.pid > 0 {
		b.report.OpenCPUUS = float64((load.UsageOf(b.target.pid).CPU-before.CPU)/time.Duration(b.plan.Sessions)) / 1e3
	}
	return nil
}

func openTime(p benchPlan) time.Duration {
	if p.OpenRate == 0 {
		return 0
	}
	return time.Duration(p.Sessions/p.OpenRate) * time.Second
}

// until waits for a standing. A refusal, or the end of the time, is an error.
func (b *benchRun) until(ctx context.Context, limit time.Duration, held func(load.Standing) bool) error {
	tick := time.NewTicker(benchLook)
	defer tick.Stop()
	end := time.Now().Add(limit)
	for {
		st := b.fleet.Standing()
		if held(st) {
			return nil
		}
		var refused *load.RefusedError
		err := b.fleet.Refused()
		switch {
		case errors.As(err, &refused):
			return fmt.Errorf("%w: %d of %s are open", err, st.Open, counted(b.plan.Sessions, "session"))
		case err != nil:
			return fmt.Errorf("cannot reach %s: %w: check that weir runs there and has room for the sessions", b.target.url, err)
		case time.Now().After(end):
			return fmt.Errorf("after %s %d of %s have a result: give fewer --sessions, or look at the server's log",
				limit, st.Told, counted(st.Subscriptions, "subscription"))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryWrite writes once and waits until it is shown, so that a statement that is
// refused, or shows nothing, is told before a load is made.
func (b *benchRun) tryWrite(ctx context.Context) error {
	w := b.writes()
	w.Rate, w.Count, w.Shown = 1, 1, nil
	if done := w.Run(ctx); done.Err != nil {
		return fmt.Errorf("the first write was refused: %w: correct --write-sql, or the rights of --database", done.Err)
	}
	return b.caughtUp(ctx, "the first write never arrived: does the query show $2 of --write-sql for the group $1, and does the server read this database?")
}

func (b *benchRun) caughtUp(ctx context.Context, otherwise string) error {
	limited, cancel := context.WithTimeout(ctx, benchWait/3)
	defer cancel()
	err := b.until(limited, benchWait, func(st load.Standing) bool { return st.Behind == 0 })
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return errors.New(otherwise)
	}
	return err
}

func (b *benchRun) writes() load.Writes {
	w := load.Writes{
		Book: b.book, Writer: b.target, Groups: b.plan.Groups, Rate: b.plan.Rate, Each: b.plan.Each,
		Size: b.plan.Size, Workers: b.plan.Writers, Count: b.plan.Count,
		Shown: func(ctx context.Context) {
			_ = b.until(ctx, benchWait, func(st load.Standing) bool { return st.Behind == 0 }) // what is missing is counted at the end
		},
	}
	if b.plan.Mode == "mixed" {
		w.First, w.Groups = 1, b.plan.Groups-1
	}
	return w
}

func (b *benchRun) measure(ctx context.Context) error {
	b.sayf("measuring %s", b.plan.Mode)
	switch b.plan.Mode {
	case "idle":
		return b.idle(ctx)
	case "herd":
		return b.herd(ctx)
	case "stalled":
		return b.stalled(ctx)
	case "mixed":
		return b.mixed(ctx)
	}
	_, err := b.phase(ctx, nil)
	return err
}

// phase writes for a while and notes what was seen. beside, if not nil, runs at the
// same time until the phase is over.
func (b *benchRun) phase(ctx context.Context, beside func(context.Context)) (load.Counts, error) {
	b.fleet.Reset()
	before, began := load.UsageOf(b.target.pid), time.Now()
	during, over := context.WithTimeout(ctx, b.plan.Duration)
	defer over()
	var also sync.WaitGroup
	if beside != nil {
		also.Go(func() { beside(during) })
	}
	also.Go(func() { b.watchMemory(during) })
	written := b.writes().Run(during)
	over()
	also.Wait()
	if ctx.Err() != nil {
		return load.Counts{}, ctx.Err()
	}
	// What is on its way counts too; what never arrives is told by check.
	_ = b.until(ctx, benchWait/6, func(st load.Standing) bool { return st.Behind == 0 })
	after, counts := load.UsageOf(b.target.pid), b.fleet.Counts()
	b.report.written(written)
	b.report.counted(counts)
	b.report.Seconds = time.Since(began).Seconds()
	if b.target.pid > 0 {
		cpu := after.CPU - before.CPU
		b.report.CPUShare = cpu.Seconds() / b.report.Seconds
		if counts.Frames > 0 {
			b.report.CPUFrameUS = float64(cpu) / 1e3 / float64(counts.Frames)
		}
	}
	return counts, nil
}

// watchMemory notes the most memory that the server had.
func (b *benchRun) watchMemory(ctx context.Context) {
	tick := time.NewTicker(5 * benchLook)
	defer tick.Stop()
	for ctx.Err() == nil {
		b.report.RSSPeak = max(b.report.RSSPeak, load.UsageOf(b.target.pid).RSS)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (b *benchRun) idle(ctx context.Context) error {
	b.fleet.Reset()
	before, began := load.UsageOf(b.target.pid), time.Now()
	if err := pause(ctx, b.plan.Duration); err != nil {
		return err
	}
	after := load.UsageOf(b.target.pid)
	b.report.Seconds = time.Since(began).Seconds()
	b.report.CPUShare = (after.CPU - before.CPU).Seconds() / b.report.Seconds
	b.report.RSSPeak = after.RSS
	b.report.counted(b.fleet.Counts())
	return nil
}

// mixed has a write a second of the group that everybody watches beside the others.
func (b *benchRun) mixed(ctx context.Context) error {
	var crowd load.Written
	var oldest load.Histogram
	_, err := b.phase(ctx, func(ctx context.Context) {
		var also sync.WaitGroup
		if b.target.own != nil {
			also.Go(func() { b.watchOldest(ctx, &oldest) })
		}
		w := b.writes()
		w.First, w.Groups, w.Rate, w.Each, w.Workers, w.Writer = 0, 1, 1, 1, 1, lastWriter{b.target}
		crowd = w.Run(ctx)
		also.Wait()
	})
	b.report.written(crowd)
	b.report.OldestP99MS = millisecond(oldest.Quantile(0.99))
	return err
}

// lastWriter writes on the connection that no other writer has.
type lastWriter struct{ target *benchTarget }

// Write is load.Writer.
func (w lastWriter) Write(ctx context.Context, _ int, changes []load.Change, committing func()) error {
	return w.target.Write(ctx, len(w.target.conns)-1, changes, committing)
}

func (b *benchRun) watchOldest(ctx context.Context, h *load.Histogram) {
	tick := time.NewTicker(5 * benchLook)
	defer tick.Stop()
	for ctx.Err() == nil {
		if age, err := b.target.oldest(ctx); err == nil {
			h.Add(age)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// stalled measures the others first while all read, and then while a fifth does not.
func (b *benchRun) stalled(ctx context.Context) error {
	counts, err := b.phase(ctx, nil)
	if err != nil {
		return err
	}
	calm := counts.Latency.Quantile(0.99)
	b.fleet.Stall()
	counts, err = b.phase(ctx, nil)
	b.report.CalmP99MS = millisecond(calm)
	if calm > 0 {
		b.report.StalledRatio = float64(counts.Latency.Quantile(0.99)) / float64(calm)
	}
	return err
}

// herd kills the server, starts it again, and lets all sessions come back at once.
func (b *benchRun) herd(ctx context.Context) error {
	t := b.target
	b.fleet.Reset()
	t.own.server.kill()
	t.own.server = nil
	if err := b.until(ctx, benchWait, func(st load.Standing) bool { return st.Open == 0 }); err != nil {
		return err
	}
	if err := t.restart(ctx); err != nil {
		return err
	}
	b.fleet.Forgive()
	before, began := load.UsageOf(t.pid), time.Now()
	watching, over := context.WithCancel(ctx)
	var also sync.WaitGroup
	also.Go(func() { b.watchConnections(watching) })
	also.Go(func() { b.watchMemory(watching) })
	b.fleet.Open()
	err := b.until(ctx, benchWait, func(st load.Standing) bool { return st.Told == st.Subscriptions })
	over()
	also.Wait()
	if err != nil {
		return err
	}
	counts := b.fleet.Counts()
	opened, told := b.fleet.Back()
	b.report.counted(counts)
	b.report.Seconds = told.Sub(began).Seconds()
	b.report.HerdOpenMS, b.report.HerdMS = millisecond(opened.Sub(began)), millisecond(told.Sub(opened))
	b.report.HerdUnchanged = float64(counts.Unchanged) / float64(b.plan.Sessions*b.plan.Subscriptions)
	b.report.CPUShare = (load.UsageOf(t.pid).CPU - before.CPU).Seconds() / time.Since(began).Seconds()
	return nil
}

func (b *benchRun) watchConnections(ctx context.Context) {
	tick := time.NewTicker(benchLook)
	defer tick.Stop()
	for {
		if n, err := b.target.connections(context.WithoutCancel(ctx)); err == nil {
			b.report.Connections = max(b.report.Connections, n)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// maxAsked bounds how many groups check asks the server for.
const maxAsked = 1000

// check compares what every subscription shows at the end with what was committed
// last, with the database, and with what the server answers to a request.
func (b *benchRun) check(ctx context.Context) (err error) {
	st := b.fleet.Standing()
	b.report.Subscriptions = st.Subscriptions
	b.report.Missing = st.Subscriptions - st.Told
	b.report.Stale = st.Behind
	if b.target.own != nil {
		if b.report.Stored, err = b.target.stored(ctx); err != nil {
			return err
		}
	}
	shown := b.fleet.Versions()
	for group := range maps.Keys(shown) {
		if b.report.Asked == maxAsked {
			break
		}
		b.report.Asked++
		version, err := b.target.version(ctx, group)
		if err != nil {
			return err
		}
		for _, held := range shown[group] {
			if held != version {
				b.report.Differ++
			}
		}
	}
	if b.target.pid > 0 && b.target.pid != os.Getpid() {
		b.report.RSSEnd = load.UsageOf(b.target.pid).RSS
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
