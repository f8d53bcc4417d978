package reactor

import "time"

// backlog is what waits to be told to a core, in the order in which it came: the
// driver does as much of it as fits into the core's slice, so that neither a herd
// nor a flood of one tenant delays another's turn (F8, W7). It is bounded: tasks
// by what is subscribed and in flight, batches by maxBacklog.
type backlog struct {
	tasks   []task
	next    int
	batches []*sorted
	changes int // in batches
}

// maxBacklog is how many changes may wait for one core, and maxBatches in how
// many batches. With more its tenant is told that changes were lost: that is one
// run of each of its groups, and the others do not wait for it.
const (
	maxBacklog = 100_000
	maxBatches = 200
)

// task is one of: a subscription that comes, one that leaves, a transaction to be
// followed, an execution that has finished, a question.
type task struct {
	sub    *Subscription
	leaves bool
	sync   *Sync
	run    *Execution
	result *Result
	ask    *question
}

// put notes a batch. It replaces what waits if that has become too much.
func (l *backlog) put(b *sorted) {
	l.batches = append(l.batches, b)
	l.changes += len(b.Changes)
	if len(l.batches) == 1 || l.changes <= maxBacklog && len(l.batches) <= maxBatches {
		return
	}
	l.batches = append(l.batches[:0:0], sortBatch(&Batch{Epoch: b.Epoch, Snapshot: b.Snapshot, Began: b.Began, Resync: true}))
	l.changes = 0
}

// task returns the oldest task, and false if there is none.
func (l *backlog) task() (task, bool) {
	if l.next == len(l.tasks) {
		clear(l.tasks)
		if l.tasks, l.next = l.tasks[:0], 0; cap(l.tasks) > 4096 {
			l.tasks = nil // a herd's
		}
		return task{}, false
	}
	t := l.tasks[l.next]
	l.tasks[l.next] = task{}
	l.next++
	if l.next > 1024 && 2*l.next > len(l.tasks) {
		l.tasks, l.next = append([]task(nil), l.tasks[l.next:]...), 0
	}
	return t, true
}

// waiting returns the subscriptions that the core has not been told of.
func (l *backlog) waiting() (subs []*Subscription) {
	for _, t := range l.tasks[l.next:] {
		if t.sub != nil && !t.leaves {
			subs = append(subs, t.sub)
		}
	}
	return subs
}

// batch takes the oldest batch, nil if there is none. While one is being applied
// only a batch that makes it needless is taken.
func (l *backlog) batch(applying bool) *sorted {
	if len(l.batches) == 0 || applying && !l.batches[0].Resync {
		return nil
	}
	b := l.batches[0]
	l.batches[0] = nil
	l.batches = l.batches[1:]
	l.changes -= len(b.Changes)
	return b
}

// advance does a little of what waits, tasks and changes in turn, and reports
// whether more may remain.
func (c *core) advance(now time.Time) bool {
	t, more := c.backlog.task()
	if more {
		c.do(now, t)
	}
	if b := c.backlog.batch(c.batch != nil); b != nil {
		c.feed(now, b)
	}
	if c.batch != nil {
		c.step(now, 16)
		more = true
	}
	return more
}

// do tells a core what a task is about.
func (c *core) do(now time.Time, t task) {
	switch {
	case t.run != nil:
		c.finish(now, t.run, *t.result)
	case t.sync != nil:
		c.follow(t.sync)
	case t.ask != nil:
		if t.ask.step(now, c) {
			c.backlog.tasks = append(c.backlog.tasks, t) // the others have their turn
		} else {
			t.ask.answered()
		}
	case t.leaves:
		c.leave(now, t.sub)
	default:
		c.subscribe(now, t.sub)
	}
}
