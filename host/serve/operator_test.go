package serve

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/reactor"
)

// TestReadersTellTheSlowFromTheRest: W9. Who asks why is told how many streams
// have the newest result, and how many are still taken up with an older one.
func TestReadersTellTheSlowFromTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l, end := newPipeFixture(t, nil)
		defer end()
		f.backend.set("big", bigRows(160<<10, "a"))
		reader := f.sessionFor(time.Hour, `{"id":1,"q":"big"}`)
		reader.expect("sub", "message")
		slow := openStalled(t, l, `{"id":1,"q":"big"}`)
		synctest.Wait()
		var pub *reactor.Publication
		f.server.hub.mu.Lock()
		for p := range f.server.hub.watchers {
			pub = p
		}
		f.server.hub.mu.Unlock()
		if got, want := f.server.Readers(pub), (Readers{Streams: 2}); got != want {
			t.Errorf("while it writes the newest: %+v, want %+v", got, want)
		}
		f.backend.set("big", bigRows(160<<10, "b"))
		reader.expect("sub", "message")
		synctest.Wait()
		if got, want := f.server.Readers(pub), (Readers{Streams: 2, Behind: 1, Writing: 1}); got != want {
			t.Errorf("with a newer one: %+v, want %+v", got, want)
		}
		slow.conn.Close()
		eventuallyIn(t, "the slow one is gone", func() bool { return f.server.Stats().Sessions == 1 })
		if got, want := f.server.Readers(pub), (Readers{Streams: 1}); got != want {
			t.Errorf("without it: %+v, want %+v", got, want)
		}
		reader.close()
	})
}
