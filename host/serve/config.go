package serve

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"time"

	"weir/host/tenant"
	"weir/reactor"
)

// Config wires and bounds a Server. The zero value but for Backend runs with
// safe defaults: one tenant, no tokens, loopback names only.
type Config struct {
	// Backend answers. Required.
	Backend Backend
	// Verify verifies tokens. Nil: every token is refused.
	Verify Verify
	// Tenant chooses the tenant. Nil: there is one, tenant.DefaultName.
	Tenant TenantOf
	// Schema describes the functions. Nil: there is no description.
	Schema func(tenant string) Schema
	// Ready reports the conditions of /readyz, beside that of draining.
	Ready func() []Condition

	// Operator answers on the admin listener. Nil: it has no console.
	Operator Operator

	// Hosts are the names that this server answers to, beside the loopback names;
	// without a port. Others get 421.
	Hosts []string
	// Origins are other sites whose pages may call, as scheme://host[:port],
	// compared exactly.
	Origins []string
	// TrustedProxies are addresses or prefixes whose X-Forwarded-For is believed.
	TrustedProxies []string
	// Certificate gives each connection the certificate of the moment. Nil: the
	// listener is plain HTTP.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Web is a directory of static files for /. Empty: there are none.
	Web string
	// Dev takes ?as=NAME and "Bearer dev:NAME" from loopback, through a loopback
	// name, and not through a proxy. Only `weir dev` may set it.
	Dev bool

	// Limits bounds what belongs to no tenant: the bytes that stalled clients
	// pin, and requests before their tenant is known.
	Limits tenant.Limits
	// MaxSubscribing bounds Backend.Subscribe calls in flight for streams; more
	// wait, taking turns by session. Zero means 256.
	MaxSubscribing int
	// DrainWindow is the time over which Drain spreads the ends of streams. Zero
	// means 20 s, negative at once.
	DrainWindow time.Duration
	// Writer says who writes streams. "" is WriterAuto.
	Writer Writer
	// MaxTick bounds how long a busy shard lets a stream rest between two writes, so
	// that several changes cost one; an idle one writes at once. Zero means 50 ms,
	// negative: always at once.
	MaxTick time.Duration
	// Wrote is told of each result that a stream's socket has taken, and when its
	// writing began. Nil: nobody is.
	Wrote func(query string, v reactor.Version, began time.Time)
	// Version is the server's, for hello.
	Version string
	// Rooms are the statistics of the other rooms for /metrics, by the room's
	// name; each returns a plain struct and must be safe to call at any time. See
	// admin.go for how fields are named.
	Rooms map[string]func() any
	// Plugins lists the plugins of all tenants for /plugins. Nil means none.
	Plugins func() []Plugin
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger
}

// Writer is who writes streams.
type Writer string

// The writers. Whatever is chosen, a stream that is not HTTP/1.1 on a bare socket
// is written by the goroutine of its request.
const (
	WriterAuto      Writer = "auto"      // shards where they exist
	WriterGoroutine Writer = "goroutine" // of each request
	WriterShard     Writer = "shard"     // loops, one for each core; Linux only
)

func (c Config) withDefaults() Config {
	c.Writer = cmp.Or(c.Writer, WriterAuto)
	c.MaxTick = max(0, cmp.Or(c.MaxTick, 50*time.Millisecond))
	c.Limits = c.Limits.WithDefaults()
	c.MaxSubscribing = cmp.Or(c.MaxSubscribing, 256)
	c.DrainWindow = max(0, cmp.Or(c.DrainWindow, 20*time.Second))
	c.Version = cmp.Or(c.Version, "devel")
	if c.Tenant == nil {
		c.Tenant = OneTenant(&tenant.Tenant{Name: tenant.DefaultName})
	}
	if c.Plugins == nil {
		c.Plugins = func() []Plugin { return nil }
	}
	if c.Schema == nil {
		c.Schema = func(string) Schema { return Schema{} }
	}
	if c.Ready == nil {
		c.Ready = func() []Condition { return nil }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
