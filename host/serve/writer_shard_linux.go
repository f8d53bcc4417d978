package serve

import (
	"bytes"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"weir/abi"
	"weir/host/tenant"
)

// shardStream is the outlet of a stream whose connection was taken from net/http.
// While it is idle there is no goroutine and no buffer of it. What is not atomic
// belongs to its shard's loop.
type shardStream struct {
	session *session
	shard   *shard
	fd      int

	queued  atomic.Bool // it is among the woken
	urgent  atomic.Bool // it does not wait for a tick
	aborted atomic.Bool

	generation int32 // 0: not admitted yet
	ended      bool
	blocked    bool // the socket takes nothing; the poller tells when it does
	discarded  int  // bytes that the client sent after its request
	script     script
	timeout    time.Duration // of a write; the tenant's, as it was at the start
	rate       int64
	due        time.Time // when the loop looks at it
	slot       int       // in timers, -1 if not there
	pending    *pending  // what is not out yet, nil while idle
	rest       time.Time // it is not written to before, a tick after the last time
}

var _ outlet = (*shardStream)(nil)

func (st *shardStream) wake(urgent bool) bool {
	if urgent {
		urgent = st.urgent.CompareAndSwap(false, true)
	}
	if st.queued.CompareAndSwap(false, true) || urgent {
		st.shard.push(st)
	}
	return false
}

// rests reports whether what the stream was woken for waits for the end of a tick.
func (st *shardStream) rests(now time.Time) bool {
	return now.Before(st.rest) && !st.urgent.Load()
}

// expire makes the loop look again: it asks the session itself.
func (st *shardStream) expire(time.Time) { st.wake(true) }

// abort does not close the socket: its number would be another connection's while
// the loop writes to it (D3).
func (st *shardStream) abort() {
	st.aborted.Store(true)
	st.wake(true)
}

// pending is what was made of turns and is not out yet.
type pending struct {
	chunks []chunk
	out    int       // bytes that the kernel took
	size   int       // bytes in all
	frames []written // whose bytes are not all out
	last   bool      // the stream ends after this
	reason abi.Code  // why
	began  time.Time
	by     time.Time // when it must be out
}

// chunk is a part of it. What is shared with all streams is not copied.
type chunk struct {
	text   []byte
	shared bool
}

// written is a result among the bytes.
type written struct {
	pin
	size int
	upto int // where it ends
}

func (p *pending) add(text []byte, shared bool) {
	p.chunks = append(p.chunks, chunk{text, shared})
	p.size += len(text)
}

// overtaken reports whether bytes of a frame are not out that must not be seen.
func (p *pending) overtaken() bool {
	for i := range p.frames {
		if p.frames[i].overtaken() {
			return true
		}
	}
	return false
}

// scratch is what a shard makes turns in. A stream gets a copy of it only if its
// socket does not take all at once.
type scratch struct {
	pending pending
	text    []byte
	chunks  []chunk
	frames  []written
	buffers [][]byte
	flat    []byte
}

// put takes the scratch back, so that it holds no frame while the shard is idle.
func (w *scratch) put() {
	clear(w.chunks)
	clear(w.frames)
	clear(w.buffers)
	w.pending = pending{}
}

var (
	crlf      = []byte("\r\n")
	lastChunk = []byte("0\r\n\r\n")
)

const (
	// chunkHead is room for the length of a chunk and its line's end.
	chunkHead = 10
	// turnRoom is what the scratch has for the events of one stream.
	turnRoom = 2*smallTurn + 4<<10
)

// compose makes turns until there is nothing to tell or enough for one piece. Done
// says that it was nothing. What was composed goes out with one call.
func (sh *shard) compose(st *shardStream, now time.Time) (p *pending, done bool) {
	w := &sh.work
	if w.text == nil {
		w.text = make([]byte, turnRoom)
	}
	w.pending = pending{chunks: w.chunks[:0], frames: w.frames[:0], began: now}
	p = &w.pending
	defer func() { w.chunks, w.frames = p.chunks, p.frames }() // they may have grown
	used := 0
	for p.size < pieceSize && !p.last {
		free := w.text[used:]
		if len(free) < chunkHead {
			break
		}
		t := st.script.next(free[chunkHead:chunkHead], now)
		if t.empty() {
			return p, true
		}
		p.last, p.reason = t.last, t.reason
		if n := chunkHead + len(t.small); n <= len(free) {
			used += n
		} else { // append has moved it
			free = append(make([]byte, chunkHead, n), t.small...)
			used = len(w.text)
		}
		if size := len(t.small) + len(t.event); size > 0 {
			p.add(framed(free[:chunkHead+len(t.small)], size), false)
			if t.frame != nil {
				p.add(t.event, true)
				p.frames = append(p.frames, written{*t.pin(), len(t.event), p.size})
			}
			p.add(crlf, true)
		}
		if t.last {
			p.add(lastChunk, true)
		}
		if t.all {
			return p, true
		}
	}
	return p, false
}

// framed writes the length of a chunk before its text, for which the first
// chunkHead bytes are kept, and returns where that begins.
func framed(text []byte, size int) []byte {
	var digits [16]byte
	hex := strconv.AppendUint(digits[:0], uint64(size), 16)
	at := chunkHead - len(hex) - len(crlf)
	copy(text[at:], hex)
	copy(text[at+len(hex):], crlf)
	return text[at:]
}

// step writes one piece to a stream, and reports whether it may have more now.
func (sh *shard) step(st *shardStream, now time.Time) (more bool) {
	if st.ended || st.generation == 0 && !sh.admit(st) {
		return false
	}
	if st.aborted.Load() {
		sh.finish(st, st.session.cause(errAborted))
		return false
	}
	defer sh.work.put()
	p, done := st.pending, false
	if p == nil {
		if p, done = sh.compose(st, now); p.size == 0 {
			sh.timers.schedule(st, st.script.until())
			return false
		}
	} else if limit := st.limit(); !now.Before(limit) {
		sh.finish(st, st.session.cause(errSlow))
		return false
	} else if st.blocked {
		sh.timers.schedule(st, limit)
		return false
	}
	// S10: what waited is asked for again, between two pieces too. What was composed
	// just now was allowed just now: to end its stream for that would be a loss.
	if st.pending != nil && p.overtaken() {
		st.session.end(abi.Denied, 0)
		sh.finish(st, st.session.cause(errAborted))
		return false
	}
	return sh.put(st, p, done, now)
}

// put writes one piece of p. Done says that the session had nothing else to tell.
func (sh *shard) put(st *shardStream, p *pending, done bool, now time.Time) (more bool) {
	err := sh.send(st, p)
	switch {
	case err != nil && !errors.Is(err, unix.EAGAIN):
		sh.finish(st, st.session.cause(err))
	case p.out == p.size && p.last:
		sh.finish(st, p.reason)
	case p.out == p.size:
		st.pending = nil
		if !done {
			return true
		}
		if tick := sh.pulse.tick(now); tick > 0 {
			st.rest = now.Add(tick)
		}
		sh.timers.schedule(st, st.script.until())
	default:
		st.keep(p)
		if err == nil {
			return true
		}
		st.blocked = true
		if err := sh.poller.room(st.fd, st.generation, true); err != nil {
			sh.finish(st, leftCode)
			return false
		}
		sh.timers.schedule(st, st.limit())
	}
	return false
}

// frameTime is how long bytes may take to go out.
func (st *shardStream) frameTime(size int) time.Duration {
	return tenant.Limits{WriteTimeout: st.timeout, MinWriteRate: st.rate}.FrameTimeout(size)
}

// limit is when what is pending must be out: in its time, and with the token.
func (st *shardStream) limit() time.Time {
	limit := st.pending.by
	if end := st.session.expires(); !end.IsZero() && end.Add(expiryGrace).Before(limit) {
		limit = end.Add(expiryGrace)
	}
	return limit
}

// send gives the kernel one piece.
func (sh *shard) send(st *shardStream, p *pending) error {
	w := &sh.work
	n, err := w.write(st.fd, p)
	for errors.Is(err, unix.EINTR) {
		n, err = w.write(st.fd, p)
	}
	if err != nil {
		return err
	}
	p.out += n
	for len(p.chunks) > 0 && n >= len(p.chunks[0].text) {
		n -= len(p.chunks[0].text)
		p.chunks = p.chunks[1:]
	}
	if n > 0 {
		p.chunks[0].text = p.chunks[0].text[n:]
	}
	for len(p.frames) > 0 && p.frames[0].upto <= p.out {
		f := &p.frames[0]
		st.session.writing.Store(nil)
		st.session.wrote(f.live, f.frame, f.size, p.began, nil)
		p.frames = p.frames[1:]
	}
	return nil
}

// flatSize is up to what a copy is cheaper than the kernel's look at many parts.
const flatSize = 4 << 10

// write hands a piece to the kernel with one call, which does not wait.
func (w *scratch) write(fd int, p *pending) (int, error) {
	if p.size-p.out <= flatSize {
		w.flat = w.flat[:0]
		for _, c := range p.chunks {
			w.flat = append(w.flat, c.text...)
		}
		return unix.Write(fd, w.flat)
	}
	w.buffers = w.buffers[:0]
	room := pieceSize
	for _, c := range p.chunks {
		n := min(len(c.text), room)
		w.buffers = append(w.buffers, c.text[:n])
		if room -= n; room == 0 {
			break
		}
	}
	return unix.SendmsgBuffers(fd, w.buffers, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
}

// keep holds what did not go out: the stream's own bytes as a copy, a shared frame
// as it is, which is counted as pinned from now on.
func (st *shardStream) keep(p *pending) {
	if st.pending == nil {
		own := *p
		own.by = p.began.Add(st.frameTime(p.size))
		own.chunks = append([]chunk(nil), p.chunks...)
		for i, c := range own.chunks {
			if !c.shared {
				own.chunks[i].text = bytes.Clone(c.text)
			}
		}
		own.frames = append([]written(nil), p.frames...)
		st.pending = &own
	}
	if frames := st.pending.frames; len(frames) > 0 {
		if now := st.session.writing.Load(); now == nil || now.frame != frames[0].frame {
			pinned := frames[0].pin
			st.session.writing.Store(&pinned)
			st.session.cut() // a denial that came since was told to a session that wrote nothing
		}
	}
}

// maxInput is how much a client may send after its request before it is taken for
// something else than a client of a stream.
const maxInput = 1 << 10

// discard reads what the client sent and forgets it: it would wake the poller for
// ever (D3). False: it was too much, or the client left.
func (st *shardStream) discard() bool {
	var buf [maxInput + 1]byte
	for {
		n, err := unix.Read(st.fd, buf[:])
		switch {
		case err == unix.EINTR: //nolint:errorlint // an errno as it comes
			continue
		case err == unix.EAGAIN: //nolint:errorlint // an errno as it comes
			return true
		case err != nil || n == 0:
			return false
		}
		if st.discarded += n; st.discarded > maxInput {
			return false
		}
	}
}

// finish ends a stream. Only the loop closes a socket, so that nobody writes to
// its number when it is another's.
func (sh *shard) finish(st *shardStream, reason abi.Code) {
	if st.ended {
		return
	}
	st.ended = true
	if st.generation != 0 {
		sh.timers.cancel(st)
		sh.poller.remove(st.fd)
		delete(sh.streams, int32(st.fd))
	}
	_ = unix.Close(st.fd)
	st.session.writing.Store(nil)
	st.pending = nil
	sh.shards.held.Add(-1)
	sh.server.ended(st.session, reason)
	st.session.shut()
}

// opening is what a stream begins with.
func opening(head, begin []byte, by time.Time) *pending {
	p := &pending{by: by}
	p.add(head, false)
	p.add(framed(append(make([]byte, chunkHead, chunkHead+len(begin)), begin...), len(begin)), false)
	p.add(crlf, true)
	return p
}
