package wasm

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"weir/abi"
)

// maxLine bounds one line of a guest's log.
const maxLine = 4 << 10

// deadlockLine is what the Go runtime writes when all goroutines wait for each
// other, just before it ends the guest.
const deadlockLine = "fatal error: all goroutines are asleep - deadlock!"

// maxFirst bounds what is kept of the line that says why a guest ends: for Go
// "panic: " and its text.
const maxFirst = 200

// guestLog takes what a guest logs in one call, up to the bounds, in lines. The
// Go runtime writes a panic in dozens of fragments, so what goes to a file
// descriptor is collected until a line is whole (G10).
type guestLog struct {
	out      func(level int, line string)
	lines    int // that may still be written
	bytes    int
	dropped  int
	tooMany  bool      // lines
	tooLong  bool      // bytes
	seen     int       // bytes written to file descriptors
	partial  [2][]byte // of fd 1 and 2
	deadlock bool      // deadlockLine was seen
	first    string    // the first line on fd 2, at most maxFirst bytes
}

// reset starts a call's log, keeping the buffers.
func (l *guestLog) reset(out func(level int, line string), lines, size int) {
	*l = guestLog{out: out, lines: lines, bytes: size, partial: [2][]byte{l.partial[0][:0], l.partial[1][:0]}}
}

// entry logs one entry, a line for each of its lines. It ends at the first line
// over the bounds: the rest of a long entry costs nothing.
func (l *guestLog) entry(level int, text []byte) {
	for {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		if !l.line(level, line) || len(rest) == 0 {
			return
		}
		text = rest
	}
}

// maxStream bounds the bytes of one call that are looked at. A host function
// cannot be interrupted, so what is over it must cost nothing.
const maxStream = 1 << 20

// write takes bytes for fd 1 or 2.
func (l *guestLog) write(fd int, b []byte) {
	level := abi.LogInfo
	if fd == 2 {
		level = abi.LogWarn
	}
	if b = b[:min(len(b), maxStream-l.seen)]; len(b) == 0 {
		return
	}
	l.seen += len(b)
	p := &l.partial[fd-1]
	for len(b) > 0 {
		line, _, whole := bytes.Cut(b[:min(len(b), maxLine-len(*p))], []byte("\n"))
		*p = append(*p, line...)
		b = b[len(line):]
		if whole {
			b = b[1:]
		}
		if whole || len(*p) == maxLine {
			l.deadlock = l.deadlock || string(*p) == deadlockLine
			if fd == 2 && l.first == "" {
				l.first = printable((*p)[:min(len(*p), maxFirst)])
			}
			l.line(level, *p)
			*p = (*p)[:0]
		}
	}
}

// flush writes lines that have no end yet.
func (l *guestLog) flush() {
	for i, p := range l.partial {
		if len(p) > 0 {
			l.partial[i] = p[:0]
			l.line(abi.LogInfo+i, p)
		}
	}
}

// line writes one line and reports whether it was within the bounds.
func (l *guestLog) line(level int, b []byte) bool {
	b = b[:min(len(b), maxLine)]
	if l.lines <= 0 || l.bytes < len(b) {
		l.dropped++
		l.tooMany, l.tooLong = l.tooMany || l.lines <= 0, l.tooLong || l.bytes < len(b)
		return false
	}
	l.lines--
	l.bytes -= len(b)
	if l.out != nil {
		l.out(level, printable(b))
	}
	return true
}

// printable makes a line safe for a terminal and for a log of lines: no control
// characters, valid UTF-8.
func printable(b []byte) string {
	s := strings.ToValidUTF8(string(b), string(utf8.RuneError))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return utf8.RuneError
		}
		return r
	}, s)
}
