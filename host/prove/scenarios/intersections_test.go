package scenarios

import (
	"fmt"
	"testing"
	"time"
)

// TestScenarioIntersections: W1, W3, W6. One client has very many groups of one table,
// each by two columns. A write that touches one of them, a hundred, or all makes
// exactly these run, once each; and one that touches what nobody watches, none.
func TestScenarioIntersections(t *testing.T) {
	t.Parallel()
	const columns = 20
	n := 200 * min(scale(t), 100) // groups
	w := start(t, "intersections", fmt.Sprintf(`create table cells (id int primary key, x int not null, z int not null, n int not null default 0, note text not null default '');
		create index on cells (x, z);
		insert into cells select i, i / %d, i %% %[1]d from generate_series(0, %d) i;`, columns, n+999),
		map[string][]byte{"cells.wasm": plugin("cells", "1", function{name: "cell", sql: `select id, n from cells where x = $x and z = $z order by id`, key: []string{"id"}})})
	c := w.open(t, who{name: "one"}, beats())
	for at := 0; at < n; at += 500 { // a body of a request is bounded
		var subs []*live
		for i := at; i < min(at+500, n); i++ {
			subs = append(subs, &live{
				name: "cell", args: fmt.Sprintf(`{"x":%d,"z":%d}`, i/columns, i%columns),
				written: func(*result) time.Time { return time.Unix(0, w.last.Load()) },
			}) // one at a time
		}
		c.add(t, subs...)
	}
	w.settle(t)
	frames, _, _ := w.frames()
	want(t, "frames at first", frames, int64(n))
	want(t, "W3: runs at first", w.ran("cell"), tally{runs: n, first: n})
	f := func(what, sql string, runs int) {
		t.Helper()
		w.exactly(t, what, cost{"cell": runs}, int64(runs), func() { w.commit(t, w.conn, commit{sql: sql}) })
	}
	f("one", `update cells set n = n + 1 where id = 7`, 1)
	f("a note that nobody reads", `update cells set note = 'read by nobody' where id < 150`, 0)
	f("what nobody watches", fmt.Sprintf(`update cells set n = n + 1 where id >= %d and id < %d`, n, n+150), 0)
	f("a hundred", `update cells set n = n + 1 where id < 100`, 100)
	f("a hundred in a hundred commits' worth of statements", statements(100, `update cells set n = n + 1 where id = %d`), 100)
	f("one that moves to another", `update cells set x = 1, z = 1 where id = 3`, 2)
	f("one that goes where nobody watches", fmt.Sprintf(`update cells set x = %d where id = 5`, n), 1)
	f("one that comes", fmt.Sprintf(`insert into cells values (%d, 0, 5, 9)`, n+5000), 1)
	f("one that goes", `delete from cells where id = 9`, 1)
	// More rows than are logged one by one: all run, and of 3 and 9 nothing is left.
	sent, _, _ := w.frames()
	ran := w.ran("cell")
	w.commit(t, w.conn, commit{sql: `update cells set n = n + 1`})
	w.settle(t)
	now, _, _ := w.frames()
	want(t, "all: runs", w.since("cell", ran), tally{runs: n, same: 2})
	want(t, "all: frames", now-sent, int64(n-2))
	w.cells(t, c, columns)
	w.row(t, "W1 W3 W6", "cell")
}

// statements is one text of many.
func statements(n int, format string) (sql string) {
	for i := range n {
		sql += fmt.Sprintf(format+";", i)
	}
	return sql
}

// cells compares each group with the database.
func (w *world) cells(t *testing.T, c *client, columns int) {
	t.Helper()
	for i, s := range c.subs[1:] {
		h := newHistory(s.args, fmt.Sprintf(`select id, n from cells where x = %d and z = %d order by id`, i/columns, i%columns))
		text, err := h.read(t.Context(), w.conn)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := canonical(s.result.list())
		if err != nil {
			t.Fatal(err)
		}
		want(t, s.args, shown, text)
	}
	c.check(t)
}
