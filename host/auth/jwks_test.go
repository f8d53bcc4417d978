package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuer is a key set server without a network, so that the clock of synctest
// can drive it. It counts what it is asked.
type issuer struct {
	mu     sync.Mutex // protects the fields below
	status int
	body   string
	hang   bool
	asked  int
}

func (s *issuer) set(status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func (s *issuer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *issuer) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked++
	status, body, hang := s.status, s.body, s.hang
	s.mu.Unlock()
	if hang {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

func jwk(kid string, key crypto.PublicKey, more string) string {
	e := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	switch k := key.(type) {
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"kid":%q,"kty":"OKP","crv":"Ed25519","x":%q%s}`, kid, e(k), more)
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"kid":%q,"kty":"RSA","n":%q,"e":%q%s}`, kid, e(k.N.Bytes()), e(big.NewInt(int64(k.E)).Bytes()), more)
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := (len(point) - 1) / 2
		return fmt.Sprintf(`{"kid":%q,"kty":"EC","crv":%q,"x":%q,"y":%q%s}`, kid, k.Params().Name, e(point[1:1+half]), e(point[1+half:]), more)
	}
	panic("no such key")
}

func keySetOf(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// withIssuer returns a verifier with one key set, inside a synctest bubble.
func withIssuer(t *testing.T, s *issuer, change func(*Config)) *Verifier {
	t.Helper()
	return newVerifier(t, func(c *Config) {
		c.Keys = []Key{{Issuer: "https://id", Audience: "chat", JWKS: "https://id/jwks"}}
		c.Transport, c.Now, c.AllowNoExp = s, nil, true
		if change != nil {
			change(c)
		}
	})
}

// timeless are claims for a verifier whose clock moves.
func timeless() claims { return good(claims{"exp": nil}) }

func verifyOK(t *testing.T, v *Verifier, token string) {
	t.Helper()
	if _, err := v.Verify(context.Background(), token); err != nil {
		var e *Error
		errors.As(err, &e)
		t.Errorf("refused: %v (%v)", err, e)
	}
}

func TestKeySetIsFetchedOnceAndCached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys()
		s := &issuer{status: 200, body: keySetOf(jwk("ed", k.ed.Public(), `,"use":"sig","alg":"EdDSA"`), jwk("ec", k.ec.Public(), ""), jwk("rsa", k.rsa.Public(), `,"alg":"RS256"`))}
		v := withIssuer(t, s, nil)
		defer v.Close()
		if s.count() != 0 {
			t.Error("New fetched")
		}
		tokens := []string{
			sign(t, jwt.SigningMethodEdDSA, k.ed, "ed", timeless()), sign(t, jwt.SigningMethodES256, k.ec, "ec", timeless()),
			sign(t, jwt.SigningMethodRS256, k.rsa, "rsa", timeless()), sign(t, jwt.SigningMethodEdDSA, k.ed, "", timeless()),
		}
		var wg sync.WaitGroup
		for range 8 {
			for _, token := range tokens {
				wg.Go(func() { verifyOK(t, v, token) })
			}
		}
		wg.Wait()
		if n := s.count(); n != 1 {
			t.Errorf("%d fetches, want 1", n)
		}
		// J2: the algorithm is that of the key, whatever the token says.
		wantKind(t, v, "kid of a key of another algorithm", sign(t, jwt.SigningMethodEdDSA, k.ed, "rsa", timeless()), KindKey)
	})
}

// Case 62, D7: a flood of unknown kids causes one fetch a minute.
// Cases: 62.
func TestCase62UnknownKidsCauseOneFetchAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys()
		s := &issuer{status: 200, body: keySetOf(jwk("1", k.ed.Public(), ""))}
		v := withIssuer(t, s, nil)
		defer v.Close()
		verifyOK(t, v, sign(t, jwt.SigningMethodEdDSA, k.ed, "1", timeless()))
		for minute := range 3 {
			for i := range 500 {
				wantKind(t, v, "unknown kid", sign(t, jwt.SigningMethodEdDSA, k.another, fmt.Sprint("u", i), timeless()), KindKey)
			}
			if n := s.count(); n != 1+minute {
				t.Fatalf("minute %d: %d fetches, want %d", minute, n, 1+minute)
			}
			time.Sleep(time.Minute) // the bubble's clock
		}
	})
}

// Case 62: a new key is taken when its first token comes, and a removed one stops
// with the next refresh, also when only tokens of that key come.
// Cases: 62.
func TestCase62RotationAndRemoval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys()
		s := &issuer{status: 200, body: keySetOf(jwk("1", k.ed.Public(), ""))}
		v := withIssuer(t, s, nil)
		defer v.Close()
		old, next := sign(t, jwt.SigningMethodEdDSA, k.ed, "1", timeless()), sign(t, jwt.SigningMethodEdDSA, k.another, "2", timeless())
		verifyOK(t, v, old)
		s.set(200, keySetOf(jwk("1", k.ed.Public(), ""), jwk("2", k.another.Public(), "")))
		time.Sleep(time.Minute)
		verifyOK(t, v, next)
		verifyOK(t, v, old)

		s.set(200, keySetOf(jwk("2", k.another.Public(), "")))
		time.Sleep(5 * time.Minute)
		verifyOK(t, v, old) // this use starts the refresh
		synctest.Wait()
		wantKind(t, v, "removed key", old, KindKey)
		verifyOK(t, v, next)

		s.set(200, keySetOf())
		time.Sleep(5 * time.Minute)
		verifyOK(t, v, next)
		synctest.Wait()
		wantKind(t, v, "all keys removed", next, KindKey)
	})
}

// Case 62: while the issuer cannot be asked, keys hold for their maximum age and
// not longer; the log gets one line, not one for each try.
// Cases: 62.
func TestCase62KeysEndAtTheirMaximumAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys()
		var log bytes.Buffer
		s := &issuer{status: 200, body: keySetOf(jwk("1", k.ed.Public(), ""))}
		v := withIssuer(t, s, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		token := sign(t, jwt.SigningMethodEdDSA, k.ed, "1", timeless())
		verifyOK(t, v, token)
		s.set(503, "")
		for range 59 {
			time.Sleep(time.Minute)
			verifyOK(t, v, token)
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		wantKind(t, v, "an hour old", token, KindUnavailable)
		var e *Error
		_, err := v.Verify(t.Context(), token)
		if !errors.As(err, &e) || !e.Retryable() {
			t.Errorf("not retryable: %v", err)
		}
		before := s.count()
		for range 100 {
			wantKind(t, v, "again", token, KindUnavailable)
		}
		if n := s.count() - before; n > 0 {
			t.Errorf("%d fetches without a pause", n)
		}
		s.set(200, keySetOf(jwk("1", k.ed.Public(), "")))
		time.Sleep(retryWait)
		verifyOK(t, v, token)
		v.Close()
		if n := strings.Count(log.String(), "not fetched"); n != 1 || strings.Count(log.String(), "fetched again") != 1 {
			t.Errorf("log:\n%s", &log)
		}
	})
}

// Case 62: a slow endpoint costs a bounded wait, and the caller may leave before.
// Cases: 62.
func TestCase62SlowEndpointIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys()
		s := &issuer{hang: true}
		v := withIssuer(t, s, nil)
		token := sign(t, jwt.SigningMethodEdDSA, k.ed, "1", timeless())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Verify(ctx, token); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnauthenticated) {
			t.Errorf("the caller's own deadline: %v", err)
		}
		start := time.Now()
		wantKind(t, v, "slow", token, KindUnavailable)
		if d := time.Since(start); d > fetchTimeout {
			t.Errorf("waited %v", d)
		}
		// Close ends a running fetch.
		time.Sleep(retryWait)
		done := make(chan error)
		go func() {
			_, err := v.Verify(context.Background(), token)
			done <- err
		}()
		synctest.Wait()
		start = time.Now()
		v.Close()
		v.Close()
		if err := <-done; KindOf(err) != KindUnavailable || time.Since(start) > 0 {
			t.Errorf("after Close: %v, %v", err, time.Since(start))
		}
		wantKind(t, v, "closed", token, KindUnavailable)
	})
}

// Case 62: answers that are too large, redirect, or are no key set. A kid cached
// for one issuer says nothing about another.
// Cases: 62.
func TestCase62BadAnswersGiveNoKeys(t *testing.T) {
	t.Parallel()
	k := testKeys()
	good := jwk("1", k.ed.Public(), "")
	for name, answer := range map[string]struct {
		status int
		body   string
		want   Kind
	}{
		"65 KiB":                    {200, keySetOf(good) + strings.Repeat(" ", 64<<10), KindUnavailable},
		"redirect":                  {302, keySetOf(good), KindUnavailable},
		"created":                   {201, keySetOf(good), KindUnavailable},
		"HTML":                      {200, "<html>", KindUnavailable},
		"no keys":                   {200, "{}", KindUnavailable},
		"keys of another type":      {200, `{"keys":{}}`, KindUnavailable},
		"broken key":                {200, keySetOf(`{"kid":"1","kty":"OKP","crv":"Ed25519","x":"AA"}`), KindKey},
		"shared secret":             {200, keySetOf(`{"kid":"1","kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`), KindKey},
		"for encryption":            {200, keySetOf(jwk("1", k.ed.Public(), `,"use":"enc"`)), KindKey},
		"for signing only":          {200, keySetOf(jwk("1", k.ed.Public(), `,"key_ops":["sign"]`)), KindKey},
		"alg of another kind":       {200, keySetOf(jwk("1", k.ed.Public(), `,"alg":"RS256"`)), KindKey},
		"P-384":                     {200, keySetOf(jwk("1", k.ec384.Public(), "")), KindKey},
		"another key under the kid": {200, keySetOf(jwk("1", k.another.Public(), "")), KindSignature},
		"a number":                  {200, keySetOf(`7`), KindKey},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &issuer{status: answer.status, body: answer.body}
			v := withIssuer(t, s, nil)
			defer v.Close()
			wantKind(t, v, name, sign(t, jwt.SigningMethodEdDSA, k.ed, "1", timeless()), answer.want)
			wantKind(t, v, name+", HS256 with an empty key", signHS(nil, `{"alg":"HS256","kid":"1"}`, "{}"), KindKey)
		})
	}
}

// Case 59: two issuers may use one kid. Neither can sign for the other, and both
// are found.
// Cases: 59.
func TestCase59KidOfAnotherIssuer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := testKeys()
		sets := map[string]*issuer{
			"a": {status: 200, body: keySetOf(jwk("1", k.ed.Public(), ""))},
			"b": {status: 200, body: keySetOf(jwk("1", k.another.Public(), ""))},
		}
		v := newVerifier(t, func(c *Config) {
			c.Keys = []Key{{Issuer: "a", Audience: "chat", JWKS: "https://a/jwks"}, {Issuer: "b", Audience: "chat", JWKS: "https://b/jwks"}}
			c.Now, c.AllowNoExp = nil, true
			c.Transport = byHost(sets)
		})
		defer v.Close()
		token := func(key ed25519.PrivateKey, iss string) string {
			return sign(t, jwt.SigningMethodEdDSA, key, "1", good(claims{"iss": iss, "exp": nil}))
		}
		verifyOK(t, v, token(k.ed, "a"))
		verifyOK(t, v, token(k.another, "b"))
		wantKind(t, v, "a's key for b", token(k.ed, "b"), KindIssuer)
		wantKind(t, v, "b's key for a", token(k.another, "a"), KindIssuer)
	})
}

type byHost map[string]*issuer

func (m byHost) RoundTrip(req *http.Request) (*http.Response, error) {
	return m[req.URL.Host].RoundTrip(req)
}

// Case 62, D7: the real client does not follow a redirect, does not fetch what a
// key names, and does not dial a private address that was not configured.
// Cases: 62.
func TestCase62RealClientStaysWhereItIsSent(t *testing.T) {
	t.Parallel()
	k := testKeys()
	var mu sync.Mutex
	var asked []string
	body := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path)
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/jwks", http.StatusFound)
			return
		}
		io.WriteString(w, body)
	}))
	defer server.Close()
	body = keySetOf(jwk("1", k.ed.Public(), `,"x5u":"`+server.URL+`/x5u","jku":"`+server.URL+`/jku"`))
	verifier := func(path string, private bool) *Verifier {
		return newVerifier(t, func(c *Config) {
			// https to a loopback address is allowed by its form and must be
			// stopped when it is dialled.
			address := server.URL + path
			if !private {
				address = strings.Replace(address, "http:", "https:", 1)
			}
			c.Keys = []Key{{Issuer: "https://id", Audience: "chat", JWKS: address, JWKSPrivate: private}}
		})
	}
	token := sign(t, jwt.SigningMethodEdDSA, k.ed, "1", good(nil))
	verifyOK(t, verifier("/jwks", true), token)
	wantKind(t, verifier("/redirect", true), "redirect", token, KindUnavailable)
	v := verifier("/private", false)
	wantKind(t, v, "loopback, not configured", token, KindUnavailable)
	var e *Error
	if _, err := v.Verify(t.Context(), token); !errors.As(err, &e) || !strings.Contains(e.Detail(), "jwks_private") {
		t.Errorf("the log does not say what to do: %v", e)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := fmt.Sprint(asked); got != "[/jwks /redirect]" {
		t.Errorf("asked %s", got)
	}
}

// Cases: 62.
func TestCase62AddressesThatMayBeDialled(t *testing.T) {
	t.Parallel()
	f := func(address string, public, private bool) {
		t.Helper()
		a := netip.MustParseAddr(address)
		if got := [2]bool{addressAllowed(a, false), addressAllowed(a, true)}; got != [2]bool{public, private} {
			t.Errorf("%s: allowed %v, want %v", address, got, [2]bool{public, private})
		}
	}
	f("93.184.216.34", true, true)
	f("2606:2800:220:1::1", true, true)
	for _, own := range []string{"127.0.0.1", "127.9.9.9", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:100.64.0.1"} {
		f(own, false, true)
	}
	for _, never := range []string{
		"169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "::", "0.1.2.3", "224.0.0.1", "ff02::1",
		"255.255.255.255", "240.0.0.1", "192.0.0.1", "198.18.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "2001:0:1::1", "fec0::1", "::7f00:1",
		"::ffff:100.100.100.200", "::ffff:0.1.2.3", "::ffff:198.18.0.1", "::ffff:240.0.0.1",
	} {
		f(never, false, false)
	}
}

// A caller's claims do not change with what a reader does to his copy.
func TestClaimsAreACopy(t *testing.T) {
	t.Parallel()
	c, err := newVerifier(t, nil).DevUser("ann")
	if err != nil {
		t.Fatal(err)
	}
	c.Claims()["sub"] = "root"
	if sub, _ := c.Claim("sub"); sub != "ann" {
		t.Errorf("sub = %v", sub)
	}
	if _, err := json.Marshal(c.Claims()); err != nil {
		t.Error(err)
	}
}
