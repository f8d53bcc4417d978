package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// printer writes whole lines to one stream. It is safe for concurrent use.
type printer struct {
	mu  sync.Mutex // protects the field below
	out io.Writer
}

// linef writes one line.
func (p *printer) linef(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// eventf writes a line with the time of day before it.
func (p *printer) eventf(format string, args ...any) {
	p.linef("%s "+format, append([]any{clock(time.Now())}, args...)...)
}

// clock is the time of day as it stands before lines.
func clock(t time.Time) string { return t.Format("15:04:05") }

// millis is a duration for people: "1.1 ms", "12 ms", "1.2 s".
func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 0.1:
		return "<0.1 ms"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
}

// size is a number of bytes for people: "812 B", "1.2 KB", "3.4 MB".
func size(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10) + " B"
	case n < 1_000_000:
		return strconv.FormatFloat(float64(n)/1e3, 'f', 1, 64) + " KB"
	}
	return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) + " MB"
}

// counted is a number with its noun: "1 watcher", "2 watchers".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// plainJSON makes a JSON text of others safe to print: the control characters that
// may stand in its strings are written as escapes, which mean the same.
func plainJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

// oneLine makes text of others safe to print in a line: control characters
// would move the cursor or colour the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
