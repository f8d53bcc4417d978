package serve

import (
	"sync"
	"sync/atomic"

	"weir/abi"
)

// Stats is a moment's view of the room. The tag help says what a figure means to
// an operator.
type Stats struct {
	Sessions      int   `help:"Open streams."`
	ShardSessions int   `help:"Open streams that shards write; the others have a goroutine each."`
	Subscriptions int   `help:"Subscriptions of all streams."`
	Subscribing   int   `help:"Subscriptions of streams that are being made."`
	PinnedBytes   int64 `help:"Superseded bytes that stalled clients still hold, when last looked at."`
	Draining      bool  `help:"Whether the server refuses new streams because it stops."`

	Wake  *Histogram `help:"From a new state of a result until the streams that watch it are woken."`
	Write *Histogram `help:"From the beginning of a frame until the client's socket has taken it."`

	Descriptors int `help:"File descriptors that the process may have; 0: as many as it likes."`

	// Since the start.
	Crowded    uint64                       `help:"Connections whose requests were refused because descriptors were running out."`
	Shed       uint64                       `help:"Connections closed at once because there were no descriptors left."`
	Streams    uint64                       `help:"Streams opened."`
	Frames     uint64                       `help:"Results written to streams."`
	Deltas     uint64                       `help:"Results that were written as what is new in them."`
	FrameBytes uint64                       `help:"Bytes of results written to streams."`
	Closes     map[string]uint64            `label:"reason" help:"Ends of streams by reason; what the client ended is left."`
	Limits     map[string]map[string]uint64 // how often limits were reached, by tenant and key; not a metric of this room
	Problems   map[string]uint64            `label:"code" help:"Problem documents and events by code; a plugin's own codes are plugin."`
}

// counters are the live figures behind Stats.
type counters struct {
	streams, frames, deltas, frameBytes atomic.Uint64
	pinned                              atomic.Int64
	wake, write                         Histogram

	mu       sync.Mutex // protects the fields below
	closes   map[string]uint64
	problems map[string]uint64
	limits   map[string]map[string]uint64
}

// reached counts a limit that a tenant reached.
func (c *counters) reached(tenantName, limit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limits == nil {
		c.limits = map[string]map[string]uint64{}
	}
	if c.limits[tenantName] == nil {
		c.limits[tenantName] = map[string]uint64{}
	}
	c.limits[tenantName][limit]++
}

func (c *counters) closed(reason abi.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closes == nil {
		c.closes = map[string]uint64{}
	}
	c.closes[string(reason)]++
}

func (c *counters) problem(code abi.Code) {
	if _, ok := problems[code]; !ok {
		code = "plugin" // a plugin invents codes; a metric's label must not grow with them
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.problems == nil {
		c.problems = map[string]uint64{}
	}
	c.problems[string(code)]++
}
