package main

import (
	"path/filepath"
	"strings"
	"testing"
)

const claimsPlugin = `package main

import weir "notes/weir"

type WhoArgs struct {
	Me    string   ` + "`claim:\"sub\"`" + `
	Roles []string ` + "`claim:\"roles\"`" + `
	Org   *int64   ` + "`claim:\"org\"`" + `
}

type Who struct {
	Me    string
	Roles []string
	Org   *int64
}

func who(c *weir.Call, a WhoArgs) (Who, error) { return Who{a.Me, a.Roles, a.Org}, nil }

var admins = weir.AllowIf[struct {
	Roles []string ` + "`claim:\"roles\"`" + `
}]("admins", "select 1 where 'admin' = any($roles)")

func init() {
	weir.Query("who.open", weir.Func(who), weir.SignedIn())
	weir.Query("who.admin", weir.Func(who), weir.Require(admins))
}
`

const claimsTest = `package main

import (
	"testing"

	"notes/weir/weirtest"
)

func TestClaims(t *testing.T) {
	w := weirtest.Start(t)
	roles := []string{"admin", "editor"}
	ann := w.AsClaims(map[string]any{"sub": "ann", "roles": roles, "org": 9007199254740993})
	var got Who
	ann.Call("who.admin", nil).Into(&got)
	if got.Me != "ann" || len(got.Roles) != 2 || got.Roles[1] != "editor" || got.Org == nil || *got.Org != 9007199254740993 {
		t.Errorf("ann is %+v", got)
	}
	live := weirtest.Watch[Who](ann, "who.admin", nil)
	live.Want(func(a Who) bool { return a.Me == "ann" })

	bob := w.AsClaims(map[string]any{"sub": "bob", "roles": roles[1:]})
	bob.WantRefused("who.admin", nil, "denied")
	bob.Call("who.open", nil).Into(&got)
	if got.Me != "bob" || got.Org != nil {
		t.Errorf("bob is %+v", got)
	}
	w.As("ann").WantRefused("who.admin", nil, "denied")
	w.AsClaims(map[string]any{"sub": "cid", "exp": 1}).WantRefused("who.open", nil, "expired")
	if bob.String() != "bob" {
		t.Errorf("bob is called %s", bob)
	}
}

func TestNoSuchClaim(t *testing.T) {
	weirtest.Start(t).AsClaims(map[string]any{"sub": "ann", "role": "admin"})
}
`

// The users of a test have the claims that it gives them, where weir.toml says that
// tokens have them, and no other key than the test's own is needed.
func TestUsersOfATestHaveClaims(t *testing.T) {
	t.Parallel()
	dir := projectForTests(t)
	write(t, filepath.Join(dir, "plugin", "claims.go"), claimsPlugin)
	write(t, filepath.Join(dir, "plugin", "claims_test.go"), claimsTest)
	edit(t, filepath.Join(dir, "weir.toml"), "[dev]", "[auth]\nclaims = { roles = \"realm_access.roles\", org = \"org.id\" }\n\n[dev]")
	if out := weir(t, dir, "test", "--", "-run", "TestClaims", "./plugin").must(t); !strings.Contains(out, "ok  \tnotes/plugin") {
		t.Errorf("got %q", out)
	}
	o := weir(t, dir, "test", "--", "-run", "TestNoSuchClaim", "./plugin")
	if want := `the claim role is not in auth.claims of weir.toml: add its path there, such as claims = { role = "role" }; there is org, roles`; o.code != 1 || !strings.Contains(o.out, want) {
		t.Errorf("it does not say %q:\n%s", want, o.out)
	}
}

// A token says what it was asked for and nothing of another issuer.
func TestTokensOfATestAreItsOwn(t *testing.T) {
	t.Parallel()
	tokens := &testTokens{secret: make([]byte, 32), claims: map[string]string{"org": "org.id"}}
	f := func(want string, claims map[string]any) {
		t.Helper()
		if token, err := tokens.mint(claims); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %q %v, want %q", claims, token, err, want)
		}
	}
	f("sub is missing", map[string]any{})
	f("sub is missing", map[string]any{"sub": 7})
	f("the claim iss is that of the tests' own key", map[string]any{"sub": "ann", "iss": "evil"})
	f("the claim aud is that", map[string]any{"sub": "ann", "aud": "other"})
	f("the claim team is not in auth.claims", map[string]any{"sub": "ann", "team": 1})
	if token, err := tokens.mint(map[string]any{"sub": "ann", "org": 1, "exp": 5}); err != nil || strings.Count(token, ".") != 2 {
		t.Errorf("%q %v", token, err)
	}
}
