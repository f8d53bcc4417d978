package host_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"weir/host"
	"weir/host/hosttest"
)

const boardSchema = `create table lists (id int primary key, title text not null, secret text);
	create table cards (id int primary key, list_id int not null, text text not null, tags text[] not null default '{}');
	create table notes (card_id int not null, note text not null);
	insert into lists values (1, 'todo', 'x'), (2, 'done', 'y'), (3, 'empty', 'z');
	insert into cards values (10, 1, 'tea'), (11, 1, 'rain'), (20, 2, 'milk');
	insert into notes values (10, 'green'), (20, 'fresh');`

const board = `
import { exec, mutation, nest, plugin, query, querySQL, select, t } from "weir"
plugin("board", "1.0.0", { capabilities: ["sql.dynamic"] })

const open = { public: true }
const notes = select("select card_id, note from notes where card_id = any($cards) order by note")
const cards = select("select id, list_id, text from cards where list_id = any($lists) order by id",
  { nest: nest("notes", "id", notes, "card_id") })
const lists = select("select id, title, secret from lists order by id")
const whole = select("select id, title, secret from lists order by id", { key: "id", nest: [nest("cards", "id", cards, "list_id")] })

query("lists.whole", {}, whole, {
  ...open, result: t.array(t.object({ id: t.int, title: t.text, secret: t.text.optional(),
    cards: t.array(t.object({ id: t.int, list_id: t.int, text: t.text, notes: t.array(t.object({ card_id: t.int, note: t.text })) })) })),
})
query("lists.named", {}, () => lists.rows().project(["title", "id"]), open)
query("lists.numbered", {}, () => lists.rows().project([1]), open)
query("lists.nested", {}, () => {
  const rows = lists.rows()
  const inside = cards.rows({ lists: rows.all().map(l => l.id) })
  return rows.project(["id", "title"]).nest("cards", "id", inside.project(["text", "list_id", "notes"]), "list_id")
}, open)
query("lists.chosen", {}, () => whole.rows().project(["cards", "title"]).project(["title", "cards"]).pick([1, 0]), open)
query("lists.read", {}, () => lists.rows().project(["title", "id"]).project(["id", "title"]).project(["id"]).pick([2, 0]).all(), open)
query("lists.closed", {}, () => {
  const read = []
  for (let i = 0; i < 4; i++) {
    const rows = lists.rows(), one = rows.pick([i % 3])
    read.push(one.one().title)
    one.close()
    rows.close()
  }
  return read
}, open)
query("lists.kept", {}, () => { for (let i = 0; i < 3; i++) lists.rows() }, open)

query("search", { table: t.enum("lists", "cards"), word: t.text.optional(), id: t.int.optional() }, a => {
  const column = a.table === "lists" ? "title" : "text"
  return querySQL("select id, " + column + " as text from " + a.table + " where true {and " + column + " = $word} {and id = $id} order by id", a)
}, open)
query("count", { of: t.text }, a => ({ n: querySQL("select count(*) as n from " + a.of, {}, { row: { n: t.int64 } }).one().n + 1n }), open)
query("count.cards", {}, () => {
  const found = querySQL("select id, title from lists where id < $to order by id", { to: 3 })
  return found.nest("cards", "id", cards.rows({ lists: found.all().map(l => l.id) }), "list_id")
}, open)
mutation("rename", { id: t.int, title: t.text }, a => querySQL("update lists set title = $title where id = $id returning title", a).one(), open)

const bad = {
  column: () => lists.rows().project(["titel"]),
  away: () => lists.rows().project(["id"]).project(["title"]),
  far: () => lists.rows().project([7]),
  index: () => lists.rows().pick([-1]),
  list: () => lists.rows().project("id"),
  nested: () => lists.rows().nest("cards", "id", cards, "list_id"),
  twice: () => { const r = lists.rows(); r.close(); r.close() },
  after: () => { const r = lists.rows(); r.close(); return r.all() },
  given: () => querySQL("select id from lists where id = $id order by id"),
  text: () => querySQL(7),
  option: () => querySQL("select 1 as one", {}, { key: "id" }),
  syntax: () => querySQL("select id frm lists"),
  clock: () => querySQL("select now() as at"),
  write: () => querySQL("delete from lists"),
}
query("bad", { what: t.text }, a => { try { return bad[a.what]().all() } catch (e) { return e.name + ": " + e.message } }, open)
`

func boardIn(t *testing.T) *hosttest.Server {
	t.Helper()
	return javascript(t, hosttest.Config{
		Schema: boardSchema, TOML: "plugins = \"plugins\"\ngrant = [\"sql.dynamic\"]\n[limits]\nhandles = 5\nquery_timeout = \"30s\"\nguest_timeout = \"30s\"\n",
	}, map[string]string{"board.js": board})
}

// What Go has in weir.Nest, and the contract in rows_pick, rows_project, rows_nest
// and close, JavaScript has, too.
func TestJavaScriptShapesRows(t *testing.T) {
	t.Parallel()
	s := boardIn(t)
	f := func(path, want string) {
		t.Helper()
		if got := body(t, s.URL+"/v1/q/"+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	const tea, rain = `{"id":10,"list_id":1,"text":"tea","notes":[{"card_id":10,"note":"green"}]}`, `{"id":11,"list_id":1,"text":"rain","notes":[]}`
	const milk = `{"id":20,"list_id":2,"text":"milk","notes":[{"card_id":20,"note":"fresh"}]}`
	f("lists.whole", `"rows":[{"id":1,"title":"todo","secret":"x","cards":[`+tea+`,`+rain+`]},`)
	f("lists.named", `"rows":[{"title":"todo","id":1},{"title":"done","id":2},{"title":"empty","id":3}]`)
	f("lists.numbered", `"rows":[{"title":"todo"},{"title":"done"},{"title":"empty"}]`)
	f("lists.nested", `"rows":[{"id":1,"title":"todo","cards":[{"text":"tea","list_id":1,"notes":[{"card_id":10,"note":"green"}]},{"text":"rain","list_id":1,"notes":[]}]},`)
	f("lists.nested", `{"id":3,"title":"empty","cards":[]}]`)
	f("lists.chosen", `"rows":[{"title":"done","cards":[`+milk+`]},{"title":"todo","cards":[`+tea+`,`+rain+`]}]`)
	f("lists.read", `[{"id":3},{"id":1}]`)
	f("lists.closed", `["todo","done","empty","todo"]`)
	f("lists.kept", `null`)
}

// Nested rows are live, whoever nests them.
func TestJavaScriptNestedRowsAreLive(t *testing.T) {
	t.Parallel()
	s := boardIn(t)
	for _, name := range []string{"lists.whole", "lists.nested", "lists.chosen"} {
		stream := watch(t, s.URL+"/v1/q/"+name)
		stream.result(t)
		s.SQL(t, `update notes set note = note || '!' where card_id = 20`)
		if got := stream.result(t).Rows; !strings.Contains(fmt.Sprint(got), "fresh!") {
			t.Errorf("%s: %v", name, got)
		}
		s.SQL(t, `update notes set note = 'fresh' where card_id = 20`)
	}
}

// SQL that is made up is as live, as exact and as bounded as what is declared.
func TestJavaScriptMakesUpSQL(t *testing.T) {
	t.Parallel()
	s := boardIn(t)
	f := func(path, want string) {
		t.Helper()
		if got := body(t, s.URL+"/v1/q/"+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	f("search?table=lists", `"rows":[{"id":1,"text":"todo"},{"id":2,"text":"done"},{"id":3,"text":"empty"}]`)
	f("search?table=lists&word=done", `"rows":[{"id":2,"text":"done"}]`)
	f("search?table=cards&word=tea&id=11", `"rows":[]`)
	f("search?table=cards&id=11", `"rows":[{"id":11,"text":"rain"}]`)
	f("count.cards", `{"id":2,"title":"done","cards":[{"id":20,`)
	stream := watch(t, s.URL+"/v1/q/count?of=cards")
	for _, want := range []float64{4, 5} {
		if got := stream.result(t).Value["n"]; got != want {
			t.Errorf("n = %v, want %v", got, want)
		}
		s.SQL(t, `insert into cards values (12, 1, 'soap') on conflict do nothing`)
	}
	status, answer := post(t, s.URL+"/v1/call/rename", `{"id":3,"title":"it's"}`)
	if result, _ := answer["result"].(map[string]any); status != 200 || result["title"] != "it's" {
		t.Errorf("rename: %d %v", status, answer)
	}
	f("search?table=lists&id=3", `it's`)
}

// What an author does wrong is said where it is done.
func TestJavaScriptSaysWhatIsWrongWithRows(t *testing.T) {
	t.Parallel()
	s := boardIn(t)
	f := func(what, want string) {
		t.Helper()
		if got := body(t, s.URL+"/v1/q/bad?what="+url.QueryEscape(what)); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	f("column", "has no column titel: there is id, title, secret")
	f("away", "has no column title: there is id")
	f("far", "column 7 is projected of a result of 3")
	f("index", "TypeError: pick: -1 is no index")
	f("list", "TypeError: project takes a list of columns")
	f("nested", "TypeError: nest: write rows.nest(")
	f("twice", "no such handle")
	f("after", "no such handle")
	f("given", "uses $id, but is not given it (nothing)")
	f("text", "querySQL: the first argument is the SQL, a text")
	f("option", "unknown option key: there is row")
	// What a statement is refused for is the author's to read, in the log.
	f("syntax", `"code":"sql_error"`)
	f("clock", `"code":"sql_error"`)
	f("write", `"code":"sql_error"`)
}

// G16: all plugins in JavaScript share the engine and its imports, so what one may
// use is what its own manifest asks for, whatever its code does to the SDK.
func TestJavaScriptAsksForDynamicSQL(t *testing.T) {
	t.Parallel()
	const ask = `plugin("p", "1.0.0", { capabilities: ["sql.dynamic"] });`
	const use = `query("q", {}, () => { try { return querySQL("select id from lists order by id").all() } catch (e) { return e.message } }, { public: true })`
	f := func(grant, source, want string) {
		t.Helper()
		s := javascript(t, hosttest.Config{Schema: boardSchema, TOML: "plugins = \"plugins\"\ngrant = [" + grant + "]\n"}, map[string]string{"p.js": source})
		if got := body(t, s.URL+"/v1/q/q"); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
	f(`"sql.dynamic"`, ask+use, `[{"id":1}`)
	f(`"sql.dynamic"`, use, `querySQL needs the capability sql.dynamic: write plugin(`)
	f(`"sql.dynamic"`, `Array.prototype.includes = () => true;`+use, `sql.dynamic is not granted`)

	failed, onEvent := failures()
	javascript(t, hosttest.Config{Schema: boardSchema, Event: onEvent}, map[string]string{"p.js": ask + use})
	if e := <-failed; e.Kind != host.PluginFailed || !strings.Contains(e.Err.Error(), `it asks for the capability "sql.dynamic": add it to grant`) {
		t.Errorf("without the grant: %v", e.Err)
	}
}

// What is wrong with nest is said when the file is loaded.
func TestJavaScriptRefusesWrongNests(t *testing.T) {
	t.Parallel()
	f := func(source, want string) {
		t.Helper()
		failed, onEvent := failures()
		javascript(t, hosttest.Config{Schema: boardSchema, Event: onEvent}, map[string]string{"p.js": "const s = select('select id from lists')\n" + source})
		if e := <-failed; !strings.Contains(e.Err.Error(), want) || !strings.Contains(e.Err.Error(), "p.js:2") {
			t.Errorf("%s: %v, want %s", source, e.Err, want)
		}
	}
	f(`nest("s", "id", "lists", "id")`, "nest s: the rows are those of a select")
	f(`nest("s", s, "id", "id")`, "nest: on is a text")
	f(`select("select 1", { nest: { s: s } })`, "nest: on is a text")
	f(`select("select 1", { nest: s })`, "nest.sql is { rows: a select")
	f(`select("select 1", { nest: [s] })`, "nest takes what nest() returns")
	f(`plugin("p", "1", { capability: "sql.dynamic" })`, "unknown option capability: there is capabilities")
}
