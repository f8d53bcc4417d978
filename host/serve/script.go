package serve

import (
	"errors"
	"time"

	"weir/abi"
	"weir/reactor"
)

// outlet is how the bytes of one stream get out: by the goroutine of its request
// (writer) or by a shard (shardStream). What they are is script's to say. Any
// goroutine may call it, also when the stream has ended; it does not block.
type outlet interface {
	// wake makes it ask for the next turn, without a rest if it is urgent, and
	// reports whether a goroutine of its own was woken for that.
	wake(urgent bool) bool
	// expire says when the token ends now: a renewal may come while a write waits.
	expire(at time.Time)
	// abort ends the stream even in the middle of a write.
	abort()
}

// hold makes out the session's outlet.
func (s *session) hold(out outlet) { s.out.Store(&out) }

func (s *session) expires() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.caller.Expires
}

// script says what a stream tells its client and when, whoever writes it. Only
// the writer uses it.
type script struct {
	session  *session
	interval time.Duration // of pings
	ping     time.Time     // when the next is due
}

func newScript(s *session, now time.Time) script {
	interval := s.limits().PingInterval
	return script{s, interval, nextPing(now, interval)}
}

// next makes the next turn, and does what it asks for beside. An empty one means
// that there is nothing to tell before a wake or until. buf is reused.
func (c *script) next(buf []byte, now time.Time) turn {
	s := c.session
	s.adopt()
	t := s.gather(buf, now, !now.Before(c.ping))
	if t.work {
		s.server.subscriber.serve(s)
	}
	for _, a := range t.late {
		s.abandon(a)
	}
	if t.gone > 0 {
		s.server.sessions.release(s, t.gone)
	}
	if !t.empty() {
		c.ping = nextPing(now, c.interval)
	}
	return t
}

// until is when the writer must look again even if nobody wakes it.
func (c *script) until() time.Time { return c.session.deadline(c.ping) }

// pin is what the frame of a turn holds while it is written.
func (t *turn) pin() *pin { return &pin{t.live, t.live.Sub.Publication(), t.frame} }

// wrote counts a frame that was written in so many bytes, or ended with err.
func (s *session) wrote(live *Live, frame *reactor.Frame, size int, began time.Time, err error) {
	stats := &s.server.stats
	stats.write.Add(time.Since(began))
	if tell := s.server.cfg.Wrote; tell != nil && err == nil {
		tell(live.Query(), frame.Version, began)
	}
	stats.frames.Add(1)
	stats.frameBytes.Add(uint64(size))
}

// cause says why a write failed.
func (s *session) cause(err error) abi.Code {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing != nil && errors.Is(err, errAborted):
		return s.closing.Reason
	case errors.Is(err, errSlow) && !s.caller.Expires.IsZero() && !time.Now().Before(s.caller.Expires):
		return abi.Expired
	case errors.Is(err, errSlow):
		return slowCode
	case s.closing != nil:
		return s.closing.Reason
	}
	return leftCode
}
