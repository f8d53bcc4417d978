package load

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"runtime"
)

// Config says what a fleet asks for. URL, Query, Args, Book and Sessions are
// required.
type Config struct {
	// URL is where the server listens, http only; a path is put before each path of
	// the wire.
	URL *url.URL
	// Token is sent as a bearer; empty sends none. As is a development user.
	Token, As string
	// Query is the name of the query, and Args its arguments, as JSON, for a group.
	Query string
	Args  func(group int) []byte
	// Sessions is how many streams are held, and Subscriptions how many queries each
	// of them asks for; 0 means 1.
	Sessions, Subscriptions int
	// Group is the group of a session's j-th subscription. Nil deals the groups of
	// the book round.
	Group func(session, j int) int
	// Book knows what is written.
	Book *Book
	// OpenRate bounds how many sessions are begun in a second; 0 means as fast as
	// they are answered.
	OpenRate int
	// MaxOpening bounds sessions that wait for their first byte; 0 means 128.
	MaxOpening int
	// Stalled is how many sessions, the first ones, have small socket buffers, count
	// for no latency, and no longer read after Stall.
	Stalled int
	// Resume sends the versions that are held when a session comes back.
	Resume bool
	// Come makes sessions that the server ends come back by themselves.
	Come bool
	// Seen, if set, is called for each result that a session is shown, in the loop.
	Seen func(session, group, n int)
}

// MaxSessions and MaxSubscriptions bound a fleet and each of its sessions: more is
// nothing that one process should try.
const MaxSessions, MaxSubscriptions = 200_000, 1000

// ErrUnsupported is returned where fleets do not run.
var ErrUnsupported = errors.New("many sessions are held by epoll, and " + runtime.GOOS + " has none: run this on Linux")

func (c Config) withDefaults() (Config, error) {
	c.Subscriptions = cmp.Or(c.Subscriptions, 1)
	c.MaxOpening = cmp.Or(c.MaxOpening, 128)
	groups := c.Book.Groups()
	if c.Group == nil {
		c.Group = func(session, j int) int { return (session*c.Subscriptions + j) % groups }
	}
	switch {
	case c.URL.Scheme != "http":
		return c, fmt.Errorf("%s is not plain http: measure behind what ends TLS", c.URL)
	case c.Sessions < 1 || c.Sessions > MaxSessions:
		return c, fmt.Errorf("%d sessions: 1 to %d are possible", c.Sessions, MaxSessions)
	case c.Subscriptions < 1 || c.Subscriptions > MaxSubscriptions:
		return c, fmt.Errorf("%d subscriptions in a session: 1 to %d are possible", c.Subscriptions, MaxSubscriptions)
	case c.Stalled < 0 || c.Stalled > c.Sessions:
		return c, fmt.Errorf("%d of %d sessions cannot stall", c.Stalled, c.Sessions)
	}
	return c, nil
}

// Counts is what a fleet saw since it began, or since Reset.
type Counts struct {
	Frames     int64            // full results and deltas, by session
	Deltas     int64            // those of them that were deltas
	Bytes      int64            // read from sockets
	Events     int64            // all others
	Reconnects int64            // sessions that came back
	Lost       int64            // sessions that ended without being asked
	Unchanged  int64            // subscriptions that were told they hold the newest
	Back       int64            // results older than what was shown before (L2)
	Wrong      int64            // results whose version is not theirs (L4)
	Codes      map[string]int64 // problems, ends, closes and refusals, by code
	Latency    Histogram        // commit to client, one for each commit and subscription (L1)
}

// Standing is how the subscriptions of sessions that read stand.
type Standing struct {
	Subscriptions int // all of them
	Told          int // have a result
	Behind        int // show less than what was committed (L3)
	Open          int // sessions whose stream is open
}

// RefusedError says that the server does not serve what the fleet asks for.
type RefusedError struct {
	Status        int // of HTTP; 0 when it was told in the stream
	Code, Message string
}

// Error returns the server's own sentence.
func (e *RefusedError) Error() string {
	if e.Message == "" {
		return "the server refuses (" + e.Code + ")"
	}
	return fmt.Sprintf("the server refuses: %s (%s)", e.Message, e.Code)
}
