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

// DevCaller returns the development user of that name, as ?as=NAME asks for. It
// proves nothing: only `weir dev` on loopback may call it.
func DevCaller(tenant, name string) (*Caller, error) {
	if !devName.MatchString(name) {
		return nil, refuse(KindMalformed, "development user name: use up to 64 letters, digits and _.@+-")
	}
	c := &Caller{
		Principal: Principal{Tenant: tenant, Issuer: DevIssuer, Subject: name},
		claims:    map[string]any{"sub": name, "iss": DevIssuer},
	}
	return c.own(), nil
}

// devCaller takes "dev:NAME". ok is false when token is not of that form.
func devCaller(tenant, token string) (c *Caller, ok bool, err error) {
	name, ok := strings.CutPrefix(token, devPrefix)
	if !ok {
		return nil, false, nil
	}
	c, err = DevCaller(tenant, name)
	return c, true, err
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
