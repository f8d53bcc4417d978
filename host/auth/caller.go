package auth

import (
	"maps"
	"time"
)

// Principal is who is calling. It is comparable: two callers are the same
// principal if and only if they are equal. The zero value is nobody.
type Principal struct {
	// Tenant is the tenant whose Verifier took the token.
	Tenant string
	// Issuer and Subject are iss and sub of the token.
	Issuer, Subject string
}

// String returns issuer and subject with a space between, as the owner of a job
// is written. Different principals of a tenant give different texts, because no
// issuer has a space (Key). Nobody is "".
func (p Principal) String() string {
	if p.Anonymous() {
		return ""
	}
	return p.Issuer + " " + p.Subject
}

// Anonymous reports whether this is nobody in particular.
func (p Principal) Anonymous() bool { return p.Subject == "" }

// Caller is a principal with its claims. It is immutable and safe for concurrent
// use.
type Caller struct {
	// Principal is zero but for the tenant when the caller is anonymous.
	Principal Principal
	// Expires is when the token ends; zero when it does not.
	Expires time.Time
	// Admin reports whether the token has every claim of Config.Admin.
	Admin bool

	claims map[string]any
}

// own adds the claims that the token does not say itself.
func (c *Caller) own() *Caller {
	c.claims["principal"], c.claims["admin"] = c.Principal.String(), c.Admin
	return c
}

// Anonymous returns a caller without a token.
func Anonymous(tenant string) *Caller { return &Caller{Principal: Principal{Tenant: tenant}} }

// Anonymous reports whether the caller has no token.
func (c *Caller) Anonymous() bool { return c.Principal.Anonymous() }

// Claim returns the claim that plugins know by name: sub, when signed in; the
// other standard claims of the token (iss, aud, exp, nbf, iat, jti); those of
// Config.Claims; and, when signed in, principal, the text of Principal, and
// admin, which is Admin. ok is false when the token does not have it.
//
// The value is nil, bool, string, int64, float64, []any or map[string]any, and
// nothing else inside these. An integer is an int64 and exact; a number written
// with a fraction or an exponent is a float64. Do not change lists and maps.
func (c *Caller) Claim(name string) (value any, ok bool) {
	value, ok = c.claims[name]
	return value, ok
}

// Claims returns a copy of the names and values that Claim gives.
func (c *Caller) Claims() map[string]any { return maps.Clone(c.claims) }
