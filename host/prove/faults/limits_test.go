package faults

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/wasm/wasmtest"
)

// TestOutOfDescriptors: W6. With few descriptors and many connections that say
// nothing, clients and database connections are cut: what cannot be served is
// refused, and all is well when the others leave.
// Cases: 112.
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
// Cases: 106.
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
	start := fault{"disk-full-start", "weir is killed and started while the database's disk is full", false, func(w *world) {
		w.node.kill()
		begun := func() { w.node.start() }
		fillAnd(w, disk, begun)
	}}
	for range n {
		w.suffer(t, f)
		w.suffer(t, start)
	}
}

// heavy is a plugin whose only function takes as much memory as a guest may have,
// and writes all of it.
func heavy() []byte {
	const pages = 1000 // of the 1024 of memory_bytes
	m := abi.Manifest{
		ABI: abi.Version, Name: "heavy", Version: "1",
		Functions: []abi.Function{{Name: "heavy.eat", Kind: abi.Query, Access: abi.Access{Public: true}, Fields: []abi.Field{{Name: "id", Schema: abi.Schema{Type: "integer"}}}}},
	}
	fill := []byte{0xfc, 11, 0} // memory.fill
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m), Call: wasmtest.Join(
		wasmtest.I32(pages), wasmtest.Grow(), wasmtest.Drop(),
		wasmtest.I32(128<<10), wasmtest.I32(7), wasmtest.I32(pages<<16-128<<10), fill,
		wasmtest.Pack(abi.TagNone, 0, 0),
	)}.Bytes()
}

// TestMemoryIsShort: W6, W8. Very many guests ask for all the memory that they may
// have, in a process that has little. They are served or refused; weir stays.
func TestMemoryIsShort(t *testing.T) {
	n := long(t)
	w := newWorld(t, setting{
		shell: `ulimit -v 8000000 && GOMEMLIMIT=200MiB exec "$0" "$@"`,
		toml:  "running_guests = 2\nidle_guest_bytes = \"64 MiB\"\ntotal_idle_guest_bytes = \"64 MiB\"\nguest_timeout = \"2s\"\n",
	})
	w.install("heavy.wasm", heavy())
	w.node.logged("plugin=heavy")
	w.node.bounded()
	var mu sync.Mutex // protects the field below
	answers := map[string]int{}
	f := fault{"memory", "200 guests at once that each take 64 MiB, in a process with GOMEMLIMIT=200MiB and 8 GB of addresses", false, func(w *world) {
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				answer := w.get(fmt.Sprintf("/v1/q/heavy.eat?id=%d", i))
				mu.Lock()
				defer mu.Unlock()
				answers[answer]++
			})
		}
		wg.Wait()
	}}
	for range n {
		w.suffer(t, f)
	}
	t.Logf("answers: %v", answers)
	for answer := range answers {
		if strings.HasPrefix(answer, "500") || answers["200"] == 0 {
			t.Errorf("answers: %v", answers)
			break
		}
	}
}

// fill fills a disk until an application cannot write, and makes room again.
func fill(w *world, disk string) { fillAnd(w, disk, func() {}) }

// fillAnd is fill, with something that is done while the disk is full.
func fillAnd(w *world, disk string, meanwhile func()) {
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
	meanwhile()
	w.hold(3 * time.Second)
	if err := os.Remove(path); err != nil {
		w.t.Fatal(err)
	}
	if w.db.PID() == 0 {
		w.db.restart(w.t) // without room for its log PostgreSQL ends itself
	}
	w.db.exec(w.t, `drop table if exists ballast; checkpoint`)
}
