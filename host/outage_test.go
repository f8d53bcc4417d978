package host_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/config"
	"weir/host/devdb"
	"weir/host/hosttest"
	"weir/reactor/changelog"
)

// ownCluster starts a PostgreSQL that the test may kill, with weir set up and the
// table todos.
func ownCluster(t *testing.T) *devdb.Cluster {
	t.Helper()
	c, err := devdb.Start(t.Context(), devdb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := changelog.Setup(t.Context(), changelog.SetupConfig{AdminURL: c.URL("postgres")}); err != nil {
		t.Fatal(err)
	}
	sql(t, c, todos+`grant usage on schema public to weir, weir_guest; grant trigger on todos to weir;
		grant select, insert, update, delete on todos to weir_guest`)
	return c
}

// sql runs SQL as the owner, over a connection of its own.
func sql(t *testing.T, c *devdb.Cluster, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, text); err != nil {
		t.Fatal(err)
	}
}

func urls(c *devdb.Cluster) *hosttest.Database {
	return &hosttest.Database{
		URL: config.Secret(c.UserURL("weir", "postgres")), Guest: config.Secret(c.UserURL("weir_guest", "postgres")),
	}
}

// TestDatabaseGoesAndComesBack: killed under a live stream. The stream says
// stale, and is live again with what was written meanwhile (W1, W9, C4).
// Cases: 92, 93.
func TestDatabaseGoesAndComesBack(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
	s := hosttest.Start(t, hosttest.Config{
		Database: urls(c), TOML: "plugins = \"plugins\"\n[limits]\nmax_stale = \"1s\"\n",
		Modules: map[string][]byte{"todos.wasm": module(byList)},
	})
	stream := watch(t, s.URL+"/v1/q/todos.list?list=1")
	stream.result(t)
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	stream.status(t, "stale")
	if resp, err := http.Get(s.Admin + "/readyz"); err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("readyz while the database is away: %v %v", resp.Status, err)
	} else {
		resp.Body.Close()
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	sql(t, c, `insert into todos values (100, 1, 'after the crash')`)
	for {
		if f := stream.result(t); len(f.Rows) == 4 {
			break
		}
	}
}

// TestDatabaseIsDownAtStart: the server starts, says so, and loads its plugins
// when the database comes.
// Cases: 92.
func TestDatabaseIsDownAtStart(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := hosttest.Start(t, hosttest.Config{
		Database: urls(c), Late: true, Modules: map[string][]byte{"todos.wasm": module(byList)},
	})
	status, answer := get(t, s.URL+"/v1/q/todos.list?list=1")
	if status != http.StatusServiceUnavailable || answer["code"] != "unavailable" {
		t.Errorf("a request meanwhile: %d %v", status, answer)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Wait(t)
	if got := watch(t, s.URL+"/v1/q/todos.list?list=1").result(t); len(got.Rows) != 3 {
		t.Errorf("got %s", got.raw)
	}
}

// TestDefinitionsChangeUnderLiveQueries: R4. A view is replaced, a column's type
// changes, a table goes and comes back.
// Cases: 104.
func TestDefinitionsChangeUnderLiveQueries(t *testing.T) {
	t.Parallel()
	open := statement{name: "todos.open", sql: `select id, title from open_todos where list = $list order by id`, fields: []string{"list"}}
	s := hosttest.Start(t, hosttest.Config{
		Schema:  todos + `create view open_todos as select * from todos where not done;`,
		Modules: map[string][]byte{"todos.wasm": module(byList, open)},
	})
	plain := watch(t, s.URL+"/v1/q/todos.list?list=1")
	view := watch(t, s.URL+"/v1/q/todos.open?list=1")
	plain.result(t)
	if got := len(view.result(t).Rows); got != 3 {
		t.Fatalf("the view has %d rows", got)
	}
	s.SQL(t, `create or replace view open_todos as select * from todos where id > 4`)
	if got := len(view.result(t).Rows); got != 1 {
		t.Errorf("the new view has %d rows, want 1", got)
	}
	s.SQL(t, `drop view open_todos; alter table todos alter column title type varchar(200)`)
	view.next(t, func(e event) bool { return e.kind == "problem" || strings.Contains(e.data, `"stale"`) })
	s.SQL(t, `update todos set title = 'changed' where id = 1`)
	if got := plain.result(t).Rows[0]["title"]; got != "changed" {
		t.Errorf("after the type changed the title is %v", got)
	}
	s.SQL(t, `create view open_todos as select * from todos where id = 1`)
	if got := view.result(t).Rows; len(got) != 1 || got[0]["title"] != "changed" {
		t.Errorf("the view that came back shows %v", got)
	}
	s.SQL(t, `drop view open_todos; drop table todos`)
	plain.next(t, func(e event) bool { return e.kind == "problem" || strings.Contains(e.data, `"stale"`) })
}
