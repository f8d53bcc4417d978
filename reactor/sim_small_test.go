package reactor

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// smallScope is a simulation in which everything that can happen is on a short list,
// and happens in every order: two users watch a result each, behind one policy; one
// commit takes the right from both, one changes both results, one gives the right
// back; and there is one fault.
type smallScope struct {
	fault smallFault
	warm  bool // the users are there, and see their results, when it begins

	limit          int // of orders; 0: none
	orders, states int
	failed         string
}

type smallAction uint8

const (
	firstComes smallAction = iota
	secondComes
	revoke
	publish
	grant
	logRead
	logApplied
	waveBegins
	waveReads
	waveEnds
	faultComes
	smallActions
)

var smallNames = [smallActions]string{
	"the first user comes", "the second user comes", "revoke", "publish", "grant", "the log is read", "the log is applied",
	"a wave begins", "it reads", "it ends", "the fault",
}

type smallFault uint8

const (
	runFails smallFault = iota
	databaseCrashes
	logTrimmed
	streamLost
	nodeKilled
	policySwapped
	smallFaults
)

var smallFaultNames = [smallFaults]string{"a run fails", "the database crashes", "the log is trimmed", "a stream is lost", "the node is killed", "the policy is replaced"}

// start makes the simulation as it is before anything happens.
func (w *smallScope) start(traced bool) *sim {
	s := bareSim(1, traced)
	s.cfg = Config{Seed: 1, Resync: -1, MaxDebounce: 1, Linger: time.Second}.withDefaults()
	s.db = emptyDB(s.rand)
	s.db.state.tables[0][2] = simRow{live: true, list: 0, n: 1}
	s.db.state.tables[1][0] = simRow{live: true, list: 2, n: 1} // both are members
	s.db.state.tables[1][3] = simRow{live: true, list: 1, n: 1}
	s.db.changed()
	s.addNode()
	for i, query := range []int{0, simQueriesOfList + 1} { // list(0), ids(1)
		s.clients = append(s.clients, &simClient{number: i + 1, wanted: query, guard: 2, deltas: true})
	}
	if w.warm {
		s.comeBack(s.clients[0])
		s.comeBack(s.clients[1])
		s.quiesce(0)
	}
	return s
}

// comeBack opens a client's stream.
func (s *sim) comeBack(c *simClient) {
	c.session = &simSession{node: s.nodes[0], client: c, has: c.has, version: c.version, at: c.at, shown: c.shown}
	s.say("client %d comes", c.number)
	s.ask(c.session)
}

// commit sets rows in a transaction of its own.
func (s *sim) commit(writes ...simWrite) {
	tx := s.db.begin()
	for _, w := range writes {
		old := s.db.state.tables[w.table][w.id]
		ch := Change{XID: tx.xid, Table: simTable(w.table), Op: Update}
		switch {
		case !old.live:
			ch.Op = Insert
		case !w.row.live:
			ch.Op = Delete
		}
		for _, row := range []simRow{old, w.row} {
			if row.live {
				ch.Keys = append(ch.Keys, Tuple{
					{Column: colID, Value: simValue(int8(w.id))}, {Column: colList, Value: simValue(row.list)}, {Column: colN, Value: simValue(row.n)},
				})
			}
		}
		tx.writes, tx.log = append(tx.writes, w), append(tx.log, ch)
	}
	s.end(tx, true)
}

// enabled reports whether an action can be done now.
func (w *smallScope) enabled(s *sim, a smallAction, done []smallAction) bool {
	n := s.nodes[0]
	count := 0
	for _, d := range done {
		if d == a {
			count++
		}
	}
	often := 1 // the log is read, and waves run; what is left comes at the end
	if w.warm {
		often = 2
	}
	switch a {
	case firstComes:
		return count == 0 && !w.warm
	case secondComes:
		return count == 0 && slices.Contains(done, firstComes)
	case grant:
		return count == 0 && slices.Contains(done, revoke)
	case logRead:
		return count < often && n.batch == nil
	case logApplied:
		return n.batch != nil || n.core.batch != nil
	case waveBegins:
		if count == often || len(n.waves) > 0 {
			return false
		}
		return n.core.ready.len() > 0 || len(n.core.agenda) > 0 && !n.core.agenda[0].due.After(s.now)
	case waveReads:
		return len(n.waves) > 0 && !n.waves[0].done
	case waveEnds:
		return len(n.waves) > 0 && n.waves[0].done
	case faultComes:
		if w.fault == runFails {
			return count == 0 && len(n.waves) > 0 && n.waves[0].done
		}
		return count == 0 && s.clients[0].session != nil // before, nobody would notice
	}
	return count == 0
}

// do does an action.
func (w *smallScope) do(s *sim, at int, a smallAction) {
	s.draw(at)
	s.now = s.now.Add(time.Microsecond)
	n := s.nodes[0]
	if s.trace != nil {
		s.say("-- %s", smallNames[a])
	}
	switch a {
	case firstComes, secondComes:
		s.comeBack(s.clients[a-firstComes])
	case revoke:
		s.commit(simWrite{1, 0, simRow{}})
	case publish:
		s.commit(simWrite{0, 5, simRow{live: true, list: 0, n: 2}}, simWrite{1, 4, simRow{live: true, list: 1, n: 2}})
	case grant:
		s.commit(simWrite{1, 0, simRow{live: true, list: 2, n: 2}})
	case logRead:
		n.readLog()
	case logApplied:
		n.deliver()
		n.apply(1 << 20)
	case waveBegins:
		n.dispatch(64, 64, false)
	case waveReads:
		n.read(n.waves[0])
	case waveEnds:
		n.finish(0, true)
	case faultComes:
		w.disturb(s)
	}
	n.settle()
}

func (w *smallScope) disturb(s *sim) {
	n := s.nodes[0]
	switch w.fault {
	case runFails:
		n.waves[0].done = false
		n.finish(0, true)
	case databaseCrashes:
		s.crash()
	case logTrimmed:
		n.cursor.lost = true
	case streamLost:
		s.leave(s.clients[0], false)
		s.comeBack(s.clients[0])
	case nodeKilled:
		there := []bool{s.clients[0].session != nil, s.clients[1].session != nil}
		n.restart()
		for i, was := range there {
			if was {
				s.comeBack(s.clients[i])
			}
		}
	case policySwapped:
		s.swap(simPolicyPlugin)
	}
}

// apart reports whether two actions can change places without anybody noticing: a
// commit, or a read of the database, and what only the core does.
func apart(a, b smallAction) bool {
	database := func(a smallAction) bool { return a == revoke || a == publish || a == grant }
	inside := func(a smallAction) bool { return a == logApplied || a == waveBegins || a == waveEnds }
	return database(a) && inside(b) || inside(a) && database(b) ||
		a == logRead && (b == waveBegins || b == waveEnds) || b == logRead && (a == waveBegins || a == waveEnds) ||
		a == waveReads && b == logApplied || a == logApplied && b == waveReads
}

// explore does all orders. It goes on from each to the first that can follow, and
// comes back for the others later.
func (w *smallScope) explore() {
	left := [][]smallAction{nil}
	for len(left) > 0 && w.failed == "" && (w.limit == 0 || w.orders < w.limit) {
		done := left[len(left)-1]
		left = left[:len(left)-1]
		done, others, failure := w.follow(done)
		left = append(left, others...)
		if failure != "" {
			s, _, _ := w.replay(done, true)
			w.failed = s.trace.String() + failure
		}
	}
}

// follow does some actions and goes on to an end. It returns the whole order, and
// the beginnings of others that part from it after done.
func (w *smallScope) follow(done []smallAction) (_ []smallAction, others [][]smallAction, failure string) {
	s, failure, rest := w.replay(done, false)
	if failure != "" {
		return done, nil, failure
	}
	defer func() {
		if broken := recover(); broken != nil {
			failure = fmt.Sprint(broken)
		}
	}()
	for {
		first, some := smallActions, false
		for a := range smallActions {
			// Of two that could change places only one order is looked at.
			if !w.enabled(s, a, done) {
				continue
			}
			some = true
			if n := len(done); n > 0 && a < done[n-1] && apart(a, done[n-1]) {
				continue
			}
			if first == smallActions {
				first = a
			} else {
				others = append(others, append(slices.Clone(done), a))
			}
		}
		w.states++
		switch {
		case !some:
			w.orders++
			rest(len(done))
			return done, others, ""
		case first == smallActions:
			return done, others, "" // another one stands for it
		}
		done = append(done[:len(done):len(done)], first)
		w.do(s, len(done), first)
	}
}

// replay does some actions. What it returns lets all come to rest, after so many.
func (w *smallScope) replay(done []smallAction, toTheEnd bool) (s *sim, failure string, rest func(int)) {
	s = w.start(toTheEnd)
	rest = func(after int) {
		s.quiesce(after + 1)
	}
	defer func() {
		if broken := recover(); broken != nil {
			failure = fmt.Sprint(broken)
		}
	}()
	for i, a := range done {
		w.do(s, i+1, a)
	}
	if toTheEnd {
		rest(len(done))
	}
	return s, "", rest
}

// With two users, two results, three commits and one fault all orders are tried. With
// WEIR_SIM_SMALL=all they are all; else so many of each fault, or 300. W1, W2, W5, F1,
// F4, C4.
func TestSmallScopeInAllOrders(t *testing.T) {
	t.Parallel()
	limit := 300
	switch text := os.Getenv("WEIR_SIM_SMALL"); text {
	case "":
	case "all":
		limit = 0
	default:
		var err error
		if limit, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	var scopes []*smallScope
	for fault := range smallFaults {
		for _, warm := range []bool{false, true} {
			scopes = append(scopes, &smallScope{fault: fault, warm: warm, limit: limit})
		}
	}
	begun := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(scopes); i = next.Add(1) - 1 {
				scopes[i].explore()
			}
		})
	}
	workers.Wait()
	states, orders := 0, 0
	var each []string
	for _, w := range scopes {
		states, orders = states+w.states, orders+w.orders
		each = append(each, fmt.Sprintf("%s, warm=%v: %d", smallFaultNames[w.fault], w.warm, w.orders))
		if w.failed != "" {
			t.Errorf("%s, warm=%v:\n%s", smallFaultNames[w.fault], w.warm, w.failed)
		}
	}
	t.Logf("prove: small scope: %d orders through %d states in %s (%s)", orders, states, time.Since(begun).Round(time.Millisecond), strings.Join(each, "; "))
}
