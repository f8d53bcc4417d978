package reactor

import (
	"errors"
	"math"
	"slices"
	"time"
)

// simNode is one process of weir: the real core, a reader of the log, an executor.
type simNode struct {
	sim  *sim
	name string
	core *core
	born int // how often it was started

	cursor  simCursor
	batch   *Batch    // read, not delivered
	deaf    time.Time // until when the log cannot be read
	applied time.Time // when the newest batch was
	silent  bool      // that is longer ago than MaxStale, and the core knows

	waves []*simWave
	hurt  bool // runs may fail

	// What the executor knows of the schema (R4).
	analysed  simAnalysis
	forgotten []uint64 // DDL that it has been told of
	base      Snapshot // it has been told to forget all that is older

	syncs   int // that wait for their transaction
	numbers map[*Publication]uint64
}

type simCursor struct {
	epoch    int
	snapshot Snapshot
	entries  int // of the log
	lost     bool
}

// simAnalysis is how the view was understood, and when.
type simAnalysis struct {
	known   bool
	derived Snapshot
	view    int
}

// simWave is a read transaction and what runs in it.
type simWave struct {
	runs []*simRun
	done bool      // the reading has been done
	hung time.Time // nothing comes before it is given up then; zero: it does not hang
}

type simRun struct {
	e      *Execution
	call   simCall
	epoch  int
	before Snapshot // taken at dispatch
	result Result
}

var (
	errSim     = errors.New("the run failed on purpose")
	errRetired = errors.New("the function has been replaced")
	errHung    = errors.New("the run was given up")
)

func (n *simNode) start() {
	s := n.sim
	n.born++
	cfg := s.cfg
	cfg.Seed += uint64(1000*n.born) + uint64(n.name[0])
	n.core = newCore("sim", &cfg, s.now)
	n.cursor, n.batch, n.waves, n.syncs = simCursor{lost: true}, nil, nil, 0
	n.analysed, n.forgotten, n.base = simAnalysis{}, nil, Snapshot{}
	n.applied, n.silent, n.numbers = s.now, false, map[*Publication]uint64{}
	n.core.setUncaptured(s.now, s.uncaptured())
}

// restart kills the process: its clients lose their streams.
func (n *simNode) restart() {
	n.sim.say("%s is killed and starts again", n.name)
	for _, c := range slices.Clone(n.sim.clients) {
		if c.session != nil && c.session.node == n {
			n.sim.cut(c)
		}
	}
	n.start()
}

// readLog makes a batch of the snapshot difference.
func (n *simNode) readLog() bool {
	s := n.sim
	if n.batch != nil || n.deaf.After(s.now) {
		return false
	}
	b := &Batch{Epoch: s.db.name, Snapshot: s.db.snapshot(), Began: s.now}
	if b.Resync = n.cursor.lost || n.cursor.epoch != s.db.epoch; !b.Resync {
		b.Changes = slices.Clone(s.db.log[n.cursor.entries:])
		slices.SortStableFunc(b.Changes, func(a, b Change) int { return int(a.XID) - int(b.XID) })
	}
	n.cursor = simCursor{epoch: s.db.epoch, snapshot: b.Snapshot, entries: len(s.db.log)}
	n.batch = b
	if s.trace != nil && !n.dull(b) {
		s.say("%s reads the log to %v: %v, resync=%v", n.name, b.Snapshot, changeTexts(b.Changes), b.Resync)
	}
	return true
}

// dull reports whether nobody need read of a batch.
func (n *simNode) dull(b *Batch) bool { return n.sim.resting && len(b.Changes) == 0 && !b.Resync }

func (n *simNode) deliver() bool {
	s := n.sim
	if n.batch == nil || n.core.batch != nil && !n.batch.Resync {
		return false // a resync makes the rest of the last one needless
	}
	if s.trace != nil && !n.dull(n.batch) {
		s.say("%s is handed the log to %v", n.name, n.batch.Snapshot)
	}
	if n.batch.Resync {
		n.analysed.known, n.forgotten, n.base = false, nil, n.batch.Snapshot
	}
	for i := range n.batch.Changes {
		if ch := &n.batch.Changes[i]; ch.Op == DDL {
			n.analysed.known = n.analysed.known && n.analysed.derived.Visible(ch.XID)
			n.forgotten = append(n.forgotten, ch.XID)
		}
	}
	n.core.feed(s.now, sortBatch(n.batch))
	n.batch = nil
	return true
}

func (n *simNode) apply(count int) bool {
	if n.core.batch == nil {
		return false
	}
	dull := n.dull(n.core.batch.Batch)
	if more := n.core.step(n.sim.now, count); !more {
		n.applied, n.silent = n.sim.now, false
		if n.sim.trace != nil && !dull {
			n.sim.say("%s has applied the log to %v", n.name, n.core.cursor)
		}
	}
	return true
}

func (n *simNode) dispatch(groups, size int, hangs bool) bool {
	s := n.sim
	if len(n.waves) >= 4 {
		return false
	}
	n.core.tick(s.now, groups)
	wave := n.core.wave(s.now, size)
	if len(wave) == 0 {
		return false
	}
	w := &simWave{}
	for _, e := range wave {
		for _, other := range n.waves {
			for _, run := range other.runs {
				if run.e.Key == e.Key {
					s.fail("W3: %s runs twice at once on %s", e.Name, n.name)
				}
			}
		}
		run := &simRun{e: e, call: e.Call.(simCall), epoch: s.db.epoch, before: s.db.snapshot()}
		if s.trace != nil {
			s.say("%s runs %s of version %d: %s", n.name, e.Name, run.call.version, e.Cause.Reason)
		}
		w.runs = append(w.runs, run)
	}
	if hangs {
		w.hung = s.now.Add(s.cfg.Deadline)
		s.say("and it hangs")
	}
	n.waves = append(n.waves, w)
	return true
}

// read does the reading of a wave: its snapshot is of any moment between dispatch
// and finish.
func (n *simNode) read(w *simWave) bool {
	if w.done || !w.hung.IsZero() {
		return false
	}
	w.done = true
	for _, run := range w.runs {
		n.readOne(run)
	}
	return true
}

func (n *simNode) readOne(run *simRun) {
	s := n.sim
	run.result = Result{Epoch: s.db.name, Snapshot: s.db.snapshot(), Cost: time.Duration(s.rand.IntN(3)) * time.Millisecond}
	a := n.analysed
	if !a.known {
		a = simAnalysis{true, run.before, s.db.state.view}
		unseen := func(xid uint64) bool { return !run.before.Visible(xid) }
		if run.epoch != s.db.epoch || !run.before.Covers(n.base) || slices.ContainsFunc(n.forgotten, unseen) {
			a.derived = run.result.Snapshot
		}
		n.analysed = a
	}
	if s.rand.IntN(30) == 0 {
		run.result.WakeAt = s.now.Add(time.Duration(s.rand.IntN(3000)) * time.Millisecond)
	}
	if run.call.policy >= 0 {
		p := &simPolicies[run.call.policy]
		run.result.Reads = ReadSet{Atoms: p.reads(&s.db.state), Derived: a.derived}
		run.result.Decision = p.decision(&s.db.state, run.call.version)
		if s.trace != nil {
			s.say("%s: %s decides %s %v at %v", n.name, p.name, run.result.Decision.Answer, run.result.Decision.Scope, run.result.Snapshot)
		}
		return
	}
	q := &simQueries[run.call.query]
	content := simAnswer{run.call.query, run.call.version, q.answer(&s.db.state)}
	run.result.Reads = ReadSet{Atoms: q.reads(&s.db.state, a.view), Derived: a.derived}
	run.result.Plan = nil
	if s.rand.IntN(4) == 0 {
		run.result.Plan = true
	}
	if last, known := s.frames[run.e.Last]; known && last == content && s.rand.IntN(2) == 0 {
		run.result.Frame = run.e.Last
	} else {
		run.result.Frame = NextFrame(run.e.Last, run.e.Query, content.encode(), noLimit)
		s.frames[run.result.Frame] = content
	}
	if s.trace != nil {
		s.say("%s: %s reads %q at %v", n.name, q.name, content.text, run.result.Snapshot)
	}
}

// finish hands a wave's results to the core. sure says that no run fails that
// need not.
func (n *simNode) finish(at int, sure bool) bool {
	s := n.sim
	w := n.waves[at]
	given := !w.hung.IsZero()
	if given && s.now.Before(w.hung) {
		return false
	}
	n.waves = slices.Delete(n.waves, at, at+1)
	s.count.runs += int64(len(w.runs))
	for _, run := range w.runs {
		version := s.versions[simPolicyPlugin]
		if run.call.policy < 0 {
			version = s.versions[simQueries[run.call.query].plugin()]
		}
		switch {
		case given:
			run.result = Result{Err: errHung}
		case run.call.version != version && s.rand.IntN(2) == 0:
			run.result = Result{Err: errRetired}
		case !w.done, !sure && (n.hurt && s.rand.IntN(2) == 0 || s.rand.IntN(40) == 0):
			run.result = Result{Err: errSim}
		}
		// Too slow, or in a wave with one that is.
		run.result.Alone = given || s.rand.IntN(10) == 0
		if s.trace != nil {
			s.say("%s: %s finishes at %v, err=%v", n.name, run.e.Name, run.result.Snapshot, run.result.Err)
		}
		if s.sabotage != nil {
			s.sabotage(n)
		}
		n.core.finish(s.now, run.e, run.result)
	}
	return true
}

// tick lets the core see what time it is.
func (n *simNode) tick() {
	n.core.tick(n.sim.now, math.MaxInt)
	n.silent = n.sim.now.Sub(n.applied) >= n.sim.cfg.MaxStale
}

// simRounds is more than any settles in.
const simRounds = 10_000

// settle takes what the core has put out, until there is no more.
func (n *simNode) settle() {
	s := n.sim
	for rounds := 0; ; rounds++ {
		if rounds == simRounds {
			s.fail("W6: %s and its sessions go round and round", n.name)
			return
		}
		if groups := len(n.core.groups); groups > s.cfg.MaxGroups {
			s.fail("W6: %d groups on %s", groups, n.name)
		}
		out := n.core.out
		if len(out.published)+len(out.ready)+len(out.synced) == 0 {
			n.core.out = outputs{}
			return
		}
		n.core.out = outputs{}
		for _, p := range out.published {
			if p.State() != nil {
				s.checkPublication(n, p)
			}
		}
		for _, sync := range out.synced {
			sync.Done()
		}
		for _, sub := range out.ready {
			s.ready(n, sub)
		}
		for _, p := range out.published {
			s.wake(n, p)
		}
		s.turns(n)
	}
}

// round reads the log, applies it, and runs whatever is ready.
func (n *simNode) round() {
	s := n.sim
	for range 2 {
		n.apply(1 << 20)
		s.now = s.now.Add(time.Microsecond)
		n.readLog()
		n.deliver()
		n.apply(1 << 20)
	}
	for range 50 {
		n.dispatch(math.MaxInt, 8, false)
		if len(n.waves) == 0 {
			break
		}
		s.now = s.now.Add(time.Microsecond)
		for i := len(n.waves) - 1; i >= 0; i-- {
			n.read(n.waves[i])
			n.finish(i, true)
		}
		n.settle()
		if slices.IndexFunc(n.waves, func(w *simWave) bool { return w.hung.IsZero() }) < 0 && len(n.waves) > 0 {
			break // they are waited for
		}
	}
	n.settle()
}

// quiet reports whether nothing is to be done.
func (n *simNode) quiet() bool {
	for _, g := range n.core.all {
		if g.dirty || g.running || !g.fenced.IsZero() {
			return false
		}
	}
	return n.batch == nil && n.core.batch == nil && len(n.waves) == 0
}

func changeTexts(changes []Change) (list []string) {
	for i := range changes {
		ch := &changes[i]
		text := ch.Op.String()
		if ch.Op != DDL {
			text += " of table " + string(rune('0'+ch.Table-simTable(0)))
		}
		list = append(list, text)
	}
	return list
}
