package host

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"

	"weir/host/auth"
	"weir/host/config"
	"weir/host/db"
	"weir/host/plugin"
	"weir/host/policy"
	"weir/host/tenant"
	"weir/host/wasm"
	"weir/reactor/changelog"
)

// space is one tenant's rooms.
type space struct {
	tenant   *tenant.Tenant
	database *db.DB
	plugins  *plugin.Set
	guard    *policy.Guard
	verifier *auth.Verifier

	// role and version are parts of every key: who runs the SQL over which
	// schemas, and what the plugins were granted. A plugin that is configured has
	// a version of its own.
	role, version string
	settings      map[string]settings // by the plugin's name
	// secret is where guests' randomness comes from (G11). The loader reads it
	// before it loads the first plugin.
	secret []byte
}

// newSpace makes the rooms of a tenant. It dials nothing.
func (h *Host) newSpace(ctx context.Context, cfg config.Tenant) (*space, error) {
	t, err := newTenant(cfg)
	if err != nil {
		return nil, err
	}
	s := &space{tenant: t, settings: map[string]settings{}}
	limits := t.Limits.WithDefaults()
	s.database, err = db.Open(ctx, db.Config{
		URL:              cfg.Guest.Reveal(),
		Connections:      max(2, h.cfg.File.Database.Connections-reserved),
		EpochExpr:        changelog.EpochExpr,
		SearchPath:       searchPath(t.Schema),
		StatementTimeout: limits.MutationTimeout,
		MaxRows:          limits.MaxResultRows,
		MaxResultBytes:   int(limits.MaxResultBytes),
		Recapture:        h.recapture,
		Logger:           h.cfg.Logger.With("tenant", t.Name),
	})
	if err != nil {
		return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	s.role = s.database.Role() + "\x00" + searchPath(t.Schema)
	s.version = fmt.Sprintf("%s %v", t.Trust, t.Grants)
	for name, p := range cfg.Plugin {
		s.settings[name] = newSettings(s.version, p.Settings())
	}
	if s.verifier, err = newVerifier(ctx, cfg, h.cfg); err != nil {
		return nil, fmt.Errorf("tenant %s: %w", t.Name, err)
	}
	return s, nil
}

// reserved are the connections that are not for plugins' SQL: the reader of the
// change log, its keeper, and capture.
const reserved = 4

// open makes the set of plugins. Nothing is loaded before the secret is read.
func (s *space) open(h *Host, runtime *wasm.Runtime) {
	s.plugins = plugin.NewSet(plugin.Config{
		Runtime: runtime, Tenant: s.tenant,
		InitSeed: func(digest [32]byte) [32]byte { return s.seed("weir init seed", digest[:]) },
		Checker:  h.checker(s),
		Log:      func(path string, level int, line string) { h.guestLog(s, path, "", level, line) },
		OnChange: func(c plugin.Change) { h.changed(s, c) },
	})
	s.guard = &policy.Guard{Tenant: s.tenant, Lookup: s.plugins.Lookup}
}

// seed derives a group's, a policy's or a plugin's randomness.
func (s *space) seed(purpose string, content []byte) [32]byte {
	mac := hmac.New(sha256.New, s.secret)
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

func newVerifier(ctx context.Context, t config.Tenant, cfg Config) (*auth.Verifier, error) {
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
	return auth.New(ctx, c)
}
