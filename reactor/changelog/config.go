package changelog

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"weir/reactor"
)

// Config says how a Listener reads. Its zero value, with URL and Deliver, runs.
type Config struct {
	// URL is weir's role on the primary, direct (C14).
	URL string
	// Deliver takes each batch, also empty ones: they advance the cursor. The
	// next read begins after it returns. An error other than the end of ctx is
	// logged, and the next batch is a resync.
	Deliver func(ctx context.Context, b reactor.Batch) error
	// Seen is told of each change how long ago its statement was run when the log
	// was read, by the database's clock; the transaction that was not committed yet
	// is in it. From the reading goroutine; it must not block. Nil is allowed.
	Seen func(time.Duration)
	// State is called on changes of health and of what is not captured, from one
	// goroutine at a time. It must neither block nor call the Listener. Nil is
	// allowed.
	State func(State)
	// Capture is told of DDL and repairs triggers. Nil makes one.
	Capture *Capture
	// Roles names the roles that statements run as: a change of what they may see
	// is a DDL change (C11). Nil stands for none but weir's own.
	Roles func() []string

	// Live is the time between reads while SetLive(true). Zero means 5 ms.
	Live time.Duration
	// Idle is the time between reads otherwise. Zero means 1 s, and more than
	// Heartbeat counts as Heartbeat.
	Idle time.Duration
	// Heartbeat is how long a read may take before the connection is given up;
	// choose at most half of max_stale (F4). Zero means 2 s.
	Heartbeat time.Duration
	// Catalog is the time between looks at definitions and triggers (C11). Zero
	// means 1 s.
	Catalog time.Duration
	// Renew is how long the connection that looks is kept: a new one shows whether
	// the reader's still leads to the primary (C4). Zero means 30 s.
	Renew time.Duration
	// Retention is how long changes are kept, and how long triggers go on
	// logging after the last reader left (C6). Zero means 30 min.
	Retention time.Duration
	// MaxLogBytes bounds the log: at a third of it the next partition is taken
	// before its time. Zero means 1 GiB. When a long transaction keeps a
	// partition, the log grows beyond and Stats.RotationHeld says so.
	MaxLogBytes int64
	// MaxRows bounds one read; with more, the read has one change per table
	// (C3). Zero means 10 000.
	MaxRows int
	// MaxBackoff bounds the wait between attempts to connect: how long a database may be
	// back before it is noticed. Zero means 1 s.
	MaxBackoff time.Duration
	// Logger gets one line per life event; nil discards.
	Logger *slog.Logger

	hooks hooks
}

// hooks are test signals; nil ones are skipped.
type hooks struct {
	reading func() // before each read
	settled func() // no older transaction is waited for any more (C6)
}

func (c Config) withDefaults() Config {
	c.Live = cmp.Or(c.Live, 5*time.Millisecond)
	c.Heartbeat = cmp.Or(c.Heartbeat, 2*time.Second)
	c.Idle = min(cmp.Or(c.Idle, time.Second), c.Heartbeat)
	c.Catalog = cmp.Or(c.Catalog, time.Second)
	c.Renew = cmp.Or(c.Renew, 30*time.Second)
	c.Retention = cmp.Or(c.Retention, 30*time.Minute)
	c.MaxLogBytes = cmp.Or(c.MaxLogBytes, 1<<30)
	c.MaxRows = cmp.Or(c.MaxRows, 10_000)
	c.MaxBackoff = cmp.Or(c.MaxBackoff, time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Roles == nil {
		c.Roles = func() []string { return nil }
	}
	if c.State == nil {
		c.State = func(State) {}
	}
	if c.Capture == nil {
		c.Capture = NewCapture(CaptureConfig{URL: c.URL, Logger: c.Logger})
	}
	return c
}

// State is what the host must know to call results fresh or stale.
type State struct {
	// Healthy says that the last read succeeded.
	Healthy bool
	// LastRead is when the last successful read began; zero if none did.
	LastRead time.Time
	// Err is why the log cannot be read; nil if Healthy.
	Err error
	// Uncaptured are root tables whose triggers do not stand as they should, and
	// why: results that read them are stale (C10). Nil if none.
	Uncaptured map[uint32]string
}

// Stats counts since the Listener was made, except where it says now.
type Stats struct {
	State
	Reads        int64
	Changes      int64
	Resyncs      int64
	Collapsed    int64 // reads with more than MaxRows rows (C3)
	Reconnects   int64
	Rotations    int64
	RotationHeld string // why the log could not be rotated just now; empty if it could
	LogBytes     int64  // now
	Cursor       reactor.Snapshot
	Epoch        reactor.Epoch
}
