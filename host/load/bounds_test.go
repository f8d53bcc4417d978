package load

import "testing"

// TestBoundsSayHowManyStreams: the tighter of files and memory, and never less than none.
func TestBoundsSayHowManyStreams(t *testing.T) {
	t.Parallel()
	f := func(b Bounds, want int64) {
		t.Helper()
		if got := b.Streams(); got != want {
			t.Errorf("%+v allows %d streams, want %d", b, got, want)
		}
	}
	f(Bounds{}, 0)
	f(Bounds{Descriptors: 100}, 0)
	f(Bounds{Descriptors: 1200}, 1000)
	f(Bounds{Descriptors: 1200, Memory: 64 << 20}, 1000)
	f(Bounds{Descriptors: 20_000, Memory: 64 << 20}, 1024)
}
