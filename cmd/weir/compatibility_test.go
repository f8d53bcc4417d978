package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/devdb/devdbtest"
)

// TestCheckFindsWhatClientsWouldMiss: what was accepted must be accepted, and what
// was returned must be returned; what is new breaks nobody.
func TestCheckFindsWhatClientsWouldMiss(t *testing.T) {
	t.Parallel()
	parse := func(text string) (p published) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return p
	}
	f := func(old, next string, want ...string) {
		t.Helper()
		c := &compatibility{plugin: &abi.Manifest{Name: "chat"}}
		c.compare([]published{parse(old)}, []published{parse(next)})
		got := append(append([]string{}, c.breaks...), c.notes...)
		if len(got) != len(want) {
			t.Errorf("%s\n%s\nfound %q, want %q", old, next, got, want)
			return
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s\n%s\nfound %q, want %q", old, next, got[i], want[i])
			}
		}
	}
	args := func(properties, required string) string {
		return `{"name":"f","kind":"query","plugin":"chat","args":{"type":"object","properties":{` + properties + `},"required":[` + required + `]}}`
	}
	result := func(schema string) string {
		return `{"name":"f","kind":"query","plugin":"chat","args":{"type":"object"},"result":` + schema + `}`
	}
	rows := func(properties string) string {
		return result(`{"type":"array","items":{"type":"object","properties":{` + properties + `}}}`)
	}

	same := args(`"room":{"type":"integer"}`, `"room"`)
	f(same, same)
	f(same, strings.Replace(same, `"f"`, `"g"`, 1), "f: it is removed")
	f(same, strings.Replace(same, "query", "mutation", 1), "f: it is a mutation, was a query")
	f(strings.Replace(same, "chat", "other", 1), same, "chat: no plugin of that name is there")

	f(same, args(``, ``), "f: argument room is removed")
	f(same, args(`"room":{"type":["integer","null"]}`, ``))
	f(args(`"room":{"type":["integer","null"]}`, ``), same, "f: argument room is required, was optional")
	f(same, args(`"room":{"type":"integer"},"to":{"type":"string"}`, `"room","to"`), "f: argument to is new and required")
	f(same, args(`"room":{"type":"integer"},"to":{"type":["string","null"]}`, `"room"`))
	f(same, args(`"room":{"type":"string"}`, `"room"`), "f: argument room is string, was integer")
	f(same, args(`"room":{"type":"number"}`, `"room"`))
	f(args(`"room":{"type":"number"}`, `"room"`), same, "f: argument room is integer, was number")
	f(same, args(`"room":{}`, `"room"`))
	f(args(`"n":{"type":["integer","null"],"default":1}`, ``), args(`"n":{"type":["integer","null"],"default":2}`, ``), "f: the default of argument n is 2, was 1")
	f(args(`"n":{"type":"integer","maximum":9}`, `"n"`), args(`"n":{"type":"integer","minimum":1,"maximum":8}`, `"n"`),
		"f: the minimum of argument n is 1, was none", "f: the maximum of argument n is 8, was 9")
	f(args(`"n":{"type":"integer","minimum":1,"maximum":8}`, `"n"`), args(`"n":{"type":"integer","maximum":9}`, `"n"`))
	f(args(`"s":{"type":"string","maxLength":9}`, `"s"`), args(`"s":{"type":"string","maxLength":8,"minLength":1}`, `"s"`),
		"f: the least length of argument s is 1", "f: the greatest length of argument s is 8, was 9")
	f(args(`"s":{"type":"string"}`, `"s"`), args(`"s":{"type":"string","format":"uuid"}`, `"s"`), "f: argument s is string (uuid), was string")
	f(args(`"s":{"type":"string","format":"uuid"}`, `"s"`), args(`"s":{"type":"string"}`, `"s"`))
	f(args(`"s":{"type":"string","enum":["a","b"]}`, `"s"`), args(`"s":{"type":"string","enum":["b","c"]}`, `"s"`), `f: argument s may not be "a" any more`)
	f(args(`"s":{"type":"string"}`, `"s"`), args(`"s":{"type":"string","enum":["b"]}`, `"s"`), "f: argument s must be one of b")
	f(args(`"l":{"type":"array","items":{"type":"integer"}}`, `"l"`), args(`"l":{"type":"array","items":{"type":"string"}}`, `"l"`), "f: argument l is array of string, was array of integer")
	f(args(`"o":{"type":"object","properties":{"a":{"type":"integer"}}}`, `"o"`), args(`"o":{"type":"object","properties":{}}`, `"o"`), "f: argument o.a is removed")
	f(args(`"l":{"type":"array","items":{"type":"integer"}}`, `"l"`), args(`"l":{"type":"array","maxItems":3,"items":{"type":"integer","minimum":1}}`, `"l"`),
		"f: the greatest number of items of argument l is 3", "f: the minimum of argument l[] is 1")

	f(rows(`"id":{"type":"integer"},"a":{"type":"string"}`), rows(`"id":{"type":"integer"}`), "f: column a is removed")
	f(rows(`"id":{"type":"integer"}`), rows(`"id":{"type":"integer"},"a":{"type":"string"}`))
	f(rows(`"at":{"type":"string","format":"date-time"}`), rows(`"at":{"type":"string","format":"date"}`), "f: column at is string (date), was string (date-time)")
	f(rows(`"a":{"type":"string"}`), rows(`"a":{"type":["string","null"]}`), "f: column a may be null")
	f(rows(`"a":{"type":["string","null"]}`), rows(`"a":{"type":"string"}`))
	f(rows(`"m":{"type":"array","items":{"type":"object","properties":{"u":{"type":"string"}}}}`), rows(`"m":{"type":"array","items":{"type":"object","properties":{}}}`), "f: column m.u is removed")
	f(result(`{"type":"integer"}`), result(`{"type":"string"}`), "f: the result is string, was integer")
	f(result(`{}`), result(`{"type":"string"}`))
	f(result(`{"type":"integer"}`), `{"name":"f","kind":"query","plugin":"chat","args":{"type":"object"}}`, "f: the result was not compared")
}

// TestCheckAgainstADatabase: statements are prepared there, and the columns of both
// plugins come from there. It writes nothing.
func TestCheckAgainstADatabase(t *testing.T) {
	t.Parallel()
	dir := newPluginIn(t, openDir(t))
	weir(t, dir, "build").must(t)
	admin, guest := notesDatabase(t, dir)

	out := weir(t, dir, "check", "plugins/notes.wasm", "--against", "plugins/notes.wasm", "--against", guest).must(t)
	for _, want := range []string{"note: tasks.list: the key column id is a bigint", "ok plugins/notes.wasm: 5 functions"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}

	admin.Exec(t, `insert into tasks (id, list_id, title, author) overriding system value values (9007199254740993, 1, 'a', 'b')`)
	edit(t, filepath.Join(dir, "plugin", "main.go"), "returning id, title, author, done`)\n\nfunc init", "returning id, title, author, missing`)\n\nfunc init")
	edit(t, filepath.Join(dir, "plugin", "main.go"), "select id, title, author, done from tasks", "select id, title, done::text as done, author as by from tasks")
	edit(t, filepath.Join(dir, "plugin", "main.go"), "`json:\"author\"`", "`json:\"by\"`")
	weir(t, dir, "build", "plugin", "-o", "next.wasm").must(t)
	o := weir(t, dir, "check", "next.wasm", "--against", "plugins/notes.wasm", "--against", guest)
	for _, want := range []string{
		`broken: tasks.finish: statement 5 is refused by PostgreSQL: column "missing" does not exist`,
		"broken: tasks.list: the key column id is a bigint, and tasks has values beyond 9007199254740991",
		"broken: tasks.list: column author is removed", "broken: tasks.list: column done is string, was boolean",
	} {
		if !strings.Contains(o.out, want) {
			t.Errorf("it does not say %q:\n%s", want, o.out)
		}
	}
	if o.code != 1 || o.errors != "" {
		t.Errorf("exit %d %q, want 1 and what breaks", o.code, o.errors)
	}
}

// notesDatabase is a database with the tables of a new project. It returns it and
// the URL of the role of the plugins' SQL.
func notesDatabase(t *testing.T, dir string) (admin devdbtest.DB, guest string) {
	t.Helper()
	admin = devdbtest.New(t)
	p, err := (&Main{Dir: dir}).openProject(".")
	if err == nil {
		err = p.fill(t.Context(), admin.URL, privateRoles)
	}
	if err != nil {
		t.Fatal(err)
	}
	return admin, admin.As(guestRole, "")
}
