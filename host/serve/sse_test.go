package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// sseEvent is one event as a client of the standard sees it, with nothing lost.
type sseEvent struct {
	name  string // "message" without an event line
	data  string
	id    string
	hasID bool
	retry string
}

// field returns a member of the data as text; "" if there is none.
func (e sseEvent) field(name string) string {
	var m map[string]json.RawMessage
	if json.Unmarshal([]byte(e.data), &m) != nil {
		return ""
	}
	var text string
	if json.Unmarshal(m[name], &text) == nil {
		return text
	}
	return string(m[name])
}

func (e sseEvent) String() string {
	if e.retry != "" {
		return "retry " + e.retry
	}
	if e.name == "message" {
		return e.data
	}
	return e.name + " " + e.data
}

// sseParser reads a stream by the standard's rules, and is stricter: what a
// server of ours must not send is an error.
type sseParser struct{ r *bufio.Reader }

func newSSEParser(r io.Reader) *sseParser { return &sseParser{bufio.NewReader(r)} }

// next returns the next event, io.EOF at a clean end between events.
func (p *sseParser) next() (e sseEvent, err error) {
	e.name = "message"
	lines, data := 0, 0
	for {
		line, err := p.r.ReadString('\n')
		if err == io.EOF && line == "" && lines == 0 {
			return e, io.EOF
		}
		if err != nil {
			return e, fmt.Errorf("stream broke inside an event after %q: %w", line, err)
		}
		line = line[:len(line)-1]
		if strings.ContainsAny(line, "\r\x00") {
			return e, fmt.Errorf("line %q holds a carriage return or NUL", line)
		}
		if line == "" {
			if lines == 0 {
				return e, fmt.Errorf("an empty event")
			}
			if e.retry == "" && data != 1 {
				return e, fmt.Errorf("event %s has %d data lines", e.name, data)
			}
			if data > 0 && !json.Valid([]byte(e.data)) {
				return e, fmt.Errorf("data of %s is not JSON: %q", e.name, e.data)
			}
			return e, nil
		}
		lines++
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.name = value
		case "data":
			data++
			e.data += value
		case "id":
			e.id, e.hasID = value, true
		case "retry":
			e.retry = value
		default:
			return e, fmt.Errorf("unknown field %q", line)
		}
		if e.name == "error" {
			return e, fmt.Errorf("an event named error looks like a broken connection (D4)")
		}
	}
}
