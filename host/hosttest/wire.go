package hosttest

import (
	"sync/atomic"
	"testing"

	"weir/host/devdb/devdbtest"
)

// Wire stands between weir's own role and the database: the reader of the change
// log, capture, and no statement of a plugin.
type Wire struct {
	url  string
	dead atomic.Bool
}

// Cut lets every byte vanish from now on, as a network does that nobody notices.
func (w *Wire) Cut() { w.dead.Store(true) }

// Mend lets bytes through again. Connections that have lost some are of no use
// any more; weir finds out by itself.
func (w *Wire) Mend() { w.dead.Store(false) }

// newWire returns a wire to the server of a URL. It ends with the test.
func newWire(t testing.TB, target string) *Wire {
	t.Helper()
	w := &Wire{}
	pass := func([]byte) bool { return !w.dead.Load() }
	w.url = devdbtest.Wire(t, target, func() (server, client devdbtest.Pass) { return pass, pass })
	return w
}
