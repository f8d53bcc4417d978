package reactor

import (
	"cmp"
	"log/slog"
	"time"
)

// Config bounds and wires a Reactor. The zero value but for Executor runs with
// safe defaults.
type Config struct {
	// Executor runs functions. Required.
	Executor Executor
	// Poke asks the reader of the change log for a read that begins now. It
	// must not block. Nil: joiners wait for the next regular read.
	Poke func()
	// Published is told which publications have a new state. The loop calls it;
	// it must not block and must not call the Reactor. Nil: nobody is told.
	Published func([]*Publication)
	// Observe is told of each finished execution, from the loop, like Published.
	Observe func(Run)

	// MaxExecutions bounds the read transactions in flight of all tenants; above
	// it groups wait dirty. Zero means 64.
	MaxExecutions int
	// TenantExecutions bounds those of one tenant. Zero means 16.
	TenantExecutions int
	// MaxWave bounds the executions that share a read transaction. Zero means 64.
	MaxWave int
	// Deadline ends an execution. Zero means 5 s.
	Deadline time.Duration
	// MaxDebounce bounds the wait between two runs of a group under load. The
	// first run of an idle group never waits. Zero means 200 ms.
	MaxDebounce time.Duration
	// MaxStale is how long a change may wait, or the log may go unread, before
	// a result says that it is stale. Zero means 5 s.
	MaxStale time.Duration
	// Resync is how often each group runs again without a reason, jittered, as a
	// safety net. Zero means 10 min, negative never.
	Resync time.Duration
	// Linger is how long a group without subscribers is kept. Zero means 5 s.
	Linger time.Duration
	// MaxRecent bounds the recent changes that are kept per tenant; a result
	// that is older than them is run again. Zero means 65 536.
	MaxRecent int
	// RecentAge bounds their age. Zero means 30 s.
	RecentAge time.Duration
	// MaxGroups bounds the groups of a tenant; above it new keys are refused
	// with ErrTooManyGroups. Zero means 50 000.
	MaxGroups int
	// Seed makes jitter repeatable. Zero means random.
	Seed uint64
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.MaxExecutions = cmp.Or(c.MaxExecutions, 64)
	c.TenantExecutions = cmp.Or(c.TenantExecutions, 16)
	c.MaxWave = cmp.Or(c.MaxWave, 64)
	c.Deadline = cmp.Or(c.Deadline, 5*time.Second)
	c.MaxDebounce = cmp.Or(c.MaxDebounce, 200*time.Millisecond)
	c.MaxStale = cmp.Or(c.MaxStale, 5*time.Second)
	c.Resync = cmp.Or(c.Resync, 10*time.Minute)
	c.Linger = cmp.Or(c.Linger, 5*time.Second)
	c.MaxRecent = cmp.Or(c.MaxRecent, 65536)
	c.RecentAge = cmp.Or(c.RecentAge, 30*time.Second)
	c.MaxGroups = cmp.Or(c.MaxGroups, 50000)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
