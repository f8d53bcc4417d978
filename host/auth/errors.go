package auth

import (
	"errors"
	"fmt"
	"log/slog"
)

// ErrUnauthenticated is what every refusal of Verify is, for errors.Is.
var ErrUnauthenticated = errors.New("the token is missing or not valid: sign in again")

// Kind says why a token was refused. It is for logs and counters, never for
// clients, but for KindExpired and KindUnavailable, which Retryable and the
// session's own clock reveal anyway.
type Kind string

// The kinds of refusal.
const (
	KindMissing     Kind = "missing"     // there is no token
	KindTooLarge    Kind = "too_large"   // over MaxTokenBytes, not decoded
	KindMalformed   Kind = "malformed"   // not a token, or a claim is not sane
	KindAlgorithm   Kind = "algorithm"   // alg is not one of ours, or not of any key
	KindKey         Kind = "key"         // no key of that kid
	KindSignature   Kind = "signature"   // no key verifies it
	KindIssuer      Kind = "issuer"      // iss is not that of the key
	KindAudience    Kind = "audience"    // aud does not hold that of the key
	KindSubject     Kind = "subject"     // sub is missing or empty
	KindExpired     Kind = "expired"     // exp is over, or missing
	KindNotYet      Kind = "not_yet"     // nbf or iat lies in the future
	KindUnavailable Kind = "unavailable" // the issuer's keys cannot be fetched now
)

// Error is a refusal. Its text is the same for every kind (J7).
type Error struct {
	Kind   Kind
	detail string
}

func refuse(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, detail: fmt.Sprintf(format, args...)}
}

// Error returns the text that clients may see.
func (e *Error) Error() string { return ErrUnauthenticated.Error() }

// Is makes every refusal an ErrUnauthenticated.
func (e *Error) Is(target error) bool { return target == ErrUnauthenticated }

// Detail says what was wrong, for the log.
func (e *Error) Detail() string { return e.detail }

// Retryable reports whether the same token may be taken a little later.
func (e *Error) Retryable() bool { return e.Kind == KindUnavailable }

// LogValue gives logs the kind and the detail.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", string(e.Kind)), slog.String("detail", e.detail))
}

// KindOf returns the kind of a refusal, or "" if err is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}
