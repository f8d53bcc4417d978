package faults

import (
	"net"
	"sync"
	"testing"
	"time"
)

// mode is what a wire does with bytes.
type mode int

const (
	passing mode = iota
	// holed takes nothing and closes nothing: the other side of a cable that was
	// pulled. Who connects is accepted, as by a server that does not answer.
	holed
	// swallowing takes every byte and lets none through.
	swallowing
	// crawling lets one byte a second through.
	crawling
	// lagging delays every piece by lag.
	lagging
	// refusing resets whoever connects.
	refusing
)

const lag = 60 * time.Millisecond

// wire is a TCP proxy with faults. Its address stays; what is behind it may
// change. It is safe for concurrent use.
type wire struct {
	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex // protects the fields below
	network string
	address string
	mode    mode
	changed chan struct{} // closed when the mode changes, or one of stops
	conns   map[net.Conn]struct{}
	closed  bool
}

// newWire returns a wire that ends with the test. There is nothing behind it yet.
func newWire(t testing.TB) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	w.wg.Go(w.accept)
	t.Cleanup(func() {
		_ = l.Close()
		w.mu.Lock()
		w.closed = true
		close(w.changed)
		w.mu.Unlock()
		w.cut(false)
		w.wg.Wait()
	})
	return w
}

// at is where the wire listens.
func (w *wire) at() string { return w.l.Addr().String() }

// port is the number of at.
func (w *wire) port() int { return w.l.Addr().(*net.TCPAddr).Port }

// lead says what is behind the wire from now on. Connections that are there stay.
func (w *wire) lead(network, address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.network, w.address = network, address
}

// set changes what happens to bytes, of the connections that are there too.
func (w *wire) set(m mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mode = m
	if !w.closed {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// cut closes all connections: politely, or by a reset.
func (w *wire) cut(reset bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if tcp, ok := c.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0) // the close is then an RST
		}
		_ = c.Close()
	}
	clear(w.conns)
}

// state is the mode, and what tells that it has changed.
func (w *wire) state() (m mode, changed <-chan struct{}, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mode, w.changed, w.closed
}

func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.conns[c] = struct{}{}
	}
	return !w.closed
}

func (w *wire) forget(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.conns, c)
	}
}

func (w *wire) accept() {
	for {
		in, err := w.l.Accept()
		if err != nil {
			return
		}
		w.wg.Go(func() { w.connect(in) })
	}
}

// connect joins a client to what is behind the wire.
func (w *wire) connect(in net.Conn) {
	defer in.Close()
	if !w.keep(in) {
		return
	}
	defer w.forget(in)
	if m, _, _ := w.state(); m == refusing {
		_ = in.(*net.TCPConn).SetLinger(0)
		return
	}
	if !w.open() {
		return
	}
	w.mu.Lock()
	network, address := w.network, w.address
	w.mu.Unlock()
	out, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer out.Close()
	if !w.keep(out) {
		return
	}
	defer w.forget(out)
	var both sync.WaitGroup
	both.Go(func() { w.copy(out, in) })
	both.Go(func() { w.copy(in, out) })
	both.Wait()
}

// open waits while the wire is a hole, and reports whether it still is one that
// is used.
func (w *wire) open() bool {
	for {
		m, changed, closed := w.state()
		if closed {
			return false
		}
		if m != holed {
			return true
		}
		<-changed
	}
}

func (w *wire) copy(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		if !w.pass(dst, buf[:n]) {
			return
		}
	}
}

// pass hands bytes on as the mode says, which may change meanwhile.
func (w *wire) pass(dst net.Conn, b []byte) bool {
	delayed := false
	for len(b) > 0 {
		m, changed, closed := w.state()
		switch {
		case closed:
			return false
		case m == holed:
			<-changed
			continue
		case m == swallowing:
			return true
		case m == crawling:
			if wait(changed, time.Second) {
				continue
			}
			if _, err := dst.Write(b[:1]); err != nil {
				return false
			}
			b = b[1:]
			continue
		case m == lagging && !delayed:
			delayed = true
			wait(changed, lag)
			continue
		}
		_, err := dst.Write(b)
		return err == nil
	}
	return true
}

// wait waits, and reports whether it was woken before.
func wait(woken <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-woken:
		return true
	case <-timer.C:
		return false
	}
}
