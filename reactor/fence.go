package reactor

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"
)

// fence stands between one group's results and the subscriptions of one set of
// decisions (W5): a result that was read at a snapshot is shown only when every
// policy is known to allow at a snapshot that is at least as new, and at which
// the result was still the result. A commit that revokes and a commit that
// publishes are never seen in the wrong order.
//
// The loop writes what it looks at; any number of writers ask it, without a lock
// and without allocation.
type fence struct {
	result    *Publication   // nil: nothing was allowed when it was made
	decisions []*Publication // of the policies
	scopes    []string       // of each decision, when it was made
	conflict  *standing      // the denial of scopes that contradict each other
	denial    *Decision      // what the policies said when they denied and it was made for that
	err       error          // no target can be made of the scope
	mark      *atomic.Pointer[Stamp]
	// held is the oldest result that waits for a decision, beside the newest. A
	// policy that never catches up with the newest one gets to this one (F1).
	held atomic.Pointer[State]

	// Owned by the loop.
	group  *group
	guards []*group
	key    string
	subs   int
}

// State returns what may be shown now. False means that nothing can be said: no
// result yet, or none that the decisions are known to cover; what was shown
// before stays.
func (f *fence) State() (State, bool) {
	// The mark comes first: what is open after it was read, is open up to it. The
	// loop freezes before it moves the mark.
	mark := *f.mark.Load()
	var unknown *standing
	allowed := window{}
	moved := f.result == nil && f.conflict == nil && f.err == nil
	for i, p := range f.decisions {
		s := p.standing.Load()
		switch {
		case s.Answer == Deny:
			return denial(s), true
		case s.Answer == Unknown:
			unknown = s
		case s.scope != f.scopes[i]:
			moved = true
		}
		// The span of this very answer: the next one may be a denial, at whose
		// snapshot a result is that nobody may see.
		allowed.narrow(s, mark)
	}
	switch {
	case unknown != nil:
		return State{Status: Stale, Err: unknown.err, Policy: unknown.Policy}, true // F4
	case moved:
		return State{Status: Moved}, true
	case f.conflict != nil:
		return denial(f.conflict), true
	case f.err != nil:
		return State{Status: Stale, Err: f.err}, true // F4: the policies have decided nothing that can be used
	}
	st := f.result.state.Load()
	if st == nil {
		return State{}, false
	}
	if allowed.shows(st, mark) {
		return *st, true
	}
	if held := f.held.Load(); held != nil && allowed.shows(held, mark) {
		return *held, true
	}
	if st.Status == Live {
		return State{}, false // one that the decisions cover is on its way
	}
	// None is: the last run failed. Who was denied or told that all is fresh must
	// hear that it is not so (W9), without rows of a time that the decisions do not
	// cover.
	return State{Status: st.Status, Err: st.Err}, true
}

// denial is of the point at which it was decided: who was told of it is shown
// nothing older, here or elsewhere (W2).
func denial(s *standing) State {
	return State{Status: Denied, At: s.span.from, Policy: s.Policy, Reason: s.Reason, at: &s.span.from}
}

// passes reports whether the fence lets a state through by the newest decisions,
// which allow. It is the loop's.
func (f *fence) passes(st *State, mark Stamp) bool {
	allowed := window{}
	for _, p := range f.decisions {
		allowed.narrow(p.standing.Load(), mark)
	}
	return allowed.shows(st, mark)
}

// window is the time, in snapshots, in which several decisions hold together. The
// zero window is all time.
type window struct {
	from, until Stamp
	bounded     bool
	broken      bool // they are of different histories
}

// narrow takes one more decision into account.
func (w *window) narrow(s *standing, mark Stamp) {
	if s.timeless {
		return
	}
	from, until := s.span.from, s.span.until(mark)
	if w.bounded {
		w.broken = w.broken || w.from.epoch != from.epoch
		from = w.from.Later(from)
		if until.Covers(w.until) {
			until = w.until // the first end counts
		}
	}
	w.from, w.until, w.bounded = from, until, true
}

// shows is the fence: it reports whether there is a snapshot at which the state
// was the result and all decisions allowed. That each of them meets the result is
// not enough: one may have begun when another had ended. A state without rows is
// of no snapshot; the decisions allow, that is enough.
func (w *window) shows(st *State, mark Stamp) bool {
	if st.Frame == nil {
		return true
	}
	from, until := st.span.from, st.span.until(mark)
	if w.bounded {
		if w.broken || w.from.epoch != from.epoch {
			return false
		}
		from = from.Later(w.from)
		if !w.until.Covers(until) {
			until = w.until
		}
	}
	return until.reaches(from)
}

// Watches returns the publications whose news may change State: those of the
// decisions, and of the group if there is one. The caller must not change it.
func (f *fence) Watches() []*Publication {
	if f.result == nil {
		return f.decisions
	}
	return append(slices.Clip(f.decisions), f.result)
}

// Query returns the group's name on the wire, "" while there is no group.
func (f *fence) Query() string {
	if f.result == nil {
		return ""
	}
	return f.result.Query
}

// watch is a policy's place before a group: the fences of that group in which
// its decision counts. A listed one is in the group's list of what is unsettled.
type watch struct {
	decision, group *group
	fences          []*fence
	listed          bool
}

// open is the fence of a group that no policy guards.
func (c *core) open(g *group) *fence {
	if g.bare == nil {
		g.bare = &fence{result: &g.pub, mark: &c.applied, group: g}
	}
	return g.bare
}

// fence returns the fence of s before its group, shared by all subscriptions with
// the same decisions of the same scope. Without a group nothing is allowed yet.
func (c *core) fence(g *group, guards []*group, conflict *Decision) *fence {
	if len(guards) == 0 {
		return c.open(g)
	}
	f := &fence{mark: &c.applied, group: g, guards: guards}
	if conflict != nil {
		f.conflict = &standing{Decision: *conflict}
		for _, d := range guards {
			f.conflict.span.from = f.conflict.span.from.newer(d.span.from)
		}
	}
	var key []byte
	for _, d := range guards {
		f.decisions = append(f.decisions, &d.pub)
		scope := d.pub.standing.Load().scope
		f.scopes = append(f.scopes, scope)
		key = binary.AppendUvarint(key, d.serial)
		key = binary.AppendUvarint(key, uint64(len(scope)))
		key = append(key, scope...)
	}
	if g == nil {
		return f
	}
	if known := g.fences[string(key)]; known != nil {
		return known
	}
	f.key, f.result = string(key), &g.pub
	if g.fences == nil {
		g.fences = map[string]*fence{}
	}
	g.fences[f.key] = f
	for _, d := range guards {
		w := d.watches[g]
		if w == nil {
			w = &watch{decision: d, group: g}
			if d.watches == nil {
				d.watches = map[*group]*watch{}
			}
			d.watches[g] = w
			d.watched = append(d.watched, w)
		}
		w.fences = append(w.fences, f)
		g.decided = g.decided.newer(d.span.from)
		if !d.clean() {
			w.list()
		}
	}
	return f
}

// drop forgets a fence that nobody stands behind.
func (c *core) drop(f *fence) {
	if f.group == nil || len(f.guards) == 0 {
		return
	}
	delete(f.group.fences, f.key)
	f.group.holding = without(f.group.holding, f)
	for _, d := range f.guards {
		w := d.watches[f.group]
		if w.fences = without(w.fences, f); len(w.fences) == 0 {
			delete(d.watches, f.group)
			d.watched = without(d.watched, w)
			if w.listed {
				f.group.unsettled = without(f.group.unsettled, w)
			}
		}
	}
}

func without[T comparable](list []T, v T) []T {
	if i := slices.Index(list, v); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

func (w *watch) list() {
	if !w.listed {
		w.listed = true
		w.group.unsettled = append(w.group.unsettled, w)
	}
}

// unsettle notes with every group that a decision guards that it is not known to
// hold any longer.
func (d *group) unsettle() {
	for _, w := range d.watched {
		w.list()
	}
}

// unsure returns the watches of g whose decisions are being found out, and
// forgets the others.
func (g *group) unsure() []*watch {
	left := g.unsettled[:0]
	for _, w := range g.unsettled {
		if w.decision.clean() {
			w.listed = false
		} else {
			left = append(left, w)
		}
	}
	clear(g.unsettled[len(left):])
	g.unsettled = left
	return left
}

// hold keeps a new state for the fences that it does not pass and that hold
// nothing they still wait for.
func (c *core) hold(g *group, st *State) {
	mark := *c.applied.Load()
	for _, w := range g.unsure() {
		for _, f := range w.fences {
			if old := f.held.Load(); old != nil && !f.passes(old, mark) || f.passes(st, mark) {
				continue
			}
			if f.held.Swap(st) == nil {
				g.holding = append(g.holding, f)
			}
		}
	}
}

// freeze ends the span of the state that is held, if it is the newest one.
func (f *fence) freeze(to span) {
	if st := f.held.Load(); st.span.open {
		frozen := *st
		frozen.span = to
		f.held.Store(&frozen)
	}
}

// release forgets what was held for fences that the newest state passes.
func (c *core) release(g *group) {
	if len(g.holding) == 0 {
		return
	}
	mark, newest := *c.applied.Load(), g.pub.State()
	left := g.holding[:0]
	for _, f := range g.holding {
		if newest != nil && f.passes(newest, mark) {
			f.held.Store(nil)
		} else {
			left = append(left, f)
		}
	}
	clear(g.holding[len(left):])
	g.holding = left
}

// wait lets the results of g wait until the log is applied up to a point. A held
// result asks for a read at once (F3).
func (c *core) wait(g *group, until Stamp) {
	c.out.poke = true
	if g.fenced.IsZero() {
		c.fenced = append(c.fenced, g)
	}
	g.fenced = g.fenced.newer(until)
}

// passed tells of the groups whose results waited for the log.
func (c *core) passed() {
	left := c.fenced[:0]
	for _, g := range c.fenced {
		switch {
		case g.gone():
		case !c.known.reaches(g.fenced) && g.fenced.epoch == c.known.epoch:
			left = append(left, g)
			c.out.poke = true
		default:
			g.fenced = Stamp{}
			g.doubt = g.doubt || !g.clean() || len(g.unsettled) > 0 // a change came before the log got there
			c.release(g)
			c.out.published = append(c.out.published, &g.pub)
		}
	}
	clear(c.fenced[len(left):])
	c.fenced = left
}

// settle tells those who wait for a decision that there is another one: groups
// whose newest state a fence kept back, and their joiners.
func (c *core) settle(now time.Time, d *group, before span) {
	if d.timeless() {
		// No commit is to be waited for. But what was held may have waited for the
		// log, beside this answer, and passes by now.
		for _, w := range d.watched {
			c.release(w.group)
		}
		return
	}
	mark := *c.applied.Load()
	for _, w := range d.watched {
		g := w.group
		g.decided = g.decided.newer(d.span.from) // also for the first result, which waits for the log then
		if g.frame == nil {
			continue
		}
		c.release(g)
		if g.doubt || !before.meets(&g.span, mark) {
			c.out.published = append(c.out.published, &g.pub)
		}
		for _, f := range w.fences {
			if !f.passes(g.pub.State(), mark) {
				g.doubt = true
				if until, open := f.latest(); open { // it is for the log to show whether they meet
					c.wait(g, until)
				}
			}
		}
		c.admit(now, g)
	}
}

// latest returns the newest beginning of the spans that must meet, and whether
// one of them is open: then the log may make them meet.
func (f *fence) latest() (from Stamp, open bool) {
	from, open = f.group.span.from, f.group.span.open
	for _, d := range f.guards {
		if !d.timeless() {
			from, open = from.newer(d.span.from), open || d.span.open
		}
	}
	return from, open
}
