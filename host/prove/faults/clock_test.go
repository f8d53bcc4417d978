package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// clock moves what the database takes for the time of day.
type clock struct {
	t    testing.TB
	file string
	bin  string // PostgreSQL's programs, of which postgres has the clock
}

// newClock builds it, with the C compiler of this machine.
func newClock(t testing.TB) *clock {
	t.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("NOT RUN: the database's clock is moved by a piece of C, and this machine has no cc")
	}
	dir, err := os.MkdirTemp("", "weir-clock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &clock{t: t, file: filepath.Join(dir, "moved"), bin: filepath.Join(dir, "bin")}
	library := filepath.Join(dir, "clock.so")
	if out, err := exec.Command(compiler, "-shared", "-fPIC", "-O2", "-o", library, "testdata/clock.c").CombinedOutput(); err != nil {
		t.Fatalf("build the clock: %v\n%s", err, out)
	}
	// The programs that devdb would choose.
	plain := newCluster(t, "", nil)
	postgres, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", plain.PID()))
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.bin, 0o755); err != nil {
		t.Fatal(err)
	}
	others, err := filepath.Glob(filepath.Join(filepath.Dir(postgres), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range others {
		if path == postgres {
			continue
		}
		if err := os.Symlink(path, filepath.Join(c.bin, filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	script := fmt.Sprintf("#!/bin/sh\nLD_PRELOAD=%s WEIR_TEST_CLOCK=%s exec %s \"$@\"\n", library, c.file, postgres)
	if err := os.WriteFile(filepath.Join(c.bin, "postgres"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	c.step(0)
	for _, path := range []string{dir, c.bin} { // whatever the umask is
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// step moves the clock away from the machine's.
func (c *clock) step(by time.Duration) {
	c.t.Helper()
	next := c.file + ".new"
	if err := os.WriteFile(next, []byte(fmt.Sprintln(int(by.Seconds()))), 0o644); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(next, c.file); err != nil {
		c.t.Fatal(err)
	}
}

// TestDatabaseClockSteps: C5, C6. The log's age and the reader's mark are of the
// database's clock. When it steps, forwards beyond the log's retention or back,
// nothing is missed. (weir's own clock cannot be moved from outside: Go asks the
// kernel. Its core gets the time from its driver, and tests there move it.)
func TestDatabaseClockSteps(t *testing.T) {
	n := long(t)
	c := newClock(t)
	w := newWorld(t, setting{bin: c.bin})
	w.node.bounded()
	steps := []fault{
		{"clock-forward", "the database's clock steps an hour forward", false, func(*world) { c.step(time.Hour) }},
		{"clock-back", "the database's clock steps two hours back", false, func(*world) { c.step(-time.Hour) }},
		{"clock-wild", "the database's clock steps to and fro by 40 minutes, 30 times in 3 s", false, func(w *world) {
			for i := range 30 {
				c.step(time.Duration(i%3-1) * 40 * time.Minute)
				w.hold(100 * time.Millisecond)
			}
		}},
		{"clock-right", "the database's clock is set right, weir is killed and started", false, func(w *world) {
			c.step(0)
			w.node.kill()
			w.node.start()
		}},
	}
	for range n {
		for _, f := range steps {
			w.suffer(t, f)
		}
	}
	var now time.Time
	c.step(time.Hour)
	w.db.ask(t, `select clock_timestamp()`, nil, &now)
	if moved := time.Until(now); moved < 50*time.Minute {
		t.Errorf("the database's clock was moved by %v: this proves nothing", moved)
	}
}
