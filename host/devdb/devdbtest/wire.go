package devdbtest

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Pass says of a piece of bytes whether it goes on; it may change it. A piece that
// does not is lost without a word.
type Pass func(piece []byte) bool

// Wire stands before the server of a URL, until the test ends, and returns the URL
// that leads through it. Open is called for each connection, and says what passes
// to the server and to the client.
func Wire(t testing.TB, target string, open func() (server, client Pass)) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(target)
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
	var mu sync.Mutex
	var conns []net.Conn
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
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			server, client := open()
			wg.Go(func() { carry(out, in, server) })
			wg.Go(func() { carry(in, out, client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return (&url.URL{Scheme: "postgres", User: url.User(cfg.User), Host: l.Addr().String(), Path: cfg.Database, RawQuery: "sslmode=disable"}).String()
}

func carry(dst io.WriteCloser, src io.ReadCloser, pass Pass) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		if !pass(buf[:n]) {
			continue
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}
