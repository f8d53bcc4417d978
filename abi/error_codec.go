package abi

// AppendError appends e as deterministic CBOR of at most MaxError bytes.
func AppendError(dst []byte, e *Error) []byte { return dst }

// DecodeError decodes strictly.
func DecodeError(data []byte) (*Error, error) { return &Error{}, nil }
