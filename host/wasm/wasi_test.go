package wasm

import (
	"fmt"
	"testing"
	"time"

	"weir/abi"
	. "weir/host/wasm/wasmtest"
)

var wasiImports = []Import{
	WASI("clock_time_get", "iIi:i"), WASI("poll_oneoff", "iiii:i"), WASI("fd_write", "iiii:i"),
	WASI("random_get", "ii:i"), WASI("path_open", "iiiiiIIii:i"), WASI("fd_prestat_get", "ii:i"),
	WASI("args_sizes_get", "ii:i"), WASI("clock_res_get", "ii:i"), WASI("environ_sizes_get", "ii:i"),
}

const (
	clockGet = iota
	poll
	fdWrite
	randomGet
	pathOpen
	prestat
	argsSizes
	clockResGet
	environSizes
)

// same traps unless the i64 on top is want.
func same(want int64) []byte { return Join(I64(want), []byte{0x52}, If(Unreachable())) }

// same32 traps unless the i32 on top is want.
func same32(want int32) []byte { return Join(I32(want), []byte{0x47}, If(Unreachable())) }

// load64 pushes the i64 at an address.
func load64(at int32) []byte { return Join(I32(at), []byte{0x29, 3, 0}) }

func clock(id int32) []byte {
	return Join(I32(id), I64(0), I32(moreAt), Invoke(clockGet), same32(0), load64(moreAt))
}

// subscribe writes subscription i of a poll: user data 77+i, a kind and a
// timeout.
func subscribe(i int32, kind byte, clock int32, timeout int64, flags int32) []byte {
	at := DataAt + 48*i
	return Join(I32(at), I64(77+int64(i)), Store64(), I32(at+8), I32(int32(kind)), Store(),
		I32(at+16), I32(clock), Store(), I32(at+24), I64(timeout), Store64(), I32(at+40), I32(flags), Store())
}

// polls runs poll_oneoff on n subscriptions; its number of events is left.
func polls(n int32) []byte {
	return Join(push(DataAt, DataAt+8192, n, DataAt+8188), Invoke(poll), same32(0), I32(DataAt+8188), Load())
}

func passes(t *testing.T, code ...[]byte) *Output {
	t.Helper()
	t.Helper()
	g := Guest{Imports: wasiImports, Call: Join(Join(code...), Pack(abi.TagNone, 0, 0))}
	return call(t, newPool(t, g, PoolConfig{}), Call{Now: time.UnixMicro(5)})
}

// G10: realtime is the call's now, and the monotonic clock starts at a second
// and goes on by what the guest slept.
// Cases: 38, 39.
func TestClocks(t *testing.T) {
	t.Parallel()
	if out := passes(t, clock(1), same(1e9), clock(1), same(1e9)); out.Looked {
		t.Error("the monotonic clock is the same in every run, so reading it is not looking")
	}
	if out := passes(t, clock(0), same(5000)); !out.Looked {
		t.Error("the guest saw the time and nobody noticed")
	}
	passes(t, subscribe(0, 0, 1, 3e9, 0), polls(1), same32(1), clock(1), same(4e9), clock(0), same(5000))
	passes(t, Join(I32(9), I64(0), I32(moreAt), Invoke(clockGet), same32(wasiInval)))
	passes(t, Join(I32(0), I64(0), I32(-1), Invoke(clockGet), same32(wasiFault)))
	passes(t, push(1, moreAt), Invoke(clockResGet), same32(0), load64(moreAt), same(1000))
}

// G10: poll_oneoff never waits; the earliest timeout is over at once.
func TestPollJumpsToTheEarliestTimeout(t *testing.T) {
	t.Parallel()
	began := time.Now()
	// Two timeouts: the second is the earlier. One event with its user data.
	passes(t, subscribe(0, 0, 1, 7200e9, 0), subscribe(1, 0, 1, 3600e9, 0), polls(2), same32(1),
		load64(DataAt+8192), same(78), clock(1), same(3601e9))
	// Absolute times; one in the past is over now and moves nothing.
	passes(t, subscribe(0, 0, 1, 5e9, 1), polls(1), same32(1), clock(1), same(5e9))
	passes(t, subscribe(0, 0, 1, 3, 1), polls(1), same32(1), clock(1), same(1e9))
	passes(t, subscribe(0, 0, 0, 9000, 1), polls(1), same32(1), clock(1), same(1e9+4000))
	// Two that end together are two events.
	passes(t, subscribe(0, 0, 1, 5, 0), subscribe(1, 0, 1, 5, 0), polls(2), same32(2))
	// A file is never ready: EBADF, and no time has passed.
	passes(t, subscribe(0, 0, 1, 5e9, 0), subscribe(1, 1, 0, 0, 0), polls(2), same32(1),
		load64(DataAt+8192), same(78), Join(I32(DataAt+8200), []byte{0x2f, 1, 0}, same32(wasiBadf)), clock(1), same(1e9))
	// A timeout at the end of time does not wrap.
	passes(t, subscribe(0, 0, 1, -1, 0), polls(1), same32(1), subscribe(0, 0, 1, -1, 0), polls(1), same32(1),
		subscribe(0, 0, 1, -1, 0), polls(1), same32(1), clock(1), same(1<<62-1))
	passes(t, push(DataAt, DataAt, 0, DataAt), Invoke(poll), same32(wasiInval))
	passes(t, push(DataAt, DataAt, 1<<30, DataAt), Invoke(poll), same32(wasiInval))
	passes(t, push(4<<16-47, DataAt, 1, DataAt), Invoke(poll), same32(wasiFault))
	passes(t, push(DataAt, 4<<16-31, 1, DataAt), Invoke(poll), same32(wasiFault))
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}

// Security 16: no files, no arguments, no environment.
// Cases: 16.
func TestThereIsNoFileSystem(t *testing.T) {
	t.Parallel()
	open := Join(push(3, 0, DataAt, 1, 0), I64(0), I64(0), push(0, moreAt), Invoke(pathOpen), same32(wasiNosys))
	passes(t, open, push(3, moreAt), Invoke(prestat), same32(wasiBadf))
	passes(t, push(moreAt, moreAt+4), Invoke(argsSizes), same32(0), load64(moreAt), same(0))
	passes(t, push(moreAt, moreAt+4), Invoke(environSizes), same32(0), load64(moreAt), same(0))
	passes(t, push(-1, moreAt), Invoke(argsSizes), same32(wasiFault))
}

func TestFileDescriptorsOneAndTwoAreTheLog(t *testing.T) {
	t.Parallel()
	// Two vectors: "hi " and "there\n".
	g := Guest{Imports: wasiImports, Data: map[uint32][]byte{DataAt: []byte("hi there\n")}}
	vectors := Join(push(moreAt, DataAt), Store(), push(moreAt+4, 3), Store(), push(moreAt+8, DataAt+3), Store(), push(moreAt+12, 6), Store())
	write := func(fd, n int32) []byte { return Join(push(fd, moreAt, n, moreAt+100), Invoke(fdWrite)) }
	g.Call = Join(vectors, write(1, 2), same32(0), push(moreAt+100), Load(), same32(9),
		write(2, 2), same32(0), write(0, 2), same32(wasiBadf), write(3, 2), same32(wasiBadf),
		write(1, 1<<30), same32(wasiInval), push(moreAt+12, -1), Store(), write(1, 2), same32(wasiFault),
		Pack(abi.TagNone, 0, 0))
	var lines []string
	call(t, newPool(t, g, PoolConfig{}), Call{Log: func(level int, line string) { lines = append(lines, fmt.Sprint(level, " ", line)) }})
	if want := []string{"1 hi there", "2 hi there", "1 hi "}; fmt.Sprint(lines) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

// G11: WASI's randomness is the host function's: the same seed, the same bytes.
// Cases: 38.
func TestRandomGetFollowsTheSeed(t *testing.T) {
	t.Parallel()
	draw := Join(push(moreAt, 8), Invoke(randomGet), same32(0))
	g := Guest{Imports: wasiImports, Call: Join(draw, push(DataAt), I32(0x1b), Store(), push(DataAt+1), load64(moreAt), Store64(), Pack(abi.TagValue, DataAt, 9))}
	p := newPool(t, g, PoolConfig{})
	seeded := func(b byte) string {
		return string(call(t, p, Call{Seed: func() [32]byte { return [32]byte{b} }}).Value)
	}
	if first, again := seeded(1), seeded(1); first != again || first == seeded(2) {
		t.Error("random_get does not follow the seed")
	}
	passes(t, push(0, 1<<20+1), Invoke(randomGet), same32(wasiInval))
	passes(t, push(-1, 2), Invoke(randomGet), same32(wasiFault))
}
