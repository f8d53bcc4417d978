package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a file.
type Error struct {
	File string
	// Line is 1 for the first line; 0 when the fault has no place.
	Line int
	// Text is one sentence with the next step.
	Text string
}

// Error returns "file:line: text".
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// Errors is everything that is wrong with a file, in the order of its lines.
type Errors []*Error

// maxErrors bounds a report; a file that is wrong everywhere needs no more.
const maxErrors = 50

// Error returns one line for each error.
func (e Errors) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i == maxErrors {
			fmt.Fprintf(&b, "\n%s: and %d more", one.File, len(e)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// Unwrap gives errors.As the single errors.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, one := range e {
		list[i] = one
	}
	return list
}

// faults collects errors and finds their lines.
type faults struct {
	file  string
	lines map[string]int
	used  map[string][]variableUse // by key
	list  Errors
}

// variableUse is what a variable in a value stood for.
type variableUse struct{ name, value string }

// at records an error at the line of key, or of the nearest table around it that
// has one.
func (f *faults) at(key, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	// K4: a secret that a variable put into the wrong key must not be repeated.
	for _, use := range f.used[key] {
		text = strings.ReplaceAll(text, use.value, "${"+use.name+"}")
		text = strings.ReplaceAll(text, strings.Trim(fmt.Sprintf("%q", use.value), `"`), "${"+use.name+"}")
	}
	f.list = append(f.list, &Error{File: f.file, Line: f.line(key), Text: text})
}

func (f *faults) line(key string) int {
	for key != "" {
		if n := f.lines[key]; n > 0 {
			return n
		}
		i := strings.LastIndexAny(key, ".[")
		key = key[:max(i, 0)]
	}
	return 0
}

// err returns what was collected, sorted, or nil.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	// By text within a line: maps have no order, and reports should not change.
	slices.SortFunc(f.list, func(a, b *Error) int {
		return cmp.Or(a.Line-b.Line, strings.Compare(a.Text, b.Text))
	})
	return f.list
}
