package serve

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsentSize is how many bytes the kernel takes for a connection beyond those that
// are on the wire. Without a bound it takes megabytes, which nobody can take back: a
// slow client would read states that are long past, and rows that it may not see any
// more. With it they are conflated (S1) and asked for again (S10) in the session.
const unsentSize = 64 << 10

// boundUnsent bounds it for a connection. It is not the listener that does: Go's is
// one of MPTCP, from which a connection inherits nothing. One that is no TCP, or that
// knows no such bound, serves as well.
func boundUnsent(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentSize)
	})
}
