package devdbtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// playEnv makes this binary play another one, with or without a server.
const playEnv = "DEVDBTEST_PLAY"

// playBinary is what such a binary does when it has run its tests, of which it
// has none: it says where its files and its server are, and waits.
func playBinary() {
	pid, url := 0, "none"
	if os.Getenv(playEnv) == "server" {
		s, err := shared.start(context.Background())
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		pid, url = s.cluster.PID(), s.cluster.URL("")
	}
	fmt.Println(os.TempDir(), pid, url)
	_, _ = io.Copy(io.Discard, os.Stdin) // not longer than the test
}

// binary is another test binary that runs.
type binary struct {
	cmd    *osexec.Cmd
	stdin  io.Closer
	dir    string
	server int // its process
	url    string
}

// play starts a binary whose temporary directory is below base.
func play(t *testing.T, base, what string) *binary {
	t.Helper()
	b := &binary{cmd: osexec.Command(os.Args[0], "-test.run=^$")}
	b.cmd.Env = append(os.Environ(), "TMPDIR="+base, playEnv+"="+what, "TEST_DATABASE_URL=")
	out, err := b.cmd.StdoutPipe()
	if err == nil {
		b.stdin, err = b.cmd.StdinPipe()
	}
	if err == nil {
		err = b.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.end(); _ = b.cmd.Wait() }) // it may have been waited for
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if n, _ := fmt.Sscan(lines.Text(), &b.dir, &b.server, &b.url); n == 3 && strings.HasPrefix(b.dir, base) {
			return b
		}
	}
	t.Fatalf("the other binary does not say where it is: %v", lines.Err())
	return nil
}

// end lets the binary end by itself.
func (b *binary) end() { _ = b.stdin.Close() }

// kill is kill -9.
func (b *binary) kill(t *testing.T) {
	t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = b.cmd.Wait() // killed: always an error
}

// next runs a binary from its start to its end.
func next(t *testing.T, base string) {
	t.Helper()
	b := play(t, base, "nothing")
	b.end()
	if err := b.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if isThere(t, b.dir) {
		t.Errorf("%s is left by a binary that was not killed", b.dir)
	}
}

func isThere(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// openBase is a temporary directory through which the database's user passes.
func openBase(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	for _, dir := range []string{base, filepath.Dir(base)} {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return base
}

// DT6: what a killed binary leaves is removed by the next one, once its server
// has ended; what a living one has is not touched.
func TestNextBinaryRemovesWhatAKilledOneLeft(t *testing.T) {
	t.Parallel()
	base := openBase(t)
	living, dead := play(t, base, "nothing"), play(t, base, "server")
	next(t, base)
	if !isThere(t, living.dir) || !isThere(t, dead.dir) {
		t.Fatal("the directory of a binary that runs was removed")
	}

	// A session that does not hear that it is to end holds up the server, so that
	// it is still there when the next one comes.
	deaf := session(t, dead.url)
	signal(t, deaf, syscall.SIGSTOP)
	t.Cleanup(func() { _ = syscall.Kill(deaf, syscall.SIGCONT) }) // whatever happens
	dead.kill(t)
	if runtime.GOOS != "linux" {
		signal(t, dead.server, syscall.SIGINT) // only Linux's kernel does it for us
	}
	next(t, base)
	if !isThere(t, dead.dir) {
		t.Error("the directory of a server that runs was removed")
	}
	signal(t, deaf, syscall.SIGCONT)
	gone(t, dead.server)
	next(t, base)
	if isThere(t, dead.dir) {
		t.Error("the directory of a dead binary is left")
	}
	if !isThere(t, living.dir) {
		t.Error("the directory of a binary that runs was removed")
	}
}

// session opens a session and returns its process.
func session(t *testing.T, url string) (pid int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the server is gone
	if err := conn.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("%v to process %d: %v", sig, pid, err)
	}
}

// gone waits until pid is no process, or only one that nobody has waited for.
func gone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if syscall.Kill(pid, 0) != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("process %d still runs", pid)
		}
	}
}

// DT6: nothing is removed that is not certainly a dead binary's.
func TestSweepLeavesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	f := func(what, name, file string, want bool) {
		t.Helper()
		base := t.TempDir()
		dir := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Join(dir, "deep", "down"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		sweep(base)
		if got := isThere(t, dir); got != want {
			t.Errorf("%s is there: %v, want %v", what, got, want)
		}
	}
	f("a dead binary's", dirPrefix+"1", lockName, false)
	f("one that is not locked yet", dirPrefix+"2", "another", true)
	f("somebody else's", "weir-3", lockName, true)
}
