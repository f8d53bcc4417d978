package wasm

import (
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sweeper finds what was written to in mapped memory by asking the kernel which
// pages are the process's own. So what was only read stays mapped, and no other
// core has to hear of a reset that drops nothing. Linux has it since 6.7.
//
// A page that the instance has never written to is the file's, and one that it
// has is anonymous, also when it is swapped out: the kernel itself goes by that when
// it copies on write.
type sweeper struct {
	ask   pagemapScan
	found [64]pagemapRegion
	kept  uint64 // bytes that are the instance's own since the last sweep
	swept uint   // times
}

// pagemapScan and pagemapRegion are what the kernel reads and writes.
type pagemapScan struct {
	size, flags, start, end, walked, found, length, most uint64
	inverted, all, any, returned                         uint64
}

type pagemapRegion struct{ from, to, _ uint64 }

// The kernel's numbers, which are the same on these machines.
const (
	pagemapScanRequest = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)
	pageIsFile         = 1 << 2
	pageIsPresent      = 1 << 3
	pageIsSwapped      = 1 << 4
)

// pagemap is the file to ask, open as long as the process lives; -1 where there
// is none.
var pagemap = sync.OnceValue(func() int {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return -1
	}
	fd, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
})

// newSweeper returns nil where the kernel cannot say it.
func newSweeper(memory []byte) *sweeper {
	s := &sweeper{}
	if pagemap() < 0 || len(memory) == 0 {
		return nil
	}
	s.begin(memory)
	if _, ok := s.next(); !ok {
		return nil
	}
	return s
}

// begin asks for pages that are in memory or swapped out, and not the file's.
func (s *sweeper) begin(memory []byte) {
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
	s.ask = pagemapScan{
		size: uint64(unsafe.Sizeof(s.ask)), start: start, end: start + uint64(len(memory)),
		found: uint64(uintptr(unsafe.Pointer(&s.found))), length: uint64(len(s.found)), // s is on the heap and does not move
		inverted: pageIsFile, all: pageIsFile, any: pageIsPresent | pageIsSwapped, returned: pageIsFile,
	}
}

// next returns the next regions. None: there are no more.
func (s *sweeper) next() ([]pagemapRegion, bool) {
	if s.ask.start >= s.ask.end {
		return nil, true
	}
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pagemap()), pagemapScanRequest, uintptr(unsafe.Pointer(&s.ask)))
	if errno != 0 || s.ask.walked <= s.ask.start && n == 0 {
		return nil, false
	}
	s.ask.start = s.ask.walked
	return s.found[:n], true
}

// sweep makes memory the image again, and zeros behind it. What was written to is
// copied back and stays the instance's own, because the next call is likely to
// write to it again, and a copy of a page costs less than to drop it and to fault
// it in. When that has become too much, all is dropped, and also now and then,
// because the calls of today may be others than those of yesterday.
func (s *sweeper) sweep(memory, image []byte) bool {
	s.begin(memory)
	base := s.ask.start
	s.kept = 0
	if s.swept++; s.swept%maxSweeps == 0 {
		return discard(memory) == nil
	}
	for s.ask.start < s.ask.end {
		regions, ok := s.next()
		if !ok {
			return false
		}
		for _, r := range regions {
			if s.kept += r.to - r.from; s.kept > maxSwept {
				s.kept = 0
				return discard(memory) == nil
			}
			from, to := r.from-base, r.to-base
			n := 0
			if from < uint64(len(image)) {
				n = copy(memory[from:to], image[from:])
			}
			clear(memory[from+uint64(n) : to])
		}
	}
	return true
}

// mapped returns the pages that are there, written to or only read.
func (s *sweeper) mapped(memory []byte) []span {
	s.begin(memory)
	s.ask.inverted, s.ask.all, s.ask.any, s.ask.returned = 0, 0, pageIsPresent, pageIsPresent
	base := s.ask.start
	var spans []span
	for s.ask.start < s.ask.end {
		regions, ok := s.next()
		if !ok {
			return nil
		}
		for _, r := range regions {
			spans = append(spans, span{r.from - base, r.to - base})
		}
	}
	return spans
}
