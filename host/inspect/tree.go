package inspect

import (
	"encoding/json"
	"strings"
	"sync"
)

// form says what a field of a node holds.
type form uint8

const (
	formValue form = iota + 1 // a number, a text, a boolean: nothing to walk
	formNode                  // a node that says its own type
	formList                  // a list of such nodes
	formTyped                 // a node of the type that shape.typed names
)

type shape struct {
	form  form
	typed string
}

// shapes are the nodes that may occur and all their fields. A node or a field
// that is not here is refused (I1). A bare name is a node, name* a list, name=
// a plain value, name:Type a node of that type.
var shapes = sync.OnceValue(func() map[string]map[string]shape {
	out := map[string]map[string]shape{}
	for line := range strings.Lines(grammar) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		fields := map[string]shape{"location": {form: formValue}}
		for _, w := range words[1:] {
			name, typed, isTyped := strings.Cut(w, ":")
			switch {
			case isTyped:
				fields[name] = shape{formTyped, typed}
			case strings.HasSuffix(w, "*"):
				fields[w[:len(w)-1]] = shape{form: formList}
			case strings.HasSuffix(w, "="):
				fields[w[:len(w)-1]] = shape{form: formValue}
			default:
				fields[w] = shape{form: formNode}
			}
		}
		out[words[0]] = fields
	}
	return out
})

const grammar = `
SelectStmt distinctClause* targetList* fromClause* whereClause groupClause* groupDistinct= havingClause windowClause* valuesLists* sortClause* limitOffset limitCount limitOption= lockingClause* withClause:WithClause op= all= larg:SelectStmt rarg:SelectStmt
InsertStmt relation:RangeVar cols* selectStmt onConflictClause:OnConflictClause returningList* withClause:WithClause override=
UpdateStmt relation:RangeVar targetList* whereClause fromClause* returningList* withClause:WithClause
DeleteStmt relation:RangeVar usingClause* whereClause returningList* withClause:WithClause
MergeStmt relation:RangeVar sourceRelation joinCondition mergeWhenClauses* returningList* withClause:WithClause
MergeWhenClause matchKind= commandType= override= condition targetList* values*
OnConflictClause action= infer:InferClause targetList* whereClause
InferClause indexElems* whereClause conname=
IndexElem name= expr collation* ordering= nulls_ordering=
LockingClause lockedRels* strength= waitPolicy=
WithClause ctes* recursive=
CommonTableExpr ctename= aliascolnames* ctematerialized= ctequery search_clause:CTESearchClause cycle_clause:CTECycleClause
CTESearchClause search_col_list* search_breadth_first= search_seq_column=
CTECycleClause cycle_col_list* cycle_mark_column= cycle_mark_value cycle_mark_default cycle_path_column=
RangeVar schemaname= relname= inh= relpersistence= alias:Alias
RangeSubselect lateral= subquery alias:Alias
RangeFunction lateral= ordinality= is_rowsfrom= functions* alias:Alias coldeflist*
JoinExpr jointype= isNatural= larg rarg usingClause* join_using_alias:Alias quals alias:Alias
Alias aliasname= colnames*
ColumnDef colname= typeName:TypeName is_local=
ResTarget name= indirection* val
ColumnRef fields*
ParamRef number=
A_Const isnull= ival= fval= boolval= sval= bsval=
A_Star
A_Expr kind= name* lexpr rexpr
A_ArrayExpr elements*
A_Indices is_slice= lidx uidx
A_Indirection arg indirection*
BoolExpr boolop= args*
SubLink subLinkType= testexpr operName* subselect
CaseExpr arg args* defresult
CaseWhen expr result
CoalesceExpr args*
MinMaxExpr op= args*
NullTest arg nulltesttype=
BooleanTest arg booltesttype=
RowExpr args* row_format=
TypeCast arg typeName:TypeName
TypeName names* typmods* typemod= arrayBounds* typeOid= setof= pct_type=
CollateClause arg collname*
FuncCall funcname* args* agg_order* agg_filter over:WindowDef agg_within_group= agg_star= agg_distinct= func_variadic= funcformat=
NamedArgExpr arg name= argnumber=
WindowDef name= refname= partitionClause* orderClause* frameOptions= startOffset endOffset
SortBy node sortby_dir= sortby_nulls= useOp*
GroupingFunc args*
GroupingSet kind= content*
SQLValueFunction op= typmod=
SetToDefault
MultiAssignRef source colno= ncolumns=
MergeSupportFunc msftype= msfcollid=
List items*
String sval=
Integer ival=
`

// walker goes through one statement. The first refusal ends it.
type walker struct {
	rules *Rules
	root  object
	// functions are the aliases of functions in FROM, with the columns that they
	// surely have.
	functions map[string]columns
	err       error
}

func newWalker(rules *Rules, root object) *walker {
	return &walker{rules: rules, root: root, functions: map[string]columns{}}
}

// run judges the whole parse result.
func (w *walker) run() error {
	list, ok := w.root["stmts"].([]any)
	if !ok || len(list) == 0 {
		return refuse("is empty: write %s", forms[w.rules.Kind])
	}
	if len(list) > 1 {
		return refuse("is %d statements: write one, and declare the others beside it", len(list))
	}
	raw, ok := list[0].(object)
	if !ok {
		return errTree
	}
	for name := range w.root {
		if name != "version" && name != "stmts" {
			return errTree
		}
	}
	for name := range raw {
		if name != "stmt" && name != "stmt_location" && name != "stmt_len" {
			return errTree
		}
	}
	statement, ok := raw["stmt"].(object)
	if !ok {
		return errTree
	}
	if err := w.statement(statement); err != nil {
		return err
	}
	w.each(statement, func(name string, n object) {
		if name == "RangeFunction" {
			w.declare(n)
		}
	})
	w.node(statement)
	return w.err
}

// refuse keeps the first refusal.
func (w *walker) refuse(format string, args ...any) {
	if w.err == nil {
		w.err = refuse(format, args...)
	}
}

// broken says that the tree is none.
func (w *walker) broken() {
	if w.err == nil {
		w.err = errTree
	}
}

// node walks a node that says its own type: an object with one field.
func (w *walker) node(value any) {
	n, ok := value.(object)
	switch {
	case w.err != nil:
	case !ok || len(n) > 1:
		w.broken()
	default:
		for name, body := range n { // one, or none: plain DISTINCT has an empty node
			w.typed(name, body)
		}
	}
}

// typed walks a node of a known type. Its own rule comes first, so that what is
// refused is told in its own words.
func (w *walker) typed(name string, value any) {
	n, ok := value.(object)
	if w.err != nil || !ok {
		if !ok {
			w.broken()
		}
		return
	}
	fields := shapes()[name]
	if fields == nil {
		w.unknown(name)
		return
	}
	if w.judge(name, n); w.err != nil {
		return
	}
	for field, value := range n {
		shape, ok := fields[field]
		if !ok {
			w.refuse("uses %s.%s, which the inspection does not know: write it in another way", clip(name), clip(field))
			return
		}
		w.field(name, shape, value)
	}
}

func (w *walker) field(name string, s shape, value any) {
	switch s.form {
	case formNode:
		w.node(value)
	case formTyped:
		w.typed(s.typed, value)
	case formList:
		list, ok := value.([]any)
		if !ok {
			w.broken()
			return
		}
		for _, item := range list {
			w.node(item)
		}
	case formValue:
		if !plain(value, name == "A_Const") {
			w.broken()
		}
	}
}

// plain reports whether a value holds no node. A constant wraps its own.
func plain(value any, constant bool) bool {
	switch v := value.(type) {
	case bool, string, json.Number, nil:
		return true
	case object:
		if !constant || len(v) > 1 {
			return false
		}
		for _, inner := range v {
			if !plain(inner, false) {
				return false
			}
		}
		return true
	}
	return false
}

// each calls f for every node below a value, whatever it is.
func (w *walker) each(value any, f func(name string, n object)) {
	switch v := value.(type) {
	case object:
		for name, inner := range v {
			if n, ok := inner.(object); ok {
				f(name, n)
			}
			w.each(inner, f)
		}
	case []any:
		for _, item := range v {
			w.each(item, f)
		}
	}
}

// strings returns a list of String nodes, or nil if it is none.
func (w *walker) strings(value any) []string {
	list, _ := value.([]any)
	out := make([]string, 0, len(list))
	for _, item := range list {
		n, _ := item.(object)
		s, ok := n["String"].(object)
		if !ok {
			return nil
		}
		text, _ := s["sval"].(string)
		out = append(out, text)
	}
	return out
}
