package db

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"

	"weir/reactor"
)

// source is where the value of a condition comes from: parameters, constants of
// the statement, or both (x in ($1, 5)).
type source struct {
	params []int // indexes of parameters
	set    bool  // the parameter is an array (= any($1))
	values []reactor.Value
}

// condition is one understood conjunct of a scan: column = any of the source's
// values when op is 0, else a comparison.
type condition struct {
	column *tableColumn
	op     reactor.Comparison
	from   source
	text   string
}

// atomPlan is an atom before its parameters are known.
type atomPlan struct {
	table   *relation // the root
	columns reactor.Columns
	equal   []condition // most selective first
	where   []condition
	keys    *resultKeys  // instead of an equality, or nil
	list    *keyList     // that keys are read from, or nil
	bound   *resultBound // beside the conditions, or nil
	// unread are the conjuncts that were dropped, each with the reason.
	unread []string
}

// bind returns the atom for a call's arguments and its outcome. False means that
// no row can meet the conditions: a comparison with NULL never holds, whatever is
// in the table, and who looks up nothing is not concerned by what is there.
func (p *atomPlan) bind(args []argument, o *outcome) (reactor.Atom, bool) {
	atom := reactor.Atom{Table: p.table.oid, Columns: p.columns}
	for i := range p.equal {
		values, known := p.equal[i].from.bind(args)
		switch {
		case !known || len(values) > reactor.MaxSet: // R11
			continue
		case len(values) == 0:
			return reactor.Atom{}, false
		}
		atom.Eq = append(atom.Eq, reactor.Equality{Column: p.equal[i].column.attr, Values: values})
	}
	if p.keys != nil {
		eq, known := p.keys.bind(o)
		switch {
		case known && len(eq.Values) == 0:
			return reactor.Atom{}, false
		case known:
			atom.Eq = append(atom.Eq, eq)
		}
	}
	if p.bound != nil {
		if w, known := p.bound.bind(o); known {
			atom.Where = append(atom.Where, w)
		}
	}
	for i := range p.where {
		c := &p.where[i]
		w := reactor.Condition{Column: c.column.attr, Op: c.op}
		if c.op != reactor.IsNull && c.op != reactor.NotNull {
			values, known := c.from.bind(args)
			switch {
			case !known || len(values) > 1:
				continue
			case len(values) == 0:
				return reactor.Atom{}, false
			}
			w.Value = values[0]
		}
		atom.Where = append(atom.Where, w)
	}
	return atom, true
}

// compared are the columns whose values decide whether the atom is concerned.
// Changes must carry them.
func (p *atomPlan) compared() iter.Seq[*tableColumn] {
	return func(yield func(*tableColumn) bool) {
		for _, conditions := range [2][]condition{p.equal, p.where} {
			for i := range conditions {
				if !yield(conditions[i].column) {
					return
				}
			}
		}
		if p.keys != nil && !yield(p.keys.column) {
			return
		}
		if p.bound != nil {
			yield(p.bound.column)
		}
	}
}

// bind returns the values, without NULLs, and false when one has no canonical
// form: the condition is then dropped.
func (s *source) bind(args []argument) ([]reactor.Value, bool) {
	if len(s.params) == 0 {
		return s.values, true
	}
	values := slices.Clone(s.values)
	for _, p := range s.params {
		a := &args[p]
		switch {
		case a.null():
			continue
		case !a.canonical || a.isSet != s.set:
			return nil, false
		case a.isSet:
			values = append(values, a.set...)
		default:
			values = append(values, a.value)
		}
	}
	return values, true
}

// reader understands the conditions of one scan. Everything that it does not
// understand is dropped, which only widens the read set.
type reader struct {
	alias  string
	table  *relation // the root: its columns are those that changes carry
	params []sqlType
	// hidden are the numbers that outputs of subplans print as (R1).
	hidden map[int]bool
	user   string // the role, for conditions of row level security
	// odd are user-defined comparisons: operator and type.
	odd map[string]bool
}

// comparisons maps an operator to its meaning and to the one with its sides
// exchanged. Equality is 0.
var comparisons = map[string]struct{ is, flipped reactor.Comparison }{
	"=": {0, 0}, "<>": {reactor.NotEqual, reactor.NotEqual}, "<": {reactor.Less, reactor.Greater}, "<=": {reactor.LessEqual, reactor.GreaterEqual},
	">": {reactor.Greater, reactor.Less}, ">=": {reactor.GreaterEqual, reactor.LessEqual},
}

// read returns what a conjunct says about a column of the scan, or why it says
// nothing that could be used.
func (r *reader) read(ts []token) (condition, string) {
	ts = unwrap(ts)
	if c, ok := r.truth(ts); ok {
		return c, ""
	}
	if c, ok := r.nullTest(ts); ok {
		return c, ""
	}
	at := -1
	outside(ts, func(i int) {
		if ts[i].kind == tokenOp {
			if at >= 0 {
				at = len(ts)
				return
			}
			at = i
		}
	})
	if at <= 0 || at >= len(ts)-1 {
		return condition{}, "not a plain comparison"
	}
	meaning, ok := comparisons[ts[at].text]
	if !ok {
		return condition{}, "not a comparison that changes can be checked with"
	}
	left, right := ts[:at], ts[at+1:]
	if right[0].keyword("ANY") && ts[at].text == "=" {
		return r.anyOf(left, right[1:])
	}
	op := meaning.is
	col, ok := r.column(left)
	if !ok {
		if col, ok = r.column(right); !ok {
			return condition{}, "neither side is a column"
		}
		right, op = left, meaning.flipped
	}
	c := condition{column: col, op: op, text: render(ts)}
	if why := r.comparable(col, ts[at].text, op); why != "" {
		return condition{}, why
	}
	from, ok := r.scalar(r.operand(right), col)
	if !ok {
		return condition{}, "the other side is not a value of the column's own type"
	}
	c.from = from
	return c, ""
}

func (r *reader) comparable(col *tableColumn, operator string, op reactor.Comparison) string {
	switch {
	case col.kind == reactor.KindNone:
		return "values of type " + col.typeName + " have several forms"
	case r.odd[operator+" "+col.typeName]:
		return "the operator is user-defined"
	case op != 0 && op != reactor.NotEqual && !col.kind.Ordered():
		return "values of type " + col.typeName + " are ordered by PostgreSQL only"
	}
	return ""
}

// truth reads a bare boolean column, and NOT of one.
func (r *reader) truth(ts []token) (condition, bool) {
	want, rest := true, ts
	if len(ts) > 1 && ts[0].keyword("NOT") {
		want, rest = false, ts[1:]
	}
	col, ok := r.column(rest)
	if !ok || col.kind != reactor.KindBool {
		return condition{}, false
	}
	return condition{column: col, from: source{values: []reactor.Value{reactor.BoolValue(want)}}, text: render(ts)}, true
}

func (r *reader) nullTest(ts []token) (condition, bool) {
	n := len(ts)
	if n < 3 || !ts[n-1].keyword("NULL") {
		return condition{}, false
	}
	op, end := reactor.IsNull, n-2
	if ts[end].keyword("NOT") {
		op, end = reactor.NotNull, n-3
	}
	if end < 1 || !ts[end].keyword("IS") {
		return condition{}, false
	}
	col, ok := r.column(ts[:end])
	// A row value is "null" when all its fields are.
	if !ok || col.composite {
		return condition{}, false
	}
	return condition{column: col, op: op, text: render(ts)}, true
}

// anyOf reads column = ANY (set).
func (r *reader) anyOf(left, right []token) (condition, string) {
	col, ok := r.column(left)
	if !ok {
		return condition{}, "the left side is not a column"
	}
	if why := r.comparable(col, "=", 0); why != "" {
		return condition{}, why
	}
	c := condition{column: col, text: render(left) + " = any " + render(right)}
	o := r.operand(right)
	for i, cast := range o.casts {
		elem, isArray := strings.CutSuffix(cast, "[]")
		if !isArray {
			return condition{}, "not a set of values"
		}
		o.casts[i] = elem
	}
	switch {
	case o.what == 'p' && o.param < len(r.params):
		t := r.params[o.param]
		if t.elem == 0 || !r.fits(t, col, o.casts) {
			return condition{}, "the set is not of the column's own type"
		}
		c.from = source{params: []int{o.param}, set: true}
		return c, ""
	case o.what == 'l':
		return r.literalSet(c, o)
	case o.what == 'a':
		for _, item := range o.list {
			from, ok := r.scalar(item, col)
			if !ok {
				return condition{}, "not a set of values of the column's own type"
			}
			c.from.params = append(c.from.params, from.params...)
			c.from.values = append(c.from.values, from.values...)
		}
		return c, ""
	}
	return condition{}, "not a set of values"
}

func (r *reader) literalSet(c condition, o operand) (condition, string) {
	tree, ok := parseArray(layout{array: true}, []byte(o.text))
	if !ok || len(o.casts) == 0 {
		return condition{}, "not a set of values"
	}
	c.from.values = []reactor.Value{}
	for _, item := range tree.list {
		if item.kind == 'n' {
			continue
		}
		from, ok := r.scalar(operand{what: 'l', text: string(item.leaf), casts: o.casts}, c.column)
		if !ok || item.kind != 'v' {
			return condition{}, "not a set of values of the column's own type"
		}
		c.from.values = append(c.from.values, from.values...)
	}
	return c, ""
}

// operand is one side of a comparison: a parameter ('p'), a literal ('l'), the
// role's name ('u'), a list ('a'), or something else (0).
type operand struct {
	what  byte
	param int
	text  string
	casts []string // innermost first
	list  []operand
}

func (r *reader) operand(ts []token) operand {
	ts = unwrap(ts)
	if inner, cast, ok := splitCast(ts); ok {
		o := r.operand(inner)
		o.casts = append(o.casts, cast)
		return o
	}
	if len(ts) > 3 && ts[0].keyword("ARRAY") && ts[1].is("[") && closing(ts, 1) == len(ts)-1 {
		o := operand{what: 'a'}
		for _, item := range split(ts[2 : len(ts)-1]) {
			o.list = append(o.list, r.operand(item))
		}
		return o
	}
	if len(ts) != 1 {
		return operand{}
	}
	switch t := ts[0]; t.kind {
	case tokenParam:
		n, err := strconv.Atoi(t.text)
		if err != nil || n < 1 || n > len(r.params) || r.hidden[n] { // R1
			return operand{}
		}
		return operand{what: 'p', param: n - 1}
	case tokenText:
		return operand{what: 'l', text: t.text}
	case tokenNumber:
		return operand{what: 'l', text: t.text, casts: []string{"integer"}}
	case tokenWord:
		switch {
		case t.quoted:
		case t.text == "true", t.text == "false":
			return operand{what: 'l', text: t.text, casts: []string{"boolean"}}
		case t.text == "CURRENT_USER", t.text == "SESSION_USER", t.text == "CURRENT_ROLE", t.text == "USER":
			return operand{what: 'u', text: r.user}
		}
	}
	return operand{}
}

// splitCast splits at the last cast outside parentheses.
func splitCast(ts []token) (inner []token, cast string, ok bool) {
	at := -1
	outside(ts, func(i int) {
		if ts[i].is("::") {
			at = i
		}
	})
	if at <= 0 {
		return nil, "", false
	}
	cast, rest := typeName(ts[at+1:])
	return ts[:at], cast, cast != "" && len(rest) == 0
}

// typeName reads a type as PostgreSQL prints it and returns what follows it.
func typeName(ts []token) (string, []token) {
	var b strings.Builder
	for i := 0; i < len(ts); i++ {
		t := ts[i]
		switch {
		case t.kind == tokenWord && !t.quoted && strings.ToUpper(t.text) == t.text && strings.ToLower(t.text) != t.text:
			return b.String(), ts[i:] // a keyword: the type is over
		case t.kind == tokenWord:
			if i > 0 && ts[i-1].kind == tokenWord || i > 0 && ts[i-1].is(")") {
				b.WriteByte(' ')
			}
			if t.quoted {
				b.WriteString(`"` + t.text + `"`)
			} else {
				b.WriteString(t.text)
			}
		case t.kind == tokenNumber || t.is(".") || t.is("[") || t.is("]"):
			b.WriteString(t.text)
		case (t.is("(") || t.is(",") || t.is(")")) && i > 0:
			b.WriteString(t.text)
		default:
			return b.String(), ts[i:]
		}
	}
	return b.String(), nil
}

// split cuts a list at its commas.
func split(ts []token) [][]token {
	var out [][]token
	start := 0
	outside(ts, func(i int) {
		if ts[i].is(",") {
			out = append(out, ts[start:i])
			start = i + 1
		}
	})
	return append(out, ts[start:])
}

// column returns the column of the scan that ts names, if casts around it keep
// its values apart as they are.
func (r *reader) column(ts []token) (*tableColumn, bool) {
	ts = unwrap(ts)
	if inner, cast, ok := splitCast(ts); ok {
		col, ok := r.column(inner)
		return col, ok && harmless(col.base, col.kind, col.typeName, cast)
	}
	if len(ts) != 3 || ts[0].kind != tokenWord || !ts[1].is(".") || ts[2].kind != tokenWord || ts[0].text != r.alias {
		return nil, false
	}
	col := r.table.columns[ts[2].text]
	return col, col != nil
}

// harmless reports whether a cast changes neither a value nor which values are
// equal.
func harmless(from uint32, kind reactor.Kind, name, cast string) bool {
	if cast == name {
		return true
	}
	switch kind {
	case reactor.KindText:
		return cast == "text" || cast == "character varying"
	case reactor.KindInt:
		return intWidth[cast] >= intWidth[typeNames[from]] && intWidth[cast] > 0
	}
	return false
}

var (
	intWidth  = map[string]int{"smallint": 2, "integer": 4, "bigint": 8}
	typeNames = map[uint32]string{
		oidInt2: "smallint", oidInt4: "integer", oidInt8: "bigint", oidText: "text", oidVarchar: "character varying",
		oidBool: "boolean", oidUUID: "uuid", oidDate: "date", oidTimestamp: "timestamp without time zone",
		oidInstant: "timestamp with time zone", oidBytes: "bytea",
	}
)

// fits reports whether values of a type, cast as given, are of the column's own
// kind (R6).
func (r *reader) fits(t sqlType, col *tableColumn, casts []string) bool {
	if t.kind() != col.kind || t.enum && t.scalar() != col.base {
		return false
	}
	name := typeNames[t.scalar()]
	if t.enum {
		name = col.typeName
	}
	for _, cast := range casts {
		if !harmless(t.scalar(), col.kind, name, cast) {
			return false
		}
	}
	return true
}

// scalar returns the source for an operand that is compared with the column.
func (r *reader) scalar(o operand, col *tableColumn) (source, bool) {
	switch o.what {
	case 'p':
		t := r.params[o.param]
		return source{params: []int{o.param}}, t.elem == 0 && r.fits(t, col, o.casts)
	case 'u':
		named := len(o.casts) == 0 || o.casts[len(o.casts)-1] == "text" || o.casts[len(o.casts)-1] == "name"
		return source{values: []reactor.Value{reactor.Value(o.text)}}, named && col.kind == reactor.KindText && r.user != ""
	case 'l':
		if len(o.casts) == 0 {
			return source{}, false
		}
		var base uint32
		for oid, name := range typeNames {
			if name == o.casts[0] {
				base = oid
			}
		}
		enum := base == 0 && col.kind == reactor.KindEnum && o.casts[0] == col.typeName
		if !enum && reactor.KindOf(base) != col.kind {
			return source{}, false
		}
		for _, cast := range o.casts[1:] {
			if !harmless(base, col.kind, o.casts[0], cast) {
				return source{}, false
			}
		}
		value, ok := reactor.ParseValue(col.kind, o.text)
		return source{values: []reactor.Value{value}}, ok && col.kind != reactor.KindNone
	}
	return source{}, false
}

// selective orders equalities so that the one with most distinct values comes
// first: the index finds the atom through it. A constant comes behind what is a
// parameter: it tells no two groups of the statement apart.
func selective(conditions []condition) {
	slices.SortStableFunc(conditions, func(a, b condition) int {
		if c := cmp.Compare(len(a.from.values)+b2i(a.from.set)*50, len(b.from.values)+b2i(b.from.set)*50); c != 0 && a.column == b.column {
			return c
		}
		if c := cmp.Compare(b2i(len(b.from.params) > 0), b2i(len(a.from.params) > 0)); c != 0 {
			return c
		}
		return cmp.Compare(b.column.distinct, a.column.distinct)
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
