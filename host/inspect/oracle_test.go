package inspect

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb/devdbtest"
)

// oracle asks PostgreSQL what a statement means: it makes it the body of a
// function, whose analysed tree the catalog shows.
type oracle struct {
	conn      *pgx.Conn
	functions map[string]string // by OID
	casts     map[string]bool   // functions that casts are made of, by OID
	operators map[string]bool   // those of pg_catalog, by OID
	types     map[string]string // names, by OID
	relations map[string]string // schemas, by OID
}

func newOracle(t *testing.T) *oracle {
	t.Helper()
	db := devdbtest.New(t)
	db.Exec(t, `create schema acme; set search_path = acme;
		create type mood as enum ('sad', 'ok'); create table notes (id int primary key, body text, n numeric, doc jsonb, at timestamptz, m mood, tags text[]);
		create table other (id int, body text);
		create function acme.evil(int) returns int language sql as 'select 1';
		create operator acme.<~~> (leftarg = int, rightarg = int, function = int4pl);
		create operator acme.+ (leftarg = text, rightarg = text, function = textcat)`)
	o := &oracle{conn: db.Conn(t)}
	if _, err := o.conn.Exec(t.Context(), "set search_path = acme"); err != nil {
		t.Fatal(err)
	}
	table := func(query string) map[string]string {
		rows, err := o.conn.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		var key, value string
		if _, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error { out[key] = value; return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	set := func(query string) map[string]bool {
		out := map[string]bool{}
		for key := range table(query) {
			out[key] = true
		}
		return out
	}
	o.functions = table(`select p.oid::text, case n.nspname when 'pg_catalog' then '' else n.nspname || '.' end || proname from pg_proc p join pg_namespace n on n.oid = pronamespace`)
	o.casts = set(`select castfunc::text, '' from pg_cast where castfunc <> 0`)
	o.operators = set(`select oid::text, '' from pg_operator where oprnamespace = 'pg_catalog'::regnamespace`)
	o.types = table(`select oid::text, typname::text from pg_type`)
	o.relations = table(`select c.oid::text, n.nspname::text from pg_class c join pg_namespace n on n.oid = relnamespace`)
	return o
}

var (
	callNode     = regexp.MustCompile(`\{FUNCEXPR :funcid (\d+) :funcresulttype (\d+) :funcretset \w+ :funcvariadic \w+ :funcformat (\d)`)
	otherCall    = regexp.MustCompile(`:(?:aggfnoid|winfnoid) (\d+)`)
	operatorNode = regexp.MustCompile(`:(?:opno|eqop|sortop) (\d+)`)
	relationNode = regexp.MustCompile(`:relid (\d+)`)
	coercedNode  = regexp.MustCompile(`\{(?:COERCEVIAIO|RELABELTYPE|CONST) .*?:(?:resulttype|consttype) (\d+)`)
)

// ofRows are PostgreSQL's functions that take a whole row of any table, so that
// notes.pg_typeof calls one of them though the walker sees a column. A user's
// function of a row is the role's to hold back.
var ofRows = strings.Fields(`any_out anycompatible_out anycompatiblenonarray_out anyelement_out anynonarray_out array_agg concat count cume_dist
	dense_rank first_value hash_record hash_record_extended json_agg json_build_array json_build_object jsonb_agg jsonb_build_array jsonb_build_object lag last_value
	lead mode num_nonnulls num_nulls percent_rank pg_collation_for pg_column_compression pg_column_size pg_column_toast_chunk_id pg_typeof quote_literal
	quote_nullable rank record_out record_send row_to_json to_json to_jsonb any_value json_agg_strict jsonb_agg_strict max min pg_restore_attribute_stats pg_restore_relation_stats`)

// TestFunctionsOfRowsAreHarmless: what a column's name may call on a table's row
// was looked at, on this version of PostgreSQL too.
func TestFunctionsOfRowsAreHarmless(t *testing.T) {
	t.Parallel()
	o := newOracle(t)
	rows, err := o.conn.Query(t.Context(), `select distinct proname::text from pg_proc where pronamespace = 'pg_catalog'::regnamespace
		and pronargs >= 1 and pronargs - pronargdefaults <= 1 and proargtypes[0] in ('"any"'::regtype, 'anyelement'::regtype, 'anynonarray'::regtype,
			'record'::regtype, 'anycompatible'::regtype, 'anycompatiblenonarray'::regtype)`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !slices.Contains(ofRows, name) {
			t.Errorf("%s() takes a row: look at it, and list it", name)
		}
	}
}

// excess returns what PostgreSQL would do for the statement that the list does not
// allow, or "". ok is false if PostgreSQL does not take the statement.
func (o *oracle) excess(t *testing.T, text string, kind Kind) (found string, ok bool) {
	t.Helper()
	ctx := context.Background()
	tx, err := o.conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "create function acme.probe(int, text, timestamptz, jsonb, int[]) returns void language sql begin atomic "+text+"; end"); err != nil {
		return "", false
	}
	var body string
	if err := tx.QueryRow(ctx, "select prosqlbody::text from pg_proc where proname = 'probe'").Scan(&body); err != nil {
		t.Fatal(err)
	}
	allowed := func(oid string) bool {
		name := o.functions[oid]
		k, listed := builtin()[name]
		return listed && (k == Read || kind == Write) || slices.Contains(ofRows, name)
	}
	for _, m := range callNode.FindAllStringSubmatch(body, -1) {
		cast := m[3] == "1" || m[3] == "2"
		if !cast && !allowed(m[1]) || cast && !o.casts[m[1]] && !allowed(m[1]) {
			return "call of " + o.functions[m[1]], true
		}
		if slices.Contains(registered, o.types[m[2]]) {
			return "cast to " + o.types[m[2]], true
		}
	}
	for _, m := range otherCall.FindAllStringSubmatch(body, -1) {
		if !allowed(m[1]) {
			return "call of " + o.functions[m[1]], true
		}
	}
	for _, m := range operatorNode.FindAllStringSubmatch(body, -1) {
		if m[1] != "0" && !o.operators[m[1]] && !strings.Contains(text, "+") { // acme.+ is the role's to hold back
			return "operator " + m[1], true
		}
	}
	for _, m := range relationNode.FindAllStringSubmatch(body, -1) {
		if s := o.relations[m[1]]; m[1] != "0" && s != "acme" && s != "" {
			return "relation of " + s, true
		}
	}
	for _, m := range coercedNode.FindAllStringSubmatch(body, -1) {
		if slices.Contains(registered, o.types[m[1]]) {
			return "value of type " + o.types[m[1]], true
		}
	}
	return "", true
}

// writer makes statements up: many are nonsense, those that are not try to call
// what is not on the list in all ways that SQL has.
type writer struct {
	r    *rand.Rand
	from []source
}

// source is an item of FROM with the columns that it has.
type source struct {
	alias   string
	columns []string
}

func (w *writer) one(of ...string) string { return of[w.r.IntN(len(of))] }

// functionNames are dangerous, harmless, and some are also columns.
var functionNames = []string{
	"pg_sleep", "pg_advisory_lock", "current_setting", "ts_stat", "nextval", "pg_ls_dir", "regclass", "to_regclass", "evil",
	"pg_try_advisory_lock", "lo_creat", "pg_stat_file", "pg_notification_queue_usage", "pg_cancel_backend", "pg_get_viewdef", "lower", "abs", "text", "float8", "md5",
}

// reference is a column, most often one that is there, or a function in its place.
func (w *writer) reference() string {
	if len(w.from) == 0 || w.r.IntN(12) == 0 {
		return w.one("t", "x", "notes", "excluded", "generate_series") + "." + w.one(functionNames...)
	}
	s := w.from[w.r.IntN(len(w.from))]
	if w.r.IntN(5) < 2 || len(s.columns) == 0 {
		return s.alias + "." + w.one(functionNames...)
	}
	return s.alias + "." + w.one(s.columns...)
}

// item is an item of FROM.
func (w *writer) item(depth int) string {
	a := w.one("t", "u", "x", "y", "v", "z", "pg_sleep", "lower", "float8", "generate_series")
	for _, s := range w.from {
		if s.alias == a {
			a += w.one("1", "2", "3")
		}
	}
	add := func(columns ...string) { w.from = append(w.from, source{a, columns}) }
	one := func(text, column string) string {
		switch w.r.IntN(3) {
		case 0:
			add("id")
			return text + " " + a + "(id)"
		case 1:
			add("pg_sleep")
			return text + " as " + a + "(pg_sleep)"
		}
		if column == "" {
			column = a
		}
		add(column)
		return text + " " + a
	}
	switch w.r.IntN(15) {
	case 0, 1, 2:
		add("id", "body", "n", "doc", "at", "tags")
		return w.one("notes ", "acme.notes ", "only notes ") + a
	case 3:
		add("relname", "oid")
		return w.one("pg_class ", "pg_catalog.pg_class ") + a
	case 4:
		add("id", "body")
		return "(select 1 as id, 'server_version'::text as body) " + a
	case 5:
		add("id", "body")
		return "(values (1, 'server_version'::text)) " + a + "(id, body)"
	case 6, 7:
		return one(w.one("generate_series(1, 2)", "generate_series(1::int8, 2)", "unnest(array['server_version'])", "unnest(array[0.01::float8])", "abs(-1)"), "")
	case 8:
		return one("jsonb_array_elements($4)", "value")
	case 9:
		add("key", "value")
		return "jsonb_each($4) " + a
	case 10:
		add("a", "b")
		return "rows from (generate_series(1, 2), unnest(array['a'])) " + a + "(a, b)"
	case 11:
		add("id", "ordinality")
		return "generate_series(1, 2) with ordinality " + a + "(id)"
	case 12:
		add("id", "body")
		return "json_to_record('{}') as " + a + "(id int, body text)"
	case 13:
		return one(w.one("cast(1 as float8)", "lower('server_version')", "coalesce('a'::text, 'b')"), "")
	default:
		text := "(select " + w.expr(max(0, depth-1)) + " as id) " + a
		add("id")
		return w.one("", "lateral ") + text
	}
}

func (w *writer) expr(depth int) string {
	if depth == 0 {
		if w.r.IntN(4) == 0 {
			return w.one("1", "'server_version'::text", "0.01::float8", "$1", "$2", "'pg_authid'::text", "1::int8")
		}
		return w.reference()
	}
	e := func() string { return w.expr(depth - 1) }
	switch w.r.IntN(16) {
	case 0, 1, 2:
		return "(" + e() + ")." + w.one(functionNames...)
	case 3, 4:
		return w.one(functionNames...) + "(" + e() + ")"
	case 5:
		return w.one("pg_catalog.", "acme.") + w.one(functionNames...) + "(" + e() + ")"
	case 6:
		return "(" + e() + ")::" + w.one("text", "float8", "regclass", "oid", "regtype", "_regclass", "pg_catalog.regproc", "mood", "acme.mood")
	case 7:
		return "(" + e() + ")::text " + w.one("=", "||", "<", "<~~>", "operator(acme.<~~>)", "operator(pg_catalog.||)", "~~") + " (" + e() + ")::text"
	case 8, 9:
		keep := w.from
		w.from = slices.Clone(w.from)
		from := w.item(depth - 1)
		text := "(select " + e() + " from " + from + w.one("", " where "+e()+" is null", " order by "+e(), " limit 1") + ")"
		w.from = keep
		return text
	case 10:
		return "coalesce(" + e() + ")"
	case 11:
		return "case when " + e() + " is null then " + e() + " end"
	case 12:
		return "(array[" + e() + "])[1]"
	case 13:
		return w.one("count", "array_agg") + "(" + e() + ") over (order by (" + e() + ")::text)"
	case 14:
		return "row(" + e() + ", 1)"
	}
	return "exists (" + w.one("select 1 where "+e()+" is null", "table pg_class", "values ("+e()+")") + ")"
}

func (w *writer) statement() (string, Kind) {
	w.from = nil
	depth := w.r.IntN(3)
	from := w.item(depth)
	if w.r.IntN(3) == 0 {
		from += w.one(", ", " cross join ") + w.item(depth)
	}
	with := w.one("", "", "", "with w as materialized (select "+w.expr(1)+" as id) ")
	switch w.r.IntN(8) {
	case 0:
		w.from = []source{{"notes", []string{"id", "body"}}, {"excluded", []string{"id", "body"}}}
		return "insert into notes (id, body) values (1, 'x') on conflict (id) do update set body = (" + w.expr(depth) + ")::text where (" + w.expr(0) + ") is null returning " + w.expr(depth), Write
	case 1:
		return with + "update other set body = (" + w.expr(depth) + ")::text from " + from + " where " + w.expr(0) + " is null returning " + w.expr(0), Write
	case 2:
		return with + "delete from other using " + from + " where " + w.expr(depth) + " is not null", Write
	}
	return with + "select " + w.expr(depth) + " from " + from + w.one("", " where "+w.expr(0)+" is null", " order by "+w.expr(0)), []Kind{Read, Write}[w.r.IntN(2)]
}

// TestPostgreSQLUnderstandsWhatWasJudged: of thousands of statements, many of
// which try to call what is not listed, PostgreSQL would call nothing but listed
// functions for each that is allowed.
// Cases: 45, 48.
func TestPostgreSQLUnderstandsWhatWasJudged(t *testing.T) {
	t.Parallel()
	o := newOracle(t)
	count := 3_000
	if n, err := strconv.Atoi(os.Getenv("WEIR_STATEMENTS")); err == nil {
		count = n // a long run, by hand
	}
	var allowed, valid, both, dangerous int
	for seed := range count {
		w := &writer{r: rand.New(rand.NewPCG(uint64(seed), 7))}
		text, kind := w.statement()
		err := check(text, &Rules{Kind: kind, Schema: "acme"})
		found, ok := o.excess(t, text, kind)
		if ok {
			valid++
		}
		if found != "" {
			dangerous++
		}
		if err != nil {
			continue
		}
		if allowed++; ok {
			both++
		}
		if found != "" {
			t.Errorf("seed %d: %s: allowed, %s", seed, text, found)
		}
	}
	t.Logf("%d statements: PostgreSQL takes %d, of which %d do what is not allowed; %d pass, of which it takes %d", count, valid, dangerous, allowed, both)
	if dangerous < count/20 || both < count/20 {
		t.Errorf("the statements show nothing: %d dangerous, %d taken and allowed of %d", dangerous, both, count)
	}
}

// TestListIsTheCatalogs compares the list with a real server: no function of the
// list is volatile, none is an alias of another that is not, and what is said to
// name its columns does.
// Cases: 39.
func TestListIsTheCatalogs(t *testing.T) {
	t.Parallel()
	o := newOracle(t)
	rows, err := o.conn.Query(t.Context(), `select proname::text, provolatile::text, coalesce(array_to_string(array(
			select n from unnest(proargnames, proargmodes::text[]) a(n, m) where m in ('o', 't', 'b')), ' '), ''), prosrc::text
		from pg_proc where pronamespace = 'pg_catalog'::regnamespace`)
	if err != nil {
		t.Fatal(err)
	}
	var name, volatile, out, source string
	known := map[string]bool{}
	_, err = pgx.ForEachRow(rows, []any{&name, &volatile, &out, &source}, func() error {
		known[name] = true
		kind, listed := builtin()[name]
		if !listed {
			return nil
		}
		if kind == Read && volatile == "v" {
			t.Errorf("%s() is volatile", name)
		}
		if kind == Write && volatile == "i" {
			t.Errorf("%s() is immutable: it may be used by queries", name)
		}
		if out != "" && name != "unnest" && !slices.Equal(strings.Fields(out), outputs[name]) {
			t.Errorf("%s() returns %q, known are %q", name, out, outputs[name])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Fields(`any_value array_reverse array_sort casefold crc32 crc32c date_add date_subtract erf erfc gamma lgamma to_bin to_oct
		unicode_assigned uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7`)
	for name := range builtin() {
		if !known[name] && !slices.Contains(newer, name) {
			t.Errorf("PostgreSQL has no %s()", name)
		}
	}
	for _, op := range operators {
		var n int
		if err := o.conn.QueryRow(t.Context(), `select count(*) from pg_operator where oprname = $1 and oprnamespace = 'pg_catalog'::regnamespace`, op).Scan(&n); err != nil || n == 0 {
			t.Errorf("PostgreSQL has no operator %s (%v)", op, err)
		}
	}
}

// TestNoBuiltinIsCalledByItsNameAlone: each function that takes one argument, in
// all forms that call it without parentheses.
// Cases: 48.
func TestNoBuiltinIsCalledByItsNameAlone(t *testing.T) {
	t.Parallel()
	o := newOracle(t)
	for oid, name := range o.functions {
		if n, _ := strconv.Atoi(oid); n%7 != 0 { // the rules know no names but pg_…
			continue
		}
		if _, listed := builtin()[name]; listed || strings.Contains(name, ".") {
			continue
		}
		for _, form := range []string{`select (1)."%s"`, `select x."%s" from generate_series(1, 2) x`, `select "%s"(1)`, `select pg_catalog."%s"(1)`, `select t.id from notes t order by (t.body)."%[1]s"`} {
			text := fmt.Sprintf(form, name)
			if check(text, &Rules{Kind: Write, Schema: "acme"}) == nil {
				t.Errorf("%s passes (function %s)", text, oid)
			}
		}
	}
}
