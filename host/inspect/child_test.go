package inspect

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// itself is this test binary as a child.
func itself(t testing.TB, arg string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, arg}
}

// open makes an Inspector whose child allows everything, unless the test names
// another.
func open(t testing.TB, config Config) *Inspector {
	t.Helper()
	if config.Command == nil {
		config.Command = itself(t, easyArg)
	}
	config.StartTimeout = 5 * time.Minute // under the race detector, beside other tests
	if config.Timeout == 0 {
		config.Timeout = time.Minute
	}
	i, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

func read(texts ...string) Statement {
	return Statement{Tenant: "acme", Rules: Rules{Kind: Read, Schema: "acme"}, Texts: texts}
}

// TestChildJudgesAndIsConfined: one child for all statements; I4.
func TestChildJudgesAndIsConfined(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "verdicts")
	command := itself(t, childArg)
	i := open(t, Config{Dir: dir, Command: command})
	ctx := t.Context()
	if err := i.Check(ctx, read("select 1", "select 2")); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if err := i.Check(ctx, read("select 1", "select pg_sleep(1)")); !errors.As(err, &refused) || !strings.Contains(err.Error(), "calls pg_sleep()") {
		t.Fatalf("pg_sleep: %v", err)
	}
	c := <-i.slot
	confined(t, c)
	i.slot <- c
	if s := i.Stats(); s != (Stats{Asked: 2, Refused: 1, Started: 1}) {
		t.Errorf("stats = %+v", s)
	}

	// I2: the verdicts are on disk, for who asks later.
	again := open(t, Config{Dir: dir, Command: command})
	if err := again.Check(ctx, read("select 1", "select 2")); err != nil {
		t.Error(err)
	}
	if err := again.Check(ctx, read("select 1", "select pg_sleep(1)")); !errors.As(err, &refused) {
		t.Errorf("pg_sleep again: %v", err)
	}
	if s := again.Stats(); s.Started != 0 || s.Known != 2 {
		t.Errorf("stats = %+v, want no child", s)
	}
}

// confined looks at the child from outside.
func confined(t *testing.T, c *child) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	proc := filepath.Join("/proc", strconv.Itoa(c.process.Process.Pid))
	if env := file(t, proc+"/environ"); env != "" {
		t.Errorf("the child's environment is %q", env)
	}
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if err != nil || !strings.HasPrefix(to, "pipe:") && !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			t.Errorf("fd %s is %s (%v)", fd.Name(), to, err)
		}
	}
	tasks, err := filepath.Glob(proc + "/task/*/status")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("%v threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		status := file(t, task)
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !strings.Contains(status, want) {
				t.Errorf("a thread of the child lacks %q", want)
			}
		}
	}
	limits := strings.Join(strings.Fields(file(t, proc+"/limits")), " ")
	want := []string{"Max core file size 0 0", "Max file size 0 0", "Max open files 0 0", "Max cpu time " + strconv.FormatUint(sqlProfile.seconds(), 10)}
	if !raceDetector {
		want = append(want, "Max data size 1073741824 1073741824", "Max address space 8589934592 8589934592")
	}
	for _, w := range want {
		if !strings.Contains(limits, w) {
			t.Errorf("the child's limits lack %q: %s", w, limits)
		}
	}
}

func file(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// script makes a program that behaves as a child would not.
func script(t *testing.T, body string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "child")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// greet says hello as a shell script.
func greet() string {
	return `printf '\000\000\000\` + "0" + strconv.FormatInt(int64(len(hello)), 8) + hello + `'`
}

// I2: whatever the child does instead of answering refuses the statement.
// Cases: 45.
func TestCrashTimeoutAndGarbageRefuse(t *testing.T) {
	t.Parallel()
	f := func(name, body string, timeout time.Duration, want CrashKind) {
		t.Helper()
		i := open(t, Config{Command: script(t, body), Timeout: timeout})
		var crash *CrashError
		err := i.Check(t.Context(), read("select 1"))
		if !errors.As(err, &crash) || crash.Kind != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		// It is not tried again: another statement is.
		if err := i.Check(t.Context(), read("select 1")); !errors.As(err, &crash) || crash.Kind != CrashRepeat {
			t.Errorf("%s, again: %v", name, err)
		}
		if s := i.Stats(); s.Started != 1 || s.Crashed != 1 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	f("ends", greet()+"; head -c 4 >/dev/null; echo oh no >&2", 0, CrashExit)
	f("hangs", greet()+"; exec sleep 1000", 50*time.Millisecond, CrashTimeout)
	f("echoes", greet()+"; exec cat", 0, CrashGarbage)
	f("answers nothing", greet()+`; printf '\000\000\000\000'; exec sleep 1000`, 0, CrashGarbage)
	f("answers at length", greet()+`; printf '\377\377\377\377'; exec sleep 1000`, 0, CrashGarbage)
	f("allows all", greet()+`; printf '\000\000\000\001\245'; exec sleep 1000`, 0, CrashGarbage)
}

// A program that is no child inspects nothing, and that may change.
func TestFaultIsNoVerdict(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"missing": {filepath.Join(t.TempDir(), "missing")}, "none": {}, "silent": script(t, "exit 0"), "loud": script(t, "echo hello everybody; exec sleep 1000"),
	} {
		i := open(t, Config{Command: command})
		var fault *FaultError
		if err := i.Check(t.Context(), read("select 1")); !errors.As(err, &fault) {
			t.Errorf("%s: %v", name, err)
		}
		if s := i.Stats(); s.Crashed != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A child that ended between two statements, for whatever reason, is replaced:
// only what a fresh child dies of is the statement's fault.
func TestDeadChildIsReplaced(t *testing.T) {
	t.Parallel()
	i := open(t, Config{})
	if err := i.Check(t.Context(), read("select 1")); err != nil {
		t.Fatal(err)
	}
	c := <-i.slot
	if err := c.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.done
	i.slot <- c
	if err := i.Check(t.Context(), read("select 2")); err != nil {
		t.Fatal(err)
	}
	if s := i.Stats(); s.Started != 2 || s.Crashed != 0 {
		t.Errorf("stats = %+v", s)
	}
}

// The server's memory does not pay: without work the child ends.
func TestIdleChildEnds(t *testing.T) {
	t.Parallel()
	i := open(t, Config{IdleTimeout: time.Millisecond})
	ended := make(chan struct{}, 16)
	i.ended = func() { ended <- struct{}{} }
	if err := i.Check(t.Context(), read("select 1")); err != nil {
		t.Fatal(err)
	}
	<-ended
	c := <-i.slot
	i.slot <- c
	if c != nil {
		t.Error("the child is still there")
	}
}

// A child that is kept is started before anybody asks, outlives pauses, is there
// again when it has ended, and ends like another when it is not kept any more.
func TestKeptChildIsThereBeforeItIsAsked(t *testing.T) {
	t.Parallel()
	i := open(t, Config{IdleTimeout: time.Millisecond})
	rested := make(chan struct{}, 16)
	i.ended = func() { rested <- struct{}{} }
	there := func(started uint64) *child {
		t.Helper()
		i.wait.Wait()
		c := <-i.slot
		i.slot <- c
		if got := i.Stats().Started; c == nil || got != started {
			t.Fatalf("the child is %v after %d starts, want %d", c, got, started)
		}
		return c
	}
	i.Keep(true)
	i.Keep(true)
	c := there(1)
	if err := i.Check(t.Context(), read("select 1")); err != nil {
		t.Fatal(err)
	}
	<-rested
	if there(1) != c {
		t.Error("another child")
	}
	c = <-i.slot
	c.Kill()
	i.slot <- nil                                                  // as after a crash
	if err := i.Check(t.Context(), read("select 1")); err != nil { // known: no child is needed
		t.Fatal(err)
	}
	if err := i.Check(t.Context(), read("select 2")); err != nil {
		t.Fatal(err)
	}
	<-rested
	there(2)
	i.Keep(false)
	<-rested
	c = <-i.slot
	i.slot <- c
	if c != nil {
		t.Error("the child is still there")
	}
}

// A statement that ends a kept child leaves another one behind, which nobody has
// to wait for.
func TestKeptChildIsReplacedAfterACrash(t *testing.T) {
	t.Parallel()
	i := open(t, Config{Command: itself(t, crashArg)})
	i.Keep(true)
	var crash *CrashError
	if err := i.Check(t.Context(), read("select 'crash'")); !errors.As(err, &crash) {
		t.Fatalf("crash: %v", err)
	}
	i.wait.Wait()
	c := <-i.slot
	i.slot <- c
	if c == nil {
		t.Error("there is no child")
	}
}

// Who cannot wait leaves; what was begun is finished and known afterwards.
func TestCallerMayLeave(t *testing.T) {
	t.Parallel()
	i := open(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var fault *FaultError
	if err := i.Check(ctx, read("select 1")); err != nil && !errors.As(err, &fault) {
		t.Errorf("left: %v", err)
	}
	if err := i.Check(t.Context(), read("select 1")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Nothing is allowed by having nothing to judge.
func TestStatementWithoutTextIsRefused(t *testing.T) {
	t.Parallel()
	var refused *RefusedError
	if err := open(t, Config{}).Check(t.Context(), read()); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

// W7: who waits behind a statement that crashes does not crash it again.
func TestCrashIsNotRepeatedByThoseWhoWait(t *testing.T) {
	t.Parallel()
	i := open(t, Config{Command: script(t, greet()+"; exec cat")})
	c := <-i.slot // all wait
	done := make(chan error)
	for range 4 {
		go func() { done <- i.Check(t.Context(), read("select 1")) }()
	}
	i.slot <- c
	var crash *CrashError
	for range 4 {
		if err := <-done; !errors.As(err, &crash) {
			t.Errorf("got %v", err)
		}
	}
	if s := i.Stats(); s.Crashed != 1 || s.Started != 1 {
		t.Errorf("%+v", s)
	}
}

func TestClosedInspectorSaysSo(t *testing.T) {
	t.Parallel()
	i := open(t, Config{})
	for range 2 {
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Check(t.Context(), read("select 1")); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// W7: one tenant's crashes cost it its own statements only.
func TestCrashesAreCountedByTenant(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	c := newCrashes(func() time.Time { return now })
	for n := range maxCrashes {
		c.add([32]byte{byte(n)}, "evil")
	}
	if c.refusal([32]byte{99}, "evil") == nil {
		t.Error("a tenant may crash the child for ever")
	}
	if err := c.refusal([32]byte{99}, "good"); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	if c.refusal([32]byte{0}, "good") == nil {
		t.Error("a statement that crashed is tried again by another tenant")
	}
	now = now.Add(crashMemory + time.Second)
	if err := c.refusal([32]byte{0}, "evil"); err != nil {
		t.Errorf("long afterwards: %v", err)
	}
}

// I3: what could overflow the parser's stack never reaches it, and what reaches
// it leaves it as it was.
// Cases: 45.
func TestNestedStatementsDoNotHarmTheParser(t *testing.T) {
	t.Parallel()
	parsing.Lock()
	c, err := newCanary()
	parsing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	wraps := [][2]string{
		{"+ ", ""},
		{"not ", ""},
		{"(", ")"},
		{"f(", ")"},
		{"(1, ", ")"},
		{"array[", "]"},
		{"case when ", " then 1 end"},
		{"(select ", ")"},
		{"exists (select ", ")"},
		{"f(1 order by 1, ", ")"},
		{"f(1) over (order by ", ")"},
		{"x between 1 and not ", ""},
		{"", "::int"},
		{"", " + 1"},
		{"(", ").b"},
		{"a[", "]"},
		{"", " collate c"},
		{"(select 1 from f((select ", ")))"},
		{"(select 1 from a, lateral (select ", ") x)"},
		{"(with a as (select ", ") select 1)"},
		{"(select 1 union select ", ")"},
		{"(with a as (insert into t values (1) on conflict do update set a = ", ") select 1)"},
		{"(with a as (merge into t using u on true when matched then update set a = ", ") select 1)"},
		{"json_object('a': ", ")"},
		{"xmlelement(name a, ", ")"},
		{"cast(1 as numeric(", "))"},
		{"coalesce(", ")"},
		{"(select 1 window w as (order by ", "))"},
	}
	for _, w := range wraps {
		deepest := 0
		for n := 8; n <= 4096 && n*(len(w[0])+len(w[1])) < 60000; n += max(8, n/4) {
			text := "select " + strings.Repeat(w[0], n) + "1" + strings.Repeat(w[1], n)
			err := check(text, &Rules{Kind: Write})
			var refused *RefusedError
			if err != nil && !errors.As(err, &refused) {
				t.Fatalf("%q × %d: %v", w, n, err)
			}
			if err == nil || !strings.Contains(err.Error(), "nested too deeply") {
				deepest = n
			}
			parsing.Lock()
			err = c.sing()
			parsing.Unlock()
			if err != nil {
				t.Fatalf("%q × %d: %v", w, n, err)
			}
		}
		if deepest < 16 {
			t.Errorf("%q nested %d times is too deep already", w, deepest+8)
		}
	}
}

// A canary that changed ends the child before it tells a verdict.
func TestChildEndsWhenTheParserChanged(t *testing.T) {
	t.Parallel()
	var in, out bytes.Buffer
	if err := WriteFrame(&in, appendQuestion(nil, &Rules{Kind: Read}, "select 1")); err != nil {
		t.Fatal(err)
	}
	parsing.Lock()
	defer parsing.Unlock()
	if err := serve(&in, &out, &canary{tree: "another"}); !errors.Is(err, errSilent) {
		t.Errorf("got %v", err)
	}
	if out.Len() > 0 {
		t.Error("it answered")
	}
}

// FuzzWire: whatever arrives, the child decodes it to what was encoded, or ends.
func FuzzWire(f *testing.F) {
	f.Add(appendQuestion(nil, &Rules{Kind: Read, Schema: "acme", Functions: []string{"a.b", ""}}, "select 1"))
	f.Add(binary.AppendUvarint([]byte{'r', 0}, 1<<62))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		rules, text, err := parseQuestion(data)
		if err == nil && !bytes.Equal(appendQuestion(nil, &rules, text), data) && len(data) < 1<<10 {
			// A uvarint may be written in more bytes than it needs, nothing else.
			if again, text2, err := parseQuestion(appendQuestion(nil, &rules, text)); err != nil || text2 != text || again.Schema != rules.Schema {
				t.Errorf("%x decodes to what does not encode", data)
			}
		}
		var framed bytes.Buffer
		framed.Write(data)
		if body, err := ReadFrame(&framed, 100); err == nil && len(body) > 100 {
			t.Errorf("a frame of %d bytes", len(body))
		}
		if v, ok := parseAnswer(data, data); ok {
			t.Errorf("an answer without digest: %+v", v)
		}
	})
}

// Statements of applications are far below the bound.
func TestPlainStatementsAreNotNested(t *testing.T) {
	t.Parallel()
	conditions := strings.Repeat(" and (a.x = $1 or b.y <> $2)", 60)
	for text, most := range map[string]int{
		typical: 40,
		song:    80,
		"select * from a join b on a.id = b.id where true" + conditions: 260,
	} {
		parsing.Lock()
		list, err := tokens(text)
		parsing.Unlock()
		if n := nesting(list); err != nil || n > most {
			t.Errorf("%.60s…: %d units, %v", text, n, err)
		}
	}
}
