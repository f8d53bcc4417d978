package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// minSecret is the length of the hash of HS256; a shorter key can be guessed
	// (RFC 7518, 3.2).
	minSecret = 32
	// RSA keys under 2048 bits are weak; over 8192 one verification costs too
	// much.
	minRSABits, maxRSABits = 2048, 8192
)

// methods are the only algorithms there are (J2).
var methods = map[string]jwt.SigningMethod{
	"HS256": jwt.SigningMethodHS256,
	"EdDSA": jwt.SigningMethodEdDSA,
	"ES256": jwt.SigningMethodES256,
	"RS256": jwt.SigningMethodRS256,
}

// verifyKey is a key that is ready for use.
type verifyKey struct {
	issuer, audience string
	algorithm        string
	key              any // []byte or a public key, of the kind that algorithm takes
}

// verifies reports whether signature is that of signed under this key.
func (k verifyKey) verifies(signed string, signature []byte) bool {
	return methods[k.algorithm].Verify(signed, signature, k.key) == nil
}

// algorithmOf returns the one algorithm that a public key is used for.
func algorithmOf(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return "EdDSA", nil
		}
		return "", errors.New("the Ed25519 key is incomplete: give the issuer's public key as it is")
	case *ecdsa.PublicKey:
		if k != nil && k.Curve == elliptic.P256() {
			return "ES256", nil
		}
		return "", errors.New("the EC key is not on P-256: use P-256, Ed25519 or RSA")
	case *rsa.PublicKey:
		if k == nil || k.N == nil || k.N.BitLen() < minRSABits || k.N.BitLen() > maxRSABits {
			return "", fmt.Errorf("the RSA key does not have %d to %d bits: use such a one, or Ed25519", minRSABits, maxRSABits)
		}
		return "RS256", nil
	}
	return "", fmt.Errorf("a key of type %T cannot verify tokens: use Ed25519, EC P-256 or RSA", key)
}

// static makes the key of a Key that is not a JWKS.
func (k Key) static() (verifyKey, error) {
	out := verifyKey{issuer: k.Issuer, audience: k.Audience}
	public := k.PublicKey
	if len(k.PEM) > 0 {
		var err error
		if public, err = parsePEM(k.PEM); err != nil {
			return out, err
		}
	}
	if public == nil {
		if len(k.Secret) < minSecret {
			return out, fmt.Errorf("the HS256 secret has %d bytes: use at least %d random ones", len(k.Secret), minSecret)
		}
		out.algorithm, out.key = "HS256", append([]byte(nil), k.Secret...)
	} else {
		algorithm, err := algorithmOf(public)
		if err != nil {
			return out, err
		}
		out.algorithm, out.key = algorithm, public
	}
	if k.Algorithm != "" && k.Algorithm != out.algorithm {
		return out, fmt.Errorf("algorithm is %q, but the key is for %s: correct one of them", k.Algorithm, out.algorithm)
	}
	return out, nil
}

func parsePEM(data []byte) (crypto.PublicKey, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, errors.New("the public key is not PEM: it begins with -----BEGIN PUBLIC KEY-----")
	case block.Type == "PUBLIC KEY":
	case block.Type == "RSA PUBLIC KEY":
		return parsed(x509.ParsePKCS1PublicKey(block.Bytes))
	default:
		// Also a private key: that one has no business on a verifier.
		return nil, fmt.Errorf("the PEM block is a %q: give the PUBLIC KEY", block.Type)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, errors.New("the PEM holds more than one block: add one entry for each key")
	}
	return parsed(x509.ParsePKIXPublicKey(block.Bytes))
}

// parsed says of an unreadable key what to do. The library's text names parts of
// ASN.1, which helps nobody.
func parsed[K any](key K, err error) (crypto.PublicKey, error) {
	if err != nil {
		return nil, errors.New("the public key cannot be read: give it as the issuer publishes it")
	}
	return key, nil
}

// check refuses a Key that cannot be used, naming the field.
func (k Key) check() error {
	sources := 0
	for _, given := range []bool{len(k.Secret) > 0, k.PublicKey != nil, len(k.PEM) > 0, k.JWKS != ""} {
		if given {
			sources++
		}
	}
	_, known := methods[k.Algorithm]
	switch {
	case k.Issuer == "":
		return errors.New("issuer is missing: give the iss of its tokens")
	case strings.ContainsFunc(k.Issuer, unicode.IsSpace):
		return errors.New("issuer has a space: a principal is written as issuer, space, subject: use one without")
	case k.Issuer == DevIssuer:
		return fmt.Errorf("issuer %q is reserved for development: use another", DevIssuer)
	case k.Audience == "":
		return errors.New("audience is missing: give the aud of its tokens, so that a token for another service is not taken")
	case sources != 1:
		return fmt.Errorf("%d of secret, public key, PEM and JWKS are given: give exactly one", sources)
	case k.Algorithm != "" && !known:
		return fmt.Errorf("algorithm %q is not taken: use HS256, EdDSA, ES256 or RS256", k.Algorithm)
	case k.JWKS != "" && k.Algorithm == "HS256":
		return errors.New("a JWKS cannot hold the key of HS256: use EdDSA, ES256 or RS256")
	}
	return nil
}
