package reactor

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// Stamp says up to which point of which history a client has been shown state.
// It is opaque on the wire. The zero Stamp is no point at all.
type Stamp struct {
	epoch    uint64 // hash of the epoch; 0 is none
	snapshot Snapshot
}

// NewStamp returns the stamp of a snapshot.
func NewStamp(e Epoch, s Snapshot) Stamp {
	if e == "" {
		return Stamp{}
	}
	sum := sha256.Sum256([]byte(e))
	return Stamp{epoch: binary.BigEndian.Uint64(sum[:]) | 1, snapshot: s}
}

// IsZero reports whether the stamp is no point.
func (s Stamp) IsZero() bool { return s.epoch == 0 }

// Covers reports whether a client shown s has been shown all of t. A stamp of
// another epoch cannot be compared and asks for nothing (C4).
func (s Stamp) Covers(t Stamp) bool {
	return t.epoch == 0 || t.epoch != s.epoch || s.snapshot.Covers(t.snapshot)
}

// Later returns the newer of two stamps; of different epochs the receiver, which
// must be the one shown last.
func (s Stamp) Later(t Stamp) Stamp {
	if s.IsZero() || s.epoch == t.epoch && t.snapshot.Covers(s.snapshot) {
		return t
	}
	return s
}

// LaterStamp is Later for stamps that are shared; nil is no point at all.
func LaterStamp(s, t *Stamp) *Stamp {
	if s == nil || s.IsZero() || t != nil && s.epoch == t.epoch && t.snapshot.Covers(s.snapshot) {
		return t
	}
	return s
}

var errStamp = errors.New("not a stamp that weir gave out")

// maxStamp bounds the text of a stamp: a thousand transactions in progress fit.
const maxStamp = 16 << 10

// String returns the wire form, empty for the zero stamp.
func (s Stamp) String() string {
	if s.IsZero() {
		return ""
	}
	b := binary.BigEndian.AppendUint64(nil, s.epoch)
	b = binary.AppendUvarint(b, s.snapshot.XMin)
	b = binary.AppendUvarint(b, s.snapshot.XMax-s.snapshot.XMin)
	last := s.snapshot.XMin
	for _, xid := range s.snapshot.XIP {
		b = binary.AppendUvarint(b, xid-last)
		last = xid
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseStamp reads the wire form. The empty text is the zero stamp.
func ParseStamp(text string) (Stamp, error) {
	if text == "" {
		return Stamp{}, nil
	}
	if len(text) > maxStamp {
		return Stamp{}, errStamp
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 10 {
		return Stamp{}, errStamp
	}
	s := Stamp{epoch: binary.BigEndian.Uint64(b)}
	b = b[8:]
	next := func() (v uint64) {
		v, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		if n <= 0 {
			err, b = errStamp, nil
		}
		return v
	}
	xmin := next()
	xmax := xmin + next()
	s.snapshot = Snapshot{XMin: xmin, XMax: xmax}
	ordered := xmax >= xmin
	for last := xmin; len(b) > 0; {
		xid := last + next()
		ordered = ordered && xid >= last && xid < xmax && (xid > last || s.snapshot.XIP == nil)
		s.snapshot.XIP = append(s.snapshot.XIP, xid)
		last = xid
	}
	// Every point has one text: what another reading would give is refused.
	if err != nil || !ordered || s.String() != text {
		return Stamp{}, errStamp
	}
	return s, nil
}
