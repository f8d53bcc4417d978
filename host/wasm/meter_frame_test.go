package wasm

import (
	"bytes"
	"context"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"weir/abi"
	"weir/host/inspect"
	. "weir/host/wasm/wasmtest"
)

// G4: a frame takes as much room as its locals, parameters and operands, and
// gives all of it back.
func TestFramesArePricedByTheirSize(t *testing.T) {
	t.Parallel()
	const wide = 900
	ctx := context.Background()
	operands := make([]byte, 0, 2000)
	for range 500 {
		operands = append(operands, 0x41, 0)
	}
	for range 500 {
		operands = append(operands, 0x1a)
	}
	for name, c := range map[string]struct {
		guest Guest
		least int32
	}{
		"locals":   {Guest{Wide: wide, Call: Join(I32(1), Invoke(numBuf), Drop(), Pack(abi.TagNone, 0, 0))}, 16 * (wide + 8)},
		"operands": {Guest{Call: Join(I32(1), Invoke(numBuf), Drop(), operands, Pack(abi.TagNone, 0, 0))}, 16 * (500 + 8)},
	} {
		t.Run(name, func(t *testing.T) {
			c.guest.Buf = paying
			shape, err := inspect.Parse(c.guest.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			m, err := shape.Meter()
			if err != nil {
				t.Fatal(err)
			}
			ticks := 0
			r := specRuntime(t, &ticks)
			defer r.Close(ctx)
			mod, err := r.Instantiate(ctx, m.Code)
			if err != nil {
				t.Fatal(err)
			}
			global := mod.ExportedGlobal(inspect.MeterGlobal).(api.MutableGlobal)
			room := func(room int32) error {
				global.Set(uint64(inspect.NewMeter(1<<20, room)))
				_, err := mod.ExportedFunction(abi.ExportCall).Call(ctx, 0, 0)
				return err
			}
			if err := room(c.least); err == nil {
				t.Errorf("it ran in %d bytes", c.least)
			}
			if err := room(c.least + 256); err != nil {
				t.Errorf("it did not run in %d bytes: %v", c.least+256, err)
			}
			if left := inspect.Meter(global.Get()).Room(); left != c.least+256 {
				t.Errorf("%d bytes of %d are left", left, c.least+256)
			}
		})
	}
}

// G3: an instruction that takes long pays just before it runs: a function may have
// thousands in a row.
func TestDearInstructionsPayForThemselves(t *testing.T) {
	t.Parallel()
	const n = 50
	ctx := context.Background()
	shape, err := inspect.Parse(Guest{Call: Join(bytes.Repeat(Join(I32(0), Grow(), Drop()), n), Pack(abi.TagNone, 0, 0))}.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	m, err := shape.Meter()
	if err != nil {
		t.Fatal(err)
	}
	ticks := 0
	r := specRuntime(t, &ticks)
	defer r.Close(ctx)
	mod, err := r.Instantiate(ctx, m.Code)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mod.ExportedFunction(abi.ExportCall).Call(ctx, 0, 0); err != nil {
		t.Fatal(err)
	}
	if ticks < n { // which have fuel for none
		t.Errorf("%d ticks for %d instructions", ticks, n)
	}
}
