package faults

import "testing"

// asynchronous lets the server lose what it has committed and shown.
var asynchronous = map[string]string{"synchronous_commit": "off", "wal_writer_delay": "10000", "wal_buffers": "16MB", "bgwriter_delay": "10000"}

// TestCommitsThatWereSeenAreLost: C4. With synchronous_commit=off a crash takes
// commits that every client has been shown, and their transaction numbers come
// again. Clients end at what the database says.
// Cases: 93.
func TestCommitsThatWereSeenAreLost(t *testing.T) {
	n := long(t)
	w := newWorld(t, setting{postgres: asynchronous, idle: true})
	// Inside one postmaster its start time stays; in another one all is new.
	crashes := []fault{
		{"lost-backend", "synchronous_commit=off: kill -9 of a backend right after commits that all have seen", true, func(w *world) {
			w.db.killBackends(w.t, `usename = 'weir_guest'`)
		}},
		{"lost-all", "synchronous_commit=off: kill -9 of all of PostgreSQL right after commits that all have seen", true, func(w *world) {
			w.db.massacre(w.t)
			w.db.restart(w.t)
		}},
	}
	lost := int64(0)
	for range n {
		for _, f := range crashes {
			took := report.begin(f.name, f.did)
			w.hold(shortly)
			seen := w.showAll(f.name)
			w.lost() // from here on
			f.happen(w)
			w.writer.relearn(t)
			lost += max(0, seen-w.writer.committed)
			w.resume()
			took(w.recover(f.name))
			w.kept()
			w.node.bounded()
		}
	}
	t.Logf("%d commits that all clients had seen were lost; noted %v", lost, w.noted)
	if lost == 0 {
		t.Error("no commit was lost: this proves nothing")
	}
}

// showAll pauses the writers when all clients have seen their last commits, which
// may not be on the disk, and returns the newest number.
func (w *world) showAll(what string) int64 {
	w.t.Helper()
	w.pause()
	for room := 1; room <= rooms; room++ {
		w.writer.write(w.t.Context(), room)
	}
	w.awaitAll(what)
	return w.writer.committed
}
