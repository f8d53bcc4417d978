package auth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// DevIssuer is the issuer of development identities. No key may have it.
const DevIssuer = "weir:dev"

// devPrefix begins a development token: "dev:ann".
const devPrefix = "dev:"

var devName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}$`)

// DevToken is the token of the development user of that name.
func DevToken(name string) string { return devPrefix + name }

// IsDevToken reports whether it is the token of a development user, whom Verify
// knows under Config.Dev only.
func IsDevToken(token string) bool { return strings.HasPrefix(token, devPrefix) }

// DevUser returns the development user of that name. It proves nothing: only
// `weir dev` on loopback, and an operator's own question, may call it.
//
// It has no claims but sub and iss, so that Config.Admin could not be met by any
// name; here it is met by the user who is called what it asks for: with roles =
// "admin" that is admin. Unset it is still nobody.
func (v *Verifier) DevUser(name string) (*Caller, error) {
	if !devName.MatchString(name) {
		return nil, refuse(KindMalformed, "that is no name for a user of weir dev: use up to 64 letters, digits and _.@+-")
	}
	c := &Caller{
		Principal: Principal{Tenant: v.cfg.Tenant, Issuer: DevIssuer, Subject: name},
		Admin:     len(v.cfg.Admin) > 0,
		claims:    map[string]any{"sub": name, "iss": DevIssuer},
	}
	for _, want := range v.cfg.Admin {
		c.Admin = c.Admin && want == name
	}
	return c.own(), nil
}

// Mint signs claims with HS256, for development and tests. The secret must be
// one that a Key takes.
func Mint(secret []byte, claims map[string]any) (string, error) {
	if len(secret) < minSecret {
		return "", fmt.Errorf("mint token: the secret has %d bytes: use at least %d", len(secret), minSecret)
	}
	if sub, _ := claims["sub"].(string); sub == "" {
		return "", errors.New("mint token: sub is missing: say whose token it is")
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims)).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	return token, nil
}
