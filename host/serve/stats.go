package serve

import (
	"sync"
	"sync/atomic"

	"weir/abi"
)

// Stats is a moment's view of the room.
type Stats struct {
	Sessions      int
	Subscriptions int
	Subscribing   int   // Backend.Subscribe calls in flight for streams
	PinnedBytes   int64 // superseded bytes that stalled clients still hold, when last looked at
	Draining      bool

	// Since the start.
	Streams    uint64
	Frames     uint64 // results written
	FrameBytes uint64
	// Closes counts the ends of streams by reason; what the client ended is "left".
	Closes map[string]uint64 `label:"reason"`
	// Problems counts problem documents and events by code; a plugin's own codes
	// are "plugin".
	Problems map[string]uint64 `label:"code"`
}

// counters are the live figures behind Stats.
type counters struct {
	streams, frames, frameBytes atomic.Uint64
	pinned                      atomic.Int64

	mu       sync.Mutex // protects the fields below
	closes   map[string]uint64
	problems map[string]uint64
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
