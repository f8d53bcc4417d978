package auth

import (
	"crypto"
	"log/slog"
	"net/http"
	"time"
)

// Config is what a Verifier needs. The zero value takes no token at all.
type Config struct {
	// Tenant is put into every Principal.
	Tenant string
	// Keys verify tokens, at most 64. None means that every token is refused.
	Keys []Key
	// Claims maps the name that plugins use to a path in the token, such as
	// "realm_access.roles". A key that contains dots is found under its full
	// name first. The names of standard claims cannot be mapped.
	Claims map[string]string
	// Admin maps a name of Claims, or sub, to the value that an administrator
	// has there, or has in the list there. All must hold; empty means nobody.
	Admin map[string]string
	// AllowNoExp takes tokens without exp. The default is to refuse them.
	AllowNoExp bool
	// ExpLeeway is how long a token is taken after its exp. Zero and negative
	// mean not at all.
	ExpLeeway time.Duration
	// Leeway is how far nbf and iat may lie in the future. Zero means 5 s,
	// negative not at all.
	Leeway time.Duration
	// MaxTokenBytes bounds a token; a longer one is refused unread. Zero means
	// 8 KiB.
	MaxTokenBytes int
	// JWKSRefresh is how old a fetched key set may be before its next use
	// fetches it again, beside that use. Zero means 5 min.
	JWKSRefresh time.Duration
	// JWKSMaxAge is how long a fetched key is believed when no later fetch
	// succeeded. Zero means 1 h.
	JWKSMaxAge time.Duration
	// Dev takes "dev:NAME" as a token of the user NAME. Only `weir dev` on
	// loopback may set it.
	Dev bool
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Logger gets one line when a key set cannot be fetched, and when it can
	// again. Nil means discard.
	Logger *slog.Logger
	// Transport replaces the guarded one for key sets, for tests: timeout, size
	// and redirect rules stay, the address rule goes with the transport.
	Transport http.RoundTripper
}

// Key verifies the tokens of one issuer for one audience. Exactly one of Secret,
// PublicKey, PEM and JWKS is set.
type Key struct {
	// Issuer must be iss of the token, byte for byte. Required.
	Issuer string
	// Audience must be aud of the token, or one of its list. Required.
	Audience string
	// Algorithm is HS256, EdDSA, ES256 or RS256. Empty means the one of the
	// key's kind; for a JWKS it is the one of each key in it.
	Algorithm string
	// Secret is the shared key of HS256, at least 32 bytes.
	Secret []byte
	// PublicKey is an ed25519.PublicKey, *ecdsa.PublicKey on P-256 or
	// *rsa.PublicKey of 2048 to 8192 bits.
	PublicKey crypto.PublicKey
	// PEM is such a key as text.
	PEM []byte
	// JWKS is the https address of the issuer's key set.
	JWKS string
	// JWKSPrivate lets that address be a private or loopback one, and plain http
	// on loopback. Link-local addresses are refused all the same.
	JWKSPrivate bool
}
