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

	// Tenant returns the limits of one tenant; what is zero there is as here. What
	// is not a tenant's (the functions above, MaxExecutions, Seed, Now, Logger) is
	// not looked at. The loop calls it when it first hears of the tenant, and after
	// Reactor.Reload. Nil: all tenants are alike.
	Tenant func(name string) Config
	// Weight is a tenant's share of the executions when there are not enough for
	// all. Zero means 1.
	Weight int

	// MaxExecutions bounds the read transactions in flight of all tenants; above
	// it groups wait dirty. Zero means 64.
	MaxExecutions int
	// TenantExecutions bounds those of one tenant. Zero means 16.
	TenantExecutions int
	// MaxWave bounds the executions that share a read transaction. Zero means 64.
	MaxWave int
	// FirstRuns bounds how many groups of a tenant may begin in a second; more
	// wait for their turn. A client that makes up arguments cannot keep the
	// database busy for all the others. Zero means 2 000, negative is off.
	FirstRuns int
	// Deadline ends an execution. Zero means 5 s.
	Deadline time.Duration
	// FirstDebounce is how long an idle group waits after a change, so that what
	// is committed shortly after it is in the same run. Zero means not at all.
	FirstDebounce time.Duration
	// MaxDebounce bounds the wait between two runs of a group under load. Zero
	// means 200 ms.
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
	// PrincipalGroups bounds those that were made for one principal and live yet,
	// its policies' decisions included; above it new keys are refused with
	// ErrPrincipalGroups. Zero means 500, negative is off.
	PrincipalGroups int
	// Seed makes jitter repeatable. Zero means random.
	Seed uint64
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger
}

// of returns the configuration of one tenant's core.
func (c *Config) of(tenant string) *Config {
	own := *c
	if c.Tenant == nil {
		return &own
	}
	t := c.Tenant(tenant)
	own.Weight = cmp.Or(t.Weight, c.Weight)
	own.TenantExecutions = cmp.Or(t.TenantExecutions, c.TenantExecutions)
	own.MaxWave = cmp.Or(t.MaxWave, c.MaxWave)
	own.Deadline = cmp.Or(t.Deadline, c.Deadline)
	own.FirstDebounce = cmp.Or(t.FirstDebounce, c.FirstDebounce)
	own.MaxDebounce = cmp.Or(t.MaxDebounce, c.MaxDebounce)
	own.MaxStale = cmp.Or(t.MaxStale, c.MaxStale)
	own.Resync = cmp.Or(t.Resync, c.Resync)
	own.Linger = cmp.Or(t.Linger, c.Linger)
	own.MaxRecent = cmp.Or(t.MaxRecent, c.MaxRecent)
	own.RecentAge = cmp.Or(t.RecentAge, c.RecentAge)
	own.MaxGroups = cmp.Or(t.MaxGroups, c.MaxGroups)
	own.PrincipalGroups = cmp.Or(t.PrincipalGroups, c.PrincipalGroups)
	own.FirstRuns = cmp.Or(t.FirstRuns, c.FirstRuns)
	return &own
}

func (c Config) withDefaults() Config {
	c.MaxExecutions = cmp.Or(c.MaxExecutions, 64)
	c.TenantExecutions = cmp.Or(c.TenantExecutions, 16)
	c.MaxWave = cmp.Or(c.MaxWave, 64)
	c.FirstRuns = cmp.Or(c.FirstRuns, 2000)
	c.Deadline = cmp.Or(c.Deadline, 5*time.Second)
	c.MaxDebounce = cmp.Or(c.MaxDebounce, 200*time.Millisecond)
	c.MaxStale = cmp.Or(c.MaxStale, 5*time.Second)
	c.Resync = cmp.Or(c.Resync, 10*time.Minute)
	c.Linger = cmp.Or(c.Linger, 5*time.Second)
	c.MaxRecent = cmp.Or(c.MaxRecent, 65536)
	c.RecentAge = cmp.Or(c.RecentAge, 30*time.Second)
	c.MaxGroups = cmp.Or(c.MaxGroups, 50000)
	c.PrincipalGroups = cmp.Or(c.PrincipalGroups, 500)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
