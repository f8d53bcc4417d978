//go:build wasip1

package weir

import (
	"unsafe"

	"weir/abi"
)

// sealed is whether statements and functions may be added after the plugin was
// described. Here the host already has the manifest.
const sealed = true

// keepsFrames is whether a call leaves its frame to the next.
const keepsFrames = true

// backing is the host of a Call: the imports of the contract. A method that no
// plugin code reaches is left out by the linker, and its import with it, so a
// module asks for no more than it uses.
type backing struct{}

//go:wasmimport weir_1 query
func hostQuery(statement int32, args unsafe.Pointer, n int32) int32

//go:wasmimport weir_1 exec
func hostExec(statement int32, args unsafe.Pointer, n int32) int32

//go:wasmimport weir_1 rows_affected
func hostRowsAffected(handle int32) int64

//go:wasmimport weir_1 rows_len
func hostRowsLen(handle int32) int32

//go:wasmimport weir_1 rows_read
func hostRowsRead(handle, from int32, buf unsafe.Pointer, size int32) int32

//go:wasmimport weir_1 rows_pick
func hostRowsPick(handle int32, indexes unsafe.Pointer, n int32) int32

//go:wasmimport weir_1 now
func hostNow() int64

//go:wasmimport weir_1 wake_at
func hostWakeAt(micros int64) int32

//go:wasmimport weir_1 log
func hostLog(level int32, text unsafe.Pointer, n int32) int32

//go:wasmimport weir_1 config
func hostConfig(key unsafe.Pointer, keyLen int32, buf unsafe.Pointer, size int32) int32

//go:wasmimport weir_1 error
func hostError(buf unsafe.Pointer, size int32) int32

// at and size pass a slice or a string. The host reads or writes before it
// returns, and Go does not move memory meanwhile.
func at(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

func (backing) query(statement int32, args []byte) int32 {
	return hostQuery(statement, at(args), int32(len(args)))
}

func (backing) exec(statement int32, args []byte) int32 {
	return hostExec(statement, at(args), int32(len(args)))
}

func (backing) rowsAffected(handle int32) int64 { return hostRowsAffected(handle) }

func (backing) rowsLen(handle int32) int32 { return hostRowsLen(handle) }

func (backing) rowsRead(handle, from int32, buf []byte) int32 {
	return hostRowsRead(handle, from, at(buf), int32(len(buf)))
}

func (backing) rowsPick(handle int32, indexes []uint32) int32 {
	return hostRowsPick(handle, unsafe.Pointer(unsafe.SliceData(indexes)), int32(len(indexes)))
}

func (backing) now() int64 { return hostNow() }

func (backing) wakeAt(micros int64) int32 { return hostWakeAt(micros) }

func (backing) log(level int32, text string) {
	hostLog(level, unsafe.Pointer(unsafe.StringData(text)), int32(len(text)))
}

func (backing) config(key string, buf []byte) int32 {
	return hostConfig(unsafe.Pointer(unsafe.StringData(key)), int32(len(key)), at(buf), int32(len(buf)))
}

func (backing) errorText(buf []byte) int32 { return hostError(at(buf), int32(len(buf))) }

// The spare buffers are taken out while in use, so that a handler that reads
// rows inside Each, or on several goroutines, gets a buffer of its own.
var sparePage, spareArgs []byte

func (backing) takePage() []byte {
	page := sparePage
	sparePage = nil
	if page == nil {
		page = make([]byte, abi.InputBuffer)
	}
	return page
}

func (backing) givePage(page []byte) { sparePage = page }

func (backing) takeArgs() []byte {
	args := spareArgs
	spareArgs = nil
	return args
}

func (backing) giveArgs(args []byte) { spareArgs = args }

// Short texts are cut from a chunk: an allocation takes a guest longer than to
// decode what is put there. The chunk is small, since it lives as long as any text
// of it that the plugin keeps.
const (
	textChunk = 512
	shortText = 64
)

var texts []byte // what is left of the chunk

// text returns a copy of b.
func text(b []byte) string {
	if len(b) > len(texts) {
		return moreText(b)
	}
	own := texts[:len(b):len(b)]
	texts = texts[len(b):]
	copy(own, b)
	return unsafe.String(unsafe.SliceData(own), len(own))
}

// moreText is apart, so that text, which runs for each field, stays small.
//
//go:noinline
func moreText(b []byte) string {
	if len(b) > shortText {
		return string(b)
	}
	texts = make([]byte, textChunk)
	return text(b)
}
