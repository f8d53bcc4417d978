//go:build unix

package serve

import (
	"net"
	"syscall"
)

// descriptorLimit raises the limit of file descriptors as far as the process may,
// and returns it; 0 if it is not known.
func descriptorLimit() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	// The Go runtime does so at start, on the systems that it knows.
	if now := l; now.Cur < now.Max {
		now.Cur = now.Max
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now) == nil {
			l = now
		}
	}
	const most = 1 << 30 // without a limit
	return int(min(l.Cur, most))
}

// descriptorOf returns the number of a connection's descriptor.
func descriptorOf(c net.Conn) (number int, ok bool) {
	s, is := c.(syscall.Conn)
	if !is {
		return 0, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	return number, err == nil
}
