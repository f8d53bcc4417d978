package wasm

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"weir/host/inspect"
	. "weir/host/wasm/wasmtest"
)

// bulkPages and bulkData size the memory and the data segment of bulkModule: both
// have room for several of the meter's pieces.
const (
	bulkPages = 80
	bulkData  = 3<<20 + 4321
)

// bulkModule exports fill, copy and init: each is one bulk instruction on its
// parameters.
func bulkModule() []byte {
	vec := func(items ...[]byte) []byte { return append([]byte{byte(len(items))}, Join(items...)...) }
	text := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	body := func(op ...byte) []byte {
		code := Join([]byte{0}, Get(0), Get(1), Get(2), op, []byte{0x0b})
		return append([]byte{byte(len(code))}, code...)
	}
	segment := make([]byte, bulkData)
	for i := range segment {
		segment[i] = byte(i*7 + i>>9)
	}
	size := []byte{0x80 | bulkData&0x7f, 0x80 | bulkData>>7&0x7f, 0x80 | bulkData>>14&0x7f, bulkData >> 21 & 0x7f}
	return Join([]byte("\x00asm\x01\x00\x00\x00"),
		Section(1, vec([]byte{0x60, 3, 0x7f, 0x7f, 0x7f, 0})),
		Section(3, []byte{3, 0, 0, 0}),
		Section(5, []byte{1, 0, bulkPages}),
		Section(7, vec(Join(text("memory"), []byte{2, 0}), Join(text("fill"), []byte{0, 0}), Join(text("copy"), []byte{0, 1}), Join(text("init"), []byte{0, 2}))),
		Section(12, []byte{1}),
		Section(10, vec(body(0xfc, 11, 0), body(0xfc, 10, 0, 0), body(0xfc, 8, 0, 0))),
		Section(11, Join([]byte{1, 1}, size, segment)))
}

// G2, G3: memory.fill, copy and init do piece by piece what they do at once,
// wherever the ends lie, also when they overlap, and touch nothing when they trap.
// Cases: 25.
func TestBulkInstructionsInPieces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ticks := 0
	load := func(r wazero.Runtime, code []byte) api.Module {
		t.Cleanup(func() { _ = r.Close(ctx) })
		m, err := r.Instantiate(ctx, code)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	shape, err := inspect.Parse(bulkModule())
	if err != nil {
		t.Fatal(err)
	}
	rewritten, err := shape.Meter()
	if err != nil {
		t.Fatal(err)
	}
	plain, metered := load(specRuntime(t, nil), bulkModule()), load(specRuntime(t, &ticks), rewritten.Code)
	random := rand.New(rand.NewPCG(1, 2))
	const size = bulkPages << 16
	// Places are near the ends, near each other, or anywhere; lengths near pieces.
	place := func(near uint32) uint32 {
		switch random.IntN(5) {
		case 0:
			return uint32(random.IntN(3))
		case 1:
			return size - uint32(random.IntN(4<<20))
		case 2, 3:
			return near + uint32(random.IntN(1<<21)) - 1<<20
		}
		return uint32(random.IntN(size))
	}
	traps, whole := 0, 0
	for n := range 300 {
		name := []string{"fill", "copy", "init"}[n%3]
		to := place(size / 2)
		from := place(to)
		count := uint32(random.IntN(4))<<20 + uint32(random.IntN(5)) - 2
		switch random.IntN(20) {
		case 0:
			count = uint32(size) - to
		case 1:
			count = ^uint32(0) - uint32(random.IntN(3))
		}
		if name == "init" {
			from = uint32(random.IntN(bulkData + 10))
			if random.IntN(2) == 0 {
				from %= 4096
			}
		}
		metered.ExportedGlobal(inspect.MeterGlobal).(api.MutableGlobal).Set(uint64(inspect.NewMeter(20, 1<<20)))
		args := []uint64{uint64(to), uint64(from), uint64(count)}
		_, want := plain.ExportedFunction(name).Call(ctx, args...)
		_, got := metered.ExportedFunction(name).Call(ctx, args...)
		if (want == nil) != (got == nil) || want != nil && firstLine(want) != firstLine(got) {
			t.Fatalf("%s%v: %v, metered %v", name, args, want, got)
		}
		if want != nil {
			traps++
		} else if count > 1<<20 {
			whole++
		}
		a, _ := plain.Memory().Read(0, size)
		b, _ := metered.Memory().Read(0, size)
		if !bytes.Equal(a, b) {
			t.Fatalf("%s%v: memory differs", name, args)
		}
	}
	if traps < 30 || whole < 30 || ticks < 100 {
		t.Errorf("%d traps, %d longer than a piece, %d ticks", traps, whole, ticks)
	}
}
