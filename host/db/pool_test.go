package db

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// forgetter is a TCP proxy that loses, without a word, every byte of connections
// that were made before forget: a firewall that was restarted.
type forgetter struct {
	address string
	age     atomic.Int64

	mu    sync.Mutex // protects the field below
	conns []net.Conn
}

func (f *forgetter) forget() { f.age.Add(1) }

// newForgetter stands before the server of a URL, and ends with the test.
func newForgetter(t *testing.T, target string) (f *forgetter, throughIt string) {
	t.Helper()
	cfg, err := pgconn.ParseConfig(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
	if strings.HasPrefix(cfg.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
	}
	f = &forgetter{address: l.Addr().String()}
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
			f.mu.Lock()
			f.conns = append(f.conns, in, out)
			f.mu.Unlock()
			born := f.age.Load()
			wg.Go(func() { f.copy(out, in, born) })
			wg.Go(func() { f.copy(in, out, born) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		wg.Wait()
	})
	return f, (&url.URL{Scheme: "postgres", User: url.User(cfg.User), Host: f.address, Path: cfg.Database, RawQuery: "sslmode=disable"}).String()
}

func (f *forgetter) copy(dst io.WriteCloser, src io.ReadCloser, born int64) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		if f.age.Load() != born {
			continue
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

// W1, W9: when the network has lost all idle connections without a word, one
// deadline is enough to find that out, not one for each.
func TestHalfOpenConnectionsCostOneDeadline(t *testing.T) {
	t.Parallel()
	_, server := start(t)
	f, through := newForgetter(t, server.As("weir_test", ""))
	d, err := Open(t.Context(), Config{URL: through, EpochExpr: func(int) string { return testEpoch }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	st := prepare(t, d, `select id from rooms order by id`)
	const idle = 8
	var open []*ReadTx
	for range idle {
		tx, err := d.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, tx)
	}
	for _, tx := range open {
		if err := tx.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.Stats().Idle; n != idle {
		t.Fatalf("%d idle connections, want %d", n, idle)
	}
	f.forget()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := d.Wave(short, []Query{{Statement: st}}); err == nil {
		t.Fatal("the proxy has lost nothing")
	}
	long, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := d.Wave(long, []Query{{Statement: st}}); err != nil {
		t.Errorf("after one deadline: %v", err)
	}
}
