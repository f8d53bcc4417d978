package wasm

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is the memory of an image in a sealed anonymous file, which instances
// map copy-on-write: what they do not write to is there once for all of them.
type mapping struct {
	fd   int
	size uint64
	data []byte // read only
}

// newMapping puts data into a file. Pages of zeros stay holes.
func newMapping(data []byte) (*mapping, error) {
	fd, err := unix.MemfdCreate("weir-image", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	m := &mapping{fd: fd, size: uint64(len(data))}
	if err := m.fill(data); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *mapping) fill(data []byte) error {
	if err := unix.Ftruncate(m.fd, int64(len(data))); err != nil {
		return fmt.Errorf("ftruncate: %w", err)
	}
	for _, s := range written(data) {
		for at := s.from; at < s.to; {
			n, err := unix.Pwrite(m.fd, data[at:s.to], int64(at))
			if err != nil || n == 0 {
				return fmt.Errorf("pwrite: %w", err)
			}
			at += uint64(n)
		}
	}
	// Sealed: nobody can change what all instances are born from, or shorten the
	// file, which would kill the process that reads behind its end.
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(m.fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	var err error
	if m.data, err = unix.Mmap(m.fd, 0, len(data), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	return nil
}

// close frees the image. What was born from it lives on.
func (m *mapping) close() {
	if m.data != nil {
		_ = unix.Munmap(m.data)
		m.data = nil
	}
	_ = unix.Close(m.fd)
}

// born maps the image at the start of address space for limit bytes. The rest
// cannot be touched until it is opened.
func (m *mapping) born(limit uint64) ([]byte, error) {
	at, err := unix.MmapPtr(-1, 0, nil, uintptr(limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	space := unsafe.Slice((*byte)(at), limit)
	if _, err := unix.MmapPtr(m.fd, 0, at, uintptr(m.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED); err != nil {
		unmap(space)
		return nil, fmt.Errorf("mmap: %w", err)
	}
	return space, nil
}

// open lets address space that born reserved be used.
func open(b []byte) error { return unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE) }

// discard drops what was written: the bytes are those of the image again, and
// zeros behind it.
func discard(b []byte) error { return unix.Madvise(b, unix.MADV_DONTNEED) }

func unmap(space []byte) {
	_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(space)), uintptr(len(space)))
}

// maxMappings returns how many instances may be mapped at once: half of what the
// system allows a process, at three maps each while they grow (G12).
func maxMappings() int64 {
	allowed := int64(65_530)
	if text, err := os.ReadFile("/proc/sys/vm/max_map_count"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			allowed = n
		}
	}
	return allowed / 6
}
