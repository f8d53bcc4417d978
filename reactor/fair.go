package reactor

import "time"

// account is a core's part in the weighted fair queue over tenants: how much of
// the server it has used, by measured cost, over its weight. Whoever has used
// least is served next, so that a tenant with slow functions gets as much time as
// one with fast ones, not as many runs (W7).
type account struct {
	used    time.Duration // of work that has finished or is in flight, over the weight
	flights int           // waves in flight
}

// expect charges a wave with what its groups cost last time. It returns the
// charge.
func (c *core) expect(wave []*Execution) time.Duration {
	var cost time.Duration
	for _, e := range wave {
		cost += max(e.group.cost, 50*time.Microsecond)
	}
	c.account.flights++
	c.account.used += cost / time.Duration(c.weight())
	return cost
}

// charge corrects the account when the wave has returned.
func (c *core) charge(expected time.Duration, results []Result) {
	var cost time.Duration
	for i := range results {
		cost += results[i].Cost
	}
	c.account.flights--
	c.stats.cost += cost
	c.account.used += (cost - expected) / time.Duration(c.weight())
}

func (c *core) weight() int { return max(1, c.cfg.Weight) }

// begin returns when a new group may run: at once, until FirstRuns have begun
// within a second.
func (c *core) begin(now time.Time) time.Time {
	if c.cfg.FirstRuns <= 0 {
		return now
	}
	c.begins = later(c.begins, now.Add(-time.Second)).Add(time.Second / time.Duration(c.cfg.FirstRuns))
	return later(now, c.begins)
}

// fairest returns the core that may start a wave and has used least; nil if there
// is none. The order of the cores turns, so that equals take turns.
func (r *Reactor) fairest(tried map[*core]bool) *core {
	var best *core
	for _, c := range r.order {
		c.throttled()
		if c.ready.len() == 0 || c.account.flights >= c.cfg.TenantExecutions || tried[c] {
			continue
		}
		if best == nil || c.account.used < best.account.used {
			best = c
		}
	}
	return best
}

// throttled notes that groups wait because so many executions are in flight.
func (c *core) throttled() {
	held := c.ready.len() > 0 && c.account.flights >= c.cfg.TenantExecutions
	if held && !c.held {
		c.stats.limits.Executions++
	}
	c.held = held
}

// level keeps a core that had nothing to do from saving up: it comes back as the
// equal of the one that has used least of those who work.
func (r *Reactor) level() {
	first := true
	var least time.Duration
	for _, c := range r.order {
		if c.account.flights > 0 || c.ready.len() > 0 {
			if first || c.account.used < least {
				first, least = false, c.account.used
			}
		}
	}
	if first {
		return
	}
	for _, c := range r.order {
		if c.account.flights == 0 && c.ready.len() == 0 {
			c.account.used = max(c.account.used, least)
		}
	}
}
