package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/reactor"
)

// forgetCluster removes a project's private database when the test ends.
func forgetCluster(t *testing.T, dir string) {
	t.Helper()
	t.Cleanup(func() { weir(t, dir, "db", "private", "--remove") })
}

// patient is a part of a weir.toml for a server that compiles plugins under the
// race detector, on a machine that does much else.
const patient = "[limits]\ncompile_timeout = \"5m\"\n\n"

var pageURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// TestDevFromNothingToALiveResult is the first five minutes of a new user: new,
// dev, watch, a row by SQL, a call, an edit of the plugin, a broken one, a new
// schema, a crash of PostgreSQL.
func TestDevFromNothingToALiveResult(t *testing.T) {
	t.Parallel()
	dir := newPluginIn(t, openDir(t))
	edit(t, filepath.Join(dir, "weir.toml"), "[dev]", patient+"[dev]")
	forgetCluster(t, dir)
	out, errs, stop := background(t, dir, "dev", "--listen", "127.0.0.1:0")
	text := out.wait(t, "  change  ", 1)
	url := pageURL.FindString(text)
	for _, want := range []string{
		url + "/?as=ann", "/v1/q/tasks.list?as=ann&list=1'",
		`sql "insert into tasks (list_id, title, author) values (1, 'hello', 'ann')"`,
	} {
		if !strings.Contains(text, want) {
			t.Fatalf("dev does not print %q:\n%s", want, text)
		}
	}
	if page, err := http.Get(url + "/?as=ann"); err != nil || page.StatusCode != 200 {
		t.Errorf("the page: %v %v", page, err)
	} else {
		page.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()

	// The other commands find the server and the database by the directory.
	rows, _, stopWatch := background(t, dir, "watch", "tasks.list", "list=1", "--as", "ann")
	rows.wait(t, "open this page", 1)
	weir(t, dir, "sql", "insert into tasks (list_id, title, author) values (1, 'by hand', 'ann')").must(t)
	rows.wait(t, `"by hand"`, 1)
	// Why, and why not.
	weir(t, dir, "sql", "with l as (insert into lists (name) values ('work') returning id) insert into tasks (list_id, title, author) select id, 'elsewhere', 'ann' from l").must(t)
	if told := weir(t, dir, "why", "tasks.list", "list=1", "--as", "ann").must(t); !strings.Contains(told, "list_id is 2, the query reads 1") ||
		!strings.Contains(told, "reads    tasks where list_id = 1") || !strings.Contains(told, "watchers 1") {
		t.Errorf("weir why:\n%s", told)
	}
	if told := weir(t, dir, "top", "--by", "cost").must(t); !strings.Contains(told, `"list":1`) || !strings.Contains(told, "changes/s") {
		t.Errorf("weir top:\n%s", told)
	}
	if told := weir(t, dir, "watch", "tasks.list", "list=1", "--as", "ann", "--why", "-n", "1"); told.code != 0 || !strings.Contains(told.errors, "ran ") {
		t.Errorf("weir watch --why: %d\n%s", told.code, told.errors)
	}
	if answer := weir(t, dir, "call", "tasks.add", "list=1", "title=42", "--as", "bob").must(t); !strings.Contains(answer, `"title": "42"`) {
		t.Errorf("call answers %s", answer)
	}
	rows.wait(t, `"title":"42"`, 1)
	out.wait(t, "tasks.list  changed: insert tasks (tx ", 1)
	weir(t, dir, "call", "tasks.add", "list=1", "title= ", "--as", "bob").fails(t, 1, "write what is to be done")
	weir(t, dir, "call", "tasks.list", "list=1", "--as", "mallory").fails(t, 1, "denied")
	if text := weir(t, dir, "explain", "tasks.list").must(t); !strings.Contains(text, "tasks where list_id = $list") {
		t.Errorf("explain says\n%s", text)
	}
	weir(t, dir, "explain", "tasks.lits").fails(t, 1, `did you mean "tasks.list"?`)

	// CLI5: a plugin is replaced, a broken one is not.
	plugin := filepath.Join(dir, "plugin", "main.go")
	edit(t, plugin, "order by id desc limit", "order by id limit")
	rows.wait(t, `"rows":[{"id":1,"title":"open this page in two windows","author":"ann","done":false},{"id":2`, 1)
	edit(t, plugin, "func main() {}", "func main() { undefinedName() }")
	out.wait(t, "notes.wasm does not compile:\n  ./main.go:", 1)
	out.wait(t, "goes on serving", 1)
	edit(t, plugin, "func main() { undefinedName() }", "func main() {}")

	// The database is made anew from files that are right, and only then.
	seed := filepath.Join(dir, "seed.sql")
	edit(t, filepath.Join(dir, "schema.sql"), "create table tasks", "create tabel tasks")
	out.wait(t, `syntax error at or near "tabel"`, 1)
	edit(t, filepath.Join(dir, "schema.sql"), "create tabel tasks", "create table tasks")
	edit(t, seed, "open this page in two windows", "made anew")
	rows.wait(t, "made anew", 1)
	out.wait(t, "what was written to the old one by hand is gone with it", 1)

	// A crash of PostgreSQL is survived.
	crash(t, dir)
	out.wait(t, "the database server has ended, starting it again", 1)
	insert := func() bool {
		return weir(t, dir, "sql", "insert into tasks (list_id, title, author) values (1, 'after the crash', 'ann')").code == 0
	}
	for deadline := time.Now().Add(30 * time.Second); !insert(); {
		if time.Now().After(deadline) {
			t.Fatal("the database does not come back")
		}
	}
	rows.wait(t, "after the crash", 1)
	stopWatch()
	if code := stop(); code != 0 {
		text, _ := errs.now()
		t.Errorf("dev ends with %d: %s", code, text)
	}
	if _, err := os.Stat(filepath.Join(dir, ".weir", "url")); !os.IsNotExist(err) {
		t.Errorf("the address is still noted: %v", err)
	}
}

// crash kills the server of a project as kill -9 does.
func crash(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, ".weir", "pg", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil || pid < 2 {
		t.Fatalf("postmaster.pid says %q", line)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// TestDevWaitsForASchemaThatWorks: the first start with a broken file is no end.
func TestDevWaitsForASchemaThatWorks(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"plugins\"\n[dev]\nschema = \"schema.sql\"\n")
	write(t, filepath.Join(dir, "schema.sql"), "create tabel a (id int)")
	forgetCluster(t, dir)
	out, _, stop := background(t, dir, "dev", "--listen", "127.0.0.1:0")
	out.wait(t, "waiting for a change", 1)
	write(t, filepath.Join(dir, "schema.sql"), "create table a (id int)")
	out.wait(t, "no query yet", 1)

	// A broken configuration leaves the server, a good one is taken by it, and what
	// it cannot change starts it anew.
	file := filepath.Join(dir, "weir.toml")
	edit(t, file, "[dev]", "[div]")
	out.wait(t, "did you mean dev?", 1)
	out.wait(t, "what served before goes on serving", 1)
	edit(t, file, "[div]", "[dev]")
	edit(t, file, "[dev]", "[limits]\nexecutions = 8\n[dev]")
	out.wait(t, "configuration reloaded  default", 1)
	edit(t, file, "executions = 8", "total_executions = 8")
	out.wait(t, "weir.toml changed: weir starts anew", 1)
	out.wait(t, "no query yet", 2)
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestDemoShowsLiveUpdatesAndEndsByItself is `DEMO_SECONDS=5 make demo`, with the
// example's files and a database of its own.
func TestDemoShowsLiveUpdatesAndEndsByItself(t *testing.T) {
	t.Parallel()
	chat, err := filepath.Abs(filepath.Join("..", "..", "examples", "chat"))
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"plugins\"\n[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"localhost:0\"\n"+
		patient+"[dev]\nschema = \""+chat+"/schema.sql\"\nseed = \""+chat+"/seed.sql\"\nsources = [\""+chat+"/plugin\"]\n")
	forgetCluster(t, dir)
	out := weir(t, dir, "demo", "--dir", ".", "--seconds", "5").must(t)
	if n := strings.Count(out, " after the commit"); n < wantedUpdates {
		t.Errorf("%d live results:\n%s", n, out)
	}
	for _, want := range []string{"/?as=ann", "/?as=bob", "ann  Good morning!", "bob  Morning. What is this?"} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not print %q:\n%s", want, out)
		}
	}
}

func TestDemoRefusesAnotherProject(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	write(t, filepath.Join(dir, "weir.toml"), "plugins = \"plugins\"\n[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"localhost:0\"\n")
	forgetCluster(t, dir)
	weir(t, dir, "demo", "--dir", ".", "--seconds", "20").fails(t, 1, "is --dir the chat example?")
}

func TestRunLinesSayWhy(t *testing.T) {
	t.Parallel()
	r := newReporter(&printer{out: newScreen()})
	r.use("postgres:///nowhere?host=/nonexistent")
	r.tables[7] = "messages"
	f := func(run reactor.Run, want string) {
		t.Helper()
		run.Name = "messages.list"
		if got := r.line(t.Context(), run); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	change := &reactor.Change{XID: 8125, Table: 7, Op: reactor.Insert}
	f(reactor.Run{Cause: reactor.Cause{Reason: reactor.Changed, Change: change}, Cost: 1100 * time.Microsecond, Subscribers: 2, Size: 1234},
		"messages.list  changed: insert messages (tx 8125)  1.1 ms  2 watchers  new frame 1.2 KB")
	f(reactor.Run{Cause: reactor.Cause{Reason: reactor.Changed, Change: change, More: 3}, Cost: 25 * time.Millisecond, Subscribers: 1, Same: true},
		"messages.list  changed: insert messages (tx 8125) and 3 more  25 ms  1 watcher  same result, no frame")
	f(reactor.Run{Cause: reactor.Cause{Reason: reactor.First}, Cost: 2 * time.Second, Err: os.ErrDeadlineExceeded},
		"messages.list  first  2.0 s  0 watchers  failed: i/o timeout")
	f(reactor.Run{Cause: reactor.Cause{Reason: reactor.Defined, Change: &reactor.Change{XID: 9, Op: reactor.DDL}}},
		"messages.list  redefined (tx 9)  <0.1 ms  0 watchers  new frame 0 B")
	// A table whose name cannot be asked for now is not an end.
	f(reactor.Run{Cause: reactor.Cause{Reason: reactor.Late, Change: &reactor.Change{XID: 9, Table: 8, Op: reactor.Delete}}},
		"messages.list  changed while running: delete table 8 (tx 9)  <0.1 ms  0 watchers  new frame 0 B")
}

func TestObserveNeverBlocks(t *testing.T) {
	t.Parallel()
	r := newReporter(&printer{out: newScreen()})
	for range cap(r.runs) + 5 { // nobody prints
		r.observe(reactor.Run{})
	}
	if r.missed != 5 {
		t.Errorf("missed %d, want 5", r.missed)
	}
}
