package wasm

import (
	"strings"
	"testing"

	"weir/abi"
)

// G10: the Go runtime writes a panic in fragments; a line is whole in the log.
func TestFragmentsBecomeLines(t *testing.T) {
	t.Parallel()
	var lines []string
	var l guestLog
	l.reset(func(_ int, line string) { lines = append(lines, line) }, 64, 1<<14)
	for _, s := range []string{"pan", "ic: ", "x", "\n", "goroutine 1\n\tmain", ".go"} {
		l.write(2, []byte(s))
	}
	l.write(1, []byte("out"))
	l.flush()
	if got, want := strings.Join(lines, "|"), "panic: x|goroutine 1|out| main.go"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Cases: 32.
func TestLongLinesAreCut(t *testing.T) {
	t.Parallel()
	var sizes []int
	var l guestLog
	l.reset(func(_ int, line string) { sizes = append(sizes, len(line)) }, 64, 1<<20)
	l.write(1, make([]byte, maxLine/2))
	l.write(1, []byte(strings.Repeat("x", maxLine*2)+"\ny"))
	l.flush()
	total := 0
	for _, n := range sizes {
		total += n
	}
	// NULs become three bytes each.
	if len(sizes) != 4 || total != maxLine/2*3+maxLine*2+1 {
		t.Errorf("lines of %v bytes", sizes)
	}
	sizes = nil
	l.reset(func(_ int, line string) { sizes = append(sizes, len(line)) }, 64, 1<<20)
	l.entry(abi.LogInfo, []byte(strings.Repeat("x", maxLine*2)))
	if len(sizes) != 1 || sizes[0] != maxLine {
		t.Errorf("an entry became lines of %v bytes", sizes)
	}
}

// A flood costs what is over the bounds nothing: a host function cannot be
// interrupted.
// Cases: 32.
func TestFloodsAreNotRead(t *testing.T) {
	t.Parallel()
	var l guestLog
	l.reset(nil, 2, 100)
	l.entry(abi.LogInfo, []byte(strings.Repeat("\n", 1<<20)))
	if l.dropped != 1 {
		t.Errorf("%d lines were looked at", l.dropped+2)
	}
	for range 4 {
		l.write(1, []byte(strings.Repeat("\n", 1<<20)))
	}
	if l.seen != maxStream || l.dropped > maxStream+1 {
		t.Errorf("%d bytes were looked at", l.seen)
	}
}
