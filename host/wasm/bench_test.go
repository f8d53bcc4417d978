package wasm

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"weir/abi"
	. "weir/host/wasm/wasmtest"
)

// benchGuest takes 200 bytes and returns a kilobyte, without any work.
func benchGuest() Guest {
	value := abi.Bytes(make([]byte, 1000)).AppendCBOR(nil)
	return Guest{Data: map[uint32][]byte{DataAt: value}, Call: Pack(abi.TagValue, DataAt, uint32(len(value)))}
}

// BenchmarkCall measures a warm call of a tiny guest, 200 B in and 1 KB out, and
// beside it the same work on wazero alone, without and with its interruption,
// which is what the difference is made of until the meter replaces it.
func BenchmarkCall(b *testing.B) {
	b.Run("weir", func(b *testing.B) {
		p := newPool(b, benchGuest(), PoolConfig{})
		c := named(&Call{Input: make([]byte, 200)})
		ctx := context.Background()
		if _, err := p.Call(ctx, c); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.Call(ctx, c); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, interruptible := range map[string]bool{"raw": false, "raw-interruptible": true} {
		b.Run(name, func(b *testing.B) { benchRaw(b, interruptible) })
	}
}

func benchRaw(b *testing.B, interruptible bool) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(api.CoreFeaturesV2).WithCloseOnContextDone(interruptible))
	defer r.Close(ctx)
	mod, err := r.Instantiate(ctx, benchGuest().Bytes())
	if err != nil {
		b.Fatal(err)
	}
	fn, input, out := mod.ExportedFunction(abi.ExportCall), make([]byte, 200), make([]byte, 0, 2048)
	var stack [2]uint64
	b.ReportAllocs()
	for b.Loop() {
		if !mod.Memory().Write(InputAt, input) {
			b.Fatal("write")
		}
		stack = [2]uint64{0, 200}
		if err := fn.CallWithStack(ctx, stack[:]); err != nil {
			b.Fatal(err)
		}
		p := abi.Packed(stack[0])
		v, _ := mod.Memory().Read(p.At(), p.Len())
		out = append(out[:0], v...)
	}
}

// G14: a call allocates the output and the copy of its value, and to make the
// instance the image again allocates nothing, whichever way it is done.
func TestCallAllocations(t *testing.T) {
	if testing.CoverMode() != "" || raceEnabled {
		t.Skip("only meaningful in a plain build")
	}
	for _, reuse := range []Reuse{Pristine, Batch, Sticky} {
		for _, w := range ways() {
			p := newPool(t, benchGuest(), PoolConfig{Reuse: reuse})
			c := named(&Call{Input: make([]byte, 200)})
			one := func() {
				if _, err := p.Call(context.Background(), c); err != nil {
					t.Fatal(err)
				}
			}
			one()
			p.image.way = w
			if got := testing.AllocsPerRun(100, one); got > 1 { // the copy of the value
				t.Errorf("reuse %d, %s: %v allocations a call", reuse, w.kind, got)
			}
		}
	}
}
