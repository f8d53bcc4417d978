package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// carries reports whether shards can write this stream: its connection must be a
// bare socket that speaks HTTP/1.1, and its request must be read whole (D3).
func (g *shards) carries(r *http.Request) bool {
	if g.server.cfg.Writer == WriterGoroutine || g.off.Load() || r.TLS != nil || r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return false
	}
	if r.Method == http.MethodGet && r.Body != http.NoBody {
		return false // a body that nobody reads would be taken for what comes after the request
	}
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	switch addr.(type) {
	case *net.TCPAddr, *net.UnixAddr:
		return true
	}
	return false
}

// take takes the connection of a stream from net/http and gives the session to a
// shard, which shuts it at its end. False: nothing happened.
func (g *shards) take(w http.ResponseWriter, r *http.Request, s *session, begin []byte) bool {
	if !g.carries(r) {
		return false
	}
	sh := g.pick()
	if sh == nil {
		return false
	}
	streamHeaders(w.Header())
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	st := &shardStream{session: s, shard: sh, fd: -1, slot: -1}
	if rw.Reader.Buffered() == 0 { // D3: what is there already is no request that will be answered
		st.fd, err = duplicate(conn)
	}
	_ = conn.Close() // leaves Go's poller; the duplicate stays
	if err != nil {
		g.off.Store(errors.Is(err, errNoSocket)) // the listener's others are none either
		g.server.log.Error("a connection cannot be taken", slog.Any("err", err))
	}
	now := time.Now()
	limits := s.limits()
	st.script, st.timeout, st.rate = newScript(s, now), limits.WriteTimeout, limits.MinWriteRate
	st.pending = opening(appendHead(nil, w.Header(), now), begin, now.Add(st.frameTime(len(begin))))
	st.queued.Store(true)
	g.held.Add(1)
	s.hold(st)
	if st.fd < 0 || !sh.push(st) {
		sh.finish(st, leftCode) // it was never the loop's
	}
	return true
}

var errNoSocket = errors.New("connection is no socket: streams are written by goroutines from now on")

// duplicate returns another number of the connection's socket.
func duplicate(conn net.Conn) (int, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%w: it is a %T", errNoSocket, conn)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	controlled := raw.Control(func(from uintptr) {
		fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	})
	if controlled != nil {
		return -1, controlled
	}
	return fd, err
}

// appendHead appends the head of the answer, as net/http would have written it.
func appendHead(dst []byte, h http.Header, now time.Time) []byte {
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	h.Set("Transfer-Encoding", "chunked")
	h.Set("Connection", "close") // nothing follows on this connection
	buf := headBuffer{append(dst, "HTTP/1.1 200 OK\r\n"...)}
	_ = h.Write(&buf) // to memory; it takes newlines out of values
	return append(buf.text, crlf...)
}

type headBuffer struct{ text []byte }

// Write implements io.Writer.
func (b *headBuffer) Write(p []byte) (int, error) {
	b.text = append(b.text, p...)
	return len(p), nil
}
