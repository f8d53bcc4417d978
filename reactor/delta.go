package reactor

import (
	"slices"
	"strconv"
)

// deltaRing is how many versions back a client may be and still get a delta (D1).
const deltaRing = 8

// deltaBytes is what a frame may keep for deltas, however small it is. A larger one
// may keep twice its size.
const deltaBytes = 16 << 10

// Delta is the difference between two versions of a result, row by row, encoded
// once and shared by every stream that shows the one and is to show the other. It
// leads from one to the other directly: what was in between, and perhaps not for
// everybody's eyes (W5), is not in it. It is immutable.
type Delta struct {
	From, To Version
	data     []byte
}

// Event returns the whole event as it goes to a stream, with its final blank
// line. The caller must not change it.
func (d *Delta) Event() []byte { return d.data }

// history is what a frame knows of the versions before it.
type history struct {
	rows    *rows    // of the frame itself; nil: no delta leads to or from it
	extents []extent // of its rows, in its content
	before  []*rows  // of earlier versions, the newest first
	deltas  []*Delta // made so far; data is nil where a delta is not worth it
	left    int      // bytes that they may still take
}

// NextFrame is NewFrame for a result that follows another of its group, which may
// be nil. If somebody wanted deltas, the new frame can give them. limit bounds the
// frame and what deltas need, in bytes; above it the oldest versions go first.
func NextFrame(last *Frame, query string, content []byte, limit int64) *Frame {
	f := NewFrame(query, content)
	if last == nil {
		return f
	}
	wanted := last.wanted.Load()
	if wanted == 0 {
		return f
	}
	// Streams that are slow to take the last frames want it too.
	f.wanted.Store(wanted - 1)
	h := &f.history
	h.rows, h.extents = readRows(f.Content(), f.Version)
	before := last.history.rows
	if before == nil {
		before, _ = readRows(last.Content(), last.Version)
	}
	if h.rows == nil || before == nil {
		return f
	}
	h.before = append([]*rows{before}, last.history.before...)
	h.before = slices.DeleteFunc(h.before, func(r *rows) bool { return r.version == f.Version })
	if len(h.before) > deltaRing {
		h.before = h.before[:deltaRing]
	}
	left := min(max(2*int64(f.Size()), deltaBytes), limit-int64(f.Size())) - int64(h.rows.size()+8*len(h.extents))
	for i, r := range h.before {
		if left -= int64(r.size()); left < 0 {
			h.before = slices.Clip(h.before[:i])
			left += int64(r.size())
			break
		}
	}
	h.left = int(max(0, left))
	f.Delta(before.version) // here, and not where a stream waits for it
	return f
}

// Want says that a stream shows the frame that could make use of a delta from it.
// It is safe for concurrent use.
func (f *Frame) Want() {
	if f.wanted.Load() != deltaRing {
		f.wanted.Store(deltaRing)
	}
}

// Delta returns the difference between an earlier version and the frame. Nil if
// there is none that is smaller than half of the frame. It is safe for concurrent
// use.
func (f *Frame) Delta(from Version) *Delta {
	h := &f.history
	if len(h.before) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range h.deltas {
		if d.From == from {
			return d.worth()
		}
	}
	for _, r := range h.before {
		if r.version == from {
			d := f.diff(r)
			h.left -= len(d.data)
			h.deltas = append(h.deltas, d)
			return d.worth()
		}
	}
	return nil
}

// worth returns d unless a full result does better.
func (d *Delta) worth() *Delta {
	if d.data == nil {
		return nil
	}
	return d
}

// diff encodes the difference. The client takes away `del`, then puts each row of
// `set` at its place, in ascending order: over the row that is there if that has
// the same key, else before it. A row that moves is in both.
func (f *Frame) diff(from *rows) *Delta {
	d := &Delta{From: from.version, To: f.Version}
	to := f.history.rows
	if from.columns != to.columns {
		return d
	}
	limit := min(f.history.left, (f.Size()-1)/2)
	places := keptPlaces(from, to)
	b := make([]byte, 0, 256)
	b = append(b, "event: delta\n"...)
	b = append(b, f.data[:f.content-len(`"v":"",`)-len(f.Version.String())]...)
	b = append(b, `"from":"`+from.version.String()+`","v":"`+f.Version.String()+`","set":[`...)
	content, many := f.Content(), false
	for row, place := range places {
		if place >= 0 && from.sums[place] == to.sums[row] {
			continue
		}
		b = appendComma(b, &many)
		b = strconv.AppendInt(append(b, '['), int64(row), 10)
		b = appendQuoted(append(b, ','), to.key(row))
		b = append(append(b, ','), content[f.history.extents[row].from:f.history.extents[row].to]...)
		if b = append(b, ']'); len(b) > limit {
			return d
		}
	}
	b = append(b, `],"del":[`...)
	next, many := 0, false
	gone := func(to int) {
		for ; next < to && len(b) <= limit; next++ {
			b = appendQuoted(appendComma(b, &many), from.key(next))
		}
	}
	for _, place := range places {
		if place >= 0 {
			gone(int(place))
			next = int(place) + 1
		}
	}
	gone(from.len())
	if b = append(b, "]"+frameEnd...); len(b) <= limit {
		d.data = slices.Clip(b)
	}
	return d
}

func appendComma(dst []byte, many *bool) []byte {
	if *many {
		return append(dst, ',')
	}
	*many = true
	return dst
}

// appendQuoted appends the text of a key, which is JSON, as a string of JSON.
func appendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// keptPlaces returns for each row of the newer version where it stands in the
// older one, or -1 if it is not there or not in order: as few rows as possible
// move.
func keptPlaces(from, to *rows) []int32 {
	places := make([]int32, to.len())
	head := 0
	for head < from.len() && head < to.len() && from.key(head) == to.key(head) {
		places[head] = int32(head)
		head++
	}
	ends, endTo := from.len(), to.len()
	for ends > head && endTo > head && from.key(ends-1) == to.key(endTo-1) {
		ends--
		endTo--
		places[endTo] = int32(ends)
	}
	middle := places[head:endTo]
	if head == ends {
		for i := range middle {
			middle[i] = -1
		}
		return places
	}
	index := make(map[string]int32, ends-head)
	for i := head; i < ends; i++ {
		index[from.key(i)] = int32(i)
	}
	for i := range middle {
		if place, known := index[to.key(head+i)]; known {
			middle[i] = place
		} else {
			middle[i] = -1
		}
	}
	keepAscending(middle)
	return places
}

// keepAscending keeps a longest ascending part of the places and makes the others
// -1.
func keepAscending(places []int32) {
	// tails[n] is the row with the lowest place that an ascending part of n+1 rows
	// can end with, before the row before each row of such a part.
	var tails []int
	before := make([]int, len(places))
	for row, place := range places {
		if place < 0 {
			continue
		}
		n, _ := slices.BinarySearchFunc(tails, place, func(tail int, p int32) int { return int(places[tail]) - int(p) })
		before[row] = -1
		if n > 0 {
			before[row] = tails[n-1]
		}
		if n == len(tails) {
			tails = append(tails, row)
		} else {
			tails[n] = row
		}
	}
	keep := -1
	if len(tails) > 0 {
		keep = tails[len(tails)-1]
	}
	for row := len(places) - 1; row >= 0; row-- {
		if row == keep {
			keep = before[row]
		} else {
			places[row] = -1
		}
	}
}
