package wasm

// span is a part of memory, in bytes from its start.
type span struct{ from, to uint64 }

// The kinds of way.
const (
	scans    = "scan"    // ask the kernel what was written to, and copy that back
	keeps    = "keep"    // copy back what calls are known to write to, drop the rest
	discards = "discard" // drop all that was written
	copies   = "copy"    // copy all
)

// way is how memory is made the image again. It is immutable.
type way struct {
	kind string
	hot  []span // what is copied back, in order; the rest is dropped
}

// The bounds of what an instance keeps for itself.
const (
	maxSwept  = 512 << 10 // a way that scans
	maxSweeps = 256       // calls after which that drops all
	maxKept   = 96 << 10  // one that keeps
	maxSpans  = 16        // of that: each gap between them is a system call
)

// keeping returns the way that keeps the spans, nil if they are too many.
func keeping(spans []span) *way {
	w := &way{keeps, spans}
	if len(spans) == 0 || len(spans) > maxSpans || w.kept() > maxKept {
		return nil
	}
	return w
}

// restore makes memory the image again. Behind the image it becomes zeros.
func (w *way) restore(memory, image []byte, s *sweeper) bool {
	if w.kind == scans && s != nil {
		return s.sweep(memory, image)
	}
	at := uint64(0)
	for _, h := range w.hot {
		if at < h.from && discard(memory[at:h.from]) != nil {
			return false
		}
		copy(memory[h.from:h.to], image[h.from:h.to])
		at = h.to
	}
	return at == uint64(len(memory)) || discard(memory[at:]) == nil
}

// kept returns how many bytes of an instance stay its own, without those of a
// sweeper.
func (w *way) kept() int64 {
	n := uint64(0)
	for _, h := range w.hot {
		n += h.to - h.from
	}
	return int64(n)
}

// osPage is the unit that memory is copied on write in.
const osPage = 4 << 10

var zeros [osPage]byte

// written returns the pages that are not all zeros, neighbours as one span.
func written(data []byte) []span {
	return pages(len(data), func(at, end int) bool { return string(data[at:end]) != string(zeros[:end-at]) })
}

// differing returns the pages in which memory is not the image, neighbours as one
// span.
func differing(memory, image []byte) []span {
	return pages(len(image), func(at, end int) bool { return string(memory[at:end]) != string(image[at:end]) })
}

// pages returns the pages that match, neighbours as one span.
func pages(size int, match func(at, end int) bool) []span {
	var spans []span
	for at := 0; at < size; at += osPage {
		end := min(at+osPage, size)
		if !match(at, end) {
			continue
		}
		if n := len(spans); n > 0 && spans[n-1].to == uint64(at) {
			spans[n-1].to = uint64(end)
		} else {
			spans = append(spans, span{uint64(at), uint64(end)})
		}
	}
	return spans
}
