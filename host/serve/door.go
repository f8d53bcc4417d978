package serve

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// door keeps a reserve of file descriptors, for the database, files and operators:
// clients get what is left. A new descriptor has the lowest free number, so that
// its number tells how many there are at least, whoever holds them.
//
// In the first half of the reserve a client is told to come back; beyond it its
// connection is closed.
type door struct {
	limit   int                        // 0: not known, or none
	number  func(net.Conn) (int, bool) // of a connection's descriptor
	crowded atomic.Uint64
	shed    atomic.Uint64

	mu    sync.Mutex // protects the field below
	spare *os.File   // given up for a moment when there is no descriptor left
}

func newDoorOf(limit int) *door { return &door{limit: limit, number: descriptorOf} }

// reserve is what is kept of the descriptors.
func (d *door) reserve() int { return max(16, min(512, d.limit/8)) }

// of returns the listener behind the door.
func (d *door) of(l net.Listener) net.Listener {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hold()
	return &doorListener{l, d}
}

// hold opens the spare descriptor. The caller holds the lock.
func (d *door) hold() {
	if d.spare == nil {
		d.spare, _ = os.Open(os.DevNull) // without it net/http waits between two tries
	}
}

func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spare != nil {
		_ = d.spare.Close()
		d.spare = nil
	}
}

// over reports whether a connection has a descriptor among the last n.
func (d *door) over(c net.Conn, n int) bool {
	if d.limit <= 0 {
		return false
	}
	number, ok := d.number(c)
	return ok && number >= d.limit-n
}

// mark notes, for the requests of a connection, that the reserve has begun.
func (d *door) mark(ctx context.Context, c net.Conn) context.Context {
	if inner, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = inner.NetConn()
	}
	if !d.over(c, d.reserve()) {
		return ctx
	}
	d.crowded.Add(1)
	return context.WithValue(ctx, requestKey{}, &request{crowded: true})
}

// doorListener is a listener that never stands still for want of descriptors.
type doorListener struct {
	net.Listener
	door *door
}

// Accept returns the next connection that there is room for.
func (l *doorListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil && !l.door.over(c, l.door.reserve()/2):
			boundUnsent(c)
			return c, nil
		case err == nil:
			l.door.shed.Add(1)
			_ = c.Close()
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
			if !l.turnAway() {
				return nil, err // a temporary error: net/http waits before the next try
			}
		default:
			return nil, err
		}
	}
}

// turnAway takes the connection that waits, on the spare descriptor, and closes
// it: else it would wait for ever, and the listener would be ready without end.
func (l *doorListener) turnAway() bool {
	d := l.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.spare == nil {
		d.hold()
		return false
	}
	_ = d.spare.Close()
	d.spare = nil
	c, err := l.Listener.Accept()
	if err == nil {
		d.shed.Add(1)
		_ = c.Close()
	}
	d.hold()
	return err == nil
}
