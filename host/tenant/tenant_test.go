package tenant

import "testing"

// T2, G16: a tenant that says nothing about trust is sandboxed, and gets nothing
// that was not granted.
func TestNothingIsGrantedByOmission(t *testing.T) {
	t.Parallel()
	zero := &Tenant{}
	if zero.MayBePublic() || zero.MayClaim("roles") || zero.Has(DynamicSQL) {
		t.Error("the zero tenant has grants")
	}
	if !zero.MayClaim("sub") || !zero.MayClaim("principal") || zero.MayClaim("admin") {
		t.Error("a plugin may always see sub and principal, and admin only when granted")
	}
	own := &Tenant{Trust: Trusted}
	if !own.MayBePublic() || !own.MayClaim("roles") {
		t.Error("the operator's own plugins need no grant for public and claims")
	}
	if own.Has(DynamicSQL) {
		t.Error("trust must not grant a capability")
	}
}

func TestGrantsAreParsedAndUnknownOnesRefused(t *testing.T) {
	t.Parallel()
	g, err := ParseGrants([]string{"public", "claim:roles", "sql.dynamic"})
	if err != nil {
		t.Fatal(err)
	}
	granted := &Tenant{Trust: Sandboxed, Grants: g}
	if !granted.MayBePublic() || !granted.MayClaim("roles") || granted.MayClaim("org") || !granted.Has(DynamicSQL) {
		t.Errorf("grants = %+v", g)
	}
	for _, bad := range []string{"", "claim:", "Public", "sql"} {
		if _, err := ParseGrants([]string{bad}); err == nil {
			t.Errorf("ParseGrants(%q) was taken", bad)
		}
	}
}

func TestShareIsAtLeastOne(t *testing.T) {
	t.Parallel()
	for weight, want := range map[int]int{-3: 1, 0: 1, 1: 1, 3: 3} {
		if got := (&Tenant{Weight: weight}).Share(); got != want {
			t.Errorf("weight %d: share %d, want %d", weight, got, want)
		}
	}
}
