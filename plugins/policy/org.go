package main

import weir "weir/plugins/guest"

// orgArgs is all that org sees.
type orgArgs struct {
	Org  string
	Mine string `claim:"org"`
}

// org allows a call whose argument org is the caller's own, the claim org.
func org(_ *weir.Call, a orgArgs) (weir.Decision, error) {
	if a.Org != a.Mine {
		return weir.Deny("other_org"), nil
	}
	return weir.Allow(), nil
}

// ownOrgArgs is all that ownOrg sees.
type ownOrgArgs struct {
	Org string `claim:"org"`
}

// ownOrg allows everybody with the claim org, and puts it into the scope: the
// guarded function declares a field tagged scope:"org", and is given no other.
func ownOrg(_ *weir.Call, a ownOrgArgs) (weir.Decision, error) {
	if a.Org == "" {
		return weir.Deny("no_org"), nil
	}
	return weir.Allow().Scope("org", a.Org), nil
}
