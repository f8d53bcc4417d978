package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/host/devdb/devdbtest"
	"weir/host/wasm/wasmtest"
)

// discard takes what a test does not look at.
var discard = slog.New(slog.DiscardHandler)

var update = flag.Bool("update", false, "rewrite the golden files")

// asWeir in its environment makes this binary weir, for tests of signals.
const asWeir = "WEIR_TEST_IS_WEIR"

func TestMain(m *testing.M) {
	if os.Getenv(asFloor) != "" {
		floorMain()
		os.Exit(0)
	}
	// What tests start as a process of its own is this binary.
	if len(os.Args) > 1 && os.Args[1] == childName || os.Getenv(asWeir) != "" {
		main()
	}
	var err error
	if childProgram, err = wasmtest.Program(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	devdbtest.Main(m)
}

// outcome is what a command line did.
type outcome struct {
	code        int
	out, errors string
}

// weir runs a command line in a directory, as the binary would.
func weir(t *testing.T, dir string, args ...string) outcome {
	t.Helper()
	return weirWith(t, &Main{Dir: dir, Args: args})
}

// weirWith runs a Main whose streams and environment are filled in.
func weirWith(t *testing.T, m *Main) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // cleanups run commands too
	defer cancel()
	var out, errs bytes.Buffer
	if m.Stdin == nil {
		m.Stdin = strings.NewReader("")
	}
	if m.Getenv == nil {
		m.Getenv = environment
	}
	m.Stdout, m.Stderr = &out, &errs
	code := m.Run(ctx)
	return outcome{code, out.String(), errs.String()}
}

// environment has nothing of a developer's own: a WEIR_URL would lead tests
// astray, and what tests compile belongs into their cache.
func environment(name string) string {
	switch {
	case strings.HasPrefix(name, "WEIR_"):
		return ""
	case name == "XDG_CACHE_HOME":
		return cmp.Or(wasmtest.CacheHome(), filepath.Join(os.TempDir(), "cache"))
	}
	return os.Getenv(name)
}

// must fails the test unless the command succeeded, and returns its output.
func (o outcome) must(t *testing.T) string {
	t.Helper()
	if o.code != 0 || o.errors != "" {
		t.Fatalf("exit %d: %s%s", o.code, o.out, o.errors)
	}
	return o.out
}

// fails wants an exit code and a sentence on standard error that has all parts.
func (o outcome) fails(t *testing.T, code int, parts ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit %d, want %d: %s%s", o.code, code, o.out, o.errors)
	}
	for _, part := range parts {
		if !strings.Contains(o.errors, part) {
			t.Errorf("error %q does not say %q", o.errors, part)
		}
	}
	if !strings.HasPrefix(o.errors, "weir: ") || strings.Count(strings.TrimSpace(o.errors), "\n") > 0 {
		t.Errorf("not one sentence, printed once (CLI1): %q", o.errors)
	}
}

// write makes a file and the directories above it.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// edit replaces a part of a file, which must be there.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not contain %q", path, old)
	}
	write(t, path, strings.Replace(string(text), old, new, 1))
}

// openDir is a temporary directory that the database's user can reach: tests may
// run as root, whose server runs as somebody else.
func openDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// screen is a stream that tests wait on.
type screen struct {
	mu      sync.Mutex // protects the fields below
	text    strings.Builder
	changed chan struct{}
}

func newScreen() *screen { return &screen{changed: make(chan struct{})} }

// Write appends, and wakes who waits.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p)
	close(s.changed)
	s.changed = make(chan struct{})
	return len(p), nil
}

func (s *screen) now() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String(), s.changed
}

// wait waits until part stands on the screen n times, and returns all of it.
func (s *screen) wait(t *testing.T, part string, n int) string {
	t.Helper()
	timeout := time.After(90 * time.Second)
	for {
		text, changed := s.now()
		if strings.Count(text, part) >= n {
			return text
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%q was not seen %d times in:\n%s", part, n, text)
		}
	}
}

// background runs a command line until stop, which returns its exit code.
func background(t *testing.T, dir string, args ...string) (out, errs *screen, stop func() int) {
	t.Helper()
	out, errs = newScreen(), newScreen()
	m := &Main{Dir: dir, Args: args, Stdin: strings.NewReader(""), Stdout: out, Stderr: errs, Getenv: environment}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() { done <- m.Run(ctx) }()
	stop = sync.OnceValue(func() int {
		cancel()
		return <-done
	})
	t.Cleanup(func() { stop() })
	return out, errs, stop
}

// process runs a command line in a process of its own, which signals reach. It is
// killed at the end of the test, if wait was not called.
func process(t *testing.T, dir string, args ...string) (errs *screen, signal func(os.Signal), wait func() int) {
	t.Helper()
	return launched(t, dir, exec.Command(os.Args[0], args...))
}

// launched is process for a command that ends in this binary.
func launched(t *testing.T, dir string, cmd *exec.Cmd) (errs *screen, signal func(os.Signal), wait func() int) {
	t.Helper()
	errs = newScreen()
	cmd.Dir, cmd.Stderr = dir, errs
	cmd.Env = append(os.Environ(), asWeir+"=1", "XDG_CACHE_HOME="+environment("XDG_CACHE_HOME"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait = sync.OnceValue(func() int {
		_ = cmd.Wait() // the exit code says it
		return cmd.ProcessState.ExitCode()
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		wait()
	})
	return errs, func(s os.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}, wait
}

var _ io.Writer = (*screen)(nil)
