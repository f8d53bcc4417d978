package main

import (
	"testing"

	weir "weir/plugins/guest"
	"weir/plugins/guest/weirtest"
)

func TestStockPolicies(t *testing.T) {
	t.Parallel()
	f := func(name string, d weir.Decision, err error, allowed bool, reason string) {
		t.Helper()
		if err != nil || d.Allowed() != allowed || d.Reason() != reason {
			t.Errorf("%s: %v %q, %v; want %v %q", name, d.Allowed(), d.Reason(), err, allowed, reason)
		}
	}
	role := func(config string, has ...string) (weir.Decision, error) {
		if config == "" {
			return roles(weirtest.Call(), rolesArgs{has})
		}
		return roles(weirtest.Call(weirtest.Config("roles", config)), rolesArgs{has})
	}
	d, err := role("", "user", "admin")
	f("admin is the default", d, err, true, "")
	d, err = role("")
	f("no roles", d, err, false, "needs_role")
	d, err = role("auditor, admin ", "admin")
	f("one of several", d, err, true, "")
	d, err = role("auditor", "admin")
	f("not the default", d, err, false, "needs_role")
	d, err = role("admin", "administrator", "adm", "")
	f("no prefix", d, err, false, "needs_role")

	d, err = org(weirtest.Call(), orgArgs{"acme", "acme"})
	f("own org", d, err, true, "")
	d, err = org(weirtest.Call(), orgArgs{"acme", "evil"})
	f("other org", d, err, false, "other_org")
	d, err = ownOrg(weirtest.Call(), ownOrgArgs{"acme"})
	f("scope", d, err, true, "")
	d, err = ownOrg(weirtest.Call(), ownOrgArgs{})
	f("no org", d, err, false, "no_org")

	yes := true
	d, err = readOnly(weirtest.Call(), readOnlyArgs{Action: "read"})
	f("reads", d, err, true, "")
	d, err = readOnly(weirtest.Call(), readOnlyArgs{Action: "write"})
	f("writes", d, err, false, "read_only")
	d, err = readOnly(weirtest.Call(), readOnlyArgs{&yes, "write"})
	f("a writer", d, err, true, "")
}
