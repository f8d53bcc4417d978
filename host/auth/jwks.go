package auth

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
)

const (
	maxSetBytes  = 64 << 10
	fetchTimeout = 5 * time.Second
	// unknownKidWait is the pause between fetches that an unknown kid causes.
	unknownKidWait = time.Minute
	// retryWait is the pause after a fetch that failed when keys are missing or
	// too old.
	retryWait = 10 * time.Second
	// maxSameKid bounds the keys of one kid: a token is tried with each.
	maxSameKid = 4
)

// keySet is the fetched keys of one configured issuer. keySets.mu protects it.
type keySet struct {
	config Key
	client *http.Client

	keys      []setKey
	fetched   time.Time // when keys was fetched; zero: never
	tried     time.Time // when the last fetch began
	failing   bool
	flight    chan struct{} // closed when the running fetch ends; nil: none runs
	lastError error
}

type setKey struct {
	kid string
	verifyKey
}

// keySets owns all key sets of a Verifier and the goroutines that fetch them.
type keySets struct {
	cfg    Config
	ctx    context.Context // the lifetime of fetches
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // protects closed and what the sets hold
	closed bool
	sets   []*keySet
}

func newKeySets(ctx context.Context, cfg Config, sets []*keySet) *keySets {
	s := &keySets{cfg: cfg, sets: sets}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

func (s *keySets) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

// cached returns the keys that the token names and the sets that do not have
// one. A set that has it but is old is fetched again beside this use.
func (s *keySets) cached(t *token) (known []verifyKey, missing []*keySet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	for _, set := range s.sets {
		keys := set.find(t, now, s.cfg.JWKSMaxAge)
		if len(keys) == 0 {
			missing = append(missing, set)
			continue
		}
		known = append(known, keys...)
		if now.Sub(set.fetched) >= s.cfg.JWKSRefresh && now.Sub(set.tried) >= retryWait {
			s.start(set, now)
		}
	}
	return known, missing
}

// fetch fetches the sets as far as their pauses allow, waits, and returns the
// keys that the token names now. The error says that keys may exist which could
// not be fetched, or that ctx ended.
func (s *keySets) fetch(ctx context.Context, t *token, sets []*keySet) ([]verifyKey, error) {
	var flights []chan struct{}
	s.mu.Lock()
	now := s.cfg.Now()
	for _, set := range sets {
		pause := unknownKidWait
		if set.expired(now, s.cfg.JWKSMaxAge) {
			pause = retryWait
		}
		if set.flight == nil && (set.tried.IsZero() || now.Sub(set.tried) >= pause) {
			s.start(set, now)
		}
		if set.flight != nil {
			flights = append(flights, set.flight)
		}
	}
	s.mu.Unlock()
	for _, done := range flights {
		select {
		case <-done:
		case <-ctx.Done():
			return nil, contextError(ctx)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []verifyKey
	var err error
	now = s.cfg.Now()
	for _, set := range sets {
		keys = append(keys, set.find(t, now, s.cfg.JWKSMaxAge)...)
		if set.expired(now, s.cfg.JWKSMaxAge) {
			err = refuse(KindUnavailable, "keys of %q: %v", set.config.Issuer, set.lastError)
		}
	}
	return keys, err
}

// start begins a fetch. The lock is held.
func (s *keySets) start(set *keySet, now time.Time) {
	if s.closed || set.flight != nil {
		return
	}
	done := make(chan struct{})
	set.flight, set.tried = done, now
	s.wg.Go(func() {
		keys, err := set.get(s.ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		defer close(done)
		set.flight, set.lastError = nil, err
		switch {
		case err == nil:
			// The whole set is replaced: a key that the issuer removed is gone.
			set.keys, set.fetched = keys, now
			if set.failing {
				s.cfg.Logger.Info("key set fetched again", "tenant", s.cfg.Tenant, "issuer", set.config.Issuer)
			}
		case !set.failing && s.ctx.Err() == nil:
			s.cfg.Logger.Warn("key set not fetched", "tenant", s.cfg.Tenant, "issuer", set.config.Issuer, "err", err)
		}
		set.failing = err != nil
	})
}

// expired reports whether the keys must not be believed any more.
func (set *keySet) expired(now time.Time, maxAge time.Duration) bool {
	return set.fetched.IsZero() || now.Sub(set.fetched) >= maxAge
}

// find returns the keys that a token names. Without a kid the one key of its
// algorithm is meant, if there is only one.
func (set *keySet) find(t *token, now time.Time, maxAge time.Duration) []verifyKey {
	if set.expired(now, maxAge) {
		return nil
	}
	var found []verifyKey
	for _, k := range set.keys {
		if k.algorithm == t.algorithm && (t.kid == "" || k.kid == t.kid) {
			found = append(found, k.verifyKey)
		}
	}
	if t.kid == "" && len(found) > 1 {
		return nil
	}
	return found[:min(len(found), maxSameKid)]
}

// get fetches and parses the set.
func (set *keySet) get(ctx context.Context) ([]setKey, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, set.config.JWKS, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := set.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d: give the address that answers 200; redirects are not followed", set.config.JWKS, resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxSetBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSetBytes {
		return nil, fmt.Errorf("%s answers more than %d KiB", set.config.JWKS, maxSetBytes>>10)
	}
	return set.parse(data)
}

// parse reads a JWK set. Keys of other kinds and uses are passed over: a set may
// hold them. An empty set is an answer too: the issuer has removed its keys.
func (set *keySet) parse(data []byte) ([]setKey, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, errors.New("the answer is not a JWK set")
	}
	if doc.Keys == nil {
		return nil, errors.New("the answer has no keys member")
	}
	var keys []setKey
	for _, raw := range doc.Keys {
		var one jwkset.JWKMarshal
		if json.Unmarshal(raw, &one) != nil {
			continue
		}
		public, algorithm, err := publicKey(one)
		if err != nil || set.config.Algorithm != "" && set.config.Algorithm != algorithm {
			continue
		}
		keys = append(keys, setKey{kid: one.KID, verifyKey: verifyKey{
			issuer: set.config.Issuer, audience: set.config.Audience, algorithm: algorithm, key: public,
		}})
	}
	return keys, nil
}

// publicKey makes a key of a JWK whose use is to verify.
func publicKey(jwk jwkset.JWKMarshal) (crypto.PublicKey, string, error) {
	if jwk.USE != "" && jwk.USE != jwkset.UseSig || len(jwk.KEYOPS) > 0 && !slices.Contains(jwk.KEYOPS, jwkset.KeyOpsVerify) {
		return nil, "", errors.New("not for signatures")
	}
	// Only the numbers go on: the library fetches the address in x5u.
	bare := jwkset.JWKMarshal{KTY: jwk.KTY, CRV: jwk.CRV, X: jwk.X, Y: jwk.Y, N: jwk.N, E: jwk.E}
	key, err := jwkset.NewJWKFromMarshal(bare, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, "", err
	}
	algorithm, err := algorithmOf(key.Key())
	if err == nil && jwk.ALG != "" && jwk.ALG.String() != algorithm {
		err = fmt.Errorf("alg %q is not that of the key", jwk.ALG)
	}
	return key.Key(), algorithm, err
}
