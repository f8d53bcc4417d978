package reactor

import (
	"maps"
	"slices"
	"time"
)

// SetUncaptured names the tables whose changes do not reach the change log, and
// why. Results that read one of them say that they are stale (C10); when a table
// is no longer named, they run again.
func (r *Reactor) SetUncaptured(tables map[uint32]string) {
	r.mu.Lock()
	r.inbox.uncaptured = maps.Clone(tables)
	r.inbox.captureTold = true
	r.mu.Unlock()
	r.signal()
}

// setUncaptured takes a new list of dark tables.
func (c *core) setUncaptured(now time.Time, tables map[uint32]string) {
	if maps.Equal(c.uncaptured, tables) {
		return
	}
	for table := range c.uncaptured {
		if _, still := tables[table]; !still {
			c.captured = now
		}
	}
	c.uncaptured = tables
	for _, g := range slices.Clone(c.all) {
		was := g.dark
		if g.dark = c.reaches(g); g.dark == was || !g.shown() {
			continue
		}
		if was {
			c.invalidate(now, g, Cause{Reason: Resynced})
		} else {
			c.freeze(g) // nobody tells when it ends to hold (W5)
		}
		if !g.gone() {
			c.publish(g)
		}
	}
}

// reaches reports whether the group's newest result read a dark table.
func (c *core) reaches(g *group) bool {
	if len(c.uncaptured) == 0 {
		return false
	}
	for i := range g.reads.Atoms {
		if _, dark := c.uncaptured[g.reads.Atoms[i].Table]; dark {
			return true
		}
	}
	return false
}
