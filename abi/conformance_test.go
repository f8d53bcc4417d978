package abi_test

import (
	"testing"

	"weir/abi"
	"weir/abi/abitest"
)

// Cases: 29.
func TestCodecPassesTheConformanceKit(t *testing.T) {
	t.Parallel()
	abitest.Codec(t, func(v abi.Value) ([]byte, error) { return v.AppendCBOR(nil), nil }, abi.DecodeCBOR)
}

func TestDeterministicIsWhatTheKitSays(t *testing.T) {
	t.Parallel()
	for _, v := range abitest.Vectors(t) {
		if got, want := abi.IsDeterministic(v.Bytes), v.Kind == "value"; got != want {
			t.Errorf("codec.txt:%d: IsDeterministic(%x) = %v, want %v", v.Line, v.Bytes, got, want)
		}
	}
}

func TestPackedPassesTheConformanceKit(t *testing.T) {
	t.Parallel()
	abitest.Packed(t,
		func(tag uint8, at, n uint32) uint64 { return uint64(abi.Pack(abi.Tag(tag), at, n)) },
		func(p uint64) bool { return abi.Packed(p).Valid() })
}

func TestManifestsPassTheConformanceKit(t *testing.T) {
	t.Parallel()
	abitest.Manifests(t, func(cbor []byte) error {
		m, err := abi.DecodeManifest(cbor)
		if err != nil {
			return err
		}
		return m.Validate()
	})
}

// Security 34: a policy that returns anything else than a decision denies.
// Cases: 34.
func TestDecisionsPassTheConformanceKit(t *testing.T) {
	t.Parallel()
	abitest.Decisions(t, func(cbor []byte) (bool, error) {
		d, err := abi.DecodeDecision(cbor)
		return d != nil && d.Allow, err
	})
}

func TestInputsPassTheConformanceKit(t *testing.T) {
	t.Parallel()
	abitest.Inputs(t, func(f *abi.Function, args, caller abi.Value) ([]byte, error) {
		from := func(part string) func(string) (abi.Value, bool) {
			all, _ := caller.Get(part)
			return func(name string) (abi.Value, bool) { return all.Get(name) }
		}
		text := func(key string) string {
			v, _ := caller.Get(key)
			s, _ := v.AsText()
			return s
		}
		in, err := f.Input(args, abi.Caller{Claim: from("claims"), Scope: from("scope"), Action: text("action"), Function: text("function")})
		return in.Bytes, err
	})
}
