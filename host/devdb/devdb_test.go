package devdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"weir/host/devdb"
	"weir/host/devdb/devdbtest"
)

// ownerEnv makes this binary play a weir that starts a cluster and waits to be
// killed.
const ownerEnv = "DEVDB_TEST_OWNER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerEnv); dir != "" {
		c, err := devdb.Start(context.Background(), devdb.Config{Dir: dir})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("pid", c.PID())
		_, _ = io.Copy(io.Discard, os.Stdin) // not longer than the test
		os.Exit(0)
	}
	devdbtest.Main(m)
}

// testDir returns a directory that the server's user can reach when root runs
// the tests; those of t.TempDir are closed to others.
func testDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devdb-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "pg")
}

func start(t *testing.T, cfg devdb.Config) *devdb.Cluster {
	t.Helper()
	c, err := devdb.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// query runs sql on a connection of its own and returns its one value as text.
func query(t *testing.T, c *devdb.Cluster, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), c.URL(""))
	if err != nil {
		t.Fatalf("connect to %s: %v", c.URL(""), err)
	}
	defer conn.Close(context.Background())
	res, err := conn.PgConn().Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if last := res[len(res)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}

// gone waits until pid is no process, or only one that nobody has waited for.
func gone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(b), ") Z ") {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("process %d still runs", pid)
		}
	}
}

func TestColdStartThenWarmStartKeepsDataAndURL(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	began := time.Now()
	c := start(t, devdb.Config{Dir: dir})
	t.Logf("cold start: %v", time.Since(began))
	if c.Attached() || c.PID() == 0 || c.Version() < 14 {
		t.Errorf("attached %v, pid %d, version %d", c.Attached(), c.PID(), c.Version())
	}
	query(t, c, "CREATE TABLE rooms (id int); INSERT INTO rooms VALUES (7)")
	url, pid := c.URL(""), c.PID()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)

	began = time.Now()
	c = start(t, devdb.Config{Dir: dir})
	t.Logf("warm start: %v", time.Since(began))
	if got := query(t, c, "SELECT id FROM rooms"); got != "7" {
		t.Errorf("after a restart the row is %q, want 7", got)
	}
	if c.URL("") != url {
		t.Errorf("the URL changed from %s to %s", url, c.URL(""))
	}
}

// DB1: no address, a 0700 directory, a path that the kernel accepts.
func TestServerListensOnAPrivateSocketOnly(t *testing.T) {
	t.Parallel()
	c := start(t, devdb.Config{Dir: filepath.Join(testDir(t), strings.Repeat("deep/", 30)), Settings: map[string]string{
		"listen_addresses": "*", "unix_socket_permissions": "0777", "work_mem": "5MB",
	}})
	f := func(setting, want string) {
		t.Helper()
		if got := query(t, c, "SHOW "+setting); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	f("listen_addresses", "")
	f("unix_socket_permissions", "0700")
	f("work_mem", "5MB")
	f("server_encoding", "UTF8")
	f("fsync", "on") // DB7
	dir := strings.Trim(query(t, c, "SHOW unix_socket_directories"), `"`)
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket directory %s: %v, %v, want 0700", dir, info, err)
	}
	if n := query(t, c, "SELECT count(*) FROM pg_hba_file_rules WHERE type <> 'local'"); n != "0" {
		t.Errorf("%s lines of pg_hba.conf let the network in", n)
	}
}

// DB2.
func TestSecondStartAttachesAndLeavesTheServerAlone(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	first := start(t, devdb.Config{Dir: dir})
	second := start(t, devdb.Config{Dir: dir})
	if !second.Attached() || second.PID() != first.PID() || second.URL("x") != first.URL("x") || second.Version() != first.Version() {
		t.Errorf("second: attached %v, pid %d, %s; first: pid %d, %s", second.Attached(), second.PID(), second.URL("x"), first.PID(), first.URL("x"))
	}
	for name, err := range map[string]error{"Restart": second.Restart(t.Context()), "Kill": second.Kill()} {
		if !errors.Is(err, devdb.ErrAttached) {
			t.Errorf("%s of an attached server: %v, want ErrAttached", name, err)
		}
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, first, "SELECT 1"); got != "1" {
		t.Errorf("the server is gone after the attached one was closed")
	}
}

// DB2.
func TestConcurrentStartsShareOneServer(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	var wg sync.WaitGroup
	clusters := make([]*devdb.Cluster, 3)
	for i := range clusters {
		wg.Go(func() {
			c, err := devdb.Start(t.Context(), devdb.Config{Dir: dir})
			if err != nil {
				t.Error(err)
			}
			clusters[i] = c
		})
	}
	wg.Wait()
	owners := 0
	for _, c := range clusters {
		if c == nil {
			t.FailNow()
		}
		defer c.Close()
		if !c.Attached() {
			owners++
		}
		if c.PID() != clusters[0].PID() {
			t.Errorf("two servers: %d and %d", c.PID(), clusters[0].PID())
		}
	}
	if owners != 1 {
		t.Errorf("%d starters own the server, want 1", owners)
	}
}

// DB3: also with a backend that is busy, and so outlives its server.
func TestKilledServerComesBackWithItsData(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	c := start(t, devdb.Config{Dir: dir})
	query(t, c, "CREATE TABLE rooms (id int); INSERT INTO rooms VALUES (7)")
	busy, err := pgx.Connect(t.Context(), c.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close(context.Background())
	sleeping := make(chan struct{})
	go func() {
		defer close(sleeping)
		_, _ = busy.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 3000000)")
	}()
	url, pid := c.URL(""), c.PID()
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
	if c.PID() != 0 {
		t.Errorf("PID = %d after Kill, want 0", c.PID())
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-sleeping
	if got := query(t, c, "SELECT id FROM rooms"); got != "7" || c.URL("") != url {
		t.Errorf("after kill -9 the row is %q, want 7; URL %s, was %s", got, c.URL(""), url)
	}

	// A new Start, as a new weir would: the file of the dead one is still there.
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	next := start(t, devdb.Config{Dir: dir})
	if got := query(t, next, "SELECT id FROM rooms"); got != "7" || next.Attached() {
		t.Errorf("a new start finds %q (attached %v), want 7", got, next.Attached())
	}
}

// DB3: the number in a stale postmaster.pid soon belongs to another process.
func TestStalePidFileThatNamesAnotherProcessIsNoObstacle(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	c := start(t, devdb.Config{Dir: dir})
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(c.DataDir(), "postmaster.pid")
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	// A process of the server's own user: PostgreSQL would give up here.
	other := exec.Command("sleep", "60")
	info, err := os.Stat(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 {
		other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(other.Process.Pid)+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	next := start(t, devdb.Config{Dir: dir})
	if next.Attached() || query(t, next, "SELECT 1") != "1" {
		t.Errorf("attached to a process that is no server")
	}
}

// DB3, DB4: weir is killed with -9; its server follows (Linux), and the next
// weir starts on the same data.
func TestServerEndsWithItsKilledOwner(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"="+dir)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, err = fmt.Fscanf(out, "pid %d\n", &pid)
	if err != nil || pid == 0 {
		_ = owner.Process.Kill()
		_ = owner.Wait()
		t.Fatalf("the owner did not start: %v", err)
	}
	attached := start(t, devdb.Config{Dir: dir})
	if !attached.Attached() || attached.PID() != pid {
		t.Errorf("attached %v to %d, want %d", attached.Attached(), attached.PID(), pid)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- attached.Run(ctx) }()
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // killed: always an error
	if runtime.GOOS != "linux" {
		_ = syscall.Kill(pid, syscall.SIGINT) // only Linux's kernel does it for us
	}
	gone(t, pid)

	// Run of the attached one takes over.
	awaitPID(t, attached, func(now int) bool { return now != 0 && now != pid && !attached.Attached() })
	if got := query(t, attached, "SELECT 1"); got != "1" {
		t.Errorf("the server that took over answers %q", got)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

// awaitPID waits until the cluster's process number satisfies ok.
func awaitPID(t *testing.T, c *devdb.Cluster, ok func(int) bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !ok(c.PID()) {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("the server did not come back, PID = %d", c.PID())
		}
	}
}

func TestRunBringsBackAKilledServerAndNotAStoppedOne(t *testing.T) {
	t.Parallel()
	c := start(t, devdb.Config{})
	ran := make(chan error)
	go func() { ran <- c.Run(context.Background()) }()
	pid := c.PID()
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitPID(t, c, func(now int) bool { return now != 0 && now != pid })
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.PID() != 0 {
		t.Errorf("PID = %d after Stop, want 0", c.PID())
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
	if pid := c.PID(); pid != 0 {
		t.Errorf("Run started %d after Stop", pid)
	}
}

// DB4.
func TestCloseLeavesNoProcessAndNoTemporaryDirectory(t *testing.T) {
	t.Parallel()
	c, err := devdb.Start(t.Context(), devdb.Config{})
	if err != nil {
		t.Fatal(err)
	}
	// A session in a transaction does not hold up a fast stop.
	conn, err := pgx.Connect(t.Context(), c.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	pid, dir := c.PID(), filepath.Dir(c.DataDir())
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d is left", pid)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left (%v)", dir, err)
	}
	if err := c.Restart(t.Context()); !errors.Is(err, devdb.ErrClosed) {
		t.Errorf("Restart after Close = %v, want ErrClosed", err)
	}
}

func TestCloseBeforeAnything(t *testing.T) {
	t.Parallel()
	var none *devdb.Cluster
	if err := errors.Join(none.Close(), new(devdb.Cluster).Close()); err != nil {
		t.Error(err)
	}
}

func TestMissingProgramsAreExplained(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	_, err := devdb.Start(t.Context(), devdb.Config{BinDir: empty})
	if err == nil || !strings.Contains(err.Error(), "no PostgreSQL in "+empty) || !strings.Contains(err.Error(), "name a directory that holds") {
		t.Errorf("got %v, want a sentence with the next step", err)
	}
}

// DB5: a directory that the server's user cannot reach is the usual case for
// root, whose home is closed.
// It runs alone, because it changes where the data goes then.
func TestRootKeepsUnreachableDataElsewhereAndFindsItAgain(t *testing.T) {
	shared := filepath.Join(filepath.Dir(testDir(t)), "shared")
	devdb.SetSharedHome(t, shared)
	dir := filepath.Join(t.TempDir(), "pg") // 0700 above it
	var log strings.Builder
	c := start(t, devdb.Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	home := filepath.Dir(c.DataDir())
	if os.Geteuid() != 0 {
		if home != dir {
			t.Errorf("a normal user's data is in %s, want %s", home, dir)
		}
		return
	}
	info, err := os.Stat(c.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); st.Uid == 0 || info.Mode().Perm() != 0o700 {
		t.Errorf("data of uid %d, mode %v, want another user and 0700", st.Uid, info.Mode())
	}
	if !strings.Contains(log.String(), "data="+home) {
		t.Errorf("the log does not say where the data is:\n%s", log.String())
	}
	if filepath.Dir(home) != shared {
		t.Errorf("the data is in %s, want it below %s", home, shared)
	}
	query(t, c, "CREATE TABLE rooms (id int); INSERT INTO rooms VALUES (7)")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = start(t, devdb.Config{Dir: dir})
	if got := query(t, c, "SELECT id FROM rooms"); got != "7" {
		t.Errorf("the second start finds %q, want 7", got)
	}
}

func TestFailedStartShowsTheServersLastWords(t *testing.T) {
	t.Parallel()
	dir := testDir(t)
	_, err := devdb.Start(t.Context(), devdb.Config{Dir: dir, Settings: map[string]string{"shared_buffers": "plenty"}})
	exit := (*devdb.ExitError)(nil)
	if !errors.As(err, &exit) || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Fatalf("got %v, want the server's own words", err)
	}
	c := start(t, devdb.Config{Dir: dir}) // and the next start is not harmed
	if got := query(t, c, "SELECT 1"); got != "1" {
		t.Errorf("got %q", got)
	}
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := devdb.Start(ctx, devdb.Config{Dir: testDir(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
