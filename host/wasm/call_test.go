package wasm

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// Cases: 27.
func TestCallCopiesTheResultOut(t *testing.T) {
	t.Parallel()
	value := abi.Array(abi.Int(1), abi.Text("two")).AppendCBOR(nil)
	p := newPool(t, Guest{
		Data: map[uint32][]byte{DataAt: value},
		Call: Pack(abi.TagValue, DataAt, uint32(len(value))),
	}, PoolConfig{})
	first := call(t, p, Call{})
	if first.Kind != OutputValue || !bytes.Equal(first.Value, value) {
		t.Fatalf("got %+v", first)
	}
	// A2: the output is no view of guest memory.
	first.Value[0] = 0xff
	if again := call(t, p, Call{}); !bytes.Equal(again.Value, value) {
		t.Error("the output shares guest memory")
	}
	if out := call(t, newPool(t, Guest{}, PoolConfig{}), Call{}); out.Kind != OutputNone {
		t.Errorf("got %+v, want none", out)
	}
}

func TestInputArrivesAndLargeInputGetsALargerBuffer(t *testing.T) {
	t.Parallel()
	// The guest returns its input: the buffer holds CBOR.
	g := Guest{Call: Join(Get(1), PackValueAt(InputAt))}
	p := newPool(t, g, PoolConfig{})
	for _, n := range []int{0, 10, abi.InputBuffer, 100_000} {
		input := abi.Bytes(make([]byte, n)).AppendCBOR(nil)
		if out := call(t, p, Call{Input: input}); !bytes.Equal(out.Value, input) {
			t.Errorf("an input of %d bytes came back as %d", len(input), len(out.Value))
		}
	}
}

// G6: the address of the buffer is checked, also when the guest is asked again.
// Cases: 26.
func TestInputBufferOutsideMemoryIsRefused(t *testing.T) {
	t.Parallel()
	for name, buf := range map[string][]byte{
		"end":      I32(4<<16 - abi.InputBuffer + 1),
		"negative": I32(-1),
		"wrap":     I32(-abi.InputBuffer),
	} {
		p := newPool(t, Guest{Buf: buf}, PoolConfig{})
		if err := fails(t, p, Call{}, abi.GuestContract); !strings.Contains(err.Error(), "weir_buf") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Good for what is asked at load, not for more.
	p := newPool(t, Guest{Buf: I32(4<<16 - abi.InputBuffer)}, PoolConfig{})
	call(t, p, Call{})
	fails(t, p, Call{Input: make([]byte, abi.InputBuffer+1)}, abi.GuestContract)
}

// X4, security 26-29: whatever a guest returns, the host copies only what is
// there, and only CBOR.
// Cases: 26, 28, 29.
func TestBadResultsBreakTheContract(t *testing.T) {
	t.Parallel()
	const size = 4 << 16
	f := func(name string, result []byte, code abi.Code) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := map[uint32][]byte{
				DataAt:       {0x9f, 0x01, 0xff},              // no definite length
				DataAt + 16:  {0x01, 0x01},                    // two items
				DataAt + 32:  {0x62, 0xff, 0xfe},              // no UTF-8
				DataAt + 48:  bytes.Repeat([]byte{0x81}, 100), // deep
				DataAt + 256: {0xa2, 0x61, 'a', 1, 0x61, 'a', 2},
				DataAt + 512: {0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0}, // NaN
			}
			p := newPool(t, Guest{Call: result, Data: data}, PoolConfig{})
			fails(t, p, Call{}, code)
		})
	}
	value := func(at, n uint32) []byte { return Pack(abi.TagValue, at, n) }
	f("unknown tag", I64(4<<60), abi.GuestContract)
	f("all bits", I64(-1), abi.GuestContract)
	f("none with bits", Pack(abi.TagNone, 0, 1), abi.GuestContract)
	f("handle with length", Pack(abi.TagHandle, 1, 1), abi.GuestContract)
	f("handle not held", Pack(abi.TagHandle, 1, 0), abi.GuestContract)
	f("handle zero", Pack(abi.TagHandle, 0, 0), abi.GuestContract)
	f("past the end", value(size-1, 2), abi.GuestContract)
	f("at the end", value(size, 1), abi.GuestContract)
	f("far outside", value(1<<30-1, 1), abi.GuestContract)
	f("empty", value(DataAt, 0), abi.GuestContract)
	f("too large", value(0, 1<<30-1), abi.ResultTooLarge)
	f("indefinite", value(DataAt, 3), abi.GuestContract)
	f("trailing", value(DataAt+16, 2), abi.GuestContract)
	f("not UTF-8", value(DataAt+32, 3), abi.GuestContract)
	f("deep", value(DataAt+48, 100), abi.GuestContract)
	f("duplicate key", value(DataAt+256, 7), abi.GuestContract)
	f("NaN", value(DataAt+512, 9), abi.GuestContract)
	f("error outside", Pack(abi.TagError, size, 1), abi.GuestContract)
	f("error too large", Pack(abi.TagError, 0, abi.MaxError+1), abi.GuestContract)
	f("error of zeros", Pack(abi.TagError, size-8, 8), abi.GuestContract)
}

// Cases: 28.
func TestResultAtTheLimitIsTaken(t *testing.T) {
	t.Parallel()
	head := abi.Bytes(make([]byte, 1000)).AppendCBOR(nil)[:3] // 0x59, length
	g := func(n uint32) Guest {
		return Guest{Data: map[uint32][]byte{DataAt: head}, Call: Pack(abi.TagValue, DataAt, n)}
	}
	limits := tenant.Limits{MaxResultBytes: 1003}
	if out := call(t, newPool(t, g(1003), PoolConfig{Limits: limits}), Call{}); len(out.Value) != 1003 {
		t.Errorf("got %d bytes", len(out.Value))
	}
	err := fails(t, newPool(t, g(1004), PoolConfig{Limits: limits}), Call{}, abi.ResultTooLarge)
	if !errors.Is(err, tenant.ErrResultTooLarge) {
		t.Errorf("%v is not the tenant's sentinel", err)
	}
}

// X4: an error of the guest's own is an output, and the instance stays.
// Cases: 30.
func TestGuestErrorIsAnOutput(t *testing.T) {
	t.Parallel()
	want := abi.Error{Code: "empty", Message: "write something first", Public: true}
	data := abi.AppendError(nil, &want)
	p := newPool(t, Guest{Data: map[uint32][]byte{DataAt: data}, Call: Pack(abi.TagError, DataAt, uint32(len(data)))}, PoolConfig{})
	out := call(t, p, Call{})
	if out.Kind != OutputError || *out.Err != want {
		t.Errorf("got %+v", out.Err)
	}
	if s := p.Stats(); s.Idle != 1 || s.Dropped != 0 {
		t.Errorf("stats %+v: the instance must stay", s)
	}
}

// X4: each way to fail is its own error, and the instance is gone.
// Cases: 34.
func TestFaultsAreTyped(t *testing.T) {
	t.Parallel()
	exit := []Import{WASI("proc_exit", "i:")}
	trap := func(t *testing.T, call []byte, code abi.Code) *TrapError {
		t.Helper()
		var e *TrapError
		if err := fails(t, newPool(t, Guest{Call: call}, PoolConfig{}), Call{}, code); !errors.As(err, &e) {
			t.Fatalf("%T is no TrapError", err)
		}
		return e
	}
	t.Run("trap", func(t *testing.T) {
		t.Parallel()
		e := trap(t, Unreachable(), abi.GuestTrap)
		if e.What != "unreachable" || e.Plugin != "test" || e.Function != "fn" || e.Trace == "" {
			t.Errorf("got %+v", e)
		}
		if e := trap(t, Join(I32(1), I32(0), Div(), Drop(), Unreachable()), abi.GuestTrap); e.What != "integer divide by zero" {
			t.Errorf("got %q", e.What)
		}
		if e := trap(t, Join(I32(-4), Load(), Drop(), Unreachable()), abi.GuestTrap); e.What != "out of bounds memory access" {
			t.Errorf("got %q", e.What)
		}
	})
	t.Run("stack", func(t *testing.T) {
		t.Parallel()
		// weir_call is function 2 and calls itself.
		if e := trap(t, Join(Get(0), Get(1), Invoke(2)), abi.GuestStack); e.Kind != TrapStack {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("exit", func(t *testing.T) {
		t.Parallel()
		for _, status := range []int32{0, 7, -1} {
			g := Guest{Imports: exit, Call: Join(I32(status), Invoke(0), Pack(abi.TagNone, 0, 0))}
			var e *ExitError
			if err := fails(t, newPool(t, g, PoolConfig{}), Call{}, abi.GuestExit); !errors.As(err, &e) || e.Status != uint32(status) {
				t.Errorf("exit %d: %v", status, err)
			}
		}
	})
	t.Run("after a fault", func(t *testing.T) {
		t.Parallel()
		// Function 1 traps, others work: the pool makes a new instance.
		p := newPool(t, Guest{Call: Join(Get(0), If(Unreachable()), Pack(abi.TagNone, 0, 0))}, PoolConfig{})
		call(t, p, Call{})
		fails(t, p, Call{Function: 1}, abi.GuestTrap)
		call(t, p, Call{})
		if s := p.Stats(); s.Started != 2 || s.Dropped != 1 || s.Instances != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// X4, G7: memory over the limit is a fault of the guest; growth is not.
// Cases: 13, 25.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	limits := tenant.Limits{MaxMemoryBytes: 1 << 20}
	bomb := Forever(Join(I32(1), Grow(), I32(-1), []byte{0x46}, If(Unreachable())))
	var e *TrapError
	err := fails(t, newPool(t, Guest{Call: Join(bomb, Unreachable())}, PoolConfig{Limits: limits}), Call{}, abi.GuestMemory)
	if !errors.As(err, &e) || e.Kind != TrapMemory {
		t.Errorf("got %v", err)
	}
	// Exactly to the limit, and touched: fine, and the instance is used again.
	grow := Join(I32(1<<20-4), I32(7), Store(), Pack(abi.TagNone, 0, 0))
	p := newPool(t, Guest{Call: Join(Get(0), If(Join(I32(12), Grow(), Drop())), grow)}, PoolConfig{Limits: limits})
	call(t, p, Call{Function: 1})
	call(t, p, Call{Function: 1})
	if s := p.Stats(); s.Started != 1 || s.Dropped != 0 || s.Regrown != 2 {
		t.Errorf("growth dropped the instance: %+v", s)
	}
	// A guest that takes no for an answer goes on.
	call(t, newPool(t, Guest{Call: Join(I32(1000), Grow(), Drop(), Pack(abi.TagNone, 0, 0))}, PoolConfig{Limits: limits}), Call{})
	// Nothing that a module may ask for is allocated before the limit is checked.
	call(t, newPool(t, Guest{MaxPages: 65536, Call: Join(I32(65000), Grow(), Drop(), Pack(abi.TagNone, 0, 0))}, PoolConfig{Limits: limits}), Call{})
}

// X3: a loop ends at the guest's budget, whatever the deadline of the call.
// Cases: 23.
func TestLoopsEndAtTheGuestBudget(t *testing.T) {
	t.Parallel()
	imports := []Import{Host(abi.ImportNow, ":I")}
	for name, loop := range map[string][]byte{
		"tight":      Forever(nil),
		"host calls": Forever(Join(Invoke(0), Drop())),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := tenant.Limits{GuestTimeout: 20 * time.Millisecond, MaxHostCalls: 1 << 40}
			p := newPool(t, Guest{Imports: imports, Call: Join(loop, Unreachable())}, PoolConfig{Limits: limits})
			began := time.Now()
			var e *DeadlineError
			err := fails(t, p, Call{}, abi.Deadline)
			if !errors.As(err, &e) || !e.Guest || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// X3: so do loops before the first call.
// Cases: 14, 23.
func TestLoopsAtTheStartEnd(t *testing.T) {
	t.Parallel()
	loop := Join(Forever(nil), Unreachable())
	for name, g := range map[string]Guest{"init": {Init: loop}, "describe": {Describe: loop}, "buf": {Buf: loop}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPool(t, g, PoolConfig{})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err := p.Describe(ctx)
			var e *DeadlineError
			if !errors.As(err, &e) || e.Guest {
				t.Errorf("Describe: %v", err)
			}
		})
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := newPool(t, Guest{Call: Join(Forever(nil), Unreachable())}, PoolConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := p.Call(ctx, named(&Call{}))
	var e *DeadlineError
	if !errors.As(err, &e) || e.Guest || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline of the call: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := p.Call(ctx, named(&Call{})); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := p.Call(ctx, named(&Call{})); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
}

// Security 14: what starts before the first call has no host functions but log.
// Cases: 14.
func TestHostFunctionsAreClosedBeforeTheFirstCall(t *testing.T) {
	t.Parallel()
	// now is refused with -ErrnoState; the guest traps on anything else.
	early := Join(Invoke(0), I64(-int64(abi.ErrnoState)), []byte{0x52}, If(Unreachable()))
	imports := []Import{Host(abi.ImportNow, ":I"), Host(abi.ImportLog, "iii:i")}
	var lines []string
	p := newPool(t, Guest{
		Imports: imports, Data: map[uint32][]byte{DataAt: []byte("hello")},
		Init: Join(early, I32(abi.LogInfo), I32(DataAt), I32(5), Invoke(1), Drop()),
	}, PoolConfig{Log: func(_ int, line string) { lines = append(lines, line) }})
	call(t, p, Call{})
	if len(lines) != 1 || lines[0] != "hello" {
		t.Errorf("logged %q", lines)
	}
}
