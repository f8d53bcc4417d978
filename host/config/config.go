package config

import (
	"slices"
	"time"
)

// Config is the whole file with its defaults filled in. Make it with Load, Parse
// or Default.
//
// Tags: toml is the key, default its value when it is not set, off allows 0,
// path resolves against the file's directory, file names the twin that a secret
// is read from, scope=server keeps a limit out of [tenant.NAME].
type Config struct {
	// Plugins is the directory of *.wasm and *.js files of the tenant "default". Empty
	// when the file has tenants and no plugins of its own.
	Plugins string `toml:"plugins" path:"yes"`
	// Engine is the file of the engine that runs plugins in JavaScript. Empty: it
	// is looked for beside weir's binary and in its cache.
	Engine string `toml:"engine" path:"yes"`
	// Trust says whose plugins these are: "trusted" (the operator's own) or
	// "sandboxed".
	Trust string `toml:"trust" default:"trusted"`
	// Grant lists what sandboxed plugins may claim: "public", "claim:NAME", or
	// the name of a capability.
	Grant []string `toml:"grant"`
	// Require adds policies to the functions that match a pattern.
	Require map[string][]string `toml:"require"`

	Server   Server   `toml:"server"`
	Database Database `toml:"database"`
	SQL      SQL      `toml:"sql"`
	Auth     Auth     `toml:"auth"`
	Admin    Admin    `toml:"admin"`
	Limits   Limits   `toml:"limits"`
	Dev      Dev      `toml:"dev"`

	// Plugin holds the [plugin.NAME] tables of the tenant "default".
	Plugin map[string]Plugin `toml:"plugin"`
	// Tenant holds the [tenant.NAME] tables. Use Tenants, which adds "default".
	Tenant map[string]Tenant `toml:"tenant"`

	file  string              // for messages
	lines map[string]int      // key path → line
	set   map[string]bool     // key paths that the file sets
	from  map[string][]string // tenant limits that come from [limits], by tenant
}

// Server is [server]: what clients reach.
type Server struct {
	// Listen is the address for clients: "host:port", ":port" or "unix:/path".
	Listen string `toml:"listen" default:":8090"`
	// TLSCertificate and TLSKey are PEM files of a certificate, with its chain, and
	// its key; when they change they are read again. Without them weir speaks plain
	// HTTP. `weir dev` does so always.
	TLSCertificate string `toml:"tls_certificate" path:"yes"`
	TLSKey         string `toml:"tls_key" path:"yes"`
	// Hosts are the names that this server answers to; other Host headers are
	// refused. Empty means loopback names only.
	Hosts []string `toml:"hosts"`
	// Origins are other sites whose pages may call, such as
	// "https://app.example.com". Empty means none.
	Origins []string `toml:"origins"`
	// TrustedProxies are addresses or prefixes whose X-Forwarded-For is believed.
	TrustedProxies []string `toml:"trusted_proxies"`
	// Web is a directory of static files served at /. Empty means none.
	Web string `toml:"web" path:"yes"`
	// Writer says who writes streams: "auto", "goroutine" (one for each stream) or
	// "shard" (loops, one for each core; Linux only). "auto" is shards where they
	// can be; what is not HTTP/1.1 on a bare socket has a goroutine in any case.
	Writer string `toml:"writer" default:"auto"`
}

// Database is [database].
type Database struct {
	// URL is that of weir's own role: a direct connection, not a transaction
	// pooler. Empty only under `weir dev`, which then starts a private one.
	URL     Secret `toml:"url" file:"url_file"`
	URLFile string `toml:"url_file" path:"yes"`
	// Guest is the URL of the role that the plugins' SQL of "default" runs as.
	Guest     Secret `toml:"guest" file:"guest_file"`
	GuestFile string `toml:"guest_file" path:"yes"`
	// Connections bounds weir's connections in all: four of its own, and the
	// tenants share the rest by weight, but for those that set
	// limits.connections. Each has at least two.
	Connections int `toml:"connections" default:"16"`
}

// SQL is [sql]: what plugins' SQL may call.
type SQL struct {
	// Functions lists user functions, schema-qualified, that SQL may call.
	Functions []string `toml:"functions"`
}

// Auth is [auth]: whose tokens are taken and what is read from them.
type Auth struct {
	// Keys verify tokens. None means that all callers are anonymous.
	Keys []Key `toml:"keys"`
	// Claims maps the name that plugins use to a path in the token.
	Claims map[string]string `toml:"claims"`
	// Admin maps a claim to the value that an administrator has there. All must
	// hold; empty means nobody.
	Admin map[string]string `toml:"admin"`
	// AllowNoExp takes tokens that never expire.
	AllowNoExp bool `toml:"allow_no_exp"`
}

// Key is one of [auth] keys. Exactly one of JWKS, HS256 and PublicKey (or the
// file of one) is set.
type Key struct {
	// Issuer and Audience must be in the token, exactly.
	Issuer   string `toml:"issuer"`
	Audience string `toml:"audience"`
	// JWKS is the https address of the issuer's key set.
	JWKS string `toml:"jwks"`
	// JWKSPrivate lets that address lie in a private network, or be plain http
	// on loopback. Link-local addresses are refused even so.
	JWKSPrivate bool `toml:"jwks_private"`
	// HS256 is a shared secret of at least 32 bytes.
	HS256     Secret `toml:"hs256" file:"hs256_file"`
	HS256File string `toml:"hs256_file" path:"yes"`
	// PublicKey is a PEM public key: Ed25519 (EdDSA), P-256 (ES256) or RSA
	// (RS256). The kind of key fixes the algorithm.
	PublicKey     string `toml:"public_key" file:"public_key_file"`
	PublicKeyFile string `toml:"public_key_file" path:"yes"`
	// Algorithm restricts a JWKS to EdDSA, ES256 or RS256. Empty takes each key
	// for the one algorithm of its kind.
	Algorithm string `toml:"algorithm"`
}

// Admin is [admin]: the listener for operators.
type Admin struct {
	// Listen is a loopback address or "unix:/path"; never a public one.
	Listen string `toml:"listen" default:"127.0.0.1:8091"`
}

// Dev is [dev]: used by `weir dev` alone, and only on its private database.
type Dev struct {
	// Schema and Seed are SQL files, applied in this order.
	Schema string `toml:"schema" path:"yes"`
	Seed   string `toml:"seed" path:"yes"`
	// Sources are plugin projects that are built into Plugins when they change.
	Sources []string `toml:"sources" path:"yes"`
}

// Tenant is one [tenant.NAME]. It inherits [limits] and nothing else.
type Tenant struct {
	// Name is NAME.
	Name string `toml:"-"`
	// Hosts are the names that lead to it, beside the path /t/NAME.
	Hosts []string `toml:"hosts"`
	// Plugins is the directory of its *.wasm and *.js files.
	Plugins string `toml:"plugins" path:"yes"`
	// Schema is the schema of its tables. Empty means its name; for "default",
	// public.
	Schema string `toml:"schema"`
	// Guest is the URL of the role that its plugins' SQL runs as.
	Guest     Secret `toml:"guest" file:"guest_file"`
	GuestFile string `toml:"guest_file" path:"yes"`
	// Trust, Grant and Require are as in Config; the default is "sandboxed".
	Trust   string              `toml:"trust" default:"sandboxed"`
	Grant   []string            `toml:"grant"`
	Require map[string][]string `toml:"require"`
	// Weight is its share of the server beside other tenants.
	Weight int `toml:"weight" default:"1"`
	// SQL, Auth and Limits are as in Config.
	SQL    SQL    `toml:"sql"`
	Auth   Auth   `toml:"auth"`
	Limits Limits `toml:"limits"`
	// Plugin holds the [tenant.NAME.plugin.NAME] tables.
	Plugin map[string]Plugin `toml:"plugin"`
}

// Default returns the configuration of an empty file.
func Default() *Config {
	c := newConfig("weir.toml")
	c.resolve("")
	return c
}

// Tenants returns every tenant with its effective settings: "default", if there
// is one, then the others by name.
func (c *Config) Tenants() []Tenant {
	var list []Tenant
	if c.Plugins != "" {
		list = append(list, Tenant{
			Name: defaultTenant, Hosts: c.Server.Hosts, Plugins: c.Plugins, Schema: "public",
			Guest: c.Database.Guest, GuestFile: c.Database.GuestFile,
			Trust: c.Trust, Grant: c.Grant, Require: c.Require, Weight: 1,
			SQL: c.SQL, Auth: c.Auth, Limits: c.Limits, Plugin: c.Plugin,
		})
	}
	for _, name := range c.tenantNames() {
		list = append(list, c.Tenant[name])
	}
	c.shareConnections(list)
	return list
}

const defaultTenant = "default"

func (c *Config) tenantNames() []string {
	names := make([]string, 0, len(c.Tenant))
	for name := range c.Tenant {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Limits is [limits], and [tenant.NAME.limits]. The fields are those of
// tenant.Limits in the same order, so that one converts to the other; what each
// bounds is said there.
type Limits struct {
	MaxExecutions             int           `toml:"executions" default:"16"`
	MaxTotalExecutions        int           `toml:"total_executions" default:"64" scope:"server"`
	MaxRunningGuests          int           `toml:"running_guests" default:"cores" scope:"server"`
	MaxIdleGuestBytes         int64         `toml:"idle_guest_bytes" default:"64 MiB"`
	MaxTotalIdleGuestBytes    int64         `toml:"total_idle_guest_bytes" default:"512 MiB" scope:"server"`
	MaxFirstRuns              int           `toml:"first_runs" default:"2000" off:"yes"`
	MaxConnections            int           `toml:"connections" off:"yes"`
	QueryTimeout              time.Duration `toml:"query_timeout" default:"5s"`
	PolicyTimeout             time.Duration `toml:"policy_timeout" default:"1s"`
	MutationTimeout           time.Duration `toml:"mutation_timeout" default:"10s"`
	GuestTimeout              time.Duration `toml:"guest_timeout" default:"100ms"`
	FirstDebounce             time.Duration `toml:"first_debounce" off:"yes"`
	MaxDebounce               time.Duration `toml:"max_debounce" default:"200ms" off:"yes"`
	LivePoll                  time.Duration `toml:"live_poll" default:"5ms" scope:"server"`
	IdlePoll                  time.Duration `toml:"idle_poll" default:"1s" scope:"server"`
	ResyncSweep               time.Duration `toml:"resync_sweep" default:"10m" off:"yes"`
	MaxStale                  time.Duration `toml:"max_stale" default:"5s"`
	MaxRecentChanges          int           `toml:"recent_changes" default:"65536"`
	MaxRecentAge              time.Duration `toml:"recent_age" default:"30s"`
	MaxLogAge                 time.Duration `toml:"log_age" default:"30m" scope:"server"`
	MaxLogBytes               int64         `toml:"log_bytes" default:"1 GiB" scope:"server"`
	MaxJobAge                 time.Duration `toml:"job_age" default:"168h" off:"yes"`
	MaxCachedBytes            int64         `toml:"cached_bytes" default:"10 MiB"`
	MaxResultBytes            int64         `toml:"result_bytes" default:"4 MiB"`
	MaxResultRows             int           `toml:"result_rows" default:"10000"`
	Linger                    time.Duration `toml:"linger" default:"5s" off:"yes"`
	MaxTotalSessions          int           `toml:"total_sessions" default:"100000" scope:"server"`
	MaxSessions               int           `toml:"sessions" default:"10000"`
	MaxOpenRate               int           `toml:"open_rate" default:"1000" off:"yes"`
	MaxPrincipalSessions      int           `toml:"principal_sessions" default:"20"`
	MaxAddressSessions        int           `toml:"address_sessions" off:"yes"`
	MaxAnonymousSessions      int           `toml:"anonymous_sessions" default:"5000"`
	MaxSessionSubscriptions   int           `toml:"session_subscriptions" default:"100"`
	MaxPrincipalSubscriptions int           `toml:"principal_subscriptions" default:"500"`
	MaxPrincipalGroups        int           `toml:"principal_groups" default:"500"`
	MaxGroups                 int           `toml:"groups" default:"50000"`
	PingInterval              time.Duration `toml:"ping_interval" default:"25s"`
	WriteTimeout              time.Duration `toml:"write_timeout" default:"30s"`
	MinWriteRate              int64         `toml:"write_rate" default:"16 KiB"`
	MaxPinnedBytes            int64         `toml:"pinned_bytes" default:"64 MiB" scope:"server"`
	ExpLeeway                 time.Duration `toml:"exp_leeway" off:"yes"`
	TokenLeeway               time.Duration `toml:"token_leeway" default:"5s" off:"yes"`
	MaxTokenBytes             int           `toml:"token_bytes" default:"8 KiB"`
	MaxIDBytes                int           `toml:"id_bytes" default:"255"`
	MaxArgumentBytes          int           `toml:"argument_bytes" default:"64 KiB"`
	MaxStatements             int           `toml:"statements" default:"64"`
	MaxHostCalls              int           `toml:"host_calls" default:"10000"`
	MaxHandles                int           `toml:"handles" default:"64"`
	MaxModuleBytes            int64         `toml:"module_bytes" default:"24 MiB"`
	MaxMemoryBytes            int64         `toml:"memory_bytes" default:"64 MiB"`
	MaxStackBytes             int64         `toml:"stack_bytes" default:"2 MiB"`
	CompileTimeout            time.Duration `toml:"compile_timeout" default:"10s" scope:"server"`
	MaxGuestLogLines          int           `toml:"guest_log_lines" default:"64"`
	MaxGuestLogBytes          int           `toml:"guest_log_bytes" default:"16 KiB"`
	MaxGuestLogRate           int64         `toml:"guest_log_rate" default:"64 KiB" off:"yes"`
	MaxFailures               int           `toml:"breaker_failures" default:"10" off:"yes"`
}
