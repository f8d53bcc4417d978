package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// now is the time of all tests whose clock stands still.
var now = time.Unix(1_800_000_000, 0)

// testKeys are made once per run; making RSA keys is slow.
var testKeys = sync.OnceValue(func() (k struct {
	secret  []byte
	ed      ed25519.PrivateKey
	ec      *ecdsa.PrivateKey
	ec384   *ecdsa.PrivateKey
	rsa     *rsa.PrivateKey
	another ed25519.PrivateKey
},
) {
	k.secret = make([]byte, 32)
	var errs [6]error
	_, errs[0] = rand.Read(k.secret)
	_, k.ed, errs[1] = ed25519.GenerateKey(rand.Reader)
	k.ec, errs[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.ec384, errs[3] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.rsa, errs[4] = rsa.GenerateKey(rand.Reader, 2048)
	_, k.another, errs[5] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return k
})

type claims = map[string]any

// good returns claims that every test key takes, with changes; nil removes one.
func good(changes claims) claims {
	c := claims{"iss": "https://id", "aud": "chat", "sub": "ann", "exp": now.Unix() + 60}
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

// staticKeys is one key of each algorithm.
func staticKeys() []Key {
	k := testKeys()
	return []Key{
		{Issuer: "https://id", Audience: "chat", Secret: k.secret},
		{Issuer: "https://id", Audience: "chat", PublicKey: k.ed.Public()},
		{Issuer: "https://id", Audience: "chat", PublicKey: k.ec.Public()},
		{Issuer: "https://id", Audience: "chat", PublicKey: k.rsa.Public()},
	}
}

func newVerifier(t testing.TB, change func(*Config)) *Verifier {
	t.Helper()
	cfg := Config{Tenant: "default", Keys: staticKeys(), Now: func() time.Time { return now }}
	if change != nil {
		change(&cfg)
	}
	v, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// signHS signs any text with the shared secret.
func signHS(secret []byte, header, payload string) string {
	signed := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// hs signs a payload, written out, with a plain header.
func hs(payload string) string {
	return signHS(testKeys().secret, `{"alg":"HS256","typ":"JWT"}`, payload)
}

// hsWith signs good claims with another header.
func hsWith(header string) string {
	text, _ := json.Marshal(good(nil))
	return signHS(testKeys().secret, header, string(text))
}

func sign(t testing.TB, method jwt.SigningMethod, key any, kid string, c claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, jwt.MapClaims(c))
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// wantKind checks that a token is refused, why, and with the one text (J7).
func wantKind(t *testing.T, v *Verifier, name, token string, want Kind) {
	t.Helper()
	c, err := v.Verify(context.Background(), token)
	if err == nil {
		t.Errorf("%s: taken as %+v, want %s", name, c.Principal, want)
		return
	}
	if KindOf(err) != want {
		var e *Error
		errors.As(err, &e)
		t.Errorf("%s: refused as %s (%v), want %s", name, KindOf(err), e, want)
	}
	if c != nil || !errors.Is(err, ErrUnauthenticated) || err.Error() != ErrUnauthenticated.Error() {
		t.Errorf("%s: J7: error %q", name, err)
	}
}

func TestEachAlgorithmIsTaken(t *testing.T) {
	t.Parallel()
	k, v := testKeys(), newVerifier(t, nil)
	for method, key := range map[jwt.SigningMethod]any{
		jwt.SigningMethodHS256: k.secret, jwt.SigningMethodEdDSA: k.ed, jwt.SigningMethodES256: k.ec, jwt.SigningMethodRS256: k.rsa,
	} {
		c, err := v.Verify(t.Context(), sign(t, method, key, "", good(nil)))
		if err != nil {
			t.Errorf("%s: %v", method.Alg(), err)
			continue
		}
		if want := (Principal{"default", "https://id", "ann"}); c.Principal != want || c.Anonymous() || !c.Expires.Equal(now.Add(time.Minute)) {
			t.Errorf("%s: caller %+v", method.Alg(), c)
		}
	}
}

// Case 59 of the adversarial suite: algorithms and headers. J1, J2.
// Cases: 59.
func TestCase59ForgedHeadersAreRefused(t *testing.T) {
	t.Parallel()
	k, v := testKeys(), newVerifier(t, nil)
	payload, _ := json.Marshal(good(nil))
	for _, none := range []string{"none", "None", "NONE", "nOnE", ""} {
		header := fmt.Sprintf(`{"alg":%q}`, none)
		wantKind(t, v, "alg "+none, b64(header)+"."+b64(string(payload))+".", KindAlgorithm)
		wantKind(t, v, "signed alg "+none, signHS(k.secret, header, string(payload)), KindAlgorithm)
	}
	wantKind(t, v, "no alg", hsWith(`{}`), KindAlgorithm)
	wantKind(t, v, "alg of another type", hsWith(`{"alg":["HS256"]}`), KindAlgorithm)
	for _, alg := range []string{"HS384", "HS512", "ES384", "RS384", "PS256", "ES256K", "hs256"} {
		wantKind(t, v, alg, hsWith(fmt.Sprintf(`{"alg":%q}`, alg)), KindAlgorithm)
	}

	// The public key as a shared secret.
	der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), k.rsa.N.Bytes()} {
		wantKind(t, v, "HS256 with the RSA public key", signHS(secret, `{"alg":"HS256"}`, string(payload)), KindSignature)
	}
	onlyRSA := newVerifier(t, func(c *Config) { c.Keys = staticKeys()[3:] })
	wantKind(t, onlyRSA, "HS256 where no key is for it", hsWith(`{"alg":"HS256"}`), KindKey)

	// r and s in other forms.
	es := sign(t, jwt.SigningMethodES256, k.ec, "", good(nil))
	signed, sig := es[:strings.LastIndexByte(es, '.')+1], es[strings.LastIndexByte(es, '.')+1:]
	raw, _ := base64.RawURLEncoding.DecodeString(sig)
	for name, bad := range map[string][]byte{
		"empty": nil, "zeros": make([]byte, 64), "short": raw[:63], "long": append(append([]byte{}, raw...), 0), "doubled": append(append([]byte{}, raw...), raw...),
	} {
		wantKind(t, v, "ES256 "+name, signed+base64.RawURLEncoding.EncodeToString(bad), KindSignature)
	}

	for _, name := range []string{"crit", "zip", "b64", "jwk", "jku", "x5u", "x5c", "enc", "cty"} {
		for _, value := range []string{`["exp"]`, `"https://127.0.0.1:1/keys"`, `{"kty":"oct","k":"AA"}`, `null`} {
			wantKind(t, v, name, hsWith(fmt.Sprintf(`{"alg":"HS256",%q:%s}`, name, value)), KindMalformed)
		}
	}
	wantKind(t, v, "typ of a logout token", hsWith(`{"alg":"HS256","typ":"logout+jwt"}`), KindMalformed)
	wantKind(t, v, "duplicate alg", hsWith(`{"alg":"HS256","alg":"none"}`), KindMalformed)
	for _, kid := range []string{`""`, `7`, `["a"]`, `"` + strings.Repeat("k", 300) + `"`} {
		wantKind(t, v, "kid "+kid[:min(9, len(kid))], hsWith(`{"alg":"HS256","kid":`+kid+`}`), KindMalformed)
	}
	wantKind(t, v, "kid of 64 kB", hsWith(`{"alg":"HS256","kid":"`+strings.Repeat("k", 64<<10)+`"}`), KindTooLarge)
}

// Case 59: a kid is looked up and nothing else. It opens no file, and it does not
// break a line of the log.
// Cases: 59.
func TestCase59KidIsOnlyLookedUp(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, func(c *Config) { c.Keys = staticKeys()[1:2] })
	for _, kid := range []string{"../../../../dev/zero", "' or 1=1 --", "a\nlevel=ERROR msg=forged", "\x1b[31m", "http://127.0.0.1/"} {
		token := sign(t, jwt.SigningMethodEdDSA, testKeys().another, kid, good(nil))
		_, err := v.Verify(t.Context(), token)
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindSignature {
			t.Fatalf("kid %q: %v", kid, err)
		}
		if strings.ContainsAny(e.Detail(), "\n\x1b") {
			t.Errorf("kid %q breaks the log: %q", kid, e.Detail())
		}
	}
}

// J3: what is refused for its size or its dots was not decoded.
// Cases: 59.
func TestSizeAndDotsComeFirst(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, nil)
	wantKind(t, v, "nothing", "", KindMissing)
	wantKind(t, v, "8 KiB + 1", strings.Repeat("a", 8<<10+1), KindTooLarge)
	wantKind(t, v, "a megabyte of dots", strings.Repeat(".", 1<<20), KindTooLarge)
	wantKind(t, v, "8 KiB of dots", strings.Repeat(".", 8<<10), KindMalformed)
	for _, text := range []string{".", "..", "a.b", "a.b.c", "a.b.c.d", "....", "\x00.\xff.\x00", "dev:ann"} {
		wantKind(t, v, text, text, KindMalformed)
	}
	whole := hs(`{"iss":"https://id","aud":"chat","sub":"ann","exp":1800000060}`)
	for name, text := range map[string]string{
		"padded": whole + "=", "a line end inside": whole[:20] + "\n" + whole[20:], "a space before": " " + whole, "standard base64": strings.Replace(whole, ".", "+.", 1),
	} {
		wantKind(t, v, name, text, KindMalformed)
	}
}

// J3, D7: the cost of a refusal does not grow with the token. Not parallel:
// allocations are counted in the whole process.
// Cases: 59.
func TestRefusalIsCheap(t *testing.T) {
	v := newVerifier(t, nil)
	for _, text := range []string{strings.Repeat(".", 8<<10), strings.Repeat(".", 1<<20), strings.Repeat("a", 1<<20)} {
		if n := testing.AllocsPerRun(20, func() { v.Verify(context.Background(), text) }); n > 8 {
			t.Errorf("refusing %d bytes costs %v allocations", len(text), n)
		}
	}
}

// Case 60: dates, audience, issuer, subject. J4, J5.
// Cases: 60.
func TestCase60ClaimsThatAreNotSaneAreRefused(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, nil)
	f := func(name string, want Kind, changes claims) {
		t.Helper()
		text, err := json.Marshal(good(changes))
		if err != nil {
			t.Fatal(err)
		}
		if want != "" {
			wantKind(t, v, name, hs(string(text)), want)
		} else if _, err := v.Verify(t.Context(), hs(string(text))); err != nil {
			t.Errorf("%s: %v (%v)", name, err, err.(*Error).Detail())
		}
	}
	at := now.Unix()
	f("exp past", KindExpired, claims{"exp": at - 1})
	f("exp = now", KindExpired, claims{"exp": at})
	f("exp in a second", "", claims{"exp": at + 1})
	f("no exp", KindExpired, claims{"exp": nil})
	for name, bad := range map[string]any{
		"float": json.RawMessage("1800000060.5"), "whole float": json.RawMessage("1800000060.0"), "exponent": json.RawMessage("18e8"), "negative": -1, "zero": 0,
		"text": "1800000060", "2^63-1": json.RawMessage("9223372036854775807"), "2^63": json.RawMessage("9223372036854775808"), "1e400": json.RawMessage("1e400"),
		"list": []int{1800000060}, "true": true, "null": json.RawMessage("null"), "year 10000": maxDate + 1,
	} {
		for _, field := range []string{"exp", "nbf", "iat"} {
			f(field+" "+name, KindMalformed, claims{field: bad})
		}
	}
	f("nbf future", KindNotYet, claims{"nbf": at + 6})
	f("iat future", KindNotYet, claims{"iat": at + 6})
	f("nbf and iat within the leeway", "", claims{"nbf": at + 5, "iat": at + 5})
	f("issuer's clock 10 min ahead", KindNotYet, claims{"iat": at + 600, "exp": at + 900})
	f("issuer's clock 10 min behind", KindExpired, claims{"iat": at - 600, "exp": at - 300})

	f("aud another", KindAudience, claims{"aud": "shop"})
	f("no aud", KindAudience, claims{"aud": nil})
	f("aud list with ours", "", claims{"aud": []string{"shop", "chat"}})
	f("aud list without ours", KindAudience, claims{"aud": []string{"shop", "chat2"}})
	f("aud empty list", KindAudience, claims{"aud": []string{}})
	f("aud nested list", KindAudience, claims{"aud": []any{[]string{"chat"}}})
	f("aud object", KindAudience, claims{"aud": claims{"chat": true}})
	for _, iss := range []any{"https://id.evil.example", "https://id/", "https://i", "HTTPS://ID", "", nil, []string{"https://id"}, "https://id\u0000"} {
		f(fmt.Sprintf("iss %v", iss), KindIssuer, claims{"iss": iss})
	}
	for _, sub := range []any{nil, "", 7, []string{"ann"}, "ann\x00", "a\nb"} {
		f(fmt.Sprintf("sub %v", sub), KindSubject, claims{"sub": sub})
	}
}

// Case 60: payloads that two parsers could read differently, and nested tokens.
// Cases: 60.
func TestCase60PayloadsAreReadStrictly(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, nil)
	head := `"iss":"https://id","aud":"chat","exp":1800000060`
	for name, payload := range map[string]string{
		"duplicate sub":             `{` + head + `,"sub":"ann","sub":"root"}`,
		"duplicate sub, escaped":    `{` + head + `,"sub":"ann","s\u0075b":"root"}`,
		"duplicate key deep inside": `{` + head + `,"sub":"ann","a":[{"b":1,"b":2}]}`,
		"invalid UTF-8":             `{` + head + ",\"sub\":\"ann\xff\"}",
		"lone surrogate":            `{` + head + `,"sub":"ann\ud800"}`,
		"lone surrogate in a key":   `{` + head + `,"sub":"ann","\udc00":1}`,
		"two objects":               `{` + head + `,"sub":"ann"}{}`,
		"trailing text":             `{` + head + `,"sub":"ann"} x`,
		"not JSON":                  `{` + head + `,"sub":ann}`,
		"a list":                    `[]`,
		"null":                      `null`,
		"empty":                     ``,
		"byte order mark":           "\ufeff{" + head + `,"sub":"ann"}`,
		"33 deep":                   `{` + head + `,"sub":"ann","a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`,
		"integer past 64 bits":      `{` + head + `,"sub":"ann","org":18446744073709551616}`,
		"number past float64":       `{` + head + `,"sub":"ann","org":1e999}`,
		"nested token":              `"` + hs(`{`+head+`,"sub":"ann"}`) + `"`,
	} {
		wantKind(t, v, name, hs(payload), KindMalformed)
	}
	// Upper case is another key, not the same.
	wantKind(t, v, "SUB", hs(`{`+head+`,"SUB":"ann"}`), KindSubject)
	if _, err := v.Verify(t.Context(), hs(`{`+head+`,"sub":"ann","a":`+strings.Repeat("[", 31)+strings.Repeat("]", 31)+`}`)); err != nil {
		t.Errorf("32 deep: %v", err)
	}
}

// J1, D7: a payload is not read before its signature holds.
// Cases: 59.
func TestPayloadIsNotReadBeforeTheSignature(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, nil)
	other := make([]byte, 32)
	for _, payload := range []string{"not json", `{"exp":1}`, `{"iss":"https://evil"}`} {
		wantKind(t, v, payload, signHS(other, `{"alg":"HS256"}`, payload), KindSignature)
	}
}

// A key speaks for its own issuer and audience only.
// Cases: 59.
func TestKeyOfOneIssuerCannotSignForAnother(t *testing.T) {
	t.Parallel()
	k := testKeys()
	v := newVerifier(t, func(c *Config) {
		c.Keys = []Key{
			{Issuer: "a", Audience: "chat", PublicKey: k.ed.Public()},
			{Issuer: "a", Audience: "admin", PublicKey: k.ed.Public()},
			{Issuer: "b", Audience: "chat", PublicKey: k.another.Public()},
		}
	})
	token := func(key ed25519.PrivateKey, iss, aud string) string {
		return sign(t, jwt.SigningMethodEdDSA, key, "", good(claims{"iss": iss, "aud": aud}))
	}
	for _, ok := range []string{token(k.ed, "a", "chat"), token(k.ed, "a", "admin"), token(k.another, "b", "chat")} {
		if _, err := v.Verify(t.Context(), ok); err != nil {
			t.Error(err)
		}
	}
	wantKind(t, v, "a's key for b", token(k.ed, "b", "chat"), KindIssuer)
	wantKind(t, v, "b's key for a", token(k.another, "a", "chat"), KindIssuer)
	wantKind(t, v, "b's key for admin", token(k.another, "b", "admin"), KindAudience)
}

func TestTokenWithoutExpIsTakenWhenAllowed(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, func(c *Config) { c.AllowNoExp, c.ExpLeeway = true, 2*time.Second })
	text, _ := json.Marshal(good(claims{"exp": nil}))
	if c, err := v.Verify(t.Context(), hs(string(text))); err != nil || !c.Expires.IsZero() {
		t.Errorf("caller %+v, %v", c, err)
	}
	text, _ = json.Marshal(good(claims{"exp": now.Unix() - 1}))
	if c, err := v.Verify(t.Context(), hs(string(text))); err != nil || !c.Expires.Equal(now.Add(time.Second)) {
		t.Errorf("within the leeway: caller %+v, %v", c, err)
	}
}

// The claims that weir fills in are those of the verified caller, whatever the
// token says under their names.
func TestOwnClaimsAreNotTheTokens(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, func(c *Config) {
		c.Dev, c.Admin = true, map[string]string{"sub": "root"}
	})
	f := func(token, principal string, admin bool) {
		t.Helper()
		c, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := c.Claim("principal")
		a, _ := c.Claim("admin")
		if p != principal || p != c.Principal.String() || a != admin || c.Admin != admin {
			t.Errorf("principal %v, admin %v; want %s, %v", p, a, principal, admin)
		}
	}
	f(hs(`{"iss":"https://id","aud":"chat","sub":"ann","exp":1800000060,"principal":"https://id root","admin":true}`), "https://id ann", false)
	f(hs(`{"iss":"https://id","aud":"chat","sub":"a b","exp":1800000060}`), "https://id a b", false)
	f(hs(`{"iss":"https://id","aud":"chat","sub":"root","exp":1800000060,"admin":false}`), "https://id root", true)
	f("dev:ann", "weir:dev ann", false)
	f("dev:root", "weir:dev root", true)
	for _, name := range []string{"principal", "admin"} {
		if _, ok := Anonymous("t").Claim(name); ok {
			t.Errorf("nobody has the claim %s", name)
		}
		if _, err := New(t.Context(), Config{Claims: map[string]string{name: "x"}}); err == nil || !strings.Contains(err.Error(), "weir") {
			t.Errorf("claims may redefine %s: %v", name, err)
		}
	}
	if (Principal{Tenant: "t"}).String() != "" {
		t.Error("nobody has a name")
	}
	// Else "a b" of "c" and "b c" of "a" would be one text.
	if err := (Key{Issuer: "a b", Audience: "x", Secret: make([]byte, 32)}).check(); err == nil || !strings.Contains(err.Error(), "space") {
		t.Errorf("an issuer with a space: %v", err)
	}
}

// G16 begins here: what is not listed cannot be read.
// Cases: 78.
func TestClaimsAreThoseThatAreListed(t *testing.T) {
	t.Parallel()
	v := newVerifier(t, func(c *Config) {
		c.Claims = map[string]string{"roles": "realm_access.roles", "org": "https://x.example/org", "n": "n", "f": "f", "b": "b", "null": "nothing", "absent": "a.b.c", "through": "sub.x"}
		c.Admin = map[string]string{"roles": "admin", "b": "true"}
	})
	c, err := v.Verify(t.Context(), hs(`{"iss":"https://id","aud":["chat"],"sub":"ann","exp":1800000060,"secret":"s","email":"e",
		"realm_access":{"roles":["user","admin"]},"https://x.example/org":"acme","n":9007199254740993,"f":1.0,"b":true,"nothing":null}`))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(c.Claims())
	want := `{"admin":true,"aud":["chat"],"b":true,"exp":1800000060,"f":1,"iss":"https://id","n":9007199254740993,"null":null,"org":"acme","principal":"https://id ann","roles":["user","admin"],"sub":"ann"}`
	if string(got) != want {
		t.Errorf("claims\n%s\nwant\n%s", got, want)
	}
	if n, _ := c.Claim("n"); n != int64(9007199254740993) {
		t.Errorf("n = %T %v", n, n)
	}
	if f, _ := c.Claim("f"); f != float64(1) {
		t.Errorf("f = %T %v", f, f)
	}
	if v, ok := c.Claim("null"); v != nil || !ok {
		t.Errorf("null = %v, %v", v, ok)
	}
	if !c.Admin {
		t.Error("an administrator is not one")
	}
	for _, roles := range []string{`"admins"`, `["user"]`, `[["admin"]]`, `{"admin":true}`, `true`, `null`} {
		c, err := v.Verify(t.Context(), hs(`{"iss":"https://id","aud":"chat","sub":"ann","exp":1800000060,"b":true,"realm_access":{"roles":`+roles+`}}`))
		if err != nil || c.Admin {
			t.Errorf("roles %s: admin %v, %v", roles, c != nil && c.Admin, err)
		}
	}
	if c, err := newVerifier(t, nil).Verify(t.Context(), hs(`{"iss":"https://id","aud":"chat","sub":"ann","exp":1800000060,"roles":"admin"}`)); err != nil || c.Admin {
		t.Error("nobody is admin where that is not configured")
	}
}

func TestAnonymousHasNoPrincipalAndNoClaims(t *testing.T) {
	t.Parallel()
	c := Anonymous("acme")
	if _, ok := c.Claim("sub"); ok || !c.Anonymous() || c.Admin || c.Principal != (Principal{Tenant: "acme"}) {
		t.Errorf("anonymous: %+v", c)
	}
}

func TestDevIdentitiesNeedTheSwitch(t *testing.T) {
	t.Parallel()
	wantKind(t, newVerifier(t, nil), "dev:ann without Dev", "dev:ann", KindMalformed)
	v := newVerifier(t, func(c *Config) { c.Dev = true })
	c, err := v.Verify(t.Context(), "dev:ann")
	if err != nil || c.Principal != (Principal{"default", DevIssuer, "ann"}) || c.Admin {
		t.Errorf("caller %+v, %v", c, err)
	}
	for _, bad := range []string{"dev:", "dev: ann", "dev:a\x00", "dev:../x", "dev:" + strings.Repeat("a", 65)} {
		wantKind(t, v, bad, bad, KindMalformed)
	}
	_, err = New(t.Context(), Config{Keys: []Key{{Issuer: DevIssuer, Audience: "a", Secret: make([]byte, 32)}}})
	if err == nil {
		t.Error("a key may not have the issuer of development identities")
	}
}

// TestDevAdminIsCalledWhatAdminAsksFor: a development user has no roles, and yet
// there must be one who is an administrator where the file says that there is any.
func TestDevAdminIsCalledWhatAdminAsksFor(t *testing.T) {
	t.Parallel()
	f := func(admin map[string]string, name string, want bool) {
		t.Helper()
		v := newVerifier(t, func(c *Config) {
			c.Dev, c.Admin, c.Claims = true, admin, map[string]string{"roles": "realm.roles", "org": "org"}
		})
		c, err := v.Verify(t.Context(), DevToken(name))
		if err != nil {
			t.Fatal(err)
		}
		if claim, _ := c.Claim("admin"); c.Admin != want || claim != want {
			t.Errorf("%v: %s is an administrator: %v, claim %v, want %v", admin, name, c.Admin, claim, want)
		}
		if _, ok := c.Claim("roles"); ok {
			t.Errorf("%v: %s has roles", admin, name)
		}
	}
	f(nil, "admin", false)
	f(map[string]string{"roles": "admin"}, "admin", true)
	f(map[string]string{"roles": "admin"}, "ann", false)
	f(map[string]string{"sub": "root"}, "root", true)
	f(map[string]string{"sub": "root"}, "admin", false)
	f(map[string]string{"roles": "admin", "org": "admin"}, "admin", true)
	f(map[string]string{"roles": "admin", "org": "ours"}, "admin", false)
}

func TestMintedTokenIsTaken(t *testing.T) {
	t.Parallel()
	token, err := Mint(testKeys().secret, good(claims{"org": "acme"}))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := newVerifier(t, nil).Verify(t.Context(), token); err != nil || c.Principal.Subject != "ann" {
		t.Errorf("caller %+v, %v", c, err)
	}
	if _, err := Mint([]byte("short"), good(nil)); err == nil {
		t.Error("a short secret was taken")
	}
	if _, err := Mint(testKeys().secret, claims{}); err == nil {
		t.Error("a token without sub was minted")
	}
}

func TestKeysThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	k := testKeys()
	// The library makes no weak keys; half of a good modulus is one.
	weak := &rsa.PublicKey{N: new(big.Int).Rsh(k.rsa.N, 1024), E: 65537}
	private, _ := x509.MarshalPKCS8PrivateKey(k.ed)
	public, _ := x509.MarshalPKIXPublicKey(k.ed.Public())
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	f := func(name string, key Key, ok bool) {
		t.Helper()
		v, err := New(t.Context(), Config{Keys: []Key{key}})
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if v != nil {
			v.Close()
		}
	}
	f("PEM", Key{Issuer: "i", Audience: "a", PEM: block("PUBLIC KEY", public)}, true)
	f("PKCS 1", Key{Issuer: "i", Audience: "a", PEM: block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey))}, true)
	f("private PEM", Key{Issuer: "i", Audience: "a", PEM: block("PRIVATE KEY", private)}, false)
	f("two PEM blocks", Key{Issuer: "i", Audience: "a", PEM: append(block("PUBLIC KEY", public), block("PUBLIC KEY", public)...)}, false)
	f("no PEM", Key{Issuer: "i", Audience: "a", PEM: []byte("x")}, false)
	f("no issuer", Key{Audience: "a", Secret: k.secret}, false)
	f("no audience", Key{Issuer: "i", Secret: k.secret}, false)
	f("no source", Key{Issuer: "i", Audience: "a"}, false)
	f("two sources", Key{Issuer: "i", Audience: "a", Secret: k.secret, PublicKey: k.ed.Public()}, false)
	f("31 bytes", Key{Issuer: "i", Audience: "a", Secret: k.secret[:31]}, false)
	f("1024 bits", Key{Issuer: "i", Audience: "a", PublicKey: weak}, false)
	f("P-384", Key{Issuer: "i", Audience: "a", PublicKey: k.ec384.Public()}, false)
	f("private key", Key{Issuer: "i", Audience: "a", PublicKey: k.ed}, false)
	f("algorithm of another kind", Key{Issuer: "i", Audience: "a", PublicKey: k.ed.Public(), Algorithm: "RS256"}, false)
	f("algorithm none", Key{Issuer: "i", Audience: "a", Secret: k.secret, Algorithm: "none"}, false)
	f("http", Key{Issuer: "i", Audience: "a", JWKS: "http://id.example.com/jwks"}, false)
	f("http on loopback, not stated", Key{Issuer: "i", Audience: "a", JWKS: "http://127.0.0.1/jwks"}, false)
	f("http elsewhere, private stated", Key{Issuer: "i", Audience: "a", JWKS: "http://10.0.0.1/jwks", JWKSPrivate: true}, false)
	f("a file", Key{Issuer: "i", Audience: "a", JWKS: "file:///etc/jwks"}, false)
	f("https", Key{Issuer: "i", Audience: "a", JWKS: "https://id.example.com/jwks"}, true)
	f("https with HS256", Key{Issuer: "i", Audience: "a", JWKS: "https://id.example.com/jwks", Algorithm: "HS256"}, false)
	if _, err := New(t.Context(), Config{Claims: map[string]string{"sub": "email"}}); err == nil {
		t.Error("sub was given another meaning")
	}
	if _, err := New(t.Context(), Config{Admin: map[string]string{"roles": "admin"}}); err == nil {
		t.Error("an admin claim that is not mapped was taken")
	}
}
