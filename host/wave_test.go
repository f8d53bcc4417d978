package host_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/host/hosttest"
)

// TestSlowStatementDoesNotFailItsWave: G13. Groups of one commit share a read
// transaction. One of them waits for a lock until the deadline; the others get
// their results before, and are never told that they are stale.
// Cases: 118.
func TestSlowStatementDoesNotFailItsWave(t *testing.T) {
	t.Parallel()
	slow := statement{
		name: "todos.slow", fields: []string{"list"},
		sql: `select id, title from todos where list = $list and not exists (select from locked) order by id`,
	}
	s := hosttest.Start(t, hosttest.Config{
		TOML:   "plugins = \"plugins\"\n[limits]\nquery_timeout = \"2s\"\n",
		Schema: todos + `create table locked (id int);`, Modules: map[string][]byte{"todos.wasm": module(byList, slow)},
	})
	var subs []string
	for i := range 8 {
		subs = append(subs, fmt.Sprintf(`{"id":%d,"q":"todos.list","args":{"list":%d}}`, i+1, i))
	}
	fast := session(t, s.URL+"/v1/stream", "", `{"subs":[`+strings.Join(subs, ",")+`]}`)
	for range subs {
		fast.result(t)
	}
	held := watch(t, s.URL+"/v1/q/todos.slow?list=1")
	held.result(t)
	conn := s.DB.Conn(t)
	for round := range 3 {
		lock, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lock.Exec(t.Context(), `lock table locked`); err != nil {
			t.Fatal(err)
		}
		title := fmt.Sprintf("title %d", round)
		s.SQL(t, `insert into todos select 100 * ($1 + 1) + i, i, $2 from generate_series(0, 7) i`, round, title)
		for range subs {
			e := fast.next(t, func(e event) bool { return e.kind == "" || e.kind == "problem" || strings.Contains(e.data, `"stale"`) })
			if !strings.Contains(e.data, title) {
				t.Fatalf("a group beside the slow one got %s %s", e.kind, e.data)
			}
		}
		held.status(t, "stale")
		if err := lock.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := held.result(t); !strings.Contains(f.raw, title) {
			t.Fatalf("the slow one shows %s", f.raw)
		}
	}
}
