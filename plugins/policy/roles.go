package main

import (
	"slices"
	"strings"

	weir "weir/plugins/guest"
)

// rolesArgs is all that roles sees: the claim roles, an array of texts. Where the
// token has it elsewhere, [auth] claims says where.
type rolesArgs struct {
	Roles []string `claim:"roles"`
}

// roles allows a caller who has one of the roles that the configuration lists
// under "roles", by commas; "admin" if it lists none.
func roles(c *weir.Call, a rolesArgs) (weir.Decision, error) {
	wanted, set := c.Config("roles")
	if !set {
		wanted = "admin"
	}
	for role := range strings.SplitSeq(wanted, ",") {
		if slices.Contains(a.Roles, strings.TrimSpace(role)) {
			return weir.Allow(), nil
		}
	}
	return weir.Deny("needs_role"), nil
}

// readOnlyArgs is all that readOnly sees.
type readOnlyArgs struct {
	Writer *bool  `claim:"writer"`
	Action string `weir:"action"`
}

// readOnly allows everybody to read, and those with the claim writer to write.
func readOnly(_ *weir.Call, a readOnlyArgs) (weir.Decision, error) {
	if a.Action == "write" && (a.Writer == nil || !*a.Writer) {
		return weir.Deny("read_only"), nil
	}
	return weir.Allow(), nil
}
