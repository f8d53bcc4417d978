package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb/devdbtest"
)

// projectForTests is a new project on whose private server tests may run.
func projectForTests(t *testing.T) string {
	t.Helper()
	dir := newPluginIn(t, openDir(t))
	t.Cleanup(func() { weir(t, dir, "db", "private", "--remove").must(t) })
	return dir
}

// TestWeirTestRunsTheTestsOfANewProject: the tests of the template pass, and those
// that fail say what was seen last.
func TestWeirTestRunsTheTestsOfANewProject(t *testing.T) {
	t.Parallel()
	dir := projectForTests(t)
	out := weir(t, dir, "test").must(t)
	if !strings.Contains(out, "ok  \tnotes/plugin") {
		t.Errorf("got %q", out)
	}

	live := filepath.Join(dir, "plugin", "live_test.go")
	edit(t, live, "len(tasks) == 2 && tasks[0] == added", "len(tasks) == 3 && tasks[0] == added")
	weirtest := filepath.Join(dir, "weir", "weirtest", "server.go")
	edit(t, weirtest, "= 15 * time.Second", "= time.Second")
	o := weir(t, dir, "test", "--", "-run", "WhatOneAdds")
	for _, want := range []string{"live_test.go:", "tasks.list as bob is not as wanted after 1s", "last result, of 2", `"title": "water the plants"`} {
		if !strings.Contains(o.out, want) {
			t.Errorf("it does not say %q:\n%s", want, o.out)
		}
	}
	if o.code != 1 || o.errors != "" {
		t.Errorf("exit %d %q, want 1 and what go test said", o.code, o.errors)
	}
}

// TestServerOfATestTellsWhatIsWrong: each wall on the way to a server is a sentence
// of the test that met it.
func TestServerOfATestTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := projectForTests(t)
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), goTool, "test", "-run", "Members", "./plugin")
	cmd.Dir, cmd.Env = dir, append(offline(), "WEIR_BIN=", "PATH="+filepath.Dir(goTool))
	out, err := cmd.CombinedOutput()
	if want := "run the tests with weir test, or set WEIR_BIN"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("it does not say %q: %v\n%s", want, err, out)
	}

	f := func(url, want string) {
		t.Helper()
		o := weirWith(t, &Main{Dir: dir, Args: []string{"child", "test", "."}, Getenv: func(name string) string {
			if name == envTestURL {
				return url
			}
			return environment(name)
		}})
		if o.code != 0 || !strings.HasPrefix(o.out, `{"error":"`) || !strings.Contains(o.out, want) {
			t.Errorf("it does not say %q: %+v", want, o)
		}
	}
	f("nonsense", "WEIR_TEST_URL is no URL of a database")
	write(t, filepath.Join(dir, "seed.sql"), "insert into listen (name) values ('home');\n")
	f("", `seed.sql:1: relation \"listen\" does not exist`)
	write(t, filepath.Join(dir, "seed.sql"), "")
	edit(t, filepath.Join(dir, "plugin", "main.go"), "order by id desc limit $limit", "limit $limit")
	f("", "notes.wasm: tasks.list")
	edit(t, filepath.Join(dir, "plugin", "main.go"), "func main() {}", "func main() { undefinedName() }")
	f("", "notes.wasm does not compile")
}

// TestServerOfATestLeavesNothing: neither on the private server nor on another one,
// where the roles go, too.
func TestServerOfATestLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := projectForTests(t)
	weir(t, dir, "build").must(t)
	f := func(env func(string) string) {
		t.Helper()
		out := newScreen()
		in, typed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		m := &Main{Dir: dir, Args: []string{"child", "test", "."}, Stdin: in, Stdout: out, Stderr: out, Getenv: env}
		done := make(chan int, 1)
		go func() { done <- m.Run(context.Background()) }()
		out.wait(t, `{"url":"http://127.0.0.1:`, 1)
		for _, ask := range []struct{ sql, want string }{
			{`select 1 as one, null as two, true as three, 1.5::float8 as four, 'x' as five, '{}'::jsonb as six, '01'::text as seven`, `{"rows":[{"one":1,"two":null,"three":true,"four":1.5,"five":"x","six":{},"seven":"01"}]}`},
			{`insert into tasks (list_id, title, author) values (1, 'a', 'b')`, `{"rows":[]}`},
			{`select nonsense`, `{"error":"error: column \"nonsense\" does not exist"}`},
			{`select count(*) from tasks`, `{"rows":[{"count":2}]}`},
		} {
			if _, err := typed.WriteString(`{"sql":"` + ask.sql + "\"}\n"); err != nil {
				t.Fatal(err)
			}
			out.wait(t, ask.want, 1)
		}
		if err := typed.Close(); err != nil {
			t.Error(err)
		}
		if code := <-done; code != 0 {
			text, _ := out.now()
			t.Errorf("exit %d: %s", code, text)
		}
	}
	built := func(name string) string {
		if name == envBuilt {
			return "1"
		}
		return environment(name)
	}
	f(built)
	if out := weir(t, dir, "db", "status").errors; !strings.Contains(out, "has not been made yet") {
		t.Errorf("tests made the database of weir dev: %s", out)
	}

	db := devdbtest.New(t)
	f(func(name string) string {
		if name == envTestURL {
			return db.URL
		}
		return built(name)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var left int
	err := withConn(ctx, db.URL, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select (select count(*) from pg_database where datname like 'weir\_test\_%') + (select count(*) from pg_roles where rolname like 'weir\_test\_%')`).Scan(&left)
	})
	if err != nil || left != 0 {
		t.Errorf("%d databases and roles are left, %v", left, err)
	}
}
