package serve

import (
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"weir/abi"
	"weir/host/tenant"
)

// pieceSize is how much is written at a time, so that an abort acts between the
// pieces of a large frame (D2).
const pieceSize = 16 << 10

// writer is the outlet of a stream that its request's goroutine writes, on any
// version of HTTP. Its other methods belong to that goroutine.
type writer struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	limits tenant.Limits
	woken  chan struct{}

	unflushed bool // something was sent since the last flush

	mu      sync.Mutex // protects the fields below
	by      time.Time  // when what is being written must be accepted; zero while idle
	expires time.Time  // when the token ends; zero when it does not
	aborted bool
	done    bool
}

var (
	errAborted = errors.New("stream was aborted")
	// errSlow: the client did not take a frame in its time.
	errSlow = errors.New("the client took bytes too slowly")
)

func newWriter(w http.ResponseWriter, l tenant.Limits) *writer {
	return &writer{w: w, rc: http.NewResponseController(w), limits: l, woken: make(chan struct{}, 1)}
}

var _ outlet = (*writer)(nil)

func (o *writer) wake(bool) bool {
	select {
	case o.woken <- struct{}{}:
		return true
	default:
		return false
	}
}

// streamHeaders are those of every stream. no-transform keeps proxies from
// compressing, which would hold events back (D5).
func streamHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
}

// start sends the headers.
func (o *writer) start() {
	streamHeaders(o.w.Header())
	o.w.WriteHeader(http.StatusOK)
}

// send writes chunks in pieces. Together they must be accepted within the time of
// a frame of their size; one byte now and then is no progress.
func (o *writer) send(chunks ...[]byte) error {
	o.unflushed = true
	size := 0
	for _, c := range chunks {
		size += len(c)
	}
	if err := o.deadline(time.Now().Add(o.limits.FrameTimeout(size))); err != nil {
		return err
	}
	for _, c := range chunks {
		for len(c) > 0 {
			n := min(len(c), pieceSize)
			if _, err := o.w.Write(c[:n]); err != nil {
				return o.failure(err)
			}
			c = c[n:]
			if len(c) == 0 {
				break
			}
			// What is not flushed may lie in a buffer: only what the socket took
			// counts as progress.
			if err := o.rc.Flush(); err != nil {
				return o.failure(err)
			}
			if err := o.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush hands everything to the socket, and takes the deadline away: on HTTP/2 it
// would end an idle stream. When nothing was sent it does nothing: most wakes of a
// stream are about what it has been told.
func (o *writer) flush() error {
	if !o.unflushed {
		return o.check()
	}
	o.unflushed = false
	if err := o.rc.Flush(); err != nil {
		return o.failure(err)
	}
	return o.deadline(time.Time{})
}

// expiryGrace is how long after its token's end a write that waits is cut off. A
// stream that is not in the middle of a write ends at the end itself.
const expiryGrace = 100 * time.Millisecond

// expire tells the writer when the token ends. It may be called from any
// goroutine: a renewal may come while a write waits.
func (o *writer) expire(at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.expires = at
	if !o.done && !o.aborted && !o.by.IsZero() {
		_ = o.setDeadline()
	}
}

func (o *writer) deadline(t time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.aborted {
		return errAborted
	}
	o.by = t
	if err := o.setDeadline(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return o.reason(err)
	}
	return nil
}

// setDeadline sets the earlier of the two ends. The caller holds the lock.
func (o *writer) setDeadline() error {
	t := o.by
	if end := o.expires.Add(expiryGrace); !t.IsZero() && !o.expires.IsZero() && end.Before(t) {
		t = end
	}
	return o.rc.SetWriteDeadline(t)
}

func (o *writer) check() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.aborted {
		return errAborted
	}
	return nil
}

// failure says why a write failed: an abort makes it look like a slow one.
func (o *writer) failure(err error) error {
	if aborted := o.check(); aborted != nil {
		return aborted
	}
	return o.reason(err)
}

func (o *writer) reason(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlow
	}
	return err
}

// abort makes a write that waits fail, and all later ones. It may be called from
// any goroutine, also after the stream has ended.
func (o *writer) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done || o.aborted {
		return
	}
	o.aborted = true
	_ = o.rc.SetWriteDeadline(time.Unix(1, 0))
}

// finish must be called before the handler returns: after it the response is not
// touched any more.
func (o *writer) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = true
}

// idleBuffer is how much an idle stream keeps to make its next turn in: enough for
// the event that goes before a result.
const idleBuffer = 512

// run is the life of a stream, from hello to its end. It returns why it ended,
// and an error if that was in the middle of a write.
func (o *writer) run(s *session, begin []byte) (abi.Code, error) {
	s.mu.Lock()
	o.expires = s.caller.Expires // before a renewal can find it
	s.hold(o)
	s.mu.Unlock()
	defer o.finish()
	o.start()
	if err := o.send(begin); err != nil {
		return s.cause(err), err
	}
	script := newScript(s, time.Now())
	timer := time.NewTimer(time.Until(script.ping))
	defer timer.Stop()
	var buf []byte
	for {
		t := script.next(buf, time.Now())
		buf = t.small
		if err := o.turn(s, &t); err != nil {
			return s.cause(err), err
		}
		if t.last {
			if err := o.flush(); err != nil {
				return s.cause(err), err
			}
			return t.reason, nil
		}
		if !t.empty() {
			continue
		}
		if err := o.flush(); err != nil {
			return s.cause(err), err
		}
		if cap(buf) > idleBuffer {
			buf = nil
		}
		timer.Reset(time.Until(script.until()))
		select {
		case <-o.woken:
		case <-timer.C:
		case <-s.ctx.Done():
			return leftCode, nil
		}
	}
}

// turn writes a turn.
func (o *writer) turn(s *session, t *turn) error {
	if t.frame == nil {
		if len(t.small) == 0 {
			return nil
		}
		return o.send(t.small)
	}
	s.writing.Store(t.pin())
	s.cut() // a denial that came since the turn was made was told to a session that wrote nothing
	began := time.Now()
	err := o.send(t.small, t.event)
	s.wrote(t.live, t.frame, len(t.event), began, err)
	s.writing.Store(nil)
	return err
}
