package host

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/host/auth"
	"weir/host/calls"
	"weir/host/config"
	"weir/host/db"
	"weir/host/plugin"
	"weir/host/policy"
	"weir/host/tenant"
	"weir/host/wasm"
	"weir/reactor/changelog"
)

// space is one tenant as the configuration has it. It is immutable: a reload
// makes another, on the same rooms if it can.
type space struct {
	*rooms
	config   config.Tenant
	tenant   *tenant.Tenant
	guard    *policy.Guard
	verifier *auth.Verifier

	// version is a part of every key: what the plugins were granted. A plugin that
	// is configured has a version of its own.
	version  string
	settings map[string]settings // by the plugin's name
}

// rooms are what of a tenant outlives a reload: its connections and its loaded
// plugins. They are made anew when the plugins' directory, the schema or the role
// changes.
type rooms struct {
	database *db.DB
	plugins  *plugin.Set
	calls    *calls.Log
	// role is a part of every key: who runs the SQL over which schemas, and, from
	// the second time on that rooms were made, which time: the plugins and
	// statements that a group has belong to the rooms.
	role string
	// secret is where guests' randomness comes from (G11). The loader reads it
	// before it loads the first plugin.
	secret []byte
	look   look
	tried  atomic.Bool // every plugin was, once, with the database there
	logged logRate
	lacks  lacks

	newest atomic.Pointer[space] // that stands on them
}

// now is the newest space on the same rooms: its limits are those that count.
func (r *rooms) now() *space { return r.newest.Load() }

// newSpace makes a tenant with rooms of its own. It dials nothing.
func (h *Host) newSpace(ctx context.Context, file *config.Config, cfg config.Tenant) (*space, error) {
	t, err := newTenant(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Guest.Reveal() == "" {
		return nil, fmt.Errorf("tenant %s has no guest: add the URL of the role that its plugins' SQL runs as", cfg.Name)
	}
	r := &rooms{}
	bounds := boundsOf(t)
	r.database, err = db.Open(ctx, db.Config{
		URL:              cfg.Guest.Reveal(),
		Connections:      bounds.Connections,
		EpochExpr:        changelog.EpochExpr,
		SearchPath:       searchPath(t.Schema),
		StatementTimeout: bounds.StatementTimeout,
		MaxRows:          bounds.MaxRows,
		MaxResultBytes:   bounds.MaxResultBytes,
		Recapture:        h.recapture,
		Logger:           h.cfg.Logger.With("tenant", t.Name),
	})
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	if err := sameDatabase(ctx, file, r.database); err != nil {
		return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	r.calls = &calls.Log{DB: r.database}
	r.role = r.database.Role() + "\x00" + searchPath(t.Schema)
	if h.made[t.Name]++; h.made[t.Name] > 1 { // the first time nothing, so that digests agree between nodes
		r.role += fmt.Sprintf("\x00%d", h.made[t.Name])
	}
	s, err := h.spaceOn(ctx, r, t, cfg, nil)
	if err != nil {
		r.database.Close()
		return nil, err
	}
	r.newest.Store(s)
	r.open(h, h.runtime)
	s.guard.Lookup = r.plugins.Lookup
	return s, nil
}

// spaceOn makes a tenant on rooms that are there. The verifier of old is taken
// over if it would be the same.
func (h *Host) spaceOn(ctx context.Context, r *rooms, t *tenant.Tenant, cfg config.Tenant, old *space) (*space, error) {
	s := &space{rooms: r, config: cfg, tenant: t, guard: &policy.Guard{Tenant: t}, settings: map[string]settings{}}
	if r.plugins != nil {
		s.guard.Lookup = r.plugins.Lookup
	}
	s.version = fmt.Sprintf("%s %v", t.Trust, t.Grants)
	for name, p := range cfg.Plugin {
		s.settings[name] = newSettings(s.version, p.Settings())
	}
	if old != nil && reflect.DeepEqual(verifierConfig(cfg, h.cfg), verifierConfig(old.config, h.cfg)) {
		s.verifier = old.verifier
		return s, nil
	}
	var err error
	if s.verifier, err = auth.New(ctx, verifierConfig(cfg, h.cfg)); err != nil {
		return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	return s, nil
}

// sameRooms reports whether what the rooms were made of is the same.
func sameRooms(a, b config.Tenant) bool {
	return a.Plugins == b.Plugins && a.Schema == b.Schema && a.Guest == b.Guest && reflect.DeepEqual(a.SQL, b.SQL)
}

// errOtherDatabase: what a tenant reads must be what the change log tells of.
var errOtherDatabase = errors.New("all tenants live in the database of database.url, whose change log is one: give the tenant a schema and a role there, or start another weir")

// sameDatabase refuses a role of another database: its changes would never be
// seen. Servers have many names, so only the databases' are compared.
func sameDatabase(ctx context.Context, file *config.Config, guest *db.DB) error {
	own, err := db.Open(ctx, db.Config{URL: file.Database.URL.Reveal()})
	if err != nil {
		return err
	}
	defer own.Close()
	if own.Database() != guest.Database() {
		return fmt.Errorf("its guest URL names the database %q, and database.url %q: %w", guest.Database(), own.Database(), errOtherDatabase)
	}
	return nil
}

// boundsOf are a tenant's bounds of SQL.
func boundsOf(t *tenant.Tenant) db.Bounds {
	l := t.Limits.WithDefaults()
	return db.Bounds{
		Connections: l.MaxConnections, StatementTimeout: l.MutationTimeout,
		MaxRows: l.MaxResultRows, MaxResultBytes: int(l.MaxResultBytes),
	}
}

// open makes the set of plugins. Nothing is loaded before the secret is read.
func (r *rooms) open(h *Host, runtime *wasm.Runtime) {
	r.plugins = plugin.NewSet(plugin.Config{
		Runtime: runtime, Tenant: r.now().tenant,
		Engine:   h.engine.Engine,
		InitSeed: func(digest [32]byte) [32]byte { return r.seed("weir init seed", digest[:]) },
		Checker:  h.checker(r.now()),
		Settings: func(name string) string { return r.now().settingsNamed(name).version },
		Reuse:    func(name string) wasm.Reuse { return r.now().reuse(name) },
		Log:      func(path string, level int, line string) { h.guestLog(r.now(), path, "", level, line) },
		OnChange: func(c plugin.Change) { h.changed(r.now(), c) },
		OnBreak:  func(p *plugin.Plugin, stopped bool) { h.broke(r.now(), p, stopped) },
	})
}

// close frees the rooms.
func (r *rooms) close(ctx context.Context) {
	if r.plugins != nil {
		r.plugins.Close(ctx)
	}
	r.database.Close()
}

// seed derives a group's, a policy's or a plugin's randomness.
func (r *rooms) seed(purpose string, content []byte) [32]byte {
	mac := hmac.New(sha256.New, r.secret)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0})
	mac.Write(content)
	return [32]byte(mac.Sum(nil))
}

func newTenant(cfg config.Tenant) (*tenant.Tenant, error) {
	grants, err := tenant.ParseGrants(cfg.Grant)
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", cfg.Name, err)
	}
	return &tenant.Tenant{
		Name: cfg.Name, Hosts: cfg.Hosts, Plugins: cfg.Plugins, Schema: cfg.Schema, Weight: cfg.Weight,
		Trust: tenant.Trust(cfg.Trust), Grants: grants, Require: cfg.Require,
		SQLFunctions: cfg.SQL.Functions, Limits: tenant.Limits(cfg.Limits),
	}, nil
}

// searchPath is fixed for all of a tenant's connections.
func searchPath(schema string) string {
	return `"` + strings.ReplaceAll(schema, `"`, `""`) + `"`
}

func verifierConfig(t config.Tenant, cfg Config) auth.Config {
	limits := tenant.Limits(t.Limits).WithDefaults()
	c := auth.Config{
		Tenant: t.Name, Claims: t.Auth.Claims, Admin: t.Auth.Admin, AllowNoExp: t.Auth.AllowNoExp,
		ExpLeeway: limits.ExpLeeway, Leeway: limits.TokenLeeway, MaxTokenBytes: limits.MaxTokenBytes,
		Dev: cfg.Dev, Logger: cfg.Logger,
	}
	for _, k := range t.Auth.Keys {
		c.Keys = append(c.Keys, auth.Key{
			Issuer: k.Issuer, Audience: k.Audience, Algorithm: k.Algorithm,
			Secret: []byte(k.HS256.Reveal()), PEM: []byte(k.PublicKey), JWKS: k.JWKS, JWKSPrivate: k.JWKSPrivate,
		})
	}
	return c
}

// logRate bounds what the guests of a tenant log in a second.
type logRate struct {
	mu     sync.Mutex // protects the fields below
	second time.Time
	bytes  int64
	missed int // lines since the last one that passed
}
