package serve

import (
	"container/heap"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const shardsExist = true

// shards are the loops that write streams whose connections were taken from
// net/http, one for each core. They start with the first stream.
type shards struct {
	server *Server
	held   atomic.Int64 // streams
	off    atomic.Bool  // a connection was no socket: streams are their goroutines' from now on

	mu     sync.Mutex // protects the fields below
	list   []*shard
	next   int
	closed bool
}

// pick returns the next stream's shard, nil if there is none.
func (g *shards) pick() *shard {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	if g.list == nil {
		for range runtime.GOMAXPROCS(0) {
			sh, err := newShard(g)
			if err != nil {
				g.off.Store(true)
				g.server.log.Error("streams are written by goroutines", slog.Any("err", err))
				break
			}
			g.list = append(g.list, sh)
			sh.done.Go(sh.run)
		}
	}
	if len(g.list) == 0 {
		return nil
	}
	g.next++
	return g.list[g.next%len(g.list)]
}

// close ends all streams that are left and waits for the loops.
func (g *shards) close() {
	g.mu.Lock()
	g.closed = true
	list := g.list
	g.mu.Unlock()
	for _, sh := range list {
		sh.close()
	}
}

// shard is one loop and its streams. Only the loop touches a stream's socket, from
// its first byte to its close; what others want they leave in woken.
type shard struct {
	shards *shards
	server *Server
	poller *poller
	bell   chan struct{} // rung when woken is not empty any more
	stop   chan struct{}
	done   sync.WaitGroup

	mu     sync.Mutex     // protects the fields below
	woken  []*shardStream // each at most twice: once more when it is urgent
	closed bool

	// The loop's.
	streams    map[int32]*shardStream // by socket
	generation int32                  // of the newest stream
	ready      []*shardStream         // have something to write and may
	spare      []*shardStream         // ready before
	timers     timers
	pulse      pulse
	work       scratch
}

func newShard(g *shards) (*shard, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &shard{
		shards: g, server: g.server, poller: p, bell: make(chan struct{}, 1), stop: make(chan struct{}),
		streams: map[int32]*shardStream{}, pulse: pulse{max: g.server.cfg.MaxTick},
	}, nil
}

// push puts a stream among the woken. False: the shard is closed.
func (sh *shard) push(st *shardStream) bool {
	sh.mu.Lock()
	if sh.closed {
		sh.mu.Unlock()
		return false
	}
	sh.woken = append(sh.woken, st)
	ring := len(sh.woken) == 1
	sh.mu.Unlock()
	if ring {
		select {
		case sh.bell <- struct{}{}:
		default:
		}
	}
	return true
}

// run is the loop.
func (sh *shard) run() {
	go sh.poller.run(sh.stop) // waited for by poller.close
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		sh.takeWoken(now)
		sh.takeDue(now)
		if len(sh.ready) > 0 {
			sh.round(now)
			select {
			case events := <-sh.poller.events:
				sh.polled(events)
			case <-sh.stop:
				sh.end()
				return
			default:
			}
			continue
		}
		timer.Reset(sh.pause(now))
		select {
		case <-sh.bell:
		case <-timer.C:
		case events := <-sh.poller.events:
			sh.polled(events)
		case <-sh.stop:
			sh.end()
			return
		}
	}
}

// takeWoken makes the woken ready, but for those that rest: one write to a stream
// each tick.
func (sh *shard) takeWoken(now time.Time) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, st := range sh.woken {
		if st.rests(now) {
			sh.timers.schedule(st, st.rest)
			continue
		}
		sh.take(st)
	}
	clear(sh.woken)
	sh.woken = sh.woken[:0]
}

// take makes a stream ready, unless it has been since it was woken.
func (sh *shard) take(st *shardStream) {
	// Before it is looked at: what comes now wakes it again.
	st.urgent.Store(false)
	if st.queued.Swap(false) {
		sh.ready = append(sh.ready, st)
	}
}

// takeDue makes the streams ready whose time has come: to be looked at, or because
// they have rested. What comes due of one that was woken and rests waits with it: a
// write would put its rest off.
func (sh *shard) takeDue(now time.Time) {
	for len(sh.timers) > 0 && !now.Before(sh.timers[0].due) {
		st := heap.Pop(&sh.timers).(*shardStream)
		if st.queued.Load() && st.rests(now) {
			sh.timers.schedule(st, st.rest)
			continue
		}
		st.urgent.Store(false)
		st.queued.Store(false)
		sh.ready = append(sh.ready, st)
	}
}

// pause is how long there is nothing to do, unless somebody rings.
func (sh *shard) pause(now time.Time) time.Duration {
	if len(sh.timers) > 0 {
		return min(sh.timers[0].due.Sub(now), time.Minute)
	}
	return time.Minute
}

// yieldRun is how many streams are written at a stretch, for the reason of wakeRun.
const yieldRun = 64

// round gives each ready stream one piece. Who has more stands at the end again.
func (sh *shard) round(now time.Time) {
	list := sh.ready
	sh.ready = sh.spare[:0]
	for run := range slices.Chunk(list, yieldRun) {
		for _, st := range run {
			if sh.step(st, now) {
				sh.ready = append(sh.ready, st)
			}
		}
		end := time.Now()
		sh.pulse.worked(end.Sub(now), end)
		runtime.Gosched()
		now = time.Now()
	}
	clear(list) // those that end are not kept
	sh.spare = list[:0]
}

// polled does what sockets ask for.
func (sh *shard) polled(events []unix.EpollEvent) {
	for _, e := range events {
		st := sh.streams[e.Fd]
		if st == nil || st.generation != e.Pad {
			continue // D3: of a stream that has ended, whose number another one has now
		}
		switch {
		case e.Events&pollGone != 0 || e.Events&unix.EPOLLIN != 0 && !st.discard():
			sh.finish(st, leftCode)
		case e.Events&unix.EPOLLOUT != 0:
			st.blocked = false
			if sh.poller.room(st.fd, st.generation, false) != nil {
				sh.finish(st, leftCode)
				continue
			}
			sh.ready = append(sh.ready, st)
		}
	}
	sh.poller.handled <- struct{}{}
}

// admit registers a stream that was pushed for the first time.
func (sh *shard) admit(st *shardStream) bool {
	sh.generation++
	st.generation = sh.generation
	sh.streams[int32(st.fd)] = st
	if err := sh.poller.add(st.fd, st.generation); err != nil {
		sh.server.log.Error("a stream cannot be polled", slog.Any("err", fmt.Errorf("add to an epoll: %w", err)))
		sh.finish(st, leftCode)
		return false
	}
	return true
}

// end closes what is left.
func (sh *shard) end() {
	sh.mu.Lock()
	woken := sh.woken
	sh.woken = nil
	sh.mu.Unlock()
	for _, st := range woken { // among them are those that were never admitted
		sh.finish(st, st.session.cause(errAborted))
	}
	for _, st := range sh.streams {
		sh.finish(st, st.session.cause(errAborted))
	}
	sh.poller.close()
}

// close ends the loop and waits for it. Nothing is pushed any more.
func (sh *shard) close() {
	sh.mu.Lock()
	closed := sh.closed
	sh.closed = true
	sh.mu.Unlock()
	if !closed {
		close(sh.stop)
	}
	sh.done.Wait()
}

// timers is a heap of streams by due.
type timers []*shardStream

// schedule makes a stream ready at that time at the latest. One that is earlier
// stays: it finds nothing to do and asks again. So a ping, which each frame puts
// off, moves nothing.
func (h *timers) schedule(st *shardStream, at time.Time) {
	switch {
	case st.slot < 0:
		st.due = at
		heap.Push(h, st)
	case at.Before(st.due):
		st.due = at
		heap.Fix(h, st.slot)
	}
}

func (h *timers) cancel(st *shardStream) {
	if st.slot >= 0 {
		heap.Remove(h, st.slot)
	}
}

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

// Push implements heap.Interface.
func (h *timers) Push(x any) {
	st := x.(*shardStream)
	st.slot = len(*h)
	*h = append(*h, st)
}

// Pop implements heap.Interface.
func (h *timers) Pop() any {
	last := len(*h) - 1
	st := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	st.slot = -1
	return st
}
