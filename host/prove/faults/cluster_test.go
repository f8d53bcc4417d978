package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/host/devdb"
)

// quick are the settings of a cluster whose processes are killed, but whose
// machine is not: what it wrote is in the kernel's hands, and stays.
var quick = map[string]string{"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "max_connections": "60"}

// patience is how long anything may take before a test gives up: far more than
// what is measured. Machines that run tests are busy.
const patience = 2 * time.Minute

// cluster is a PostgreSQL that the test may kill.
type cluster struct {
	*devdb.Cluster
	dir   string // of its socket
	other string // superuser's URL of a server that is not devdb's
}

// newCluster starts one, in a directory of its own if none is named, with more
// settings if need be.
func newCluster(t testing.TB, dir string, settings map[string]string) *cluster {
	t.Helper()
	return newClusterOf(t, devdb.Config{Dir: dir}, settings)
}

func newClusterOf(t testing.TB, cfg devdb.Config, settings map[string]string) *cluster {
	t.Helper()
	all := maps.Clone(quick)
	maps.Copy(all, settings)
	cfg.Settings = all
	c, err := devdb.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	at, err := pgx.ParseConfig(c.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{Cluster: c, dir: at.Host}
}

// socket is where the cluster listens.
func (c *cluster) socket() string { return filepath.Join(c.dir, ".s.PGSQL.5432") }

// connect opens a superuser's connection, past every wire.
func (c *cluster) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := c.other
	if url == "" {
		url = c.URL("")
	}
	return pgx.Connect(ctx, url)
}

// ask runs one question on a connection of its own and scans its only row. It
// asks again while the server is away.
func (c *cluster) ask(t testing.TB, sql string, args []any, into ...any) {
	t.Helper()
	err := persist(t, func(ctx context.Context) error {
		conn, err := c.connect(ctx)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		return conn.QueryRow(ctx, sql, args...).Scan(into...)
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// exec runs SQL as the superuser.
func (c *cluster) exec(t testing.TB, sql string) {
	t.Helper()
	err := persist(t, func(ctx context.Context) error {
		conn, err := c.connect(ctx)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(sql), err)
	}
}

// persist does something again until it succeeds or patience ends.
func persist(t testing.TB, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", patience, err)
		case <-tick.C:
		}
	}
}

// backends are the process numbers of those who match.
func (c *cluster) backends(t testing.TB, where string) (pids []int) {
	t.Helper()
	c.ask(t, `select coalesce(array_agg(pid::int8), '{}') from pg_stat_activity where pid <> pg_backend_pid() and `+where, nil, &pids)
	return pids
}

// killBackends ends backends as kill -9 does; the postmaster then ends all others
// and recovers.
func (c *cluster) killBackends(t testing.TB, where string) {
	t.Helper()
	err := persist(t, func(context.Context) error {
		pids := c.backends(t, where)
		if len(pids) == 0 {
			return fmt.Errorf("no backend where %s", where)
		}
		return syscall.Kill(pids[0], syscall.SIGKILL)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// immediate is pg_ctl stop -m immediate.
func (c *cluster) immediate(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(c.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := persist(t, func(context.Context) error {
		if c.PID() != 0 {
			return errors.New("the server still runs")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// restart starts a server that has ended.
func (c *cluster) restart(t testing.TB) {
	t.Helper()
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// kill is kill -9 of the postmaster.
func (c *cluster) kill(t testing.TB) {
	t.Helper()
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
}

// massacre is kill -9 of the postmaster and of all that it started, at once: what
// a backend has not written is lost.
func (c *cluster) massacre(t testing.TB) {
	t.Helper()
	pids := append(childrenOf(c.PID()), c.PID())
	// Stopped first, so that nobody writes while the others are killed.
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // one that has ended is gone
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	c.kill(t) // waits for it
}

// signal sends a signal to processes, and fails if one is not there.
func signal(t testing.TB, s syscall.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatalf("signal %v to %d: %v", s, pid, err)
		}
	}
}

// stat is what the kernel tells of a process: its parent and its command.
type stat struct {
	pid, parent int
	state       byte
}

// processes are those that live now.
func processes() (all []stat) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		var s stat
		_, rest, _ := strings.Cut(string(text), ") ") // the command may have spaces
		if _, err := fmt.Sscanf(filepath.Base(dir), "%d", &s.pid); err != nil {
			continue
		}
		if _, err := fmt.Sscanf(rest, "%c %d", &s.state, &s.parent); err == nil && s.state != 'Z' {
			all = append(all, s)
		}
	}
	return all
}

// childrenOf are the processes that a process has started.
func childrenOf(pid int) (pids []int) {
	for _, s := range processes() {
		if s.parent == pid {
			pids = append(pids, s.pid)
		}
	}
	return pids
}
