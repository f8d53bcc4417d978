package tenant

import (
	"cmp"
	"runtime"
	"time"
)

// Limits bounds what one tenant, and where a field says so the whole server, may
// use. The struct is flat. In every field 0 means the default named there, and a
// negative number means off where that is said to be allowed. The bounds that
// are part of the guest contract (depth, statement text, parameters) are not
// here: package abi fixes them.
//
// The configuration has a struct of the same fields, so that one converts to the
// other without a list of assignments.
type Limits struct {
	// MaxExecutions bounds executions in flight for the tenant. More wait in its
	// queue. Default 16.
	MaxExecutions int
	// MaxTotalExecutions bounds executions in flight for the whole server; the
	// tenants share them by weight. Default 64.
	MaxTotalExecutions int
	// MaxRunningGuests bounds guests that run on a core at the same moment, for
	// the whole server. Default cores - 1, at least 1.
	MaxRunningGuests int

	// MaxIdleGuestBytes bounds what the idle instances of the tenant's guests keep
	// for themselves; over it those go that were used the longest time ago. Default
	// 64 MiB.
	MaxIdleGuestBytes int64
	// MaxTotalIdleGuestBytes is the same for the whole server. Default 512 MiB.
	MaxTotalIdleGuestBytes int64

	// MaxFirstRuns bounds how many new groups may run for the first time in a
	// second; more wait for their turn. Default 2 000; negative is off.
	MaxFirstRuns int
	// MaxConnections bounds the database connections of the tenant's SQL; more
	// work waits. The default, and a negative number, is a share by weight of
	// what database.connections leaves.
	MaxConnections int

	// QueryTimeout is the deadline of a query, SQL included. At the deadline the
	// guest stops and the SQL is cancelled on the server. Default 5 s.
	QueryTimeout time.Duration
	// PolicyTimeout is the deadline of a policy. At the deadline the decision is
	// unknown and nothing is delivered. Default 1 s.
	PolicyTimeout time.Duration
	// MutationTimeout is the deadline of a mutation with its policies and all
	// its tries. Default 10 s.
	MutationTimeout time.Duration
	// GuestTimeout is the time that a guest may compute in one call, without the
	// time it waits for SQL. Default 100 ms.
	GuestTimeout time.Duration

	// FirstDebounce is how long an idle group waits before it runs. The default
	// is not to wait; negative means the same.
	FirstDebounce time.Duration
	// MaxDebounce is the longest wait that a busy group grows to. Default
	// 200 ms; negative is off: a group runs again at once.
	MaxDebounce time.Duration

	// LivePoll is how often the change log is read while any group lives, for
	// the whole server. Default 5 ms.
	LivePoll time.Duration
	// IdlePoll is the same while no group lives. Default 1 s.
	IdlePoll time.Duration
	// ResyncSweep is how often every group runs again without a change, spread
	// out by jitter. Default 10 min; negative is off.
	ResyncSweep time.Duration
	// MaxStale is how long a change may wait before its groups say stale.
	// Default 5 s.
	MaxStale time.Duration
	// MaxRecentChanges bounds the changes kept to be compared with results that
	// arrive late; the oldest go first. Default 65 536.
	MaxRecentChanges int
	// MaxRecentAge bounds their age. Default 30 s.
	MaxRecentAge time.Duration
	// MaxLogAge is how long the change log is kept, for the whole server.
	// Default 30 min.
	MaxLogAge time.Duration
	// MaxLogBytes is how large the change log may grow, for the whole server;
	// whichever of the two comes first. Default 1 GiB.
	MaxLogBytes int64

	// MaxJobAge is how long jobs and runs of workflows are kept when they are
	// over. Default 7 days; negative is off: for ever.
	MaxJobAge time.Duration

	// MaxCachedBytes bounds the result that a group keeps for joiners, together
	// with what deltas from its last versions need; the oldest of those go first,
	// and a result that is larger by itself has no deltas. Default 10 MiB.
	MaxCachedBytes int64
	// MaxResultBytes bounds one result; over it the run fails with
	// ErrResultTooLarge. Default 4 MiB.
	MaxResultBytes int64
	// MaxResultRows bounds the rows of one result, likewise. Default 10 000.
	MaxResultRows int
	// Linger is how long a group without subscribers is kept. Default 5 s;
	// negative is off: it goes with its last subscriber.
	Linger time.Duration

	// MaxTotalSessions bounds the sessions of the whole server. Default 100 000.
	MaxTotalSessions int
	// MaxSessions bounds the sessions of the tenant. Default 10 000.
	MaxSessions int
	// MaxOpenRate bounds how many streams of the tenant may be opened in a second,
	// on average over ten: clients that all come back at once pass. Default 1 000;
	// negative is off.
	MaxOpenRate int
	// MaxPrincipalSessions bounds the sessions of one principal. Default 20.
	MaxPrincipalSessions int
	// MaxAddressSessions bounds the sessions of one client address. The default
	// is off, and so is a negative number: behind a proxy all clients share one.
	MaxAddressSessions int
	// MaxAnonymousSessions bounds the sessions of callers without a principal.
	// Default 5 000.
	MaxAnonymousSessions int
	// MaxSessionSubscriptions bounds the subscriptions of one session. Default
	// 100.
	MaxSessionSubscriptions int
	// MaxPrincipalSubscriptions bounds the subscriptions of one principal over
	// all its sessions. Default 500.
	MaxPrincipalSubscriptions int
	// MaxPrincipalGroups bounds the groups that live because of one principal.
	// Default 500.
	MaxPrincipalGroups int
	// MaxGroups bounds the groups of the tenant. Default 50 000.
	MaxGroups int

	// PingInterval is how long a stream may be silent. Default 25 s.
	PingInterval time.Duration
	// WriteTimeout is the time that any frame may take to be accepted, before
	// its size is counted. Default 30 s.
	WriteTimeout time.Duration
	// MinWriteRate is the bytes a second that a client must accept beyond
	// WriteTimeout; a slower one is closed (slow). Default 16 KiB.
	MinWriteRate int64
	// MaxPinnedBytes bounds superseded frame bytes that stalled sessions still
	// hold, for the whole server. Above it the sessions that pin most are closed
	// (slow). Default 64 MiB.
	MaxPinnedBytes int64

	// ExpLeeway is how long a token is taken after its exp. The default is not
	// at all; negative means the same.
	ExpLeeway time.Duration
	// TokenLeeway is how far nbf and iat may lie in the future. Default 5 s;
	// negative is off.
	TokenLeeway time.Duration
	// MaxTokenBytes bounds a token; a longer one is refused unread. Default
	// 8 KiB.
	MaxTokenBytes int
	// MaxIDBytes bounds a client's subscription id. Default 255.
	MaxIDBytes int
	// MaxArgumentBytes bounds the arguments of one call or subscription. Default
	// 64 KiB.
	MaxArgumentBytes int

	// MaxStatements bounds the statements that one guest call may run. Default
	// 64.
	MaxStatements int
	// MaxHostCalls bounds the host functions that one guest call may call.
	// Default 10 000.
	MaxHostCalls int
	// MaxHandles bounds the results that one guest call may hold. Default 64.
	MaxHandles int
	// MaxModuleBytes bounds a plugin's module; a larger one is refused unread.
	// Default 24 MiB.
	MaxModuleBytes int64
	// MaxMemoryBytes bounds the memory of one instance. Default 64 MiB.
	MaxMemoryBytes int64
	// MaxStackBytes bounds the stack of one guest call. Default 2 MiB.
	MaxStackBytes int64
	// CompileTimeout bounds the compilation of a module, for the whole server; a
	// tenant compiles one at a time. Default 10 s.
	CompileTimeout time.Duration
	// MaxGuestLogLines bounds what one guest call may log; the rest is counted
	// and dropped. Default 64.
	MaxGuestLogLines int
	// MaxGuestLogBytes bounds the same in bytes. Default 16 KiB.
	MaxGuestLogBytes int
	// MaxGuestLogRate bounds the bytes that all guests of the tenant log in a
	// second; the rest is counted and dropped. Default 64 KiB; negative is off.
	MaxGuestLogRate int64
	// MaxFailures is how many calls of a plugin may trap or run out of time
	// within ten seconds, and no fewer than succeed, before its guest functions
	// are refused for a while. Default 10; negative is off.
	MaxFailures int
}

// WithDefaults returns a copy in which every 0 is replaced by its default.
// Negative numbers stay: they mean off. Fields whose default is off stay 0.
func (l Limits) WithDefaults() Limits {
	l.MaxExecutions = cmp.Or(l.MaxExecutions, 16)
	l.MaxTotalExecutions = cmp.Or(l.MaxTotalExecutions, 64)
	l.MaxRunningGuests = cmp.Or(l.MaxRunningGuests, max(1, runtime.GOMAXPROCS(0)-1))
	l.MaxIdleGuestBytes = cmp.Or(l.MaxIdleGuestBytes, 64<<20)
	l.MaxTotalIdleGuestBytes = cmp.Or(l.MaxTotalIdleGuestBytes, 512<<20)
	l.MaxFirstRuns = cmp.Or(l.MaxFirstRuns, 2_000)
	l.QueryTimeout = cmp.Or(l.QueryTimeout, 5*time.Second)
	l.PolicyTimeout = cmp.Or(l.PolicyTimeout, time.Second)
	l.MutationTimeout = cmp.Or(l.MutationTimeout, 10*time.Second)
	l.GuestTimeout = cmp.Or(l.GuestTimeout, 100*time.Millisecond)
	l.MaxDebounce = cmp.Or(l.MaxDebounce, 200*time.Millisecond)
	l.LivePoll = cmp.Or(l.LivePoll, 5*time.Millisecond)
	l.IdlePoll = cmp.Or(l.IdlePoll, time.Second)
	l.ResyncSweep = cmp.Or(l.ResyncSweep, 10*time.Minute)
	l.MaxStale = cmp.Or(l.MaxStale, 5*time.Second)
	l.MaxRecentChanges = cmp.Or(l.MaxRecentChanges, 65_536)
	l.MaxRecentAge = cmp.Or(l.MaxRecentAge, 30*time.Second)
	l.MaxLogAge = cmp.Or(l.MaxLogAge, 30*time.Minute)
	l.MaxLogBytes = cmp.Or(l.MaxLogBytes, 1<<30)
	l.MaxJobAge = cmp.Or(l.MaxJobAge, 7*24*time.Hour)
	l.MaxCachedBytes = cmp.Or(l.MaxCachedBytes, 10<<20)
	l.MaxResultBytes = cmp.Or(l.MaxResultBytes, 4<<20)
	l.MaxResultRows = cmp.Or(l.MaxResultRows, 10_000)
	l.Linger = cmp.Or(l.Linger, 5*time.Second)
	return l.withClientDefaults().withGuestDefaults()
}

// withClientDefaults fills in what bounds sessions, streams and requests.
func (l Limits) withClientDefaults() Limits {
	l.MaxTotalSessions = cmp.Or(l.MaxTotalSessions, 100_000)
	l.MaxSessions = cmp.Or(l.MaxSessions, 10_000)
	l.MaxOpenRate = cmp.Or(l.MaxOpenRate, 1_000)
	l.MaxPrincipalSessions = cmp.Or(l.MaxPrincipalSessions, 20)
	l.MaxAnonymousSessions = cmp.Or(l.MaxAnonymousSessions, 5_000)
	l.MaxSessionSubscriptions = cmp.Or(l.MaxSessionSubscriptions, 100)
	l.MaxPrincipalSubscriptions = cmp.Or(l.MaxPrincipalSubscriptions, 500)
	l.MaxPrincipalGroups = cmp.Or(l.MaxPrincipalGroups, 500)
	l.MaxGroups = cmp.Or(l.MaxGroups, 50_000)
	l.PingInterval = cmp.Or(l.PingInterval, 25*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 30*time.Second)
	l.MinWriteRate = cmp.Or(l.MinWriteRate, 16<<10)
	l.MaxPinnedBytes = cmp.Or(l.MaxPinnedBytes, 64<<20)
	l.TokenLeeway = cmp.Or(l.TokenLeeway, 5*time.Second)
	l.MaxTokenBytes = cmp.Or(l.MaxTokenBytes, 8<<10)
	l.MaxIDBytes = cmp.Or(l.MaxIDBytes, 255)
	l.MaxArgumentBytes = cmp.Or(l.MaxArgumentBytes, 64<<10)
	return l
}

// withGuestDefaults fills in what bounds plugins.
func (l Limits) withGuestDefaults() Limits {
	l.MaxStatements = cmp.Or(l.MaxStatements, 64)
	l.MaxHostCalls = cmp.Or(l.MaxHostCalls, 10_000)
	l.MaxHandles = cmp.Or(l.MaxHandles, 64)
	l.MaxModuleBytes = cmp.Or(l.MaxModuleBytes, 24<<20)
	l.MaxMemoryBytes = cmp.Or(l.MaxMemoryBytes, 64<<20)
	l.MaxStackBytes = cmp.Or(l.MaxStackBytes, 2<<20)
	l.CompileTimeout = cmp.Or(l.CompileTimeout, 10*time.Second)
	l.MaxGuestLogLines = cmp.Or(l.MaxGuestLogLines, 64)
	l.MaxGuestLogBytes = cmp.Or(l.MaxGuestLogBytes, 16<<10)
	l.MaxGuestLogRate = cmp.Or(l.MaxGuestLogRate, 64<<10)
	l.MaxFailures = cmp.Or(l.MaxFailures, 10)
	return l
}

// FrameTimeout returns how long a frame of size bytes may take to be accepted by
// a client: the fixed part and the time of its bytes at the slowest rate.
func (l Limits) FrameTimeout(size int) time.Duration {
	l = l.WithDefaults()
	return l.WriteTimeout + time.Duration(float64(size)/float64(max(1, l.MinWriteRate))*float64(time.Second))
}
