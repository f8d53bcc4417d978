package tenant

import (
	"fmt"
	"slices"
	"strings"
)

// Capability names a set of host functions that a plugin may import only with a
// grant.
type Capability string

// DynamicSQL lets a plugin run SQL that it did not declare (query_sql).
const DynamicSQL Capability = "sql.dynamic"

// Capabilities lists every capability there is.
func Capabilities() []Capability { return []Capability{DynamicSQL} }

// Grants is what the plugins of a tenant may claim for themselves. The zero
// value grants nothing.
type Grants struct {
	// Public lets a function be open to callers without a token.
	Public bool
	// Claims are the names of claims, beyond sub, that functions may declare.
	Claims []string
	// Capabilities are the host function sets that plugins may import.
	Capabilities []Capability
}

// ParseGrants reads the words of a grant list: "public", "claim:NAME" and the
// names of capabilities.
func ParseGrants(words []string) (Grants, error) {
	var g Grants
	for _, w := range words {
		claim, isClaim := strings.CutPrefix(w, "claim:")
		switch {
		case w == "public":
			g.Public = true
		case isClaim && claim != "":
			g.Claims = append(g.Claims, claim)
		case slices.Contains(Capabilities(), Capability(w)):
			g.Capabilities = append(g.Capabilities, Capability(w))
		default:
			return Grants{}, fmt.Errorf("grant %q is not known: write public, claim:NAME or %s", w, DynamicSQL)
		}
	}
	return g, nil
}
