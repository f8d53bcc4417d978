package host_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host"
	"weir/host/hosttest"
	"weir/host/wasm"
	"weir/host/wasm/wasmtest"
	"weir/plugins/js/jstest"
)

const chatSource = "../examples/chat/javascript/chat.js"

// javascript starts a host with plugins in JavaScript, by file.
func javascript(t *testing.T, cfg hosttest.Config, sources map[string]string) *hosttest.Server {
	t.Helper()
	jstest.File(t)
	cfg.Modules = map[string][]byte{}
	for name, source := range sources {
		cfg.Modules[name] = []byte(source)
	}
	return hosttest.Start(t, cfg)
}

// body returns what a server answers, whatever the status.
func body(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// manifestOf asks a module what it says of itself.
func manifestOf(t *testing.T, compile func(*wasm.Compiler) (*wasm.Module, error)) []byte {
	t.Helper()
	config := wasm.Config{CompileTimeout: 5 * time.Minute}
	if home := wasmtest.CacheHome(); home != "" {
		config.CacheDir = filepath.Join(home, "weir", "wasm")
	}
	r, err := wasm.NewRuntime(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	m, err := compile(r.Compiler())
	if err != nil {
		t.Fatal(err)
	}
	pool, err := wasm.NewPool(r, m, wasm.PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close(t.Context())
	described, err := pool.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return described
}

// The two SDKs say the same in the same bytes.
func TestJavaScriptAndGoDescribeThemselvesEqually(t *testing.T) {
	t.Parallel()
	engine := jstest.Engine(t)
	code, err := os.ReadFile(hosttest.Build(t, "../examples/chat/plugin"))
	if err != nil {
		t.Fatal(err)
	}
	inGo := manifestOf(t, func(c *wasm.Compiler) (*wasm.Module, error) { return c.Compile(t.Context(), code) })
	inJS := manifestOf(t, func(c *wasm.Compiler) (*wasm.Module, error) {
		return c.CompileSource(t.Context(), engine, "chat.js", text(t, chatSource))
	})
	if !bytes.Equal(inGo, inJS) {
		a, _ := abi.DecodeCBOR(inGo)
		b, _ := abi.DecodeCBOR(inJS)
		t.Errorf("Go says\n%s\nJavaScript\n%s", a, b)
	}
}

// The example in JavaScript on PostgreSQL: a policy, a query that is a statement,
// one that computes, a mutation, its errors.
func TestJavaScriptChatIsLive(t *testing.T) {
	t.Parallel()
	s := javascript(t, hosttest.Config{
		Schema: text(t, "../examples/chat/schema.sql"), Seed: text(t, "../examples/chat/seed.sql"),
	}, map[string]string{"chat.js": text(t, chatSource)})
	list := watch(t, s.URL+"/v1/q/messages.list?room=1&as=bob")
	before := len(list.result(t).Rows)
	summary := watch(t, s.URL+"/v1/q/rooms.summary?as=ann")
	counted := summary.result(t).Value["messages"].(float64)
	status, answer := post(t, s.URL+"/v1/call/messages.post?as=ann", `{"room":1,"body":"  by a mutation in JavaScript "}`)
	if result, _ := answer["result"].(map[string]any); status != 200 || result["author"] != "ann" {
		t.Fatalf("post: %d %v", status, answer)
	}
	if rows := list.result(t).Rows; len(rows) != before+1 || rows[0]["body"] != "by a mutation in JavaScript" {
		t.Errorf("bob sees %v", rows)
	}
	if now := summary.result(t).Value["messages"]; now != counted+1 {
		t.Errorf("%v messages, want %v", now, counted+1)
	}
	_, answer = post(t, s.URL+"/v1/call/messages.post?as=ann", `{"room":1,"body":"  "}`)
	if answer["code"] != "empty" || answer["message"] != "write something first" {
		t.Errorf("an empty message: %v", answer)
	}
	status, answer = post(t, s.URL+"/v1/call/messages.post?as=nobody", `{"room":1,"body":"let me in"}`)
	if status != 403 || answer["code"] != "denied" {
		t.Errorf("a stranger's message: %d %v", status, answer)
	}
	if got := body(t, s.URL+"/v1/q/rooms.list?as=ann"); !strings.Contains(got, `"members":[{"room_id":1,"user":"ann"}`) {
		t.Errorf("rooms with members: %s", got)
	}
	s.SQL(t, `delete from members where user_id = 'bob'`)
	list.status(t, "denied")
}

const everything = `
import { query, mutation, policy, select, exec, t, fail, now, wakeAt, log, config, allow, deny } from "weir"

const numbers = select("select a, b, c, d, e, f, g from numbers where a = $a {and c < $c} order by a")
const typed = select("select a, b from numbers order by a", { row: { a: t.int64 } })

query("numbers.exact", { a: t.int64, c: t.float.optional() }, a => ({
  big: typeof a.a, next: a.a + 1n, rows: numbers.all(a), typed: typed.all().map(r => typeof r.a + typeof r.b),
}), { public: true })
query("numbers.rows", { a: t.int64 }, a => numbers.rows(a), { public: true })
query("numbers.picked", {}, () => typed.rows().pick([1]), { public: true })
query("numbers.strict", { a: t.int }, a => a.a, { public: true })
query("args.echo", {
  i: t.int32, f: t.float, b: t.bool, s: t.text, y: t.bytes, u: t.uuid, at: t.timestamp, d: t.date, n: t.decimal, j: t.json,
  list: t.array(t.object({ x: t.int, y: t.text.optional() })), e: t.enum("p", "q"), any: t.any, none: t.int.optional(), six: t.int.default(6),
}, a => ({ ...a, y: [...a.y], types: typeof a.i + typeof a.f + (a.none === undefined), six: a.six }), { public: true })
query("time.now", {}, () => {
  wakeAt(new Date(now().getTime() + 3600e3))
  return { equal: Date.now() === now().getTime(), day: now().getFullYear() > 2000, random: Math.random() === Math.random() }
}, { public: true })
query("async.too", {}, async () => {
  const rows = await Promise.resolve(typed.all())
  return rows.length
}, { public: true })
query("none.at_all", {}, () => {}, { public: true })
query("config.key", {}, () => config("greeting") + " " + config("absent"), { public: true })

const put = exec("insert into numbers (a, b, c, e) values ($a, $b, $c, $e)")
mutation("numbers.put", { a: t.int64, who: t.claim("sub") }, a => put.run({ ...a, b: 3, c: 0.5, e: { list: [1, "two", null] } }), { signedIn: true })
const early = policy("early", { me: t.claim("sub"), act: t.action, fn: t.function }, ({ me, act, fn }) =>
  me === "ann" ? allow({ scope: { team: me + "/" + act + "/" + fn } }) : deny("only ann"))
query("scoped.value", { team: t.scope() }, a => a.team, { require: [early] })

query("bad.throws", {}, () => {
  const nothing = undefined
  return nothing.field
}, { public: true })
query("bad.eats", {}, () => { const all = []; for (let i = 0; ; i++) all.push(new Uint8Array(1 << 20)) }, { public: true })
query("bad.recurses", {}, () => { const f = () => f() + 1; return f() }, { public: true })
query("bad.big", {}, () => "x".repeat(70000), { public: true })
query("bad.waits", {}, () => new Promise(() => {}), { public: true })
query("bad.sql", {}, () => typed.all() && select("select 1 as one"), { public: true })
query("bad.forgets", {}, () => numbers.all({ c: 1 }), { public: true })
query("bad.circle", {}, () => { const o = {}; o.o = o; return o }, { public: true })
query("good.still", {}, () => "fine", { public: true })
`

const numbersSchema = `create table numbers (a bigint primary key, b int, c float8, d numeric, e jsonb, f bytea, g timestamptz);
	insert into numbers values (9007199254740993, 1, 1, 1.10, '{"k": [1, null]}', '\x0102', '2026-01-31 10:30:00+01'),
		(-9223372036854775808, 2, 2.5, null, null, null, null);`

func everythingIn(t *testing.T) *hosttest.Server {
	t.Helper()
	return javascript(t, hosttest.Config{
		Schema: numbersSchema, TOML: "plugins = \"plugins\"\n[plugin.everything.config]\ngreeting = \"hello\"\n[limits]\nguest_timeout = \"30s\"\nquery_timeout = \"30s\"\nresult_bytes = \"64KiB\"\n",
	}, map[string]string{"everything.js": everything})
}

func TestJavaScriptValuesAreExact(t *testing.T) {
	t.Parallel()
	s := everythingIn(t)
	f := func(path, want string) {
		t.Helper()
		if got := body(t, s.URL+"/v1/q/"+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	const row = `{"a":9007199254740993,"b":1,"c":1,"d":"1.10","e":`
	f("numbers.exact?a=9007199254740993&c=1.5", `"next":9007199254740994,"rows":[`+row)
	f("numbers.exact?a=9007199254740993&c=1", `"rows":[]`)
	f("numbers.exact?a=-9223372036854775808", `"typed":["bigintnumber","bigintnumber"]`)
	f("numbers.rows?a=9007199254740993", `"rows":[{"a":9007199254740993`)
	f("numbers.picked", `"rows":[{"a":9007199254740993,"b":1}]`)
	f("numbers.strict?a=9007199254740991", `9007199254740991`)
	f("numbers.strict?a=9007199254740993", `"code":"bad_request"`)
	f("time.now", `{"day":true,"equal":true,"random":false}`)
	f("async.too", `2`)
	f("none.at_all", `null`)
	f("config.key", `"hello undefined"`)
	status, answer := post(t, s.URL+"/v1/call/numbers.put?as=ann", `{"a":9007199254740995}`)
	if status != 200 || answer["result"] != 1.0 {
		t.Errorf("put: %d %v", status, answer)
	}
	f("numbers.rows?a=9007199254740995", `{"a":9007199254740995,"b":3,"c":0.5,"d":null,"e":{"list":[1,"two",null]}`)
	f("scoped.value?as=ann", `"ann/read/scoped.value"`)
	f("scoped.value?as=bob", `only ann`)
}

// What goes wrong in JavaScript ends the call with the code that it has in other
// guests, and the plugin goes on serving.
func TestJavaScriptFaultsEndTheCall(t *testing.T) {
	t.Parallel()
	s := everythingIn(t)
	f := func(name, code string) {
		t.Helper()
		_, answer := get(t, s.URL+"/v1/q/"+name)
		if answer["code"] != code {
			t.Errorf("%s: %v, want %s", name, answer, code)
		}
		if got := body(t, s.URL+"/v1/q/good.still"); !strings.Contains(got, "fine") {
			t.Errorf("after %s: %s", name, got)
		}
	}
	f("bad.throws", "internal")
	f("bad.eats", "guest_memory")
	f("bad.recurses", "internal")
	f("bad.big", "result_too_large")
	f("bad.waits", "internal")
	f("bad.sql", "internal")
	f("bad.forgets", "internal")
	f("bad.circle", "internal")
}

// A loop is stopped when the guest's time is over, in a call as at the start.
func TestJavaScriptLoopsAreStopped(t *testing.T) {
	t.Parallel()
	s := javascript(t, hosttest.Config{}, map[string]string{
		"loop.js": "query('loop', {}, () => { for (;;); }, { public: true })",
	})
	for range 2 {
		if status, answer := get(t, s.URL+"/v1/q/loop"); status != 504 || answer["code"] != "deadline" {
			t.Errorf("%d %v", status, answer)
		}
	}
}

// A file that is saved is the plugin; one that is broken is refused with file and
// line, and what served before goes on.
func TestJavaScriptReloads(t *testing.T) {
	t.Parallel()
	failed, onEvent := failures()
	source := func(n string) string {
		return "query('n.get', {}, () => ({ n: " + n + " }), { public: true })\n"
	}
	s := javascript(t, hosttest.Config{Event: onEvent}, map[string]string{"n.js": source("1")})
	stream := watch(t, s.URL+"/v1/q/n.get")
	if got := stream.result(t).Value["n"]; got != 1.0 {
		t.Fatalf("n = %v", got)
	}
	refused := func(text string, want ...string) {
		t.Helper()
		s.Write(t, "n.js", []byte(text))
		e := <-failed
		for _, w := range want {
			if !strings.Contains(e.Err.Error(), w) {
				t.Errorf("the refusal %q does not say %q", e.Err, w)
			}
		}
		if got := body(t, s.URL+"/v1/q/n.get"); !strings.Contains(got, `{"n":1}`) {
			t.Errorf("what served before: %s", got)
		}
	}
	refused("\nconst a = ;\n", "SyntaxError", "n.js:2:11")
	refused("\n\nnull.x\n", "TypeError", "n.js:3")
	refused("import x from 'fs'\n", "fs", "weir")
	refused("for (;;);\n", "too long")
	refused("query('n.get', {}, () => 1, {})", "n.get says nothing about access")
	refused("query('n.get', { a: 'int' }, () => 1, { public: true })", "a has no type", "n.js:1")
	refused("query('n.get', {}, () => 1, { pubic: true })", "unknown option pubic")
	refused("query('n.get', {}, select('select id frm t'), { public: true })", "syntax error")
	refused("\xff", "UTF-8")
	refused("query('n' + Math.random(), {}, () => 1, { public: true })", "Math.random")
	refused("query('n.a' + Date.now(), {}, () => 1, { public: true })", "each time")
	s.Write(t, "n.js", []byte(source("2")))
	if got := stream.result(t).Value["n"]; got != 2.0 {
		t.Errorf("after the change n = %v", got)
	}
}

// Without the engine the refusal says how to get it, and other plugins serve.
func TestJavaScriptWithoutTheEngine(t *testing.T) {
	t.Parallel()
	failed, onEvent := failures()
	hosttest.Start(t, hosttest.Config{
		Event: onEvent, TOML: "plugins = \"plugins\"\nengine = \"/nowhere/quickjs.wasm\"\n",
		Modules: map[string][]byte{"n.js": []byte("1")},
	})
	e := <-failed
	for _, want := range []string{"/nowhere/quickjs.wasm", "npm pack quickjs-wasi@", "engine ="} {
		if !strings.Contains(e.Err.Error(), want) {
			t.Errorf("%q does not say %q", e.Err, want)
		}
	}
	if e.Kind != host.PluginFailed || e.Name != "n.js" {
		t.Errorf("got %+v", e)
	}
}
