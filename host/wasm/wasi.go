package wasm

import (
	"context"
	"encoding/binary"
	"math"

	"github.com/tetratelabs/wazero/api"
)

// The part of WASI preview 1 that weir answers itself: what the Go runtime and
// the C library need to start and to end. No files, no sockets, no environment.

// WASI's error numbers.
const (
	wasiOK    = 0
	wasiBadf  = 8
	wasiFault = 21
	wasiInval = 28
	wasiNosys = 52
)

// wasiFunc is one WASI function. Without run it fails with ENOSYS.
type wasiFunc struct {
	name    string
	params  []api.ValueType
	results []api.ValueType
	run     func(f *frame, p []uint64) uint32
}

var _ api.GoModuleFunction = (*wasiFunc)(nil)

var wasiFuncs = []*wasiFunc{
	wasi("args_get", "ii", wasiNothing),
	wasi("args_sizes_get", "ii", (*frame).wasiZeros),
	wasi("environ_get", "ii", wasiNothing),
	wasi("environ_sizes_get", "ii", (*frame).wasiZeros),
	wasi("clock_res_get", "ii", (*frame).clockRes),
	wasi("clock_time_get", "iIi", (*frame).clockTime),
	wasi("random_get", "ii", (*frame).randomGet),
	wasi("sched_yield", "", wasiNothing),
	wasi("poll_oneoff", "iiii", (*frame).pollOneoff),
	wasi("fd_write", "iiii", (*frame).fdWrite),
	// EBADF ends the Go runtime's and the C library's search for directories.
	wasi("fd_prestat_get", "ii", wasiBad),
	wasi("fd_prestat_dir_name", "iii", wasiBad),
	{name: "proc_exit", params: ints(1), run: (*frame).procExit},

	// What the Go runtime and the C library also import, when the program links
	// package os or net.
	wasi("fd_advise", "iIIi", nil), wasi("fd_allocate", "iII", nil),
	wasi("fd_close", "i", nil), wasi("fd_datasync", "i", nil),
	wasi("fd_fdstat_get", "ii", nil), wasi("fd_fdstat_set_flags", "ii", nil),
	wasi("fd_fdstat_set_rights", "iII", nil),
	wasi("fd_filestat_get", "ii", nil), wasi("fd_filestat_set_size", "iI", nil),
	wasi("fd_filestat_set_times", "iIIi", nil),
	wasi("fd_pread", "iiiIi", nil), wasi("fd_pwrite", "iiiIi", nil),
	wasi("fd_read", "iiii", nil), wasi("fd_readdir", "iiiIi", nil),
	wasi("fd_renumber", "ii", nil), wasi("fd_seek", "iIii", nil),
	wasi("fd_sync", "i", nil), wasi("fd_tell", "ii", nil),
	wasi("path_create_directory", "iii", nil), wasi("path_filestat_get", "iiiii", nil),
	wasi("path_filestat_set_times", "iiiiIIi", nil), wasi("path_link", "iiiiiii", nil),
	wasi("path_open", "iiiiiIIii", nil), wasi("path_readlink", "iiiiii", nil),
	wasi("path_remove_directory", "iii", nil), wasi("path_rename", "iiiiii", nil),
	wasi("path_symlink", "iiiii", nil), wasi("path_unlink_file", "iii", nil),
	wasi("proc_raise", "i", nil),
	wasi("sock_accept", "iii", nil), wasi("sock_recv", "iiiiii", nil),
	wasi("sock_send", "iiiii", nil), wasi("sock_shutdown", "ii", nil),
}

// wasi makes a function from its parameters, i for i32 and I for i64. All return
// an error number.
func wasi(name, params string, run func(f *frame, p []uint64) uint32) *wasiFunc {
	types := ints(len(params))
	for i, p := range params {
		if p == 'I' {
			types[i] = i64
		}
	}
	return &wasiFunc{name: name, params: types, results: ints(1), run: run}
}

// Call runs the function for wazero.
func (w *wasiFunc) Call(ctx context.Context, mod api.Module, stack []uint64) {
	f := frameOf(ctx)
	f.begin(w.name, mod.Memory())
	errno := uint32(wasiNosys)
	if w.run != nil {
		errno = w.run(f, stack)
	}
	f.finish()
	if len(w.results) > 0 {
		stack[0] = uint64(errno)
	}
}

func wasiNothing(*frame, []uint64) uint32 { return wasiOK }

func wasiBad(*frame, []uint64) uint32 { return wasiBadf }

// wasiZeros says that there are no arguments and no environment.
func (f *frame) wasiZeros(p []uint64) uint32 {
	if !f.put32(p[0], 0) || !f.put32(p[1], 0) {
		return wasiFault
	}
	return wasiOK
}

// WASI's clocks.
const (
	clockRealtime  = 0
	clockMonotonic = 1
)

// firstTick is where the monotonic clock starts: at 0 the Go runtime throws
// (G10).
const firstTick = 1_000_000_000

func (f *frame) clockRes(p []uint64) uint32 {
	if uint32(p[0]) > clockMonotonic {
		return wasiInval
	}
	if !f.put64(p[1], 1000) {
		return wasiFault
	}
	return wasiOK
}

func (f *frame) clockTime(p []uint64) uint32 {
	var t uint64
	switch uint32(p[0]) {
	case clockRealtime:
		f.looked = true
		t = uint64(f.now().UnixMicro()) * 1000 // exactly what the host function now says
	case clockMonotonic:
		t = f.inst.ticks
	default:
		return wasiInval
	}
	if !f.put64(p[2], t) {
		return wasiFault
	}
	return wasiOK
}

func (f *frame) randomGet(p []uint64) uint32 {
	if uint32(p[1]) > maxRandom {
		return wasiInval
	}
	b, ok := f.view(p[0], p[1])
	if !ok {
		return wasiFault
	}
	f.fill(b)
	return wasiOK
}

// procExit ends the guest, whatever the status.
func (f *frame) procExit(p []uint64) uint32 {
	f.stop(&ExitError{Where: f.where(), Status: uint32(p[0])})
	return wasiOK
}

// maxVectors bounds the pieces of one fd_write.
const maxVectors = 1024

func (f *frame) fdWrite(p []uint64) uint32 {
	fd := uint32(p[0])
	if fd != 1 && fd != 2 {
		return wasiBadf
	}
	if uint32(p[2]) > maxVectors {
		return wasiInval
	}
	vectors, ok := f.view(p[1], 8*uint64(uint32(p[2])))
	if !ok {
		return wasiFault
	}
	var written uint64
	for ; len(vectors) > 0; vectors = vectors[8:] {
		ptr, n := binary.LittleEndian.Uint32(vectors), binary.LittleEndian.Uint32(vectors[4:])
		b, ok := f.view(uint64(ptr), uint64(n))
		if !ok || written+uint64(n) > math.MaxUint32 {
			return wasiFault
		}
		f.logs.write(int(fd), b)
		written += uint64(n)
	}
	if !f.put32(p[3], uint32(written)) {
		return wasiFault
	}
	return wasiOK
}

// The layout of poll_oneoff.
const (
	subscriptionSize = 48
	eventSize        = 32
	maxSubscriptions = 1024
	eventClock       = 0
)

// pollOneoff returns at once. The monotonic clock jumps to the earliest timeout:
// a guest that sleeps has slept, and the runtime's timers fire (G10). What waits
// for a file is told that there is none.
func (f *frame) pollOneoff(p []uint64) uint32 {
	count := uint64(uint32(p[2]))
	if count == 0 || count > maxSubscriptions {
		return wasiInval
	}
	subs, ok := f.view(p[0], count*subscriptionSize)
	out, ok2 := f.view(p[1], count*eventSize)
	if !ok || !ok2 {
		return wasiFault
	}
	began := f.inst.ticks
	earliest, files := uint64(math.MaxUint64), false
	for i := range count {
		s := subs[i*subscriptionSize:]
		if s[8] != eventClock {
			files = true
			continue
		}
		earliest = min(earliest, f.due(s, began))
	}
	if !files {
		f.inst.ticks = max(began, earliest)
	}
	// The events may lie over the subscriptions: build them apart.
	var events []byte
	for i := range count {
		s := subs[i*subscriptionSize:]
		clock := s[8] == eventClock
		if clock && (files || f.due(s, began) > f.inst.ticks) {
			continue
		}
		var event [eventSize]byte
		copy(event[:8], s[:8])
		if !clock {
			binary.LittleEndian.PutUint16(event[8:], wasiBadf)
		}
		event[10] = s[8]
		events = append(events, event[:]...)
	}
	copy(out, events)
	if !f.put32(p[3], uint32(len(events)/eventSize)) {
		return wasiFault
	}
	return wasiOK
}

// due returns when a clock subscription that began then ends, in ticks. An
// absolute time on another clock than the monotonic one is as far away as it is
// from now. The Go runtime reads the clock as a signed number, so it stays far
// below its end.
func (f *frame) due(s []byte, began uint64) uint64 {
	const absolute = 1
	timeout := binary.LittleEndian.Uint64(s[24:])
	if s[40]&absolute != 0 {
		if binary.LittleEndian.Uint32(s[16:]) == clockMonotonic {
			return max(min(timeout, math.MaxInt64/2), began)
		}
		timeout -= min(timeout, uint64(f.now().UnixMicro())*1000)
	}
	return min(began+min(timeout, math.MaxInt64/4), math.MaxInt64/2)
}

func (f *frame) put32(ptr uint64, v uint32) bool { return f.mem.WriteUint32Le(uint32(ptr), v) }

func (f *frame) put64(ptr, v uint64) bool { return f.mem.WriteUint64Le(uint32(ptr), v) }
