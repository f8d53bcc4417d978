package serve

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a shard wants to hear of a socket: that the client left or sends what it
// should not, and, while a write waits, that there is room again.
const (
	pollQuiet = unix.EPOLLIN | unix.EPOLLRDHUP
	pollRoom  = pollQuiet | unix.EPOLLOUT
	pollGone  = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
)

// poller is a shard's own epoll. It waits for it in Go's: an epoll is a file that
// can be polled itself, so that no thread is held in a system call.
type poller struct {
	fd      int
	file    *os.File // owns fd
	raw     syscall.RawConn
	events  chan []unix.EpollEvent // handed over until handled
	handled chan struct{}
	done    chan struct{} // closed when run has ended
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	err = unix.SetNonblock(fd, true) // or Go would not poll it
	file := os.NewFile(uintptr(fd), "epoll")
	p := &poller{fd: fd, file: file, events: make(chan []unix.EpollEvent), handled: make(chan struct{}), done: make(chan struct{})}
	if err == nil {
		p.raw, err = file.SyscallConn()
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("poll an epoll: %w", err)
	}
	return p, nil
}

// run hands events over until stop. It must have ended before close.
func (p *poller) run(stop <-chan struct{}) {
	defer close(p.done)
	buf := make([]unix.EpollEvent, 128)
	for {
		n := 0
		var failed error
		err := p.raw.Read(func(fd uintptr) bool {
			n, failed = unix.EpollWait(int(fd), buf, 0)
			if failed == unix.EINTR { //nolint:errorlint // an errno as it comes
				n, failed = 0, nil
			}
			return n > 0 || failed != nil
		})
		if err != nil || failed != nil {
			return // closed
		}
		select {
		case p.events <- buf[:n]:
			<-p.handled
		case <-stop:
			return
		}
	}
}

// add, room and remove must be called by the shard's loop alone. generation comes
// back with each event: the number of a socket that was closed is given out again,
// while an event of the old one may be on its way (D3).
func (p *poller) add(fd int, generation int32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: pollQuiet, Fd: int32(fd), Pad: generation})
}

// room asks to be told when the socket takes bytes, or not any more.
func (p *poller) room(fd int, generation int32, wanted bool) error {
	e := unix.EpollEvent{Events: pollQuiet, Fd: int32(fd), Pad: generation}
	if wanted {
		e.Events = pollRoom
	}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &e)
}

func (p *poller) remove(fd int) {
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// close ends run, which must have been started.
func (p *poller) close() {
	_ = p.file.Close()
	<-p.done
}
