package reactor

import (
	"fmt"
	"slices"
	"strings"
)

// The judge of the simulation knows every state that the database ever had, by
// version, and asks of all that is shown whether there was a moment for it. What it
// knows of a client is the first version at which all that the client saw can have
// been: each time it looks for the first moment from there on, so that there is an
// order for everything if and only if there is one for this choice.

// simTimeline says what something was from which version on. It is found out when
// somebody asks.
type simTimeline[V comparable] struct {
	of      func(*simState) V
	moments []simMoment[V]
	known   int // up to this version
}

type simMoment[V comparable] struct {
	version int
	value   V
}

func (l *simTimeline[V]) extend(db *simDB) {
	for l.known < db.version {
		l.known++
		v := l.of(&db.states[l.known])
		if n := len(l.moments); n == 0 || l.moments[n-1].value != v {
			l.moments = append(l.moments, simMoment[V]{l.known, v})
		}
	}
}

// place returns the moment that a version is in. It is among the last, mostly.
func (l *simTimeline[V]) place(version int) int {
	i := len(l.moments) - 1
	for i > 0 && l.moments[i].version > version {
		i--
	}
	return i
}

// end returns the last version of a moment.
func (l *simTimeline[V]) end(place int) int {
	if place+1 < len(l.moments) {
		return l.moments[place+1].version - 1
	}
	return l.known
}

// next returns the first version from one on whose value meets a condition, false
// if there is none.
func (l *simTimeline[V]) next(from int, meets func(V) bool) (int, bool) {
	for i := l.place(from); i < len(l.moments); i++ {
		if meets(l.moments[i].value) {
			return max(from, l.moments[i].version), true
		}
	}
	return 0, false
}

// answers is what a query was to answer.
func (s *sim) answers(query int) *simTimeline[string] {
	l := &s.answered[query]
	if l.of == nil {
		l.of = simQueries[query].answer
	}
	l.extend(s.db)
	return l
}

// verdicts is what a policy had to say, in a version of its plugin.
func (s *sim) verdicts(p simCall) *simTimeline[simVerdict] {
	l := &s.decided[p.policy][p.version%2]
	if l.of == nil {
		l.of = func(state *simState) simVerdict { return simPolicies[p.policy].verdict(state, p.version) }
	}
	l.extend(s.db)
	return l
}

// simFailure is a broken promise.
type simFailure string

func (s *sim) fail(format string, args ...any) {
	panic(simFailure(fmt.Sprintf(format, args...)))
}

// checkPublication checks that what a group says was the answer at the snapshot at
// which it says so.
func (s *sim) checkPublication(n *simNode, p *Publication) {
	st := p.State()
	if st.Number <= n.numbers[p] {
		return // told twice in one step
	}
	n.numbers[p] = st.Number
	if st.Frame == nil {
		if st.Err == nil {
			s.fail("W9: a state without rows and without a reason on %s", n.name)
		}
		return
	}
	frame := s.frames[st.Frame]
	answers := s.answers(frame.query)
	if v := s.db.at(st.At); v == 0 || answers.moments[answers.place(v)].value != frame.text {
		s.fail("W2: %s shows %q, said to be of %v (version %d) on %s, which it was not", simQueries[frame.query].name, frame.text, st.At.snapshot, v, n.name)
	}
}

// floor is the version that the first state of a subscription must reach: that of
// its coming (F3), or what the client was shown before if the node says that it
// cannot keep the result fresh.
func (s *sim) floor(sub *simSub) int {
	st, shown := sub.State()
	switch {
	case !shown, st.Status == Live, st.Status == Denied, st.Status == Moved:
		return sub.arrived
	case sub.at.epoch != 0 && sub.at.epoch == sub.session.node.core.lasting.epoch:
		return sub.session.shown
	}
	return 0
}

// judge looks at what a writer may show now. There must be a moment, not before the
// last one that the client saw, at which this was the answer (W2) and its policies
// allowed it (W5).
func (s *sim) judge(n *simSession, st *State) {
	sub, c := n.live, n.client
	if st.Status == Moved {
		return
	}
	if st.Status == Denied {
		s.judgeDenial(n)
		return
	}
	sub.spoken = true
	switch {
	case st.Status != Live && st.Err == nil:
		s.fail("W9: client %d is told %s without a reason", c.number, st.Status)
	case st.Status == Live && n.node.silent:
		s.fail("W9: client %d is told %s, but %s has not read the log for long", c.number, st.Status, n.node.name)
	case st.Number == 0:
		sub.unsure = true
		return
	case n.told && st.Number < n.number:
		return // an older one that is let through at last; the client has newer
	}
	if n.last != nil && st.Frame != nil && !st.span.until(*n.node.core.applied.Load()).Covers(n.last.At) {
		s.fail("W2: client %d goes from %v back to %v", c.number, n.last.At.snapshot, st.At.snapshot)
	}
	if st.Frame == nil {
		return
	}
	frame, name := s.frames[st.Frame], simQueries[sub.call.query].name
	if frame.query != sub.call.query || frame.version != sub.call.version {
		s.fail("W4: client %d watches %s of version %d and is shown %s of version %d", c.number, name, sub.call.version, simQueries[frame.query].name, frame.version)
	}
	answers := s.answers(frame.query)
	read := s.db.at(st.At)
	end := answers.end(answers.place(read))
	if blind := s.blind(frame.query); read <= blind {
		end = max(end, blind)
	}
	first := max(read, n.shown)
	if first > end {
		s.fail("W2: client %d is shown %q of %s, the answer from version %d to %d; it was shown version %d before (%s, came at %d)",
			c.number, frame.text, name, read, end, n.shown, st.Status, sub.arrived)
	}
	w, allowed := s.allowed(sub, first, end)
	if !allowed {
		s.fail("W5: client %d is shown %q of %s, the answer from version %d to %d, while one of %v denied it since version %d",
			c.number, frame.text, name, read, end, simGuards[c.guard].policies, first)
	}
	n.shown = w
}

// judgeDenial: only what a policy has said denies (F4). The first thing that a
// subscription says may be a denial of the moment at which it came, though the one that
// it replaces was of other policies and has shown newer: no rows go back.
func (s *sim) judgeDenial(n *simSession) {
	sub := n.live
	since := n.shown
	if !sub.spoken {
		since = min(since, sub.arrived)
	}
	found, first, scoped := false, 0, 0
	for _, p := range sub.policies {
		if simPolicies[p.policy].scoped {
			scoped++
		}
		w, denies := s.verdicts(p).next(since, func(v simVerdict) bool { return !v.allow })
		if denies && (!found || w < first) {
			found, first = true, w
		}
	}
	switch {
	case sub.unsure, scoped > 1: // of before it came; or the scopes contradict each other
	case !found:
		s.fail("F4: client %d behind %v is denied, which nobody has decided since version %d", n.client.number, simGuards[n.client.guard].policies, since)
	default:
		n.shown = max(n.shown, first)
	}
}

// allowed returns the first version of a time at which all policies let the client
// through. One that looks at rows reads in a transaction of its own: it must have
// allowed at a state that is at least as new.
func (s *sim) allowed(sub *simSub, first, end int) (int, bool) {
	lets := func(v simVerdict) bool { return v.allow && (v.scope < 0 || v.scope == sub.scope) }
	for again := true; again; {
		again = false
		for _, p := range sub.policies {
			w, ever := s.verdicts(p).next(first, lets)
			if !ever {
				return 0, false
			}
			if !simPolicies[p.policy].waves || w == first {
				continue
			}
			if w > end {
				return 0, false
			}
			first, again = w, true
		}
	}
	return first, true
}

// blind returns the last version in which changes of a table that the query reads
// were not logged, 0 if there is none: what was read before may have ended unseen.
func (s *sim) blind(query int) (version int) {
	for t, reads := range simQueries[query].tables {
		if reads && s.db.dark[t] {
			version = s.db.version
		} else if reads {
			version = max(version, s.dimmed[t])
		}
	}
	return version
}

func (s *sim) text(f *Frame) string {
	if f == nil {
		return "no rows"
	}
	return s.frames[f].text
}

// expected is what the client of a quiet database must see: the answer of its
// policies, and what they lead to.
func (s *sim) expected(sub *simSub) (allow bool, call simCall) {
	c := sub.session.client
	g := &simGuards[c.guard]
	scope := int8(-1)
	for _, p := range g.policies {
		v := simPolicies[p].verdict(&s.db.state, s.versions[simPolicyPlugin])
		if !v.allow || v.scope >= 0 && scope >= 0 && v.scope != scope {
			return false, simCall{}
		}
		scope = max(scope, v.scope)
	}
	query := c.wanted
	if g.scoped {
		query = listQuery(scope)
	}
	return true, simCall{query, -1, s.versions[simQueries[query].plugin()]}
}

// checkRest compares every client of a quiet database with a fresh answer (W1).
func (s *sim) checkRest() {
	for _, c := range s.clients {
		n := c.session
		if n == nil {
			continue
		}
		if n.live == nil || n.attempt != nil || n.woken {
			s.fail("W5: client %d behind %v waits for ever", c.number, simGuards[c.guard].policies)
		}
		st, shown := n.live.State()
		if !shown {
			s.fail("W5: client %d behind %v has nothing to be shown for ever", c.number, simGuards[c.guard].policies)
		}
		if st.Status != n.status || st.Frame != nil && st.Frame.Version != n.version {
			s.fail("W1: client %d was told %s of %d, and not of %s of %d", c.number, n.status, n.number, st.Status, st.Number)
		}
		allow, call := s.expected(n.live)
		if !allow {
			if st.Status != Denied || c.has {
				s.fail("W5: client %d is told %s, it should be denied", c.number, st.Status)
			}
			continue
		}
		want := simAnswer{call.query, call.version, simQueries[call.query].answer(&s.db.state)}
		if st.Status != Live || call != n.live.call || c.content != string(want.encode()) {
			s.fail("W1: client %d holds %s (%s: %v), the database says %s of %s", c.number, c.content, st.Status, st.Err, want.encode(), simQueries[call.query].name)
		}
	}
	for _, n := range s.nodes {
		s.checkCore(n)
	}
}

// checkCore checks what must hold of a core at rest.
func (s *sim) checkCore(n *simNode) {
	c := n.core
	atoms, subs, places, sessions := 0, 0, 0, 0
	for _, g := range c.all {
		if g.dirty || g.running || g.ready || len(g.joiners) > 0 {
			s.fail("W1: %s is not at rest on %s", g.name, n.name)
		}
		if len(g.unsure()) > 0 || len(g.holding) > 0 {
			s.fail("W5: %s %v on %s waits for decisions that nobody takes:%s", g.name, g.span, n.name, holdingText(c, g))
		}
		atoms += len(g.postings)
		subs += g.subs
	}
	for _, client := range s.clients {
		if client.session == nil || client.session.node != n {
			continue
		}
		sessions++
		places += len(client.session.live.guards())
		if client.session.live.group() != nil {
			places++
		}
	}
	if n.syncs != 0 || len(c.syncs) != 0 {
		s.fail("F10: %d transactions are waited for on %s, and %d for the log", n.syncs, n.name, len(c.syncs))
	}
	if atoms != c.index.count || subs != places || c.subs != sessions || len(c.groups) != len(c.all) {
		s.fail("W6: leak on %s: %d of %d atoms, %d of %d places, %d of %d subscriptions, %d of %d groups",
			n.name, c.index.count, atoms, subs, places, c.subs, sessions, len(c.groups), len(c.all))
	}
}

func holdingText(c *core, g *group) string {
	var why strings.Builder
	for _, f := range g.holding {
		from, open := f.latest()
		fmt.Fprintf(&why, " %v from %v open %v", f.passes(g.pub.State(), c.known), from.snapshot, open)
		for _, d := range f.guards {
			fmt.Fprintf(&why, " %s %v", d.name, d.span)
		}
	}
	return why.String()
}

// checkEmpty checks that nothing remains when everybody has left (W6).
func (s *sim) checkEmpty(n *simNode) {
	c := n.core
	if len(c.groups)+len(c.all)+c.index.count+len(c.agenda)+c.ready.len()+len(c.fenced)+len(c.waiting)+len(c.emptied) > 0 || c.recent.size() > 0 {
		s.fail("W6: leak on %s: %d groups, %d atoms, %d scheduled, %d ready, %d waiting, %d lingering, %d recent",
			n.name, len(c.groups), c.index.count, len(c.agenda), c.ready.len(), len(c.waiting), len(c.emptied), c.recent.size())
	}
	if i := slices.IndexFunc(s.clients, func(c *simClient) bool { return c.session != nil }); i >= 0 {
		s.fail("BUG: client %d has not left", s.clients[i].number)
	}
}
