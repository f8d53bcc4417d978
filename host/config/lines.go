package config

import (
	"fmt"
	"strconv"
	"strings"
)

// keyLines finds the line of every key in a text that is known to be TOML. Keys
// are written as joinKey writes them, elements of lists with their index:
// "auth.keys[0].issuer".
//
// The TOML library knows these positions and does not tell them. What the
// scanner does not understand it passes over: a missing line is found again at
// the table around it.
func keyLines(text string) map[string]int {
	s := &lineScanner{text: text, line: 1, lines: map[string]int{}, implied: map[string]int{}, tables: map[string]int{}}
	for s.pos < len(s.text) {
		s.blank(true)
		if s.pos < len(s.text) {
			s.statement()
		}
	}
	for path, line := range s.implied {
		if s.lines[path] == 0 {
			s.lines[path] = line
		}
	}
	return s.lines
}

type lineScanner struct {
	text   string
	pos    int
	line   int
	prefix string         // the table that statements are in
	lines  map[string]int // what was found
	tables map[string]int // how many elements each [[list]] has so far
	depth  int
	// implied is where a table was first named on the way to another, as t is in
	// [t.u]; it may have a line of its own later.
	implied map[string]int
}

// maxNesting bounds the scanner's recursion; deeper keys get no line.
const maxNesting = 100

// statement reads a header or a key with its value.
func (s *lineScanner) statement() {
	if s.text[s.pos] == '[' {
		s.header()
	} else {
		s.pair(s.prefix)
	}
	// The rest of the line is a comment, or something that was not understood.
	if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
		s.pos += i
	} else {
		s.pos = len(s.text)
	}
}

func (s *lineScanner) header() {
	list := strings.HasPrefix(s.text[s.pos:], "[[")
	s.pos++
	if list {
		s.pos++
	}
	names, path := s.names(), ""
	for i, name := range names {
		path = joinKey(path, name)
		n, isList := s.tables[path]
		if list && i == len(names)-1 {
			s.tables[path] = n + 1
			s.mark(path)
			path = fmt.Sprintf("%s[%d]", path, n)
		} else if isList {
			path = fmt.Sprintf("%s[%d]", path, n-1)
		}
		if s.implied[path] == 0 {
			s.implied[path] = s.line
		}
	}
	s.mark(path)
	s.prefix = path
}

// pair reads a key, dotted or not, and its value.
func (s *lineScanner) pair(prefix string) {
	names, path, line := s.names(), prefix, s.line
	for _, name := range names {
		path = joinKey(path, name)
		if s.lines[path] == 0 {
			s.lines[path] = line
		}
	}
	if s.blank(false); !s.take('=') {
		return
	}
	s.blank(false)
	s.value(path)
}

func (s *lineScanner) mark(path string) {
	if s.lines[path] == 0 {
		s.lines[path] = s.line
	}
}

// names reads a dotted key.
func (s *lineScanner) names() []string {
	var names []string
	for {
		s.blank(false)
		if s.pos == len(s.text) {
			return names
		}
		start := s.pos
		if c := s.text[s.pos]; c == '"' || c == '\'' {
			s.quoted()
			raw := s.text[start:s.pos]
			name, err := strconv.Unquote(raw)
			if err != nil {
				name = strings.Trim(raw, string(c))
			}
			names = append(names, name)
		} else {
			for s.pos < len(s.text) && !strings.ContainsRune(" \t\r\n.=[]{},#\"'", rune(s.text[s.pos])) {
				s.pos++
			}
			if s.pos == start {
				return names
			}
			names = append(names, s.text[start:s.pos])
		}
		if s.blank(false); !s.take('.') {
			return names
		}
	}
}

// value passes over a value and notes the keys in it.
func (s *lineScanner) value(path string) {
	if s.pos == len(s.text) || s.depth > maxNesting {
		return
	}
	s.depth++
	defer func() { s.depth-- }()
	switch s.text[s.pos] {
	case '"', '\'':
		s.quoted()
	case '[':
		s.pos++
		for i := 0; ; i++ {
			if s.blank(true); s.pos == len(s.text) || s.take(']') {
				return
			}
			at, before := fmt.Sprintf("%s[%d]", path, i), s.pos
			s.mark(at)
			s.value(at)
			if s.blank(true); !s.take(',') && s.pos == before {
				return
			}
		}
	case '{':
		s.pos++
		for {
			if s.blank(true); s.pos == len(s.text) || s.take('}') {
				return
			}
			before := s.pos
			s.pair(path)
			if s.blank(true); !s.take(',') && s.pos == before {
				return
			}
		}
	default:
		for s.pos < len(s.text) && !strings.ContainsRune(",]}#\r\n", rune(s.text[s.pos])) {
			s.pos++
		}
	}
}

// quoted passes over a string of any of the four kinds.
func (s *lineScanner) quoted() {
	quote := s.text[s.pos : s.pos+1]
	if strings.HasPrefix(s.text[s.pos:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	s.pos += len(quote)
	for s.pos < len(s.text) {
		switch {
		case s.text[s.pos] == '\\' && quote[0] == '"' && s.pos+1 < len(s.text):
			s.pos++
		case strings.HasPrefix(s.text[s.pos:], quote):
			s.pos += len(quote)
			// Up to two more quotes may belong to the content: """a"""".
			for i := 0; len(quote) == 3 && i < 2 && s.take(quote[0]); i++ {
			}
			return
		}
		if s.text[s.pos] == '\n' {
			s.line++
		}
		s.pos++
	}
}

// blank passes over spaces and, with lines, over line ends and comments.
func (s *lineScanner) blank(lines bool) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
		case c == '\n' && lines:
			s.line++
		case c == '#' && lines:
			for s.pos+1 < len(s.text) && s.text[s.pos+1] != '\n' {
				s.pos++
			}
		default:
			return
		}
		s.pos++
	}
}

func (s *lineScanner) take(c byte) bool {
	if s.pos < len(s.text) && s.text[s.pos] == c {
		s.pos++
		return true
	}
	return false
}
