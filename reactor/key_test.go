package reactor

import (
	"testing"

	"pgregory.net/rapid"
)

// W4, F13: keys are equal only if all parts are, also where a part looks like
// the end of one and the beginning of the next.
// Cases: 81.
func TestKeysNeverMeet(t *testing.T) {
	t.Parallel()
	seen := map[Key]KeyParts{}
	add := func(p KeyParts) {
		t.Helper()
		if other, known := seen[p.Key()]; known {
			t.Errorf("%+v and %+v share a key", p, other)
		}
		seen[p.Key()] = p
	}
	add(KeyParts{})
	add(KeyParts{Tenant: "a", Plugin: "bc"})
	add(KeyParts{Tenant: "ab", Plugin: "c"})
	add(KeyParts{Tenant: "abc"})
	add(KeyParts{Plugin: "abc"})
	add(KeyParts{Config: "abc"})
	add(KeyParts{Role: "abc"})
	add(KeyParts{Function: "abc"})
	add(KeyParts{Input: []byte("abc")})
	add(KeyParts{Tenant: "a\x02bc"})
	add(KeyParts{Tenant: "\x00", Input: []byte("\x00")})
	add(KeyParts{Tenant: "\x00\x00"})
	add(KeyParts{Input: make([]byte, 127)})
	add(KeyParts{Input: make([]byte, 128)})

	text := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 2, 3, 'a'}), 0, 4, -1)
	parts := rapid.Custom(func(t *rapid.T) [6]string {
		return [6]string(rapid.SliceOfN(text, 6, 6).Draw(t, "parts"))
	})
	key := func(p [6]string) Key {
		return (&KeyParts{p[0], p[1], p[2], p[3], p[4], []byte(p[5])}).Key()
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		if (a == b) != (key(a) == key(b)) {
			t.Fatalf("%q and %q", a, b)
		}
	})
}
