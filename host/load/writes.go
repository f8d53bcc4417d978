package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Change is a group's text in one transaction.
type Change struct {
	Group, N int
	Text     string
}

// Writer carries out transactions.
type Writer interface {
	// Write writes all changes in one transaction and calls committing just before it
	// commits. worker is below Writes.Workers; a worker's calls do not overlap.
	Write(ctx context.Context, worker int, changes []Change, committing func()) error
}

// Writes keeps a rate of transactions.
type Writes struct {
	Book   *Book
	Writer Writer
	// Groups are those that are written, from First on.
	First, Groups int
	// Rate is how many transactions begin in a second. 0 means one after another:
	// Shown is waited for between two.
	Rate  float64
	Shown func(ctx context.Context)
	// Each is how many groups a transaction writes, 1 if 0; Size is the length of
	// each text.
	Each, Size int
	// Workers is how many transactions may run at once; a group is always written by
	// the same. 0 means 1.
	Workers int
	// Count ends it after so many transactions; 0 means that only ctx does.
	Count int
}

// Written is what came of Writes.
type Written struct {
	Done   int64 // transactions that were committed
	Late   int64 // that were not begun, because all workers were busy
	Failed int64
	Err    error // of the first that failed
	Took   time.Duration
}

// Run writes until ctx ends or Count is reached, and waits for what it began: a
// transaction is not cut off.
func (w Writes) Run(ctx context.Context) Written {
	workers := max(1, min(w.Workers, w.Groups))
	var done, failed atomic.Int64
	var once sync.Once
	var first error
	var all sync.WaitGroup
	queues := make([]chan []Change, workers)
	inFlight := sync.WaitGroup{}
	for i := range queues {
		queues[i] = make(chan []Change, 64)
		all.Go(func() {
			for changes := range queues[i] {
				if err := w.write(context.WithoutCancel(ctx), i, changes); err != nil {
					failed.Add(1)
					once.Do(func() { first = err })
				} else {
					done.Add(1)
				}
				inFlight.Done()
			}
		})
	}
	began := time.Now()
	late := w.pace(ctx, began, func(n int) bool {
		worker := n % workers
		inFlight.Add(1)
		select {
		case queues[worker] <- w.pick(worker, workers):
			if w.Rate == 0 {
				inFlight.Wait()
				w.Shown(ctx)
			}
			return true
		default:
			inFlight.Done()
			return false
		}
	})
	for _, q := range queues {
		close(q)
	}
	all.Wait()
	return Written{Done: done.Load(), Late: late, Failed: failed.Load(), Err: first, Took: time.Since(began)}
}

// pace calls begin at the rate, for what is late as often as it is late.
func (w Writes) pace(ctx context.Context, began time.Time, begin func(n int) bool) (late int64) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for n := 0; ctx.Err() == nil && (w.Count == 0 || n < w.Count); n++ {
		if w.Rate > 0 {
			due := began.Add(time.Duration(float64(n) / w.Rate * float64(time.Second)))
			if wait := time.Until(due); wait > 0 {
				timer.Reset(wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
					return late
				}
			}
		}
		if !begin(n) {
			late++
		}
	}
	return late
}

// pick chooses the groups of a transaction among those of a worker.
func (w Writes) pick(worker, workers int) []Change {
	own := (w.Groups - worker + workers - 1) / workers
	each := min(max(w.Each, 1), own)
	changes := make([]Change, 0, each)
	at := rand.IntN(own)
	for i := range each {
		changes = append(changes, Change{Group: w.First + worker + (at+i)%own*workers})
	}
	return changes
}

func (w Writes) write(ctx context.Context, worker int, changes []Change) error {
	for i := range changes {
		c := &changes[i]
		c.N = w.Book.Next(c.Group)
		c.Text = w.Book.Mark(c.Group, c.N, w.Size)
	}
	err := w.Writer.Write(ctx, worker, changes, func() {
		for _, c := range changes {
			w.Book.Committing(c.Group, c.N)
		}
	})
	if err != nil {
		return err
	}
	for _, c := range changes {
		w.Book.Committed(c.Group, c.N)
	}
	return nil
}
