package tenant

import "slices"

// DefaultName is the tenant of a configuration that names none.
const DefaultName = "default"

// Trust says whose plugins a tenant runs. The zero value is Sandboxed: what is
// not stated is not trusted.
type Trust string

// The two kinds of trust.
const (
	// Sandboxed is for plugins that are not the operator's own: public functions
	// and claims beyond sub need a grant (G16).
	Sandboxed Trust = "sandboxed"
	// Trusted is for the operator's own plugins.
	Trusted Trust = "trusted"
)

// Tenant owns data, plugins and limits. It is immutable after it was made and
// safe for concurrent use.
type Tenant struct {
	// Name is unique in the server and not empty.
	Name string
	// Hosts are the host names, in lower case, that lead to this tenant.
	Hosts []string
	// Prefix is the path that leads to this tenant under any host, such as
	// "/t/acme". Empty for the default tenant, which has the bare paths.
	Prefix string
	// Plugins is the directory of its *.wasm files.
	Plugins string
	// Schema is the PostgreSQL schema of its tables, first in the search path.
	Schema string
	// Role is the login role that its plugins' SQL runs as. Empty until the
	// database was asked.
	Role string
	// Weight is its share of the server beside other tenants. Zero means 1.
	Weight int
	// Trust says whose plugins these are. Empty means Sandboxed.
	Trust Trust
	// Grants lists what its plugins may claim for themselves.
	Grants Grants
	// Require adds policies to the functions that match a pattern such as
	// "admin.*".
	Require map[string][]string
	// SQLFunctions lists the user functions that its SQL may call.
	SQLFunctions []string
	// Limits bounds it. Zero fields mean the defaults.
	Limits Limits
}

// Share returns the weight, at least 1.
func (t *Tenant) Share() int { return max(1, t.Weight) }

// MayBePublic reports whether a plugin of this tenant may open a function to
// callers without a token.
func (t *Tenant) MayBePublic() bool { return t.Trust == Trusted || t.Grants.Public }

// MayClaim reports whether a plugin of this tenant may declare the claim. Every
// plugin may see sub, and principal, which is sub with its issuer.
func (t *Tenant) MayClaim(name string) bool {
	return name == "sub" || name == "principal" || t.Trust == Trusted || slices.Contains(t.Grants.Claims, name)
}

// Has reports whether the capability is granted. Trust grants none: what a
// manifest asks for must be listed, also by an operator for his own plugins.
func (t *Tenant) Has(c Capability) bool { return slices.Contains(t.Grants.Capabilities, c) }
