package host_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"weir/abi"
	"weir/host"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// The messages are the product: what an author reads when a plugin is refused, and
// what a client reads when a request is. testdata/errors.txt has them all; a change
// of it is reviewed line by line: does it say what, where, and what to write
// instead?

// refusedPlugin is a plugin that is refused, in the words of a list.
type refusedPlugin struct {
	what string
	code []byte
}

// shop is the schema that the plugins of this file are refused against.
const shop = `
create table items (id bigint primary key, shop int not null, name text not null, price numeric, at timestamptz);
create index on items (shop, id);
create table owners (shop int, who text, primary key (shop, who));
create view cheap as select * from items where price < 10;
create materialized view counts as select shop, count(*) from items group by shop;
create function hidden(s int) returns bigint language plpgsql stable as 'begin return (select count(*) from items where shop = s); end';
create function dice() returns int language plpgsql volatile as 'begin return 4; end';
create schema private; create table private.secret (id int primary key);
create type pair as (a int, b int);
insert into items values (1, 1, 'tea', 2.5, now()), (2, 1, 'cup', 9, now()); insert into owners values (1, 'ann');`

// fields is one integer field.
func fields(name string) []abi.Field {
	return []abi.Field{{Name: name, Schema: abi.Schema{Type: "integer"}}}
}

// whole is a manifest with nothing wrong: a query, a policy and a mutation.
func whole() abi.Manifest {
	read, check, write := 0, 1, 2
	return abi.Manifest{
		ABI: abi.Version, Name: "shop", Version: "1",
		Statements: []abi.Statement{
			{SQL: `select id, name from items where shop = $shop order by id`, Key: []string{"id"}},
			{SQL: `select 1 from owners where shop = $shop and who = $me`},
			{SQL: `update items set name = 'new' where shop = $shop returning id`},
		},
		Functions: []abi.Function{
			{Name: "items.list", Kind: abi.Query, Fields: fields("shop"), Statement: &read, Access: abi.Access{Public: true}},
			{Name: "owner", Kind: abi.Policy, Fields: fields("shop"), Claims: []abi.Claim{{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}}}, Statement: &check},
			{Name: "items.name", Kind: abi.Mutation, Fields: fields("shop"), Statement: &write, Access: abi.Access{Policies: []string{"owner"}}},
		},
	}
}

// brokenManifests are manifests with one thing wrong each.
func brokenManifests() []refusedPlugin {
	var list []refusedPlugin
	f := func(what string, spoil func(m *abi.Manifest)) {
		m := whole()
		spoil(&m)
		list = append(list, refusedPlugin{what, wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()})
	}
	one := func(what string, spoil func(f *abi.Function)) {
		f(what, func(m *abi.Manifest) { spoil(&m.Functions[0]) })
	}
	low, high, negative, none := 5.0, 1.0, -1, 9
	long := strings.Repeat("x", 200)
	f("another ABI", func(m *abi.Manifest) { m.ABI = 9 })
	f("a plugin without a good name", func(m *abi.Manifest) { m.Name = "My Shop" })
	f("a plugin with weir's name", func(m *abi.Manifest) { m.Name = "weir" })
	f("a version that is too long", func(m *abi.Manifest) { m.Version = long })
	f("an unknown capability", func(m *abi.Manifest) { m.Capabilities = []string{"network"} })
	f("a capability twice", func(m *abi.Manifest) { m.Capabilities = []string{"sql.dynamic", "sql.dynamic"} })
	f("two functions of one name", func(m *abi.Manifest) { m.Functions[2].Name = "items.list" })
	one("a function without a good name", func(f *abi.Function) { f.Name = "Items List" })
	one("a function with weir's name", func(f *abi.Function) { f.Name = "weir.items" })
	one("an unknown kind", func(f *abi.Function) { f.Kind = "subscription" })
	one("no access", func(f *abi.Function) { f.Access = abi.Access{} })
	one("a policy that is not there", func(f *abi.Function) { f.Access = abi.Access{Policies: []string{"owners"}} })
	one("a policy twice", func(f *abi.Function) { f.Access = abi.Access{Policies: []string{"owner", "owner"}} })
	one("a policy that is a mutation", func(f *abi.Function) { f.Access = abi.Access{Policies: []string{"items.name"}} })
	one("a policy's argument that the function has not", func(f *abi.Function) {
		f.Access, f.Fields[0].Name = abi.Access{Policies: []string{"owner"}}, "store"
	})
	f("a policy with access", func(m *abi.Manifest) { m.Functions[1].Access.Public = true })
	f("a policy that reads the scope", func(m *abi.Manifest) {
		m.Functions[1].Scope = []abi.Field{{Name: "org", Schema: abi.Schema{Type: "string"}}}
	})
	one("a query that asks for the action", func(f *abi.Function) { f.Action = true })
	one("a parameter without a field", func(f *abi.Function) { f.Fields[0].Name = "shops" })
	one("a statement that is not there", func(f *abi.Function) { f.Statement = &none })
	one("a statement and uses", func(f *abi.Function) { f.Uses = []int{0} })
	one("uses twice", func(f *abi.Function) { f.Statement, f.Uses = nil, []int{0, 0} })
	one("uses that are not there", func(f *abi.Function) { f.Statement, f.Uses = nil, []int{9} })
	one("two fields of one name", func(f *abi.Function) { f.Fields = append(f.Fields, f.Fields[0]) })
	one("a field without a good name", func(f *abi.Function) {
		f.Fields = append(f.Fields, abi.Field{Name: "a b", Schema: abi.Schema{Type: "string"}})
	})
	one("a field called args", func(f *abi.Function) {
		f.Fields = append(f.Fields, abi.Field{Name: "args", Schema: abi.Schema{Type: "string"}})
	})
	one("a field called now", func(f *abi.Function) {
		f.Fields = append(f.Fields, abi.Field{Name: "now", Schema: abi.Schema{Type: "string"}})
	})
	one("a claim without a name", func(f *abi.Function) {
		f.Claims = []abi.Claim{{Name: "me", Schema: abi.Schema{Type: "string"}}}
	})
	schema := func(what string, s abi.Schema) {
		one(what, func(f *abi.Function) { f.Fields = append(f.Fields, abi.Field{Name: "x", Schema: s}) })
	}
	five := abi.Int(5)
	schema("an unknown type", abi.Schema{Type: "bigint"})
	schema("a format of no string", abi.Schema{Type: "integer", Format: "uuid"})
	schema("items of no array", abi.Schema{Type: "string", Items: &abi.Schema{Type: "string"}})
	schema("fields of no object", abi.Schema{Type: "string", Fields: []abi.Field{{Name: "a"}}})
	schema("a default that does not fit", abi.Schema{Type: "string", Default: &five})
	schema("bounds of a string", abi.Schema{Type: "string", Min: &low})
	schema("bounds that cross", abi.Schema{Type: "integer", Min: &low, Max: &high})
	schema("a length of a number", abi.Schema{Type: "integer", MaxLen: &none})
	schema("a negative length", abi.Schema{Type: "string", MaxLen: &negative})
	schema("an enum of numbers", abi.Schema{Type: "integer", Enum: []string{"1"}})
	f("a nested statement without a parameter", func(m *abi.Manifest) {
		m.Statements = append(m.Statements, abi.Statement{SQL: "select id from items"})
		m.Statements[0].Nest = []abi.Nest{{Name: "more", On: "id", Statement: 3, Column: "id"}}
	})
	f("a statement nested in itself", func(m *abi.Manifest) {
		m.Statements[0].Nest = []abi.Nest{{Name: "more", On: "id", Statement: 0, Column: "id"}}
	})
	f("a nest without a name", func(m *abi.Manifest) { m.Statements[0].Nest = []abi.Nest{{Statement: 1}} })
	f("a key column twice", func(m *abi.Manifest) { m.Statements[0].Key = []string{"id", "id"} })
	f("braces that do not close", func(m *abi.Manifest) {
		m.Statements[0].SQL = `select id from items where shop = $shop {and name = 'x' order by id`
	})
	f("positional parameters", func(m *abi.Manifest) { m.Statements[0].SQL = `select id, name from items where shop = $1 order by id` })
	return list
}

// brokenModules are files that are no plugins.
func brokenModules() []refusedPlugin {
	m := whole()
	manifest := abi.AppendManifest(nil, &m)
	unknown := wasmtest.Guest{Manifest: manifest, Imports: []wasmtest.Import{{Module: "env", Name: "fetch"}}}.Bytes()
	return append([]refusedPlugin{
		{"a text", []byte("select 1")},
		{"nothing", nil},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00")},
		{"another version", []byte("\x00asm\x02\x00\x00\x00")},
		{"no exports", []byte("\x00asm\x01\x00\x00\x00")},
		{"no weir_call", wasmtest.Guest{Manifest: manifest, Without: "weir_call"}.Bytes()},
		{"no memory", wasmtest.Guest{Manifest: manifest, Without: "memory"}.Bytes()},
		{"an import of another module", unknown},
		{"a manifest that is none", wasmtest.Guest{Manifest: []byte("{}")}.Bytes()},
		{"a trap while it describes itself", wasmtest.Guest{Manifest: manifest, Describe: wasmtest.Unreachable()}.Bytes()},
	}, gatedModules()...)
}

// brokenSQL are statements that cannot run, or cannot be kept live. A name that
// begins with "mutation" is one.
var brokenSQL = [][2]string{
	{"a column that is not there", `select id, nam from items where shop = 1 order by id`},
	{"a table that is not there", `select id from itemz order by id`},
	{"a function that is not there", `select id, lowercase(name) as n from items order by id`},
	{"a syntax error", `select id form items`},
	{"two statements", `select 1 as a; select 2 as a`},
	{"a type that cannot be told", `select $a + $b as x`},
	{"a table that may not be read", `select id from private.secret`},
	{"a write in a query", `update items set name = 'x' returning id`},
	{"a write hidden in WITH", `with w as (delete from items returning id) select id from w order by id`},
	{"a row lock", `select id from items for update`},
	{"another command", `truncate items`},
	{"the clock", `select id from items where at > now() order by id`},
	{"the clock as a keyword", `select id from items where at > current_date order by id`},
	{"the clock as a text", `select id from items where at > 'yesterday'::timestamptz order by id`},
	{"$now without wake_at", `select id from items where at > $now order by id`},
	{"LIMIT without an order", `select id from items limit 3`},
	{"LIMIT with an order that does not decide", `select id, name from items order by name limit 3`},
	{"a random number", `select id, random() as r from items order by id`},
	{"a volatile function", `select id, dice() as d from items order by id`},
	{"a function that reads tables", `select id, hidden(shop) as n from items order by id`},
	{"the catalog", `select relname from pg_class order by oid`},
	{"the session", `select pg_backend_pid() as p`},
	{"a materialized view", `select shop from counts order by shop`},
	{"a system column", `select ctid::text as c from items order by id`},
	{"TABLESAMPLE", `select id from items tablesample system (10) order by id`},
	{"two columns of one name", `select id, name, name from items order by id`},
	{"a fragment that changes the columns", `select id {, $x::int as n} from items order by id`},
	{"mutation: another command", `drop table items`},
	{"mutation: a column that is not there", `update items set nam = 'x' where shop = 1`},
	{"mutation: a type that does not fit", `insert into items (id, shop, name) values (1, 'one', 2)`},
}

func brokenStatements() []refusedPlugin {
	var list []refusedPlugin
	for _, b := range brokenSQL {
		m, zero := whole(), 0
		m.Statements = []abi.Statement{{SQL: b[1]}}
		f := abi.Function{Name: "items.list", Kind: abi.Query, Statement: &zero, Access: abi.Access{Public: true}}
		if strings.HasPrefix(b[0], "mutation") {
			f.Kind = abi.Mutation
		}
		for _, name := range []string{"a", "b", "x"} {
			if strings.Contains(b[1], "$"+name) {
				f.Fields = append(f.Fields, abi.Field{Name: name, Schema: abi.Schema{Type: "integer", Optional: name == "x"}})
			}
		}
		m.Functions = []abi.Function{f}
		list = append(list, refusedPlugin{b[0] + ": " + b[1], wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()})
	}
	key := func(what, sql string, key ...string) {
		m := whole()
		m.Statements[0] = abi.Statement{SQL: sql, Key: key}
		list = append(list, refusedPlugin{what + ": " + sql, wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()})
	}
	key("a key that is not returned", `select name from items where shop = $shop order by id`, "id")
	return list
}

// badRequests are requests that are refused: method, path, header, body.
var badRequests = []struct{ method, path, header, body string }{
	{"GET", "/v1/q/items.lst?shop=1", "", ""},
	{"GET", "/v1/q/items.name?shop=1", "", ""},
	{"GET", "/v1/q/items.list", "", ""},
	{"GET", "/v1/q/items.list?shop=one", "", ""},
	{"GET", "/v1/q/items.list?shp=1", "", ""},
	{"GET", "/v1/q/items.list?shop=1&shop=2", "", ""},
	{"GET", "/v1/q/items.list?args=%7B", "", ""},
	{"GET", "/v1/q/items.list?args=[1]", "", ""},
	{"GET", "/v1/q/items.list?shop=1", "Authorization: Basic eA==", ""},
	{"GET", "/v1/q/items.list?shop=1", "Authorization: Bearer nonsense", ""},
	{"GET", "/v1/q/items.list?shop=1&ticket=x", "", ""},
	{"POST", "/v1/call/items.name", "", `{"shop":1}`},
	{"POST", "/v1/call/items.name?as=eve", "", `{"shop":1}`},
	{"POST", "/v1/call/items.name?as=ann", "", `{"shop":"1"}`},
	{"POST", "/v1/call/items.name?as=ann", "", `{"shop":1.5}`},
	{"POST", "/v1/call/items.name?as=ann", "", `{"shop":1,"nam":"x"}`},
	{"POST", "/v1/call/items.name?as=ann", "", `{"shop":1`},
	{"POST", "/v1/call/items.name?as=ann", "", `{"shop":1,"shop":2}`},
	{"POST", "/v1/call/items.name?as=ann", "Content-Type: text/plain", `{"shop":1}`},
	{"POST", "/v1/call/items.name?as=ann", "Content-Encoding: gzip", `{"shop":1}`},
	{"POST", "/v1/call/items.name?as=ann", "Origin: https://evil.example", `{"shop":1}`},
	{"POST", "/v1/call/items.list?as=ann", "", `{"shop":1}`},
	{"GET", "/v1/call/items.name?as=ann", "", ""},
	{"GET", "/v1/nothing", "", ""},
	{"GET", "/v1/q/items.list?shop=1", "Host: evil.example", ""},
	{"POST", "/v1/stream?as=ann", "", `{"subs":[{"q":"items.list"}]}`},
	{"POST", "/v1/stream?as=ann", "", `{"subs":1}`},
	{"POST", "/v1/stream/abc?as=ann", "", `{"add":[]}`},
}

// refusedGroup is a list with its title.
type refusedGroup struct {
	title string
	list  []refusedPlugin
}

// refusedGroups starts a host with all the plugins of the groups, and one with
// nothing wrong, and returns what it says of each.
func refusedGroups(t *testing.T, config hosttest.Config, groups []refusedGroup) (string, *hosttest.Server) {
	t.Helper()
	modules := map[string][]byte{}
	for g, group := range groups {
		for i, p := range group.list {
			modules[fmt.Sprintf("p%d%02d.wasm", g, i)] = p.code
		}
	}
	m := whole()
	modules["shop.wasm"] = wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()
	var mu sync.Mutex // protects the field below
	said := map[string]string{}
	config.Schema, config.Modules = shop, modules
	config.Event = func(e host.Event) {
		if e.Kind == host.PluginFailed {
			mu.Lock()
			defer mu.Unlock()
			said[e.Name] = strings.ReplaceAll(e.Err.Error(), e.Name, "shop.wasm")
		}
	}
	s := hosttest.Start(t, config)
	mu.Lock()
	defer mu.Unlock()
	var b strings.Builder
	for g, group := range groups {
		fmt.Fprintf(&b, "# %s\n\n", group.title)
		for i, p := range group.list {
			text := said[fmt.Sprintf("p%d%02d.wasm", g, i)]
			if text == "" {
				t.Errorf("%s is not refused", p.what)
			}
			fmt.Fprintf(&b, "%s\n  %s\n\n", p.what, strings.ReplaceAll(text, "\n", "\n  "))
		}
	}
	return b.String(), s
}

// Cases: 6.
func TestGoldenErrors(t *testing.T) {
	t.Parallel()
	text, s := refusedGroups(t, hosttest.Config{}, []refusedGroup{{"modules", brokenModules()}, {"manifests", brokenManifests()}, {"statements", brokenStatements()}})
	sandboxed, _ := refusedGroups(t, hosttest.Config{TOML: "plugins = \"plugins\"\ntrust = \"sandboxed\"\n"}, []refusedGroup{
		{"grants of plugins that are not the operator's own", ungranted()},
		{"statements of plugins that are not the operator's own", inspectedStatements()},
	})
	var b strings.Builder
	b.WriteString(text + sandboxed + "# requests\n\n")
	for _, r := range badRequests {
		fmt.Fprintf(&b, "%s %s", r.method, r.path)
		for _, more := range []string{r.header, r.body} {
			if more != "" {
				fmt.Fprintf(&b, "  %s", more)
			}
		}
		fmt.Fprintf(&b, "\n  %s\n\n", refusedRequest(t, s, r.method, r.path, r.header, r.body))
	}
	b.WriteString(refusedTokens(t))
	goldenErrors(t, b.String())
}

// refusedRequest is the answer to a request in one line: status, code, message.
func refusedRequest(t *testing.T, s *hosttest.Server, method, path, header, body string) string {
	t.Helper()
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
		if name == "Host" {
			r.Host = value
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Code, Message string }
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		t.Errorf("%s %s is not refused: %s %s", method, path, resp.Status, text)
	}
	return fmt.Sprintf("%d %s: %s", resp.StatusCode, p.Code, p.Message)
}

// goldenErrors compares with testdata/errors.txt, or rewrites it.
func goldenErrors(t *testing.T, got string) {
	t.Helper()
	path := filepath.Join("testdata", "errors.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	old := strings.Split(string(want), "\n")
	for line := range strings.Lines(got) {
		if line = strings.TrimSuffix(line, "\n"); !slices.Contains(old, line) {
			t.Errorf("%s has not: %s", path, line)
		}
	}
	t.Errorf("%s differs: run make golden and review it", path)
}
