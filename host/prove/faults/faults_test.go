package faults

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// fault is one thing that goes wrong. It returns when nothing stands in the way
// any more; what then remains is weir's to do.
type fault struct {
	name, did string
	likely    bool // happens without WEIR_FAULTS too
	happen    func(*world)
}

// The database's faults are of one cluster, whose commits are never lost.
var list = []fault{
	{"weir-kill", "kill -9 of weir, started again at once", true, func(w *world) {
		w.node.kill()
		w.node.start()
	}},
	{"weir-kill-thrice", "kill -9 of weir as soon as it serves, three times", false, func(w *world) {
		for range 3 {
			w.node.kill()
			w.node.start()
		}
	}},
	{"backend-reader", "kill -9 of the log reader's backend", true, func(w *world) {
		w.db.killBackends(w.t, `usename = 'weir'`)
	}},
	{"backend-executor", "kill -9 of a backend of the plugins' SQL", true, func(w *world) {
		w.db.killBackends(w.t, `usename = 'weir_guest'`)
	}},
	{"backends-ended", "pg_terminate_backend of all weir's backends, ten times", false, func(w *world) {
		for range 10 {
			w.db.exec(w.t, `select pg_terminate_backend(pid) from pg_stat_activity where usename like 'weir%'`)
		}
	}},
	{"postmaster-kill", "kill -9 of the postmaster, restart", true, func(w *world) {
		w.db.kill(w.t)
		w.db.restart(w.t)
	}},
	{"postmaster-kill-long", "kill -9 of the postmaster, restart when all are told stale", false, func(w *world) {
		w.db.kill(w.t)
		w.until("stale")
		w.db.restart(w.t)
	}},
	{"immediate", "pg_ctl stop -m immediate, restart", false, func(w *world) {
		w.db.immediate(w.t)
		w.db.restart(w.t)
	}},
	{"both-kill", "kill -9 of weir and of the postmaster; weir starts first", false, func(w *world) {
		w.db.kill(w.t)
		w.node.kill()
		w.node.start()
		w.db.restart(w.t)
	}},
	{"log-holed", "the log reader's wire takes nothing until all are told stale", false, func(w *world) {
		w.log.set(holed)
		w.until("stale")
		w.log.set(passing)
	}},
	{"log-swallows", "the log reader's wire loses all bytes until all are told stale", false, func(w *world) {
		w.log.set(swallowing)
		w.until("stale")
		w.log.set(passing)
	}},
	{"guest-holed", "the wire of the plugins' SQL takes nothing until all are told stale", false, func(w *world) {
		w.guest.set(holed)
		w.until("stale")
		w.guest.set(passing)
	}},
	{"guest-swallows", "the wire of the plugins' SQL loses all bytes until all are told stale", false, func(w *world) {
		w.guest.set(swallowing)
		w.until("stale")
		w.guest.set(passing)
	}},
	{"database-reset", "RST of all connections to the database, ten times", false, func(w *world) {
		for range 10 {
			w.log.cut(true)
			w.guest.cut(true)
			w.hold(100 * time.Millisecond)
		}
	}},
	{"database-refuses", "the database's port refuses, connections are cut, until all are told stale", false, func(w *world) {
		for _, wire := range []*wire{w.log, w.guest} {
			wire.set(refusing)
			wire.cut(true)
		}
		w.until("stale")
		w.log.set(passing)
		w.guest.set(passing)
	}},
	{"database-crawls", "one byte a second to and from the database until all are told stale", false, func(w *world) {
		w.log.set(crawling)
		w.guest.set(crawling)
		w.until("stale")
		w.log.set(passing)
		w.guest.set(passing)
	}},
	{"database-lags", "60 ms more each way to the database, as a slow disk or a far one, for 4 s", false, func(w *world) {
		w.log.set(lagging)
		w.guest.set(lagging)
		w.hold(4 * time.Second)
		w.log.set(passing)
		w.guest.set(passing)
	}},
	{"clients-holed", "the clients' wire takes nothing for 3 s, then goes on", false, func(w *world) {
		w.front.set(holed)
		w.hold(3 * time.Second)
		w.front.set(passing)
	}},
	{"clients-holed-long", "the clients' wire takes nothing until all have given up", false, func(w *world) {
		w.front.set(holed)
		w.hold(silence + time.Second)
		w.front.set(passing)
	}},
	{"clients-reset", "RST of all clients' connections, five times", false, func(w *world) {
		for range 5 {
			w.front.cut(true)
			w.hold(200 * time.Millisecond)
		}
	}},
	{"clients-crawl", "one byte a second to and from clients for 3 s, then all are cut", false, func(w *world) {
		w.front.set(crawling)
		w.hold(3 * time.Second)
		w.front.cut(false)
		w.front.set(passing)
	}},
	{"clients-lag", "60 ms more each way to clients for 3 s", false, func(w *world) {
		w.front.set(lagging)
		w.hold(3 * time.Second)
		w.front.set(passing)
	}},
	{"weir-stopped", "SIGSTOP of weir for 4 s, SIGCONT", false, func(w *world) {
		signal(w.t, syscall.SIGSTOP, w.node.cmd.Process.Pid)
		w.hold(4 * time.Second)
		signal(w.t, syscall.SIGCONT, w.node.cmd.Process.Pid)
	}},
	{"postmaster-stopped", "SIGSTOP of the postmaster for 3 s while all its connections are cut, SIGCONT", false, func(w *world) {
		signal(w.t, syscall.SIGSTOP, w.db.PID())
		w.log.cut(true)
		w.guest.cut(true)
		w.hold(3 * time.Second)
		signal(w.t, syscall.SIGCONT, w.db.PID())
	}},
	{"reader-stopped", "SIGSTOP of weir's own backends for 4 s, SIGCONT", false, func(w *world) {
		stopBackends(w, `usename = 'weir'`)
	}},
	{"executors-stopped", "SIGSTOP of the backends of the plugins' SQL for 4 s, SIGCONT", false, func(w *world) {
		stopBackends(w, `usename = 'weir_guest'`)
	}},
	{"disk-stopped", "SIGSTOP of checkpointer, background writer and WAL writer for 3 s under load, SIGCONT", false, func(w *world) {
		pids := w.db.backends(w.t, `backend_type in ('checkpointer', 'background writer', 'walwriter')`)
		signal(w.t, syscall.SIGSTOP, pids...)
		w.hold(3 * time.Second)
		signal(w.t, syscall.SIGCONT, pids...)
	}},
	{"connections", "max_connections reached by others while weir's are ended, until all are told stale", false, crowd},
	{"connections-at-start", "max_connections reached by others when weir starts; then they leave", false, func(w *world) {
		w.node.kill()
		leave := takeAll(w)
		w.node.start()
		w.hold(3 * time.Second)
		leave()
	}},
	{"swaps", "the plugin is replaced ten times a second for 3 s, each third is broken", false, swaps},
	{"children-killed", "kill -9 of weir's children while the plugin is replaced, for 2 s", false, func(w *world) {
		for i := range 20 {
			w.install("faults.wasm", plugin(fmt.Sprint("k", i)))
			for _, child := range childrenOf(w.node.cmd.Process.Pid) {
				_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended
			}
			w.hold(100 * time.Millisecond)
		}
		w.swapped("killed")
	}},
	{"child-stopped", "SIGSTOP, for ever, of each child that weir has or starts while the plugin is replaced three times", false, func(w *world) {
		for i := range 3 {
			w.install("faults.wasm", plugin(fmt.Sprint("s", i)))
			stopped := 0
			for range 1000 { // two seconds: it may need none
				for _, child := range childrenOf(w.node.cmd.Process.Pid) {
					_ = syscall.Kill(child, syscall.SIGSTOP) // it may have ended
					stopped++
				}
				if stopped > 0 {
					break
				}
				w.hold(2 * time.Millisecond)
			}
			w.note(fmt.Sprintf("%d children stopped", stopped))
		}
		w.swapped("stopped")
	}},
}

// swapped installs another version of the plugin and waits until it is loaded, and
// then the first one again, which clients know.
func (w *world) swapped(mark string) {
	w.t.Helper()
	for _, version := range []string{mark, ""} {
		text, _ := w.node.log.now()
		before := strings.Count(text, "plugin loaded")
		w.install("faults.wasm", plugin(version))
		w.node.loggedMore("plugin loaded", before)
	}
}

// stopBackends stops backends that are there now. Nobody need be told: weir finds
// others.
func stopBackends(w *world, where string) {
	pids := w.db.backends(w.t, where)
	signal(w.t, syscall.SIGSTOP, pids...)
	w.hold(4 * time.Second)
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT) // weir may have had it ended
	}
}

// takeAll takes every connection that the server has.
func takeAll(w *world) (leave func()) {
	var all []*pgx.Conn
	for {
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		conn, err := pgx.Connect(ctx, w.db.URL("postgres"))
		cancel()
		if err != nil {
			if !strings.Contains(err.Error(), "53300") {
				w.t.Fatal(err)
			}
			break
		}
		all = append(all, conn)
	}
	return func() {
		for _, conn := range all {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(w.t.Context()), 5*time.Second)
			_ = conn.Close(ctx)
			cancel()
		}
	}
}

// crowd fills the server and ends weir's connections, until it is told.
func crowd(w *world) {
	leave := takeAll(w)
	defer leave()
	for _, wire := range []*wire{w.log, w.guest} {
		wire.cut(true)
	}
	// What weir has given up is taken too.
	more := takeAll(w)
	defer more()
	w.until("stale")
}

// swaps replaces the plugin under load. What is broken must change nothing; the
// last one is whole.
func swaps(w *world) {
	for i := range 30 {
		switch i % 6 {
		case 2:
			w.install("faults.wasm", []byte("no module at all"))
		case 5:
			w.install("faults.wasm", brokenPlugin())
		default:
			w.install("faults.wasm", plugin(fmt.Sprint(i)))
		}
		w.hold(100 * time.Millisecond)
	}
	w.install("faults.wasm", plugin(""))
}

// TestFaultsHeal: W1, W2, W5, W6, W9. Each fault happens to a living world of
// clients and writers; nobody helps; then every client shows what PostgreSQL
// answers, nobody was shown what was denied, nothing went back, every call ran
// once, and weir holds no more than before.
// Cases: 92, 93, 94, 95, 96, 108, 110, 111, 115.
func TestFaultsHeal(t *testing.T) {
	n := rounds(t)
	w := newWorld(t, setting{})
	w.node.bounded()
	for range max(n, 1) {
		for _, f := range list {
			if n == 0 && !f.likely {
				continue
			}
			if !t.Run(f.name, func(t *testing.T) { w.suffer(t, f) }) {
				t.Fatal("the world is broken: see above")
			}
		}
	}
	w.pause()
	defer w.resume()
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d commits, %d of them asked for, %d calls in %d tries; noted %v", w.writer.committed-firstOwn+1, w.writer.unknown, w.caller.number, w.caller.tries, w.noted)
}

// suffer lets a fault happen, under load, and judges what comes of it.
func (w *world) suffer(t *testing.T, f fault) {
	outer := w.t
	w.t, w.node.t = t, t
	defer func() { w.t, w.node.t = outer, outer }()
	took := report.begin(f.name, f.did)
	w.hold(shortly) // writes are on their way
	f.happen(w)
	r := w.recover(f.name)
	took(r)
	w.node.bounded()
	t.Logf("%-20s %s: sessions %v, all %v", f.name, f.did, r.sessions.Round(time.Millisecond), r.all.Round(time.Millisecond))
}
