package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/abi"
)

// greet prints how to begin: the page, a stream by curl, and a row to insert.
func (s *session) greet(ctx context.Context, base string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	h := s.hints(ctx)
	var b strings.Builder
	b.WriteString("\n")
	if s.project.config.Server.Web != "" {
		fmt.Fprintf(&b, "  page    %s/?as=%s\n", base, h.user)
	} else {
		fmt.Fprintf(&b, "  server  %s\n", base)
	}
	if h.query != "" {
		h.params.Set("as", h.user)
		fmt.Fprintf(&b, "  watch   curl -N -H 'Accept: text/event-stream' '%s%s/v1/q/%s?%s'\n", base, h.path, h.query, h.params.Encode())
	}
	if h.insert != "" {
		fmt.Fprintf(&b, "  change  %s sql%s \"%s\"\n", program(), s.dirFlag(), h.insert)
	}
	if h.query == "" && h.insert == "" {
		b.WriteString("  no query yet: write a plugin, weir new NAME makes one to begin with\n")
	}
	if ctx.Err() == nil {
		s.out.linef("%s", b.String())
	}
}

// dirFlag is what another command needs to find the project.
func (s *session) dirFlag() string {
	if s.project.dir == s.m.path(".") {
		return ""
	}
	return " --dir " + s.project.shown
}

// program is how this program is called.
func program() string {
	if _, err := exec.LookPath("weir"); err == nil || len(os.Args) == 0 || strings.HasSuffix(os.Args[0], ".test") {
		return "weir"
	}
	return os.Args[0]
}

// hints are examples drawn from what the plugins and the database hold.
type hints struct {
	user   string
	path   string // of the tenant, empty for default
	schema string
	query  string
	params url.Values
	insert string // an SQL statement
}

// hints looks for a query that is easy to try, and for values that exist. What
// it cannot find out is left at a plain guess.
func (s *session) hints(ctx context.Context) hints {
	h := hints{user: "ann", params: url.Values{}}
	for _, t := range s.project.config.Tenants() {
		for _, about := range s.modules.in(ctx, t.Plugins, s.project.config.Engine) {
			if f := easiest(about.manifest); f != nil {
				h.query, h.schema = f.Name, t.Schema
				if t.Name != "default" {
					h.path = "/t/" + t.Name
				}
				s.fillHints(ctx, &h, about.manifest, f)
				return h
			}
		}
	}
	return h
}

// easiest returns the first query whose required arguments are all scalars,
// preferring one with arguments: it shows more.
func easiest(m *abi.Manifest) *abi.Function {
	var plain *abi.Function
	for i := range m.Functions {
		f := &m.Functions[i]
		if f.Kind != abi.Query || slices.ContainsFunc(f.Fields, func(f abi.Field) bool { return required(f) && !scalar(f.Schema.Type) }) {
			continue
		}
		if slices.ContainsFunc(f.Fields, required) {
			return f
		}
		if plain == nil {
			plain = f
		}
	}
	return plain
}

func required(f abi.Field) bool { return !f.Schema.Optional && f.Schema.Default == nil }

func scalar(kind string) bool {
	return kind == "integer" || kind == "string" || kind == "boolean" || kind == "number"
}

func (s *session) fillHints(ctx context.Context, h *hints, m *abi.Manifest, f *abi.Function) {
	for _, field := range f.Fields {
		if required(field) {
			h.params.Set(field.Name, guess(&field.Schema))
		}
	}
	if !s.project.private() {
		return // it is not ours to look around in
	}
	_ = withConn(ctx, s.cluster.URL(s.database), func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "set search_path = "+pgx.Identifier{h.schema}.Sanitize()); err != nil {
			return err
		}
		known := map[string]string{} // by column
		for _, g := range append(policiesOf(m, f), f) {
			for _, sql := range statementsOf(m, g) {
				for column, value := range sample(ctx, conn, sql.text, sql.params) {
					switch name := sql.params[column]; {
					case h.params.Has(name):
						h.params.Set(name, value)
						known[column] = value
					case claimOf(g, name) == "sub":
						h.user = value
						known[column] = value
					}
				}
			}
		}
		if own := statementsOf(m, f); len(own) > 0 {
			if tables := tablesOf(own[0].text); len(tables) > 0 {
				table := tables[0]
				if h.path != "" && !strings.Contains(table, ".") {
					table = h.schema + "." + table // weir sql has no tenant
				}
				h.insert = exampleInsert(ctx, conn, table, known, h.user)
			}
		}
		return nil
	})
}

// guess is a value that fits a schema.
func guess(s *abi.Schema) string {
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == "integer" || s.Type == "number":
		if s.Min != nil {
			return fmt.Sprintf("%.0f", *s.Min)
		}
		return "1"
	case s.Type == "boolean":
		return "true"
	case s.Format == "uuid":
		return "00000000-0000-4000-8000-000000000000"
	case s.Format == "date":
		return "2026-01-31"
	case s.Format == "date-time":
		return "2026-01-31T09:30:00Z"
	case s.Format == "decimal":
		return "1"
	}
	return "hello"
}

func policiesOf(m *abi.Manifest, f *abi.Function) []*abi.Function {
	var list []*abi.Function
	for i := range m.Functions {
		if m.Functions[i].Kind == abi.Policy && slices.Contains(f.Access.Policies, m.Functions[i].Name) {
			list = append(list, &m.Functions[i])
		}
	}
	return list
}

// claimOf returns which claim fills a field of a function.
func claimOf(f *abi.Function, field string) string {
	for _, c := range f.Claims {
		if c.Name == field {
			return c.Claim
		}
	}
	return ""
}

// comparing is a statement and the columns that it compares with parameters.
type comparing struct {
	text   string
	params map[string]string // parameter by column
}

var (
	comparison = regexp.MustCompile(`(?i)(?:[a-z_][a-z0-9_]*\.)?([a-z_][a-z0-9_]*)\s*=\s*\$([a-z_][a-z0-9_]*)`)
	tableName  = regexp.MustCompile(`(?i)\b(?:from|join)\s+([a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)?)`)
)

func statementsOf(m *abi.Manifest, f *abi.Function) []comparing {
	uses := f.Uses
	if f.Statement != nil {
		uses = []int{*f.Statement}
	}
	var list []comparing
	for _, i := range uses {
		c := comparing{m.Statements[i].SQL, map[string]string{}}
		for _, match := range comparison.FindAllStringSubmatch(c.text, -1) {
			c.params[match[1]] = match[2]
		}
		list = append(list, c)
	}
	return list
}

func tablesOf(sql string) []string {
	var list []string
	for _, match := range tableName.FindAllStringSubmatch(sql, -1) {
		list = append(list, match[1])
	}
	return list
}

// sample returns one row's values of the compared columns, from the first table
// of the statement that has some of them.
func sample(ctx context.Context, conn *pgx.Conn, sql string, params map[string]string) map[string]string {
	for _, table := range tablesOf(sql) {
		var columns []string
		for _, c := range columnsOf(ctx, conn, table) {
			if _, compared := params[c.name]; compared {
				columns = append(columns, c.name)
			}
		}
		if len(columns) == 0 {
			continue
		}
		quoted := make([]string, len(columns))
		for i, c := range columns {
			quoted[i] = pgx.Identifier{c}.Sanitize() + "::text"
		}
		list := strings.Join(quoted, ", ")
		values := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		order := strings.ReplaceAll(list, "::text", "")
		if conn.QueryRow(ctx, "select "+list+" from "+identifier(table)+" order by "+order+" limit 1").Scan(into...) != nil {
			continue
		}
		found := map[string]string{}
		for i, c := range columns {
			found[c] = values[i]
		}
		return found
	}
	return nil
}

// identifier quotes a table's name that may have a schema.
func identifier(table string) string { return pgx.Identifier(strings.Split(table, ".")).Sanitize() }

// column is what an example of a row must know of a column.
type column struct {
	name, kind string
	must       bool   // an INSERT has to give it
	refTable   string // of a foreign key, quoted
	refColumn  string
}

func columnsOf(ctx context.Context, conn *pgx.Conn, table string) []column {
	rows, err := conn.Query(ctx, `select a.attname, t.typname,
			a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = '',
			coalesce(f.confrelid::regclass::text, ''), coalesce(r.attname, '')
		from pg_attribute a
		join pg_type t on t.oid = a.atttypid
		left join pg_constraint f on f.conrelid = a.attrelid and f.contype = 'f' and f.conkey = array[a.attnum]
		left join pg_attribute r on r.attrelid = f.confrelid and r.attnum = f.confkey[1]
		where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum`, identifier(table))
	if err != nil {
		return nil
	}
	list, _ := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		err = row.Scan(&c.name, &c.kind, &c.must, &c.refTable, &c.refColumn)
		return c, err
	})
	return list
}

// people are names of columns that hold who it was.
var people = regexp.MustCompile(`(^|_)(user|author|owner|by|sender|who|assignee)(_|$)`)

// exampleInsert is an INSERT of one plain row, or "" when a value is beyond
// guessing. known are values of columns that lead to a row in the query's result.
func exampleInsert(ctx context.Context, conn *pgx.Conn, table string, known map[string]string, user string) string {
	var names, values []string
	for _, c := range columnsOf(ctx, conn, table) {
		value, isKnown := known[c.name]
		switch {
		case !c.must && !isKnown:
			continue
		case isKnown:
		case c.refTable != "":
			err := conn.QueryRow(ctx, "select min("+pgx.Identifier{c.refColumn}.Sanitize()+"::text) from "+c.refTable).Scan(&value)
			if err != nil {
				return ""
			}
		}
		literal := exampleValue(c, value, user)
		if literal == "" {
			return ""
		}
		names, values = append(names, c.name), append(values, literal)
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("insert into %s (%s) values (%s)", table, strings.Join(names, ", "), strings.Join(values, ", "))
}

// plainText is text that may stand in double quotes of a shell.
var plainText = regexp.MustCompile(`^[\pL\pN _.,:@/+-]*$`)

func exampleValue(c column, value, user string) string {
	if !plainText.MatchString(value) {
		return ""
	}
	switch c.kind {
	case "int2", "int4", "int8", "float4", "float8", "numeric":
		if value == "" {
			return "1"
		}
		return value
	case "bool":
		return "false"
	case "text", "varchar", "bpchar", "citext", "name":
		if value == "" {
			value = "hello"
			if people.MatchString(c.name) {
				value = user
			}
		}
		return "'" + value + "'"
	case "timestamptz", "timestamp", "date":
		return "now()"
	case "uuid":
		if value == "" {
			return "gen_random_uuid()"
		}
		return "'" + value + "'"
	case "json", "jsonb":
		return "'{}'"
	}
	return ""
}
