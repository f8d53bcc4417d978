// Command extism does the work of echo against Extism's imports, as its kit for Go
// does: eight bytes a call.
package main

import (
	"encoding/binary"
	"unsafe"
)

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u64
func inputLoad(at uint64) uint64

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env store_u64
func store(at, v uint64)

//go:wasmimport extism:host/env output_set
func outputSet(at, n uint64)

var (
	input  [4 << 10]byte
	output [1008]byte
)

//go:wasmexport call
func call() int32 {
	n := inputLength()
	for i := uint64(0); i < n; i += 8 {
		*(*uint64)(unsafe.Pointer(&input[i])) = inputLoad(i)
	}
	output[0], output[1], output[2] = 0x59, 1000>>8, 1000&0xff
	copy(output[3:], input[:n])
	out := alloc(uint64(len(output)))
	for i := 0; i < len(output); i += 8 {
		store(out+uint64(i), binary.LittleEndian.Uint64(output[i:]))
	}
	outputSet(out, 1003)
	return 0
}

func main() {}
