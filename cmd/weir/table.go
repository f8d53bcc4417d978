package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	tableRows = 40 // rows of a table that is redrawn: a screen
	maxCell   = 48 // characters of a cell
)

// table is text in columns.
type table struct {
	head []string
	rows [][]string
	more int // rows that were left out
}

// rowsTable makes a table of JSON objects, whose members keep their order.
func rowsTable(rows []json.RawMessage, most int) table {
	var t table
	for i, row := range rows {
		if i == most {
			t.more = len(rows) - most
			break
		}
		names, cells := members(row)
		if i == 0 {
			t.head = names
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

// members returns the names and values of an object, in order.
func members(object json.RawMessage) (names, values []string) {
	dec := json.NewDecoder(strings.NewReader(string(object)))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return []string{"value"}, []string{cell(object)}
	}
	for dec.More() {
		name, err := dec.Token()
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return names, values
		}
		names, values = append(names, oneLine(fmt.Sprint(name))), append(values, cell(value))
	}
	return names, values
}

// cell is a JSON value as it stands in a table: text without quotes.
func cell(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) != nil || string(value) == "null" {
		text = string(value)
	}
	return shortened(oneLine(text), maxCell)
}

func shortened(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// writeTable writes a table with its columns aligned.
func writeTable(w io.Writer, t table) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i := range min(len(row), len(widths)) {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	rule := make([]string, len(widths))
	for i, n := range widths {
		rule[i] = strings.Repeat("─", n)
	}
	if len(t.head) > 0 {
		writeRow(w, t.head, widths)
		writeRow(w, rule, widths)
	}
	for _, row := range t.rows {
		writeRow(w, row, widths)
	}
	if t.more > 0 {
		fmt.Fprintf(w, "… and %s more\n", counted(t.more, "row"))
	}
}

func writeRow(w io.Writer, cells []string, widths []int) {
	var b strings.Builder
	for i, c := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(c)
		if i < len(widths) {
			b.WriteString(strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(c))))
		}
	}
	fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
}
