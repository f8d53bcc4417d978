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
func AppendDecision(dst []byte, d *Decision) []byte {
	n := 1
	if !d.Scope.IsNull() {
		n++
	}
	if d.Reason != "" {
		n++
	}
	if d.WakeAt != 0 {
		n++
	}
	// The keys are in deterministic order, shorter ones first.
	dst = AppendBool(append(AppendMap(dst, n), "\x65allow"...), d.Allow)
	if !d.Scope.IsNull() {
		dst = d.Scope.AppendCBOR(append(dst, "\x65scope"...))
	}
	if d.Reason != "" {
		dst = AppendText(append(dst, "\x66reason"...), cut(d.Reason, MaxError))
	}
	if d.WakeAt != 0 {
		dst = AppendInt(append(dst, "\x67wake_at"...), d.WakeAt)
	}
	return dst
}

// DecodeDecision decodes a policy's answer strictly: allow is required and a
// boolean, the scope is a map of scalars, unknown keys are refused, so that a
// mistake never reads as an answer. Errors are *CodecError or *ManifestError.
func DecodeDecision(data []byte) (*Decision, error) {
	// Most answers say allow and nothing more: there is one encoding of that.
	const bare = "\xa1\x65allow"
	if n := len(bare); len(data) == n+1 && string(data[:n]) == bare && (data[n] == cborTrue || data[n] == cborFalse) {
		return &Decision{Allow: data[n] == cborTrue}, nil
	}
	v, err := DecodeCBOR(data)
	if err != nil {
		return nil, err
	}
	var r reader
	d := &Decision{}
	m := r.object("decision", v, "allow", "reason", "scope", "wake_at")
	allow, there := m.v.Get("allow")
	if ok := false; there {
		if d.Allow, ok = allow.AsBool(); !ok {
			r.fault(m.at("allow"), "want a boolean, found "+allow.Type().String())
		}
	} else {
		r.fault(m.at("allow"), "missing: a policy must say whether it allows")
	}
	d.Reason = r.text(m, "reason", false)
	if len(d.Reason) > MaxError {
		r.fault(m.at("reason"), "longer than the bound")
	}
	d.WakeAt = r.integer(m, "wake_at")
	d.Scope, _ = m.v.Get("scope")
	if t := d.Scope.Type(); t != TypeMap && t != TypeNull {
		r.fault(m.at("scope"), "want a map, found "+t.String())
	}
	for i := range d.Scope.Len() {
		if t := d.Scope.At(i).Type(); t == TypeArray || t == TypeMap {
			r.fault(m.at("scope")+"."+d.Scope.Key(i), "want a scalar, found "+t.String())
		}
	}
	if err := r.err(); err != nil {
		// A malformed answer allows nothing, even for who forgets the error.
		return nil, err
	}
	return d, nil
}
