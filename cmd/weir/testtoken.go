package main

import (
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/host/auth"
	"weir/host/config"
)

// testTokens makes tokens for the users of one test, with a key that is made for it.
type testTokens struct {
	secret []byte
	claims map[string]string // [auth] claims: where a token has them
}

const (
	testIssuer   = "weir:test"
	testAudience = "weir"
	testLifetime = time.Hour // no test runs longer
)

// standardClaims have their own names in a token.
var standardClaims = []string{"sub", "exp", "nbf", "iat", "jti"}

// newTestTokens adds its key to those that the file names.
func newTestTokens(file *config.Config) *testTokens {
	t := &testTokens{secret: make([]byte, 32), claims: file.Auth.Claims}
	_, _ = rand.Read(t.secret) // it never fails
	key := config.Key{Issuer: testIssuer, Audience: testAudience, HS256: config.Secret(t.secret)}
	file.Auth.Keys = slices.Concat(file.Auth.Keys, []config.Key{key})
	return t
}

// mint makes a token of claims, by the names that plugins know them by.
func (t *testTokens) mint(claims map[string]any) (string, error) {
	token := map[string]any{"iss": testIssuer, "aud": testAudience, "exp": time.Now().Add(testLifetime).Unix()}
	for name, value := range claims {
		path := t.claims[name]
		switch {
		case slices.Contains(standardClaims, name):
			token[name] = value
		case name == "iss" || name == "aud":
			return "", usagef("the claim %s is that of the tests' own key: leave it out", name)
		case path != "":
			token[path] = value // a path is found under its whole name, too
		default:
			known := slices.Sorted(maps.Keys(t.claims))
			return "", usagef("the claim %s is not in auth.claims of weir.toml: add its path there, such as claims = { %s = %q }%s", name, name, name, listed(known))
		}
	}
	return auth.Mint(t.secret, token)
}

// listed names what there is: "; there is org, roles".
func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "; there is " + strings.Join(names, ", ")
}
