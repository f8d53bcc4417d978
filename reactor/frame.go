package reactor

import (
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"sync/atomic"
)

// Version is the content version of a result: the first 128 bits of SHA-256
// over its content as encoded. Equal content has an equal version anywhere.
type Version [16]byte

// String returns the version in base64url, as it stands on the wire.
func (v Version) String() string { return base64.RawURLEncoding.EncodeToString(v[:]) }

// ParseVersion reads the wire form. False means that it is not one.
func ParseVersion(text string) (Version, bool) {
	var v Version
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != len(v) {
		return v, false
	}
	return Version(b), true
}

// VersionOf returns the version of a result's content.
func VersionOf(content []byte) Version {
	sum := sha256.Sum256(content)
	return Version(sum[:16])
}

// Frame is one full result, encoded once and shared by every stream that shows
// it (W3). It is immutable, but for the deltas to it that were made so far.
type Frame struct {
	Version Version
	data    []byte
	content int          // where the content begins in data
	wanted  atomic.Int32 // how many of the next frames keep what deltas need

	mu      sync.Mutex // protects history.deltas and history.left
	history history
}

// frameEnd closes the JSON object and the event.
const frameEnd = "}\n\n"

// NewFrame encodes a full result of the group called query on the wire. content
// is the JSON members `"key":[…],"rows":[…]` or `"value":…` without braces and
// without a newline; it is copied.
func NewFrame(query string, content []byte) *Frame {
	f := &Frame{Version: VersionOf(content)}
	head := `data: {"q":"` + query + `","v":"` + f.Version.String() + `",`
	f.data = make([]byte, 0, len(head)+len(content)+len(frameEnd))
	f.data = append(f.data, head...)
	f.content = len(f.data)
	f.data = append(f.data, content...)
	f.data = append(f.data, frameEnd...)
	return f
}

// Event returns the whole event as it goes to a stream, with its final blank
// line. The caller must not change it.
func (f *Frame) Event() []byte { return f.data }

// Content returns the JSON members of the result, without braces. The caller
// must not change it.
func (f *Frame) Content() []byte { return f.data[f.content : len(f.data)-len(frameEnd)] }

// Size returns the length of the event in bytes.
func (f *Frame) Size() int { return len(f.data) }
