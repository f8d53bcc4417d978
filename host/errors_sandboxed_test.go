package host_test

import (
	"strings"

	"weir/abi"
	"weir/host/wasm/wasmtest"
)

// What is refused of plugins that are not the operator's own, beside what is
// refused of all.

// ungranted are plugins that want more than their tenant was granted.
func ungranted() []refusedPlugin {
	var list []refusedPlugin
	f := func(what string, spoil func(m *abi.Manifest)) {
		m := inspected(`select id, name from items where shop = $shop order by id`, abi.Query)
		spoil(&m)
		list = append(list, refusedPlugin{what, wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()})
	}
	f("a public function", func(m *abi.Manifest) { m.Functions[0].Access = abi.Access{Public: true} })
	f("a claim beyond sub", func(m *abi.Manifest) {
		m.Functions[0].Claims = []abi.Claim{{Name: "roles", Claim: "roles", Schema: abi.Schema{Type: "string"}}}
	})
	f("a capability", func(m *abi.Manifest) { m.Capabilities = []string{"sql.dynamic"} })
	m := inspected(`select id, name from items where shop = $shop order by id`, abi.Query)
	return append(list, refusedPlugin{"an import of a capability that it does not ask for", wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m), Imports: []wasmtest.Import{wasmtest.Host(abi.ImportQuerySQL, "iiii:i")},
	}.Bytes()})
}

// inspected is a manifest with one statement for the signed in.
func inspected(sql string, kind abi.Kind) abi.Manifest {
	zero := 0
	f := abi.Function{Name: "items.list", Kind: kind, Statement: &zero, Access: abi.Access{SignedIn: true}}
	if strings.Contains(sql, "$shop") {
		f.Fields = fields("shop")
	}
	return abi.Manifest{
		ABI: abi.Version, Name: "shop", Version: "1",
		Statements: []abi.Statement{{SQL: sql}}, Functions: []abi.Function{f},
	}
}

// unlisted are statements that the allow-list of package inspect does not have. A
// name that begins with "mutation" is one.
var unlisted = [][2]string{
	{"nothing", ` -- nothing`},
	{"two statements", `select 1 as a; select 2 as a`},
	{"a syntax error", `select id from from items`},
	{"a text that does not end", `select 'x`},
	{"another command", `truncate items`},
	{"too many comments", `select 1 as a ` + strings.Repeat("/**/", 1001)},
	{"too many parentheses", `select ` + strings.Repeat("(", 2000) + `1` + strings.Repeat(")", 2000) + ` as a`},
	{"a write in a query", `update items set name = 'x' returning id`},
	{"a write hidden in WITH", `with w as (delete from items returning id) select id from w order by id`},
	{"a row lock", `select id from items for update`},
	{"a new table", `select id into more from items`},
	{"the clock", `select id from items where at > now() order by id`},
	{"the clock as a keyword", `select id from items where at > current_date order by id`},
	{"the clock as an age", `select age(at) as a from items`},
	{"a random number", `select random() as r`},
	{"a function that is not listed", `select pg_sleep(10)::text as s`},
	{"a function of one's own", `select id, hidden(shop) as n from items order by id`},
	{"a function of three parts", `select a.b.c() as n`},
	{"a sequence", `select nextval('items_id_seq') as n`},
	{"a setting", `select current_setting('role') as s`},
	{"the role", `select current_user as u`},
	{"the database", `select current_catalog as d`},
	{"the catalog", `select relname from pg_class order by oid`},
	{"the information schema", `select table_name from information_schema.tables order by 1`},
	{"weir's own tables", `select * from weir.log`},
	{"another database", `select id from other.public.items order by id`},
	{"a type that reads the catalog", `select 'items'::regclass::text as c`},
	{"a type of PostgreSQL's own", `select 'x'::pg_lsn::text as c`},
	{"an operator of another schema", `select 1 operator(private.+) 2 as c`},
	{"an operator that is not PostgreSQL's", `select 1 <~> 2 as c`},
	{"a field of an expression", `select (items).pg_sleep from items`},
	{"a field of a function's rows", `select e.pg_sleep from jsonb_each('{}') e`},
	{"a column that a function's rows may not have", `select e.more from jsonb_each('{}') e`},
	{"an expression in FROM", `select 1 as a from (values (1)) as v(a), current_date`},
	{"a column of four parts", `select a.b.c.d as n from items`},
	{"a system column", `select ctid::text as c from items order by id`},
	{"TABLESAMPLE", `select id from items tablesample system (10) order by id`},
	{"SQL/JSON", `select json_object('a' value 1) as j`},
	{"XML", `select xmlelement(name a)::text as x`},
	{"mutation: another command", `drop table items`},
	{"mutation: a new table", `with w as (select 1) select 1 into more`},
	{"mutation: weir's own tables", `insert into weir.jobs (kind) values ('x')`},
	{"mutation: a cursor", `delete from items where current of c`},
	{"mutation: a random number of pgcrypto", `update items set name = gen_salt('bf') where shop = 1`},
}

func inspectedStatements() []refusedPlugin {
	var list []refusedPlugin
	for _, u := range unlisted {
		kind := abi.Query
		if strings.HasPrefix(u[0], "mutation") {
			kind = abi.Mutation
		}
		m := inspected(u[1], kind)
		what := u[0] + ": " + u[1]
		if len(what) > 200 {
			what = what[:60] + "…"
		}
		list = append(list, refusedPlugin{what, wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()})
	}
	return list
}
