package wasm

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"weir/host/inspect"
	. "weir/host/wasm/wasmtest"
)

// A form is what it was, and one that is cut anywhere is none.
func TestFormComesBack(t *testing.T) {
	t.Parallel()
	want := &inspect.Metered{
		Code: []byte("code"), Fixed: "table.set", Globals: []uint32{1, 7},
		Segments: []inspect.Segment{{At: 1 << 31, Bytes: []byte("data")}, {Bytes: []byte{}}},
	}
	b := appendForm(nil, want)
	got, err := decodeForm(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v came back as %+v, %v", want, got, err)
	}
	for n := range b {
		if _, err := decodeForm(b[:n]); err == nil {
			t.Errorf("cut at %d of %d it is a form", n, len(b))
		}
	}
	if _, err := decodeForm(append(b, 0)); err == nil {
		t.Error("with a byte more it is a form")
	}
}

// G8: a form is used if it verifies, for what it was made for, and by the program
// that made it. Anything else is gated and metered again.
// Cases: 21.
func TestFormsThatVerifyOnlyAreUsed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	code := echo().Bytes()
	r := withChild(t, Config{CacheDir: dir})
	serves(t, r)
	own := sha(code)
	m, ok := r.store.form(own, false)
	if !ok || len(m.Code) == 0 {
		t.Fatal("the form is not kept")
	}
	if _, ok := r.store.form(own, true); ok {
		t.Error("the form of a plugin is that of an engine")
	}
	if _, ok := r.store.form(sha(append(code, 0)), false); ok {
		t.Error("it is that of other bytes")
	}
	key, _ := formKey(own, false)
	content, err := os.ReadFile(r.store.path(key))
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1] ^= 1
	if err := os.WriteFile(r.store.path(key), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.store.form(own, false); ok {
		t.Error("a changed form is used")
	}
	serves(t, r)
	if again, ok := r.store.form(own, false); !ok || !bytes.Equal(again.Code, m.Code) {
		t.Error("it is not made again")
	}
	// A module that the gate refuses leaves none.
	bad := Guest{Start: Unreachable()}.Bytes()
	if _, err := r.Compile(t.Context(), bad); err == nil {
		t.Fatal("it is let through")
	}
	if _, ok := r.store.form(sha(bad), false); ok {
		t.Error("what is refused has a form")
	}
}

func sha(b []byte) [32]byte { return sha256.Sum256(b) }
