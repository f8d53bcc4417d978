package wasm

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"weir/abi"
	. "weir/host/wasm/wasmtest"
)

// An engine gets the source once, before it describes itself, and both are one
// guest: this one describes itself as its source.
func TestEngineIsFedItsSource(t *testing.T) {
	t.Parallel()
	engine := Guest{Source: Join(I32(DataAt), Get(0), Store(), Pack(abi.TagNone, 0, 0))}
	// The input buffer holds an array of the name and the text: a manifest here.
	engine.Describe = Join(I32(DataAt), Load(), PackValueAt(InputAt))
	code := engine.Bytes()
	source := func(name, text string) []byte {
		return abi.Array(abi.Text(name), abi.Text(text)).AppendCBOR(nil)
	}
	f := func(name, text string) [32]byte {
		t.Helper()
		m, err := shared.Compiler().CompileSource(t.Context(), code, name, text)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(context.Background()) })
		p, err := NewPool(shared, m, PoolConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close(context.Background()) })
		got, err := p.Describe(t.Context())
		if err != nil || string(got) != string(source(name, text)) {
			t.Errorf("%s: the engine saw %q, %v", name, got, err)
		}
		sum := sha256.Sum256(code)
		if m.Digest() != sha256.Sum256(append(sum[:], source(name, text)...)) {
			t.Errorf("%s: the digest is not that of engine and source", name)
		}
		return m.Digest()
	}
	a := f("a.js", "one")
	if f("a.js", "two") == a || f("b.js", "one") == a {
		t.Error("other sources have the same digest")
	}
	f("a.js", strings.Repeat("x", abi.InputBuffer/2))

	if _, err := shared.Compiler().CompileSource(t.Context(), code, "a.js", "\xff"); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("a source that is no text: %v", err)
	}
	if _, err := shared.Compile(t.Context(), code); err == nil || !strings.Contains(err.Error(), "put the source file there") {
		t.Errorf("the engine as a plugin: %v", err)
	}
	if _, err := shared.Compiler().CompileSource(t.Context(), Guest{}.Bytes(), "a.js", ""); err == nil || !strings.Contains(err.Error(), "weir_source") {
		t.Errorf("a plugin as the engine: %v", err)
	}
}

// What an engine says of a source is the refusal; anything else than nothing or
// an error breaks the contract.
func TestEngineRefusesItsSource(t *testing.T) {
	t.Parallel()
	wrong := abi.AppendError(nil, &abi.Error{Code: "syntax", Message: "a.js:2: no"})
	f := func(name string, body []byte, want string, refused bool) {
		t.Helper()
		code := Guest{Data: map[uint32][]byte{DataAt: wrong}, Source: body}.Bytes()
		m, err := shared.Compiler().CompileSource(t.Context(), code, "a.js", "text")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close(context.Background()) })
		p, err := NewPool(shared, m, PoolConfig{Plugin: "a"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close(context.Background()) })
		_, err = p.Describe(t.Context())
		var refusal *RefusedError
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &refusal) != refused {
			t.Errorf("%s: %v (%T), want %q", name, err, err, want)
		}
	}
	f("an error", Pack(abi.TagError, DataAt, uint32(len(wrong))), "a.js:2: no", true)
	f("an error that is none", Pack(abi.TagError, DataAt+1, uint32(len(wrong)-1)), "the error", false)
	f("a value", Pack(abi.TagValue, DataAt, 1), "weir_source returned", false)
	f("a trap", Unreachable(), "trap", false)
}
