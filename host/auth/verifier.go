package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxKeys bounds Config.Keys: a token without a kid may be tried with each.
const maxKeys = 64

// standardClaims are in every Caller whose token has them, ownClaims in every
// Caller who is signed in. Config.Claims cannot give their names another meaning.
var (
	standardClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}
	ownClaims      = []string{"principal", "admin"}
)

// Verifier verifies the tokens of one tenant. Safe for concurrent use.
type Verifier struct {
	cfg    Config
	static []verifyKey
	sets   *keySets
}

// New returns a Verifier. It fetches nothing: key sets are fetched when the first
// token needs them. ctx is the lifetime of these fetches; Close ends them too.
// The error is one sentence that names the key.
func New(ctx context.Context, cfg Config) (*Verifier, error) {
	cfg.Leeway = max(0, cmp.Or(cfg.Leeway, 5*time.Second))
	cfg.ExpLeeway = max(0, cfg.ExpLeeway)
	cfg.MaxTokenBytes = cmp.Or(cfg.MaxTokenBytes, 8<<10)
	cfg.JWKSRefresh = cmp.Or(cfg.JWKSRefresh, 5*time.Minute)
	cfg.JWKSMaxAge = cmp.Or(cfg.JWKSMaxAge, time.Hour)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := checkClaims(cfg); err != nil {
		return nil, err
	}
	if len(cfg.Keys) > maxKeys {
		return nil, fmt.Errorf("auth: %d keys: use at most %d", len(cfg.Keys), maxKeys)
	}
	v := &Verifier{cfg: cfg}
	var sets []*keySet
	for i, k := range cfg.Keys {
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("auth key %d (issuer %q): %w", i+1, k.Issuer, err)
		}
		if k.JWKS != "" {
			set, err := newKeySet(k, cfg.Transport)
			if err != nil {
				return nil, fmt.Errorf("auth key %d (issuer %q): %w", i+1, k.Issuer, err)
			}
			sets = append(sets, set)
			continue
		}
		key, err := k.static()
		if err != nil {
			return nil, fmt.Errorf("auth key %d (issuer %q): %w", i+1, k.Issuer, err)
		}
		v.static = append(v.static, key)
	}
	v.sets = newKeySets(ctx, cfg, sets)
	return v, nil
}

func checkClaims(cfg Config) error {
	for name, path := range cfg.Claims {
		if slices.Contains(standardClaims, name) {
			return fmt.Errorf("auth claim %q: the name belongs to the standard claim: use another", name)
		}
		if slices.Contains(ownClaims, name) {
			return fmt.Errorf("auth claim %q: the name belongs to weir, which fills it in itself: use another", name)
		}
		if name == "" || path == "" {
			return fmt.Errorf("auth claim %q: name and path must not be empty: write where the token has it, such as org.name", name)
		}
	}
	for name := range cfg.Admin {
		if _, mapped := cfg.Claims[name]; !mapped && name != "sub" {
			return fmt.Errorf("auth admin %q: no such claim: add it to claims", name)
		}
	}
	return nil
}

// Close ends running fetches and waits for them. It may be called twice; after
// it Verify knows only the keys that it has.
func (v *Verifier) Close() error {
	v.sets.close()
	return nil
}

// Verify returns the caller whose token this is. A refusal is an
// ErrUnauthenticated with a Kind; the error of a ctx that ended while keys were
// fetched is that of ctx.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Caller, error) {
	if name, ok := strings.CutPrefix(raw, devPrefix); ok && v.cfg.Dev {
		return v.DevUser(name)
	}
	t, err := split(raw, v.cfg.MaxTokenBytes)
	if err != nil {
		return nil, err
	}
	keys, err := v.keysOf(ctx, t)
	if err != nil {
		return nil, err
	}
	// From here on the signature holds.
	payload, err := decodePart(t.payload)
	if err != nil {
		return nil, refuse(KindMalformed, "its payload is refused, %v: have the issuer write another", err)
	}
	if err := checkParties(payload, keys); err != nil {
		return nil, err
	}
	expires, err := v.checkDates(payload)
	if err != nil {
		return nil, err
	}
	return v.caller(payload, expires)
}

// Takes reports whether Verify would take the token with the keys that are at
// hand. It fetches none, so that a stranger's token costs little.
func (v *Verifier) Takes(raw string) bool {
	t, err := split(raw, v.cfg.MaxTokenBytes)
	if err != nil {
		return false
	}
	list := v.static
	if t.algorithm != "HS256" {
		cached, _ := v.sets.cached(t)
		list = append(slices.Clone(list), cached...)
	}
	var good []verifyKey
	for _, k := range list {
		if k.algorithm == t.algorithm && k.verifies(t.signed, t.signature) {
			good = append(good, k)
		}
	}
	if len(good) == 0 {
		return false
	}
	payload, err := decodePart(t.payload)
	if err != nil || checkParties(payload, good) != nil {
		return false
	}
	_, err = v.checkDates(payload)
	return err == nil
}

// keysOf returns the keys that verify the token, at least one. Usually it is
// one; an issuer with one key and two audiences has two.
func (v *Verifier) keysOf(ctx context.Context, t *token) ([]verifyKey, error) {
	var good []verifyKey
	candidates := 0
	try := func(list []verifyKey) {
		for _, k := range list {
			if k.algorithm != t.algorithm {
				continue
			}
			candidates++
			if k.verifies(t.signed, t.signature) {
				good = append(good, k)
			}
		}
	}
	try(v.static)
	if t.algorithm != "HS256" { // a key set has no shared secrets
		known, missing := v.sets.cached(t)
		try(known)
		if len(good) == 0 && len(missing) > 0 {
			fetched, err := v.sets.fetch(ctx, t, missing)
			try(fetched)
			if len(good) == 0 && err != nil {
				return nil, err
			}
		}
	}
	switch {
	case len(good) > 0:
		return good, nil
	case candidates > 0:
		return nil, refuse(KindSignature, "none of %d keys verifies it, kid %q: compare auth.keys with the issuer's keys", candidates, short(t.kid))
	default:
		return nil, refuse(KindKey, "there is no %s key of kid %q: add it to auth.keys, or to the issuer's key set", t.algorithm, short(t.kid))
	}
}

// checkParties compares iss and aud with the keys that verified the token: an
// issuer can only speak for itself.
func checkParties(payload map[string]any, keys []verifyKey) error {
	var issuers, audiences []string
	for _, k := range keys {
		if issuers = append(issuers, strconv.Quote(k.issuer)); payload["iss"] != any(k.issuer) {
			continue
		}
		if hasAudience(payload["aud"], k.audience) {
			return nil
		}
		audiences = append(audiences, strconv.Quote(k.audience))
	}
	if len(audiences) > 0 {
		return refuse(KindAudience, "its aud does not hold %s, as its key wants: ask the issuer for a token for weir, or correct audience in auth.keys", strings.Join(audiences, " or "))
	}
	return refuse(KindIssuer, "its iss is not %s, whose key signed it: correct issuer in auth.keys", strings.Join(issuers, " or "))
}

func (v *Verifier) checkDates(payload map[string]any) (expires time.Time, err error) {
	now := v.cfg.Now()
	expires, there, err := date(payload, "exp")
	switch {
	case err != nil:
		return expires, err
	case !there && !v.cfg.AllowNoExp:
		return expires, refuse(KindExpired, "it has no exp: set auth.allow_no_exp if that is meant")
	case there:
		// J5: at exp it is over. Expires carries the leeway, so that a session
		// ends when a new request would be refused.
		if expires = expires.Add(v.cfg.ExpLeeway); !now.Before(expires) {
			return expires, refuse(KindExpired, "it expired %s ago: get a new one", now.Sub(expires))
		}
	}
	for _, name := range []string{"nbf", "iat"} {
		at, there, err := date(payload, name)
		if err != nil {
			return expires, err
		}
		if there && at.After(now.Add(v.cfg.Leeway)) {
			return expires, refuse(KindNotYet, "its %s is %s ahead: compare the clocks", name, at.Sub(now))
		}
	}
	return expires, nil
}

func (v *Verifier) caller(payload map[string]any, expires time.Time) (*Caller, error) {
	sub, _ := payload["sub"].(string)
	// A control character, NUL before all, would not pass through PostgreSQL.
	if sub == "" || strings.ContainsFunc(sub, unicode.IsControl) {
		return nil, refuse(KindSubject, "its sub is missing, empty or not a plain text: have the issuer name the caller there")
	}
	iss, _ := payload["iss"].(string)
	c := &Caller{
		Principal: Principal{Tenant: v.cfg.Tenant, Issuer: iss, Subject: sub},
		Expires:   expires,
		claims:    make(map[string]any, len(v.cfg.Claims)+len(standardClaims)+len(ownClaims)),
	}
	for _, name := range standardClaims {
		if value, there := payload[name]; there {
			c.claims[name] = value
		}
	}
	for name, path := range v.cfg.Claims {
		if value, there := find(payload, path); there {
			c.claims[name] = value
		}
	}
	c.Admin = v.isAdmin(c)
	return c.own(), nil
}

func (v *Verifier) isAdmin(c *Caller) bool {
	for name, want := range v.cfg.Admin {
		if !holds(c.claims[name], want) {
			return false
		}
	}
	return len(v.cfg.Admin) > 0
}

// find follows a dotted path. At each level a key that is the whole rest of the
// path goes first: issuers use names such as "https://example.com/roles".
func find(object map[string]any, path string) (any, bool) {
	for {
		if v, there := object[path]; there {
			return v, true
		}
		first, rest, dotted := strings.Cut(path, ".")
		inner, isObject := object[first].(map[string]any)
		if !dotted || !isObject {
			return nil, false
		}
		object, path = inner, rest
	}
}

// holds reports whether a claim is want, or a list with it. Truth and integers
// are compared as they are written.
func holds(claim any, want string) bool {
	switch v := claim.(type) {
	case []any:
		for _, one := range v {
			if _, nested := one.([]any); !nested && holds(one, want) {
				return true
			}
		}
	case string:
		return v == want
	case bool, int64:
		return fmt.Sprint(v) == want
	}
	return false
}

// short cuts a text from a token for a log.
func short(s string) string { return s[:min(len(s), 64)] }

// contextError keeps the errors of a context intact through the wrap.
func contextError(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("verify token: %w", err)
	}
	return errors.New("BUG: the context has not ended")
}
