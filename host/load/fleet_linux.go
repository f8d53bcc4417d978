package load

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Fleet holds sessions. Its methods are safe for concurrent use; Close it.
type Fleet struct {
	cfg  Config
	as   string // cfg.As as it stands in a query
	addr syscall.Sockaddr
	poll int    // the epoll
	wake [2]int // a pipe that ends the loop's wait
	done chan struct{}

	mu   sync.Mutex // protects the fields below
	todo []func()
	over bool

	// The loop owns the fields below.
	sessions []*session
	by       map[int32]*session // by descriptor
	states   *states
	counts   Counts
	refused  error
	since    time.Time // of the samples
	lastTold time.Time
	lastBack time.Time
	toOpen   []*session
	opening  int
	open     int
	began    int       // sessions begun since openedAt
	openedAt time.Time // when opening began, for the rate
}

// NewFleet starts the loop. Nothing is opened yet. The end of ctx stops the look-up
// of the host's name, not the fleet.
func NewFleet(ctx context.Context, cfg Config) (*Fleet, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, as: url.QueryEscape(cfg.As), by: map[int32]*session{}, states: newStates(cfg.Book.prefix), done: make(chan struct{})}
	if f.addr, err = address(ctx, cfg.URL); err != nil {
		return nil, err
	}
	f.counts.Codes = map[string]int64{}
	for i := range cfg.Sessions {
		s := &session{index: i, fd: -1, stalled: i < cfg.Stalled, subs: make([]subscription, cfg.Subscriptions)}
		for j := range s.subs {
			s.subs[j] = subscription{group: cfg.Group(i, j), shown: -1}
		}
		f.sessions = append(f.sessions, s)
	}
	if f.poll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err = syscall.Pipe2(f.wake[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		_ = syscall.Close(f.poll)
		return nil, os.NewSyscallError("pipe2", err)
	}
	if err = f.watch(syscall.EPOLL_CTL_ADD, f.wake[0], syscall.EPOLLIN); err != nil {
		f.free()
		return nil, err
	}
	go f.loop()
	return f, nil
}

// address finds where the server listens.
func address(ctx context.Context, u *url.URL) (syscall.Sockaddr, error) {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, err
	}
	if v4 := ips[0].To4(); v4 != nil {
		return &syscall.SockaddrInet4{Port: number, Addr: [4]byte(v4)}, nil
	}
	return &syscall.SockaddrInet6{Port: number, Addr: [16]byte(ips[0].To16())}, nil
}

// errEnd is the end of a stream by the server.
var errEnd = errors.New("the server has closed the connection")

// Close ends all sessions and the loop.
func (f *Fleet) Close() {
	f.mu.Lock()
	f.over = true
	f.mu.Unlock()
	_, _ = syscall.Write(f.wake[1], []byte{0})
	<-f.done
}

// do runs a function in the loop and waits for it. It reports whether the loop
// still runs.
func (f *Fleet) do(todo func()) bool {
	ran := make(chan struct{})
	f.mu.Lock()
	if f.over {
		f.mu.Unlock()
		return false
	}
	f.todo = append(f.todo, func() { todo(); close(ran) })
	// While the lock is held the loop does not free the pipe.
	_, _ = syscall.Write(f.wake[1], []byte{0})
	f.mu.Unlock()
	select {
	case <-ran:
		return true
	case <-f.done:
		return false
	}
}

// maxWait bounds the wait for sockets: openings and returns are looked at as often.
const maxWait = 5 * time.Millisecond

func (f *Fleet) loop() {
	defer close(f.done)
	defer f.free()
	events := make([]syscall.EpollEvent, 1024)
	buf := make([]byte, 256<<10)
	for f.commands() {
		f.openSome()
		wait := -1
		if len(f.toOpen) > 0 || f.cfg.Come {
			wait = int(maxWait / time.Millisecond)
		}
		n, err := syscall.EpollWait(f.poll, events, wait)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			panic("BUG: epoll_wait: " + err.Error())
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == f.wake[0] {
				_, _ = syscall.Read(f.wake[0], buf[:64])
				continue
			}
			if s := f.by[e.Fd]; s != nil {
				if err := f.ready(s, e.Events, buf); err != nil {
					f.lose(s, err)
				}
			}
		}
	}
}

// commands runs what others asked for, and reports whether the loop goes on.
func (f *Fleet) commands() bool {
	f.mu.Lock()
	todo, over := f.todo, f.over
	f.todo = nil
	f.mu.Unlock()
	for _, run := range todo {
		run()
	}
	return !over
}

// free closes all descriptors.
func (f *Fleet) free() {
	f.mu.Lock() // nobody is about to write to the pipe
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		f.shut(s)
	}
	for _, fd := range []int{f.poll, f.wake[0], f.wake[1]} {
		_ = syscall.Close(fd)
	}
}

func (f *Fleet) watch(op, fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(f.poll, op, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)}))
}

// openSome begins as many sessions as the rate and the bound allow.
func (f *Fleet) openSome() {
	now := time.Now()
	if f.cfg.Come {
		for _, s := range f.sessions {
			if s.phase == closed && !s.again.IsZero() && now.After(s.again) {
				s.again = time.Time{}
				f.toOpen = append(f.toOpen, s)
			}
		}
	}
	for len(f.toOpen) > 0 && f.opening < f.cfg.MaxOpening {
		if f.cfg.OpenRate > 0 && f.began >= 1+int(now.Sub(f.openedAt).Seconds()*float64(f.cfg.OpenRate)) {
			return
		}
		s := f.toOpen[0]
		f.toOpen = f.toOpen[1:]
		f.began++
		if err := f.dial(s); err != nil {
			f.lose(s, err)
		}
	}
}

// stalledBuffer is the receive buffer of a session that will stall: else the kernel
// would take in megabytes for it.
const stalledBuffer = 4096

func (f *Fleet) dial(s *session) error {
	family := syscall.AF_INET
	if _, v6 := f.addr.(*syscall.SockaddrInet6); v6 {
		family = syscall.AF_INET6
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	s.fd, s.phase, s.in, s.head, s.chunks, s.deaf = fd, connecting, nil, nil, nil, false
	for i := range s.subs {
		s.subs[i].told, s.subs[i].fresh, s.subs[i].query = false, true, ""
	}
	s.out = f.request(s)
	f.by[int32(fd)] = s
	f.opening++
	if s.stalled {
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, stalledBuffer)
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1460) // loopback's own is 64 KB
	}
	if err := syscall.Connect(fd, f.addr); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return os.NewSyscallError("connect", err)
	}
	return f.watch(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLOUT)
}

// ready handles a session whose socket can do something.
func (f *Fleet) ready(s *session, events uint32, buf []byte) error {
	if s.phase == connecting {
		if code, err := syscall.GetsockoptInt(s.fd, syscall.SOL_SOCKET, syscall.SO_ERROR); err != nil || code != 0 {
			return errors.Join(err, os.NewSyscallError("connect", syscall.Errno(code)))
		}
		s.phase = asked
	}
	if len(s.out) > 0 && events&syscall.EPOLLOUT != 0 {
		n, err := syscall.Write(s.fd, s.out)
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			return os.NewSyscallError("write", err)
		}
		if s.out = s.out[max(n, 0):]; len(s.out) == 0 {
			s.out = nil
			return f.watch(syscall.EPOLL_CTL_MOD, s.fd, syscall.EPOLLIN)
		}
		return nil
	}
	n, err := syscall.Read(s.fd, buf)
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return os.NewSyscallError("read", err)
	case n == 0:
		return errEnd
	}
	return f.take(s, buf[:n])
}

// lose ends a session that nobody asked to end.
func (f *Fleet) lose(s *session, err error) {
	if s.phase == connecting || s.phase == asked {
		var refused *RefusedError
		if errors.As(err, &refused) {
			f.code(refused.Code)
		} else {
			f.code("unreachable")
		}
		f.refuse(err)
	} else if s.phase == streaming {
		f.counts.Lost++
	}
	f.shut(s)
	if f.cfg.Come && s.again.IsZero() {
		s.again = time.Now().Add(time.Second)
	}
}

// shut closes a session's socket.
func (f *Fleet) shut(s *session) {
	switch s.phase {
	case connecting, asked:
		f.opening--
	case streaming:
		f.open--
	}
	if s.fd >= 0 {
		delete(f.by, int32(s.fd))
		_ = syscall.Close(s.fd) // which takes it out of the epoll
	}
	s.fd, s.phase, s.in, s.out, s.head = -1, closed, nil, nil, nil
}

func (f *Fleet) code(code string) { f.counts.Codes[code]++ }

// refuse notes the first refusal: it says what is wrong.
func (f *Fleet) refuse(err error) {
	if f.refused == nil {
		f.refused = err
	}
}

// Open begins every session that is closed.
func (f *Fleet) Open() {
	f.do(func() {
		f.toOpen = f.toOpen[:0]
		f.began, f.openedAt = 0, time.Now()
		for _, s := range f.sessions {
			if s.phase == closed {
				f.toOpen = append(f.toOpen, s)
			}
		}
	})
}

// Refused returns why the first session or subscription was refused or could not
// be opened, nil if none was.
func (f *Fleet) Refused() (err error) {
	f.do(func() { err = f.refused })
	return err
}

// Forgive forgets refusals.
func (f *Fleet) Forgive() { f.do(func() { f.refused = nil }) }

// Stall makes the sessions that Config.Stalled counts deaf.
func (f *Fleet) Stall() {
	f.do(func() {
		for _, s := range f.sessions[:f.cfg.Stalled] {
			if s.fd >= 0 && !s.deaf {
				s.deaf = true
				// A hang-up is still told; reading is what it no longer does.
				_ = f.watch(syscall.EPOLL_CTL_MOD, s.fd, 0)
			}
		}
	})
}

// Reset begins the counts anew: only commits from now on are samples.
func (f *Fleet) Reset() {
	f.do(func() {
		f.counts = Counts{Codes: map[string]int64{}}
		f.since = time.Now()
	})
}

// Counts returns what was seen since Reset.
func (f *Fleet) Counts() (c Counts) {
	f.do(func() {
		c = f.counts
		c.Codes = map[string]int64{}
		for code, n := range f.counts.Codes {
			c.Codes[code] = n
		}
	})
	return c
}

// Standing compares the sessions that read with the book.
func (f *Fleet) Standing() (st Standing) {
	f.do(func() {
		st.Open = f.open
		for _, s := range f.sessions {
			if s.deaf {
				continue
			}
			for i := range s.subs {
				sub := &s.subs[i]
				st.Subscriptions++
				if sub.told && sub.state != nil {
					st.Told++
				}
				if sub.shown < f.cfg.Book.Newest(sub.group) || sub.status == "denied" || sub.status == "error" {
					st.Behind++
				}
			}
		}
	})
	return st
}

// Back returns when the last session came back, and when the last subscription was
// told its result.
func (f *Fleet) Back() (opened, told time.Time) {
	f.do(func() { opened, told = f.lastBack, f.lastTold })
	return opened, told
}

// Versions returns, for each group that a session which reads has, the versions
// that are shown of it.
func (f *Fleet) Versions() map[int][]string {
	list := map[int][]string{}
	f.do(func() {
		for _, s := range f.sessions {
			if s.deaf {
				continue
			}
			for i := range s.subs {
				sub := &s.subs[i]
				version := ""
				if sub.state != nil {
					version = sub.state.version
				}
				if !slices.Contains(list[sub.group], version) {
					list[sub.group] = append(list[sub.group], version)
				}
			}
		}
	})
	return list
}
