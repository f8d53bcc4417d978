package db

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"weir/abi"
)

// clocks are the functions and keywords that read the clock (R7).
var clocks = map[string]bool{
	"now": true, "transaction_timestamp": true, "statement_timestamp": true, "clock_timestamp": true,
	"timeofday": true, "CURRENT_TIMESTAMP": true, "CURRENT_DATE": true, "CURRENT_TIME": true,
	"LOCALTIMESTAMP": true, "LOCALTIME": true,
}

// clockWords are what PostgreSQL's date types read from the clock.
var clockWords = []string{"now", "today", "tomorrow", "yesterday"}

// sessions are prefixes and names of functions whose answers come from the
// catalog, the session or another statement, so that no change announces them.
var sessions = []string{
	"pg_", "has_", "txid_", "inet_", "lo_", "to_reg", "query_to_", "table_to_", "schema_to_", "database_to_",
	"cursor_to_", "obj_description", "col_description", "shobj_description", "row_security_active",
	"currval", "lastval", "nextval", "setval", "format_type", "currtid", "set_config",
}

// harmlessFunctions are exceptions from sessions.
var harmlessFunctions = map[string]bool{"pg_typeof": true, "pg_size_pretty": true, "pg_size_bytes": true}

// systemColumns change without the row changing.
var systemColumns = []string{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}

// wakeAt is the column by which a statement that uses $now says when to run
// again.
const wakeAt = "wake_at"

const clockAdvice = "pass the time as a parameter and call wake_at, or use $now and return a column wake_at"

// refuseNodes refuses plans with nodes that cannot be kept live. The sentences
// of this file go on after "statement 3 ".
func refuseNodes(root *planNode) error {
	var err error
	root.walk(func(n *planNode) {
		if err != nil {
			return
		}
		switch kind := n.str("Node Type"); {
		case kind == "ModifyTable" || n.str("Operation") != "" && n.str("Operation") != "Select":
			err = refused("writes, but a query only reads: move it into a mutation")
		case kind == "LockRows":
			err = refused("locks rows: leave out FOR UPDATE or FOR SHARE, a query reads one snapshot")
		case strings.HasPrefix(kind, "Foreign"):
			err = refused("reads the foreign table %s, whose changes cannot be seen: copy it into a table", n.str("Relation Name"))
		case kind == "Sample Scan":
			err = refused("uses TABLESAMPLE, which answers differently each time: choose rows by a condition")
		case kind == "Custom Scan":
			err = refused("runs through a custom scan of an extension (%s), which hides what it reads", n.str("Custom Plan Provider"))
		}
	})
	return err
}

// refuseRelation refuses relations whose changes cannot be captured.
func refuseRelation(r *relation) error {
	switch {
	case r.system():
		return refused("reads the catalog (%s.%s), whose changes cannot be seen: keep what you need in a table", r.schema, r.name)
	case r.temporary:
		return refused("reads the temporary table %s: use an ordinary table", r.name)
	}
	switch r.kind {
	case 'm':
		return refused("reads the materialized view %s, whose refresh cannot be seen: read its tables, or use a view", r.label())
	case 'f':
		return refused("reads the foreign table %s, whose changes cannot be seen: copy it into a table", r.label())
	case 'S':
		return refused("reads the sequence %s, which is not part of any snapshot: read the table that it numbers", r.label())
	}
	return nil
}

// refuseWords refuses what a plan names: clocks, system columns, and literals
// that were read from the clock when the statement was parsed.
func refuseWords(root *planNode, m *mentions, text string) error {
	for _, cols := range append(slices.Collect(maps.Values(m.columns)), m.bare) {
		for _, name := range systemColumns {
			if cols[name] {
				return refused("reads the system column %s, which changes without the row: use a column of your own", name)
			}
		}
	}
	clock := ""
	root.walk(func(n *planNode) {
		for _, e := range n.expressions(true) {
			for _, t := range tokenize(e) {
				if t.kind == tokenWord && !t.quoted && clocks[t.text] && strings.ToUpper(t.text) == t.text {
					clock = t.text
				}
			}
		}
	})
	if clock != "" {
		return refused("reads the clock (%s): %s", clock, clockAdvice)
	}
	return refuseFolded(m, text)
}

// refuseFolded finds 'today'::date and the like, which are a constant in the
// plan. A text that says 'today' is in both, the statement and the plan.
func refuseFolded(m *mentions, text string) error {
	written := newMentions()
	written.add(tokenize(text))
	ts := tokenize(text)
	for i, t := range ts {
		if t.kind != tokenText {
			continue
		}
		word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(t.text)), " ")
		if !slices.Contains(clockWords, word) {
			continue
		}
		typed := i > 0 && isTimeType(ts[i-1]) || i+2 < len(ts) && ts[i+1].is("::") && isTimeType(ts[i+2])
		whole := strings.ToLower(strings.TrimSpace(t.text))
		if typed || m.texts[whole] < written.texts[whole] {
			return refused("reads the clock ('%s'): %s", t.text, clockAdvice)
		}
	}
	return nil
}

func isTimeType(t token) bool {
	name := strings.ToLower(t.text)
	return t.kind == tokenWord && (strings.HasPrefix(name, "time") || name == "date" || name == "zone")
}

// functionText describes functions by name. The body and language are those of
// the transition function for an aggregate.
const functionText = `select n.nspname::text, p.proname::text, p.provolatile::text, (p.oid >= 16384)::text,
	l.lanname::text, coalesce(nullif(f.prosrc, ''), pg_get_function_sqlbody(f.oid), ''), pg_function_is_visible(p.oid)::text
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
left join pg_aggregate a on a.aggfnoid = p.oid
join pg_proc f on f.oid = coalesce(a.aggtransfn::oid, p.oid) join pg_language l on l.oid = f.prolang
where p.proname = any($1::text[])`

// operatorText lists comparisons and other operators that users defined.
const operatorText = `select o.oprname::text, format_type(o.oprleft, null), format_type(o.oprright, null), l.lanname::text, p.provolatile::text
from pg_operator o join pg_proc p on p.oid = o.oprcode join pg_language l on l.oid = p.prolang
where o.oid >= 16384 and o.oprname = any($1::text[]) and pg_operator_is_visible(o.oid)`

// refuseFunctions refuses calls whose answer may change without a change of a
// table that the plan shows. The functions are looked up by name, so that an
// overload which is volatile refuses the others too.
func (c *conn) refuseFunctions(ctx context.Context, m *mentions) error {
	var names []string
	for f := range m.functions {
		if err := refuseCall(f); err != nil {
			return err
		}
		if !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	rows, err := c.query(ctx, functionText, textArgument(names))
	if err != nil {
		return err
	}
	for _, row := range rows {
		schema, name, volatility, user, language, body, visible := row[0], row[1], row[2], row[3] == "true", row[4], row[5], row[6] == "true"
		named := m.calls(schema, name) || m.calls("", name) && (visible || schema == "pg_catalog")
		if !named {
			continue
		}
		if volatility == "v" {
			return refused("calls the volatile function %s(), which may answer differently each time: compute the value before and pass it as a parameter", name)
		}
		if user && language != "c" && language != "internal" && (volatility != "i" || readsTables(body)) {
			return refused("calls %s(), which reads tables out of sight: inline it or make it a view", name)
		}
	}
	return nil
}

func (m *mentions) calls(schema, name string) bool {
	for f := range m.functions {
		if f.schema == schema && f.name == name {
			return true
		}
	}
	return false
}

func refuseCall(f called) error {
	if f.schema != "" && f.schema != "pg_catalog" {
		return nil
	}
	if clocks[f.name] || f.name == "age" && f.arguments == 1 {
		return refused("reads the clock (%s()): %s", f.name, clockAdvice)
	}
	for _, prefix := range sessions {
		if strings.HasPrefix(f.name, prefix) && !harmlessFunctions[f.name] {
			return refused("calls %s(), which reads the catalog, the session or another statement, and no change announces another answer: pass the value as a parameter", f.name)
		}
	}
	return nil
}

// readsTables reports whether a function's body looks as if it read tables or
// the clock, whatever its owner declared.
func readsTables(body string) bool {
	for _, t := range tokenize(body) {
		switch strings.ToLower(t.text) {
		case "from", "table", "execute", "perform", "call", "into", "join", "now", "random",
			"current_timestamp", "current_date", "clock_timestamp", "localtimestamp", "nextval":
			if t.kind == tokenWord {
				return true
			}
		}
	}
	return false
}

// userOperators refuses operators that hide a function, and returns the
// comparisons that users defined for a type.
func (c *conn) userOperators(ctx context.Context, m *mentions) (map[string]bool, error) {
	names := make([]string, 0, len(m.operators))
	for op := range m.operators {
		names = append(names, op)
	}
	slices.Sort(names)
	odd := map[string]bool{}
	if len(names) == 0 {
		return odd, nil
	}
	rows, err := c.query(ctx, operatorText, textArgument(names))
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		odd[row[0]+" "+row[1]] = true
		odd[row[0]+" "+row[2]] = true
		_, compared := comparisons[row[0]]
		if !compared && (row[4] == "v" || row[3] != "c" && row[3] != "internal") {
			return nil, refused("uses the operator %s of %s, a function that may read tables out of sight: write the expression out", row[0], row[1])
		}
	}
	return odd, nil
}

// outOfSight is R5: tables that planning opened and the plan does not show were
// read by a function that PostgreSQL computed while planning.
func outOfSight(text string, table *relation) error {
	var names []string
	ts := tokenize(text)
	for i := 1; i < len(ts); i++ {
		if ts[i].is("(") && ts[i-1].kind == tokenWord {
			names = append(names, ts[i-1].text+"()")
		}
	}
	slices.Sort(names)
	who := "a function"
	if names = slices.Compact(names); len(names) > 0 {
		who = "a function (one of " + strings.Join(names, ", ") + ")"
	}
	return refused("calls %s that reads the table %s out of sight: inline it or make it a view", who, table.label())
}

// textRefusal refuses by the first word what cannot be a statement of its kind.
func textRefusal(text string, kind Kind) error {
	ts := tokenize(text)
	for len(ts) > 0 && ts[0].is("(") {
		ts = ts[1:]
	}
	if len(ts) == 0 || ts[0].kind != tokenWord {
		return refused("is not a statement")
	}
	word := strings.ToLower(ts[0].text)
	switch word {
	case "select", "with", "values", "table":
		return nil
	case "insert", "update", "delete", "merge":
		if kind == Write {
			return nil
		}
		return refused("writes (%s), but a query only reads: move it into a mutation", word)
	}
	return refused("begins with %s: write %s", word, map[Kind]string{Read: "one SELECT", Write: "SELECT, INSERT, UPDATE, DELETE or MERGE"}[kind])
}

// sqlRefusal turns PostgreSQL's refusal of a text into a sentence.
func sqlRefusal(err error) error {
	state := sqlState(err)
	if state == "" || strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57") || strings.HasPrefix(state, "53") {
		return fault("check the statement", err)
	}
	advice := ": correct it"
	switch state {
	case "42P18", "42P08", "42725":
		advice = ": write the type of the parameter, $name::type"
	case "42501":
		advice = ": grant it to the role of the plugin's SQL"
	case "25006":
		advice = ": a query only reads; move it into a mutation"
	case "42703", "42P01", "42883", "42704", "3F000":
		advice = ": correct the name, or change the schema of the database first"
	}
	return &Error{code: abi.SQLError, what: "is refused by PostgreSQL: " + saidBy(err) + advice, is: ErrRefused, err: err}
}

// saidBy is PostgreSQL's message with its hint, in one line.
func saidBy(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err.Error()
	}
	text := pg.Message
	if pg.Hint != "" {
		text += " (" + strings.TrimSuffix(pg.Hint, ".") + ")"
	}
	return text
}
