package hosttest

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Wire stands between weir's own role and the database: the reader of the change
// log, capture, and no statement of a plugin.
type Wire struct {
	url  string
	dead atomic.Bool

	mu    sync.Mutex // protects the field below
	conns []net.Conn
}

// Cut lets every byte vanish from now on, as a network does that nobody notices.
func (w *Wire) Cut() { w.dead.Store(true) }

// Mend lets bytes through again. Connections that have lost some are of no use
// any more; weir finds out by itself.
func (w *Wire) Mend() { w.dead.Store(false) }

// newWire returns a wire to the server of a URL. It ends with the test.
func newWire(t testing.TB, target string) *Wire {
	t.Helper()
	cfg, err := pgx.ParseConfig(target)
	if err != nil {
		t.Fatal(err)
	}
	l := loopback(t)
	w := &Wire{url: (&url.URL{
		Scheme: "postgres", User: url.User(cfg.User), Host: l.Addr().String(), Path: cfg.Database, RawQuery: "sslmode=disable",
	}).String()}
	network, address := "tcp", fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
	if strings.HasPrefix(cfg.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial(network, address)
			if err != nil {
				_ = in.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, in, out)
			w.mu.Unlock()
			wg.Go(func() { w.copy(out, in) })
			wg.Go(func() { w.copy(in, out) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.mu.Lock()
		for _, c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		wg.Wait()
	})
	return w
}

func (w *Wire) copy(dst io.WriteCloser, src io.ReadCloser) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		if w.dead.Load() {
			continue
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}
