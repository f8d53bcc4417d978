package wasm

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of calibration.
const (
	trialTime = 150 * time.Microsecond // for each way
	maxCopied = 1 << 20                // a larger memory is never copied as a whole
)

// calibrate chooses how instances of the image are made it again: which way is the
// fastest differs between machines, above all in what it costs that other cores
// must hear of each page that is dropped. So it is tried with as many cores at once
// as guests may run on, on the pages that calls write to. A way that needs more
// memory has to be faster by more.
func (p *Pool) calibrate(ctx context.Context, m *image, manifest []byte) {
	if m.mapping == nil {
		return
	}
	t := p.touched(ctx, m, manifest)
	cores := min(p.runtime.config.MaxRunning, runtime.GOMAXPROCS(0))
	best := m.trial(m.way, t, cores)
	try := func(w *way, times float64) {
		if took := m.trial(w, t, cores); float64(took)*times < float64(best) {
			best, m.way = took, w
		}
	}
	if w := keeping(t.written); w != nil {
		try(w, 1.25)
	}
	if t.sweeps {
		try(&way{kind: scans}, 1)
	}
	if m.size <= maxCopied {
		try(&way{copies, []span{{0, m.size}}}, 2)
	}
}

// touch is what a call does to memory.
type touch struct {
	read, written []span
	sweeps        bool
}

// touched returns what calls do, as far as a warm-up shows.
func (p *Pool) touched(ctx context.Context, m *image, manifest []byte) touch {
	i, err := p.bear(ctx, m)
	if err != nil {
		return touch{}
	}
	defer i.close(ctx)
	i.warmUp(ctx, manifest)
	i.memory.data[m.input]++ // the input is checked to be inside
	t := touch{sweeps: i.memory.sweeps != nil}
	memory := i.memory.data[:m.size]
	if t.sweeps {
		t.read = i.memory.sweeps.mapped(memory)
	}
	t.written = differing(memory, m.data)
	return t
}

// trial measures the way, on so many cores at once, and returns the shortest time
// for a memory that was restored, as a mean over the cores: longer ones tell of what
// else the machine does.
func (m *image) trial(w *way, t touch, cores int) time.Duration {
	var total, tried atomic.Int64
	var wg sync.WaitGroup
	for range cores {
		wg.Go(func() {
			space := m.born(m.size)
			if space == nil {
				return
			}
			defer func() {
				unmap(space)
				m.mapped.Add(-1)
			}()
			sweeps := newSweeper(space)
			m.round(w, t, space, sweeps) // the first one maps pages that later ones find
			best := time.Hour
			began := time.Now()
			for last := began; last.Sub(began) < trialTime || best == time.Hour; {
				m.round(w, t, space, sweeps)
				now := time.Now()
				best, last = min(best, now.Sub(last)), now
			}
			total.Add(int64(best))
			tried.Add(1)
		})
	}
	wg.Wait()
	if tried.Load() == 0 {
		return time.Hour
	}
	return time.Duration(total.Load() / tried.Load())
}

// round does to the memory what a call does, and restores it.
func (m *image) round(w *way, t touch, space []byte, sweeps *sweeper) {
	sum := byte(0)
	for _, s := range t.read {
		for at := s.from; at < s.to; at += osPage {
			sum += space[at]
		}
	}
	for _, s := range t.written {
		for at := s.from; at < s.to; at += osPage {
			space[at] += sum | 1
		}
	}
	w.restore(space, m.data, sweeps)
}
