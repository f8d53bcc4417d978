package host

import (
	"time"

	"weir/abi"
	"weir/host/db"
	"weir/host/plugin"
	"weir/host/tenant"
	"weir/host/wasm"
	"weir/reactor"
)

// call is one function with one input: what an Execution runs again and again.
// It is immutable.
type call struct {
	space *space
	fn    *plugin.Function
	input abi.Input
	key   reactor.Key
	told  settings // what the plugin is told; its version is in the key
}

// newCall makes the call and its key.
func newCall(s *space, fn *plugin.Function, in abi.Input) *call {
	told := s.settingsOf(fn.Plugin)
	parts := reactor.KeyParts{
		Tenant: s.tenant.Name, Plugin: string(fn.Plugin.Digest[:]), Config: told.version,
		Role: s.role, Function: fn.Name, Input: in.Bytes,
	}
	return &call{space: s, fn: fn, input: in, key: parts.Key(), told: told}
}

// current returns the call on the plugin that serves now, if that is the same
// code: a group outlives a plugin that was taken out and put back.
func (c *call) current() *call {
	fn, err := c.space.plugins.Lookup(c.fn.Name)
	if err != nil || fn.Plugin.Digest != c.fn.Plugin.Digest {
		return c
	}
	return &call{space: c.space, fn: fn, input: c.input, key: c.key, told: c.told}
}

// limits are the tenant's as they are now.
func (c *call) limits() tenant.Limits { return c.space.now().tenant.Limits.WithDefaults() }

func (c *call) prepared() *prepared { return c.fn.Plugin.Prepared.(*prepared) }

// decides reports whether the function is a policy.
func (c *call) decides() bool { return c.fn.Kind == abi.Policy }

// target is the call as the reactor runs it.
func (c *call) target(name string) reactor.Target {
	return reactor.Target{Key: c.key, Name: name, Call: c, Waves: c.waves()}
}

// waves reports whether the function is one statement.
func (c *call) waves() bool { return c.fn.Statement != nil }

// query returns the query of a function that is one statement.
func (c *call) query(now time.Time) db.Query {
	p := c.prepared()
	list := p.reads
	if c.fn.Kind == abi.Mutation {
		list = p.writes
	}
	at := p.args[c.fn.Name]
	args := make([]abi.Value, len(at))
	for i, position := range at {
		args[i] = c.input.Values[position]
	}
	return db.Query{Statement: list[*c.fn.Statement], Args: args, Now: now}
}

// plan repeats a guest call that never looked at its rows (G13). It is
// immutable.
type plan struct {
	view  *wasm.View // nil: the value below
	value []byte
}

// guest returns the call for the plugin's pool.
func (c *call) guest(now time.Time, backend wasm.Backend, h *Host) *wasm.Call {
	return &wasm.Call{
		Input: c.input.Bytes, Now: now, Backend: backend, Log: h.logOf(c),
		Reached: func(limit string) { h.reached.add(c.space.tenant.Name, limit) },
		Config:  c.told.get, Settings: c.told.version,
		Seed: func() [32]byte { return c.space.seed("weir call seed", []byte(c.key)) },
	}
}
