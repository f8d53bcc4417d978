package abitest

import (
	"bytes"
	_ "embed" // testdata
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"weir/abi"
)

//go:embed testdata/codec.txt
var codecText string

// Vector is one line of codec.txt.
type Vector struct {
	Line  int
	Kind  string // "value": Bytes are its encoding; "loose": they decode to it, but are not deterministic; "bad"
	Bytes []byte
	Value abi.Value // null for a bad one
	Why   string    // of a bad one, for people
}

// Vectors returns the lines of codec.txt.
func Vectors(t testing.TB) []Vector {
	t.Helper()
	var all []Vector
	for i, line := range strings.Split(codecText, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.SplitN(line, " ", 3)
		if len(parts) != 3 {
			t.Fatalf("codec.txt:%d: want kind, hex and value", i+1)
		}
		v := Vector{Line: i + 1, Kind: parts[0]}
		var err error
		if v.Bytes, err = hex.DecodeString(parts[1]); err != nil {
			t.Fatalf("codec.txt:%d: %v", i+1, err)
		}
		if v.Kind == "bad" {
			v.Why = parts[2]
		} else {
			parsed, err := abi.ParseJSON([]byte(parts[2]), 64)
			if err != nil {
				t.Fatalf("codec.txt:%d: %v", i+1, err)
			}
			v.Value = withBytes(parsed)
		}
		all = append(all, v)
	}
	return all
}

// Codec checks an encoder and a decoder against the vectors. Either may be nil.
func Codec(t *testing.T, encode func(abi.Value) ([]byte, error), decode func([]byte) (abi.Value, error)) {
	t.Helper()
	for _, v := range Vectors(t) {
		t.Run("line "+strconv.Itoa(v.Line), func(t *testing.T) {
			if encode != nil && v.Kind == "value" {
				got, err := encode(v.Value)
				if err != nil || !bytes.Equal(got, v.Bytes) {
					t.Errorf("encode %v: got %x, %v, want %x", v.Value, got, err, v.Bytes)
				}
			}
			if decode == nil {
				return
			}
			got, err := decode(v.Bytes)
			switch {
			case v.Kind == "bad" && err == nil:
				t.Errorf("decode %x: got %v, want it refused: %s", v.Bytes, got, v.Why)
			case v.Kind != "bad" && (err != nil || !got.Equal(v.Value)):
				t.Errorf("decode %x: got %v, %v, want %v", v.Bytes, got, err, v.Value)
			}
		})
	}
}

// withBytes replaces {"$bytes": "0102"} by a byte string.
func withBytes(v abi.Value) abi.Value {
	switch v.Type() {
	case abi.TypeArray:
		items := make([]abi.Value, v.Len())
		for i := range items {
			items[i] = withBytes(v.At(i))
		}
		return abi.Array(items...)
	case abi.TypeMap:
		if b, ok := v.Get("$bytes"); ok && v.Len() == 1 {
			s, _ := b.AsText()
			raw, _ := hex.DecodeString(s)
			return abi.Bytes(raw)
		}
		keys, items := make([]string, v.Len()), make([]abi.Value, v.Len())
		for i := range keys {
			keys[i], items[i] = v.Key(i), withBytes(v.At(i))
		}
		return abi.Map(keys, items)
	}
	return v
}
