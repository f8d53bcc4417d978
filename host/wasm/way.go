package wasm

// span is a part of memory, in bytes from its start.
type span struct{ from, to uint64 }

// The kinds of way.
const (
	discards = "discard" // drop all that was written
	keeps    = "keep"    // copy back what calls write to, drop the rest
	copies   = "copy"    // copy all
)

// way is how memory is made the image again. It is immutable.
type way struct {
	kind string
	hot  []span // what is copied back, in order; the rest is dropped
}

// restore makes memory the image again. Behind the image it becomes zeros.
func (w *way) restore(memory, image []byte) bool {
	at := uint64(0)
	for _, s := range w.hot {
		if at < s.from && discard(memory[at:s.from]) != nil {
			return false
		}
		copy(memory[s.from:s.to], image[s.from:s.to])
		at = s.to
	}
	return at == uint64(len(memory)) || discard(memory[at:]) == nil
}

// kept returns how many bytes of an instance stay its own.
func (w *way) kept() int64 {
	n := uint64(0)
	for _, s := range w.hot {
		n += s.to - s.from
	}
	return int64(n)
}

// osPage is the unit that memory is copied on write in.
const osPage = 4 << 10

var zeros [osPage]byte

// written returns the pages that are not all zeros.
func written(data []byte) []span {
	return pagesWhere(len(data), func(page []byte) bool { return string(page) != string(zeros[:len(page)]) }, data)
}

// differing returns the pages in which memory is not the image.
func differing(memory, image []byte) []span {
	at := 0
	return pagesWhere(len(image), func(page []byte) bool {
		same := string(page) == string(memory[at:at+len(page)])
		at += len(page)
		return !same
	}, image)
}

// pagesWhere returns the pages that match, neighbours as one span. Match sees them
// in order.
func pagesWhere(size int, match func(page []byte) bool, data []byte) []span {
	var spans []span
	for at := 0; at < size; at += osPage {
		end := min(at+osPage, size)
		if !match(data[at:end]) {
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
