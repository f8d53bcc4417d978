package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// tenantName is a path segment, a label of metrics and a default schema.
var tenantName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,47}$`)

// hostName is a name without port or scheme.
var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

func (c *Config) validateTenant(f *faults, name string) {
	t, key := c.Tenant[name], joinKey("tenant", name)
	if !tenantName.MatchString(name) {
		f.at(key, "%s: use up to 48 small letters, digits, _ and -, a letter first, as a tenant's name", key)
	}
	if name == defaultTenant && c.Plugins != "" {
		f.at(key, "%s: the top-level plugins key already makes that tenant: remove one of them", key)
	}
	if t.Plugins == "" {
		f.at(key, "%s has no plugins: add the directory of its *.wasm files", key)
	}
	if t.Schema == "weir" || t.Schema == "information_schema" || strings.HasPrefix(t.Schema, "pg_") {
		f.at(key+".schema", "%s.schema is %q, which is not for tables of a tenant: use another", key, t.Schema)
	}
	// Without a database URL there is only the private one of `weir dev`.
	if (c.Database.URL != "" || c.Database.URLFile != "") && t.Guest == "" && t.GuestFile == "" {
		f.at(key, "%s has no guest: add the URL of the role that its plugins' SQL runs as", key)
	}
	validateURL(f, key+".guest", t.Guest)
	validatePlugins(f, key, t.Trust, t.Grant, t.Require, t.Auth)
	validateFunctions(f, key+".sql", t.SQL)
	validateAuth(f, key+".auth", t.Auth)
	validatePluginConfigs(f, key, t.Plugin)
}

// owners remembers who uses a value first.
type owners map[string]string

// claim returns the key that used value before, or "".
func (o owners) claim(value, key string) string {
	if first, taken := o[value]; taken || value == "" {
		return first
	}
	o[value] = key
	return ""
}

// validateApart keeps tenants apart: no two share a host name, a schema, a role,
// a directory or the tokens they take, and no plugin runs as weir's own role (W7).
func (c *Config) validateApart(f *faults) {
	hosts, schemas, guests, dirs, parties := owners{}, owners{}, owners{}, owners{}, owners{}
	c.validateHosts(f, "server.hosts", c.Server.Hosts, hosts)
	guests.claim(c.Database.URL.Reveal(), "database.url")
	if first := guests.claim(c.Database.Guest.Reveal(), "database.guest"); first != "" {
		f.at("database.guest", "database.guest is the same as %s: plugins need a role of their own, weir db setup makes it", first)
	}
	dirs.claim(c.Plugins, "plugins")
	validateParties(f, "auth", c.Auth, parties)
	if c.Plugins != "" {
		schemas.claim("public", "the tenant default")
	}
	for _, name := range c.tenantNames() {
		t, key := c.Tenant[name], joinKey("tenant", name)
		c.validateHosts(f, key+".hosts", t.Hosts, hosts)
		validateParties(f, key+".auth", t.Auth, parties)
		if first := schemas.claim(t.Schema, key+".schema"); first != "" {
			f.at(key+".schema", "%s.schema is %q, which is that of %s: use another", key, t.Schema, first)
		}
		if first := guests.claim(t.Guest.Reveal(), key+".guest"); first != "" {
			f.at(key+".guest", "%s.guest is the same as %s: each tenant needs a role of its own", key, first)
		}
		if first := dirs.claim(t.Plugins, key+".plugins"); first != "" {
			f.at(key+".plugins", "%s.plugins is the directory of %s: use another", key, first)
		}
	}
}

func (c *Config) validateHosts(f *faults, key string, list []string, taken owners) {
	for i, host := range list {
		_, err := netip.ParseAddr(host)
		if err != nil && !hostName.MatchString(host) {
			f.at(item(key, i), "%s has %q: write a host name in small letters, without port or scheme", key, host)
			continue
		}
		first := taken.claim(host, key)
		switch {
		case first == key && slices.Index(list, host) < i:
			f.at(item(key, i), "%s has %q twice: remove one", key, host)
		case first != "":
			f.at(item(key, i), "%s has %q, which is also in %s: a host leads to one tenant", key, host, first)
		}
	}
}

// validateParties refuses keys of two tenants whose tokens cannot be told apart:
// a token of one would be good for the other.
func validateParties(f *faults, key string, a Auth, taken owners) {
	for i, k := range a.Keys {
		first := taken.claim(k.Issuer+"\x00"+k.Audience, key)
		if first != "" && first != key {
			f.at(fmt.Sprintf("%s.keys[%d]", key, i), "%s.keys[%d] takes tokens of issuer %q for audience %q, and so does %s: give each tenant an audience of its own", key, i, k.Issuer, k.Audience, first)
		}
	}
}
