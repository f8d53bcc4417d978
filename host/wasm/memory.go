package wasm

import (
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"weir/abi"
)

// pageSize is the unit that guest memory grows in.
const pageSize = 64 << 10

// maxMemory is what an address of abi.Packed can reach.
const maxMemory = 1<<30 - pageSize

// memory is the linear memory of one instance: on Go's heap, or mapped from the
// image that the instance is born from. It also knows when growth was refused,
// which no guest can be trusted to tell.
type memory struct {
	data    []byte // what the guest has
	limit   uint64
	refused bool // in this call
	grown   bool // likewise

	image  *image
	sweeps *sweeper // nil on the heap and where the kernel cannot say what was written
	space  []byte   // address space for limit bytes; nil on the heap
	opened uint64   // how much of it may be touched
	high   uint64   // the largest size since the memory was the image
	shrink bool     // the next Reallocate makes it the image's size
}

var _ experimental.LinearMemory = (*memory)(nil)

// Allocate makes memory its own allocator: an instance has one memory.
func (m *memory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate grows the memory, or returns nil over the limit. The first one of an
// instance that is born from an image returns the image, which may be longer than
// what the module asks for: wazero takes the length of what it gets.
func (m *memory) Reallocate(size uint64) []byte {
	switch {
	case m.shrink:
		m.data = m.data[:m.image.size]
	case size > m.limit:
		m.refused = true
		return nil
	case m.data == nil && m.image != nil:
		m.bear()
	case m.space != nil:
		if !m.extend(size) {
			m.refused = true
			return nil
		}
		m.grown = true
	default:
		m.grown = m.data != nil
		m.grow(size)
	}
	m.high = max(m.high, uint64(len(m.data)))
	return m.data
}

// bear makes the memory that of the image.
func (m *memory) bear() {
	if space := m.image.born(m.limit); space != nil {
		m.space, m.opened, m.data = space, m.image.size, space[:m.image.size]
		m.sweeps = newSweeper(m.data)
		return
	}
	m.grow(m.image.size)
	copy(m.data, m.image.data)
}

// grow makes memory on the heap longer. Capacity doubles, so that growth page by
// page does not copy each time; it ends at the limit.
func (m *memory) grow(size uint64) {
	if size > uint64(cap(m.data)) {
		grown := make([]byte, size, min(m.limit, max(size, 2*uint64(cap(m.data)))))
		copy(grown, m.data)
		m.data = grown
	}
	m.data = m.data[:size]
}

// extend makes mapped memory longer, where it is.
func (m *memory) extend(size uint64) bool {
	if size > m.opened {
		enough := min(m.limit, max(size, 2*m.opened))
		if open(m.space[m.opened:enough]) != nil {
			return false
		}
		m.opened = enough
	}
	m.data = m.space[:size]
	return true
}

// restore makes the memory what it was at birth, and reports whether it could.
// WebAssembly has no way to make memory smaller, but wazero takes whatever length
// an allocator returns when the memory grows (G7).
func (m *memory) restore(mem api.Memory) bool {
	if uint64(len(m.data)) != m.image.size {
		m.shrink = true
		_, ok := mem.Grow(1)
		m.shrink = false
		if !ok || uint64(len(m.data)) != m.image.size {
			return false
		}
	}
	high := m.high
	m.high = m.image.size
	if m.space == nil {
		copy(m.data, m.image.data)
		clear(m.data[m.image.size:high])
		return true
	}
	return m.image.way.restore(m.space[:high], m.image.data, m.sweeps)
}

// rest drops what mapped memory keeps after it was restored.
func (m *memory) rest() bool {
	if m.space == nil || discard(m.data) != nil {
		return false
	}
	if m.sweeps != nil {
		m.sweeps.kept = 0
	}
	return true
}

// private estimates the bytes that are the instance's own, right after restore or
// after a call.
func (m *memory) private(restored bool) int64 {
	if m.space != nil && restored {
		if m.sweeps != nil && m.image.way.kind == scans {
			return int64(m.sweeps.kept)
		}
		return m.image.way.kept()
	}
	return int64(m.high)
}

// Free leaves the memory to the garbage collector, and mapped memory to the pool.
// wazero may call it while code of the guest still runs, so nothing may be
// unmapped here (G12).
func (m *memory) Free() {}

// free unmaps the memory. No guest code runs any more.
func (m *memory) free() {
	if m.space != nil {
		unmap(m.space)
		m.image.mapped.Add(-1)
	}
	m.space, m.data = nil, nil
}

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
