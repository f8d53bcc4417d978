package inspect

import (
	"fmt"
	"slices"
	"strings"
)

// statement judges the top of the tree: what the whole statement is.
func (w *walker) statement(n object) error {
	for name := range n {
		switch name {
		case "SelectStmt":
		case "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt":
			if w.rules.Kind != Write {
				return refuse("writes (%s), but a query only reads: move it into a mutation", command(name))
			}
		default:
			return refuse("is %s: write %s", command(name), forms[w.rules.Kind])
		}
	}
	return nil
}

// command is a node's name as a person would say it: "CREATE TABLE AS" for
// CreateTableAsStmt.
func command(node string) string {
	var b strings.Builder
	for i, r := range clip(strings.TrimSuffix(node, "Stmt")) {
		if i > 0 && 'A' <= r && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// unknown refuses a node that is on no list.
func (w *walker) unknown(name string) {
	switch {
	case strings.HasPrefix(name, "Json"):
		w.refuse("uses the SQL/JSON syntax %s: write json_build_object, jsonb_path_query and the like", clip(name))
	case strings.HasPrefix(name, "Xml") || name == "RangeTableFunc":
		w.refuse("uses XML (%s): build JSON instead", clip(name))
	case name == "RangeTableSample":
		w.refuse("uses TABLESAMPLE, which answers differently each time: choose rows by a condition")
	case name == "IntoClause":
		w.refuse("makes a table (INTO): write one SELECT")
	case name == "CurrentOfExpr":
		w.refuse("uses a cursor (CURRENT OF): name the row by its key")
	case strings.HasSuffix(name, "Stmt"):
		w.refuse("contains %s: write %s", command(name), forms[w.rules.Kind])
	default:
		w.refuse("uses %s, which the inspection does not know: write it in another way", clip(name))
	}
}

// judge applies the rule of a node. Its fields are walked after it.
func (w *walker) judge(name string, n object) {
	switch name {
	case "SelectStmt":
		w.judgeSelect(n)
	case "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt":
		target, _ := n["relation"].(object)
		switch {
		case w.rules.Kind != Write:
			w.refuse("writes (%s), but a query only reads: move it into a mutation", command(name))
		case target["schemaname"] == "weir":
			w.refuse("writes into weir's own tables: call weir.job_create and the like, or keep what you need in a table of yours")
		}
	case "MergeSupportFunc", "MultiAssignRef", "SetToDefault", "OnConflictClause":
		if w.rules.Kind != Write {
			w.unknown(name)
		}
	case "RangeVar":
		w.judgeTable(n)
	case "FuncCall":
		w.judgeCall(n)
	case "ColumnRef":
		w.judgeColumn(n)
	case "A_Indirection":
		w.judgeIndirection(n)
	case "TypeName":
		w.judgeType(n)
	case "A_Expr":
		kind, _ := n["kind"].(string)
		if names := w.strings(n["name"]); !strings.Contains(kind, "BETWEEN") || len(names) != 1 || !strings.Contains(names[0], "BETWEEN") {
			w.judgeOperator(names)
		}
	case "SubLink":
		if n["operName"] != nil {
			w.judgeOperator(w.strings(n["operName"]))
		}
	case "SortBy":
		if n["useOp"] != nil {
			w.judgeOperator(w.strings(n["useOp"]))
		}
	case "SQLValueFunction":
		w.judgeValue(n)
	}
}

func (w *walker) judgeSelect(n object) {
	if n["intoClause"] != nil {
		w.unknown("IntoClause")
	}
	if n["lockingClause"] != nil && w.rules.Kind != Write {
		w.refuse("locks rows: leave out FOR UPDATE or FOR SHARE, a query reads one snapshot")
	}
}

// readable are weir's tables for everybody: row security shows each tenant its own.
var readable = []string{"jobs", "workflow_runs", "workflow_steps"}

// judgeTable judges the name of a relation. Every name that PostgreSQL uses for
// itself begins with pg_, and pg_catalog is searched before the tenant's schema.
func (w *walker) judgeTable(n object) {
	schema, _ := n["schemaname"].(string)
	table, _ := n["relname"].(string)
	switch {
	case n["catalogname"] != nil:
		w.refuse("names a database (%s): name schema and table only", clip(fmt.Sprint(n["catalogname"])))
	case schema == "weir" && slices.Contains(readable, table):
	case schema == "weir":
		w.refuse("reads weir.%s, which is weir's own: keep what you need in a table of yours", clip(table))
	case schema == "information_schema" || strings.HasPrefix(schema, "pg_") || schema == "" && strings.HasPrefix(table, "pg_"):
		w.refuse("reads the catalog (%s): keep what you need in a table of yours, whose name does not begin with pg_", clip(strings.TrimPrefix(schema+"."+table, ".")))
	}
	if p, _ := n["relpersistence"].(string); p != "" && p != "p" {
		w.refuse("names a temporary table: use an ordinary one")
	}
}

// registered are the types whose input looks names up in the catalog.
var registered = []string{
	"regclass", "regproc", "regprocedure", "regoper", "regoperator", "regtype", "regrole", "regnamespace", "regcollation",
	"regdatabase", "regdictionary",
}

func (w *walker) judgeType(n object) {
	names := w.strings(n["names"])
	if len(names) == 0 || len(names) > 2 || n["pct_type"] != nil || n["setof"] != nil || n["typeOid"] != nil {
		w.refuse("names a type in a way that the inspection does not know: write its plain name")
		return
	}
	schema, name := "", names[len(names)-1]
	if len(names) == 2 {
		schema = names[0]
	}
	base := strings.TrimLeft(name, "_") // _regclass is regclass[]
	switch {
	case slices.Contains(registered, base) && (schema == "" || schema == "pg_catalog"):
		w.refuse("uses the type %s, which reads the catalog: keep what you need in a table of yours", clip(name))
	case schema == "information_schema" || schema == "weir" || schema != "pg_catalog" && strings.HasPrefix(schema, "pg_") || strings.HasPrefix(base, "pg_"):
		w.refuse("uses the type %s, which is PostgreSQL's or weir's own: use a plain type", clip(name))
	}
}

// operators are PostgreSQL's own. That they may mean a user's for a user's type
// is for the role's EXECUTE.
var operators = strings.Fields(`!! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <->
	<< <<= <<| <= <> <@ <^ = > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~* ~<=~ ~<~ ~=
	~>=~ ~>~ ~~ ~~*`)

func (w *walker) judgeOperator(names []string) {
	switch {
	case len(names) == 2 && names[0] == "pg_catalog":
		names = names[1:]
	case len(names) == 2:
		w.refuse("uses the operator %s of the schema %s: write the expression with PostgreSQL's own operators", clip(names[1]), clip(names[0]))
		return
	}
	switch {
	case len(names) != 1:
		w.broken()
	case !slices.Contains(operators, names[0]):
		w.refuse("uses the operator %s, which is not PostgreSQL's own: write the expression out", clip(names[0]))
	}
}

// judgeIndirection refuses (expression).name. PostgreSQL calls a function of
// that name if the expression has no such field: (7).pg_sleep sleeps.
func (w *walker) judgeIndirection(n object) {
	list, _ := n["indirection"].([]any)
	for _, item := range list {
		step, _ := item.(object)
		if name, ok := step["String"].(object); ok {
			w.refuse("takes .%s of an expression, which PostgreSQL may read as a call of a function: unpack it in a view, or with a list of columns in FROM", clip(fmt.Sprint(name["sval"])))
		}
	}
}

// clockAdvice is what to do instead of reading the clock.
const clockAdvice = "pass the time as a parameter and call wake_at, or use $now and return a column wake_at"

// judgeValue judges CURRENT_DATE, CURRENT_USER and the like.
func (w *walker) judgeValue(n object) {
	op, _ := n["op"].(string)
	name := strings.TrimSuffix(strings.TrimPrefix(op, "SVFOP_"), "_N")
	switch name {
	case "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP":
		if w.rules.Kind != Write {
			w.refuse("reads the clock (%s): %s", name, clockAdvice)
		}
	case "CURRENT_ROLE", "CURRENT_USER", "USER", "SESSION_USER":
		w.refuse("asks for %s, which is the database role of all callers: declare the claim that you need", name)
	default:
		w.refuse("asks for %s, which is the session's: pass what you need as a parameter", clip(name))
	}
}
