package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/config"
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
	if s.console != "" {
		fmt.Fprintf(&b, "  console %s/\n", s.console)
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

// hints looks for a query that is easy to try in the first tenant that has one. Of a
// private database it shows only what was tried there.
func (s *session) hints(ctx context.Context) hints {
	var open []openQuery
	for _, t := range s.project.config.Tenants() {
		for _, about := range s.modules.in(ctx, t.Plugins, s.project.config.Engine) {
			open = append(open, easy(about.manifest, t)...)
		}
		if len(open) > 0 {
			break // of one tenant
		}
	}
	if len(open) == 0 {
		return hints{user: "ann", params: url.Values{}}
	}
	inOrder(open)
	h := open[0].hints()
	if s.project.private() { // else it is not ours to look around in
		_ = withConn(ctx, s.cluster.URL(s.database), func(conn *pgx.Conn) error {
			h = choose(ctx, conn, open)
			return nil
		})
	}
	return h
}

// inOrder puts a query that is open to everybody, or to the signed in, before one
// that a policy guards, and then one with few arguments before one with many.
func inOrder(open []openQuery) {
	slices.SortStableFunc(open, func(a, b openQuery) int {
		return cmp.Or(cmp.Compare(a.guarded(), b.guarded()), cmp.Compare(a.required(), b.required()))
	})
}

// choose returns the first query whose result a plain INSERT changes, with that; if
// there is none, the first with an INSERT that works; else the first.
func choose(ctx context.Context, conn *pgx.Conn, open []openQuery) (best hints) {
	for i, q := range open {
		h := q.hints()
		if h.fill(ctx, conn, q) {
			return h
		}
		if i == 0 || best.insert == "" && h.insert != "" {
			best = h
		}
	}
	return best
}

// openQuery is a query that a person may try.
type openQuery struct {
	*abi.Function
	manifest *abi.Manifest
	tenant   config.Tenant
}

// guarded is 1 if a policy decides who may call it.
func (q openQuery) guarded() int { return min(1, len(q.Access.Policies)) }

// required counts the arguments that must be given.
func (q openQuery) required() (n int) {
	for _, f := range q.Fields {
		if required(f) {
			n++
		}
	}
	return n
}

// easy returns the queries whose required arguments are all scalars.
func easy(m *abi.Manifest, t config.Tenant) (list []openQuery) {
	for i := range m.Functions {
		f := &m.Functions[i]
		if f.Kind == abi.Query && !slices.ContainsFunc(f.Fields, func(f abi.Field) bool { return required(f) && !scalar(f.Schema.Type) }) {
			list = append(list, openQuery{f, m, t})
		}
	}
	return list
}

func required(f abi.Field) bool { return !f.Schema.Optional && f.Schema.Default == nil }

func scalar(kind string) bool {
	return kind == "integer" || kind == "string" || kind == "boolean" || kind == "number"
}

// hints are what can be said of a query without its database.
func (q openQuery) hints() hints {
	h := hints{user: "ann", query: q.Name, schema: q.tenant.Schema, params: url.Values{}}
	if q.tenant.Name != "default" {
		h.path = "/t/" + q.tenant.Name
	}
	for _, field := range q.Fields {
		if required(field) {
			h.params.Set(field.Name, guess(&field.Schema))
		}
	}
	return h
}

// fill puts values that exist in the place of guesses, and looks for an INSERT that
// works. shown says that the query's result then changes.
func (h *hints) fill(ctx context.Context, conn *pgx.Conn, q openQuery) (shown bool) {
	if _, err := conn.Exec(ctx, "set search_path = "+pgx.Identifier{h.schema}.Sanitize()); err != nil {
		return false
	}
	known := map[string]string{}   // by column
	settled := map[string]string{} // by argument, and the user by ""
	for _, g := range append(policiesOf(q.manifest, q.Function), q.Function) {
		for _, sql := range statementsOf(q.manifest, g) {
			of := settledColumns(sql, g, settled)
			maps.Copy(known, of)
			found := sample(ctx, conn, sql.text, sql.params, of)
			for _, column := range slices.Sorted(maps.Keys(found)) {
				name := sql.params[column]
				if claimOf(g, name) == "sub" {
					name = ""
				} else if !h.params.Has(name) {
					continue
				}
				if _, is := settled[name]; !is {
					settled[name] = found[column]
				}
				known[column] = settled[name]
			}
		}
	}
	for name, value := range settled {
		if name == "" {
			h.user = value
		} else {
			h.params.Set(name, value)
		}
	}
	e := example{conn: conn, query: q, user: h.user, params: h.params, known: known}
	h.insert, shown = e.insert(ctx)
	return shown
}

// settledColumns are the columns whose values another statement has settled.
func settledColumns(sql comparing, f *abi.Function, settled map[string]string) map[string]string {
	out := map[string]string{}
	for column, name := range sql.params {
		if claimOf(f, name) == "sub" {
			name = ""
		}
		if value, is := settled[name]; is {
			out[column] = value
		}
	}
	return out
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
		list = append(list, strings.ToLower(match[1]))
	}
	return list
}

// sample returns one row's values of the compared columns, from the first table
// of the statement that has some of them. Columns that are settled have that value
// in the row, if there is such a row.
func sample(ctx context.Context, conn *pgx.Conn, sql string, params, settled map[string]string) map[string]string {
	for _, table := range tablesOf(sql) {
		var columns, quoted, where []string
		var values []any
		for _, c := range columnsOf(ctx, conn, table) {
			if _, compared := params[c.name]; !compared {
				continue
			}
			name := pgx.Identifier{c.name}.Sanitize()
			columns, quoted = append(columns, c.name), append(quoted, name+"::text")
			if value, is := settled[c.name]; is {
				values = append(values, value)
				where = append(where, fmt.Sprintf("%s::text = $%d", name, len(values)))
			}
		}
		if len(columns) == 0 {
			continue
		}
		list := strings.Join(quoted, ", ")
		found := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range found {
			into[i] = &found[i]
		}
		condition := cmp.Or(strings.Join(where, " and "), "true")
		order := strings.ReplaceAll(list, "::text", "")
		if conn.QueryRow(ctx, "select "+list+" from "+identifier(table)+" where "+condition+" order by "+order+" limit 1", values...).Scan(into...) != nil {
			continue
		}
		out := map[string]string{}
		for i, c := range columns {
			out[c] = found[i]
		}
		return out
	}
	return nil
}

// identifier quotes a table's name that may have a schema.
func identifier(table string) string { return pgx.Identifier(strings.Split(table, ".")).Sanitize() }
