package load

// What a process needs beside its streams, and what a stream costs here and in the
// server, roughly and with room to spare.
const (
	otherDescriptors = 200
	streamBytes      = 64 << 10
)

// Streams returns how many streams the limits allow, 0 when they are not known.
func (b Bounds) Streams() int64 {
	n := b.Descriptors - otherDescriptors
	if b.Memory > 0 {
		n = min(n, b.Memory/streamBytes)
	}
	return max(n, 0)
}
