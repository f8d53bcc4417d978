// Command policy is the plugin of stock policies: rules about the caller's token
// that need no table and no code of one's own. Put policy.wasm beside the other
// plugins, and require its policies by pattern in weir.toml:
//
//	require = { "admin.*" = ["policy/roles"] }
//
//	[plugin.policy.config]
//	roles = "admin, auditor"
//
// or by name from a plugin, as policy/roles. None of them reads a table, so that
// they cost a query nothing: their decisions are made once for each caller, and
// again when the token is renewed or the configuration changes.
package main

import weir "weir/plugins/guest"

var (
	_ = weir.Decide("roles", roles)
	_ = weir.Decide("org", org)
	_ = weir.Decide("own_org", ownOrg)
	_ = weir.Decide("read_only", readOnly)
)

func init() { weir.Plugin("policy", "1.0.0") }

func main() {}
