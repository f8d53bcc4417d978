package inspect

import (
	"cmp"
	_ "embed"
	"slices"
	"strings"
	"sync"
)

//go:embed functions.txt
var functionsText string

// builtin is the list of functions, by name: Read for all kinds, Write for
// mutations only.
var builtin = sync.OnceValue(func() map[string]Kind {
	out := map[string]Kind{}
	kind := Read
	for line := range strings.Lines(functionsText) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "#"):
		case line == "[reads]":
			kind = Read
		case line == "[writes]":
			kind = Write
		default:
			for _, name := range strings.Fields(line) {
				out[name] = kind
			}
		}
	}
	return out
})

// judgeCall judges a call by the function's name.
func (w *walker) judgeCall(n object) {
	names := w.strings(n["funcname"])
	schema, name := "", ""
	switch len(names) {
	case 1:
		name = names[0]
	case 2:
		schema, name = names[0], names[1]
	default:
		w.refuse("calls a function by a name of %d parts: write schema.name", len(names))
		return
	}
	if w.listed(schema, name) {
		if args, _ := n["args"].([]any); name == "age" && len(args) == 1 && w.rules.Kind != Write {
			w.refuse("reads the clock (age() of one time): %s", clockAdvice)
		}
		return
	}
	full := clip(strings.TrimPrefix(schema+"."+name, "."))
	switch kind := builtin()[name]; {
	case schema != "" && schema != "pg_catalog":
	case kind == Write && strings.HasSuffix(name, "_timestamp") || name == "now" || name == "timeofday":
		w.refuse("reads the clock (%s()): %s", full, clockAdvice)
	case kind == Write:
		w.refuse("calls %s(), which answers differently each time: compute the value before and pass it as a parameter", full)
	case name == "nextval" || name == "currval" || name == "lastval":
		w.refuse("calls %s(): let the column's default number the row, and read the number with RETURNING", full)
	case name == "current_setting" || name == "set_config":
		w.refuse("calls %s(), which touches the session: pass what you need as a parameter", full)
	}
	if w.err != nil {
		return
	}
	where := "schema." + full
	switch {
	case schema != "":
		where = full
	case strings.HasPrefix(name, "pg_"):
		where = "pg_catalog." + full
	case w.rules.Schema != "":
		where = w.rules.Schema + "." + full
	}
	w.refuse("calls %s(), which is not on the list of functions: write it with listed ones, or, when the operator has reviewed it, add %q to sql.functions", full, clip(where))
}

// listed reports whether a function may be called: one of PostgreSQL's on the
// list, one of the operator's, or in mutations one of weir's for jobs.
func (w *walker) listed(schema, name string) bool {
	if schema == "" || schema == "pg_catalog" {
		if kind, ok := builtin()[name]; ok && (kind == Read || w.rules.Kind == Write) {
			return true
		}
	}
	if schema == "weir" && w.rules.Kind == Write && (strings.HasPrefix(name, "job_") || strings.HasPrefix(name, "workflow_")) {
		return true
	}
	if schema != "" {
		return slices.Contains(w.rules.Functions, schema+"."+name)
	}
	return slices.Contains(w.rules.Functions, "pg_catalog."+name) ||
		w.rules.Schema != "" && slices.Contains(w.rules.Functions, w.rules.Schema+"."+name)
}

// columns are what a function in FROM surely returns.
type columns map[string]bool

func (c columns) add(names ...string) {
	for _, name := range names {
		c[name] = true
	}
}

// outputs are the columns of listed functions that name what they return. All
// others return one value, under the name of the alias.
var outputs = map[string][]string{
	"json_each": {"key", "value"}, "json_each_text": {"key", "value"},
	"jsonb_each": {"key", "value"}, "jsonb_each_text": {"key", "value"},
	"json_array_elements": {"value"}, "json_array_elements_text": {"value"},
	"jsonb_array_elements": {"value"}, "jsonb_array_elements_text": {"value"},
}

// declare notes a function in FROM. A function that returns one value is that
// value under its alias too, and x.pg_sleep from f() x is then a call of
// pg_sleep(x): only names that must be columns may follow such an alias.
func (w *walker) declare(n object) {
	alias, _ := n["alias"].(object)
	name, _ := alias["aliasname"].(string)
	known := columns{}
	given := w.strings(alias["colnames"])
	known.add(given...)
	if n["ordinality"] != nil {
		known.add("ordinality")
	}
	defined := false
	w.each([]any{n["coldeflist"], n["functions"]}, func(node string, inner object) {
		if node == "ColumnDef" {
			c, _ := inner["colname"].(string)
			known.add(c)
			defined = true
		}
	})
	for _, called := range w.called(n) {
		own, several := outputs[called]
		if len(given) == 0 {
			known.add(own...)
		}
		if name == "" { // then it goes by the name of its function
			w.know(called, known)
		}
		// A user's function may name what it returns: who knows.
		if _, listed := builtin()[called]; listed && !several && !defined && len(given) == 0 {
			known.add(cmp.Or(name, called))
		}
	}
	if name != "" {
		w.know(name, known)
	}
}

// called returns the names of the functions in one item of FROM. What is no
// function there has a name only by AS.
func (w *walker) called(n object) []string {
	var out []string
	list, _ := n["functions"].([]any)
	for _, item := range list {
		wrap, _ := item.(object)
		pair, _ := wrap["List"].(object)
		items, _ := pair["items"].([]any)
		if len(items) == 0 {
			w.broken()
			return nil
		}
		first, _ := items[0].(object)
		call, ok := first["FuncCall"].(object)
		names := w.strings(call["funcname"])
		if ok && len(names) > 0 {
			out = append(out, names[len(names)-1])
		} else if n["alias"] == nil {
			w.refuse("has an expression in FROM without a name: give it one with AS")
		}
	}
	return out
}

// know keeps, for an alias that several functions have, what all of them return.
func (w *walker) know(alias string, known columns) {
	before, ok := w.functions[alias]
	if !ok {
		w.functions[alias] = known
		return
	}
	for c := range before {
		if !known[c] {
			delete(before, c)
		}
	}
}

// systemColumns change without the row changing.
var systemColumns = []string{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}

// judgeColumn judges the name of a column.
func (w *walker) judgeColumn(n object) {
	fields, _ := n["fields"].([]any)
	names := w.strings(fields)
	if names == nil { // the last is a star
		names = w.strings(fields[:max(0, len(fields)-1)])
		if len(names) != len(fields)-1 {
			w.broken()
		}
		return
	}
	if len(names) == 0 || len(names) > 3 {
		w.refuse("names a column by %d parts: write table.column", len(names))
		return
	}
	column := names[len(names)-1]
	if w.rules.Kind != Write && slices.Contains(systemColumns, column) {
		w.refuse("reads the system column %s, which changes without the row: use a column of your own", column)
		return
	}
	if len(names) == 1 {
		return
	}
	if strings.HasPrefix(column, "pg_") { // on a table it may be one of PostgreSQL's that take any row
		w.refuse("reads %s.%s, which PostgreSQL may read as a call of its own function: give the column another name", clip(names[len(names)-2]), clip(column))
		return
	}
	if known, ok := w.functions[names[len(names)-2]]; ok && !known[column] {
		w.refuse("reads %s.%s, which PostgreSQL may read as a call of a function: name the columns of the function in FROM, as in f() AS %s(%s)",
			clip(names[len(names)-2]), clip(column), clip(names[len(names)-2]), clip(column))
	}
}
