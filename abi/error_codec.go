package abi

import "unicode/utf8"

// maxCode is the longest code of an error in bytes.
const maxCode = 128

// AppendError appends e as deterministic CBOR of at most MaxError bytes. A
// message that is too long is cut at the end of a character.
func AppendError(dst []byte, e *Error) []byte {
	code := cut(string(e.Code), maxCode)
	// The longest heads, all keys and both booleans are below 64 bytes.
	message := cut(e.Message, MaxError-len(code)-64)
	dst = AppendMap(dst, 4)
	dst = AppendText(AppendText(dst, "code"), code)
	dst = AppendBool(AppendText(dst, "public"), e.Public)
	dst = AppendText(AppendText(dst, "message"), message)
	return AppendBool(AppendText(dst, "retryable"), e.Retryable)
}

// DecodeError decodes an error value strictly: code and message are required,
// unknown keys are refused. Errors are *CodecError or *ManifestError.
func DecodeError(data []byte) (*Error, error) {
	if len(data) > MaxError {
		return nil, &CodecError{Offset: MaxError, What: "the error value is longer than the bound"}
	}
	v, err := DecodeCBOR(data)
	if err != nil {
		return nil, err
	}
	var r reader
	e := &Error{}
	m := r.object("error", v, "code", "message", "retryable", "public")
	e.Code = Code(r.text(m, "code", true))
	e.Message = r.text(m, "message", true)
	e.Retryable = r.boolean(m, "retryable")
	e.Public = r.boolean(m, "public")
	if e.Code == "" || len(e.Code) > maxCode {
		r.fault(m.at("code"), "want 1 to 128 bytes")
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return e, nil
}

// cut returns at most n bytes of s: whole characters, and U+FFFD for what is
// not valid UTF-8.
func cut(s string, n int) string {
	if !utf8.ValidString(s) {
		s = string([]rune(s))
	}
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
