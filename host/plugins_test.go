package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/abi"
	"weir/host"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// todos is the schema of the tests that need no more than one table.
const todos = `create table todos (id int primary key, list int not null, title text not null, done boolean not null default false);
	insert into todos select i, i % 3, 'todo ' || i from generate_series(1, 9) i;`

// module assembles a plugin of the given statements: function number i is
// statement number i, public, with the fields that it names.
func module(statements ...statement) []byte {
	m := abi.Manifest{ABI: abi.Version, Name: "todos", Version: "1"}
	for i, s := range statements {
		index := i
		m.Statements = append(m.Statements, abi.Statement{SQL: s.sql, Key: s.key})
		f := abi.Function{Name: s.name, Kind: abi.Query, Statement: &index, Access: abi.Access{Public: true}}
		for _, field := range s.fields {
			f.Fields = append(f.Fields, abi.Field{Name: field, Schema: abi.Schema{Type: "integer"}})
		}
		m.Functions = append(m.Functions, f)
	}
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()
}

type statement struct {
	name, sql string
	fields    []string
	key       []string
}

var byList = statement{
	"todos.list", `select id, title, done from todos where list = $list order by id`, []string{"list"}, []string{"id"},
}

// failures collects the events of plugins that were refused.
func failures() (chan host.Event, func(host.Event)) {
	out := make(chan host.Event, 16)
	return out, func(e host.Event) {
		if e.Kind == host.PluginFailed {
			out <- e
		}
	}
}

// TestWhatCannotBeLiveIsRefusedAtLoad: W10. The sentence says what to write
// instead, and the plugin that served before goes on serving.
func TestWhatCannotBeLiveIsRefusedAtLoad(t *testing.T) {
	t.Parallel()
	failed, onEvent := failures()
	s := hosttest.Start(t, hosttest.Config{
		Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)}, Event: onEvent,
	})
	f := func(name, sql string, want ...string) {
		t.Helper()
		s.Write(t, "todos.wasm", module(statement{name: "todos.list", sql: sql}))
		e := <-failed
		for _, w := range want {
			if !strings.Contains(e.Err.Error(), w) {
				t.Errorf("%s: the refusal %q does not say %q", name, e.Err, w)
			}
		}
		status, answer := get(t, s.URL+"/v1/q/todos.list?list=1")
		if status != 200 {
			t.Errorf("%s: the old plugin does not serve: %v", name, answer)
		}
	}
	f("clock", `select id from todos where now() > '2020-01-01'`, "clock", "wake_at")
	f("volatile", `select id, random() from todos order by id`, "random")
	f("no order", `select id from todos limit 3`, "ORDER BY")
	f("a write", `delete from todos returning id`)
	f("no table", `select id from nowhere`, "nowhere")
	f("duplicate columns", `select id, id from todos`, "id")
	f("syntax", `select id frm todos`)
	f("catalog", `select oid::text from pg_class`)
}

// TestReloadSwapsAndRunsAgain: a new version takes over the streams; a broken
// file changes nothing; a removed one ends them.
// Cases: 87.
func TestReloadSwapsAndRunsAgain(t *testing.T) {
	t.Parallel()
	failed, onEvent := failures()
	s := hosttest.Start(t, hosttest.Config{
		Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)}, Event: onEvent,
	})
	stream := watch(t, s.URL+"/v1/q/todos.list?list=1")
	if got := len(stream.result(t).Rows); got != 3 {
		t.Fatalf("got %d rows, want 3", got)
	}
	upper := byList
	upper.sql = `select id, upper(title) as title from todos where list = $list order by id`
	s.Write(t, "todos.wasm", module(upper))
	if got := stream.result(t).Rows[0]["title"]; got != "TODO 1" {
		t.Errorf("after the reload the title is %v", got)
	}
	s.Write(t, "todos.wasm", []byte("no module at all"))
	if e := <-failed; e.Err == nil {
		t.Error("the broken file was not told")
	}
	s.SQL(t, `update todos set title = 'still live' where id = 1`)
	if got := stream.result(t).Rows[0]["title"]; got != "STILL LIVE" {
		t.Errorf("after the broken reload the title is %v", got)
	}
	if err := os.Remove(filepath.Join(s.Plugins, "todos.wasm")); err != nil {
		t.Fatal(err)
	}
	stream.next(t, func(e event) bool { return e.kind == "end" || e.kind == "close" })
}

// TestGuestFaultsAreToldByCode: guest fault, limit and host fault are different
// codes, and the host goes on.
// Cases: 30.
func TestGuestFaultsAreToldByCode(t *testing.T) {
	t.Parallel()
	guest := func(call []byte) []byte {
		m := abi.Manifest{ABI: abi.Version, Name: "bad", Version: "1"}
		m.Functions = []abi.Function{{Name: "bad.run", Kind: abi.Query, Access: abi.Access{Public: true}}}
		return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m), Call: call}.Bytes()
	}
	loaded := make(chan host.Event, 16)
	s := hosttest.Start(t, hosttest.Config{
		Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)},
		Event: func(e host.Event) {
			if e.Kind == host.PluginLoaded && e.Name == "bad" {
				loaded <- e
			}
		},
	})
	f := func(name string, call []byte, code abi.Code) {
		t.Helper()
		s.Write(t, "bad.wasm", guest(call))
		<-loaded
		if _, answer := get(t, s.URL+"/v1/q/bad.run"); answer["code"] != string(code) {
			t.Errorf("%s: %v, want the code %s", name, answer, code)
		}
	}
	f("trap", wasmtest.Unreachable(), abi.GuestTrap)
	f("an address outside memory", wasmtest.Pack(abi.TagValue, 1<<29, 64), abi.GuestContract)
	f("a tag that is not known", wasmtest.Pack(9, 0, 0), abi.GuestContract)
	f("a handle that is not there", wasmtest.Pack(abi.TagHandle, 7, 0), abi.GuestContract)
	f("garbage", wasmtest.Pack(abi.TagValue, wasmtest.DataAt, 3), abi.GuestContract)
	f("a loop", wasmtest.Join(wasmtest.Forever(nil), wasmtest.Unreachable()), abi.Deadline)
	if status, answer := get(t, s.URL+"/v1/q/todos.list?list=1"); status != 200 {
		t.Errorf("the other plugin: %d %v", status, answer)
	}
}
