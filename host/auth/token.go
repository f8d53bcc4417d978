package auth

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// token is a token that was taken apart and not yet believed.
type token struct {
	algorithm string
	kid       string
	signed    string // header and payload as they were signed
	signature []byte
	payload   string // still encoded: nothing reads it before the signature holds
}

// maxKid bounds the one part of a token that may be repeated in a log.
const maxKid = 256

// refusedHeaders change what a token means, or bring their own keys. We
// understand none of them, and ignoring one would be to guess.
var refusedHeaders = []string{"crit", "zip", "b64", "enc", "cty", "jwk", "jku", "x5u", "x5c"}

// asIssued is the advice for what nobody issued.
const asIssued = "send the issuer's token as it is"

// split takes a token apart. It decodes the header only.
func split(raw string, maxBytes int) (*token, error) {
	switch {
	case raw == "":
		return nil, refuse(KindMissing, "there is no token: send Authorization: Bearer and a token")
	case len(raw) > maxBytes:
		return nil, refuse(KindTooLarge, "it has %d bytes, more than the %d allowed: have the issuer put fewer claims into it", len(raw), maxBytes)
	case strings.Count(raw, ".") != 2:
		return nil, refuse(KindMalformed, "it has %d dots instead of 2: "+asIssued, strings.Count(raw, "."))
	}
	last := strings.LastIndexByte(raw, '.')
	header64, payload64, _ := strings.Cut(raw[:last], ".")
	header, err := decodePart(header64)
	if err != nil {
		return nil, refuse(KindMalformed, "its header is refused, %v: "+asIssued, err)
	}
	t := &token{signed: raw[:last], payload: payload64}
	if t.signature, err = decodeBase64(raw[last+1:]); err != nil {
		return nil, refuse(KindMalformed, "its signature is refused, %v: "+asIssued, err)
	}
	return t, t.readHeader(header)
}

func (t *token) readHeader(header map[string]any) error {
	for _, name := range refusedHeaders {
		if _, there := header[name]; there {
			return refuse(KindMalformed, "its header has %s, which weir does not take: have the issuer leave it out", name)
		}
	}
	if typ, there := header["typ"]; there {
		text, _ := typ.(string)
		// Tokens made for something else (logout, DPoP) say so in typ.
		known := []string{"jwt", "at+jwt", "application/jwt", "application/at+jwt"}
		if !slices.Contains(known, strings.ToLower(text)) {
			return refuse(KindMalformed, "its typ says that it was made for something else: send the one whose typ is JWT or at+jwt")
		}
	}
	t.algorithm, _ = header["alg"].(string)
	if _, known := methods[t.algorithm]; !known {
		return refuse(KindAlgorithm, "its alg is not HS256, EdDSA, ES256 or RS256: have the issuer sign with one of them")
	}
	if kid, there := header["kid"]; there {
		text, isText := kid.(string)
		if !isText || text == "" || len(text) > maxKid {
			return refuse(KindMalformed, "its kid is not a text of 1 to %d bytes: have the issuer name its key so", maxKid)
		}
		t.kid = text
	}
	return nil
}

func decodePart(part string) (map[string]any, error) {
	data, err := decodeBase64(part)
	if err != nil {
		return nil, err
	}
	return parseObject(data)
}

type malformed string

func (m malformed) Error() string { return string(m) }

// decodeBase64 takes one spelling of each value only: no padding, no line ends
// (which the library skips), no stray bits in the last letter.
func decodeBase64(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, malformed("not base64url")
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		// The library's text quotes the offending byte.
		return nil, malformed("not base64url")
	}
	return data, nil
}

// maxDate is the end of the year 9999. Past it a date is a mistake or an attempt
// to overflow.
const maxDate = 253402300799

// date reads a NumericDate: a whole number of seconds since 1970.
func date(payload map[string]any, name string) (at time.Time, there bool, err error) {
	v, there := payload[name]
	if !there {
		return time.Time{}, false, nil
	}
	n, isInt := v.(int64)
	if !isInt || n <= 0 || n > maxDate {
		return time.Time{}, true, refuse(KindMalformed, "its %s is not a whole number of seconds in a sane year: have the issuer write seconds since 1970", name)
	}
	return time.Unix(n, 0), true, nil
}

// hasAudience reports whether aud is want or a list with it. Another shape has
// no audience.
func hasAudience(aud any, want string) bool {
	switch v := aud.(type) {
	case string:
		return v == want
	case []any:
		return slices.Contains(v, any(want))
	}
	return false
}
