package host_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/host/auth"
	"weir/host/hosttest"
)

// signed is a token with this header, whose signature is one only if the header
// says HS256.
func signed(t *testing.T, header, payload string) string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	good := token(t, secret)
	return encode([]byte(header)) + "." + encode([]byte(payload)) + good[strings.LastIndexByte(good, '.'):]
}

// badTokens are tokens that are refused.
func badTokens(t *testing.T, now time.Time) [][2]string {
	t.Helper()
	body, err := json.Marshal(claims())
	if err != nil {
		t.Fatal(err)
	}
	const hs256 = `{"alg":"HS256"}`
	header := func(text string) string { return signed(t, text, string(body)) }
	good := token(t, secret)
	return [][2]string{
		{"no token at all", "x"},
		{"half a token", good[:strings.LastIndexByte(good, '.')]},
		{"a header that is no JSON", header("header")},
		{"a header with a key of its own", header(`{"alg":"HS256","jwk":{}}`)},
		{"a token made for something else", header(`{"alg":"HS256","typ":"logout+jwt"}`)},
		{"a token that nobody signed", unsigned(t)},
		{"a kid that is no text", header(`{"alg":"HS256","kid":7}`)},
		{"a signature that is none", good[:strings.LastIndexByte(good, '.')] + ".?"},
		{"another secret", token(t, "another secret of the test, long enough")},
		{"a key that is not there", header(`{"alg":"ES256","kid":"k1"}`)},
		{"another text under the signature", signed(t, hs256, `{"sub":"eve"}`)},
		{"another issuer", token(t, secret, "iss", "https://evil.test")},
		{"another audience", token(t, secret, "aud", "shop")},
		{"a subject that is no plain text", token(t, secret, "sub", "ann\n")},
		{"no end", token(t, secret, "exp", nil)},
		{"an end that is no number", token(t, secret, "exp", "tomorrow")},
		{"the end is over", token(t, secret, "exp", now.Add(-time.Hour).Unix())},
		{"the beginning is to come", token(t, secret, "nbf", now.Add(time.Hour).Unix())},
	}
}

// refusedTokens is what a client reads of each, which must not tell what was wrong
// (J7 of package auth), and what the log says of it.
func refusedTokens(t *testing.T) string {
	t.Helper()
	m, now := listing(), time.Now().Truncate(time.Second)
	toml := withKey + `[limits]
token_bytes = 2048
[tenant.acme]
hosts = ["acme.test"]
plugins = "acme"
auth.keys = [{ issuer = "acme", audience = "weir", hs256 = "acme's secret, which is long enough for HS256" }]
`
	toml = strings.Replace(toml, "[auth]", "[server]\nhosts = [\"127.0.0.1\"]\n[auth]", 1)
	s := hosttest.Start(t, hosttest.Config{
		TOML: toml, Schema: items("default"), Modules: map[string][]byte{"items.wasm": m},
		Tenants: map[string]hosttest.Tenant{"acme": {Schema: items("acme")}},
	})
	v, err := auth.New(t.Context(), auth.Config{
		Keys: []auth.Key{{Issuer: "https://id.test", Audience: "weir", Secret: []byte(secret)}},
		Now:  func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var b strings.Builder
	b.WriteString("# tokens\n\n")
	for _, bad := range badTokens(t, now) {
		said := refusedRequest(t, s, "GET", "/v1/q/items.list", "Authorization: Bearer "+bad[1], "")
		_, err := v.Verify(t.Context(), bad[1])
		var refused *auth.Error
		if !errors.As(err, &refused) {
			t.Fatalf("%s: %v", bad[0], err)
		}
		fmt.Fprintf(&b, "%s\n  %s\n  log: %s: %s\n\n", bad[0], said, refused.Kind, refused.Detail())
	}
	f := func(what, path, header string) {
		fmt.Fprintf(&b, "%s\n  %s\n\n", what, refusedRequest(t, s, "GET", path, header, ""))
	}
	f("no token for what is not public", "/v1/q/items.list", "")
	f("a token that is too long", "/v1/q/items.list", "Authorization: Bearer "+strings.Repeat("x", 3000))
	f("a token of another tenant", "/v1/q/items.list", "Authorization: Bearer "+token(t, "acme's secret, which is long enough for HS256", "iss", "acme"))
	f("a token in the address", "/v1/q/items.list?access_token="+token(t, secret), "")
	f("a user of weir dev whose name is none", "/v1/q/items.list?as=a%20b", "")
	return b.String() + refusedKeys(t)
}

// refusedKeys is what an operator reads of keys and claims that the configuration's
// own check lets pass.
func refusedKeys(t *testing.T) string {
	t.Helper()
	block := func(kind string, key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := block("PUBLIC KEY", &p256.PublicKey)
	key := func(public []byte) auth.Key { return auth.Key{Issuer: "i", Audience: "a", PEM: public} }
	var b strings.Builder
	b.WriteString("# keys\n\n")
	f := func(what string, config auth.Config) {
		v, err := auth.New(t.Context(), config)
		if err == nil {
			v.Close()
			t.Errorf("%s is not refused", what)
			return
		}
		fmt.Fprintf(&b, "%s\n  %s\n\n", what, err)
	}
	one := func(what string, k auth.Key) { f(what, auth.Config{Keys: []auth.Key{k}}) }
	one("an RSA key that is short", key(block("PUBLIC KEY", &short.PublicKey)))
	one("a curve that is not taken", key(block("PUBLIC KEY", &curve.PublicKey)))
	one("a private key", key(block("PRIVATE KEY", &p256.PublicKey)))
	one("a certificate", key(block("CERTIFICATE", &p256.PublicKey)))
	one("two keys in one", key(append(good, good...)))
	one("what is no PEM", key([]byte("key")))
	one("a PEM that is broken", key([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")))
	one("the algorithm of another key", auth.Key{Issuer: "i", Audience: "a", PEM: good, Algorithm: "EdDSA"})
	one("an algorithm that is not taken", auth.Key{Issuer: "i", Audience: "a", PEM: good, Algorithm: "none"})
	one("a shared secret in a key set", auth.Key{Issuer: "i", Audience: "a", JWKS: "https://id.test/keys", Algorithm: "HS256"})
	one("a secret that is short", auth.Key{Issuer: "i", Audience: "a", Secret: []byte("short")})
	one("no issuer", auth.Key{Audience: "a", PEM: good})
	one("no audience", auth.Key{Issuer: "i", PEM: good})
	one("the issuer of development", auth.Key{Issuer: auth.DevIssuer, Audience: "a", PEM: good})
	one("no key", auth.Key{Issuer: "i", Audience: "a"})
	one("a key set over http", auth.Key{Issuer: "i", Audience: "a", JWKS: "http://id.test/keys"})
	one("a key set with a password", auth.Key{Issuer: "i", Audience: "a", JWKS: "https://a:b@id.test/keys"})
	one("a key set without an address", auth.Key{Issuer: "i", Audience: "a", JWKS: "id.test/keys"})
	f("a claim with the name of a standard one", auth.Config{Claims: map[string]string{"sub": "id"}})
	f("a claim that weir fills in", auth.Config{Claims: map[string]string{"principal": "id"}})
	f("a claim without a path", auth.Config{Claims: map[string]string{"org": ""}})
	f("an administrator by a claim that is not there", auth.Config{Admin: map[string]string{"roles": "admin"}})
	return b.String()
}
