package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// standby is a second server that follows the first one until it is promoted. It
// runs as whoever runs the first.
type standby struct {
	t      testing.TB
	dir    string // its sockets are in it, its data below
	bin    string
	who    *syscall.Credential
	cmd    *exec.Cmd
	output *journal
}

// follow makes a standby of a cluster and starts it.
func follow(t testing.TB, c *cluster) *standby {
	t.Helper()
	postgres, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.PID()))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(c.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	dir, err := os.MkdirTemp("", "weir-standby")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &standby{t: t, dir: dir, bin: filepath.Dir(postgres), output: &journal{changed: make(chan struct{})}}
	if os.Geteuid() != int(owner.Uid) {
		s.who = &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	backup := s.command("pg_basebackup", "-D", s.data(), "-h", c.dir, "-p", "5432", "-U", "postgres", "-R", "-X", "stream", "-c", "fast")
	if out, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	s.cmd = s.command("postgres", "-D", s.data(), "-p", "5432", "-c", "listen_addresses=", "-c", "unix_socket_directories="+dir,
		"-c", "fsync=off", "-c", "max_connections=60", "-c", "timezone=UTC")
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-ended
	})
	return s
}

func (s *standby) data() string { return filepath.Join(s.dir, "data") }

func (s *standby) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.who, Setpgid: true}
	return cmd
}

// url is the superuser's.
func (s *standby) url() string {
	return "postgres://postgres@/postgres?host=" + s.dir + "&port=5432"
}

// ask asks the standby until it answers.
func (s *standby) ask(t testing.TB, sql string, into any) {
	t.Helper()
	err := persist(t, func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, s.url())
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		return conn.QueryRow(ctx, sql).Scan(into)
	})
	if err != nil {
		text, _ := s.output.now()
		t.Fatalf("%s: %v\n%s", sql, err, tail(text))
	}
}

// lag lets the standby get no more from its primary.
func (s *standby) lag(t testing.TB) {
	t.Helper()
	var done bool
	exec := func(sql string) {
		conn, err := pgx.Connect(t.Context(), s.url())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`alter system set primary_conninfo = ''`)
	s.ask(t, `select pg_reload_conf()`, &done)
	if err := persist(t, func(context.Context) error {
		var receivers int
		s.ask(t, `select count(*) from pg_stat_wal_receiver`, &receivers)
		if receivers > 0 {
			return errors.New("it still receives")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// caughtUp waits until the standby has a row of notes.
func (s *standby) caughtUp(t testing.TB, number int64) {
	t.Helper()
	if err := persist(t, func(context.Context) error {
		var newest int64
		s.ask(t, `select max(id) from notes`, &newest)
		if newest < number {
			return fmt.Errorf("it has %d", newest)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// promote makes it the primary.
func (s *standby) promote(t testing.TB) {
	t.Helper()
	var done bool
	s.ask(t, `select pg_promote(true, 60)`, &done)
}

// TestFailoverToALaggingStandby: C4, R10. Clients have seen commits that the new
// primary does not have. They end at what the new primary says, whether the old
// one is gone, or lives on behind connections that weir keeps.
// Cases: 102.
func TestFailoverToALaggingStandby(t *testing.T) {
	for _, way := range []struct {
		name, did string
		switchTo  func(*world, *cluster)
	}{
		{"failover-dead", "failover to a lagging standby; the old primary is killed", func(w *world, old *cluster) { old.kill(w.t) }},
		{"failover-cut", "failover to a lagging standby; the old primary lives, connections are cut", func(w *world, _ *cluster) {
			w.log.cut(true)
			w.guest.cut(true)
		}},
		{"failover-split", "failover to a lagging standby; the old primary lives, and so do the connections of plugins' SQL", func(w *world, _ *cluster) {
			w.log.cut(true)
		}},
		{"failover-split-log", "failover to a lagging standby; the old primary lives, and so does the connection of the log's reader", func(w *world, old *cluster) {
			w.guest.cut(true)
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			for range long(t) {
				w := newWorld(t, setting{idle: true})
				w.node.bounded()
				took := report.begin(way.name, way.did)
				s := follow(t, w.db)
				s.caughtUp(t, w.showAll(way.name))
				w.resume()
				s.lag(t)
				w.hold(shortly)
				old, seen := w.db, w.showAll(way.name)
				w.lost()
				s.promote(t)
				w.lead(&cluster{Cluster: old.Cluster, dir: s.dir, other: s.url()})
				way.switchTo(w, old)
				w.writer.relearn(t)
				if seen <= w.writer.committed {
					t.Errorf("the standby has all commits up to %d: this proves nothing", seen)
				}
				lost := seen - w.writer.committed
				w.resume()
				took(w.recover(way.name))
				w.node.bounded()
				t.Logf("%d commits that all clients had seen are not there", lost)
			}
		})
	}
}
