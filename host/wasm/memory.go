package wasm

import (
	"github.com/tetratelabs/wazero/experimental"

	"weir/abi"
)

// pageSize is the unit that guest memory grows in.
const pageSize = 64 << 10

// maxMemory is what an address of abi.Packed can reach.
const maxMemory = 1<<30 - pageSize

// memory is the linear memory of one instance. It exists to know when growth
// was refused, which no guest can be trusted to tell.
type memory struct {
	data    []byte
	limit   uint64
	refused bool
}

var _ experimental.LinearMemory = (*memory)(nil)

// Allocate makes memory its own allocator: an instance has one memory.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate grows the memory, or returns nil over the limit. Capacity doubles,
// so that growth page by page does not copy each time; it ends at the limit.
func (m *memory) Reallocate(size uint64) []byte {
	if size > m.limit {
		m.refused = true
		return nil
	}
	if size > uint64(cap(m.data)) {
		grown := make([]byte, size, min(m.limit, max(size, 2*uint64(cap(m.data)))))
		copy(grown, m.data)
		m.data = grown
	}
	m.data = m.data[:size]
	return m.data
}

// Free leaves the memory to the garbage collector. wazero calls it while code of
// the guest may still run, so nothing may be unmapped here (G12).
func (m *memory) Free() {}

// view returns guest memory for use before the next guest instruction.
func (f *frame) view(ptr, n uint64) ([]byte, bool) {
	return f.mem.Read(uint32(ptr), uint32(n))
}

// give writes data to the buffer that the guest offered, unless it does not fit,
// and returns the length that it needs.
func (f *frame) give(buf, size uint64, data []byte) int64 {
	offered, ok := f.view(buf, size)
	if !ok {
		return f.fail(abi.ErrnoBounds, "")
	}
	f.charge(len(data))
	if len(data) <= len(offered) {
		copy(offered, data)
	}
	return int64(len(data))
}

// text copies a string out of guest memory.
func (f *frame) text(ptr, n uint64, limit int) (string, abi.Errno) {
	if uint32(n) > uint32(limit) {
		return "", abi.ErrnoLimit
	}
	b, ok := f.view(ptr, n)
	if !ok {
		return "", abi.ErrnoBounds
	}
	f.charge(len(b))
	return string(b), abi.OK
}
