package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// global0 is a module's global that counts from 7.
var global0 = map[byte][]byte{6: {1, 0x7f, 1, 0x41, 7, 0x0b}}

func readGlobal() []byte { return []byte{0x23, 0} }

func writeGlobal(code []byte) []byte { return Join(code, []byte{0x24, 0}) }

func add(code []byte) []byte { return Join(code, []byte{0x6a}) }

// setGrown grows the memory by a page, leaves what it finds there and writes to it.
func setGrown() []byte {
	at := Join(Get(3), I32(16), []byte{0x74}) // the old size, in bytes
	return Join(I32(1), Grow(), Put(3), at, Load(), at, I32(5), Store())
}

// leaky are guests that leave something where the next call looks.
func leaky() map[string]Guest {
	bump := func(at int32) []byte { // leaves the number there, and adds to it
		return Join(I32(at), Load(), I32(at), I32(at), Load(), add(I32(1)), Store())
	}
	// The table's only element is a function until a call takes it away.
	isNull, setNull := []byte{0x41, 0, 0x25, 0, 0xd1}, []byte{0x41, 0, 0xd0, 0x70, 0x26, 0}
	initData := Join(push(DataAt+512, 0, 4), []byte{0xfc, 8, 1, 0}, I32(DataAt+512), Load())
	return map[string]Guest{
		"memory":      {Call: number(bump(DataAt + 100))},
		"last page":   {Call: number(bump(4<<16 - 4))},
		"input":       {Call: number(bump(InputAt + 200))},
		"global":      {Raw: global0, Call: number(Join(readGlobal(), writeGlobal(Join(readGlobal(), add(I32(1))))))},
		"memory size": {Call: number(Join([]byte{0x3f, 0}, I32(1), Grow(), Drop()))},
		"grown page":  {Call: number(setGrown())},
		"to its most": {MaxPages: 5, Call: number(setGrown())},
		"table": {
			Raw:  map[byte][]byte{4: {1, 0x70, 0, 1}, 9: {1, 0, 0x41, 0, 0x0b, 1, 1}},
			Call: number(Join(isNull, setNull)),
		},
		"segment": {Passive: [][]byte{[]byte("abcd")}, Call: number(Join(initData, []byte{0xfc, 9, 1}))},
		"clock": {Imports: wasiImports, Call: number(Join(
			subscribe(0, eventClock, clockMonotonic, int64(time.Hour), 0), polls(1), Drop(),
			clock(clockMonotonic), []byte{0xa7}))},
		"randomness": {Imports: wasiImports, Call: number(Join(push(DataAt+600, 4), Invoke(randomGet), Drop(), I32(DataAt+600), Load()))},
		"error":      {Imports: hostImports, Call: number(Join(host(abi.ImportError, push(DataAt+700, 64)), host(abi.ImportClose, push(9)), Drop()))},
	}
}

// G5, G6, G7, G10, X9: nothing that a call leaves is there for the next one, in
// whichever way instances are made the image again.
// Cases: 36.
func TestNothingOfACallIsSeenByTheNext(t *testing.T) {
	t.Parallel()
	for name, g := range leaky() {
		for _, w := range append(ways(), nil) {
			kind := "own"
			if w != nil {
				kind = w.kind
			}
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				p := newPool(t, g, PoolConfig{MaxInstances: 1})
				first := numberOf(t, call(t, p, Call{Input: []byte("0123")}))
				if p.image != nil && w != nil {
					p.image.way = w
				}
				for n := range 300 {
					if got := numberOf(t, call(t, p, Call{Input: []byte("4567")})); got != first {
						t.Fatalf("call %d sees %d, the first saw %d: %+v", n, got, first, p.Stats())
					}
				}
				fixed := name == "table" || name == "segment"
				full := name == "to its most" // wazero cannot make such a memory smaller
				if s := p.Stats(); (s.Reset == resetNone) != fixed || s.Dropped != 0 || (fixed || full) != (s.Resets == 0) {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}

// ways are all there are, for a memory of four pages.
func ways() []*way {
	return []*way{
		{scans, nil},
		{discards, nil},
		{copies, []span{{0, 4 << 16}}},
		{keeps, []span{{0, osPage}, {DataAt, DataAt + 2*osPage}}},
	}
}

// X9: without the sweep of this test each of these guests would tell.
// Cases: 36.
func TestStickyInstancesRemember(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"memory", "last page", "input", "global", "memory size", "table", "clock"} {
		p := newPool(t, leaky()[name], PoolConfig{MaxInstances: 1, Reuse: Sticky})
		first := numberOf(t, call(t, p, Call{Input: []byte("0123")}))
		if again := numberOf(t, call(t, p, Call{Input: []byte("0123")})); again == first {
			t.Errorf("%s: %d twice: it proves nothing", name, first)
		}
	}
}

// G6: a buffer that was made for a large input belongs to its call.
func TestInputBufferIsTheImages(t *testing.T) {
	t.Parallel()
	const large = 5 << 16
	g := Guest{
		Pages: 8,
		Buf:   Join(Get(0), I32(abi.InputBuffer), []byte{0x4b}, If(Join(I32(large), Return())), I32(InputAt)),
		Call:  number(Join(I32(InputAt), Load())),
	}
	p := newPool(t, g, PoolConfig{MaxInstances: 1})
	for n := range int32(10) {
		call(t, p, Call{Input: bytes.Repeat([]byte{0xff}, abi.InputBuffer+1)})
		if got := numberOf(t, call(t, p, Call{Input: binary.LittleEndian.AppendUint32(nil, uint32(n))})); got != n {
			t.Fatalf("the input %d was read as %d", n, got)
		}
	}
}

// X9: two users take turns, at the same time, on a guest that keeps all it can.
// Cases: 36.
func TestTwoUsersNeverMeet(t *testing.T) {
	t.Parallel()
	keep := func(at []byte) []byte { return Join(at, I32(InputAt), Load(), Store()) }
	find := func(at []byte) []byte { return Join(Get(4), at, Load(), []byte{0x72}, Put(4)) }
	grown := Join(Get(3), I32(16), []byte{0x74})
	places := [][]byte{I32(DataAt + 100), I32(4<<16 - 4), I32(InputAt + 4), grown}
	code := Join(I32(1), Grow(), Put(3), readGlobal(), I32(7), Sub(), Put(4))
	for _, at := range places {
		code = Join(code, find(at))
	}
	for _, at := range places {
		code = Join(code, keep(at))
	}
	code = Join(code, writeGlobal(Join(I32(InputAt), Load())), Get(4))
	p := newPool(t, Guest{Raw: global0, Call: number(code)}, PoolConfig{MaxInstances: 2})
	calls := manyCalls
	var wg sync.WaitGroup
	for user := range uint32(2) {
		wg.Go(func() {
			c := Call{Input: binary.LittleEndian.AppendUint32(nil, 0xabc0+user)}
			for range calls / 2 {
				out, err := p.Call(context.Background(), named(&c))
				if err != nil {
					t.Error(err)
					return
				}
				if found := numberOf(t, out); found != 0 {
					t.Errorf("user %d sees %#x: %+v", user, found, p.Stats())
					return
				}
			}
		})
	}
	wg.Wait()
	if s := p.Stats(); s.Started > 2 || s.Dropped > 0 || s.Regrown != int64(calls) {
		t.Errorf("stats %+v", s)
	}
}

// The same in Go, with what Go's runtime keeps: goroutines, timers, randomness.
func (g *goGuest) testTwoUsers(t *testing.T) {
	t.Parallel()
	p := g.pool(t, PoolConfig{MaxInstances: 2})
	ask := func(name string) (string, error) {
		c := g.call(t, "remember")
		c.Input = abi.AppendText(abi.AppendArray(nil, 1), name)
		out, err := p.Call(context.Background(), &c)
		if err != nil {
			return "", err
		}
		return string(out.Value), nil
	}
	first, err := ask("ann")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, user := range []string{"ann", "ben"} {
		wg.Go(func() {
			for range manyCalls / 40 {
				if said, err := ask(user); err != nil || said != first {
					t.Errorf("%s is told %q (%v), not %q", user, said, err, first)
					return
				}
			}
		})
	}
	wg.Wait()
	i, err := p.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.put(t.Context(), i)
	if s := differing(i.memory.data, p.image.data); len(s) > 0 {
		t.Errorf("memory is not the image at %v", s)
	}
	if s := p.Stats(); s.Started > 2 || s.Dropped > 0 {
		t.Errorf("stats %+v", s)
	}
}

// G5, G7: whatever is written wherever, after a reset the memory is the image, and
// zeros where it grows again, in each way, mapped or not.
// Cases: 36, 37.
func TestResetRestoresEveryByte(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, mapped := range []bool{true, false} {
		r := shared
		if !mapped {
			r = onHeap(t)
		}
		p := poolIn(t, r, Guest{Data: map[uint32][]byte{3 << 16: bytes.Repeat([]byte("image"), 5000)}})
		call(t, p, Call{})
		i, err := p.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.put(context.Background(), i) }) // also of a test that fails, or its runtime waits for it
		m := &i.memory
		if p.image.mapping != nil && mapped != (m.space != nil) {
			t.Fatalf("mapped: %v", m.space != nil)
		}
		for round := range 400 {
			p.image.way = ways()[round%4]
			for range random.IntN(30) {
				if random.IntN(10) == 0 {
					i.mod.Memory().Grow(uint32(random.IntN(3)))
				}
				at := random.IntN(len(m.data))
				for n := range m.data[at:min(len(m.data), at+random.IntN(9000))] {
					m.data[at+n] = 0xee
				}
			}
			if !i.restore() {
				t.Fatalf("%s: not restored", p.image.way.kind)
			}
			if uint64(i.mod.Memory().Size()) != p.image.size || !bytes.Equal(m.data, p.image.data) {
				t.Fatalf("%s: %d bytes differ at %v", p.image.way.kind, i.mod.Memory().Size(), differing(m.data, p.image.data))
			}
			i.mod.Memory().Grow(2)
			if rest := m.data[p.image.size:]; len(written(rest)) > 0 {
				t.Fatalf("%s: what is grown holds something at %v", p.image.way.kind, written(rest))
			}
		}
	}
}

// onHeap returns a runtime that may map nothing more.
func onHeap(t *testing.T) *Runtime {
	r, err := NewRuntime(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	r.mapped.Store(maxMapped())
	return r
}

func poolIn(t *testing.T, r *Runtime, g Guest) *Pool {
	t.Helper()
	m, err := r.Compile(t.Context(), g.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPool(r, m, PoolConfig{Limits: generous})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close(context.Background())
		_ = m.Close(context.Background())
	})
	return p
}

// G12: over what the system allows, instances are on the heap and work.
func TestInstancesOnTheHeap(t *testing.T) {
	t.Parallel()
	r := onHeap(t)
	for name, g := range leaky() {
		p := poolIn(t, r, g)
		first := numberOf(t, call(t, p, Call{Input: []byte("0123")}))
		for range 20 {
			if got := numberOf(t, call(t, p, Call{Input: []byte("4567")})); got != first {
				t.Errorf("%s: a call sees %d, the first saw %d", name, got, first)
			}
		}
		p.Close(t.Context())
	}
	if n := r.mapped.Load(); n != maxMapped() {
		t.Errorf("%d instances are counted as mapped", n-maxMapped())
	}
}

// G7: a guest that grows is neither dropped nor slower for it, and its memory does
// not creep.
func TestGrowthIsNotAFailure(t *testing.T) {
	t.Parallel()
	p := newPool(t, Guest{Call: Join(I32(10), Grow(), I32(4), same32(4), same32(4), Pack(abi.TagNone, 0, 0))}, PoolConfig{
		Limits: tenant.Limits{MaxMemoryBytes: 1 << 20},
	})
	for range 100 {
		call(t, p, Call{})
	}
	if s := p.Stats(); s.Started != 1 || s.Dropped != 0 || s.Regrown != 100 || s.Resets != 100 {
		t.Errorf("stats %+v", s)
	}
}

// A guest that is warmed up is nobody's: what it asks for then, it may remember, so
// it is started again without, and so is one that cannot bear it.
func TestWarmUpHarmsNobody(t *testing.T) {
	t.Parallel()
	manifest := abi.AppendManifest(nil, &abi.Manifest{Name: "w", Version: "1", Functions: []abi.Function{
		{Name: "a", Kind: abi.Mutation}, {Name: "b", Kind: abi.Query},
	}})
	count := Join(I32(DataAt+100), I32(DataAt+100), Load(), add(I32(1)), Store())
	var imports []Import
	imports = append(append(imports, hostImports...), wasiImports...)
	wasi := func(n int) []byte { return Join(Invoke(len(hostImports)+n), Drop()) }
	for name, c := range map[string]struct {
		code []byte
		want int32 // calls before the first
	}{
		"counts":   {nil, 2},
		"ticks":    {Join(I32(clockMonotonic), I64(0), I32(moreAt), wasi(clockGet)), 2},
		"traps":    {Join(Get(1), []byte{0x45}, If(Unreachable())), 0},
		"queries":  {Join(host(abi.ImportQuerySQL, push(DataAt, 0, DataAt, 0)), Drop()), 0},
		"asks":     {Join(host(abi.ImportConfig, push(DataAt, 4, DataAt, 8)), Drop()), 0},
		"logs":     {Join(host(abi.ImportLog, push(abi.LogInfo, DataAt, 4)), Drop()), 0},
		"the time": {Join(I32(clockRealtime), I64(0), I32(moreAt), wasi(clockGet)), 0},
		"luck":     {Join(push(moreAt, 4), wasi(randomGet)), 0},
	} {
		lines := 0
		g := Guest{Imports: imports, Manifest: manifest, Call: Join(I32(DataAt+100), Load(), Put(2), count, c.code, number(Get(2)))}
		p := newPool(t, g, PoolConfig{Dynamic: true, Log: func(int, string) { lines++ }})
		if _, err := p.Describe(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := numberOf(t, call(t, p, Call{Input: []byte("x"), Backend: &backend{}}))
		if s := p.Stats(); got != c.want || s.Dropped != 0 || lines != 0 {
			t.Errorf("%s: the first call finds %d before it, want %d; %d lines, stats %+v", name, got, c.want, lines, s)
		}
	}
}

// What is written is what is put back: no page of zeros is stored.
func TestPagesAreFound(t *testing.T) {
	t.Parallel()
	f := func(size int, want string, at ...int) {
		t.Helper()
		data := make([]byte, size)
		for _, n := range at {
			data[n] = 1
		}
		if got := fmt.Sprint(written(data), differing(data, make([]byte, size))); got != want+" "+want {
			t.Errorf("%v in %d bytes: %s, want %s", at, size, got, want)
		}
	}
	f(4*osPage, "[]")
	f(4*osPage, "[{0 4096}]", 0)
	f(4*osPage, "[{0 8192} {12288 16384}]", 4095, 4096, 4*osPage-1)
	f(osPage+100, "[{4096 4196}]", osPage+99)
}
