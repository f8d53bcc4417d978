package faults

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestOutOfDescriptors: W6. With few descriptors and many connections that say
// nothing, clients and database connections are cut: what cannot be served is
// refused, and all is well when the others leave.
func TestOutOfDescriptors(t *testing.T) {
	n := long(t)
	w := newWorld(t, setting{shell: `ulimit -n 128 && exec "$0" "$@"`})
	w.node.bounded()
	f := fault{"descriptors", "128 descriptors taken by others while all connections are cut, for 3 s", false, func(w *world) {
		var idle []net.Conn
		for range 200 {
			c, err := net.DialTimeout("tcp", strings.TrimPrefix(w.node.url, "http://"), time.Second)
			if err != nil {
				break
			}
			idle = append(idle, c)
		}
		for _, wire := range []*wire{w.log, w.guest, w.front} {
			wire.cut(true)
		}
		w.hold(3 * time.Second)
		for _, c := range idle {
			_ = c.Close()
		}
	}}
	for range n {
		w.suffer(t, f)
	}
}

// TestDiskFull: the file system of the database is full until everything that
// writes fails. Reads go on; when there is room again all is well.
func TestDiskFull(t *testing.T) {
	n := long(t)
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=300m,mode=0755"); err != nil {
		t.Skipf("NOT RUN: a small file system cannot be mounted here (%v): run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, setting{dir: disk, postgres: map[string]string{"max_wal_size": "64MB", "min_wal_size": "32MB"}})
	w.node.bounded()
	f := fault{"disk-full", "the database's disk is full for 3 s: all writes fail", false, func(w *world) { fill(w, disk) }}
	for range n {
		w.suffer(t, f)
	}
}

// fill fills a disk until an application cannot write, and makes room again.
func fill(w *world, disk string) {
	w.t.Helper()
	path := filepath.Join(disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		w.t.Fatal(err)
	}
	piece := make([]byte, 1<<16)
	for err == nil {
		_, err = f.Write(piece)
	}
	_ = f.Close() // it is full
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	why := error(nil)
	if conn, err := w.db.connect(ctx); err == nil {
		for why == nil {
			_, why = conn.Exec(ctx, `create table if not exists ballast (b text);
				insert into ballast select repeat(md5(random()::text), 200) from generate_series(1, 200)`, pgx.QueryExecModeSimpleProtocol)
		}
		_ = conn.Close(ctx)
	}
	w.t.Logf("the disk is full: %v", why)
	w.hold(3 * time.Second)
	if err := os.Remove(path); err != nil {
		w.t.Fatal(err)
	}
	if w.db.PID() == 0 {
		w.db.restart(w.t) // without room for its log PostgreSQL ends itself
	}
	w.db.exec(w.t, `drop table if exists ballast; checkpoint`)
}
