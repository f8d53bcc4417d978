package serve

import (
	"cmp"
	"runtime"
	"slices"
	"sync"
	"time"

	"weir/abi"
	"weir/reactor"
)

// hub knows which sessions watch which publication, and wakes them.
type hub struct {
	server *Server

	mu       sync.Mutex // protects the fields below, and session.fanned
	watchers map[*reactor.Publication]map[*session]int
	batches  uint64 // of publications, for which sessions were woken

	// The loop takes this one, so that nothing is done under it but a note.
	noteMu  sync.Mutex // protects the fields below
	noted   map[*reactor.Publication]struct{}
	since   time.Time // of the oldest that is noted
	running bool
	closed  bool
	done    sync.WaitGroup
}

func newHub(s *Server) *hub {
	return &hub{
		server:   s,
		watchers: map[*reactor.Publication]map[*session]int{},
		noted:    map[*reactor.Publication]struct{}{},
	}
}

// watch wakes s when one of the publications has news. It counts: a session may
// watch one publication several times.
func (h *hub) watch(pubs []*reactor.Publication, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, pub := range pubs {
		m := h.watchers[pub]
		if m == nil {
			m = map[*session]int{}
			h.watchers[pub] = m
		}
		m[s]++
	}
}

func (h *hub) unwatch(pubs []*reactor.Publication, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, pub := range pubs {
		m := h.watchers[pub]
		if m[s]--; m[s] <= 0 {
			delete(m, s)
		}
		if len(m) == 0 {
			delete(h.watchers, pub)
		}
	}
}

// published notes that publications have a new state. It is called from the
// reactor's loop: it waits for nothing and does nothing per session (F9). What is
// noted is a set, bounded by the groups there are.
func (h *hub) published(pubs []*reactor.Publication) {
	h.noteMu.Lock()
	defer h.noteMu.Unlock()
	if h.closed {
		return
	}
	if len(h.noted) == 0 {
		h.since = time.Now()
	}
	for _, p := range pubs {
		h.noted[p] = struct{}{}
	}
	if !h.running && len(h.noted) > 0 {
		h.running = true
		h.done.Add(1)
		go h.fanOut()
	}
}

// wakeRun is how many goroutines are woken at a stretch. Ten thousand that may run
// at once stand before all that the network brings: the answer of a policy, or the
// change that shuts somebody out, would wait until each of them has written.
const wakeRun = 128

// fanOut wakes sessions until nothing is noted.
func (h *hub) fanOut() {
	defer h.done.Done()
	var sessions []*session
	batch := map[*reactor.Publication]struct{}{}
	for {
		h.noteMu.Lock()
		if len(h.noted) == 0 || h.closed {
			h.running = false
			h.noteMu.Unlock()
			return
		}
		h.noted, batch = batch, h.noted
		since := h.since
		h.noteMu.Unlock()

		sessions = h.watching(sessions[:0], batch)
		for _, s := range sessions {
			s.cut()
		}
		woken, urgent := 0, decides(batch)
		for _, s := range sessions {
			if !s.wakeFor(urgent) {
				continue
			}
			if woken++; woken%wakeRun == 0 {
				runtime.Gosched()
			}
		}
		clear(sessions) // those that end are not kept
		fresh := 0
		for pub := range batch {
			if st := pub.State(); st != nil && st.Frame != nil {
				fresh += st.Frame.Size()
			}
		}
		clear(batch)
		h.server.stats.wake.Add(time.Since(since))
		h.server.checkPins(fresh)
	}
}

// decides reports whether one of the publications is a policy's: who is shut out is
// told at once.
func decides(batch map[*reactor.Publication]struct{}) bool {
	for pub := range batch {
		if pub.State() == nil {
			return true
		}
	}
	return false
}

// watching appends the sessions that watch any of the publications, each once:
// who is denied watches the result too, and would be woken for both. Only the
// fan-out calls it.
func (h *hub) watching(dst []*session, batch map[*reactor.Publication]struct{}) []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches++
	for pub := range batch {
		for s := range h.watchers[pub] {
			if s.fanned != h.batches {
				s.fanned = h.batches
				dst = append(dst, s)
			}
		}
	}
	return dst
}

// watchersOf returns the sessions that watch one publication.
func (h *hub) watchersOf(pub *reactor.Publication) (list []*session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.watchers[pub] {
		list = append(list, s)
	}
	return list
}

// close ends the fan-out and waits for it.
func (h *hub) close() {
	h.noteMu.Lock()
	h.closed = true
	h.noteMu.Unlock()
	h.done.Wait()
}

// pin is a frame that a session is in the middle of writing.
type pin struct {
	live  *Live
	pub   *reactor.Publication
	frame *reactor.Frame
}

// cutAfter is how long a write may go on that a denial has overtaken. Most are
// done at once.
const cutAfter = 20 * time.Millisecond

// cut ends a stream in the middle of a frame that its policies do not allow any
// more (D2): what the socket has not taken yet is not to be seen. The client comes
// back and is told.
func (s *session) cut() {
	p := s.writing.Load()
	if p == nil || !p.overtaken() {
		return
	}
	time.AfterFunc(cutAfter, func() {
		if s.writing.Load() == p && p.overtaken() {
			s.abort(abi.Denied)
		}
	})
}

// overtaken reports whether the frame could not be sent any more now.
func (p *pin) overtaken() bool {
	st, shown := p.live.State()
	return shown && (st.Status == reactor.Denied || st.Status == reactor.Moved && p.live.Sub.Scoped())
}

// A look at what is pinned visits every session, so that it is not taken for each
// publication.
const (
	pinCheckShare = 16                     // the part of the cap that may be superseded between two looks
	pinCheckEvery = 100 * time.Millisecond // while anything is pinned
)

// checkPins looks at the superseded frames that sessions still write, once enough
// was published since the last look, and closes those that pin most while there
// are more than the cap (D2). Only the fan-out calls it.
func (s *Server) checkPins(fresh int) {
	s.unlooked += int64(fresh)
	limit := s.cfg.Limits.MaxPinnedBytes
	now := time.Now()
	again := s.stats.pinned.Load() > 0 && now.Sub(s.looked) >= pinCheckEvery
	if s.unlooked < limit/pinCheckShare && !again {
		return
	}
	s.unlooked, s.looked = 0, now
	type held struct {
		frame *reactor.Frame
		by    []*session
	}
	frames := map[*reactor.Frame]*held{}
	total := int64(0)
	for _, session := range s.sessions.all() {
		p := session.writing.Load()
		if p == nil {
			continue
		}
		if st := p.pub.State(); st == nil || st.Frame == p.frame {
			continue
		}
		h := frames[p.frame]
		if h == nil {
			h = &held{frame: p.frame}
			frames[p.frame] = h
			total += int64(p.frame.Size())
		}
		h.by = append(h.by, session)
	}
	if total > limit {
		list := make([]*held, 0, len(frames))
		for _, h := range frames {
			list = append(list, h)
		}
		slices.SortFunc(list, func(a, b *held) int { return cmp.Compare(b.frame.Size(), a.frame.Size()) })
		for _, h := range list {
			if total <= limit {
				break
			}
			total -= int64(h.frame.Size())
			for _, session := range h.by {
				session.abort(slowCode)
			}
		}
	}
	s.stats.pinned.Store(total)
}
