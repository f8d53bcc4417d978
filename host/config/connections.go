package config

const (
	// ownConnections are not for plugins' SQL: the reader of the change log, its
	// keeper, and capture.
	ownConnections = 4
	// leastConnections is what each tenant has at least: a write must not wait for
	// a read that waits for it.
	leastConnections = 2
)

// shareConnections gives the tenants that set no number their parts, by weight,
// of what database.connections leaves. A static part is what keeps one tenant's
// slow SQL from taking the connections of all (W7).
func (c *Config) shareConnections(list []Tenant) {
	free, weights := c.Database.Connections-ownConnections, 0
	for i := range list {
		if n := list[i].Limits.MaxConnections; n > 0 {
			free -= n
		} else {
			weights += max(1, list[i].Weight)
		}
	}
	for i := range list {
		if limit := &list[i].Limits.MaxConnections; *limit <= 0 {
			*limit = max(leastConnections, free*max(1, list[i].Weight)/weights)
		}
	}
}

// validateConnections refuses a file whose tenants do not fit.
func (c *Config) validateConnections(f *faults) {
	need := ownConnections
	for _, t := range c.Tenants() {
		need += t.Limits.MaxConnections
	}
	if need > c.Database.Connections {
		f.at("database.connections", "database.connections is %d, but weir's own %d and those of the tenants are %d: raise it, or lower limits.connections", c.Database.Connections, ownConnections, need)
	}
}
