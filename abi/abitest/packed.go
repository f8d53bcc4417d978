package abitest

import (
	_ "embed" // testdata
	"strconv"
	"strings"
	"testing"
)

//go:embed testdata/packed.txt
var packedText string

// Packed checks how a host or guest builds and reads packed results. valid
// reports whether a result may be accepted; either function may be nil.
func Packed(t *testing.T, pack func(tag uint8, at, n uint32) uint64, valid func(packed uint64) bool) {
	t.Helper()
	for i, line := range strings.Split(packedText, "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || f[0][0] == '#' {
			continue
		}
		if len(f) != 5 {
			t.Fatalf("packed.txt:%d: want kind, packed, tag, address and length", i+1)
		}
		var n [4]uint64
		for j, s := range f[1:] {
			var err error
			if n[j], err = strconv.ParseUint(s, 0, 64); err != nil {
				t.Fatalf("packed.txt:%d: %v", i+1, err)
			}
		}
		if pack != nil {
			if got := pack(uint8(n[1]), uint32(n[2]), uint32(n[3])); got != n[0] {
				t.Errorf("packed.txt:%d: pack: got %#x, want %#x", i+1, got, n[0])
			}
		}
		if want := f[0] == "good"; valid != nil && valid(n[0]) != want {
			t.Errorf("packed.txt:%d: valid(%#x) = %v, want %v", i+1, n[0], !want, want)
		}
	}
}
