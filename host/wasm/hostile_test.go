package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// hostile is a guest that means harm when it runs, and the code of what stops it.
type hostile struct {
	guest Guest
	code  abi.Code
	call  Call
}

// hostiles are the guests of docs/security.md's cases 23 to 43 that a single call
// shows: what runs for ever, overflows, lies about its memory, floods the host, or
// ends in a way of its own. The rules of abi/abitest have each of their edges; here
// it counts that the host stays as it is.
func hostiles() map[string]hostile {
	all := make(map[string]hostile)
	for name, g := range runaways() {
		all["23 "+name] = hostile{guest: g, code: abi.Deadline}
	}
	delete(all, "23 host") // the bound of host calls ends it first: 32
	returns := func(body ...[]byte) Guest { return Guest{Call: Join(body...)} }
	packed := func(v uint64) Guest { return returns(I64(int64(v))) }
	self := Join(Get(0), Get(1), Invoke(numCall))
	all["24 recursion"] = hostile{guest: returns(self), code: abi.GuestStack}
	all["24 large frames"] = hostile{guest: Guest{Call: self, Wide: 900}, code: abi.GuestStack}
	all["25 grows and traps"] = hostile{guest: returns(Forever(Join(I32(16), Grow(), I32(0), []byte{0x48}, If(Unreachable()))), Unreachable()), code: abi.GuestMemory}
	for name, at := range map[string]uint32{"end": 4<<16 - 1, "behind": 4 << 16, "far": 1<<30 - 1} {
		all["26 value at the "+name] = hostile{guest: packed(uint64(abi.Pack(abi.TagValue, at, 2))), code: abi.GuestContract}
	}
	all["28 result of a gibibyte"] = hostile{guest: packed(uint64(abi.Pack(abi.TagValue, 0, 1<<30-1))), code: abi.ResultTooLarge}
	deep := bytes.Repeat([]byte{0x81}, 10_000)
	for name, value := range map[string][]byte{
		"depth": deep, "no CBOR": {0xff}, "lying count": {0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "trailing bytes": {1, 1}, "half a text": {0x62, 'a'}, "no UTF-8": {0x61, 0xff},
	} {
		all["29 "+name] = hostile{guest: Guest{Data: map[uint32][]byte{DataAt: value}, Call: Pack(abi.TagValue, DataAt, uint32(len(value)))}, code: abi.GuestContract}
	}
	all["30 long error"] = hostile{guest: packed(uint64(abi.Pack(abi.TagError, 0, 1<<20))), code: abi.GuestContract}
	all["32 host calls"] = hostile{guest: Guest{Imports: []Import{Host(abi.ImportNow, ":I")}, Call: Join(Repeat(20_000, localI32, Join(Invoke(0), Drop())), I64(0))}, code: abi.HostCalls}
	all["34 unreachable"] = hostile{guest: returns(Unreachable()), code: abi.GuestTrap}
	all["34 division by zero"] = hostile{guest: returns(I32(1), I32(0), Div(), Drop(), I64(0)), code: abi.GuestTrap}
	all["34 outside memory"] = hostile{guest: returns(I32(-4), Load(), Drop(), I64(0)), code: abi.GuestTrap}
	all["34 exit"] = hostile{guest: Guest{Imports: []Import{WASI("proc_exit", "i:")}, Call: Join(I32(-1<<31), Invoke(0), Unreachable())}, code: abi.GuestExit}
	all["34 high bits"] = hostile{guest: packed(1<<63 | 1), code: abi.GuestContract}
	all["34 unused tag"] = hostile{guest: packed(7 << 60), code: abi.GuestContract}
	all["35 the host panics"] = hostile{
		guest: Guest{Imports: []Import{Host(abi.ImportLog, "iii:i")}, Call: Join(I32(abi.LogInfo), I32(0), I32(0), Invoke(0), Drop(), I64(0))}, code: abi.Internal,
		call: Call{Log: func(int, string) { panic("whoops") }},
	}
	g, at, n := withArgs(nil)
	g.Call = Join(Repeat(1000, localI32, Join(host(abi.ImportQuery, push(0, at, n)), Drop())), Unreachable())
	all["32 queries"] = hostile{guest: g, code: abi.GuestTrap, call: Call{Statements: twoParams, Backend: &backend{}}}
	return all
}

// W8: hostile calls, one after the other and many at once, each end with their own
// code, and leave the process as it was: no goroutine, no file, no memory. A call
// of a guest that behaves works in between. WEIR_HOSTILE is how many; security.md
// asks for 100 000.
// Cases: 23, 24, 25, 26, 28, 29, 30, 32, 34, 35.
func TestHostileCallsLeaveTheHostAsItWas(t *testing.T) {
	calls := 1500
	if text := os.Getenv("WEIR_HOSTILE"); text != "" {
		var err error
		if calls, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	type suspect struct {
		hostile
		name string
		pool *Pool
	}
	var suspects []suspect
	all := hostiles()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h := all[name]
		suspects = append(suspects, suspect{h, name, newPool(t, h.guest, PoolConfig{Tenant: "hostile", Limits: tenant.Limits{
			GuestTimeout: 2 * time.Millisecond, MaxMemoryBytes: 40 << 20,
		}})})
	}
	good := newPool(t, benchGuest(), PoolConfig{Tenant: "good"})
	round := func(n int) {
		work := make(chan int)
		done := make(chan struct{})
		const workers = 4
		for range workers {
			go func() {
				defer func() { done <- struct{}{} }()
				for k := range work {
					s := &suspects[k%len(suspects)]
					c := s.call
					_, err := s.pool.Call(context.Background(), named(&c))
					// A busy machine may end by the clock what would end by itself.
					var coded interface{ Code() abi.Code }
					if !errors.As(err, &coded) || coded.Code() != s.code && coded.Code() != abi.Deadline {
						t.Errorf("%s: %v, want %s", s.name, err, s.code)
					}
					if _, err := good.Call(context.Background(), named(&Call{Input: binary.LittleEndian.AppendUint64(nil, uint64(k))})); err != nil {
						t.Errorf("a good call beside %s: %v", s.name, err)
					}
				}
			}()
		}
		for k := range n {
			work <- k
		}
		close(work)
		for range workers {
			<-done
		}
	}
	// The runtime's hundred things that are made once: twice each.
	round(2 * len(suspects))
	before := measureProcess(t)
	round(calls)
	after := measureProcess(t)
	if after.goroutines > before.goroutines || after.files > before.files || after.maps > before.maps+64 || after.heap > before.heap+16<<20 {
		t.Errorf("before %+v, after %d hostile calls %+v", before, calls, after)
	}
	for _, s := range suspects {
		if st := s.pool.Stats(); st.Instances != st.Idle {
			t.Errorf("%s: %+v", s.name, st)
		}
	}
	t.Logf("%d kinds, %d calls: %+v, then %+v", len(suspects), calls, before, after)
}

// process is what of a process grows when something leaks.
type process struct {
	goroutines, files, maps int
	heap                    uint64
}

func measureProcess(t *testing.T) process {
	t.Helper()
	runtime.GC()
	runtime.GC() // what finalizers of the first one freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	p := process{goroutines: runtime.NumGoroutine(), heap: m.HeapAlloc}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.files = len(files)
	}
	if maps, err := os.ReadFile("/proc/self/maps"); err == nil {
		p.maps = bytes.Count(maps, []byte("\n"))
	}
	return p
}
