package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// streamEvents reads a whole stream as the standard says, as a list of texts.
func streamEvents(text string) (list []string) {
	name, id := "", ""
	var data []string
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] { // what has no end is not a line yet
		line = strings.TrimRight(line, "\r")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && len(data) > 0:
			list = append(list, name+"\x00"+id+"\x00"+strings.Join(data, "\n"))
			name, data = "", nil
		case line == "":
			name = ""
		case field == "event":
			name = value
		case field == "data":
			data = append(data, value)
		case field == "id":
			id = value
		}
	}
	return list
}

// FuzzEventReader: whatever a server sends, and however it is cut, the reader sees
// the events of the standard, no more and no fewer, and waits for no time that makes
// no sense.
// Cases: 70.
func FuzzEventReader(f *testing.F) {
	for _, text := range []string{
		"retry: 2500\n\nevent: hello\ndata: {\"sid\":\"x\"}\n\n", "id: v~at\ndata: {}\n\n: c\nevent: ping\ndata: {}\n\n", "data\n\ndata:\ndata: \ndata:  x\n\n",
		"event: a\r\ndata: b\r\n\r\n", "event: sub\n\ndata: x", "retry: -5\n\nretry: 1h\n\nretry: 999999999999999999999\n\ndata: x\n\n", "\n\n\n", "da\x00ta: x\n\nid: \x00\ndata: y\n\n", "\ufeffdata: x\n\n",
	} {
		f.Add(text, 16)
	}
	f.Fuzz(func(t *testing.T, text string, size int) {
		want := streamEvents(text)
		r := &eventReader{in: bufio.NewReaderSize(bytes.NewReader([]byte(text)), 16+abs(size)%64)}
		for i := 0; ; i++ {
			e, err := r.next()
			if r.retry < 0 || r.retry > time.Minute {
				t.Fatalf("%q: it waits for %v", text, r.retry)
			}
			if err != nil {
				if !errors.Is(err, io.EOF) || i != len(want) {
					t.Fatalf("%q: %d events and %v, want %d", text, i, err, len(want))
				}
				return
			}
			if got := e.name + "\x00" + e.id + "\x00" + string(e.data); i >= len(want) || got != want[i] {
				t.Fatalf("%q: event %d is %q, want %q", text, i, got, want)
			}
		}
	})
}

// abs is small enough to be a size.
func abs(n int) int { return max(n%1000, -(n % 1000)) }
