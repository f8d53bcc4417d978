//go:build wasip1

package weir

import (
	"unsafe"

	"weir/abi"
)

// input is the buffer that the host writes calls into (G6: a heap slice in a
// package variable, so that its address is part of the instance's image and
// stays). output holds the last result until the host has copied it.
var (
	input  = make([]byte, abi.InputBuffer)
	output = make([]byte, 0, 4<<10)
	order  []*function // in the manifest's order
)

//go:wasmexport weir_describe
func describe() int64 {
	manifest, err := standard.encoded()
	if err != nil {
		backing{}.log(abi.LogError, err.Error())
		return packed(failure(output[:0], &Error{Code: abi.GuestContract, Message: err.Error(), Public: true}))
	}
	return packed(reply{tag: abi.TagValue, data: manifest})
}

//go:wasmexport weir_buf
func buffer(size int32) int32 {
	if order == nil {
		order = standard.ordered()
	}
	if int(size) > len(input) {
		input = make([]byte, size)
	}
	return int32(uintptr(at(input)))
}

//go:wasmexport weir_call
func call(fn, size int32) int64 {
	if order == nil {
		order = standard.ordered()
	}
	if fn < 0 || int(fn) >= len(order) || order[fn].body.run == nil || size < 0 || int(size) > len(input) {
		return packed(failure(output[:0], &Error{Code: abi.GuestContract, Message: "the host called a function that is not the guest's"}))
	}
	return packed(order[fn].body.run(&Call{}, input[:size], output[:0]))
}

// packed keeps what a reply points to until the next call into the guest.
func packed(r reply) int64 {
	switch r.tag {
	case abi.TagHandle:
		return int64(abi.Pack(r.tag, uint32(r.handle), 0))
	case abi.TagNone:
		return int64(abi.Pack(r.tag, 0, 0))
	}
	output = r.data
	return int64(abi.Pack(r.tag, uint32(uintptr(unsafe.Pointer(unsafe.SliceData(output)))), uint32(len(output))))
}
