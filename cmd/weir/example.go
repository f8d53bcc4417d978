package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/abi"
)

// example looks for a row that a person may insert to see a query's result change.
// All is tried in a transaction that is rolled back.
type example struct {
	conn   *pgx.Conn
	query  openQuery
	user   string
	params url.Values
	known  map[string]string // values of columns that lead to a row in the result
}

// insert returns the first INSERT that works and changes the result, else one that
// works, else "".
func (e *example) insert(ctx context.Context) (sql string, shown bool) {
	works := ""
	for _, statement := range statementsOf(e.query.manifest, e.query.Function) {
		for _, table := range tablesOf(statement.text) {
			text, shown := e.into(ctx, table)
			if shown {
				return text, true
			}
			if works == "" {
				works = text
			}
		}
	}
	return works, false
}

// maxTries bounds the rows that are tried of one table.
const maxTries = 24

// into tries rows of a table. After a row that PostgreSQL refuses, the columns that
// it names get their next value; after one that the result does not show, all do.
func (e *example) into(ctx context.Context, table string) (sql string, shown bool) {
	row := e.row(ctx, table)
	for range maxTries {
		if row == nil {
			break
		}
		refused, seen := e.try(ctx, table, row)
		var why *pgconn.PgError
		switch {
		case refused == nil && seen:
			return row.text(e.printed(table)), true
		case refused == nil:
			if sql == "" {
				sql = row.text(e.printed(table))
			}
			row = row.next(nil)
		case errors.As(refused, &why) && why.ConstraintName != "":
			row = row.next(e.constrained(ctx, table, why.ConstraintName))
		default:
			row = row.next(nil)
		}
	}
	return sql, false
}

// printed is a table as weir sql must be told, which has no tenant.
func (e *example) printed(table string) string {
	if e.query.tenant.Name == "default" || strings.Contains(table, ".") {
		return table
	}
	return e.query.tenant.Schema + "." + table
}

// try inserts a row and takes it back. shown says that the query's result had it.
func (e *example) try(ctx context.Context, table string, row exampleRow) (refused error, shown bool) {
	tx, err := e.conn.Begin(ctx)
	if err != nil {
		return err, false
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "set local statement_timeout = '2s'; set local lock_timeout = '1s'"); err != nil {
		return err, false
	}
	before, readable := e.result(ctx, tx)
	if _, err := tx.Exec(ctx, row.trial(table)); err != nil {
		return err, false
	}
	if _, err := tx.Exec(ctx, "set constraints all immediate"); err != nil {
		return err, false
	}
	after, stillReadable := e.result(ctx, tx)
	return nil, readable && stillReadable && before != after
}

// result is what the query's statements return to the user, as text; ok is false
// when they cannot be run, or when a policy does not let the user in.
func (e *example) result(ctx context.Context, tx pgx.Tx) (text string, ok bool) {
	var b strings.Builder
	for _, p := range policiesOf(e.query.manifest, e.query.Function) {
		var allowed strings.Builder
		if p.Statement != nil && (!e.run(ctx, tx, &allowed, p) || allowed.Len() == 0) {
			return "", false
		}
	}
	ok = e.run(ctx, tx, &b, e.query.Function)
	return b.String(), ok
}

// run writes the rows of a function's statements.
func (e *example) run(ctx context.Context, tx pgx.Tx, b *strings.Builder, f *abi.Function) bool {
	given := e.arguments(f)
	for _, statement := range statementsOf(e.query.manifest, f) {
		template, err := abi.ParseStatement(statement.text)
		if err != nil {
			return false
		}
		text, names := template.Text(template.Variant(func(name string) bool { return given[name] != nil }))
		values := make([][]byte, len(names))
		for i, name := range names {
			values[i] = given[name]
		}
		save, err := tx.Begin(ctx)
		if err != nil {
			return false
		}
		result := save.Conn().PgConn().ExecParams(ctx, text, values, nil, nil, nil).Read()
		if err := save.Rollback(ctx); err != nil || result.Err != nil {
			return false
		}
		for _, row := range result.Rows {
			fmt.Fprintf(b, "%q\n", row)
		}
	}
	return true
}

// arguments are the texts of a function's fields and claims. What is absent is nil.
func (e *example) arguments(f *abi.Function) map[string][]byte {
	given := map[string][]byte{abi.ParamNow: []byte(time.Now().Format(time.RFC3339Nano))}
	for _, field := range f.Fields {
		switch value := field.Schema.Default; {
		case e.params.Has(field.Name):
			given[field.Name] = []byte(e.params.Get(field.Name))
		case value != nil:
			text, isText := value.AsText()
			if !isText {
				text = value.String()
			}
			given[field.Name] = []byte(text)
		}
	}
	for _, c := range f.Claims {
		if c.Claim == "sub" {
			given[c.Name] = []byte(e.user)
		}
	}
	return given
}

// constrained returns the columns of a constraint or unique index.
func (e *example) constrained(ctx context.Context, table, name string) []string {
	rows, err := e.conn.Query(ctx, `select a.attname from pg_attribute a where a.attrelid = to_regclass($1) and a.attnum = any (
			select unnest(c.conkey) from pg_constraint c where c.conrelid = to_regclass($1) and c.conname = $2
			union all select unnest(i.indkey::int2[]) from pg_index i join pg_class n on n.oid = i.indexrelid
			where i.indrelid = to_regclass($1) and n.relname = $2)`, identifier(table), name)
	if err != nil {
		return nil
	}
	list, _ := pgx.CollectRows(rows, pgx.RowTo[string])
	return list
}

// column is what an example of a row must know of a column.
type column struct {
	name, kind string
	must       bool   // an INSERT has to give it
	numbered   bool   // a sequence gives it
	unique     bool   // among others, or alone
	refTable   string // of a foreign key, quoted
	refColumn  string
	labels     []string // of an enum
	checks     string   // the text of its CHECKs
}

func columnsOf(ctx context.Context, conn *pgx.Conn, table string) []column {
	rows, err := conn.Query(ctx, `select a.attname, t.typname,
			a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = '',
			a.attidentity <> '' or coalesce(pg_get_expr(d.adbin, d.adrelid) like '%nextval(%', false),
			exists (select from pg_index i where i.indrelid = a.attrelid and i.indisunique and a.attnum = any (i.indkey)),
			coalesce(f.confrelid::regclass::text, ''), coalesce(r.attname, ''),
			array(select enumlabel::text from pg_enum where enumtypid = t.oid order by enumsortorder),
			coalesce((select string_agg(pg_get_constraintdef(c.oid), ' ') from pg_constraint c
				where c.conrelid = a.attrelid and c.contype = 'c' and a.attnum = any (c.conkey)), '')
		from pg_attribute a
		join pg_type t on t.oid = a.atttypid
		left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
		left join pg_constraint f on f.conrelid = a.attrelid and f.contype = 'f' and f.conkey = array[a.attnum]
		left join pg_attribute r on r.attrelid = f.confrelid and r.attnum = f.confkey[1]
		where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum`, identifier(table))
	if err != nil {
		return nil
	}
	list, _ := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		err = row.Scan(&c.name, &c.kind, &c.must, &c.numbered, &c.unique, &c.refTable, &c.refColumn, &c.labels, &c.checks)
		return c, err
	})
	return list
}

// exampleRow is the columns of a row with the values that they may get, as SQL.
type exampleRow []exampleValue

type exampleValue struct {
	column  string
	options []string
	at      int
	trial   bool // given in trials only, so that no sequence moves
}

// row lists the values to try, nil if a column has none.
func (e *example) row(ctx context.Context, table string) (row exampleRow) {
	given := false
	for _, c := range columnsOf(ctx, e.conn, table) {
		value, known := e.known[c.name]
		v := exampleValue{column: c.name}
		switch {
		case known && plainText.MatchString(value):
			v.options = []string{literal(c, value)}
		case known:
			return nil
		case c.numbered:
			v.trial = true
			v.options = []string{"(select coalesce(max(" + pgx.Identifier{c.name}.Sanitize() + "), 0) + 1 from " + identifier(table) + ")"}
		case !c.must:
			continue
		case c.refTable != "":
			v.options = e.literals(ctx, c, c.refTable, c.refColumn, maxTries)
		default:
			v.options = append(e.guesses(ctx, c, table), e.literals(ctx, c, identifier(table), c.name, 3)...)
		}
		if len(v.options) == 0 || !plainName.MatchString(c.name) {
			return nil
		}
		given = given || !v.trial
		row = append(row, v)
	}
	if !given {
		return nil
	}
	return row
}

// literals are values that a column has.
func (e *example) literals(ctx context.Context, c column, table, name string, most int) (list []string) {
	quoted := pgx.Identifier{name}.Sanitize()
	rows, err := e.conn.Query(ctx, fmt.Sprintf("select v::text from (select distinct %[1]s as v from %[2]s where %[1]s is not null) x order by x.v limit %[3]d", quoted, table, most))
	if err != nil {
		return nil
	}
	values, _ := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, value := range values {
		if plainText.MatchString(value) {
			list = append(list, literal(c, value))
		}
	}
	return list
}

var (
	// people are names of columns that hold who it was.
	people = regexp.MustCompile(`(^|_)(user|author|owner|by|sender|who|assignee)(_|$)`)
	// plainText is text that may stand in double quotes of a shell.
	plainText = regexp.MustCompile(`^[\pL\pN _.,:@/+-]*$`)
	// quotedText is a literal in a CHECK.
	quotedText = regexp.MustCompile(`'([^']+)'::`)
)

var numbers = []string{"int2", "int4", "int8", "float4", "float8", "numeric"}

func literal(c column, value string) string {
	if slices.Contains(numbers, c.kind) || c.kind == "bool" {
		return value
	}
	return "'" + value + "'"
}

// guesses are values that a column may take, the plainest first.
func (e *example) guesses(ctx context.Context, c column, table string) (list []string) {
	switch {
	case len(c.labels) > 0:
		for _, label := range c.labels {
			if plainText.MatchString(label) {
				list = append(list, literal(c, label))
			}
		}
		return list
	case slices.Contains(numbers, c.kind) && c.unique:
		var next string
		if e.conn.QueryRow(ctx, "select (coalesce(max("+pgx.Identifier{c.name}.Sanitize()+"), 0) + 1)::text from "+identifier(table)).Scan(&next) == nil {
			list = append(list, next)
		}
	case slices.Contains(numbers, c.kind):
		list = append(list, "1")
	case c.kind == "bool":
		return []string{"false", "true"}
	case slices.Contains([]string{"text", "varchar", "bpchar", "citext", "name"}, c.kind):
		if people.MatchString(c.name) {
			list = append(list, "'"+e.user+"'")
		} else {
			list = append(list, "'hello'")
		}
		if c.unique {
			list = append(list, "'hello again'")
		}
	case c.kind == "timestamptz" || c.kind == "timestamp" || c.kind == "date":
		list = append(list, "now()")
	case c.kind == "uuid":
		list = append(list, "gen_random_uuid()")
	case c.kind == "json" || c.kind == "jsonb":
		list = append(list, "'{}'", "'[]'")
	case strings.HasPrefix(c.kind, "_"):
		list = append(list, "'{}'")
	}
	for _, m := range quotedText.FindAllStringSubmatch(c.checks, 6) {
		if plainText.MatchString(m[1]) {
			list = append(list, literal(c, m[1]))
		}
	}
	return list
}

// next gives some columns, or all, their next values, nil when there are no more.
func (r exampleRow) next(columns []string) exampleRow {
	r = slices.Clone(r)
	for i := range r {
		if len(columns) > 0 && !slices.Contains(columns, r[i].column) {
			continue
		}
		if r[i].at+1 < len(r[i].options) {
			r[i].at++
			return r
		}
		r[i].at = 0
	}
	return nil
}

// text is the INSERT for people.
func (r exampleRow) text(table string) string {
	names, values := r.parts(false)
	return "insert into " + table + " (" + names + ") values (" + values + ")"
}

// trial is the INSERT that is tried.
func (r exampleRow) trial(table string) string {
	names, values := r.parts(true)
	return "insert into " + identifier(table) + " (" + names + ") overriding system value values (" + values + ")"
}

func (r exampleRow) parts(trial bool) (names, values string) {
	var n, v []string
	for _, c := range r {
		if trial || !c.trial {
			n, v = append(n, c.column), append(v, c.options[c.at])
		}
	}
	return strings.Join(n, ", "), strings.Join(v, ", ")
}

// plainName is a name that may stand without quotes, which a shell would take. A
// word of SQL's fails when it is tried.
var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
